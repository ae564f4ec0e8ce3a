"""The table of replies, by stage: what each does to the message, to its reader, and to the issue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from faults.ground import NOW, add_readers, issue_state, make_issue, render
from faults.sender import configuration
from faults.server import DROP, PLAIN, SILENCE, Act, FaultServer, say
from faults.witness import check
from newsletter import deliver as delivering
from newsletter.deliver import DeliveryOptions, deliver, release
from newsletter.model import Delivery, DeliveryState, IssueState, Stage, Standing
from newsletter.store import Store, schema
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport

READERS = 6
ONE = DeliveryOptions(transport="smtp", connections=1, reconnect=(0.0, 0.0, 0.0), grace=0.2, drain=0.5)
QUICK = dict.fromkeys(Stage, 0.4)
A, R, U, W = DeliveryState.ACCEPTED, DeliveryState.REFUSED, DeliveryState.UNKNOWN, DeliveryState.WAITING


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table: what is said where, and what becomes of it; `waits` is in minutes, the least and the most."""

    stage: Stage
    act: Act
    state: DeliveryState
    waits: tuple[float, float] | None = None
    held: bool = False
    charged: bool = False
    suppressed: bool = False
    all_wait: bool = False  # the others of the domain too

    def __str__(self) -> str:
        words = self.act.say[:40].decode("ascii", "replace").strip()
        return f"{self.stage}-{words or ('silence' if self.act.silent else 'drop')}"


def row(stage: Stage, reply: str | Act, state: DeliveryState, **more: object) -> Row:
    """Make a row."""
    act = reply if isinstance(reply, Act) else say(reply, close=reply.startswith("421"))
    return Row(stage=stage, act=act, state=state, **more)  # type: ignore[arg-type]  # as the fields are


M, T, E = Stage.MAIL, Stage.RCPT, Stage.END_OF_DATA
BAD = (
    "550 5.1.1 no",
    "550 5.1.2 no",
    "553 5.1.3 no",
    "553 5.1.6 moved",
    "550 5.1.10 null MX",
    "550 no such user",
)
POLICY = ("550 5.7.1 no", "554 5.7.1 no", "550 blocked as spam", "550 against our policy", "550 DMARC")
TABLE = [
    row(M, "421 4.3.2 bye", A),
    row(M, "451 4.3.0 later", W, waits=(5, 5)),
    row(M, "452 4.3.1 no room", W, waits=(5, 5)),
    row(M, "550 5.7.1 not this sender", W, held=True),
    row(M, "553 5.1.8 not this sender", W, held=True),
    row(M, "552 5.3.4 too big", W, held=True),
    row(T, "421 4.3.2 bye", A),
    row(T, "450 4.2.0 greylisted", W, waits=(5, 5.5), charged=True),
    row(T, "451 4.7.1 greylisted", W, waits=(5, 5.5), charged=True),
    row(T, "452 4.5.3 too many", A),
    row(T, "452 4.2.2 full", W, waits=(60, 66), charged=True),
    row(T, "552 5.2.2 full", W, waits=(60, 66), charged=True),
    row(T, "550 5.2.1 disabled", W, waits=(720, 792), charged=True),
    *(row(T, reply, R, charged=True, suppressed=True) for reply in BAD),
    *(row(stage, reply, W, waits=(60, 71), all_wait=True) for stage in (T, E) for reply in POLICY),
    row(E, "451 4.3.0 later", W, waits=(30, 33), charged=True),
    row(E, "450 4.7.0 greylisted", W, waits=(5, 5.5), charged=True),
    row(E, "421 4.3.2 bye", A),
    row(E, "552 too much", W, waits=(60, 66)),
    row(E, "554 5.6.0 odd", W, waits=(60, 66)),
    row(E, DROP, U, charged=True),
    row(E, SILENCE, U, charged=True),
    row(E, Act(say=b"what\r\n"), U, charged=True),
    row(E, Act(say=b"250 " + b"x" * 600 + b"\r\n"), U, charged=True),
    row(E, Act(say=b"354 go on\r\n"), U, charged=True),
    row(T, Act(say=b"what\r\n"), A),
    row(T, Act(say=b"250 " + b"x" * 600 + b"\r\n"), A),
    row(T, Act(say=b"354 go on\r\n"), A),
    row(T, SILENCE, A),
    row(T, DROP, A),
]


def go(store: Store, issue_id: int, server: FaultServer) -> list[Delivery]:
    """Deliver over one connection, message by message; return the rows."""
    context = TransportContext(config=configuration(server.port))
    deliver(store, issue_id, render, lambda: SmtpTransport(context, timeouts=QUICK), ONE, clock=lambda: NOW)
    return list(delivering.audit(store, issue_id).deliveries)


@pytest.mark.parametrize("it", TABLE, ids=str)
def test_what_a_reply_does(sqlite_store: Store, tmp_path: Path, it: Row) -> None:
    """The third of six; what is not charged to a reader leaves no count."""
    ids, log = add_readers(sqlite_store, READERS), tmp_path / "log"
    issue_id = make_issue(sqlite_store)
    release(sqlite_store, issue_id, now=NOW)
    with FaultServer(log, {(it.stage, 3): it.act}, PLAIN) as server:
        rows = go(sqlite_store, issue_id, server)
        check(sqlite_store, issue_id, log)
        assert rows[2].state is it.state
        assert [one.state for one in rows[:2]] == [A, A]
        held, reason = issue_state(sqlite_store, issue_id)
        assert (held is IssueState.HELD) is it.held, reason
        later = {one.state for one in rows[3:]}
        assert later == ({W} if it.held or it.all_wait else {A})
        if it.waits is not None:
            assert rows[2].not_before is not None
            least, most = (timedelta(minutes=one) for one in it.waits)
            assert least <= rows[2].not_before - NOW <= most
        if it.state is not A:
            assert rows[2].attempts == int(it.charged)
            assert rows[2].reason or it.held
        with sqlite_store.read() as tx:
            query = select(schema.subscriptions.c.standing).where(
                schema.subscriptions.c.subscriber_id == ids[2]
            )
            standing = tx.execute(query).scalar_one()
        assert (standing is Standing.SUPPRESSED) is it.suppressed


@pytest.mark.parametrize("reply", ["552 5.6.0 odd", "554 5.6.1 odd", "554 too odd"])
def test_odd_content_at_several_domains_in_a_row_holds_the_issue(
    sqlite_store: Store, tmp_path: Path, reply: str
) -> None:
    add_readers(sqlite_store, 10, address="reader@d{}.example".format)
    issue_id = make_issue(sqlite_store)
    release(sqlite_store, issue_id, now=NOW)
    with FaultServer(tmp_path / "log", {(E, 0): say(reply)}, PLAIN) as server:
        rows = go(sqlite_store, issue_id, server)
        assert server.count(E) == 3
    assert {one.state for one in rows} == {W}
    state, reason = issue_state(sqlite_store, issue_id)
    assert state is IssueState.HELD
    assert reply in reason


def test_a_mailbox_that_is_disabled_twice_is_refused(sqlite_store: Store, tmp_path: Path) -> None:
    add_readers(sqlite_store, 1)
    issue_id = make_issue(sqlite_store)
    release(sqlite_store, issue_id, now=NOW)
    with FaultServer(tmp_path / "log", {(T, 0): say("550 5.2.1 disabled")}, PLAIN) as server:
        assert go(sqlite_store, issue_id, server)[0].state is W
        context = TransportContext(config=configuration(server.port))
        later = NOW + timedelta(hours=14)
        deliver(sqlite_store, issue_id, render, lambda: SmtpTransport(context), ONE, clock=lambda: later)
    (one,) = delivering.audit(sqlite_store, issue_id).deliveries
    assert one.state is R
