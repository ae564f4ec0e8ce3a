"""The progress of a delivery, and Ctrl-C as a wish to stop."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from newsletter.model import Account


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `stop`; a second SIGINT interrupts at once."""

    def wish(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Progress:
    """A bar with rate and time left on a terminal; a line every ten seconds otherwise."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self.began = time.monotonic()
        self.said = self.began
        self.first: int | None = None
        self._bar: object | None = None

    def __enter__(self) -> Self:
        if self.enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self.bar = Bar(
                TextColumn("delivering"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[more]}"),
                console=Console(stderr=True),
            )
            self.task = self.bar.add_task("", total=None, rate="", more="")
            self.bar.start()
            self._bar = self.bar
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self.bar.stop()

    def update(self, account: Account) -> None:
        """Show where the delivery stands."""
        settled = account.audience - account.waiting - account.attempting
        if self.first is None:
            self.first = settled
        elapsed = time.monotonic() - self.began
        rate = account.per_second or ((settled - self.first) / elapsed if elapsed > 0 else 0.0)
        if self._bar is not None:
            speed = f"{rate:,.0f}/s"
            self.bar.update(
                self.task, completed=settled, total=account.audience, rate=speed, more=in_trouble(account)
            )
        elif self.enabled and time.monotonic() - self.said >= 10:
            self.said = time.monotonic()
            sys.stderr.write(line_of(account, rate) + "\n")


def in_trouble(account: Account) -> str:
    """Say how many were put off, refused or are unknown, those that are some."""
    counts = (("put off", account.deferred), ("refused", account.refused), ("unknown", account.unknown))
    return ", ".join(f"{what} {count:,}" for what, count in counts if count)


def line_of(account: Account, rate: float) -> str:
    """Say in one line where a delivery stands."""
    left = account.waiting + account.attempting
    parts = [f"{account.audience - left:,} of {account.audience:,}", f"{rate:,.0f}/s"]
    if rate and left:
        minutes, seconds = divmod(round(left / rate), 60)
        parts.append(f"about {minutes} min {seconds} s left" if minutes else f"about {seconds} s left")
    return ", ".join(filter(None, (*parts, in_trouble(account))))
