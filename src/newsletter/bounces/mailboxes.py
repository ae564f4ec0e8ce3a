"""Read mailboxes: a Maildir, whose messages are moved once they are recorded, and an mbox, which is only read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from newsletter.errors import OutsideError
from newsletter.model import Bounce, BounceDeed, BounceKind
from newsletter.store import Store, meta

LARGEST = 4 << 20  # octets of one message that are read
_LINE = 1 << 16

Take = Callable[[bytes], Bounce]


@dataclass(slots=True)
class Taken:
    """What came of a mailbox: how many messages were new, by kind, and what followed; `again` came before."""

    kinds: Counter[BounceKind] = field(default_factory=Counter)
    deeds: Counter[BounceDeed] = field(default_factory=Counter)
    forged: int = 0
    again: int = 0

    def note(self, bounce: Bounce) -> None:
        """Count one message."""
        if not bounce.recorded:
            self.again += 1
            return
        self.kinds[bounce.kind] += 1
        self.deeds[bounce.deed] += 1
        self.forged += bounce.forged

    def add(self, other: Taken) -> None:
        """Count another mailbox's messages as well."""
        self.kinds += other.kinds
        self.deeds += other.deeds
        self.forged += other.forged
        self.again += other.again

    @property
    def new(self) -> int:
        """How many messages were new."""
        return sum(self.kinds.values())


def read_maildir(folder: Path, take: Take, *, stop: Callable[[], bool] = lambda: False) -> Taken:
    """Take what lies in `new/`; each message is moved to `cur/` after it was recorded, and a crash repeats it.

    Raises OutsideError when the folder cannot be read or a message cannot be moved.
    """
    taken = Taken()
    try:
        (folder / "cur").mkdir(exist_ok=True)
        for path in sorted((folder / "new").iterdir()):
            if stop():
                break
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                with path.open("rb") as file:
                    raw = file.read(LARGEST)
            except FileNotFoundError:  # another program took it
                continue
            taken.note(take(raw))
            path.rename(folder / "cur" / f"{path.name.partition(':')[0]}:2,S")
    except OSError as e:
        raise OutsideError(
            f"the Maildir cannot be read: {e.strerror}",
            where=str(folder),
            remedy="Look at bounces.maildir and the rights of its folders",
        ) from e
    return taken


def read_mbox(store: Store, path: Path, take: Take, *, stop: Callable[[], bool] = lambda: False) -> Taken:
    """Take what an mbox holds behind the place up to which it was read; when it was replaced, all of it.

    The file is never written. Raises OutsideError when it cannot be read.
    """
    taken, key = Taken(), f"bounces_mbox:{path}"
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            with store.read() as tx:
                start = _place(meta.get(tx, key), status)
            file.seek(start)
            if start < status.st_size and file.read(5) != b"From ":
                start = 0
            file.seek(start)
            read_up_to = start
            for raw, place in _messages(file, start, status.st_size):
                taken.note(take(raw))
                read_up_to = place
                if stop():
                    break
    except OSError as e:
        raise OutsideError(
            f"the mbox cannot be read: {e.strerror}",
            where=str(path),
            remedy="Look at bounces.mbox and its rights",
        ) from e
    with store.write() as tx:
        meta.put(tx, key, f"{status.st_ino}:{read_up_to}")
    return taken


def _place(known: str, status: os.stat_result) -> int:
    inode, _, offset = known.partition(":")
    if inode != str(status.st_ino) or not offset.isdecimal() or int(offset) > status.st_size:
        return 0
    return int(offset)


def _messages(file: BinaryIO, start: int, size: int) -> Iterator[tuple[bytes, int]]:
    """Give each message, its `>From ` lines as they were, and where it ends; bounded in memory."""
    lines: list[bytes] = []
    kept, place, empty = 0, start, True
    while place < size and (line := file.readline(_LINE)):
        if line.startswith(b"From ") and empty:
            if lines:
                yield b"".join(lines), place
            lines, kept = [], 0
        elif kept < LARGEST:
            lines.append(
                line[1:] if line.lstrip(b">").startswith(b"From ") and line.startswith(b">") else line
            )
            kept += len(line)
        empty = line in (b"\n", b"\r\n")
        place += len(line)
    if lines:
        yield b"".join(lines), place
