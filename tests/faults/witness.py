"""The independent witness: compares the ledger's tables with what the server's own log says it accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from faults.ground import NOW, add_readers, make_issue
from faults.server import OFFERS, FaultServer, Table, read_log
from newsletter.deliver import release
from newsletter.model import DeliveryState
from newsletter.store import Store, schema
from newsletter.store.deliveries import RETRIED


@contextmanager
def release_to(
    store: Store, count: int, log: Path, table: Table | None = None, *, offers: tuple[str, ...] = OFFERS
) -> Iterator[tuple[int, FaultServer]]:
    """Release an issue to this many readers, with a server that logs what it accepts."""
    add_readers(store, count)
    issue_id = make_issue(store)
    release(store, issue_id, now=NOW)
    with FaultServer(log, table or {}, offers) as server:
        yield issue_id, server


def check(store: Store, issue_id: int, log: Path) -> Counter[DeliveryState]:
    """Compare the ledger with what the server accepted; return how many stand where."""
    accepted = read_log(log)
    table, lines = schema.deliveries, schema.attempts
    with store.read() as tx:
        rows = tx.execute(select(table).where(table.c.issue_id == issue_id)).all()
        audience = tx.execute(select(schema.issues.c.audience)).scalar_one()
        again = Counter(tx.execute(select(lines.c.subscriber_id).where(lines.c.text == RETRIED)).scalars())
    assert len(rows) == audience
    assert set(accepted) <= {row.subscriber_id for row in rows}
    for row in rows:
        copies, allowed = accepted[row.subscriber_id], 1 + again[row.subscriber_id]
        assert copies <= allowed, f"{row.subscriber_id} got {copies} copies, {allowed} are accounted for"
        if row.state is DeliveryState.ACCEPTED and not row.presumed:
            assert copies >= 1, f"{row.subscriber_id} is said to be accepted and is not"
        elif row.state in (DeliveryState.WAITING, DeliveryState.REFUSED, DeliveryState.SUPPRESSED):
            assert copies <= allowed - 1, f"{row.subscriber_id} was sent and is {row.state}"
    return Counter(row.state for row in rows)
