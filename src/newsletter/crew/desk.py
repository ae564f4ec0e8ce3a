"""The desk: what connections ask for their work, and what they share."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext

from newsletter.errors import TransportError
from newsletter.model import Reader, Receipt
from newsletter.transports import Abortable, Transport


class Baton:
    """Held by the one thread that works; whoever waits lays it down. Without, threads would fight for the interpreter.

    It is a context manager for holding it; `waiting` gives one for doing without, which may stand in it or outside.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder = 0
        self._laid_down = _LaidDown(self)

    def __enter__(self) -> None:
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        self._holder = 0
        self._lock.release()

    def waiting(self) -> AbstractContextManager[object]:
        """Let another thread work while the block runs, if this one does."""
        return self._laid_down if self._holder == threading.get_ident() else _NOTHING


class _LaidDown:
    def __init__(self, baton: Baton) -> None:
        self._baton = baton

    def __enter__(self) -> None:
        self._baton.__exit__()

    def __exit__(self, *error: object) -> None:
        self._baton.__enter__()


_NOTHING = nullcontext()


class Desk(ABC):
    """One for the connections of a process; every method may be called from any of their threads.

    `over` is set when nothing more may be taken. `opening` is held while a connection is made, one after the other:
    a wrong password is tried once. `reconnect` are the waits in seconds between failures of a connection, which end
    in giving up. With a `baton`, connections work one at a time.
    """

    def __init__(self, transport: str, reconnect: tuple[float, ...], baton: Baton | None = None) -> None:
        self.transport = transport
        self.reconnect = reconnect
        self.baton = baton
        self.over = threading.Event()
        self.opening = threading.Lock()
        self.open: set[Transport] = set()

    @abstractmethod
    def take(self, most: int, server: str) -> Sequence[Reader]:
        """Return readers whose turn it is at a server, at most so many; wait for a turn. None are left at the end."""

    @abstractmethod
    def is_ready(self, server: str) -> bool:
        """Tell whether `take` would answer without a wait for a turn."""

    @abstractmethod
    def has_more(self) -> bool:
        """Tell whether somebody is left to be taken."""

    @abstractmethod
    def intend(self, keys: Sequence[int]) -> Collection[int]:
        """Write down durably that these are about to be sent; return those that may be."""

    @abstractmethod
    def settle(self, receipt: Receipt) -> None:
        """Take what became of one that might be sent; it is queued before any later intent is written."""

    @abstractmethod
    def quarantine(self, key: int, fault: str) -> None:
        """Take that nothing could be rendered for a reader, and why."""

    @abstractmethod
    def give_back(self, keys: Sequence[int]) -> None:
        """Take back those that might be sent and were certainly never handed over."""

    @abstractmethod
    def opened(self, window: int) -> None:
        """Take that a connection stands which may have so many messages on their way."""

    @abstractmethod
    def hold(self, reason: str, rest: float = 0.0) -> None:
        """Stop the issue until its editor has looked, or so many seconds are over."""

    @abstractmethod
    def give_up(self, error: TransportError) -> None:
        """Take that a connection gave up after several failures."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Take what nobody expected; everything stops."""

    def abort(self, *, doubt: bool) -> None:
        """Cut every connection that can be cut."""
        for transport in list(self.open):
            if isinstance(transport, Abortable):
                transport.abort(doubt=doubt)
