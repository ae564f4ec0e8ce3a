"""When each reader's turn comes: an instant of their own, and a wave, written in the transaction that releases.

A wave is open when its issue's `wave` has come to it. Wave 0 is the canary where there is one; the rest goes
from 1 on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Integer, bindparam, func, select, text, type_coerce, update

from newsletter.model import DeliveryState
from newsletter.store.columns import Instant
from newsletter.store.deliveries import open_wave
from newsletter.store.engine import Tx
from newsletter.store.schema import deliveries, issues, subscribers
from newsletter.store.suppressions import key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """How far an issue's waves are: the newest open one, the last, and how many wait for one that is closed.

    `opens_at` is when the next opens by itself; None when it waits for the editor's word, or is not planned yet.
    """

    wave: int
    last: int
    closed: int
    opens_at: datetime | None

    @property
    def canary(self) -> bool:
        """Whether the rest waits for the canary."""
        return self.wave == 0 and self.closed > 0


# At the release


def zones(tx: Tx, issue_id: int) -> list[str]:
    """Return the zones of an issue's audience, as its members wrote them."""
    return list(tx.execute(select(deliveries.c.timezone).where(_of(issue_id)).distinct()).scalars())


def serve_at(tx: Tx, issue_id: int, at: datetime | None, *, zones: Collection[str] | None = None) -> None:
    """Let the turn of everybody, or of those in some zones, come at an instant; None is the release."""
    chosen = update(deliveries).where(_of(issue_id), deliveries.c.state == DeliveryState.WAITING)
    if zones is not None:
        chosen = chosen.where(deliveries.c.timezone.in_(sorted(zones)))
    tx.execute(chosen.values(due_at=at, not_before=at))


def put_canary_first(tx: Tx, issue_id: int, *, count: int = 0, to: Collection[str] = ()) -> int:
    """Put everybody but the first few readers, or these addresses, into wave 1; return how many go first at once."""
    if to:
        keys = sorted({key_of(one) for one in to})
        first = select(subscribers.c.id).where(subscribers.c.address_key.in_(keys))
    else:
        readers = select(deliveries.c.subscriber_id).where(_of(issue_id))
        first = readers.order_by(deliveries.c.subscriber_id).limit(count)
    rest = update(deliveries).where(_of(issue_id), deliveries.c.subscriber_id.not_in(first)).values(wave=1)
    tx.execute(rest)
    canary = (_of(issue_id), deliveries.c.wave == 0)
    tx.execute(update(deliveries).where(*canary).values(due_at=None, not_before=None))
    return int(tx.execute(select(func.count()).select_from(deliveries).where(*canary)).scalar_one())


def put_into_waves(tx: Tx, issue_id: int, size: int, *, canary: bool) -> None:
    """Number those behind the canary, or everybody, by waves of a size from 1 on; without a canary 1 is open."""
    tx.execute(_NUMBER, {"issue": issue_id, "size": size, "behind": int(canary)})
    if not canary:
        tx.execute(update(issues).where(issues.c.id == issue_id).values(wave=1))


_NUMBER = text(
    """UPDATE deliveries SET wave = 1 + (r.place - 1) / :size FROM (
        SELECT subscriber_id AS id, row_number() OVER (ORDER BY subscriber_id) AS place
        FROM deliveries WHERE issue_id = :issue AND wave >= :behind) r
    WHERE deliveries.issue_id = :issue AND deliveries.subscriber_id = r.id"""
)


# From then on


def stand(tx: Tx, issue_id: int) -> Stand:
    """Return how far an issue's waves are."""
    row = tx.execute(select(issues.c.wave, issues.c.opens_at).where(issues.c.id == issue_id)).one()
    closed = (_of(issue_id), deliveries.c.state == DeliveryState.WAITING, deliveries.c.wave > row.wave)
    query = select(func.count(), func.max(deliveries.c.wave)).where(*closed)
    count, last = tx.execute(query).one()
    return Stand(wave=row.wave, last=last or row.wave, closed=count, opens_at=row.opens_at)


def open_to(tx: Tx, issue_id: int, wave: int, *, now: datetime) -> None:
    """Open every wave up to this one; its readers' turn is now, or at their own hour behind it."""
    tx.execute(_TURN_IS_NOW, {"issue": issue_id, "wave": wave, "now": now})
    opened = update(issues).where(issues.c.id == issue_id, issues.c.wave < wave)
    tx.execute(opened.values(wave=wave, opens_at=None))


_TURN_IS_NOW = text(
    """UPDATE deliveries SET due_at = :now WHERE issue_id = :issue AND state = 'waiting' AND wave <= :wave
    AND wave > (SELECT i.wave FROM issues i WHERE i.id = :issue) AND (due_at IS NULL OR due_at < :now)"""
).bindparams(bindparam("now", type_=Instant()))


def plan(tx: Tx, issue_id: int, opens_at: datetime) -> None:
    """Write when the next wave opens by itself."""
    tx.execute(update(issues).where(issues.c.id == issue_id).values(opens_at=opens_at))


def counts(tx: Tx, issue_id: int) -> dict[DeliveryState, int]:
    """Count the deliveries of the waves that are open by state, those only presumed accepted as unknown."""
    presumed = type_coerce(deliveries.c.presumed, Integer)
    query = (
        select(deliveries.c.state, presumed, func.count())
        .where(_of(issue_id), deliveries.c.wave <= open_wave(issue_id))
        .group_by(deliveries.c.state, presumed)
    )
    found: dict[DeliveryState, int] = {}
    for state, doubtful, count in tx.execute(query):
        state = DeliveryState.UNKNOWN if doubtful else state
        found[state] = found.get(state, 0) + count
    return found


def upcoming(tx: Tx, issue_id: int, *, limit: int) -> list[tuple[datetime, int]]:
    """Return the next instants for which somebody of an open wave waits, each with how many."""
    query = (
        select(deliveries.c.not_before, func.count())
        .where(
            _of(issue_id),
            deliveries.c.state == DeliveryState.WAITING,
            deliveries.c.not_before.is_not(None),
            deliveries.c.wave <= open_wave(issue_id),
        )
        .group_by(deliveries.c.not_before)
        .order_by(deliveries.c.not_before)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in tx.execute(query)]


def _of(issue_id: int) -> ColumnElement[bool]:
    return deliveries.c.issue_id == issue_id
