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
from newsletter.model import DeliveryState, IssueState, Outcome, Stage
from newsletter.store import Store, schema
from newsletter.store.deliveries import RETRIED

NOT_THERE = (DeliveryState.WAITING, DeliveryState.REFUSED, DeliveryState.SUPPRESSED)


@contextmanager
def release_to(
    store: Store, count: int, log: Path, table: Table | None = None, *, offers: tuple[str, ...] = OFFERS
) -> Iterator[tuple[int, FaultServer]]:
    """Release an issue to this many readers, with a server that logs what it accepts."""
    add_readers(store, count)
    with release_number(store, 1, log, table, offers=offers) as both:
        yield both


@contextmanager
def release_number(
    store: Store, number: int, log: Path, table: Table | None = None, *, offers: tuple[str, ...] = OFFERS
) -> Iterator[tuple[int, FaultServer]]:
    """Release an issue of this number to those who are there."""
    issue_id = make_issue(store, number=number)
    release(store, issue_id, now=NOW)
    with FaultServer(log, table or {}, offers) as server:
        yield issue_id, server


def check(store: Store, issue_id: int, log: Path, *, resent: bool = False) -> Counter[DeliveryState]:
    """Compare the ledger with what the server accepted; return how many stand where.

    A copy beyond the first must be accounted for: by the editor's retry or, where doubt is `resent`, by a line
    that says so.
    """
    accepted = read_log(log)
    table, lines = schema.deliveries, schema.attempts
    with store.read() as tx:
        rows = tx.execute(select(table).where(table.c.issue_id == issue_id)).all()
        audience = tx.execute(
            select(schema.issues.c.audience).where(schema.issues.c.id == issue_id)
        ).scalar_one()
        said = select(lines.c.subscriber_id).where(lines.c.issue_id == issue_id)
        again = Counter(tx.execute(said.where(lines.c.text == RETRIED)).scalars())
        if resent:
            again += Counter(tx.execute(said.where(lines.c.outcome == Outcome.UNKNOWN)).scalars())
    assert len(rows) == audience
    assert set(accepted) <= {row.subscriber_id for row in rows}
    for row in rows:
        copies, allowed = accepted[row.subscriber_id], 1 + again[row.subscriber_id]
        assert copies <= allowed, f"{row.subscriber_id} got {copies} copies, {allowed} are accounted for"
        if row.state is DeliveryState.ACCEPTED and not row.presumed:
            assert copies >= 1, f"{row.subscriber_id} is said to be accepted and is not"
        elif row.state in NOT_THERE:
            assert copies <= allowed - 1, f"{row.subscriber_id} was sent and is {row.state}"
    _check_words(store, issue_id)
    return Counter(row.state for row in rows)


def _check_words(store: Store, issue_id: int) -> None:
    """Make sure that the editor can read whatever is not as usual."""
    table, lines, issues = schema.deliveries, schema.attempts, schema.issues
    with store.read() as tx:
        rows = tx.execute(select(table).where(table.c.issue_id == issue_id)).all()
        said = tx.execute(select(lines).where(lines.c.issue_id == issue_id)).all()
        issue = tx.execute(select(issues.c.state, issues.c.reason).where(issues.c.id == issue_id)).one()
    tried = {line.subscriber_id for line in said}
    domains = {row.address.rpartition("@")[2] for row in rows if row.subscriber_id in tried}
    unusual = (DeliveryState.REFUSED, DeliveryState.SUPPRESSED, DeliveryState.UNKNOWN)
    for row in rows:
        if row.state in unusual or row.presumed:
            assert row.reason, f"{row.subscriber_id} is {row.state} and nothing says why"
        elif (
            row.not_before is not None and row.subscriber_id not in tried
        ):  # put off with the others of a domain
            assert row.address.rpartition("@")[2] in domains, (
                f"{row.subscriber_id} was put off and nothing says why"
            )
        elif row.state is DeliveryState.WAITING and row.subscriber_id in tried:
            assert row.reason, f"{row.subscriber_id} waits again and nothing says why"
    for line in said:
        assert line.text, f"an attempt for {line.subscriber_id} says nothing"
    assert issue.reason or issue.state is not IssueState.HELD


def crash_doubts(store: Store, issue_id: int) -> int:
    """Count the messages of which a dead owner left nothing certain, by the lines that say so."""
    lines = schema.attempts
    mine = (lines.c.issue_id == issue_id, lines.c.stage == Stage.LOCAL, lines.c.outcome == Outcome.UNKNOWN)
    with store.read() as tx:
        return len(tx.execute(select(lines.c.text).where(*mine)).all())
