"""Reports of bounces and complaints, and what the ledger and the suppressions learn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from newsletter.model import (
    Attempt,
    Bounce,
    BounceDeed,
    BounceKind,
    Consent,
    ConsentAct,
    Delivery,
    DeliveryState,
    Outcome,
    RefusalReason,
    Standing,
    Subscriber,
    Subscription,
)
from newsletter.store import consents, subscribers, suppressions
from newsletter.store.deliveries import ROW, delivery_of, line_of
from newsletter.store.engine import Tx
from newsletter.store.schema import attempts, bounces, deliveries, issue_revisions, issues

_FIELDS = (
    *("id", "at", "kind", "status", "reason", "said", "matched", "forged"),
    *("issue_id", "subscriber_id", "deed", "note"),
)
_READERS = 20_000  # that are compared with a Message-ID: what it finds is only shown

# Reports


def known(tx: Tx, digest: str) -> Bounce | None:
    """Return the report of a digest, if it came before."""
    row = tx.execute(select(bounces).where(bounces.c.digest == digest)).one_or_none()
    return None if row is None else replace(_bounce(row), recorded=False)


def add(tx: Tx, bounce: Bounce, digest: str) -> Bounce:
    """Keep a report; return it with its id."""
    values = {name: getattr(bounce, name) for name in _FIELDS if name != "id"}
    new = tx.execute(insert(bounces).values(digest=digest, **values).returning(bounces.c.id)).scalar_one()
    return replace(bounce, id=new)


def note(tx: Tx, bounce: Bounce, before: Mapping[str, Standing] | None = None) -> None:
    """Write what followed from a report; `before` is how the person's subscriptions stood."""
    values: dict[str, Any] = {"deed": bounce.deed, "note": bounce.note}
    if before is not None:
        values["before"] = {name: standing.value for name, standing in before.items()}
    tx.execute(update(bounces).where(bounces.c.id == bounce.id).values(values))


def find(tx: Tx, bounce_id: int) -> Bounce | None:
    """Return one report."""
    row = tx.execute(select(bounces).where(bounces.c.id == bounce_id)).one_or_none()
    return None if row is None else _bounce(row)


def listed(tx: Tx, *, kind: BounceKind | None = None, limit: int) -> list[Bounce]:
    """Return reports, the newest first."""
    query = select(bounces).order_by(bounces.c.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(bounces.c.kind == kind)
    return [_bounce(row) for row in tx.execute(query)]


def about(tx: Tx, subscriber_id: int) -> list[Bounce]:
    """Return the reports about a person, the oldest first."""
    query = select(bounces).where(bounces.c.subscriber_id == subscriber_id).order_by(bounces.c.id)
    return [_bounce(row) for row in tx.execute(query)]


def of(tx: Tx, subscriber_id: int) -> list[Bounce]:
    """Return the reports about a person since the last one that an editor called a mistake, the oldest first."""
    found: list[Bounce] = []
    for one in about(tx, subscriber_id):
        found = [] if one.deed is BounceDeed.UNDONE else [*found, one]
    return found


# The ledger


def delivery(tx: Tx, issue_id: int, subscriber_id: int) -> Delivery | None:
    """Return one row of the ledger."""
    query = select(*ROW).where(deliveries.c.issue_id == issue_id, deliveries.c.subscriber_id == subscriber_id)
    row = tx.execute(query).one_or_none()
    return None if row is None else delivery_of(row)


def deliveries_before(
    tx: Tx, subscriber_id: int, issue_id: int, *, limit: int
) -> list[tuple[Delivery, datetime]]:
    """Return a person's rows of the ledger up to an issue, letters apart, the newest first, and when each changed."""
    query = (
        select(*ROW, deliveries.c.changed_at)
        .join(issues, (issues.c.id == deliveries.c.issue_id) & (issues.c.number > 0))
        .where(deliveries.c.subscriber_id == subscriber_id, deliveries.c.issue_id <= issue_id)
        .order_by(deliveries.c.issue_id.desc())
        .limit(limit)
    )
    return [(delivery_of(row), row.changed_at) for row in tx.execute(query)]


def settle_doubt(tx: Tx, delivery: Delivery, said: str, *, now: datetime) -> bool:
    """Write that a server had taken a message, for its report came back; return whether that was in doubt.

    A row that waits to be sent again stays: its first copy reached nobody.
    """
    row = (
        deliveries.c.issue_id == delivery.issue_id,
        deliveries.c.subscriber_id == delivery.reader.subscriber_id,
    )
    doubted = delivery.state is DeliveryState.UNKNOWN
    if not doubted and not (delivery.state is DeliveryState.ACCEPTED and delivery.presumed):
        return False
    text = f"it had been accepted: {said}"
    values = {"state": DeliveryState.ACCEPTED, "presumed": False, "reason": text, "changed_at": now}
    tx.execute(update(deliveries).where(*row, deliveries.c.state == delivery.state).values(values))
    line = Attempt(at=now, epoch=delivery.epoch, outcome=Outcome.ACCEPTED, text=text)
    tx.execute(insert(attempts), [line_of(delivery.issue_id, delivery.reader.subscriber_id, line)])
    return True


def given_up(tx: Tx, *, since: datetime) -> list[Delivery]:
    """Return who was given up in the issues that were finished since an instant."""
    query = (
        select(*ROW)
        .join(issues, issues.c.id == deliveries.c.issue_id)
        .where(
            issues.c.finished_at >= since,
            issues.c.number > 0,
            deliveries.c.state == DeliveryState.REFUSED,
            deliveries.c.reason.startswith(RefusalReason.EXPIRED.value),
        )
        .order_by(deliveries.c.subscriber_id, deliveries.c.issue_id)
    )
    return [delivery_of(row) for row in tx.execute(query)]


def numbered(tx: Tx, newsletter: str, number: int) -> tuple[int, tuple[str, ...]] | None:
    """Return the id of an issue and the hashes of its renderings."""
    query = select(issues.c.id, issues.c.sha256).where(
        issues.c.newsletter == newsletter, issues.c.number == number
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    older = tx.execute(select(issue_revisions.c.sha256).where(issue_revisions.c.issue_id == row.id)).scalars()
    return row.id, (row.sha256, *older)


def readers(tx: Tx, issue_id: int) -> list[int]:
    """Return the first readers of an issue, a bounded number."""
    query = select(deliveries.c.subscriber_id).where(deliveries.c.issue_id == issue_id)
    return list(tx.execute(query.order_by(deliveries.c.subscriber_id).limit(_READERS)).scalars())


def undone_issue(tx: Tx, subscriber_id: int) -> int:
    """Return the newest issue that a report was about which the editor called a mistake, 0 when there is none."""
    query = select(func.max(bounces.c.issue_id)).where(
        bounces.c.subscriber_id == subscriber_id, bounces.c.deed == BounceDeed.UNDONE
    )
    return int(tx.execute(query).scalar() or 0)


# The editor's repair


def undo(tx: Tx, bounce_id: int, *, now: datetime, note: str) -> Subscriber | None:
    """Lift the suppression that a report led to; the person stands as before. None when it led to none.

    What a person asked for themselves, or an erasure, stays.
    """
    row = tx.execute(select(bounces).where(bounces.c.id == bounce_id)).one_or_none()
    person = subscribers.by_id(tx, row.subscriber_id or 0) if row is not None else None
    if row is None or person is None or row.deed is not BounceDeed.SUPPRESSED:
        return None
    if not suppressions.lift(tx, person.address):
        return None
    standing = subscribers.subscriptions_of(tx, [person]).get(person.id, {})
    changed = [
        replace(one, standing=Standing(row.before[name]), since=now)
        for name, one in standing.items()
        if one.standing is Standing.SUPPRESSED and name in row.before
    ]
    subscribers.put(tx, changed)
    consents.append(tx, [_restored(one, note, now) for one in changed])
    tx.execute(update(bounces).where(bounces.c.id == bounce_id).values(deed=BounceDeed.UNDONE, note=note))
    return person


def _restored(one: Subscription, note: str, now: datetime) -> Consent:
    return Consent(
        subscriber_id=one.subscriber.id,
        at=now,
        act=ConsentAct.CHANGED,
        newsletter=one.newsletter,
        channel="command line",
        detail=f"suppressed to {one.standing}: {note}",
    )


def standings(tx: Tx, person: Subscriber) -> dict[str, Standing]:
    """Return how a person's subscriptions stand that are not suppressed."""
    mine: Sequence[Subscription] = tuple(
        subscribers.subscriptions_of(tx, [person]).get(person.id, {}).values()
    )
    return {one.newsletter: one.standing for one in mine if one.standing is not Standing.SUPPRESSED}


def _bounce(row: Row[Any]) -> Bounce:
    return Bounce(**{name: getattr(row, name) for name in _FIELDS})
