"""Writing files so that each is whole or not there at all, also after a power cut."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

TEMPORARY = re.compile(r"\..+\.\d+\.new")
_MANY = 64
_SAFE = re.compile(r"[^/\x00-\x1f\x7f]+(/[^/\x00-\x1f\x7f]+)*")


def is_safe(path: str) -> bool:
    """Tell whether a path stays below the root and every name in it fits a file system."""
    parts = path.split("/")  # not a path's own parts, which leave out every dot
    return (
        bool(_SAFE.fullmatch(path))
        and not any(part in (".", "..") or len(part.encode("utf-8", "replace")) > 200 for part in parts)
        and path == path.encode("utf-8", "ignore").decode()
    )


def stage(target: Path, data: bytes, moment: float | None = None) -> Path:
    """Write what a file is to hold beside it, not yet synced; `moment` becomes its modification time."""
    temporary = target.with_name(f".{target.name[:150]}.{os.getpid()}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if moment is not None:
                os.utime(file.fileno(), (moment, moment))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def commit(staged: Sequence[tuple[Path, Path]], folders: Iterable[Path] = ()) -> None:
    """Sync what was staged, put each in its place, and sync their folders and others.

    Many files are first written out together: a file system does that in a fraction of the time. Each is synced all
    the same, for only that tells of a disk's errors.
    """
    try:
        if len(staged) >= _MANY:
            os.sync()
        for temporary, _ in staged:
            _sync(temporary, os.O_RDONLY)
        for temporary, target in staged:
            temporary.replace(target)
    except BaseException:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)
        raise
    for folder in sorted({*folders, *(target.parent for _, target in staged)}):
        sync_folder(folder)


def replace(target: Path, data: bytes) -> None:
    """Put one file in place whole; its folder is not synced."""
    temporary = stage(target, data)
    try:
        _sync(temporary, os.O_RDONLY)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make what happened in a folder durable; one that is gone needs nothing."""
    try:
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
