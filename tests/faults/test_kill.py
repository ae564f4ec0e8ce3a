"""Kill, stop and double the sender; then a checker who reads only the server's log and the tables."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from faults.ground import NOW, issue_state, raise_epoch, states
from faults.server import MODES, read_log
from faults.witness import check, release_to
from newsletter.deliver import retry
from newsletter.model import DeliveryState, IssueState, Stage
from newsletter.store import deliveries, open_store
from newsletter.transports.smtp.transactions import CHUNKED, PIPELINED

TESTS = Path(__file__).parent.parent
CONNECTIONS = 4
WINDOW = PIPELINED * CONNECTIONS  # messages in flight with what the server offers
MOMENTS = (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.BODY, Stage.END_OF_DATA)
CHUNKED_MOMENTS = (Stage.MAIL, Stage.RCPT, Stage.END_OF_DATA)


class Sender:
    """A sender in a process of its own, forked by a program that has the libraries loaded."""

    idle: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(
        self, url: str, issue_id: int, port: int, on_crash: str = "presume", boxes: Path | str = ""
    ) -> None:
        self.program = self.idle.pop() if self.idle else start_program()
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write(f"{url} {issue_id} {port} {on_crash} {boxes}\n")
        self.program.stdin.flush()
        self.pid = int(self.program.stdout.readline())
        self.ended = False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still lives."""
        if not self.ended:
            os.kill(self.pid, number)

    def end(self) -> int:
        """Wait for its end and return its exit code."""
        assert self.program.stdout is not None
        code = int(self.program.stdout.readline())
        self.ended = True
        self.idle.append(self.program)
        return code


def start_program() -> subprocess.Popen[str]:
    """Start the program that forks senders."""
    return subprocess.Popen(
        [sys.executable, "-m", "faults.sender"],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module", autouse=True)
def programs() -> Iterator[None]:
    """End the programs that fork senders with the last test."""
    yield
    while Sender.idle:
        with Sender.idle.pop() as program:
            assert program.stdin is not None
            program.stdin.close()
            program.wait(10)


def kill_at(
    sender: Callable[[], Sender], moment: tuple[Stage, int], delay: float
) -> Callable[[Stage, int], None]:
    """Kill at a moment of the conversation, or this many seconds behind it."""

    def watch(stage: Stage, nth: int) -> None:
        if (stage, nth) == moment:
            if delay:
                threading.Timer(delay, lambda: sender().signal(signal.SIGKILL)).start()
            else:
                sender().signal(signal.SIGKILL)

    return watch


@pytest.mark.parametrize(
    ("on_crash", "kills", "count", "mode"),
    [("presume", 20, 500, "pipelined"), ("hold", 6, 200, "pipelined"), ("presume", 6, 300, "chunked")],
)
def test_nobody_is_lost_or_doubled_by_kills(
    on_crash: str, kills: int, count: int, mode: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    moments, window = (MOMENTS, WINDOW) if mode == "pipelined" else (CHUNKED_MOMENTS, CHUNKED * CONNECTIONS)
    url = request.getfixturevalue("sqlite_url" if on_crash == "presume" else "postgres_url")
    chance, log = random.Random(kills), tmp_path / "accepted"
    doubts = 0
    with open_store(url) as store, release_to(store, count, log, offers=MODES[mode]) as (issue_id, server):
        for kill in range(kills):
            here: list[Sender] = []
            stage = chance.choice(moments)
            moment = (stage, server.count(stage) + chance.randint(1, count * 4 // 5 // kills))
            server.watch = kill_at(lambda here=here: here[0], moment, chance.choice((0.0, 0.002, 0.01)))  # type: ignore[misc]
            here.append(Sender(url, issue_id, server.port, on_crash))
            assert here[0].end() == -signal.SIGKILL, f"kill {kill} at {moment}"
            stand = check(store, issue_id, log)
            assert stand[DeliveryState.ATTEMPTING] <= window
            doubts += stand[DeliveryState.ATTEMPTING]
        server.watch = None
        assert Sender(url, issue_id, server.port, on_crash).end() == 0
        stand = check(store, issue_id, log)
        assert stand[DeliveryState.WAITING] == stand[DeliveryState.ATTEMPTING] == 0
        assert issue_state(store, issue_id)[0] is IssueState.FINISHED
        if on_crash == "hold":
            assert stand[DeliveryState.UNKNOWN] == doubts
            assert retry(store, issue_id, unknown=True, now=NOW) == doubts
            assert Sender(url, issue_id, server.port, on_crash).end() == 0
            stand = check(store, issue_id, log)
            assert set(read_log(log)) == set(states(store, issue_id))  # nobody is forgotten
        assert stand == {DeliveryState.ACCEPTED: count}


@pytest.mark.parametrize("mode", ["pipelined", "chunked"])
@pytest.mark.parametrize("on_crash", ["presume", "hold"])
def test_a_black_box_leaves_no_doubt_of_what_was_not_ended(
    sqlite_url: str, tmp_path: Path, mode: str, on_crash: str
) -> None:
    """Who is presumed, or held, was on the point of being answered; everybody else is settled exactly."""
    chance, log, kills, count = random.Random(mode), tmp_path / "accepted", 8, 300
    window = WINDOW if mode == "pipelined" else CHUNKED * CONNECTIONS
    with (
        open_store(sqlite_url) as store,
        release_to(store, count, log, offers=MODES[mode]) as (
            issue_id,
            server,
        ),
    ):
        attempting = 0
        for _ in range(kills):
            here: list[Sender] = []
            stage = chance.choice(MOMENTS if mode == "pipelined" else CHUNKED_MOMENTS)
            moment = (stage, server.count(stage) + chance.randint(1, 25))
            server.watch = kill_at(lambda here=here: here[0], moment, chance.choice((0.0, 0.002)))  # type: ignore[misc]
            here.append(Sender(sqlite_url, issue_id, server.port, on_crash, tmp_path / "boxes"))
            assert here[0].end() == -signal.SIGKILL
            attempting += check(store, issue_id, log)[DeliveryState.ATTEMPTING]
        server.watch = None
        assert Sender(sqlite_url, issue_id, server.port, on_crash, tmp_path / "boxes").end() == 0
        stand = check(store, issue_id, log)
        with store.read() as tx:
            account = deliveries.account(tx, issue_id)
        doubtful = account.presumed if on_crash == "presume" else stand[DeliveryState.UNKNOWN]
        assert doubtful <= kills * window
        assert doubtful < attempting, "the box settled some exactly"
        untaken = count - len(read_log(log))
        assert untaken <= doubtful, "nobody is lost whom the ledger does not name"
        assert untaken <= kills, "of those in doubt nearly all were taken"
        assert list((tmp_path / "boxes").iterdir()) == []


def test_sigterm_drains_without_doubt(sqlite_url: str, tmp_path: Path) -> None:
    log = tmp_path / "accepted"
    with open_store(sqlite_url) as store, release_to(store, 300, log) as (issue_id, server):
        here: list[Sender] = []
        server.watch = lambda stage, nth: (
            here[0].signal(signal.SIGTERM) if (stage, nth) == (Stage.BODY, 30) else None
        )
        here.append(Sender(sqlite_url, issue_id, server.port))
        assert here[0].end() == 0
        stand = check(store, issue_id, log)
        assert stand.keys() == {DeliveryState.ACCEPTED, DeliveryState.WAITING}
        assert sum(read_log(log).values()) == stand[DeliveryState.ACCEPTED]
        assert Sender(sqlite_url, issue_id, server.port).end() == 0
        assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: 300}


def test_of_two_senders_at_once_one_delivers(store_url: str, tmp_path: Path) -> None:
    log = tmp_path / "accepted"
    with open_store(store_url) as store, release_to(store, 40, log) as (issue_id, server):
        second: list[int] = []

        def start_another(stage: Stage, nth: int) -> None:
            if (stage, nth) == (Stage.DATA, 10):
                second.append(Sender(store_url, issue_id, server.port).end())

        server.watch = start_another
        assert Sender(store_url, issue_id, server.port).end() == 0
        assert second == [3]
        assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: 40}


def test_a_frozen_sender_that_was_replaced_changes_nothing_when_it_wakes(
    store_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "accepted"
    with (
        open_store(store_url) as store,
        release_to(store, 200, log) as (issue_id, server),
    ):
        here: list[Sender] = []
        before: list[tuple[dict[int, DeliveryState], int]] = []

        def replace(stage: Stage, nth: int) -> None:
            if (stage, nth) == (Stage.RCPT, 40):
                raise_epoch(store, issue_id, meanwhile=lambda: here[0].signal(signal.SIGSTOP))
                before.append((states(store, issue_id), sum(server.accepted().values())))
                here[0].signal(signal.SIGCONT)

        server.watch = replace
        here.append(Sender(store_url, issue_id, server.port))
        assert here[0].end() == 3
        assert states(store, issue_id) == before[0][0]
        assert sum(read_log(log).values()) <= before[0][1] + WINDOW
        check(store, issue_id, log)
        assert Sender(store_url, issue_id, server.port).end() == 0
        assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: 200}


def test_a_resend_is_byte_identical(sqlite_url: str, tmp_path: Path) -> None:
    with open_store(sqlite_url) as store, release_to(store, 20, tmp_path / "accepted") as (issue_id, server):
        here: list[Sender] = []
        server.watch = lambda stage, nth: (
            here[0].signal(signal.SIGKILL) if (stage, nth) == (Stage.END_OF_DATA, 5) else None
        )
        here.append(Sender(sqlite_url, issue_id, server.port, "resend"))
        assert here[0].end() == -signal.SIGKILL
        server.watch = None
        assert Sender(sqlite_url, issue_id, server.port, "resend").end() == 0
        twice = [content for content, copies in Counter(server.contents).items() if copies == 2]
        assert 1 <= len(twice) <= WINDOW
        assert len(set(server.contents)) == 20
