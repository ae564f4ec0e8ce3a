"""How many subscribers an aggregator says it fetches a feed for: a number, a day, and nobody's address."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from newsletter.model import FeedReaders
from newsletter.store.engine import Tx
from newsletter.store.schema import feed_readers

KEPT = timedelta(days=90)


def put(tx: Tx, counts: Mapping[tuple[str, str], int], *, now: datetime) -> None:
    """Write the newest numbers by (feed, aggregator), and forget those that nobody has told for long."""
    rows = [
        {"feed": feed, "agent": agent, "subscribers": count, "seen_at": now}
        for (feed, agent), count in counts.items()
    ]
    if rows:
        statement: Any = (pg_insert if tx.dialect.name == "postgresql" else sqlite_insert)(feed_readers)
        new = {name: statement.excluded[name] for name in ("subscribers", "seen_at")}
        tx.execute(statement.on_conflict_do_update(index_elements=["feed", "agent"], set_=new), rows)
    tx.execute(delete(feed_readers).where(feed_readers.c.seen_at < now - KEPT))


def since(tx: Tx, instant: datetime) -> list[FeedReaders]:
    """Return the numbers told since an instant, by feed, the largest first."""
    wanted = select(feed_readers).where(feed_readers.c.seen_at >= instant)
    order = (feed_readers.c.feed, feed_readers.c.subscribers.desc(), feed_readers.c.agent)
    return [FeedReaders(**row._asdict()) for row in tx.execute(wanted.order_by(*order))]
