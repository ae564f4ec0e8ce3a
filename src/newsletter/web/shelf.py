"""Feeds kept in memory, each in every coding that lies beside it.

One look at the disk a request tells whether the file is another: a hub that was notified asks at once. What lies beside
it is looked at once a second.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import NamedTuple

from newsletter.web.conditions import codings
from newsletter.web.editions import Editions
from newsletter.web.files import FEED_CACHING, SUFFIXES, inside, is_feed, type_of

FRESH = 1.0  # seconds that a look at what lies beside a file is good for
MOST_BYTES = 32 * 1024 * 1024  # of all that is kept
LARGEST = 4 * 1024 * 1024  # a larger file is answered from the disk

_SPELLINGS = 100  # of Accept-Encoding that are remembered, and how long each may be

_Fact = tuple[int, int, int, int]
_Facts = tuple[_Fact | None, ...]


class Answer(NamedTuple):
    """An answer: `head` is its first line and its headers but for the date, without the empty line."""

    status: int
    head: bytes
    body: bytes

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers one by one."""
        lines = self.head.split(b"\r\n")[1:-1]
        return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]


@dataclass(frozen=True, slots=True)
class Form:
    """A feed in one coding, with its two answers."""

    coding: str
    etag: str
    tag: bytes
    whole: Answer
    unchanged: Answer


@dataclass(slots=True)
class Kept:
    """A feed as it lay on the disk when it was last looked at."""

    path: str
    file: str
    facts: _Facts
    modified: int  # seconds, not in the future
    forms: dict[str, Form]
    checked: float
    size: int
    links: tuple[str, ...] = ()
    chosen: dict[bytes, Form] = field(default_factory=dict)

    def form(self, offers: bytes) -> Form:
        """Return the form for an `Accept-Encoding`."""
        found = self.chosen.get(offers)
        if found is None:
            best = codings(offers.decode("latin-1"))
            found = next(self.forms[one] for one in best if one in self.forms)
            if len(self.chosen) < _SPELLINGS and len(offers) < _SPELLINGS:
                self.chosen[offers] = found
        return found


class Shelf:
    """The feeds of one folder. `links` gives the values of Link headers, `guarded` the headers of whole answers."""

    def __init__(
        self, folder: Path, links: Callable[[str], tuple[str, ...]], guarded: dict[str, str]
    ) -> None:
        self._folder = folder
        self._links = links
        self._guarded = guarded
        self._kept: dict[str, Kept] = {}
        self.size = 0
        self._lock = threading.Lock()
        self.editions = Editions()

    def get(self, path: str) -> Kept | None:
        """Return a feed by its path below the root, None when there is none, or none that fits."""
        kept = self._kept.get(path)
        if kept is not None and time.monotonic() - kept.checked < FRESH and _fact(kept.file) == kept.facts[0]:
            return kept
        return self._look(path) if is_feed(path) else None

    def _look(self, path: str) -> Kept | None:
        with self._lock:
            target = inside(self._folder, path)
            now, kept = time.monotonic(), self._kept.get(path)
            facts = () if target is None else _facts(target)
            if not facts or target is None:
                self._drop(path)
                return None
            if kept is not None and kept.facts == facts and kept.modified == _seconds(facts):
                kept.checked = now
                return kept
            made = self._load(path, target, facts, now)
            self._drop(path)
            if made is not None:
                if kept is not None:
                    self.editions.remember(path, kept.forms["identity"].whole.body, _tags(kept))
                self._keep(path, made)
            return made

    def _load(self, path: str, target: Path, facts: _Facts, now: float) -> Kept | None:
        bodies: dict[str, bytes] = {}
        for (coding, suffix), fact in zip(_CODINGS, facts, strict=True):
            if fact is None or fact[3] > LARGEST:
                continue
            try:
                bodies[coding] = target.with_name(target.name + suffix).read_bytes()
            except OSError:
                continue
        if "identity" not in bodies:
            return None
        modified = min(_seconds(facts), int(time.time()))
        links = self._links(path)
        forms = {coding: self._form(path, coding, body, modified, links) for coding, body in bodies.items()}
        size = sum(map(len, bodies.values()))
        return Kept(path, str(target), facts, modified, forms, now, size, links)

    def _form(self, path: str, coding: str, body: bytes, modified: int, links: tuple[str, ...]) -> Form:
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        common = [
            ("etag", etag),
            ("last-modified", format_datetime(datetime.fromtimestamp(modified, UTC), usegmt=True)),
            ("cache-control", FEED_CACHING),
            ("vary", "Accept-Encoding"),
            *(("link", one) for one in links),
        ]
        kind = ("content-type", type_of(path.rpartition("/")[2]))
        coded = [("content-encoding", coding)] if coding != "identity" else []
        whole = [*common, kind, *coded, ("content-length", str(len(body))), *self._guarded.items()]
        same = Answer(304, head("304 Not Modified", common), b"")
        return Form(coding, etag, etag.encode(), Answer(200, head("200 OK", whole), body), same)

    def _keep(self, path: str, made: Kept) -> None:
        self._kept[path] = made
        self.size += made.size
        while self.size > MOST_BYTES and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def _drop(self, path: str) -> None:
        gone = self._kept.pop(path, None)
        self.size -= gone.size if gone else 0


_CODINGS = tuple(sorted(SUFFIXES.items(), key=lambda one: one[1]))  # the file itself first


def head(status: str, headers: list[tuple[str, str]]) -> bytes:
    """Return the head of an answer without the end of it."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), ""]
    return "\r\n".join(lines).encode("latin-1")


def _fact(file: str) -> _Fact | None:
    try:
        seen = os.stat(file)  # noqa: PTH116  # for every request, and a Path costs more than the look
    except OSError:
        return None
    return (seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size) if stat.S_ISREG(seen.st_mode) else None


def _facts(target: Path) -> _Facts:
    """Return what tells a file, and each compressed one beside it, from another; an older one does not count."""
    own = _fact(str(target))
    if own is None:
        return ()
    beside = (_fact(f"{target}{suffix}") for _, suffix in _CODINGS[1:])
    return (own, *(fact if fact is not None and fact[2] >= own[2] else None for fact in beside))


def _seconds(facts: _Facts) -> int:
    return facts[0][2] // 1_000_000_000 if facts and facts[0] else 0


def _tags(kept: Kept) -> list[str]:
    return [form.etag for form in kept.forms.values()]
