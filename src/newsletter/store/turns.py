"""When each reader's turn comes, written once, in the transaction that releases an issue."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, update

from newsletter.model import DeliveryState
from newsletter.store.engine import Tx
from newsletter.store.schema import deliveries


def zones(tx: Tx, issue_id: int) -> list[str]:
    """Return the zones of an issue's audience, as its members wrote them."""
    return list(tx.execute(select(deliveries.c.timezone).where(_of(issue_id)).distinct()).scalars())


def serve_at(tx: Tx, issue_id: int, at: datetime | None, *, zones: Collection[str] | None = None) -> None:
    """Let the turn of everybody, or of those in some zones, come at an instant; None is the release."""
    chosen = update(deliveries).where(_of(issue_id), deliveries.c.state == DeliveryState.WAITING)
    if zones is not None:
        chosen = chosen.where(deliveries.c.timezone.in_(sorted(zones)))
    tx.execute(chosen.values(due_at=at, not_before=at))


def upcoming(tx: Tx, issue_id: int, *, limit: int) -> list[tuple[datetime, int]]:
    """Return the next instants for which somebody waits, each with how many."""
    query = (
        select(deliveries.c.not_before, func.count())
        .where(
            _of(issue_id), deliveries.c.state == DeliveryState.WAITING, deliveries.c.not_before.is_not(None)
        )
        .group_by(deliveries.c.not_before)
        .order_by(deliveries.c.not_before)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in tx.execute(query)]


def _of(issue_id: int) -> ColumnElement[bool]:
    return deliveries.c.issue_id == issue_id
