"""Pages of long lists: rows behind a cursor, which is the id of the last one of the page before."""

from __future__ import annotations

from sqlalchemy import exists, select

from newsletter.model import Delivery, DeliveryState, IssueState, Standing, Subscriber
from newsletter.store.deliveries import ROW, delivery_of
from newsletter.store.engine import Tx
from newsletter.store.schema import deliveries, issues, subscribers, subscriptions
from newsletter.store.suppressions import key_of


def people(
    tx: Tx,
    *,
    after: int,
    limit: int,
    newsletter: str | None = None,
    standing: Standing | None = None,
    address: str | None = None,
) -> list[Subscriber]:
    """Return people in the order of their ids; `standing` is that with the newsletter, or with any."""
    columns = ("id", "address", "name", "language", "timezone", "created")
    query, order = select(*(subscribers.c[name] for name in columns)), subscribers.c.id
    theirs = [
        *([subscriptions.c.newsletter == newsletter] if newsletter is not None else []),
        *([subscriptions.c.standing == standing] if standing is not None else []),
    ]
    if len(theirs) == 2:  # the index of subscriptions has them in this order
        order = subscriptions.c.subscriber_id
        query = query.join(subscriptions, order == subscribers.c.id).where(*theirs)
    elif theirs:
        query = query.where(exists().where(subscriptions.c.subscriber_id == subscribers.c.id, *theirs))
    if address is not None:
        query = query.where(subscribers.c.address_key == key_of(address))
    rows = tx.execute(query.where(order > after).order_by(order).limit(limit))
    return [Subscriber(**row._mapping) for row in rows]


def issue_ids(
    tx: Tx, *, before: int | None, limit: int, newsletter: str | None = None, state: IssueState | None = None
) -> list[int]:
    """Return ids of issues, the newest first."""
    query = select(issues.c.id)
    if before is not None:
        query = query.where(issues.c.id < before)
    if newsletter is not None:
        query = query.where(issues.c.newsletter == newsletter)
    if state is not None:
        query = query.where(issues.c.state == state)
    return list(tx.execute(query.order_by(issues.c.id.desc()).limit(limit)).scalars())


def of_issue(
    tx: Tx, issue_id: int, *, after: int, limit: int, state: DeliveryState | None = None
) -> list[Delivery]:
    """Return deliveries of an issue, in the order of subscribers."""
    query = select(*ROW).where(deliveries.c.issue_id == issue_id, deliveries.c.subscriber_id > after)
    if state is not None:
        query = query.where(deliveries.c.state == state)
    rows = tx.execute(query.order_by(deliveries.c.subscriber_id).limit(limit))
    return [delivery_of(row) for row in rows]
