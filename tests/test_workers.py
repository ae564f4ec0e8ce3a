"""Processes of connections: what one does, several do; when one dies, or is told to end, all is accounted for."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from faults.ground import issue_state, raise_epoch, reasons, render
from faults.sender import configuration
from faults.server import CHUNKED, OFFERS, SILENCE, Act, FaultServer, say
from faults.witness import check, release_to
from newsletter.crew.desk import Baton
from newsletter.crew.frames import Setup
from newsletter.deliver import DeliveryOptions, deliver
from newsletter.deliver.workers import Worker, shares
from newsletter.errors import LeaseLost, OutsideError, TransportError
from newsletter.model import Account, DeliveryState, IssueState, Message, Reader, Stage
from newsletter.store import Store
from newsletter.transports import Transport, TransportContext
from newsletter.transports.smtp import SmtpTransport

OPTIONS = DeliveryOptions(
    transport="smtp", processes=2, reconnect=(0.0, 0.05, 0.1), grace=0.2, drain=0.5, connections=4
)


def connect(port: int) -> Transport:
    """Make a connection to a server on this port of the loopback."""
    return SmtpTransport(TransportContext(config=configuration(port)))


def go(
    store: Store,
    issue_id: int,
    server: FaultServer,
    *,
    options: DeliveryOptions = OPTIONS,
    make: Callable[[Reader], Message] = render,
    stop: threading.Event | None = None,
) -> Account:
    """Deliver over the server with two processes."""
    return deliver(
        store,
        issue_id,
        make,
        partial(connect, server.port),
        options,
        clock=lambda: datetime.now(UTC),
        stop=stop,
    )


class Fussy:
    """A renderer with readers it cannot render for, and something to say at the end."""

    def __call__(self, reader: Reader) -> Message:
        if reader.subscriber_id % 50 == 0:
            raise ValueError(f"nothing for {reader.address}")
        return render(reader)

    def finish(self) -> None:
        """Say it."""
        logging.getLogger("newsletter.fussy").warning("that was fussy")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    """Collect the workers that are started."""
    workers: list[Worker] = []
    start = Worker._start

    def spy(self: Worker) -> None:
        start(self)
        workers.append(self)

    monkeypatch.setattr(Worker, "_start", spy)
    return workers


def pid(worker: Worker) -> int:
    """Return a worker's process."""
    assert worker._process is not None
    return worker._process.pid


@pytest.mark.parametrize("chunked", [False, True])
def test_several_processes_deliver_what_one_does(
    store: Store, tmp_path: Path, started: list[Worker], caplog: pytest.LogCaptureFixture, chunked: bool
) -> None:
    log = tmp_path / "accepted"
    with release_to(store, 240, log, offers=CHUNKED if chunked else OFFERS) as (issue_id, server):
        account = go(store, issue_id, server, make=Fussy())
        stand = check(store, issue_id, log)
    assert len(started) == 2
    assert all(worker._process is not None and worker._process.returncode == 0 for worker in started)
    assert stand[DeliveryState.REFUSED] == account.refused >= 4
    assert stand[DeliveryState.ACCEPTED] == account.accepted == 240 - account.refused
    quarantined = {one for one in reasons(store, issue_id).values() if one}
    assert quarantined == {"quarantined: ValueError: nothing for …"}
    assert [one.getMessage() for one in caplog.records if one.name == "newsletter.fussy"] == [
        "that was fussy"
    ] * 2


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.END_OF_DATA])
def test_a_process_that_is_killed_leaves_nobody_in_doubt_that_is_not(
    sqlite_store: Store, tmp_path: Path, started: list[Worker], caplog: pytest.LogCaptureFixture, stage: Stage
) -> None:
    log = tmp_path / "accepted"
    options = dataclasses.replace(OPTIONS, boxes=tmp_path / "boxes")
    with release_to(sqlite_store, 200, log) as (issue_id, server):
        server.watch = lambda at, nth: (
            os.kill(pid(started[0]), signal.SIGKILL) if (at, nth) == (stage, 60) else None
        )
        account = go(sqlite_store, issue_id, server, options=options)
        stand = check(sqlite_store, issue_id, log)
    assert stand == {DeliveryState.ACCEPTED: 200}
    assert account.presumed <= 4  # two connections of two messages
    assert "a process of connections died (-9)" in caplog.text


def test_processes_that_die_again_and_again_end_the_run(
    sqlite_store: Store, tmp_path: Path, started: list[Worker]
) -> None:
    log = tmp_path / "accepted"

    def kill(stage: Stage, nth: int) -> None:
        if stage is Stage.RCPT and nth % 20 == 0:
            for worker in started:
                if worker.is_alive():
                    os.kill(pid(worker), signal.SIGKILL)

    with release_to(sqlite_store, 300, log) as (issue_id, server):
        server.watch = kill
        with pytest.raises(OutsideError, match="processes of connections died"):
            go(sqlite_store, issue_id, server)
        server.watch = None
        check(sqlite_store, issue_id, log)
        go(sqlite_store, issue_id, server)
        assert check(sqlite_store, issue_id, log) == {DeliveryState.ACCEPTED: 300}


def test_a_stop_is_heard_within_a_second_and_leaves_no_doubt(
    sqlite_store: Store, tmp_path: Path, started: list[Worker]
) -> None:
    stop, log = threading.Event(), tmp_path / "accepted"
    asked: list[float] = []

    def ask(stage: Stage, nth: int) -> None:
        if (stage, nth) == (Stage.BODY, 100):
            asked.append(time.monotonic())
            stop.set()

    with release_to(sqlite_store, 3000, log) as (issue_id, server):
        server.watch = ask
        go(sqlite_store, issue_id, server, stop=stop)
        took = time.monotonic() - asked[0]
        stand = check(sqlite_store, issue_id, log)
    assert stand.keys() == {DeliveryState.ACCEPTED, DeliveryState.WAITING}
    assert took < 3, "a second, on a machine that has nothing else to do"
    assert not any(worker.is_alive() for worker in started)


def test_a_server_that_falls_silent_is_cut_when_told_to_stop(
    sqlite_store: Store, tmp_path: Path, started: list[Worker]
) -> None:
    stop, log = threading.Event(), tmp_path / "accepted"
    table = {(Stage.RCPT, 0): Act(silent=True, call=stop.set)}
    with release_to(sqlite_store, 20, log, table) as (issue_id, server):
        account = go(sqlite_store, issue_id, server, stop=stop)
        assert (account.attempting, account.waiting) == (0, 20)
        assert check(sqlite_store, issue_id, log) == {DeliveryState.WAITING: 20}
    assert not any(worker.is_alive() for worker in started)


def test_a_connection_that_waits_lets_the_others_of_its_process_work(
    sqlite_store: Store, tmp_path: Path, started: list[Worker]
) -> None:
    stop, log = threading.Event(), tmp_path / "accepted"
    options = dataclasses.replace(OPTIONS, processes=1)
    with release_to(sqlite_store, 60, log, {(Stage.RCPT, 5): SILENCE}) as (issue_id, server):
        server.watch = lambda at, nth: stop.set() if (at, nth) == (Stage.BODY, 50) else None
        assert go(sqlite_store, issue_id, server, options=options, stop=stop).accepted >= 45
        check(sqlite_store, issue_id, log)
    assert len(started) == 1


def test_one_works_at_a_time_and_who_waits_lets_another() -> None:
    baton, order = Baton(), list[str]()
    waits, worked = threading.Event(), threading.Event()

    def work() -> None:
        waits.wait(5)
        with baton:
            order.append("another")
            worked.set()

    thread = threading.Thread(target=work)
    thread.start()
    with baton:
        waits.set()
        assert not worked.wait(0.1)
        order.append("one")
        with baton.waiting():
            assert worked.wait(5)
        order.append("one again")
    thread.join(5)
    assert order == ["one", "another", "one again"]
    with baton.waiting():  # of nobody who holds it: nothing to lay down
        assert baton._lock.acquire(blocking=False)
        baton._lock.release()


def test_a_lost_lease_ends_the_processes(sqlite_store: Store, tmp_path: Path, started: list[Worker]) -> None:
    log = tmp_path / "accepted"
    with release_to(sqlite_store, 300, log, {(Stage.RCPT, 8): SILENCE}) as (issue_id, server):
        server.watch = lambda at, nth: (
            raise_epoch(sqlite_store, issue_id) if (at, nth) == (Stage.RCPT, 40) else None
        )
        with pytest.raises(LeaseLost):
            go(sqlite_store, issue_id, server)
        assert all(worker._process is not None and worker._process.poll() is not None for worker in started)
        server.table, server.watch = {}, None
        assert go(sqlite_store, issue_id, server).waiting == 0
        check(sqlite_store, issue_id, log)


def test_what_only_one_may_try_is_tried_by_one(
    sqlite_store: Store, tmp_path: Path, started: list[Worker]
) -> None:
    table = {(Stage.GREETING, 0): say("554 5.7.1 no service for you", close=True)}
    with release_to(sqlite_store, 40, tmp_path / "accepted", table) as (issue_id, server):
        assert go(sqlite_store, issue_id, server).waiting == 40
        assert issue_state(sqlite_store, issue_id)[0] is IssueState.HELD
        assert server.count(Stage.GREETING) == 1
    assert len(started) == 1


def test_a_server_that_is_gone_is_an_error_of_the_run(
    sqlite_store: Store, tmp_path: Path, started: list[Worker]
) -> None:
    with release_to(sqlite_store, 40, tmp_path / "accepted") as (issue_id, server):
        server.__exit__(None, None, None)
        with pytest.raises(TransportError, match="refused"):
            go(sqlite_store, issue_id, server)
        server.__enter__()


def test_automatic_processes_only_come_for_many(
    sqlite_store: Store, tmp_path: Path, started: list[Worker]
) -> None:
    automatic = dataclasses.replace(OPTIONS, processes=None)
    with release_to(sqlite_store, 40, tmp_path / "accepted") as (issue_id, server):
        assert go(sqlite_store, issue_id, server, options=automatic).accepted == 40
    assert not started


@pytest.mark.parametrize(
    ("connections", "processes", "expected"),
    [(4, 2, [(0, 2), (2, 4)]), (5, 2, [(0, 3), (3, 5)]), (1, 3, [(0, 1)]), (7, 3, [(0, 3), (3, 5), (5, 7)])],
)
def test_connections_are_shared_out(
    connections: int, processes: int, expected: list[tuple[int, int]]
) -> None:
    assert [(one.start, one.stop) for one in shares(connections, processes)] == expected


def test_a_process_whose_publisher_is_gone_ends_at_once(sqlite_store: Store, tmp_path: Path) -> None:
    """Nobody would write down what it sends."""
    import socket
    import subprocess
    import sys
    from multiprocessing.connection import Connection as Channel

    (ours, theirs), (orders, obeyed) = socket.socketpair(), socket.socketpair()
    handles = [theirs.fileno(), obeyed.fileno()]
    command = [sys.executable, "-m", "newsletter.crew.process", *map(str, handles), "-1"]
    with release_to(sqlite_store, 1, tmp_path / "accepted") as (_, server), orders:
        with subprocess.Popen(command, pass_fds=handles) as process:
            theirs.close()
            obeyed.close()
            channel = Channel(ours.detach())
            channel.send(sys.path)
            channel.send(Setup(render, partial(connect, server.port), "smtp", (), range(2), 0))
            channel.recv_bytes()
            channel.close()
            assert process.wait(10) == 1
