"""A ledger that cannot be written sends nothing: the disk is full, a sync fails, somebody holds the database."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faults.ground import NOW, let_time_pass, render
from faults.sender import configuration
from faults.senders import CONNECTIONS, LONG, Sender, traced
from faults.server import TAKE_IN_SILENCE, FaultServer, read_log
from faults.witness import check, release_to
from newsletter.deliver import DeliveryOptions, deliver, release, retry
from newsletter.errors import StoreError
from newsletter.model import Account, DeliveryState, Stage
from newsletter.store import Store, open_store
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport
from newsletter.transports.smtp.transactions import PIPELINED

WINDOW = PIPELINED * CONNECTIONS
PATIENCE = 5.0  # for what must happen within a second, on a machine that does other things as well


def finish(url: str, issue_id: int, port: int, count: int, log: Path) -> None:
    """Deliver to the end, also to those in doubt, and see that everybody has one copy that is accounted for."""
    with open_store(url) as store:
        assert Sender(url, issue_id, port).end() == 0
        let_time_pass(store, issue_id)
        stand = check(store, issue_id, log)
        assert stand[DeliveryState.ATTEMPTING] == stand[DeliveryState.WAITING] == 0
        if retry(store, issue_id, unknown=True, presumed=True, now=NOW):
            release(store, issue_id, now=NOW)
            assert Sender(url, issue_id, port).end() == 0
        assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: count}


# The disk is full


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of a few megabytes."""
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mount.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(disk: Path) -> None:
    """Leave no room."""
    with (disk / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_stops_everything_and_room_lets_it_go_on(tmp_path: Path) -> None:
    """It stops within a second although a server is silent, sends nothing that is not written down, and goes on."""
    log, said = tmp_path / "accepted", tmp_path / "said"
    with small_disk(tmp_path / "disk") as disk:
        url = f"sqlite:///{disk}/store/n.db"
        table = {(Stage.END_OF_DATA, 7): TAKE_IN_SILENCE}
        with open_store(url) as store, release_to(store, 120, log, table) as (issue_id, server):
            full: list[tuple[float, int]] = []

            def fill(stage: Stage, nth: int) -> None:
                if (stage, nth) == (Stage.RCPT, 40):
                    fill_up(disk)
                    full.append((time.monotonic(), sum(server.accepted().values())))

            server.watch = fill
            assert Sender(url, issue_id, server.port, said=str(said)).end() == 3
            assert time.monotonic() - full[0][0] < PATIENCE
            assert re.search("disk|full|room", said.read_text())
            assert sum(read_log(log).values()) <= full[0][1] + WINDOW
            stand = check(store, issue_id, log)
            assert stand[DeliveryState.ATTEMPTING] <= WINDOW
            assert (
                Sender(url, issue_id, server.port, said=str(said)).end() == 3
            )  # still no room: still nothing
            assert check(store, issue_id, log) == stand
            (disk / "ballast").unlink()
            server.watch, server.table = None, {}
            finish(url, issue_id, server.port, 120, log)
            store.close()


def test_a_file_that_may_not_grow_is_a_full_disk(sqlite_url: str, tmp_path: Path) -> None:
    log, said = tmp_path / "accepted", tmp_path / "said"
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with open_store(sqlite_url) as store, release_to(store, 400, log) as (issue_id, server):
        store.scrub()
        limit = path.stat().st_size + 50_000
        accepted: list[int] = []
        for _ in range(2):
            order = {"said": str(said), "file_limit": limit}
            assert Sender(sqlite_url, issue_id, server.port, **order).end() == 3
            assert said.read_text().startswith("StoreError")
            accepted.append(sum(read_log(log).values()))
            assert check(store, issue_id, log)[DeliveryState.ATTEMPTING] <= WINDOW
        assert 0 < accepted[0] < 400
        finish(sqlite_url, issue_id, server.port, 400, log)


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("nth", range(2, 40) if LONG else [3, 12])
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT"])
def test_a_write_that_fails(sqlite_url: str, tmp_path: Path, error: str, nth: int) -> None:
    tamper = ("-e", "trace=pwrite64", "-e", f"inject=pwrite64:error={error}:when={nth}+")
    assert fail_and_finish(sqlite_url, tmp_path, tamper)[0] == 3


# A sync fails


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("nth", range(1, 30) if LONG else [1, 2, 8])
def test_a_sync_that_fails_is_the_last_thing_that_is_written(
    sqlite_url: str, tmp_path: Path, nth: int
) -> None:
    """The system may have thrown away what it could not write, and say yes to the next: so there is no next.

    Closing folds the log into the database, which is what was synced before: it writes nothing to the log. The calls
    are counted for each thread, so that one may fail in closing as well. (SQLite syncs the folder of a new log too, and
    does not care.)
    """
    tamper = ("-e", "trace=fdatasync,pwrite64", "-e", f"inject=fdatasync:error=EIO:when={nth}")
    code, trace = fail_and_finish(sqlite_url, tmp_path, tamper)
    lines = trace.read_text().splitlines()
    failed = next((n for n, line in enumerate(lines) if "INJECTED" in line and "-wal>" in line), len(lines))
    assert not [line for line in lines[failed + 1 :] if "pwrite64" in line and "-wal>" in line]
    assert code == 3 or nth > 8, "a short delivery has fewer syncs, or the last is that of closing"


def fail_and_finish(url: str, folder: Path, tamper: tuple[str, ...]) -> tuple[int, Path]:
    """Let a sender fail at a system call, check, and go on without the fault; return its exit code and the trace."""
    log, said = folder / "accepted", folder / "said"
    with open_store(url) as store, release_to(store, 60, log) as (issue_id, server):
        sender = Sender(url, issue_id, server.port, held=True, said=str(said))
        with traced(sender, folder / "trace", *tamper):
            code = sender.end()
        stand = check(store, issue_id, log)
        if code == 0:
            assert stand == {DeliveryState.ACCEPTED: 60}
            return code, folder / "trace"
        assert code == 3
        assert said.read_text().startswith("StoreError")
        assert stand[DeliveryState.ATTEMPTING] <= WINDOW
        assert sum(read_log(log).values()) <= stand[DeliveryState.ACCEPTED] + stand[DeliveryState.ATTEMPTING]
        finish(url, issue_id, server.port, 60, log)
    return code, folder / "trace"


# Somebody holds the database


@contextlib.contextmanager
def held_by_the_store(url: str) -> Iterator[None]:
    """Write in another store, as another process of ours does."""
    with open_store(url) as other, other.write():
        yield


@contextlib.contextmanager
def held_by_a_stranger(url: str) -> Iterator[None]:
    """Hold SQLite's own lock, which knows nothing of ours."""
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def lock_while_sending(
    store: Store,
    issue_id: int,
    server: FaultServer,
    hold: Callable[[], contextlib.AbstractContextManager[None]],
) -> tuple[Account | StoreError, float]:
    """Deliver while somebody holds the database for longer than the store's patience."""
    taken, over = threading.Event(), threading.Event()
    began: list[float] = []

    def work() -> None:
        taken.wait(30)
        with hold():
            began.append(time.monotonic())
            over.wait(30)

    def watch(stage: Stage, nth: int) -> None:
        if (stage, nth) == (Stage.BODY, 20):
            taken.set()

    thread = threading.Thread(target=work)
    thread.start()
    server.watch = watch
    context = TransportContext(config=configuration(server.port))
    options = DeliveryOptions(transport="smtp", drain=30.0)
    try:
        account = deliver(store, issue_id, render, lambda: SmtpTransport(context), options, clock=lambda: NOW)
    except StoreError as e:
        return e, time.monotonic() - began[0]
    else:
        return account, time.monotonic() - began[0]
    finally:
        over.set()
        thread.join(30)
        server.watch = None


@pytest.mark.parametrize("who", [held_by_the_store, held_by_a_stranger])
def test_a_database_that_is_held_for_longer_than_its_patience(
    store_url: str, tmp_path: Path, who: Callable[[str], contextlib.AbstractContextManager[None]]
) -> None:
    if who is held_by_a_stranger and not store_url.startswith("sqlite"):
        who = held_by_the_store  # an advisory lock is the only one there is
    log = tmp_path / "accepted"
    with open_store(store_url) as other, release_to(other, 400, log) as (issue_id, server):
        with open_store(store_url, patience=1.0) as store:
            ended, seconds = lock_while_sending(store, issue_id, server, lambda: who(store_url))
        assert isinstance(ended, StoreError), ended
        assert re.search("lock|held", str(ended))
        assert seconds < 2 * 1.0 + PATIENCE
        stand = check(other, issue_id, log)
        assert 0 < stand[DeliveryState.ATTEMPTING] <= WINDOW
        finish(store_url, issue_id, server.port, 400, log)
