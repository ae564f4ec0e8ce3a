"""PostgreSQL goes away in the middle of a delivery: restarted, killed, or one of its sessions ended."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import select

from faults.ground import NOW, let_time_pass
from faults.senders import CONNECTIONS, LONG, Sender
from faults.server import MODES, read_log
from faults.witness import check, release_to
from newsletter import deliver as delivering
from newsletter.deliver import release, retry
from newsletter.model import DeliveryState, Stage
from newsletter.store import Store, open_store, schema
from newsletter.transports.smtp.transactions import PIPELINED
from private_postgres import PrivatePostgres, find_programs, start

pytestmark = pytest.mark.postgres
READERS = 300
PATIENCE = 10.0
_numbers = count(1)
WINDOW = PIPELINED * CONNECTIONS
ROUNDS = range(8 if LONG else 1)
OURS = "application_name = 'newsletter' AND pid <> pg_backend_pid()"
WRITERS = f"{OURS} AND query NOT LIKE '%pg_try_advisory_lock%'"
LOCK = f"{OURS} AND query LIKE '%pg_try_advisory_lock%'"


@pytest.fixture(scope="module")
def server() -> Iterator[PrivatePostgres]:
    """Run a server of this module's own that keeps what it promised through a crash of its own."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no initdb of PostgreSQL found (PGBIN, PATH, /usr/lib/postgresql, pgserver)")
    with start(programs, synchronous_commit="on") as running:
        yield running


@pytest.fixture
def url(server: PrivatePostgres) -> Iterator[str]:
    """Give a database of this test's own."""
    name = f"faults_{next(_numbers)}"
    server.create(name)
    yield server.url(name)
    server.drop(name)


def restart(server: PrivatePostgres, number: signal.Signals) -> None:
    """Stop the server and start it again."""
    server.stop(number)
    if number == signal.SIGKILL:
        _await_orphans(server)
    server.launch()


def _await_orphans(server: PrivatePostgres) -> None:
    """Wait until the sessions have noticed that the postmaster died: they hold its memory until then."""
    for _ in range(600):
        inside = [
            folder
            for folder in Path("/proc").glob("[0-9]*")
            if str(server.folder) in _first_words(folder / "cmdline")
            or _works_in(folder, server.folder / "data")
        ]
        if not inside:
            return
        time.sleep(0.05)


def _first_words(file: Path) -> str:
    try:
        return file.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False


def break_it(url: str, folder: Path, fault: Callable[[], object]) -> int:
    """Deliver with this fault in the middle; check, finish, check; return the first sender's exit code."""
    log, said = folder / "accepted", folder / "said"
    with (
        open_store(url) as store,
        release_to(store, READERS, log, offers=MODES["pipelined"]) as (issue_id, sink),
    ):
        broken: list[tuple[float, int]] = []
        over = threading.Event()

        def work() -> None:
            broken.append((time.monotonic(), sum(sink.accepted().values())))
            fault()
            over.set()

        def watch(stage: Stage, nth: int) -> None:
            if (stage, nth) == (Stage.END_OF_DATA, 40):
                threading.Thread(target=work).start()

        sink.watch = watch
        code = Sender(url, issue_id, sink.port, said=str(said)).end()
        ended = time.monotonic()
        assert over.wait(60)
        sink.watch = None
        if code:
            assert ended - broken[0][0] < PATIENCE, "it stops though nobody answers"
            assert re.search("Error: .*postgresql", said.read_text()), said.read_text()
        stand = check(store, issue_id, log)
        assert stand[DeliveryState.ATTEMPTING] <= WINDOW
        assert Sender(url, issue_id, sink.port).end() == 0
        finish(store, url, issue_id, sink.port, log)
    return code


def finish(store: Store, url: str, issue_id: int, port: int, log: Path) -> None:
    """Send to those in doubt as well; then everybody has one copy that is accounted for."""
    let_time_pass(store, issue_id)
    assert delivering.audit(store, issue_id).account.balances
    if retry(store, issue_id, unknown=True, presumed=True, now=NOW):
        release(store, issue_id, now=NOW)
    assert Sender(url, issue_id, port).end() == 0
    assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: READERS}
    assert len(read_log(log)) == READERS


@pytest.mark.parametrize("round_", ROUNDS)
@pytest.mark.parametrize(
    "how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=["fast", "immediate", "killed"]
)
def test_a_database_that_is_restarted_stops_the_sender(
    server: PrivatePostgres, url: str, tmp_path: Path, how: signal.Signals, round_: int
) -> None:
    assert break_it(url, tmp_path, lambda: restart(server, how)) == 3


@pytest.mark.parametrize("round_", ROUNDS)
@pytest.mark.parametrize("whose", [OURS, WRITERS], ids=["every", "the writer's"])
def test_sessions_that_are_ended_lose_and_double_nobody(
    server: PrivatePostgres, url: str, tmp_path: Path, whose: str, round_: int
) -> None:
    """A session that was idle is made anew and nothing is noticed; in a transaction it is the ledger's end."""
    statement = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {whose}"
    assert break_it(url, tmp_path, lambda: server.run(statement)) in (0, 3)


def test_a_sender_that_lost_its_lock_is_fenced_off_by_the_next(
    server: PrivatePostgres, url: str, tmp_path: Path
) -> None:
    """The lock went with its session, so another begins while the first still sends; the first ends."""
    log, said = tmp_path / "accepted", tmp_path / "said"
    with open_store(url) as store, release_to(store, READERS, log) as (issue_id, sink):
        seconds: list[Sender] = []
        taken = threading.Event()

        def rob(stage: Stage, nth: int) -> None:
            """Keep everybody waiting until another has the lease."""
            if (stage, nth) == (Stage.END_OF_DATA, 40):
                server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {LOCK}")
                seconds.append(Sender(url, issue_id, sink.port, on_crash="hold"))
                deadline = time.monotonic() + 30
                while epoch(store) < 2 and time.monotonic() < deadline:
                    time.sleep(0.01)
                taken.set()
            elif stage is Stage.END_OF_DATA and nth > 40:
                taken.wait(30)

        sink.watch = rob
        assert Sender(url, issue_id, sink.port, said=str(said)).end() == 3
        assert seconds[0].end() == 0
        assert said.read_text().startswith("LeaseLost")
        stand = check(store, issue_id, log)
        assert stand[DeliveryState.UNKNOWN] <= WINDOW
        assert stand[DeliveryState.ACCEPTED] + stand[DeliveryState.UNKNOWN] == READERS
        assert set(read_log(log).values()) == {1}


def epoch(store: Store) -> int:
    """Read how often the lease was taken."""
    with store.read() as tx:
        return int(tx.execute(select(schema.issues.c.epoch)).scalar_one())
