"""The black box: what it says of each message after any interruption, and when it is not believed."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.crew import blackbox
from newsletter.crew.blackbox import BlackBox, Fate, read_box
from newsletter.model import Lease

LEASE = Lease(issue_id=7, newsletter="weekly", epoch=3)
NEXT = dataclasses.replace(LEASE, epoch=4)


def left(path: Path, lease: Lease = NEXT) -> dict[int, Fate] | None:
    return read_box(path, lease)


def test_it_tells_how_far_each_message_had_come(tmp_path: Path) -> None:
    path = tmp_path / "boxes" / "issue-7"
    box = BlackBox(path, LEASE, 2)
    one, other = box.ring(0), box.ring(1)
    for key in (1, 2, 3, 4, 5):
        one.begin(key, announced=True)
    other.begin(6, announced=False)
    for key in (2, 3, 4):
        one.ending(key)
    one.settle(3, Fate.ACCEPTED)
    one.settle(4, Fate.NOT_ENDED)
    assert left(path) is None, "its owner may still wake up"
    box.close(remove=False)
    del box, one, other
    assert left(path) == {
        1: Fate.NOT_ENDED,
        2: Fate.ENDING,
        3: Fate.ACCEPTED,
        4: Fate.NOT_ENDED,
        5: Fate.NOT_ENDED,
        6: Fate.ENDING,
    }
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize(
    "lease", [LEASE, dataclasses.replace(NEXT, epoch=5), dataclasses.replace(NEXT, issue_id=8)]
)
def test_that_of_another_owner_or_issue_is_not_believed(tmp_path: Path, lease: Lease) -> None:
    BlackBox(tmp_path / "box", LEASE, 1).close(remove=False)
    assert left(tmp_path / "box") == {}
    assert left(tmp_path / "box", lease) is None


def test_one_from_before_a_restart_or_cut_short_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "box"
    assert left(path) is None
    BlackBox(path, LEASE, 1).close(remove=False)
    path.write_bytes(path.read_bytes()[:20])
    assert left(path) is None
    BlackBox(path, LEASE, 1).close(remove=False)
    monkeypatch.setattr(blackbox, "_BOOT_ID", tmp_path / "none")
    assert left(path) is None
    BlackBox(path, LEASE, 1).close(remove=False)
    assert left(path) is None, "a system that does not say when it was started is never believed"


def test_a_full_one_says_so(tmp_path: Path) -> None:
    path = tmp_path / "box"
    box = BlackBox(path, LEASE, 1)
    ring = box.ring(0)
    for key in range(1, 66):
        ring.begin(key, announced=True)
    box.close(remove=False)
    del box, ring
    assert left(path) is None


def fill(box: BlackBox, start: threading.Barrier, number: int) -> None:
    start.wait()
    ring = box.ring(number)
    for key in range(number * 64 + 1, number * 64 + 65):
        ring.begin(key, announced=False)


def test_rings_of_threads_are_apart(tmp_path: Path) -> None:
    box, start = BlackBox(tmp_path / "box", LEASE, 16), threading.Barrier(16)
    threads = [threading.Thread(target=fill, args=(box, start, number)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    box.close(remove=False)
    del box, threads, thread
    assert left(tmp_path / "box") == dict.fromkeys(range(1, 16 * 64 + 1), Fate.ENDING)


ACTS = st.lists(st.tuples(st.sampled_from(["begin", "ending", "accept", "fail", "doubt"]), st.integers(1, 9)))


@settings(max_examples=60, deadline=None)
@given(ACTS)
def test_whatever_happened_no_doubt_is_forgotten(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("box") / "box"
    box = BlackBox(path, LEASE, 1)
    ring, flying, done = box.ring(0), dict[int, bool](), dict[int, Fate]()
    for act, key in acts:
        if act == "begin" and key not in flying:
            ring.begin(key, announced=True)
            flying[key] = False
        elif act == "ending" and key in flying:
            ring.ending(key)
            flying[key] = True
        elif key in flying and act in ("accept", "fail", "doubt"):
            fate = {"accept": Fate.ACCEPTED, "fail": Fate.NOT_ENDED, "doubt": Fate.ENDING}[act]
            ring.settle(key, fate)
            done[key] = fate
            del flying[key]
    box.close(remove=False)
    del box, ring
    found = left(path)
    assert found is not None
    for key, ended in flying.items():
        assert found[key] is Fate.ENDING or not ended
    for key, fate in done.items():
        if fate is Fate.ENDING:
            assert found.get(key) is Fate.ENDING
