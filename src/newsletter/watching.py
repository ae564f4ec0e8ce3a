"""Watching folders of posts: which sources changed, told once it is quiet there.

A thread notices changes (inotify on Linux). A folder that vanishes is watched again when it is back. Where folders
cannot be watched, `failure` says why, and periodic gathering remains.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from newsletter.config import Config
from newsletter.sources.folder import ENDINGS, PICTURES

QUIET = 1.0  # seconds without a change after which a file counts as whole
LONGEST = 60.0  # seconds for which a folder that is never quiet may hold up periodic gathering
_LOOK = 0.5  # seconds between looks whether the folders are still the same
_AGAIN = 60.0  # seconds until watching is tried again after it failed
_WATCHED = ENDINGS | PICTURES
_TEMPORARY = frozenset(
    {".bak", ".crdownload", ".lock", ".new", ".orig", ".part", ".partial", ".temp", ".tmp"}
)
_TEMPORARY |= {".swo", ".swp", ".swx"}  # of editors and downloads, beside hidden ones

log = logging.getLogger(__name__)


def folders_of(config: Config, only: str | None = None) -> dict[str, Path]:
    """Return the folders that sources are read from, by the source's name; a source that is a file is none."""
    found = {one.name: config.path(one.path) for one in config.sources if one.path is not None}
    return {
        name: path
        for name, path in found.items()
        if only in (None, name) and (path.is_dir() or (not path.exists() and not path.suffix))
    }


def is_of_posts(root: Path, path: Path, *, gone: bool) -> bool:
    """Tell whether a change may change a post: not a hidden or an editor's temporary file."""
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        return False
    if any(part.startswith(".") or part.endswith("~") or part.startswith("#") for part in parts):
        return False
    ending = path.suffix.lower()
    if ending in _WATCHED:
        return True
    if gone:  # it may have been a folder
        return ending not in _TEMPORARY
    return path.is_dir()


class FolderWatch:
    """Watches folders from `__enter__` to `__exit__`; may be asked from any thread."""

    def __init__(self, folders: Mapping[str, Path], *, quiet: float = QUIET) -> None:
        self._folders = {name: path.resolve() for name, path in folders.items()}
        self._quiet = quiet
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._changed: dict[str, tuple[float, float]] = {}  # source -> first and last change not taken
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.failure = ""
        self.watching = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(2)

    def take(self) -> set[str]:
        """Return the sources that changed and have been quiet since; each change is told once."""
        with self._news:
            return self._take()

    def put_back(self, names: Iterable[str]) -> None:
        """Have changes told again that could not be gathered."""
        self._note(names)

    def is_settling(self) -> bool:
        """Tell whether a folder is being written to; False for one that is never quiet."""
        now = time.monotonic()
        with self._news:
            return any(
                now - last < self._quiet and now - first < LONGEST for first, last in self._changed.values()
            )

    def wait(self, seconds: float) -> set[str]:
        """Wait for sources that changed and are quiet, so long at most; none when nothing did."""
        until = time.monotonic() + seconds
        with self._news:
            while not (found := self._take()):
                now = time.monotonic()
                if now >= until:
                    break
                settled = min((last + self._quiet for _, last in self._changed.values()), default=until)
                self._news.wait(max(0.01, min(until, settled) - now))
            return found

    def _take(self) -> set[str]:
        now = time.monotonic()
        found = {name for name, (_, last) in self._changed.items() if now - last >= self._quiet}
        for name in found:
            del self._changed[name]
        return found

    def _note(self, names: Iterable[str]) -> None:
        now = time.monotonic()
        with self._news:
            for name in names:
                self._changed[name] = (self._changed.get(name, (now, now))[0], now)
            self._news.notify_all()

    # The thread

    def _run(self) -> None:
        seen = self._look()
        lost: set[str] = set()
        while not self._stop.is_set():
            there = self._look()
            # Told before it is watched again, and taken a while after that: nothing falls between.
            self._note(name for name in there if there[name] != seen[name] or name in lost)
            seen, lost = there, set()
            try:
                if any(there.values()):
                    lost = self._watch(there)
                else:
                    self._stop.wait(_LOOK)
            except FileNotFoundError:  # it vanished in this very moment
                self._stop.wait(_LOOK)
            except (OSError, RuntimeError) as e:  # no inotify, or its limits are reached
                self._fail(e)
                self._stop.wait(_AGAIN)

    def _watch(self, there: Mapping[str, tuple[int, int] | None]) -> set[str]:
        """Note changes until a folder is not the one it was; return those that were removed."""
        from watchfiles import Change, watch

        roots = {name: path for name, path in self._folders.items() if there[name] is not None}
        changes = watch(
            *roots.values(),
            watch_filter=None,
            debounce=200,
            step=50,
            rust_timeout=int(_LOOK * 1000),
            yield_on_timeout=True,
            stop_event=self._stop,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        for some in changes:
            if not self.watching.is_set():
                self.failure = ""
                self.watching.set()
            told = [(Path(path), change is Change.deleted) for change, path in some]
            lost = {name for name, root in roots.items() if (root, True) in told}
            self._note(
                name
                for name, root in roots.items()
                if any(is_of_posts(root, path, gone=gone) for path, gone in told)
            )
            if lost or self._look() != there:
                return lost
        return set()

    def _look(self) -> dict[str, tuple[int, int] | None]:
        """Return which folder is there now under each name."""
        found: dict[str, tuple[int, int] | None] = {}
        for name, path in self._folders.items():
            try:
                status = os.stat(path)  # noqa: PTH116 - a path's own stat is the same
                found[name] = (status.st_dev, status.st_ino)
            except OSError:
                found[name] = None
        return found

    def _fail(self, error: Exception) -> None:
        why = getattr(error, "strerror", None) or str(error)
        self.watching.clear()
        if why != self.failure:
            log.warning("folders are not watched, only read from time to time: %s", why)
        self.failure = why
        self._note(())
