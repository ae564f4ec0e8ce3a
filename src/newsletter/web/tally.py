"""How many subscribers aggregators say they fetch a feed for: the number in their User-Agent, and nobody's address."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime

from newsletter.errors import OutsideError
from newsletter.store import Store, readers

log = logging.getLogger(__name__)

PAUSE = 300.0  # seconds between two writes
MOST_AGENTS = 4_096  # spellings that are remembered
MOST_COUNTS = 10_000
MOST_SUBSCRIBERS = 100_000_000
_COUNT = re.compile(r"\b(\d{1,9}) (?:subscriber|reader)s?\b", re.IGNORECASE)
_PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9._ -]{0,39}")
_COMPATIBLE = re.compile(r"^Mozilla/\S+ \(compatible; *", re.IGNORECASE)


def said(agent: str) -> tuple[str, int] | None:
    """Return the name and the number of subscribers that a User-Agent tells, None when it tells none."""
    count = _COUNT.search(agent)
    name = _PRODUCT.match(_COMPATIBLE.sub("", agent).strip())
    if count is None or name is None or int(count[1]) > MOST_SUBSCRIBERS:
        return None
    return _COUNT.split(name[0])[0].strip(" -.") or "unnamed", int(count[1])


class Tally:
    """Keeps the newest number for each feed and aggregator, and writes what is new into the store now and then."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._agents: dict[bytes, tuple[str, int] | None] = {}
        self._new: dict[tuple[str, str], int] = {}
        self._due = time.monotonic() + PAUSE
        self._lock = threading.Lock()

    def note(self, feed: str, agent: bytes) -> None:
        """Take note of a request for a feed."""
        try:
            told = self._agents[agent]
        except KeyError:
            if len(self._agents) >= MOST_AGENTS:
                self._agents.clear()
            told = self._agents[agent] = said(agent[:300].decode("latin-1"))
        if told is None:
            return
        if len(self._new) < MOST_COUNTS:
            self._new[feed, told[0]] = told[1]
        if time.monotonic() > self._due:
            self._due = time.monotonic() + PAUSE
            threading.Thread(target=self.write, name="tally").start()

    def write(self) -> None:
        """Write what is new; when the store cannot be written, a later request tells it again."""
        with self._lock:
            told, self._new = self._new, {}
            new = told.copy()  # a request that had hold of it may still write
            if not new:
                return
            try:
                with self._store.write() as tx:
                    readers.put(tx, new, now=self._now())
            except OutsideError as e:
                log.warning("the numbers of subscribers were not written: %s", e)
