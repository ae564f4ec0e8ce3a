"""Watching folders: real files, real processes; what editors do beside saving is not taken for a change."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import PublicationFactory
from gathering import TWO_FOLDERS, write
from newsletter.config import Config
from newsletter.watching import FolderWatch, folders_of, is_of_posts

PATIENCE = 30.0  # seconds: the machine may be busy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "posts"
    made.mkdir()
    return made


@contextlib.contextmanager
def watched(folder: Path, quiet: float = 0.5) -> Iterator[FolderWatch]:
    with FolderWatch({"posts": folder}, quiet=quiet) as watch:
        assert watch.watching.wait(PATIENCE)
        assert watch.wait(0.7) == set()
        yield watch


def test_a_change_is_told_once(folder: Path) -> None:
    with watched(folder) as watch:
        (folder / "a.md").write_text("text")
        assert watch.wait(PATIENCE) == {"posts"}
        (folder / "a.md").read_text()
        assert watch.wait(1.5) == set()
        (folder / "a.md").unlink()
        assert watch.wait(PATIENCE) == {"posts"}
        (folder / "photo.JPG").write_bytes(b"")
        assert watch.wait(PATIENCE) == {"posts"}
        watch.put_back({"posts"})
        assert watch.wait(PATIENCE) == {"posts"}


def test_what_editors_leave_for_a_moment_is_no_change(folder: Path) -> None:
    (folder / ".git").mkdir()
    with watched(folder) as watch:
        for name in (
            ".a.md.swp",
            "a.md~",
            "#a.md#",
            ".#a.md",
            "a.md.tmp",
            "a.part",
            "notes.odt",
            ".git/index.md",
        ):
            (folder / name).write_text("text")
        for name in (".a.md.swp", "a.md~", "#a.md#", "a.md.tmp"):
            (folder / name).unlink()
        assert watch.wait(1.5) == set()


def test_an_atomic_rename_is_one_change(folder: Path) -> None:
    (folder / "a.md").write_text("before")
    with watched(folder) as watch:
        (folder / ".a.md.123.new").write_text("after")
        (folder / ".a.md.123.new").replace(folder / "a.md")
        assert watch.wait(PATIENCE) == {"posts"}
        assert watch.wait(1.5) == set()


def test_it_waits_until_a_file_is_whole(folder: Path) -> None:
    with watched(folder, quiet=4.0) as watch, (folder / "a.md").open("w") as file:
        for number in range(12):
            file.write(f"line {number}\n")
            file.flush()
            assert watch.wait(0.25) == set()
        assert watch.is_settling()
        file.write("the end\n")
        file.flush()
        assert watch.wait(PATIENCE) == {"posts"}
        assert not watch.is_settling()


def test_new_folders_are_watched_as_well(folder: Path, tmp_path: Path) -> None:
    with watched(folder) as watch:
        (folder / "2026" / "11").mkdir(parents=True)
        assert watch.wait(PATIENCE) == {"posts"}
        (folder / "2026" / "11" / "a.md").write_text("text")
        assert watch.wait(PATIENCE) == {"posts"}
        (folder / "2026").rename(tmp_path / "elsewhere")
        assert watch.wait(PATIENCE) == {"posts"}
        (tmp_path / "elsewhere").rename(folder / "v1.2")
        assert watch.wait(PATIENCE) == {"posts"}
        (folder / "v1.2" / "11" / "a.md").write_text("more")
        assert watch.wait(PATIENCE) == {"posts"}


@pytest.mark.parametrize("how", ["removed", "moved", "swapped"])
def test_a_folder_that_vanishes_is_watched_again_when_it_is_back(
    folder: Path, tmp_path: Path, how: str
) -> None:
    with watched(folder) as watch:
        if how == "removed":
            shutil.rmtree(folder)
        else:
            folder.rename(tmp_path / "elsewhere")
        if how != "swapped":
            assert watch.wait(PATIENCE) == {"posts"}
            assert watch.wait(1.5) == set()
        folder.mkdir()
        assert watch.wait(PATIENCE) == {"posts"}
        while watch.wait(1.5):
            pass
        (folder / "a.md").write_text("text")
        assert watch.wait(PATIENCE) == {"posts"}


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    with FolderWatch({"posts": tmp_path / "posts"}, quiet=0.3) as watch:
        assert watch.wait(1) == set()
        (tmp_path / "posts").mkdir()
        assert watch.wait(PATIENCE) == {"posts"}


def test_where_nothing_can_be_watched_it_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import watchfiles.main

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")  # what the kernel says when there are too many watches

    monkeypatch.setattr(watchfiles.main, "RustNotify", refuse)
    with FolderWatch({"posts": folder}, quiet=0.3) as watch:
        until = time.monotonic() + PATIENCE
        while not watch.failure and time.monotonic() < until:
            watch.wait(0.1)
        assert watch.failure == "No space left on device"
        (folder / "a.md").write_text("text")
        assert watch.wait(0.5) == set()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_it_stops_at_once(folder: Path) -> None:
    before = time.monotonic()
    with watched(folder):
        during = time.monotonic()
    assert time.monotonic() - during < 2.5 < PATIENCE
    assert during > before
    assert "watch" not in [thread.name for thread in threading.enumerate()]


def test_which_folders_are_watched(publication: PublicationFactory) -> None:
    config = publication(TWO_FOLDERS)
    write(config, "a.md")
    assert sorted(folders_of(config)) == ["first", "second"]
    assert list(folders_of(config, "first")) == ["first"]
    feed = publication({"sources": [{"name": "feed", "kind": "feed", "path": "feed.xml"}]})
    assert folders_of(feed) == {}


@pytest.mark.parametrize(
    ("name", "gone", "told"),
    [
        ("a.md", False, True),
        ("a.md", True, True),
        ("x/y/photo.PNG", True, True),
        ("x", True, True),
        ("x", False, False),  # neither a folder nor a text
        ("4913", False, False),
        (".x/a.md", False, False),
        ("a.md~", True, False),
        ("a.md.tmp", True, False),
    ],
)
def test_what_counts_as_a_change(folder: Path, name: str, gone: bool, told: bool) -> None:
    assert is_of_posts(folder, folder / name, gone=gone) is told
    assert not is_of_posts(folder, folder.parent / name, gone=gone)


# Processes


class Told:
    """A process whose lines are read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (process.stdout, process.stderr)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Iterator[str]) -> None:
        for one in stream:
            self.lines.put(one.rstrip("\n"))

    def until(self, words: str, seconds: float = PATIENCE) -> str:
        """Return the next line that holds these words."""
        end = time.monotonic() + seconds
        while True:
            try:
                said = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"nobody said {words!r}: {self.seen}") from None
            self.seen.append(said)
            if words in said:
                return said

    def rest(self, seconds: float) -> list[str]:
        """Return what else is said for so long."""
        end, said = time.monotonic() + seconds, []
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                said.append(self.lines.get(timeout=left))
        return said

    def stop(self, number: signal.Signals) -> float:
        """Send a signal; return how long it took to end."""
        before = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        return time.monotonic() - before


@contextlib.contextmanager
def running(config: Config, *arguments: str, **environment: str) -> Iterator[Told]:
    command = [sys.executable, "-m", "newsletter", "-p", str(config.folder), *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    ) as process:
        try:
            yield Told(process)
        finally:
            process.kill()


def test_gather_watch_takes_up_what_an_editor_saves(publication: PublicationFactory) -> None:
    config = publication()
    write(config, "first.md", "First")
    with running(config, "gather", "--watch") as told:
        told.until("new: First")
        told.until("Watching ")
        path = write(config, "second.md", "Second", sumary="wrong")
        told.until("quarantined: ")
        path.write_text("---\ntitle: Second\ndate: 2026-11-01\n---\nText.\n")
        told.until("new: Second")
        told.until("left quarantine: second.md")
        with path.open("a") as file:  # written slowly: never by half
            for number in range(6):
                file.write(f"\nLine {number}.\n")
                file.flush()
                time.sleep(0.1)
        told.until("1 changed")
        told.until("changed: Second")
        assert told.rest(3) == []
        assert told.stop(signal.SIGINT) < 5
        assert told.process.returncode == 0
        assert told.until("Stopped.") == "Stopped."


def test_gather_watch_outlives_its_folder(publication: PublicationFactory) -> None:
    config = publication()
    write(config, "first.md", "First")
    with running(config, "gather", "--watch", "--json") as told:
        assert json.loads(told.until("First"))["new"] == ["First"]
        (config.folder / "posts").rename(config.folder / "away")
        assert "cannot be read" in json.loads(told.until("failed"))["failed"]
        (config.folder / "away").rename(config.folder / "posts")
        assert json.loads(told.until("failed"))["failed"] == ""
        write(config, "second.md", "Second")
        assert json.loads(told.until("Second"))["new"] == ["Second"]
        told.stop(signal.SIGINT)
        assert told.process.returncode == 0


def test_gather_watch_reads_all_from_time_to_time_as_well(publication: PublicationFactory) -> None:
    """Where nothing tells of changes, as over a network file system."""
    config = publication(
        {"gather": {"every": "2s"}, "sources": [{"name": "feed", "kind": "feed", "path": "f.xml"}]}
    )
    text = (
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>F</title><id>urn:f</id><updated>2026-01-01T00:00:00Z'
        "</updated><entry><id>urn:{0}</id><title>{0}</title><published>2026-01-01T00:00:00Z</published>"
        "<content>Text {0}</content></entry></feed>"
    )
    (config.folder / "f.xml").write_text(text.format("one"))
    with running(config, "gather", "--watch") as told:
        told.until("new: one")
        (config.folder / "f.xml").write_text(text.format("another"))
        told.until("new: another")
        told.stop(signal.SIGINT)


def test_gather_watch_refuses_what_makes_no_sense(publication: PublicationFactory) -> None:
    config = publication()
    for arguments in (("--watch", "--dry-run"), ("--watch", "--source", "nonsense")):
        with running(config, "gather", *arguments) as told:
            assert told.process.wait(PATIENCE) == 2


def test_the_daemon_takes_up_what_an_editor_saves(publication: PublicationFactory) -> None:
    config = publication({"web": {"port": 0}, "gather": {"every": "1h"}})
    write(config, "first.md", "First")
    with running(config, "run", "--no-web") as told:
        told.until("gather posts: 1 new")
        write(config, "second.md", "Second")
        told.until("gather posts: 1 new, 0 changed, 0 quarantined", 60)
        until = time.monotonic() + PATIENCE
        page = config.public / "posts" / "second" / "index.html"
        while not page.exists() and time.monotonic() < until:
            time.sleep(0.1)
        assert page.exists()
        assert told.stop(signal.SIGTERM) < 10
        assert told.process.returncode == 0
