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
        rate = (settled - self.first) / elapsed if elapsed > 0 else 0.0
        more = (
            f"refused {account.refused}, unknown {account.unknown}"
            if account.refused + account.unknown
            else ""
        )
        if self._bar is not None:
            self.bar.update(
                self.task, completed=settled, total=account.audience, rate=f"{rate:,.0f}/s", more=more
            )
        elif self.enabled and time.monotonic() - self.said >= 10:
            self.said = time.monotonic()
            left = (account.audience - settled) / rate if rate else 0
            sys.stderr.write(
                f"{settled} of {account.audience}, {rate:,.0f}/s, about {left:,.0f} s left. {more}\n"
            )
