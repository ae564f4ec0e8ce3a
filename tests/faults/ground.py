"""The ground on which deliveries are tried: an issue, its subscribers, and a plain rendering."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import insert, select, update

from newsletter.model import DeliveryState, IssueState, Message, Reader, Standing
from newsletter.store import Store, schema

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NEWSLETTER = "weekly"


def make_issue(
    store: Store, *, number: int = 1, state: IssueState = IssueState.APPROVED, newsletter: str = NEWSLETTER
) -> int:
    """Store an issue and return its id."""
    row = {
        "newsletter": newsletter,
        "number": number,
        "due": NOW,
        "state": state,
        "subject": "News",
        "dated": NOW,
        "composed_at": NOW,
    }
    with store.write() as tx:
        return int(tx.execute(insert(schema.issues).values(row).returning(schema.issues.c.id)).scalar_one())


def add_readers(
    store: Store,
    count: int,
    *,
    address: Callable[[int], str] = "reader{}@example.org".format,
    standing: Standing = Standing.ACTIVE,
    paused_until: datetime | None = None,
    newsletter: str = NEWSLETTER,
) -> list[int]:
    """Subscribe this many people and return their ids."""
    people = [
        {"address": address(n), "address_key": address(n).casefold(), "name": f"Reader {n}", "created": NOW}
        for n in range(count)
    ]
    with store.write() as tx:
        if not people:
            return []
        tx.execute(insert(schema.subscribers), people)
        keys = [one["address_key"] for one in people]
        query = select(schema.subscribers.c.id).where(schema.subscribers.c.address_key.in_(keys))
        ids = sorted(tx.execute(query).scalars())
        rows = [
            {
                "subscriber_id": one,
                "newsletter": newsletter,
                "standing": standing,
                "since": NOW,
                "paused_until": paused_until,
            }
            for one in ids
        ]
        tx.execute(insert(schema.subscriptions), rows)
        return ids


def set_standing(store: Store, subscriber_id: int, standing: Standing) -> None:
    """Change somebody's standing behind a delivery's back."""
    mine = schema.subscriptions.c.subscriber_id == subscriber_id
    with store.write() as tx:
        tx.execute(update(schema.subscriptions).where(mine).values(standing=standing))


def raise_epoch(store: Store, issue_id: int, *, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Take the lease from whoever holds it; something else may be done while nobody can write."""
    with store.write() as tx:
        meanwhile()
        mine = schema.issues.c.id == issue_id
        tx.execute(update(schema.issues).where(mine).values(epoch=schema.issues.c.epoch + 1))


def let_time_pass(store: Store, issue_id: int) -> None:
    """Make everybody due who was put off, and end a pause."""
    mine = schema.deliveries.c.issue_id == issue_id
    with store.write() as tx:
        tx.execute(update(schema.deliveries).where(mine).values(not_before=None))
        tx.execute(update(schema.issues).where(schema.issues.c.id == issue_id).values(held_until=None))


def states(store: Store, issue_id: int) -> dict[int, DeliveryState]:
    """Read the ledger, straight from its table."""
    table = schema.deliveries
    with store.read() as tx:
        rows = tx.execute(select(table.c.subscriber_id, table.c.state).where(table.c.issue_id == issue_id))
        return {row.subscriber_id: row.state for row in rows}


def reasons(store: Store, issue_id: int) -> dict[int, str]:
    """Read why each delivery stands as it does."""
    table = schema.deliveries
    with store.read() as tx:
        rows = tx.execute(select(table.c.subscriber_id, table.c.reason).where(table.c.issue_id == issue_id))
        return {row.subscriber_id: row.reason for row in rows}


def issue_state(store: Store, issue_id: int) -> tuple[IssueState, str]:
    """Read where the issue stands, and why."""
    table = schema.issues
    with store.read() as tx:
        row = tx.execute(select(table.c.state, table.c.reason).where(table.c.id == issue_id)).one()
        return row.state, row.reason


def render(reader: Reader) -> Message:
    """Render a small message whose Message-ID names the subscriber."""
    head = (
        f"From: weekly@example.com\r\nTo: {reader.address}\r\n"
        f"Message-ID: <1.{reader.subscriber_id}@example.com>\r\nSubject: News\r\n\r\n"
    )
    return Message(
        key=reader.subscriber_id,
        sender=f"b+{reader.subscriber_id}@example.com",
        recipient=reader.address,
        content=head.encode() + b".A line that begins with a dot\r\n" + b"News of the week. " * 4 + b"\r\n",
    )
