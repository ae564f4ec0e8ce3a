"""What a disk may hold after a power cut: the writes of a real delivery, replayed up to an instant.

What was synced before the instant is there. Of what was written since, each sector of 512 octets is there or is not.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
#: Options of strace that record what is needed, of the files whose names begin with the database's.
RECORD = ("-ttt", "-T", "-s", "1048576", "-e", "trace=pwrite64,write,fdatasync,fsync,ftruncate,unlink")
_LINE = re.compile(r"(?P<pid>\d+) +(?P<at>\d+\.\d+) (?P<rest>.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")
_DONE = re.compile(r"(?P<call>\w+)\((?P<given>.*)\) += (?P<result>-?\d+).* <(?P<took>\d+\.\d+)>$", re.DOTALL)
_FILE = re.compile(r"\d+<(?P<path>[^>]*)>(, )?(?P<rest>.*)", re.DOTALL)
_WRITTEN = re.compile(r'(?P<data>".*"), \d+(, (?P<offset>\d+))?$', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call: when it began and was over, and what it did to which file."""

    began: float
    ended: float
    name: str
    file: str
    data: bytes = b""
    offset: int = 0


def read_trace(trace: Path, database: Path) -> list[Call]:
    """Read what strace recorded of a database's files, in the order in which it was over."""
    found = [call for call in _calls(trace) if call.file.startswith(str(database))]
    return sorted(found, key=lambda call: call.ended)


def _calls(trace: Path) -> Iterator[Call]:
    begun: dict[str, tuple[float, str]] = {}
    for text in trace.read_text(encoding="latin-1").splitlines():
        line = _LINE.match(text)
        if line is None:
            continue
        pid, at, rest = line["pid"], float(line["at"]), line["rest"]
        if rest.endswith("<unfinished ...>"):
            begun[pid] = at, rest.removesuffix("<unfinished ...>").rstrip()
            continue
        if resumed := _RESUMED.match(rest):
            at, first = begun.pop(pid)
            rest = first + resumed["rest"]
        done = _DONE.match(rest)
        if done is not None and int(done["result"]) >= 0:
            yield _call(at, done)


def _call(at: float, done: re.Match[str]) -> Call:
    name, given, ended = done["call"], done["given"], at + float(done["took"])
    if name == "unlink":
        return Call(at, ended, name, ast.literal_eval(given))
    file = _FILE.match(given)
    assert file is not None, given[:80]
    if name == "ftruncate":
        return Call(at, ended, name, file["path"], offset=int(file["rest"]))
    written = _WRITTEN.match(file["rest"])
    if written is None:
        return Call(at, ended, name, file["path"])
    data = ast.literal_eval("b" + written["data"])[: int(done["result"])]
    return Call(at, ended, name, file["path"], data, int(written["offset"] or 0))


@dataclass(slots=True)
class Disk:
    """Files as they are on the disk for certain, and what was done to each since its last sync."""

    files: dict[str, bytearray]
    barriers: bool = True  # False: a disk that lies about its syncs, and keeps nothing that was written
    unsynced: dict[str, list[Call]] = field(default_factory=dict)

    def do(self, call: Call) -> None:
        """Take note of a call that is over."""
        if call.name == "unlink":
            self.files.pop(call.file, None)
            self.unsynced.pop(call.file, None)
        elif call.name in ("fdatasync", "fsync"):
            if self.barriers:
                for one in self.unsynced.pop(call.file, []):
                    _apply(self.files.setdefault(call.file, bytearray()), one)
        else:
            self.unsynced.setdefault(call.file, []).append(call)

    def cut(self, chance: random.Random, kept: float) -> dict[str, bytes]:
        """Return what is there after a power cut, when this share of the sectors that were not synced was written."""
        torn = {name: bytearray(content) for name, content in self.files.items()}
        for name, calls in self.unsynced.items():
            for call in calls:
                _apply(torn.setdefault(name, bytearray()), call, lambda: chance.random() < kept)
        return {name: bytes(content) for name, content in torn.items()}


def _apply(content: bytearray, call: Call, is_kept: object = None) -> None:
    kept = is_kept if callable(is_kept) else lambda: True
    if call.name == "ftruncate":
        if kept():
            del content[call.offset :]
            content.extend(bytes(call.offset - len(content)))
        return
    start, end = call.offset, call.offset + len(call.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        if kept():
            content.extend(bytes(max(0, stop - len(content))))
            content[start:stop] = call.data[start - call.offset : stop - call.offset]
        start = stop
