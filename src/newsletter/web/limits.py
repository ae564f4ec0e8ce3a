"""Who asks for the same feed too often is asked to wait (RFC 6585 §4): by feed, address and program.

Readers behind one address that use different programs do not share a limit, only a wider one. Addresses are
kept as hashes with a key of this process, and forgotten.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from functools import lru_cache

ONE = (5.0, 60)  # seconds for each request of one program at one address, and how many may come at once
ALL = (0.5, 600)  # the same for everybody at one address
MOST = 100_000  # that are remembered


class Limits:
    """Counts requests by leaky buckets, of which each is one number: when it will be empty."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._empty: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._empty)

    def wait(self, feed: str, address: str, agent: bytes) -> int:
        """Take a request into account; return 0, or after how many seconds the next one is welcome."""
        where = network(address) if ":" in address else address
        now, empty = self._clock(), self._empty
        one, every = hash((feed, where, agent)), hash((feed, where))
        own, shared = empty.get(one, now), empty.get(every, now)
        own = (own if own > now else now) + ONE[0]
        shared = (shared if shared > now else now) + ALL[0]
        over = max(own - now - ONE[0] * ONE[1], shared - now - ALL[0] * ALL[1])
        if over > 0:
            return math.ceil(over)
        empty[one], empty[every] = own, shared
        if len(empty) > MOST:
            self._forget(now)
        return 0

    def _forget(self, now: float) -> None:
        kept = {key: at for key, at in self._empty.items() if at > now}
        while len(kept) > MOST // 2:  # a flood: the fullest are those that matter
            middle = sorted(kept.values())[len(kept) // 2]
            kept = dict([one for one in kept.items() if one[1] > middle][: MOST // 2])
        self._empty = kept


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """Return the /64 of an IPv6 address: one line has as many addresses as it likes."""
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
