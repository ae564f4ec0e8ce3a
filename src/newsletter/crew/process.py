"""A process of connections: its desk speaks for the publisher's, over a socket that ends with either of them.

`python -m newsletter.crew.process SOCKET BOX` with the handles of both; BOX is -1 where there is no black box. When the
publisher dies this process ends at once, so that nobody sends what nobody writes down.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Channel
from typing import Any, Protocol, runtime_checkable

from newsletter.crew.blackbox import Places
from newsletter.crew.connection import Connection
from newsletter.crew.desk import Desk
from newsletter.crew.frames import (
    CUT,
    CUT_CLEANLY,
    DONE,
    STOP,
    Answer,
    Asked,
    Dealt,
    Setup,
    pack_receipt,
    unpack_reader,
)
from newsletter.errors import TransportError
from newsletter.model import Reader, Receipt

_PATIENCE = 0.02  # seconds that outcomes wait for intents to go with them


@runtime_checkable
class Reporting(Protocol):
    """A renderer that has something to say at the end."""

    def finish(self) -> None:
        """Say it to the log."""
        ...


@dataclass(slots=True)
class _Gathered:
    asked: Asked = field(default_factory=lambda: Asked([], [], [], [], [], []))
    intents: list[Future[Collection[int]]] = field(default_factory=list)
    wants: list[Future[Dealt]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(self.asked)

    @property
    def urgent(self) -> bool:
        return bool(self.intents or self.wants or self.asked.notes)


class RemoteDesk(Desk):
    """Gathers what the connections of this process ask while the last frame is answered."""

    def __init__(self, channel: Channel, transport: str, reconnect: tuple[float, ...]) -> None:
        super().__init__(transport, reconnect)
        self._channel = channel
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._gathered = _Gathered()
        self._closing = False
        self._stocking = threading.Lock()
        self._stock: deque[Reader] = deque()
        self._ready_at = 0.0
        self.courier = threading.Thread(target=self._carry, name="courier", daemon=True)

    # What connections ask

    def take(self, most: int, server: str) -> Sequence[Reader]:
        """Return readers from those in stock, or from the publisher."""
        while not self.over.is_set():
            with self._stocking:
                if not self._stock:
                    dealt = self._want(most, server)
                    self._stock.extend(map(unpack_reader, dealt.readers))
                    self._ready_at = time.monotonic() + dealt.wait
                if self._stock:
                    return [self._stock.popleft() for _ in range(min(most, len(self._stock)))]
                if not dealt.wait:
                    break
            self.over.wait(dealt.wait)
        return ()

    def is_ready(self, server: str) -> bool:
        """Tell what the last answer let expect."""
        return bool(self._stock) or time.monotonic() >= self._ready_at

    def has_more(self) -> bool:
        """Ask, when there is nothing in stock."""
        return bool(self._stock) or self._want(0, "").more

    def intend(self, keys: Sequence[int]) -> Collection[int]:
        """Have the publisher write intents."""
        future: Future[Collection[int]] = Future()

        def add(gathered: _Gathered) -> None:
            gathered.asked.intents.extend(keys)
            gathered.intents.append(future)

        self._put(add)
        return future.result()

    def settle(self, receipt: Receipt) -> None:
        """Send an outcome with the next frame."""
        row = pack_receipt(receipt)
        self._put(lambda gathered: gathered.asked.settled.append(row))

    def quarantine(self, key: int, fault: str) -> None:
        """Send it with the next frame."""
        self._put(lambda gathered: gathered.asked.quarantined.append((key, fault)))

    def give_back(self, keys: Sequence[int]) -> None:
        """Send them with the next frame."""
        self._put(lambda gathered: gathered.asked.returned.extend(keys))

    def opened(self, window: int) -> None:
        """Tell."""
        self.note("opened", window)

    def hold(self, reason: str, rest: float = 0.0) -> None:
        """Tell, and stop here."""
        self.over.set()
        self.note("hold", (reason, rest))

    def give_up(self, error: TransportError) -> None:
        """Tell."""
        self.note("give_up", error)

    def fail(self, error: BaseException) -> None:
        """Tell, and stop here."""
        self.over.set()
        self.note("fail", f"{type(error).__name__}: {error}")

    def note(self, what: str, argument: Any) -> None:
        """Send a note with the next frame."""
        self._put(lambda gathered: gathered.asked.notes.append((what, argument)))

    def _want(self, most: int, server: str) -> Dealt:
        future: Future[Dealt] = Future()

        def add(gathered: _Gathered) -> None:
            gathered.asked.wants.append((most, server))
            gathered.wants.append(future)

        self._put(add)
        return future.result()

    # Frames

    def _put(self, add: Callable[[_Gathered], None]) -> None:
        with self._changed:
            quiet = bool(self._gathered) and not self._gathered.urgent
            add(self._gathered)
            if not quiet or self._gathered.urgent:
                self._changed.notify()

    def _carry(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._gathered or self._closing)
                self._changed.wait_for(lambda: self._gathered.urgent or self._closing, timeout=_PATIENCE)
                taken, self._gathered = self._gathered, _Gathered()
            if not taken:
                return
            self._channel.send(taken.asked)
            answer = self._answers.get()
            claimed = frozenset(answer.claimed)
            for intent in taken.intents:
                intent.set_result(claimed)
            for want, dealt in zip(taken.wants, answer.dealt, strict=True):
                want.set_result(dealt)

    def close(self) -> None:
        """Send what is left, and wait for its answer."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self.courier.join()

    def listen(self) -> None:
        """Hear the publisher until it is gone."""
        while True:
            said = self._channel.recv()
            if isinstance(said, Answer):
                self._answers.put(said)
                continue
            self.over.set()
            if said in (CUT, CUT_CLEANLY):
                self.abort(doubt=said == CUT)
            else:
                assert said == STOP


class _Forward(logging.Handler):
    """Sends what is logged to the publisher's log."""

    def __init__(self, desk: RemoteDesk) -> None:
        super().__init__(logging.INFO)
        self._desk = desk

    def emit(self, record: logging.LogRecord) -> None:
        self._desk.note("log", (record.levelno, record.name, record.getMessage()))


def work(desk: RemoteDesk, connections: list[Connection], render: object) -> None:
    """Send until nothing is due, then leave."""
    for one in connections:
        one.start()
    for one in connections:
        one.join()
    if isinstance(render, Reporting):
        render.finish()
    desk.note(DONE, None)
    desk.close()
    os._exit(0)


def main(handle: int, box: int) -> None:
    """Do what the publisher at the other end of the socket says."""
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the publisher, which says what to do
        signal.signal(number, signal.SIG_IGN)
    channel: Channel[Any, Any] = Channel(handle)
    try:
        sys.path[:] = channel.recv()
        setup: Setup = channel.recv()
        desk = RemoteDesk(channel, setup.transport, setup.reconnect)
        logging.basicConfig(handlers=[_Forward(desk)], level=logging.INFO)
        places = Places(box, setup.box_size) if box >= 0 else None
        connections = [
            Connection(
                desk,
                setup.render,
                setup.connect,
                places.ring(number) if places is not None else None,
                f"connection {number}",
            )
            for number in setup.rings
        ]
        desk.courier.start()
        threading.Thread(target=work, args=(desk, connections, setup.render), daemon=True).start()
        desk.listen()
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
