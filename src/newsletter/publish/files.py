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

    Many files are synced by their file system at once: one by one, each would wait for the disk's cache.
    """
    folders = sorted({*folders, *(target.parent for _, target in staged)})
    at_once = len(staged) >= _MANY and _sync_all(staged[0][0])
    try:
        for temporary, _ in () if at_once else staged:
            _sync(temporary, os.O_RDONLY)
        for temporary, target in staged:
            temporary.replace(target)
    except BaseException:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)
        raise
    if at_once:
        _sync_all(staged[0][1])
    else:
        for folder in folders:
            sync_folder(folder)


def _sync_all(path: Path) -> bool:
    """Sync the whole file system that a file is on, and raise what went wrong; False when that is not to be had."""
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        if call(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(handle)
    return True


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
