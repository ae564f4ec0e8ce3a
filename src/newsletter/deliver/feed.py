"""The feed of a run: rows that are due, page by page, each when its turn has come."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime

from newsletter.deliver.pace import Paces
from newsletter.deliver.settling import domain_of
from newsletter.model import Delivery, Reader
from newsletter.store import Store, deliveries

PAGE = 500
_ASIDE = 2000  # rows set aside for their domains; further ones are left for another round


class Feed:
    """Deals every due row of an issue once, until it is rewound; safe to use from several threads."""

    def __init__(self, store: Store, issue_id: int, paces: Paces, clock: Callable[[], datetime]) -> None:
        self.paces = paces
        self._store = store
        self._issue_id = issue_id
        self._clock = clock
        self._rows: deque[Delivery] = deque()
        self._aside: dict[str, deque[Delivery]] = {}  # by domain, never an empty one
        self._cursor = 0  # the last subscriber read; -1 when all were
        self._guard = threading.Lock()

    def rewind(self) -> int:
        """Look from the beginning again; return how many rows are there at once."""
        with self._guard:
            self._cursor = 0
            self._rows.clear()
            self._aside.clear()
            self._refill()
            return len(self._rows)

    def ahead(self) -> list[Reader]:
        """Return the readers whose rows are there at once."""
        with self._guard:
            return [row.reader for row in self._rows]

    def put_back(self, row: Delivery) -> None:
        """Take back a row that was dealt and never tried: it is the next again."""
        with self._guard:
            self._rows.appendleft(row)

    def has_more(self) -> bool:
        """Tell whether a row is left, be its turn now or later."""
        with self._guard:
            self._refill()
            return bool(self._rows or self._aside)

    def deal(self, most: int, server: str) -> tuple[list[Delivery], float]:
        """Return rows for a server whose turn is now, at most so many; when there are none, the seconds until one's is.

        No rows and no wait: none is left.
        """
        with self._guard:
            now = time.monotonic()
            self._refill()
            if not (self._rows or self._aside):
                return [], 0.0
            count, wait = self.paces.grant(most, server, now)
            if not count:
                return [], wait
            rows = [row for _, row in zip(range(count), self._turns(now), strict=False)]
            return rows, 0.0 if rows else self._wait(now)

    def wait(self, server: str) -> float:
        """Return the seconds until a turn at a server."""
        return self.paces.wait(server, time.monotonic())

    def is_free(self, server: str) -> bool:
        """Tell whether no turn at a server is waited for."""
        return self.paces.is_free(server, time.monotonic())

    def _turns(self, now: float) -> Iterator[Delivery]:
        for domain in list(self._aside):
            rows = self._aside[domain]
            while rows and not self.paces.hold_back(domain, now):
                yield rows.popleft()
            if not rows:
                del self._aside[domain]
        while self._rows or self._refill():
            row = self._rows.popleft()
            domain = domain_of(row.reader.address)
            if domain in self._aside or self.paces.hold_back(domain, now):
                self._set_aside(domain, row)
            else:
                yield row

    def _set_aside(self, domain: str, row: Delivery) -> None:
        if sum(map(len, self._aside.values())) < _ASIDE:
            self._aside.setdefault(domain, deque()).append(row)

    def _wait(self, now: float) -> float:
        waits = (self.paces.turn_of(domain, now) for domain in self._aside)
        return max(0.001, min(waits, default=0.0)) if self._aside else 0.0

    def _refill(self) -> bool:
        if not self._rows and self._cursor >= 0:
            with self._store.read() as tx:
                rows = deliveries.due(tx, self._issue_id, after=self._cursor, now=self._clock(), limit=PAGE)
            self._rows.extend(rows)
            self._cursor = rows[-1].reader.subscriber_id if len(rows) == PAGE else -1
        return bool(self._rows)
