"""Newsletters, their slots and issues, and the (newsletter, post) ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from newsletter.compose import Placed
from newsletter.model import EventKind, Issue, IssueState, Placement, Rendering, Slot, SlotState
from newsletter.store import webhooks
from newsletter.store.engine import Tx
from newsletter.store.schema import (
    issue_posts,
    issue_revisions,
    issues,
    newsletter_posts,
    newsletters,
    posts,
    slots,
)

#: What a row and an Issue have in common.
_SHARED = tuple(one.name for one in fields(Issue) if one.name in issues.c)


def _insert(tx: Tx, table: Any) -> Any:
    return (pg_insert if tx.dialect.name == "postgresql" else sqlite_insert)(table)


# Newsletters and slots


def ensure_newsletter(tx: Tx, name: str, now: datetime) -> datetime:
    """Return when the newsletter began, never later than `now`: that is when the store first meets it."""
    tx.execute(_insert(tx, newsletters).values(name=name, began=now).on_conflict_do_nothing())
    wrong = (newsletters.c.name == name, newsletters.c.began > now)
    tx.execute(update(newsletters).where(*wrong).values(began=now))
    began: datetime = tx.execute(select(newsletters.c.began).where(newsletters.c.name == name)).scalar_one()
    return began


def began(tx: Tx, name: str) -> datetime | None:
    """Return when the newsletter began, None when the store has not met it."""
    return tx.execute(select(newsletters.c.began).where(newsletters.c.name == name)).scalar_one_or_none()


def next_number(tx: Tx, newsletter: str) -> int:
    """Return the number that the next issue will get, without taking it."""
    query = select(newsletters.c.last_number).where(newsletters.c.name == newsletter)
    return int(tx.execute(query).scalar_one_or_none() or 0) + 1


def take_number(tx: Tx, newsletter: str) -> int:
    """Take the newsletter's next issue number: 1, 2, 3, … without gaps."""
    statement = (
        update(newsletters)
        .where(newsletters.c.name == newsletter)
        .values(last_number=newsletters.c.last_number + 1)
        .returning(newsletters.c.last_number)
    )
    return int(tx.execute(statement).scalar_one())


def claim_slot(tx: Tx, slot: Slot, now: datetime) -> bool:
    """Claim a slot; True for the one caller that was first."""
    values = {"newsletter": slot.newsletter, "due": slot.due, "state": SlotState.CLAIMED, "claimed_at": now}
    statement = _insert(tx, slots).values(values).on_conflict_do_nothing().returning(slots.c.due)
    return tx.execute(statement).first() is not None  # psycopg tells no row count of an INSERT


def settle_slot(tx: Tx, slot: Slot, state: SlotState, *, issue_id: int | None = None, note: str = "") -> None:
    """Write what became of a claimed slot."""
    tx.execute(update(slots).where(*_is(slot)).values(state=state, issue_id=issue_id, note=note))


def slot_of(tx: Tx, slot: Slot) -> tuple[SlotState, int | None, str] | None:
    """Return a slot's state, issue and note; None when nobody has claimed it."""
    row = tx.execute(select(slots.c.state, slots.c.issue_id, slots.c.note).where(*_is(slot))).one_or_none()
    return None if row is None else (row.state, row.issue_id, row.note)


def slot_states(tx: Tx, newsletter: str) -> dict[datetime, SlotState]:
    """Return what became of every slot of a newsletter."""
    rows = tx.execute(select(slots.c.due, slots.c.state).where(slots.c.newsletter == newsletter))
    return {row.due: row.state for row in rows}


def latest_slot(tx: Tx, newsletter: str) -> datetime | None:
    """Return the newest slot that was claimed, whatever became of it."""
    query = select(slots.c.due).where(slots.c.newsletter == newsletter).order_by(slots.c.due.desc()).limit(1)
    return tx.execute(query).scalar_one_or_none()


def was_composed(tx: Tx, newsletter: str) -> bool:
    """Tell whether a selection was ever made for this newsletter, with or without an issue."""
    settled = slots.c.state.in_([SlotState.COMPOSED, SlotState.EMPTY])
    query = select(slots.c.due).where(slots.c.newsletter == newsletter, settled).limit(1)
    return tx.execute(query).first() is not None


def _is(slot: Slot) -> tuple[Any, Any]:
    return (slots.c.newsletter == slot.newsletter, slots.c.due == slot.due)


# Issues


def add(tx: Tx, issue: Issue, placed: Iterable[tuple[int, Placement, datetime]], *, frozen: str) -> int:
    """Store an issue with its posts (seq, placement, version sent), in order, and what is frozen; return its id."""
    values = {"number": issue.number, **_composed(issue), "frozen": frozen}
    issue_id = int(tx.execute(_insert(tx, issues).values(values).returning(issues.c.id)).scalar_one())
    _fill(tx, issue_id, placed)
    webhooks.tell_issue(tx, EventKind.ISSUE_COMPOSED, issue_id, now=values["composed_at"])
    return issue_id


def compose_again(
    tx: Tx, issue_id: int, issue: Issue, placed: Iterable[tuple[int, Placement, datetime]], *, frozen: str
) -> None:
    """Put another composition into the place of one that was not released; its posts are free again."""
    ledger = newsletter_posts
    of_it = (ledger.c.issue_id == issue_id, ledger.c.placement == Placement.INCLUDED)
    tx.execute(delete(ledger).where(*of_it))
    values = {**_composed(issue), "frozen": frozen, "held_until": None}
    tx.execute(update(issues).where(issues.c.id == issue_id).values(values))
    _fill(tx, issue_id, placed)
    webhooks.tell_issue(tx, EventKind.ISSUE_COMPOSED, issue_id, now=values["composed_at"])


def correct(
    tx: Tx, issue: Issue, placed: Iterable[tuple[int, Placement, datetime]], *, frozen: str, note: str
) -> None:
    """Put a corrected rendering into the place of the present one, which is kept; `note` says what it changed."""
    mine = issues.c.id == issue.id
    texts = (issues.c.subject, issues.c.html, issues.c.frozen, issues.c.intro_html, issues.c.sha256)
    made_at = func.coalesce(issues.c.corrected_at, issues.c.composed_at)
    kept = select(issues.c.id, issues.c.revision, *texts, made_at, literal(note)).where(mine)
    names = ["issue_id", "revision", *(one.name for one in texts), "made_at", "note"]
    tx.execute(insert(issue_revisions).from_select(names, kept))
    values = {name: getattr(issue, name) for name in ("subject", "html", "intro_html", "sha256")}
    values |= {"frozen": frozen, "revision": issue.revision, "corrected_at": issue.corrected_at}
    tx.execute(update(issues).where(mine).values(values))
    _fill(tx, issue.id, placed)


def renderings(tx: Tx, issue: Issue) -> list[Rendering]:
    """Return every rendering of an issue, the first one first."""
    kept = issue_revisions
    query = (
        select(kept.c.revision, kept.c.sha256, kept.c.subject, kept.c.made_at, kept.c.note)
        .where(kept.c.issue_id == issue.id)
        .order_by(kept.c.revision)
    )
    rows = tx.execute(query).all()
    notes = ["", *(row.note for row in rows)]  # a row's note is the next one's
    made_at = issue.corrected_at or issue.composed_at
    assert made_at is not None
    versions = [(row.revision, row.sha256, row.subject, row.made_at) for row in rows]
    versions.append((issue.revision, issue.sha256, issue.subject, made_at))
    return [
        Rendering(revision=revision, sha256=sha256, subject=subject, made_at=at, note=note)
        for (revision, sha256, subject, at), note in zip(versions, notes, strict=True)
    ]


def rendering(tx: Tx, issue: Issue, revision: int) -> tuple[Issue, str]:
    """Return an issue as a rendering of it was, and what its messages are made of."""
    if revision == issue.revision:
        return issue, frozen(tx, issue.id)
    kept = issue_revisions
    row = tx.execute(
        select(kept).where(kept.c.issue_id == issue.id, kept.c.revision == revision)
    ).one_or_none()
    if row is None:
        raise LookupError(f"issue {issue.id} has no rendering {revision}")
    texts = {name: getattr(row, name) for name in ("revision", "subject", "html", "intro_html", "sha256")}
    return replace(issue, **texts), row.frozen


def _composed(issue: Issue) -> dict[str, Any]:
    assert issue.composed_at is not None
    names = ("newsletter", "due", "state", "subject", "dated", "html", "intro_html", "sha256", "composed_at")
    values = {name: getattr(issue, name) for name in (*names, "reason")}
    return values | {"approved_at": issue.composed_at if issue.state is IssueState.APPROVED else None}


def _fill(tx: Tx, issue_id: int, placed: Iterable[tuple[int, Placement, datetime]]) -> None:
    """Write what an issue tells of, and nothing else."""
    tx.execute(delete(issue_posts).where(issue_posts.c.issue_id == issue_id))
    rows = [
        {
            "issue_id": issue_id,
            "position": position,
            "post_seq": seq,
            "placement": placement,
            "post_updated": updated,
        }
        for position, (seq, placement, updated) in enumerate(placed)
    ]
    if rows:
        tx.execute(_insert(tx, issue_posts), rows)


def frozen(tx: Tx, issue_id: int) -> str:
    """Return what the messages of an issue are made of."""
    return str(tx.execute(select(issues.c.frozen).where(issues.c.id == issue_id)).scalar_one())


def get(tx: Tx, newsletter: str, number: int) -> Issue | None:
    """Return an issue by its number."""
    return _first(tx, select(issues).where(issues.c.newsletter == newsletter, issues.c.number == number))


def by_id(tx: Tx, issue_id: int) -> Issue | None:
    """Return an issue by its id."""
    return _first(tx, select(issues).where(issues.c.id == issue_id))


def find(tx: Tx, *, newsletter: str | None = None, states: Iterable[IssueState] | None = None) -> list[Issue]:
    """Return issues, the newest first."""
    query = select(issues).where(issues.c.number > 0)
    query = query.order_by(issues.c.composed_at.desc(), issues.c.id.desc())
    if newsletter is not None:
        query = query.where(issues.c.newsletter == newsletter)
    if states is not None:
        query = query.where(issues.c.state.in_(list(states)))
    rows = tx.execute(query).all()
    ids = _post_ids(tx, [row.id for row in rows])
    return [_issue(row, ids) for row in rows]


def paused(tx: Tx, *, until: datetime) -> list[int]:
    """Return the issues whose pause has ended by an instant."""
    over = (issues.c.state == IssueState.HELD, issues.c.held_until <= until, issues.c.number > 0)
    return list(tx.execute(select(issues.c.id).where(*over).order_by(issues.c.id)).scalars())


def set_state(
    tx: Tx,
    issue_id: int,
    state: IssueState,
    *,
    now: datetime,
    reason: str = "",
    until: datetime | None = None,
) -> None:
    """Move an issue to a state; the first instant at which it got there is kept. A hold may end at an instant."""
    values: dict[str, Any] = {"state": state, "reason": reason, "held_until": until}
    stamp = {
        IssueState.APPROVED: issues.c.approved_at,
        IssueState.RELEASED: issues.c.released_at,
        IssueState.FINISHED: issues.c.finished_at,
    }.get(state)
    if stamp is not None:
        kept = tx.execute(select(stamp).where(issues.c.id == issue_id)).scalar_one_or_none()
        values[stamp.name] = kept or now
    tx.execute(update(issues).where(issues.c.id == issue_id).values(values))


def posts_of(tx: Tx, issue_id: int) -> list[tuple[int, Placement]]:
    """Return the posts of an issue in their order: seq and placement."""
    query = (
        select(issue_posts.c.post_seq, issue_posts.c.placement)
        .where(issue_posts.c.issue_id == issue_id)
        .order_by(issue_posts.c.position)
    )
    return [(row.post_seq, row.placement) for row in tx.execute(query)]


def versions_of(tx: Tx, issue_id: int) -> list[tuple[str, Placement, datetime]]:
    """Return the posts of an issue in their order: id, placement and the version that was sent."""
    query = (
        select(posts.c.id, issue_posts.c.placement, issue_posts.c.post_updated)
        .join(posts, posts.c.seq == issue_posts.c.post_seq)
        .where(issue_posts.c.issue_id == issue_id)
        .order_by(issue_posts.c.position)
    )
    return [(row.id, row.placement, row.post_updated) for row in tx.execute(query)]


def _first(tx: Tx, query: Select[Any]) -> Issue | None:
    row = tx.execute(query).one_or_none()
    return None if row is None else _issue(row, _post_ids(tx, [row.id]))


def _post_ids(tx: Tx, ids: list[int]) -> dict[int, list[tuple[Placement, str]]]:
    query = (
        select(issue_posts.c.issue_id, issue_posts.c.placement, posts.c.id)
        .join(posts, posts.c.seq == issue_posts.c.post_seq)
        .where(issue_posts.c.issue_id.in_(ids))
        .order_by(issue_posts.c.issue_id, issue_posts.c.position)
    )
    found: dict[int, list[tuple[Placement, str]]] = {}
    for row in tx.execute(query):
        found.setdefault(row.issue_id, []).append((row.placement, row.id))
    return found


def _issue(row: Row[Any], ids: dict[int, list[tuple[Placement, str]]]) -> Issue:
    named = ids.get(row.id, [])
    return Issue(
        **{name: getattr(row, name) for name in _SHARED},
        post_ids=tuple(post_id for placement, post_id in named if placement is Placement.INCLUDED),
        correction_ids=tuple(post_id for placement, post_id in named if placement is Placement.CORRECTION),
    )


# The (newsletter, post) ledger


def placements(tx: Tx, newsletter: str) -> dict[int, Placed]:
    """Return the ledger of a newsletter by the posts' seq."""
    ledger = newsletter_posts
    query = (
        select(ledger, issues.c.number)
        .outerjoin(issues, issues.c.id == ledger.c.issue_id)
        .where(ledger.c.newsletter == newsletter)
    )
    return {
        row.post_seq: Placed(
            placement=row.placement,
            told_updated=row.told_updated,
            issue_id=row.issue_id or 0,
            number=row.number or 0,
            reason=row.reason,
        )
        for row in tx.execute(query)
    }


def place(tx: Tx, newsletter: str, seq: int, placed: Placed, *, now: datetime) -> None:
    """Settle a post for a newsletter, once: a second settling is an error of the database."""
    tx.execute(
        _insert(tx, newsletter_posts).values(
            newsletter=newsletter,
            post_seq=seq,
            placement=placed.placement,
            issue_id=placed.issue_id or None,
            told_updated=placed.told_updated,
            at=now,
            reason=placed.reason,
        )
    )


def tell(tx: Tx, newsletter: str, seq: int, *, updated: datetime, now: datetime) -> None:
    """Note the newest version of a sent post that readers have been told of."""
    row = (newsletter_posts.c.newsletter == newsletter, newsletter_posts.c.post_seq == seq)
    tx.execute(update(newsletter_posts).where(*row).values(told_updated=updated, at=now))
