"""Letters: what was asked for and how often, and the batches in which they become deliveries like any other.

A batch is an issue with a number below 0, released with its audience frozen: one letter a person, so that the
ledger's (issue, subscriber) names it. What delivers issues delivers batches; `leases` knows whom a letter may reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    TextClause,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from newsletter.model import DeliveryState, IssueState, Letter, NoticeKind
from newsletter.store import suppressions
from newsletter.store.columns import Instant
from newsletter.store.engine import Tx
from newsletter.store.schema import deliveries, issues, letter_limits, letters, subscribers

FIRST_WAIT = timedelta(minutes=10)
LONGEST_WAIT = timedelta(days=1)
FORGIVEN = timedelta(days=7)  # after the last wait nobody remembers how many there were
_MOST = 5000  # letters in a batch

# Asking


def grant(tx: Tx, address_hash: str, kind: NoticeKind, *, now: datetime) -> bool:
    """Tell whether an address may be sent one more letter of a kind, and count it if so.

    The next one waits 10 minutes, then 20, 40, … up to a day. What is withheld counts for nothing.
    """
    limits = letter_limits.c
    mine = (limits.address_hash == address_hash, limits.kind == kind)
    row = tx.execute(select(limits.asked, limits.next_at).where(*mine)).one_or_none()
    if row is not None and now < row.next_at <= now + LONGEST_WAIT:  # further off: by a clock that was wrong
        return False
    asked = 0 if row is None or row.next_at + FORGIVEN <= now else row.asked
    wait = min(FIRST_WAIT * (1 << min(asked, 20)), LONGEST_WAIT)
    values = {"asked": asked + 1, "next_at": now + wait}
    statement: Any = (pg_insert if tx.dialect.name == "postgresql" else sqlite_insert)(letter_limits)
    statement = statement.values(address_hash=address_hash, kind=kind, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["address_hash", "kind"], set_=values))
    return True


def is_queued(tx: Tx, subscriber_id: int, newsletter: str, kind: NoticeKind, address_hash: str) -> bool:
    """Tell whether the same letter waits to be put into a batch."""
    same = (
        letters.c.subscriber_id == subscriber_id,
        letters.c.newsletter == newsletter,
        letters.c.kind == kind,
        letters.c.address_hash == address_hash,
        letters.c.issue_id.is_(None),
    )
    return tx.execute(select(letters.c.id).where(*same).limit(1)).first() is not None


def add(tx: Tx, letter: Letter, *, own: bool) -> int:
    """Queue a letter, to the subscriber's `own` address or to another one; return its id."""
    names = ("newsletter", "subscriber_id", "kind", "address_hash", "language", "asked_at", "expires_at")
    values = {name: getattr(letter, name) for name in names}
    values["address"] = "" if own else letter.address
    return int(tx.execute(insert(letters).values(values).returning(letters.c.id)).scalar_one())


# Batches


def release(tx: Tx, newsletter: str, *, frozen: str, now: datetime) -> int:
    """Put what is queued into a batch and release it, the oldest letter of each person; return its id, 0 for none.

    `frozen` is what its messages are made of.
    """
    oldest = (
        select(func.min(letters.c.id))
        .where(letters.c.newsletter == newsletter, letters.c.issue_id.is_(None))
        .group_by(letters.c.subscriber_id)
        .order_by(func.min(letters.c.id))
        .limit(_MOST)
    )
    ids = list(tx.execute(oldest).scalars())
    if not ids:
        return 0
    lowest = select(func.min(issues.c.number)).where(issues.c.newsletter == newsletter, issues.c.number < 0)
    instants = ("due", "dated", "composed_at", "approved_at", "released_at")
    values = {
        "newsletter": newsletter,
        "number": (tx.execute(lowest).scalar() or 0) - 1,
        "state": IssueState.RELEASED,
        "frozen": frozen,
        **dict.fromkeys(instants, now),
    }
    batch = int(tx.execute(insert(issues).values(values).returning(issues.c.id)).scalar_one())
    tx.execute(update(letters).where(letters.c.id == bindparam("one")).values(issue_id=batch), _each(ids))
    count = tx.execute(_FREEZE, {"issue": batch, "now": now}).rowcount
    tx.execute(update(issues).where(issues.c.id == batch).values(audience=count))
    tx.execute(delete(letter_limits).where(letter_limits.c.next_at <= now - FORGIVEN))
    return batch


def _each(ids: Sequence[int]) -> list[dict[str, int]]:
    return [{"one": one} for one in ids]


#: A name stands only where whose address it is was confirmed: anybody can type any name beside any address.
_FREEZE: TextClause = text(
    """INSERT INTO deliveries
    (issue_id, subscriber_id, address, name, language, timezone, state, changed_at)
    SELECT l.issue_id, s.id, CASE WHEN l.address = '' THEN s.address ELSE l.address END,
        CASE WHEN l.kind IN ('welcome', 'goodbye') THEN s.name ELSE '' END,
        CASE WHEN l.language = '' THEN s.language ELSE l.language END, s.timezone, 'waiting', :now
    FROM letters l JOIN subscribers s ON s.id = l.subscriber_id
    WHERE l.issue_id = :issue"""
).bindparams(bindparam("now", type_=Instant()))


def drop_queued(tx: Tx, newsletter: str, kind: NoticeKind) -> int:
    """Take letters of a kind back that are in no batch yet; return how many."""
    queued = (letters.c.newsletter == newsletter, letters.c.kind == kind, letters.c.issue_id.is_(None))
    return tx.execute(delete(letters).where(*queued)).rowcount


def has_queued(tx: Tx, newsletter: str) -> bool:
    """Tell whether a newsletter's letters wait to be put into a batch."""
    queued = select(letters.c.id).where(letters.c.newsletter == newsletter, letters.c.issue_id.is_(None))
    return tx.execute(queued.limit(1)).first() is not None


def open_batches(tx: Tx, newsletter: str) -> list[tuple[int, IssueState, str, datetime | None]]:
    """Return the batches that are not finished, the oldest first: id, state, why and until when it is held."""
    mine = (
        issues.c.state.in_((IssueState.RELEASED, IssueState.HELD)),
        issues.c.newsletter == newsletter,
        issues.c.number < 0,
    )
    columns = (issues.c.id, issues.c.state, issues.c.reason, issues.c.held_until)
    return [(*row,) for row in tx.execute(select(*columns).where(*mine).order_by(issues.c.id))]


def thaw(tx: Tx, batch: int) -> tuple[str, dict[int, Letter]]:
    """Return what the messages of a batch are made of, and its letters by subscriber."""
    frozen = str(tx.execute(select(issues.c.frozen).where(issues.c.id == batch)).scalar_one())
    rows = tx.execute(_shown().where(letters.c.issue_id == batch))
    return frozen, {row.subscriber_id: _letter(row) for row in rows}


# Looking, and forgetting


def listed(tx: Tx, newsletter: str | None = None, *, limit: int) -> list[Letter]:
    """Return letters, the newest first."""
    query = _shown().order_by(letters.c.id.desc()).limit(limit)
    if newsletter is not None:
        query = query.where(letters.c.newsletter == newsletter)
    return [_letter(row) for row in tx.execute(query)]


def forget(tx: Tx, address: str, subscriber_id: int, *, now: datetime) -> None:
    """Erase letters to an address, whoever asked for them, and those that a subscriber was sent anywhere.

    Their deliveries keep their place in the sums.
    """
    given = suppressions.hash_of(tx, address)
    _erase(tx, (letters.c.address_hash == given) | (letters.c.subscriber_id == subscriber_id), now=now)
    tx.execute(delete(letter_limits).where(letter_limits.c.address_hash == given))


def drop_addresses(tx: Tx, *, before: datetime, now: datetime) -> None:
    """Erase letters to new addresses that were asked for before an instant: what came of them is known by then."""
    _erase(tx, (letters.c.kind == NoticeKind.ADDRESS) & (letters.c.asked_at < before), now=now)


def _erase(tx: Tx, mine: ColumnElement[bool], *, now: datetime) -> None:
    for letter in tx.execute(select(letters.c.issue_id, letters.c.subscriber_id).where(mine)).all():
        row = (
            deliveries.c.issue_id == letter.issue_id,
            deliveries.c.subscriber_id == letter.subscriber_id,
        )
        empty = {"address": "", "name": "", "reason": "erased"}
        tx.execute(update(deliveries).where(*row).values(empty))
        gone = {"state": DeliveryState.SUPPRESSED, "not_before": None, "changed_at": now}
        tx.execute(update(deliveries).where(*row, deliveries.c.state == DeliveryState.WAITING).values(gone))
    tx.execute(delete(letters).where(mine))


def _shown() -> Select[Any]:
    columns = (
        "id",
        "newsletter",
        "subscriber_id",
        "kind",
        "address_hash",
        "language",
        "asked_at",
        "expires_at",
    )
    where = func.coalesce(func.nullif(letters.c.address, ""), deliveries.c.address, subscribers.c.address, "")
    ledger = (letters.c.issue_id == deliveries.c.issue_id) & (
        letters.c.subscriber_id == deliveries.c.subscriber_id
    )
    return (
        select(
            *(letters.c[name] for name in columns),
            where.label("address"),
            func.coalesce(letters.c.issue_id, 0).label("issue_id"),
            *(deliveries.c[name] for name in ("state", "not_before")),
            func.coalesce(deliveries.c.reason, "").label("reason"),
        )
        .outerjoin(deliveries, ledger)
        .outerjoin(subscribers, subscribers.c.id == letters.c.subscriber_id)
    )


def _letter(row: Any) -> Letter:
    return Letter(**row._mapping)
