"""Compose, explain and preview the issue of a slot.

Composing is one transaction: it claims the slot, selects, renders, checks and freezes, or leaves no trace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from newsletter import digest, schedule
from newsletter.compose import Explained, Placed, Selection, Verdict
from newsletter.config import Config, NewsletterConfig
from newsletter.errors import InputError
from newsletter.issues.checking import broken, check_issue
from newsletter.issues.drafting import Draft, corrections_now, draft, placed_of, select_posts
from newsletter.issues.messages import mailer
from newsletter.issues.slots import schedule_of
from newsletter.model import Finding, Issue, IssueState, Placement, Reader, Slot, SlotState
from newsletter.store import Store, Tx
from newsletter.store import issues as stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """What composing a slot came to.

    `fresh` is false when it was composed before and nothing changed now. `note` says what an editor should know: why
    there is no issue, what was carried over or shortened, why the issue is held.
    """

    issue: Issue | None
    state: SlotState
    note: str = ""
    fresh: bool = True
    explanation: tuple[Explained, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """An issue as one reader would get it; `eml` is the whole message."""

    html: str
    text: str
    eml: bytes
    explanation: tuple[Explained, ...] = ()


def compose(
    store: Store, config: Config, newsletter: NewsletterConfig, slot: Slot, *, now: datetime
) -> Composition:
    """Compose the issue of a slot and freeze it; the same slot again returns what was frozen."""
    with store.write() as tx:
        stored.ensure_newsletter(tx, newsletter.name, now)
        known = stored.slot_of(tx, slot)
        if known is not None and known[0] in (SlotState.COMPOSED, SlotState.EMPTY):
            state, issue_id, note = known
            issue = stored.by_id(tx, issue_id) if issue_id is not None else None
            return Composition(issue=issue, state=state, note=note, fresh=False)
        if known is None:
            stored.claim_slot(tx, slot, now)
        selection = select_posts(tx, config, newsletter)
        _settle_skipped(tx, newsletter.name, selection, now)
        skipped = _said_of_skipped(selection)
        if selection.empty:
            note = "; ".join([selection.empty, *skipped])
            stored.settle_slot(tx, slot, SlotState.EMPTY, note=note)
            return Composition(
                issue=None, state=SlotState.EMPTY, note=note, explanation=selection.explanation
            )
        number = stored.take_number(tx, newsletter.name)
        drafted = draft(tx, config, newsletter, slot, selection, number=number, now=now)
        return _freeze(tx, config, newsletter, slot, drafted, said=skipped)


def compose_again(store: Store, config: Config, issue_id: int, *, now: datetime) -> Composition:
    """Compose an issue anew for its slot, from the posts as they are now; its number stays.

    What it told of is free again first, so a post that is no longer chosen is left to a later issue. Raises InputError
    once it was released, and when no post would be left: then nothing is changed.
    """
    with store.write() as tx:
        issue = stored.by_id(tx, issue_id)
        assert issue is not None
        newsletter = config.newsletter(issue.newsletter)
        where = f"{issue.newsletter} {issue.number}"
        if issue.released_at is not None:
            raise InputError(
                "this issue was released: it is not composed anew",
                where=where,
                remedy=f"Hold it, then: newsletter issues correct {issue.newsletter} -n {issue.number}",
            )
        before = digest.thaw(stored.frozen(tx, issue_id)).material.corrections
        selection = select_posts(tx, config, newsletter, without=issue_id)
        if selection.empty:
            raise InputError(
                f"nothing would be left of it: {selection.empty}",
                where=where,
                remedy="Leave it held; its posts stay with it",
            )
        told = corrections_now(tx, before, selection.corrections)
        slot = Slot(newsletter=issue.newsletter, due=issue.due)
        selection = replace(selection, corrections=told)
        _settle_skipped(tx, newsletter.name, selection, now)
        drafted = draft(tx, config, newsletter, slot, selection, number=issue.number, now=now)
        said = [f"composed anew {now:%Y-%m-%d %H:%M}Z", *_said_of_skipped(selection)]
        return _freeze(tx, config, newsletter, slot, drafted, said=said, issue_id=issue_id)


def explain(
    store: Store, config: Config, newsletter: NewsletterConfig, slot: Slot, *, now: datetime
) -> tuple[Explained, ...]:
    """Say of each post why it would be in the slot's issue or not; changes nothing."""
    with store.read() as tx:
        selection = select_posts(tx, config, newsletter)
        if selection.empty:
            return selection.explanation
        number = stored.next_number(tx, newsletter.name)
        return draft(tx, config, newsletter, slot, selection, number=number, now=now).selection.explanation


def upcoming(
    store: Store, config: Config, newsletter: NewsletterConfig, slot: Slot, *, now: datetime
) -> tuple[Issue, str, tuple[Explained, ...]]:
    """Return what the next issue would be, what is frozen of it, and why each post is in or out; changes nothing.

    When nothing is new, the slot's own issue is returned if there is one; else InputError.
    """
    with store.read() as tx:
        known = stored.slot_of(tx, slot)
        issue = stored.by_id(tx, known[1]) if known is not None and known[1] is not None else None
        frozen = stored.frozen(tx, issue.id) if issue is not None else ""
        selection = select_posts(tx, config, newsletter)
        if not selection.empty:
            if issue is not None:
                slot = replace(slot, due=schedule.next_slot(schedule_of(config, newsletter), now))
            number = stored.next_number(tx, newsletter.name)
            drafted = draft(tx, config, newsletter, slot, selection, number=number, now=now)
            issue, frozen, selection = drafted.issue, drafted.frozen, drafted.selection
    if issue is None:
        raise InputError(
            f"there is nothing to show: {selection.empty}",
            where=newsletter.name,
            remedy="Gather posts first; `newsletter issues compose --explain` says why each is out",
        )
    return issue, frozen, selection.explanation


def preview(
    store: Store,
    config: Config,
    newsletter: NewsletterConfig,
    slot: Slot,
    reader: Reader | str,
    *,
    now: datetime,
) -> Preview:
    """Render what the next issue would be for one reader (or address); changes nothing."""
    someone = reader if isinstance(reader, Reader) else Reader(subscriber_id=0, address=reader, since=now)
    issue, frozen, explanation = upcoming(store, config, newsletter, slot, now=now)
    make = mailer(config, issue, frozen)
    html, text = make.fill(someone)
    return Preview(html=html, text=text, eml=make(someone).content, explanation=explanation)


def _settle_skipped(tx: Tx, newsletter: str, selection: Selection, now: datetime) -> None:
    for post, reason in selection.skipped:
        placed = Placed(placement=Placement.SKIPPED, told_updated=post.updated, reason=reason)
        stored.place(tx, newsletter, post.seq, placed, now=now)


def _said_of_skipped(selection: Selection) -> list[str]:
    count = len(selection.skipped)
    return [f"{count} settled as skipped: {selection.skipped[0][1]}"] if count else []


def _freeze(
    tx: Tx,
    config: Config,
    newsletter: NewsletterConfig,
    slot: Slot,
    drafted: Draft,
    *,
    said: list[str],
    issue_id: int = 0,
) -> Composition:
    """Store a draft with all that follows from it; under an issue's id in its place."""
    issue, selection = drafted.issue, drafted.selection
    assert issue.composed_at is not None
    now = issue.composed_at
    findings = tuple(check_issue(tx, config, issue, drafted.frozen))
    if fault := broken(findings):
        issue = replace(issue, state=IssueState.HELD, reason=fault)
    placed = placed_of(selection)
    rows = [(post.seq, placement, post.updated) for post, placement in placed]
    if issue_id:
        stored.compose_again(tx, issue_id, issue, rows, frozen=drafted.frozen)
    else:
        issue_id = stored.add(tx, issue, rows, frozen=drafted.frozen)
    for post in selection.posts:
        row = Placed(placement=Placement.INCLUDED, told_updated=post.updated, issue_id=issue_id)
        stored.place(tx, newsletter.name, post.seq, row, now=now)
    for one in selection.corrections:
        stored.tell(tx, newsletter.name, one.post.seq, updated=one.told, now=now)
    carried = sum(one.verdict is Verdict.CARRIED for one in selection.explanation)
    notes = [*said, *drafted.notes, *([f"{carried} carried over to the next issue"] if carried else [])]
    notes += [f"held: {issue.reason}"] if issue.reason else []
    stored.settle_slot(tx, slot, SlotState.COMPOSED, issue_id=issue_id, note="; ".join(notes))
    return Composition(
        issue=replace(issue, id=issue_id),
        state=SlotState.COMPOSED,
        note="; ".join(notes),
        explanation=selection.explanation,
        findings=findings,
    )
