"""Correct an issue while it is being delivered: those who were not served yet get the corrected rendering.

Who was served, or is in doubt, keeps the rendering of their message: what is sent again to them is the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from newsletter import digest
from newsletter.compose import Selection
from newsletter.config import Config
from newsletter.errors import InputError
from newsletter.issues.approval import add_note, fault_of
from newsletter.issues.checking import LONGEST, broken, check_issue
from newsletter.issues.drafting import Draft, corrections_now, draft, fingerprint, placed_of
from newsletter.issues.messages import mailer
from newsletter.model import DeliveryState, Finding, Issue, IssueState, Post, Slot
from newsletter.store import Store, Tx, deliveries
from newsletter.store import issues as stored
from newsletter.store import posts as stored_posts


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What a correction came to; without `changes` nothing was to be corrected, and the issue is as it was.

    `size` is of the longest message in bytes, before it was `size_before`. `renewed` get the corrected rendering,
    `kept` do not: they were served, or may have been.
    """

    issue: Issue
    changes: tuple[str, ...]
    size_before: int
    size: int
    renewed: int = 0
    kept: int = 0
    findings: tuple[Finding, ...] = ()


def correct(store: Store, config: Config, issue_id: int, *, now: datetime, force: str = "") -> Revision:
    """Render a held issue anew, with the same posts as they are now, its number and its slot; it stays held.

    Raises InputError for one that is not held while being delivered, for one whose last delivery has not ended, and
    for a digest that breaks a rule, unless `force` says why it goes all the same.
    """
    with store.lock(f"issue-{issue_id}") as alone, store.write() as tx:
        issue = stored.by_id(tx, issue_id)
        assert issue is not None
        _refuse(issue, alone)
        frozen = stored.frozen(tx, issue_id)
        drafted = _render(tx, config, issue, digest.thaw(frozen).material, now.replace(microsecond=0))
        corrected = _in_place_of(issue, drafted)
        changes = tuple(_changes(frozen, drafted.frozen))
        size_before, size = (
            len(mailer(config, one, text)(LONGEST).content)
            for one, text in ((issue, frozen), (corrected, drafted.frozen))
        )
        if not changes:
            return Revision(issue=issue, changes=(), size_before=size_before, size=size_before)
        findings = tuple(check_issue(tx, config, corrected, drafted.frozen))
        fault = broken(findings)
        if fault and not force:
            raise fault_of(issue, fault, verb="correct")
        _store(tx, corrected, drafted, changes, force if fault else "")
        renewed, kept = deliveries.renew(tx, issue_id), _kept(tx, corrected)
        if not kept:
            _tell_all(tx, corrected, drafted, now)
        return Revision(
            issue=corrected,
            changes=changes,
            size_before=size_before,
            size=size,
            renewed=renewed,
            kept=kept,
            findings=findings,
        )


def _refuse(issue: Issue, alone: bool) -> None:
    where, which = f"{issue.newsletter} {issue.number}", f"{issue.newsletter} -n {issue.number}"
    if issue.released_at is None:
        raise InputError(
            "this issue was not released yet: nobody has it",
            where=where,
            remedy=f"Compose it anew: newsletter issues compose {which} --again",
        )
    if issue.state is not IssueState.HELD:
        over = issue.state is IssueState.FINISHED
        raise InputError(
            "everybody was served: there is nobody left to get a correction"
            if over
            else "it is being delivered",
            where=where,
            remedy="A correction of the post stands in the next issue"
            if over
            else f"First: newsletter issues hold {which}",
        )
    if not alone:
        raise InputError(
            "what is in flight is still being answered",
            where=where,
            remedy="A delivery ends some seconds after a hold: try again then",
        )


def _render(tx: Tx, config: Config, issue: Issue, before: digest.Material, now: datetime) -> Draft:
    posts = stored_posts.live_by_seqs(tx, [one.seq for one in before.posts])
    selection = Selection(
        posts=tuple(posts[one.seq] for one in before.posts if one.seq in posts),
        corrections=corrections_now(tx, before.corrections),
    )
    where = f"{issue.newsletter} {issue.number}"
    if not selection.posts:
        raise InputError("all of its posts were withdrawn", where=where, remedy="Leave it held")
    slot = Slot(newsletter=issue.newsletter, due=issue.due)
    one = config.newsletter(issue.newsletter)
    drafted = draft(tx, config, one, slot, selection, number=issue.number, now=now, corrected=now)
    if drafted.selection.posts != selection.posts:
        left = len(selection.posts) - len(drafted.selection.posts)
        raise InputError(
            f"{left} of its posts have no room any more", where=where, remedy="Shorten what was added"
        )
    return drafted


def _in_place_of(issue: Issue, drafted: Draft) -> Issue:
    new = drafted.issue
    one = replace(
        issue,
        subject=new.subject,
        html=new.html,
        intro_html=new.intro_html,
        post_ids=new.post_ids,
        correction_ids=new.correction_ids,
        revision=issue.revision + 1,
        corrected_at=new.dated,
    )
    return replace(one, sha256=fingerprint(one, drafted.frozen, placed_of(drafted.selection)))


def _changes(before: str, after: str) -> Iterator[str]:
    """Say what differs between two renderings, post by post."""
    old, new = digest.thaw(before), digest.thaw(after)
    now = {one.seq: one for one in new.material.posts}
    for one in old.material.posts:
        changed = now.get(one.seq)
        if changed is None:
            yield f"“{digest.title_of(one)}” was withdrawn, and is left out"
        elif changed != one:
            yield f"“{digest.title_of(changed)}” changed: {', '.join(_parts(one, changed))}"
    said = (
        ("corrections", "the corrections of earlier issues changed"),
        ("intro_html", "the introduction changed"),
        ("subject", f"the subject is now “{new.material.subject}”"),
    )
    yield from (what for name, what in said if getattr(old.material, name) != getattr(new.material, name))
    links = {key for post in now.values() for one in post.references for key in (one.url, one.post_id)}
    if any(old.material.titles.get(key) != new.material.titles.get(key) for key in links):
        yield "the title of a post that is referred to changed"
    depths = ((one.plan.full == one.plan.posts, one.plan.room) for one in (old, new))
    if next(depths) != next(depths):
        yield "how much is told of each post changed"
    if old.templates != new.templates or _around(old.material) != _around(new.material):
        yield "the looks changed"


def _around(material: digest.Material) -> digest.Material:
    """Return what an issue is beside its posts and what an editor is told of apart."""
    return replace(material, posts=(), corrections=(), intro_html="", subject="", titles={}, corrected=None)


def _parts(before: Post, after: Post) -> list[str]:
    """Name what of a post changed, as an editor writes it."""
    names = {"body_html": "text", "content_note": "content note"}
    fields = ("title", "body_html", "summary", "images", "citations", "references", "corrections", "authors")
    more = ("tags", "url", "content_note", "published", "enclosures")
    return [
        names.get(name, name) for name in (*fields, *more) if getattr(before, name) != getattr(after, name)
    ] or ["date"]


def _store(tx: Tx, issue: Issue, drafted: Draft, changes: Sequence[str], forced: str) -> None:
    placed = [(post.seq, placement, post.updated) for post, placement in placed_of(drafted.selection)]
    stored.correct(tx, issue, placed, frozen=drafted.frozen, note="; ".join(changes))
    notes = [f"corrected {issue.corrected_at:%Y-%m-%d %H:%M}Z", *([f"forced: {forced}"] if forced else [])]
    for note in notes:
        add_note(tx, issue, note)


def _kept(tx: Tx, issue: Issue) -> int:
    """Count those who got an earlier rendering, or may have, or may get it a second time."""
    had = (DeliveryState.ACCEPTED, DeliveryState.UNKNOWN, DeliveryState.WAITING, DeliveryState.ATTEMPTING)
    counts = deliveries.by_revision(tx, issue.id)
    return sum(
        states.get(state, 0)
        for revision, states in counts.items()
        if revision < issue.revision
        for state in had
    )


def _tell_all(tx: Tx, issue: Issue, drafted: Draft, now: datetime) -> None:
    """Note the versions told: nobody has another one. Else the ledger stays, and the next issue tells corrections."""
    for post in drafted.selection.posts:
        stored.tell(tx, issue.newsletter, post.seq, updated=post.updated, now=now)
