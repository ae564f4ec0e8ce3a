"""Whole deliveries over a server that misbehaves in many ways, checked by the witness."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from faults.ground import issue_state, raise_epoch, reasons, render
from faults.sender import configuration
from faults.server import DROP, SILENCE, TAKE_AND_DROP, TAKE_IN_SILENCE, Act, FaultServer, say
from faults.witness import check, release_to
from newsletter.deliver import DeliveryOptions, deliver, retry
from newsletter.errors import LeaseLost, TransportError
from newsletter.model import Account, DeliveryState, IssueState, Stage
from newsletter.store import Store
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport

QUICK = dict.fromkeys(Stage, 1.0)
OPTIONS = DeliveryOptions(transport="smtp", reconnect=(0.0, 0.05, 0.1), grace=0.2, drain=0.5)


def go(
    store: Store,
    issue_id: int,
    server: FaultServer,
    *,
    stop: threading.Event | None = None,
    timeouts: dict[Stage, float] = QUICK,
) -> Account:
    """Deliver over the server."""
    context = TransportContext(config=configuration(server.port))
    return deliver(
        store,
        issue_id,
        render,
        lambda: SmtpTransport(context, timeouts=timeouts),
        OPTIONS,
        clock=lambda: datetime.now(UTC),
        stop=stop,
    )


def test_a_server_with_every_fault_loses_and_doubles_nobody(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "accepted"
    table = {
        (Stage.GREETING, 3): say("421 4.3.2 busy", close=True),
        (Stage.EHLO, 6): DROP,
        (Stage.MAIL, 10): DROP,
        (Stage.MAIL, 21): say("421 4.3.2 bye", close=True),
        (Stage.MAIL, 60): say("451 4.3.0 later"),
        (Stage.RCPT, 15): say("550 5.1.1 no such user"),
        (Stage.RCPT, 25): say("450 4.2.0 greylisted"),
        (Stage.RCPT, 35): Act(say=b"250 ok\r\n250 ok\r\n"),
        (Stage.RCPT, 45): SILENCE,
        (Stage.DATA, 20): say("421 4.3.2 bye", close=True),
        (Stage.DATA, 30): DROP,
        (Stage.END_OF_DATA, 12): TAKE_AND_DROP,
        (Stage.END_OF_DATA, 40): DROP,
        (Stage.END_OF_DATA, 50): TAKE_IN_SILENCE,
        (Stage.END_OF_DATA, 55): say("552 5.2.2 full"),
        (Stage.END_OF_DATA, 65): say("421 4.3.2 bye", close=True),
    }
    with release_to(store, 100, log, table) as (issue_id, server):
        account = go(store, issue_id, server)
        stand = check(store, issue_id, log)
        assert stand == {
            DeliveryState.ACCEPTED: 93,
            DeliveryState.REFUSED: 1,
            DeliveryState.UNKNOWN: 3,
            DeliveryState.WAITING: 3,  # greylisted, full, and the server that was busy
        }
        assert account.next_at is not None
        assert retry(store, issue_id, unknown=True, now=datetime.now(UTC)) == 3
        assert go(store, issue_id, server).accepted == 96
        assert check(store, issue_id, log)[DeliveryState.ACCEPTED] == 96


def test_a_server_that_refuses_our_password_or_us_holds_the_issue(
    sqlite_store: Store, tmp_path: Path
) -> None:
    table = {(Stage.GREETING, 0): say("554 5.7.1 no service for you", close=True)}
    with release_to(sqlite_store, 10, tmp_path / "accepted", table) as (issue_id, server):
        assert go(sqlite_store, issue_id, server).waiting == 10
        state, reason = issue_state(sqlite_store, issue_id)
        assert state is IssueState.HELD
        assert "554 5.7.1 no service for you" in reason
        assert server.count(Stage.GREETING) == 1


def test_a_server_that_is_always_busy_is_left_alone(sqlite_store: Store, tmp_path: Path) -> None:
    table = {(Stage.MAIL, 0): say("421 4.3.2 too busy", close=True)}
    with release_to(sqlite_store, 50, tmp_path / "accepted", table) as (issue_id, server):
        with pytest.raises(TransportError, match="too busy"):
            go(sqlite_store, issue_id, server)
        assert server.count(Stage.MAIL) <= 16
        assert check(sqlite_store, issue_id, tmp_path / "accepted") == {DeliveryState.WAITING: 50}
        assert issue_state(sqlite_store, issue_id)[0] is IssueState.RELEASED


@pytest.mark.parametrize(
    ("stage", "left"), [(Stage.RCPT, DeliveryState.WAITING), (Stage.END_OF_DATA, DeliveryState.UNKNOWN)]
)
def test_stop_while_the_server_is_silent(
    sqlite_store: Store, tmp_path: Path, stage: Stage, left: DeliveryState
) -> None:
    stop = threading.Event()
    table = {(stage, 0): Act(silent=True, call=stop.set)}
    with release_to(sqlite_store, 20, tmp_path / "accepted", table) as (issue_id, server):
        began = time.monotonic()
        account = go(sqlite_store, issue_id, server, stop=stop, timeouts=dict.fromkeys(Stage, 60.0))
        assert time.monotonic() - began < 10
        assert account.attempting == 0
        assert account.balances
        stand = check(sqlite_store, issue_id, tmp_path / "accepted")
        assert 1 <= stand[left] <= 20
        assert stand[DeliveryState.UNKNOWN] <= (4 if left is DeliveryState.UNKNOWN else 0)
        assert set(reasons(sqlite_store, issue_id).values()) <= {
            "",
            "in doubt: the server closed the connection",
            "not sent: the server closed the connection",
        }


def test_a_lost_lease_cuts_the_connections_at_once(sqlite_store: Store, tmp_path: Path) -> None:
    log = tmp_path / "accepted"
    with release_to(sqlite_store, 60, log, {(Stage.RCPT, 8): SILENCE}) as (issue_id, server):
        before: list[int] = []

        def rob(stage: Stage, nth: int) -> None:
            if (stage, nth) == (Stage.RCPT, 20):
                raise_epoch(sqlite_store, issue_id)
                before.append(sum(server.accepted().values()))

        server.watch = rob
        began = time.monotonic()
        with pytest.raises(LeaseLost):
            go(sqlite_store, issue_id, server, timeouts=dict.fromkeys(Stage, 60.0))
        assert time.monotonic() - began < 10
        assert sum(server.accepted().values()) <= before[0] + 3 * 4
        server.table = {}
        assert go(sqlite_store, issue_id, server).waiting == 0
        check(sqlite_store, issue_id, log)
