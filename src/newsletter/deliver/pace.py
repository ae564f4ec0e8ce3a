"""Whose turn is when: the rate an editor set, and what a server or a domain can bear.

    all messages: one rate | each server: a valve | each domain that asked for less: a valve

Pure arithmetic over seconds of any steady clock. A valve is open until its server or domain asks for less; then it
halves, and opens again with every second in which messages pass.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from newsletter.model import Outcome, Receipt, Stage
from newsletter.transports.replies import Blame, Schedule, Verdict

_CATCH_UP = 0.05  # seconds by which a turn may be late and the next is not
_SLOWEST = 0.2  # messages a second below which no valve closes
_EVENT = 1.0  # seconds within which several complaints are one
_GROWTH = 1.1  # a valve's rate from one second with messages to the next
_WIDE = 4.0  # times the rate of the last complaint at which a valve is open again
_TOO_FAST = re.compile(r"rate.?limit|too (many|fast|much)|throttl|slow(ing)? down|quota.{0,40}exceeded", re.I)


@dataclass(slots=True)
class Rate:
    """Turns at so many a second, evenly; `per_second` None is no limit."""

    per_second: float | None = None
    _next: float = 0.0

    def grant(self, most: int, now: float) -> int:
        """Take as many turns as have come, at most so many."""
        if self.per_second is None:
            return most
        if now < self._next:
            return 0
        if now - self._next > _CATCH_UP:
            self._next = now
        count = min(most, 1 + int((now - self._next) * self.per_second))
        self._next += count / self.per_second
        return count

    def wait(self, now: float) -> float:
        """Return the seconds until the next turn."""
        return 0.0 if self.per_second is None else max(0.0, self._next - now)


@dataclass(slots=True)
class Valve(Rate):
    """A rate that gives way to complaints, and recovers."""

    _complained: float = -_EVENT
    _before: float = 0.0  # the rate at which the last complaint came
    _since: float = 0.0
    _passed: int = 0
    _measured: float = 0.0

    def passed(self, now: float) -> None:
        """Take note that a message was taken."""
        self._passed += 1
        if now - self._since < 1:
            return
        self._measured = self._passed / min(now - self._since, 10.0) if self._since else float(self._passed)
        self._since, self._passed = now, 0
        if self.per_second is not None:
            self.per_second *= _GROWTH
            if self.per_second > _WIDE * self._before:
                self.per_second = None

    def complain(self, now: float) -> None:
        """Take note that it was too much: half of what went from now on, where anything went."""
        if now - self._complained < _EVENT or not (self._measured or self._passed):
            return
        self._complained = now
        current = self.per_second or max(self._measured, self._passed / max(now - self._since, 1.0))
        self._before = max(current, _SLOWEST)
        self.per_second = max(current / 2, _SLOWEST)
        self._next = now + 1 / self.per_second
        self._since, self._passed, self._measured = now, 0, 0.0


@dataclass(slots=True)
class Paces:
    """All rates of one run; `limit` gives the rate set for all, at an instant, None for none."""

    limit: Callable[[float], float | None] = lambda now: None
    _all: Rate = field(default_factory=Rate)
    _servers: dict[str, Valve] = field(default_factory=dict)
    _domains: dict[str, Valve] = field(default_factory=dict)  # those that asked for less
    _passed: Counter[str] = field(default_factory=Counter)  # by domain
    _since: float = 0.0

    def grant(self, most: int, server: str, now: float) -> tuple[int, float]:
        """Return how many may go over a server now; when none may, the seconds until one may."""
        self._all.per_second = self.limit(now)
        valve = self._server(server)
        if wait := max(self._all.wait(now), valve.wait(now)):
            return 0, wait
        return self._all.grant(valve.grant(most, now), now), 0.0

    def is_free(self, server: str, now: float) -> bool:
        """Tell whether any number may go over a server at once."""
        return self.limit(now) is None and self._server(server).per_second is None

    def wait(self, server: str, now: float) -> float:
        """Return the seconds until one may go over a server."""
        return max(self._all.wait(now), self._server(server).wait(now))

    def hold_back(self, domain: str, now: float) -> bool:
        """Tell whether a message to a domain must wait; when not, its turn is taken."""
        valve = self._domains.get(domain)
        return valve is not None and not valve.grant(1, now)

    def turn_of(self, domain: str, now: float) -> float:
        """Return the seconds until a domain's next turn."""
        valve = self._domains.get(domain)
        return 0.0 if valve is None else valve.wait(now)

    def hear(self, receipt: Receipt, verdict: Verdict, domain: str, now: float) -> None:
        """Learn from what was said of a message."""
        if receipt.outcome is Outcome.ACCEPTED:
            self._server(receipt.server).passed(now)
            self._since = self._since or now
            self._passed[domain] += 1
            if domain in self._domains:
                self._domains[domain].passed(now)
            return
        ours = receipt.code == 421 or receipt.stage is Stage.MAIL or _TOO_FAST.search(receipt.text)
        policy = receipt.enhanced.startswith("4.7.") and verdict.schedule is not Schedule.GREYLISTED
        if 400 <= receipt.code < 500 and (verdict.blame is Blame.SERVER or ours):
            self._server(receipt.server).complain(now)
        if policy and receipt.stage in (Stage.RCPT, Stage.END_OF_DATA):
            if domain not in self._domains:
                rate = self._passed[domain] / max(now - self._since, 1.0)
                self._domains[domain] = Valve(_measured=rate)
            self._domains[domain].complain(now)

    def _server(self, name: str) -> Valve:
        return self._servers.setdefault(name, Valve())
