"""Looks after a round from the caller's thread: progress, and an end to waiting."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from newsletter.deliver.ledger import Ledger
from newsletter.model import Account

_PROGRESS_EVERY = 0.2
_CLEANUP = 0.8  # seconds that connections which were cut have to tell what became of their messages


class Watch:
    """Tells of progress, and says when connections must be cut and when they are no longer waited for."""

    def __init__(
        self,
        ledger: Ledger,
        abort: Callable[[bool], None],
        progress: Callable[[Account], None] | None,
        *,
        grace: float,
        drain: float,
    ) -> None:
        self.ledger = ledger
        self.abort = abort  # with or without leaving doubt
        self.progress = progress
        self.grace = grace
        self.drain = drain
        self.over_since = 0.0
        self.aborted = 0
        self.samples: deque[tuple[float, int]] = deque(maxlen=25)
        self.said = 0.0

    def look(self, *, over: bool) -> bool:
        """Do what is due; False when the connections are no longer waited for."""
        now = time.monotonic()
        if self.progress is not None and now - self.said >= _PROGRESS_EVERY:
            self.say()
        if not over:
            return True
        self.over_since = self.over_since or now
        if self.ledger.error is not None and self.aborted < 2:
            self.over_since = now - self.drain - 1e-6
        waited = now - self.over_since
        if waited > self.drain and self.aborted < 2:
            self.aborted = 2
            self.abort(True)
        elif waited > self.grace and self.aborted < 1:
            self.aborted = 1
            self.abort(False)
        idle = self.aborted and self.ledger.account().attempting == 0  # at most, somebody connects
        return not idle and waited < self.drain + _CLEANUP

    def say(self) -> None:
        """Report the sum and the rate over the last seconds."""
        if self.progress is None:
            return
        self.said = time.monotonic()
        account = self.ledger.account()
        self.samples.append((self.said, account.audience - account.waiting - account.attempting))
        (first, before), (last, settled) = self.samples[0], self.samples[-1]
        rate = (settled - before) / (last - first) if last > first else 0.0
        self.progress(replace(account, per_second=rate))
