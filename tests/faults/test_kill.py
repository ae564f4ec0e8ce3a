"""Kill, stop and double the sender; then a checker who reads only the server's log and the tables."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faults.ground import NOW, issue_state, let_time_pass, states
from faults.senders import CONNECTIONS, LONG, Killer, Sender, choose
from faults.server import DROP, MODES, TAKE_AND_DROP, Act, Table, read_log, say
from faults.witness import check, crash_doubts, release_to
from newsletter.deliver import release, retry
from newsletter.model import DeliveryState, IssueState, Stage
from newsletter.store import Store, open_store
from newsletter.transports.smtp.transactions import CHUNKED, PIPELINED, PLAIN

MOMENTS = (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.BODY, Stage.END_OF_DATA)
CHUNKED_MOMENTS = (Stage.MAIL, Stage.RCPT, Stage.END_OF_DATA)
#: Messages in flight with what the server offers.
WINDOWS = {
    "plain": PLAIN * CONNECTIONS,
    "pipelined": PIPELINED * CONNECTIONS,
    "chunked": CHUNKED * CONNECTIONS,
}
WINDOW = WINDOWS["pipelined"]
#: Of these the end may be out and not answered when a kill comes: that is what a black box cannot know.
ENDED = {"plain": CONNECTIONS, "pipelined": CONNECTIONS, "chunked": CHUNKED * CONNECTIONS}
#: In the mean of many kills; a connection that waits for the answer to its dot nearly all the time counts one.
MEAN_DOUBT = {"plain": 2.0, "pipelined": CONNECTIONS, "chunked": 2 * CONNECTIONS}
PER_KILL = 40  # messages
ROUNDS = range(10 if LONG else 1)


@dataclass(frozen=True, slots=True)
class Way:
    """A way of killing: how doubt is settled, what the server offers, whether there is a black box."""

    on_crash: str
    mode: str
    box: bool
    kills: int
    processes: int = 0

    def __str__(self) -> str:
        several = f"-{self.processes} processes" if self.processes else ""
        return f"{self.on_crash}-{self.mode}-{'box' if self.box else 'nobox'}{several}"


def faults(chance: random.Random, count: int) -> Table:
    """Let the server fail in every 40th step or so, in ways that put nobody off."""
    acts: dict[Stage, list[Act]] = {
        Stage.GREETING: [say("421 4.3.2 busy", close=True), DROP],
        Stage.MAIL: [DROP, say("421 4.3.2 bye", close=True), Act(say=b"\xff\xfe\r\n")],
        Stage.RCPT: [DROP, say("452 4.5.3 too many"), Act(say=b"250 2.1.5 ok\r\n250 2.1.5 ok\r\n")],
        Stage.DATA: [DROP, say("421 4.3.2 bye", close=True)],
        Stage.END_OF_DATA: [DROP, TAKE_AND_DROP, Act(say=b"250 2.0", take=True, close=True)],
    }
    table: dict[tuple[Stage, int], Act] = {}
    for stage, some in acts.items():
        for nth in range(5, count, 200 if stage is Stage.END_OF_DATA else 80):
            table[stage, nth + chance.randint(0, 30)] = chance.choice(some)
    return table


def start(issue_id: int, port: int, order: dict[str, Any]) -> Sender:
    """Start a sender."""
    return Sender(issue_id=issue_id, port=port, **order)


def go_on(store: Store, issue_id: int, port: int, order: dict[str, Any]) -> None:
    """Deliver to the end with a server that is well again."""
    for _ in range(3):
        let_time_pass(store, issue_id)
        if issue_state(store, issue_id)[0] is IssueState.HELD:
            release(store, issue_id, now=NOW)
        assert start(issue_id, port, order).end() == 0
        if issue_state(store, issue_id)[0] is IssueState.FINISHED:
            return
    raise AssertionError("the issue is not finished")


def kill_again_and_again(store: Store, url: str, way: Way, folder: Path, chance: random.Random) -> float:
    """Kill so often, check each time, deliver to the end; return the mean doubt of a kill."""
    count, log, hits, doubts = way.kills * PER_KILL, folder / "accepted", 0, 0
    table = faults(chance, 2 * count) if LONG else {}
    moments = CHUNKED_MOMENTS if way.mode == "chunked" else MOMENTS
    order: dict[str, Any] = {
        "url": url,
        "on_crash": way.on_crash,
        "boxes": str(folder / "boxes") if way.box else "",
    }
    order |= {"processes": way.processes}
    with release_to(store, count, log, table, offers=MODES[way.mode]) as (issue_id, server):
        for _ in range(way.kills):
            if issue_state(store, issue_id)[0] is IssueState.HELD:
                let_time_pass(store, issue_id)
                release(store, issue_id, now=NOW)
            killer = server.watch = choose(chance, moments, server.count, PER_KILL // 2)
            hits += killer.aim(start(issue_id, server.port, order)).end() == -signal.SIGKILL
            assert check(store, issue_id, log)[DeliveryState.ATTEMPTING] <= WINDOWS[way.mode]
            before, doubts = doubts, crash_doubts(store, issue_id)  # those of the kill before this
            assert doubts - before <= (ENDED if way.box else WINDOWS)[way.mode]
        assert hits == way.kills or (LONG and hits >= way.kills * 0.9)
        server.watch, server.table = None, {}
        go_on(store, issue_id, server.port, order)
        stand, doubts = check(store, issue_id, log), crash_doubts(store, issue_id)
        assert stand[DeliveryState.WAITING] == stand[DeliveryState.ATTEMPTING] == 0
        named = retry(store, issue_id, unknown=True, presumed=True, now=NOW)
        assert named == doubts or (LONG and named >= doubts)  # the server's own doubts are among them
        assert count - len(read_log(log)) <= named, "nobody is lost whom the ledger does not name"
        if named:
            go_on(store, issue_id, server.port, order)
        assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: count}
        assert set(read_log(log)) == set(states(store, issue_id)), "nobody is forgotten"
    assert not way.box or list((folder / "boxes").iterdir()) == []
    return doubts / hits


#: A hundred kills, on each database.
WAYS = [
    Way("presume", "pipelined", True, 40),
    Way("hold", "chunked", True, 24),
    Way("presume", "plain", True, 20),
    Way("hold", "pipelined", False, 16),
    Way("presume", "chunked", True, 6, processes=2),
]


@pytest.mark.parametrize("round_", ROUNDS)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_nobody_is_lost_or_doubled_by_kills(
    store: Store,
    store_url: str,
    tmp_path: Path,
    way: Way,
    round_: int,
    record_property: Callable[[str, object], None],
) -> None:
    chance = random.Random(f"{way} {store.dialect} {round_}")
    mean = kill_again_and_again(store, store_url, way, tmp_path, chance)
    record_property("mean doubt a kill", mean)
    if way.box:
        assert mean <= MEAN_DOUBT[way.mode]


def test_sigterm_drains_without_doubt(store: Store, store_url: str, tmp_path: Path) -> None:
    log = tmp_path / "accepted"
    with release_to(store, 300, log) as (issue_id, server):
        killer = server.watch = Killer(Stage.BODY, 30, number=signal.SIGTERM)
        assert killer.aim(Sender(store_url, issue_id, server.port)).end() == 0
        stand = check(store, issue_id, log)
        assert stand.keys() == {DeliveryState.ACCEPTED, DeliveryState.WAITING}
        assert sum(read_log(log).values()) == stand[DeliveryState.ACCEPTED]
        assert Sender(store_url, issue_id, server.port).end() == 0
        assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: 300}


def test_a_resend_is_byte_identical(sqlite_url: str, tmp_path: Path) -> None:
    log = tmp_path / "accepted"
    with open_store(sqlite_url) as store, release_to(store, 20, log) as (issue_id, server):
        killer = server.watch = Killer(Stage.END_OF_DATA, 5)
        sender = Sender(sqlite_url, issue_id, server.port, on_crash="resend")
        assert killer.aim(sender).end() == -signal.SIGKILL
        assert Sender(sqlite_url, issue_id, server.port, on_crash="resend").end() == 0
        assert check(store, issue_id, log, resent=True) == {DeliveryState.ACCEPTED: 20}
        twice = [content for content, copies in Counter(server.contents).items() if copies == 2]
        assert 1 <= len(twice) <= WINDOW
        assert len(set(server.contents)) == 20
