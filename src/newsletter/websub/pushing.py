"""Do what is due: tell hubs, ask and serve callbacks. Hosts are served beside each other, each in a line of its own.

One process does it at a time. What it was at when it died is done again by the next; nothing else is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from newsletter.config import Config
from newsletter.store import Store, meta
from newsletter.store import websub as stored
from newsletter.websub import publisher
from newsletter.websub.distribution import Distributor, rules_for

WORKERS = 16
FOR_DOUBTFUL = (
    WORKERS // 2
)  # at most so many of them for hosts that may be slow: the others never wait for those
_LOOK = 0.5  # seconds between two looks at what is due while something is on its way

Work = tuple[str, bool, Callable[[], None]]  # a host or hub, whether it may be slow, what is to be done


def _now() -> datetime:
    return datetime.now(UTC)


def push(
    store: Store,
    config: Config,
    *,
    stop: threading.Event | None = None,
    clock: Callable[[], datetime] = _now,
) -> bool:
    """Do all that is due, and what becomes due meanwhile; False when another process is at it, or none may be.

    A restored or copied store does nothing before the editor resumes it.
    """
    if not config.hubs:
        return False
    with store.read() as tx:
        if meta.pause_reason(tx):
            return False
    with store.lock("websub") as mine:
        if mine:
            with store.write() as tx:
                stored.expire(tx, now=clock())
            _Round(store, config, stop or threading.Event(), clock).run()
        return mine


class _Round:
    """The lines that are being served; each is a thread that ends with its host."""

    def __init__(
        self, store: Store, config: Config, stop: threading.Event, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._config = config
        self._stop = stop
        self._clock = clock
        self._serve = Distributor(store, config, rules_for(config), clock, stop).serve
        self._busy: dict[str, bool] = {}  # host or hub -> whether it may be slow
        self._changed = threading.Condition()
        self._failed: BaseException | None = None

    def run(self) -> None:
        """Serve until nothing is due and nobody is being served; raises what went wrong with ourselves."""
        while True:
            with self._changed:
                idle, begun = not self._busy, False
            if not self._stop.is_set() and self._failed is None:
                try:
                    begun = self._begin()
                except Exception as e:  # who is being served keeps the lock until the end
                    self._failed = e
            with self._changed:
                if idle and not begun:  # idle before the look: who ended since may have left something due
                    break
                if self._busy:
                    self._changed.wait(_LOOK)
        if self._failed is not None:
            raise self._failed

    def _begin(self) -> bool:
        """Begin as many lines as there are places; tell whether any was begun."""
        with self._changed:
            busy = dict(self._busy)
        begun = False
        for name, doubtful, work in self._due(busy):
            crowd = sum(busy.values()) if doubtful else 0
            if name in busy or len(busy) >= WORKERS or crowd >= FOR_DOUBTFUL:
                continue
            busy[name] = doubtful
            with self._changed:
                self._busy[name] = doubtful
            threading.Thread(target=self._line, args=(name, work), name=f"websub {name}", daemon=True).start()
            begun = True
        return begun

    def _due(self, busy: dict[str, bool]) -> list[Work]:
        now = self._clock()
        with self._store.read() as tx:
            hubs = list(dict.fromkeys(one.hub for one in stored.notices(tx, due=now)))
            hosts = stored.hosts_due(tx, busy, now=now, limit=2 * WORKERS) if self._config.websub.hub else []
        rules = rules_for(self._config)
        tell = partial(publisher.tell, self._store, rules=rules, clock=self._clock, stop=self._stop)
        work: list[Work] = [(hub, False, partial(tell, hub)) for hub in hubs]
        return work + [(host, doubtful, partial(self._serve, host)) for host, doubtful in hosts]

    def _line(self, name: str, work: Callable[[], None]) -> None:
        failed: BaseException | None = None
        try:
            work()
        except BaseException as e:  # of the store, or a mistake of ours: the caller hears of it
            failed = e
        with self._changed:
            self._failed = self._failed or failed
            del self._busy[name]
            self._changed.notify_all()
