"""The published tree: written in batches, each file whole or not at all; what is not ours is never touched."""

from __future__ import annotations

import os
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from newsletter.publish.files import TEMPORARY, commit, is_safe, stage
from newsletter.publish.manifest import UNKNOWN, Manifest

__all__ = ["Tree", "is_safe"]

_BATCH, _BYTES = 1_000, 32_000_000  # files and bytes that are synced together


@dataclass(slots=True)
class Tree:
    """The folder `public` while it is being published, under its lock."""

    public: Path
    manifest: Manifest
    foreign: set[str] = field(default_factory=set)
    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    _root: str = ""
    _staged: list[tuple[Path, Path]] = field(default_factory=list)
    _entries: dict[str, str] = field(default_factory=dict)
    _bytes: int = 0
    _changed: set[Path] = field(default_factory=set)  # folders to be synced
    _touched: set[Path] = field(default_factory=set)  # and those that were

    def open(self) -> None:
        """Read the manifest and make the folder."""
        self.manifest.open(self.public)
        self.public.mkdir(parents=True, exist_ok=True)
        self._root = f"{self.public}/"

    def intact(self, path: str, key: str) -> bool:
        """Tell whether a file of ours was made by this key and is still there, as large as it was."""
        made = self.manifest.made.get(path, UNKNOWN)
        if not made.startswith(key) or made == UNKNOWN:
            return False
        try:
            size = os.stat(self._root + path).st_size  # noqa: PTH116  # a Path costs more than the call
            return size == int(made[len(key) :])
        except (OSError, ValueError):
            return False

    def begin(self, paths: Iterable[str]) -> None:
        """Say what will be written; what is somebody else's file is left alone and noted in `foreign`."""
        paths = set(paths)
        new = paths - self.manifest.made.keys()
        self.foreign |= {path for path in new if os.path.lexists(self._root + path)}
        self.manifest.begin(paths - self.foreign)

    def same(self, path: str, data: bytes) -> bool:
        """Tell whether a file of ours holds these bytes already."""
        return path in self.manifest.made and self.holds(path, data)

    def holds(self, path: str, data: bytes) -> bool:
        """Tell whether a file holds these bytes, whoever wrote it."""
        target = self.public / path
        try:
            return target.stat().st_size == len(data) and target.read_bytes() == data
        except OSError:
            return False

    def put(self, path: str, data: bytes, key: str, dated: datetime | None = None) -> bool:
        """Write a file unless it holds these bytes already; False when somebody else's is in its place.

        `dated` becomes its modification time; that never goes back, and moves on whenever the bytes change.
        """
        made = f"{key} {len(data)}"
        if self.holds(path, data):
            self.foreign.discard(path)
            self.manifest.made[path] = made
            return True
        if path in self.foreign:
            return False
        target = self.public / path
        self._make_folder(target.parent)
        self._staged.append((stage(target, data, _moment(target, dated)), target))
        self._entries[path] = made
        self._bytes += len(data)
        self.written.append(path)
        if len(self._staged) >= _BATCH or self._bytes >= _BYTES:
            self.flush()
        return True

    def flush(self) -> None:
        """Put what was staged in its place."""
        staged, entries = self._staged, self._entries
        self._staged, self._entries, self._bytes = [], {}, 0
        commit(staged, self._changed)
        self._touched.update(self._changed, (target.parent for _, target in staged))
        self._changed = set()
        self.manifest.made |= entries

    def abandon(self) -> None:
        """Remove what was staged and not put in its place."""
        for temporary, _ in self._staged:
            temporary.unlink(missing_ok=True)

    def finish(self, wanted: Set[str], *, everywhere: bool) -> list[str]:
        """Remove what is not wanted, save the manifest, and return files that are not ours.

        Those are looked for in the folders that were touched and in the root, or `everywhere`.
        """
        for path in sorted(self.manifest.made.keys() - wanted):
            self._remove(path)
        self.flush()
        self.manifest.save()
        return sorted(self.foreign.union(self._others(everywhere or self.manifest.crashed)))

    def _remove(self, path: str) -> None:
        target = self.public / path
        if target.is_file() or target.is_symlink():
            target.unlink()
            self.removed.append(path)
            self._changed.add(target.parent)
            self._prune(target.parent)
        del self.manifest.made[path]

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            self._changed.add(folder.parent)

    def _prune(self, folder: Path) -> None:
        while folder != self.public and self.public in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return  # it still holds something
            self._changed.discard(folder)
            folder = folder.parent
            self._changed.add(folder)

    def _others(self, everywhere: bool) -> Iterable[str]:
        """Yield the files that are not ours; what a crash left half written is removed: we hold the lock."""
        if everywhere:
            walked = ((Path(folder), names) for folder, _, names in os.walk(self.public))
        else:
            walked = ((folder, _files(folder)) for folder in sorted({*self._touched, self.public}))
        for folder, names in walked:
            for name in names:
                path = folder / name
                if TEMPORARY.fullmatch(name):
                    path.unlink()
                elif (relative := path.relative_to(self.public).as_posix()) not in self.manifest.made:
                    yield relative


def _files(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _moment(target: Path, dated: datetime | None) -> float | None:
    if dated is None:
        return None
    moment = dated.timestamp()
    try:
        return max(moment, target.stat().st_mtime + 1)
    except FileNotFoundError:
        return moment
