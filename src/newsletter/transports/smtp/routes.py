"""The servers of a publication, and which of them a connection tries next.

Connections are spread by weight. A server that fails rests, longer with each failure in a row, and the others carry on;
when all rest, the one that wakes first is tried.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from newsletter.config import SmtpServerConfig
from newsletter.errors import TransportError

log = logging.getLogger(__name__)
_FIRST, _LONGEST = 30.0, 1800.0  # seconds of rest after one failure, and at most
_MENDING = 3600.0  # after what somebody must mend


@dataclass(slots=True)
class _Health:
    """What is known of one server."""

    server: SmtpServerConfig
    open: int = 0
    failures: int = 0
    wakes: float = 0.0
    bias: float = field(default_factory=lambda: random.uniform(0, 0.01))  # noqa: S311  (so that processes differ)

    @property
    def load(self) -> float:
        """What another connection would make of it."""
        return (self.open + 1 + self.bias) / self.server.weight


@dataclass(slots=True)
class Routes:
    """Shared by the connections of a process; safe to call from their threads."""

    servers: Sequence[SmtpServerConfig]
    clock: Callable[[], float] = time.monotonic
    _health: dict[str, _Health] = field(init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._health = {name_of(one): _Health(one) for one in self.servers}

    def order(self) -> list[SmtpServerConfig]:
        """Return the servers to try, the one with the most room first; at least one, be they all at rest."""
        with self._guard:
            now = self.clock()
            awake = [one for one in self._health.values() if one.wakes <= now]
            awake.sort(key=lambda one: one.load)
            found = awake or [min(self._health.values(), key=lambda one: one.wakes)]
            return [one.server for one in found]

    def opened(self, server: SmtpServerConfig) -> None:
        """Take note of a connection that stands."""
        with self._guard:
            self._health[name_of(server)].open += 1

    def closed(self, server: SmtpServerConfig) -> None:
        """Take note that it ended."""
        with self._guard:
            self._health[name_of(server)].open -= 1

    def carried(self, server: SmtpServerConfig) -> None:
        """Take note that a server does its work."""
        with self._guard:
            self._health[name_of(server)].failures = 0

    def failed(self, server: SmtpServerConfig, error: TransportError) -> None:
        """Let a server rest."""
        with self._guard:
            health = self._health[name_of(server)]
            health.failures += 1
            rest = min(_FIRST * 2.0 ** (health.failures - 1), _LONGEST)
            if error.lasting:
                rest = error.rest or _MENDING
            health.wakes = self.clock() + rest * random.uniform(1, 1.2)  # noqa: S311  (no secret)
            others = len(self._health) > 1
        if others:
            level = logging.ERROR if error.lasting else logging.WARNING
            log.log(level, "%s; it rests for %.0f s, the other servers carry on", error, rest)


def name_of(server: SmtpServerConfig) -> str:
    """Return what a server is called in the history."""
    return f"{server.host}:{server.port}"
