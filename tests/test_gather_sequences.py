"""Gathering: any sequence of gatherings, and gatherings that were killed."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import DEFAULT as PUBLICATION
from conftest import PublicationFactory, write_toml
from gathering import DAY, live, once, write
from newsletter.config import FILE_NAME, Config, load
from newsletter.identity import PostState
from newsletter.store import Store, open_store, posts

KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from sqlalchemy import Engine, event
from newsletter.config import load
from newsletter.gather import gather
from newsletter.store import open_store

@event.listens_for(Engine, "before_cursor_execute")
def die(_c, _cursor, statement, *_):
    if sys.argv[2] in statement:
        os.kill(os.getpid(), signal.SIGKILL)

config = load(Path(sys.argv[1]), {})
with open_store(config.store_url) as store:
    gather(store, config, now=datetime(2026, 11, 23, 12, tzinfo=UTC))
"""


@pytest.mark.parametrize("at", ["INSERT INTO post_tags", "INSERT INTO post_origins", "INSERT INTO sources"])
def test_after_a_kill_the_next_gathering_does_all_of_it(
    publication: PublicationFactory, now: dt.datetime, at: str
) -> None:
    config = publication()
    for number in range(5):
        write(config, f"{number}.md", f"Post {number}", tags="[a]", text=f"Text {number}")
    write(config, "bad.md", date="never")
    command = [sys.executable, "-c", KILLED, str(config.folder), at]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    with open_store(config.store_url) as store:
        assert live(store) == []
        report = once(store, config, now)
        assert (len(report.new), len(report.quarantined)) == (5, 1)
        assert sorted(post.seq for post in live(store)) == [1, 2, 3, 4, 5]


@dataclass
class Folder:
    """A publication in a folder and what must stay true of its posts."""

    config: Config
    store: Store
    now: dt.datetime
    ids: dict[int, str] = field(default_factory=dict)
    published: dict[int, dt.datetime] = field(default_factory=dict)

    def gather(self) -> None:
        """Gather, then compare every post with what was known of it."""
        once(self.store, self.config, self.now)
        with self.store.read() as tx:
            known = posts.known(tx)
        assert [post.seq for post in known] == list(range(1, len(known) + 1)), (
            "numbered in order of first sight"
        )
        assert len({post.id for post in known}) == len(known)
        assert len({post.slug for post in known}) == len(known)
        for post in known:
            assert self.ids.setdefault(post.seq, post.id) == post.id
            assert (post.state is PostState.HELD) == (post.published > self.now)
            if post.state is PostState.LIVE:
                assert self.published.setdefault(post.seq, post.published) == post.published
        assert set(self.ids) == {post.seq for post in known}, "nothing is lost"
        before = known
        report = once(self.store, self.config, self.now)
        assert (report.new, report.changed) == ((), ()), "the second gathering finds nothing"
        with self.store.read() as tx:
            assert posts.known(tx) == before


NAMES = st.sampled_from(["a.md", "b.md", "c.md", "sub/a.md", "2026-01-01-b.md"])


WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta"])


STEPS = st.one_of(
    st.tuples(st.just("write"), NAMES, WORDS, st.integers(-3, 3)),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("wait"), st.integers(1, 3)),
)


def act(folder: Folder, step: tuple[object, ...]) -> None:
    root = folder.config.folder / "posts"
    match step:
        case ("write", str(name), str(word), int(days)):
            date = f"{folder.now + days * DAY:%Y-%m-%dT%H:%M:%SZ}"
            write(folder.config, name, word.title(), date, text=f"About {word}.")
        case ("rename", str(name), str(other)) if (root / name).exists() and not (root / other).exists():
            (root / other).parent.mkdir(exist_ok=True)
            (root / name).rename(root / other)
        case ("delete", str(name)):
            with contextlib.suppress(FileNotFoundError):
                (root / name).unlink()
        case ("wait", int(days)):
            folder.now += days * DAY


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty store once; each example starts with a copy of its file."""
    path = tmp_path_factory.mktemp("pristine") / "store.db"
    open_store(f"sqlite:///{path}").close()
    return path


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rounds=st.lists(st.lists(STEPS, min_size=1, max_size=4), min_size=1, max_size=5))
def test_any_sequence_of_gatherings_keeps_identity(
    pristine: Path, rounds: list[list[tuple[object, ...]]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "posts").mkdir()
        (root / FILE_NAME).write_text(write_toml(PUBLICATION), encoding="utf-8")
        shutil.copy(pristine, root / "store.db")
        with open_store(f"sqlite:///{root}/store.db") as store:
            folder = Folder(load(root, {}), store, dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC))
            for steps in rounds:
                for step in steps:
                    act(folder, step)
                folder.gather()
