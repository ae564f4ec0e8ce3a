"""The published tree: written file by file, each whole or not at all; what is not ours is never touched.

The manifest names every file that publishing wrote. It is saved before a new file appears, so that a crash
leaves no file behind that would later pass for somebody else's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from newsletter.errors import OutsideError

_TEMPORARY = re.compile(r"\..+\.\d+\.new")
_SAFE = re.compile(r"[^/\x00-\x1f\x7f]+(/[^/\x00-\x1f\x7f]+)*")


@dataclass(slots=True)
class Tree:
    """The folder `public` while it is being published, under its lock."""

    public: Path
    manifest: Path
    ours: set[str] = field(default_factory=set)
    wanted: set[str] = field(default_factory=set)
    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0
    _folders: set[Path] = field(default_factory=set)

    def open(self) -> None:
        """Read the manifest; a broken one is an error, for nothing would be ours then."""
        try:
            self.ours = set(json.loads(self.manifest.read_text(encoding="utf-8"))["files"])
        except FileNotFoundError:
            self.ours = set()
        except (ValueError, KeyError, TypeError) as e:
            raise OutsideError(
                "the list of published files is damaged",
                where=str(self.manifest),
                remedy=f"Delete it and {self.public}, then publish again",
            ) from e

    def reserve(self, paths: Iterable[str]) -> set[str]:
        """Say what will be written and return which of it is somebody else's file, to be left alone."""
        self.wanted = set(paths)
        foreign = {path for path in self.wanted - self.ours if os.path.lexists(self.public / path)}
        self.wanted -= foreign
        if not self.wanted <= self.ours:
            self.ours |= self.wanted
            self._save()
        return foreign

    def same(self, path: str, data: bytes) -> bool:
        """Tell whether a file of ours holds these bytes already."""
        return path in self.ours and self.holds(path, data)

    def holds(self, path: str, data: bytes) -> bool:
        """Tell whether a file holds these bytes, whoever wrote it."""
        try:
            if (self.public / path).stat().st_size != len(data):
                return False
            return (self.public / path).read_bytes() == data
        except OSError:
            return False

    def copied(self, path: str, source: Path | None) -> bool:
        """Tell whether a picture of ours is there already: its name is its content's, so its size is enough."""
        if source is None or path not in self.ours or not path.startswith("media/"):
            return False
        try:
            same = (self.public / path).stat().st_size == source.stat().st_size
        except FileNotFoundError:
            return False
        self.unchanged += same
        return same

    def write(self, path: str, data: bytes, dated: datetime | None = None) -> None:
        """Write a file unless it holds these bytes already.

        `dated` becomes its modification time; that never goes back, and moves on whenever the bytes change.
        """
        if self.holds(path, data):
            self.unchanged += 1
            return
        target = self.public / path
        moment = self._moment(target, dated)
        target.parent.mkdir(parents=True, exist_ok=True)
        replace(target, data, moment)
        self._folders.add(target.parent)
        self.written.append(path)

    def finish(self) -> list[str]:
        """Remove what is no longer wanted, save the manifest, and return the files that are not ours."""
        for path in sorted(self.ours - self.wanted):
            target = self.public / path
            if target.is_file() or target.is_symlink():
                target.unlink()
                self.removed.append(path)
                self._folders.add(target.parent)
                self._prune(target.parent)
        for folder in sorted(self._folders):
            _sync(folder)
        if self.ours != self.wanted:
            self.ours = set(self.wanted)
            self._save()
        return self._foreign()

    def _moment(self, target: Path, dated: datetime | None) -> float | None:
        if dated is None:
            return None
        moment = dated.timestamp()
        try:
            return max(moment, target.stat().st_mtime + 1)
        except FileNotFoundError:
            return moment

    def _prune(self, folder: Path) -> None:
        while folder != self.public and self.public in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return  # it still holds something
            self._folders.discard(folder)
            folder = folder.parent
            self._folders.add(folder)

    def _foreign(self) -> list[str]:
        found = []
        for folder, _, names in os.walk(self.public):
            for name in names:
                path = Path(folder, name)
                if _TEMPORARY.fullmatch(name):
                    path.unlink()  # left behind by a crash: we hold the lock
                elif (relative := path.relative_to(self.public).as_posix()) not in self.ours:
                    found.append(relative)
        return sorted(found)

    def _save(self) -> None:
        self.manifest.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"files": sorted(self.ours)}, ensure_ascii=False, indent=0)
        replace(self.manifest, text.encode(), None)
        _sync(self.manifest.parent)


def is_safe(path: str) -> bool:
    """Tell whether a path stays below the root and every name in it fits a file system."""
    parts = path.split("/")  # not a path's own parts, which leave out every dot
    return (
        bool(_SAFE.fullmatch(path))
        and not any(part in (".", "..") or len(part.encode("utf-8", "replace")) > 200 for part in parts)
        and path == path.encode("utf-8", "ignore").decode()
    )


def replace(target: Path, data: bytes, moment: float | None) -> None:
    """Put a file in place whole: a temporary one is written, synced and renamed over it."""
    temporary = target.with_name(f".{target.name[:150]}.{os.getpid()}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if moment is not None:
                os.utime(file.fileno(), (moment, moment))
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
