"""The black box: what each message in flight had come to, kept where a killed process cannot take it along.

A small file in memory that the system writes back in its own time: it survives `kill -9`, not a power cut, so a boot id
stands in it. Eight bytes a message hold its reader and whether the end of its data may have been written, or its
acceptance was read. What of an earlier owner's intents is not in the box was certainly never ended.

The owner holds a lock on the file, which ends with the process: a box whose owner may still wake up is not trusted.

A place in the box is used again only by a message whose intent became durable later than the former's outcome was
queued: the ledger writes both in one order, so an outcome that is no longer in the box is in the ledger.
"""

from __future__ import annotations

import fcntl
import mmap
import struct
import time
from collections import deque
from enum import IntEnum
from pathlib import Path

from newsletter.model import Lease

_HEAD = struct.Struct("<8s16sQQQ")  # mark, boot id, issue, epoch, whether it holds everything
_WHOLE = struct.Struct("<Q")  # the last of these
_MARK = b"nlbox-1\n"
_PLACE = struct.Struct("<Q")
_PLACES = 64  # of one connection: more messages than any transport has on its way
_RING = _PLACE.size * _PLACES
_PATIENCE = 2.0  # seconds that a killed owner's other processes take to end, at most
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Fate(IntEnum):
    """How far a message was known to have come."""

    NOT_ENDED = 0
    ENDING = 1  # the end of its data was about to be written, or was
    ACCEPTED = 2  # the server's word was read


class Places:
    """The places of a box, in this process: they are the same memory in every process that has the file."""

    def __init__(self, file: int, size: int) -> None:
        self._map = mmap.mmap(file, size)

    def ring(self, number: int) -> Ring:
        """Return the places of a connection by its number, from 0."""
        start = _HEAD.size + _RING * number
        if start + _RING > len(self._map):
            self.give_up()
            return Ring(self, ())
        return Ring(self, range(start, start + _RING, _PLACE.size))

    def note(self, place: int, key: int, fate: Fate) -> None:
        """Write one place."""
        _PLACE.pack_into(self._map, place, key << 2 | fate)

    def give_up(self) -> None:
        """Say in the box that it does not hold everything."""
        _WHOLE.pack_into(self._map, _HEAD.size - _WHOLE.size, 0)

    def read(self, number: int, count: int) -> dict[int, Fate]:
        """Return what stands in the places of so many connections from a number on, by subscriber."""
        start = _HEAD.size + _RING * number
        return _fates(self._map[start : start + _RING * count])


class BlackBox(Places):
    """The box of one run, with places for each of its connections."""

    def __init__(self, path: Path, lease: Lease, connections: int) -> None:
        """Make a new file in place of the last one; OSError when it cannot be made."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        size = _HEAD.size + _RING * connections
        path.unlink(missing_ok=True)  # never written over: a former owner may still have it
        self._file = path.open("x+b")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        path.chmod(0o600)
        self._file.truncate(size)
        super().__init__(self._file.fileno(), size)
        self._path = path
        boot = boot_id()
        self._map[: _HEAD.size] = _HEAD.pack(_MARK, boot, lease.issue_id, lease.epoch, int(any(boot)))

    @property
    def handle(self) -> tuple[int, int]:
        """The file and its size, for a process of connections: the lock on it ends with the last that has it."""
        return self._file.fileno(), len(self._map)

    def close(self, *, remove: bool) -> None:
        """Close the file, and remove it when nothing is in flight any more."""
        if remove:
            self._path.unlink(missing_ok=True)
        self._file.close()


class Ring:
    """The places of one connection; used by its thread alone."""

    def __init__(self, box: Places, places: range | tuple[int, ...]) -> None:
        self._box = box
        self._free = deque(places)
        self._taken: dict[int, int] = {}

    def begin(self, key: int, *, announced: bool) -> None:
        """Note a message whose intent is durable; without an announcement its end may come at any time."""
        if not self._free:
            self._box.give_up()
            return
        place = self._taken[key] = self._free.popleft()
        self._box.note(place, key, Fate.NOT_ENDED if announced else Fate.ENDING)

    def ending(self, key: int) -> None:
        """Note that the end of a message's data is about to be written."""
        if key in self._taken:
            self._box.note(self._taken[key], key, Fate.ENDING)

    def settle(self, key: int, fate: Fate) -> None:
        """Note what is known of a message, before its outcome is queued."""
        place = self._taken.pop(key, None)
        if place is not None:
            self._box.note(place, key, fate)
            self._free.append(place)


def await_end(path: Path) -> None:
    """Wait a moment for the processes of an owner that was killed: they end by themselves at once."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            return


def read_box(path: Path, lease: Lease) -> dict[int, Fate] | None:
    """Return what the owner just before this lease left in its box, by subscriber; None when there is none to trust."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            data = file.read()
        mark, boot, issue_id, epoch, whole = _HEAD.unpack_from(data)
    except (OSError, struct.error):
        return None
    known = (mark, boot, issue_id, epoch) == (_MARK, boot_id(), lease.issue_id, lease.epoch - 1)
    return _fates(data[_HEAD.size :]) if known and whole and any(boot) else None


def _fates(places: bytes) -> dict[int, Fate]:
    fates: dict[int, Fate] = {}
    for (value,) in _PLACE.iter_unpack(places):
        key, fate = value >> 2, Fate(min(value & 3, Fate.ACCEPTED))
        if key and fates.get(key) is not Fate.ENDING:  # tried twice: a doubt stays one
            fates[key] = fate
    return fates


def boot_id() -> bytes:
    """Return what this run of the system is known by, 16 bytes; zeros where it does not tell."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))[:16].ljust(16, b"\0")
    except (OSError, ValueError):
        return bytes(16)
