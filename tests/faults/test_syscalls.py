"""Kill the sender at its n-th write, sync, send and receive, for every n: where no timing would ever hit it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from faults.ground import add_readers, issue_state
from faults.senders import LONG, Sender, traced
from faults.server import CHUNKED, OFFERS
from faults.witness import check, crash_doubts, release_number
from newsletter.model import DeliveryState, IssueState
from newsletter.store import open_store

READERS = 12
CONNECTIONS = 2
#: What a sender does to the world; counted by strace for each thread apart.
CALLS = {
    "sqlite": ("pwrite64", "fdatasync,fsync", "unlink", "sendto", "recvfrom"),
    "postgresql": ("sendto", "recvfrom"),
}


def chosen() -> Iterator[int]:
    """Give every n, or a sample that grows."""
    yield from count(1) if LONG else (1, 2, 3, 5, 8, 13, 21, 34, 55)


CASES = [
    (database, call, boxed)
    for database, calls in CALLS.items()
    for call in calls
    for boxed in (True, False)
    if boxed or (LONG and call != "unlink")  # what it unlinks is its box
]


@pytest.mark.parametrize(
    ("database", "call", "boxed"),
    CASES,
    ids=[f"{database}-{call}-{'box' if boxed else 'nobox'}" for database, call, boxed in CASES],
)
@pytest.mark.usefixtures("tracing")
def test_a_kill_at_every_call(
    database: str, call: str, boxed: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """One that ends by itself made fewer calls of the kind in each of its threads: those were all."""
    url = request.getfixturevalue("made_sqlite_url" if database == "sqlite" else "postgres_url")
    kill = ("-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when=")
    boxes = str(tmp_path / "boxes") if boxed else ""
    with open_store(url) as store:
        add_readers(store, READERS)
        over: set[tuple[str, ...]] = set()
        for n in chosen():
            log, offers = tmp_path / f"log{n}", CHUNKED if n % 2 else OFFERS
            with release_number(store, n, log, offers=offers) as (issue_id, server):
                sender = Sender(url, issue_id, server.port, held=True, boxes=boxes, connections=CONNECTIONS)
                with traced(sender, tmp_path / "trace", *kill[:3], f"{kill[3]}{n}"):
                    code = sender.end()
                stand = check(store, issue_id, log)
                if code == 0:
                    assert stand == {DeliveryState.ACCEPTED: READERS}
                    assert n > 1, f"it never calls {call}"
                    over.add(offers)
                    if len(over) == 2:
                        return
                    continue
                assert code == -signal.SIGKILL
                assert stand[DeliveryState.ATTEMPTING] <= 4 * CONNECTIONS
                if issue_state(store, issue_id)[0] is not IssueState.FINISHED:
                    assert Sender(url, issue_id, server.port, boxes=boxes).end() == 0
                assert check(store, issue_id, log) == {DeliveryState.ACCEPTED: READERS}
                assert crash_doubts(store, issue_id) <= stand[DeliveryState.ATTEMPTING]
                assert issue_state(store, issue_id)[0] is IssueState.FINISHED
