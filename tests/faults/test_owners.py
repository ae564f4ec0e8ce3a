"""Time and owners: clocks that jump, a process that is away, two of them, one that was thought dead, a second store."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from faults.ground import NOW, issue_state, raise_epoch, render, states
from faults.sender import configuration
from faults.senders import CONNECTIONS, Killer, Sender
from faults.server import MODES, FaultServer, read_log, say
from faults.witness import check, release_to
from newsletter import deliver as delivering
from newsletter.deliver import DeliveryOptions, deliver
from newsletter.errors import InputError
from newsletter.model import Account, DeliveryState, IssueState, Stage
from newsletter.store import Store, meta, open_store
from newsletter.store.backup import backup, restore
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport
from newsletter.transports.smtp.transactions import PIPELINED
from private_postgres import PrivatePostgres

HOUR = timedelta(hours=1)
OPTIONS = DeliveryOptions(transport="smtp", reconnect=(0.0, 0.05, 0.1), grace=0.2, drain=0.5)
WINDOW = PIPELINED * CONNECTIONS
LOCKS = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
)


class Clock:
    """A clock that jumps."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def jump(self, by: timedelta, *, at: tuple[Stage, int]) -> Callable[[Stage, int], None]:
        """Return a watcher that sets the clock at a moment of the conversation."""

        def watch(stage: Stage, nth: int) -> None:
            if (stage, nth) == at:
                self.now += by

        return watch


def go(
    store: Store, issue_id: int, server: FaultServer, clock: Clock, options: DeliveryOptions = OPTIONS
) -> Account:
    """Deliver by a clock."""
    context = TransportContext(config=configuration(server.port))
    return deliver(store, issue_id, render, lambda: SmtpTransport(context), options, clock=clock)


# Clocks


@pytest.mark.parametrize("jump", [HOUR, -HOUR, timedelta(days=2), -timedelta(days=2)], ids=str)
def test_a_clock_that_jumps_while_sending(store: Store, tmp_path: Path, jump: timedelta) -> None:
    log, clock = tmp_path / "accepted", Clock()
    table = {(Stage.RCPT, 10): say("450 4.2.0 greylisted"), (Stage.RCPT, 40): say("450 4.2.0 greylisted")}
    with release_to(store, 60, log, table) as (issue_id, server):
        server.watch = clock.jump(jump, at=(Stage.RCPT, 25))
        account = go(store, issue_id, server, clock)
        assert account.balances
        stand = check(store, issue_id, log)  # the first is due again, by a clock that was set forth
        assert stand[DeliveryState.WAITING] in ((1, 2) if jump > timedelta() else (2,))
        assert stand[DeliveryState.ACCEPTED] == 60 - stand[DeliveryState.WAITING]
        assert account.next_at is not None
        assert min(NOW, NOW + jump) < account.next_at < max(NOW, NOW + jump) + HOUR
        clock.now = max(NOW, NOW + jump) + HOUR  # both are due by whichever clock they were put off
        assert go(store, issue_id, server, clock) == Account(audience=60, accepted=60)
        assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: 60}


def test_a_clock_set_back_again_and_again(sqlite_store: Store, tmp_path: Path) -> None:
    """The history is written in the order in which things happened, whatever the clock said."""
    log, clock = tmp_path / "accepted", Clock()
    with release_to(sqlite_store, 60, log) as (issue_id, server):
        server.watch = lambda stage, nth: setattr(clock, "now", clock.now - timedelta(minutes=1))
        assert go(sqlite_store, issue_id, server, clock) == Account(audience=60, accepted=60)
        check(sqlite_store, issue_id, log)
        assert issue_state(sqlite_store, issue_id)[0] is IssueState.FINISHED
        assert clock.now < NOW - HOUR


def test_one_who_was_due_before_the_clock_was_set_back_waits_and_nothing_spins(
    sqlite_store: Store, tmp_path: Path
) -> None:
    log, clock = tmp_path / "accepted", Clock()
    with release_to(sqlite_store, 8, log, {(Stage.RCPT, 1): say("450 4.2.0 greylisted")}) as (
        issue_id,
        server,
    ):
        assert go(sqlite_store, issue_id, server, clock).waiting == 1
        clock.now = NOW + HOUR
        asked: list[int] = []

        def set_back() -> datetime:
            asked.append(1)
            assert len(asked) < 1000, "it spins"
            return NOW + HOUR if len(asked) < 3 else NOW

        account = deliver(
            sqlite_store,
            issue_id,
            render,
            lambda: SmtpTransport(TransportContext(config=configuration(server.port))),
            OPTIONS,
            clock=set_back,
        )
        assert account.balances
        assert account.accepted + account.waiting == 8
        assert go(sqlite_store, issue_id, server, clock) == Account(audience=8, accepted=8)
        check(sqlite_store, issue_id, log)


def test_a_process_that_was_away_until_the_next_slot(store: Store, store_url: str, tmp_path: Path) -> None:
    """Killed in the middle and started again when the next issue is due: who waited is given up, in writing."""
    log = tmp_path / "accepted"
    with release_to(store, 60, log) as (issue_id, server):
        killer = server.watch = Killer(Stage.END_OF_DATA, 20)
        assert killer.aim(Sender(store_url, issue_id, server.port)).end() == -signal.SIGKILL
        before = check(store, issue_id, log)
        server.watch = None
        slot = datetime.now(UTC) + timedelta(days=7)
        options = replace(OPTIONS, expires_at=slot)
        account = go(store, issue_id, server, Clock(slot + HOUR), options)
        stand = check(store, issue_id, log)
        assert stand[DeliveryState.REFUSED] == before[DeliveryState.WAITING]
        assert account.presumed == before[DeliveryState.ATTEMPTING] > 0
        assert account.balances
        assert account.waiting == 0
        rows = delivering.audit(store, issue_id).deliveries
        assert all(one.reason.startswith("expired") for one in rows if one.state is DeliveryState.REFUSED)


# Owners


def test_of_two_senders_at_once_one_delivers(store: Store, store_url: str, tmp_path: Path) -> None:
    log = tmp_path / "accepted"
    with release_to(store, 40, log) as (issue_id, server):
        second: list[int] = []

        def start_another(stage: Stage, nth: int) -> None:
            if (stage, nth) == (Stage.DATA, 10):
                second.append(Sender(store_url, issue_id, server.port).end())

        server.watch = start_another
        assert Sender(store_url, issue_id, server.port).end() == 0
        assert second == [3]
        assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: 40}


def test_a_frozen_sender_that_was_replaced_changes_nothing_when_it_wakes(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "accepted"
    with release_to(store, 200, log) as (issue_id, server):
        here: list[Sender] = []
        before: list[tuple[dict[int, DeliveryState], int]] = []

        def replace_it(stage: Stage, nth: int) -> None:
            if (stage, nth) == (Stage.RCPT, 40):
                raise_epoch(store, issue_id, meanwhile=lambda: here[0].signal(signal.SIGSTOP))
                before.append((states(store, issue_id), sum(server.accepted().values())))
                here[0].signal(signal.SIGCONT)

        server.watch = replace_it
        here.append(Sender(store_url, issue_id, server.port))
        assert here[0].end() == 3
        assert states(store, issue_id) == before[0][0]
        assert sum(read_log(log).values()) <= before[0][1] + WINDOW
        check(store, issue_id, log)
        assert Sender(store_url, issue_id, server.port).end() == 0
        assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: 200}


@pytest.mark.postgres
@pytest.mark.parametrize("mode", ["pipelined", "chunked"])
def test_a_frozen_owner_s_black_box_is_not_believed_and_it_wakes_to_nothing(
    postgres_url: str, postgres_server: PrivatePostgres, tmp_path: Path, mode: str
) -> None:
    """Its lock is gone with its session, its box is still its own: it may yet end what it has begun."""
    log, boxes, said = tmp_path / "accepted", tmp_path / "boxes", tmp_path / "said"
    frozen, let_go = threading.Event(), threading.Event()
    with (
        open_store(postgres_url) as store,
        release_to(store, 200, log, offers=MODES[mode]) as (issue_id, server),
    ):
        here: list[Sender] = []

        def freeze(stage: Stage, nth: int) -> None:
            if (stage, nth) == (Stage.RCPT, 40):
                here[0].signal(signal.SIGSTOP)
                frozen.set()
            if frozen.is_set() and not let_go.is_set() and nth < 60:
                let_go.wait(0.05)  # what the frozen one has written is read slowly

        server.watch = freeze
        here.append(Sender(postgres_url, issue_id, server.port, boxes=str(boxes), said=str(said)))
        assert frozen.wait(20)
        left = sum(state is DeliveryState.ATTEMPTING for state in states(store, issue_id).values())
        assert left > 0
        postgres_server.run(LOCKS, database="newsletter")
        second = Sender(postgres_url, issue_id, server.port, boxes=str(boxes))
        server.watch = Killer(Stage.MAIL, server.count(Stage.MAIL) + 30, number=signal.SIGCONT)
        server.watch.aim(here[0])
        let_go.set()
        assert second.end() == 0
        here[0].signal(signal.SIGCONT)
        assert here[0].end() == 3
        assert said.read_text()
        account = delivering.audit(store, issue_id).account
        assert account.presumed == left, "what its box says is not taken for an end"
        assert account == Account(audience=200, accepted=200, presumed=left)
        check(store, issue_id, log)
        assert set(read_log(log).values()) == {1}


# A second store


def test_a_store_that_was_copied_while_it_delivers_delivers_nothing_itself(
    sqlite_url: str, tmp_path: Path
) -> None:
    log, copy = tmp_path / "accepted", tmp_path / "copy.db"
    with open_store(sqlite_url) as store, release_to(store, 60, log) as (issue_id, server):

        def copy_it(stage: Stage, nth: int) -> None:
            if (stage, nth) == (Stage.BODY, 20):
                path = sqlite_url.removeprefix("sqlite:///")
                with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
                    source.backup(target)

        server.watch = copy_it
        assert Sender(sqlite_url, issue_id, server.port).end() == 0
        assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: 60}
        with open_store(f"sqlite:///{copy}") as second:
            account = delivering.audit(second, issue_id).account
            assert account.balances
            assert account.waiting + account.attempting > 0
            with pytest.raises(InputError, match="nothing is delivered: the store is a copy"):
                go(second, issue_id, server, Clock())
    assert sum(read_log(log).values()) == 60


def test_a_backup_that_was_taken_while_delivering_and_restored_delivers_nothing_by_itself(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    """It knows nothing of what was sent since: on the editor's word alone its doubts and its waiting are settled."""
    log, url = tmp_path / "accepted", f"sqlite:///{tmp_path}/restored/n.db"
    with release_to(store, 60, log) as (issue_id, server):

        def back_up(stage: Stage, nth: int) -> None:
            if (stage, nth) == (Stage.BODY, 20):
                backup(store, tmp_path / "backup.zip")

        server.watch = back_up
        assert Sender(store_url, issue_id, server.port).end() == 0
        assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: 60}
        restore(tmp_path / "backup.zip", url)
        with open_store(url) as restored:
            assert delivering.audit(restored, issue_id).account.balances
            with pytest.raises(InputError, match=r"nothing is delivered: .*newsletter resume"):
                go(restored, issue_id, server, Clock())
            assert sum(read_log(log).values()) == 60
            with restored.write() as tx:
                meta.resume(tx)  # the editor's word, who answers for the copies
            account = go(restored, issue_id, server, Clock())
            assert (account.accepted, account.waiting) == (60, 0)
