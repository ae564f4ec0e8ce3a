"""A process of connections: its desk speaks for the publisher's, over a socket that ends with either of them.

`python -m newsletter.crew.process SOCKET ORDERS BOX` with the handles of all: orders have a socket of their own, and
BOX is -1 where there is no black box. When the publisher dies this process ends at once, so that nobody sends what
nobody writes down.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Channel
from typing import Any, Protocol, runtime_checkable

from newsletter.crew.blackbox import Places
from newsletter.crew.connection import Connection
from newsletter.crew.desk import Baton, Desk
from newsletter.crew.frames import (
    CUT,
    CUT_CLEANLY,
    DONE,
    STOP,
    Answer,
    Asked,
    Dealt,
    Setup,
    pack,
    pack_receipt,
    unpack,
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


@dataclass(slots=True, eq=False)
class _Frame:
    asked: Asked = field(default_factory=lambda: Asked([], [], [], [], [], []))
    answer: Answer | None = None


class RemoteDesk(Desk):
    """Asks the publisher frame by frame: one frame is on its way at a time, and the next gathers meanwhile.

    Of those who wait for an answer the first sends the frame and hears, for all who added to it.
    """

    def __init__(self, channel: Channel[Any, Any], transport: str, reconnect: tuple[float, ...]) -> None:
        super().__init__(transport, reconnect, Baton())
        self._channel = channel
        self._talking = threading.Lock()
        self._guard = threading.Lock()
        self._gathering = _Frame()
        self._stirred = threading.Event()  # something was added
        self._stocking = threading.Lock()
        self._stock: deque[Reader] = deque()
        self._ready_at = 0.0
        self.courier = threading.Thread(target=self._carry, name="courier", daemon=True)

    # What connections ask

    def take(self, most: int, server: str) -> Sequence[Reader]:
        """Return readers from those in stock, or from the publisher."""
        while not self.over.is_set():
            if readers := self._draw(most):
                return readers
            with self._waiting(), self._stocking:
                if self._stock:
                    continue
                dealt = self._want(most, server)
                self._ready_at = time.monotonic() + dealt.wait
                with self._guard:
                    self._stock.extend(map(unpack_reader, dealt.readers))
            if dealt.wait:
                with self._waiting():
                    self.over.wait(dealt.wait)
            elif not dealt.readers:
                break
        return ()

    def _draw(self, most: int) -> Sequence[Reader]:
        with self._guard:
            return [self._stock.popleft() for _ in range(min(most, len(self._stock)))]

    def is_ready(self, server: str) -> bool:
        """Tell what the last answer let expect."""
        return bool(self._stock) or time.monotonic() >= self._ready_at

    def has_more(self) -> bool:
        """Ask, when there is nothing in stock."""
        return bool(self._stock) or self._want(0, "").more

    def intend(self, keys: Sequence[int]) -> Collection[int]:
        """Have the publisher write intents."""
        with self._guard:
            frame = self._gathering
            frame.asked.intents.extend(keys)
        return self._send(frame).claimed

    def settle(self, receipt: Receipt) -> None:
        """Send an outcome with the next frame."""
        self._add(lambda asked: asked.settled.append(pack_receipt(receipt)))

    def quarantine(self, key: int, fault: str) -> None:
        """Send it with the next frame."""
        self._add(lambda asked: asked.quarantined.append((key, fault)))

    def give_back(self, keys: Sequence[int]) -> None:
        """Send them with the next frame."""
        self._add(lambda asked: asked.returned.extend(keys))

    def opened(self, window: int) -> None:
        """Tell."""
        self.note("opened", window)

    def hold(self, reason: str, rest: float = 0.0) -> None:
        """Tell, and stop here."""
        self.over.set()
        self.note("hold", (reason, rest))

    def give_up(self, error: TransportError) -> None:
        """Tell."""
        self.note("give_up", (error.what, error.where, error.remedy, error.lasting))

    def fail(self, error: BaseException) -> None:
        """Tell, and stop here."""
        self.over.set()
        self.note("fail", f"{type(error).__name__}: {error}")

    def note(self, what: str, argument: Any) -> None:
        """Send a note with the next frame."""
        self._add(lambda asked: asked.notes.append((what, argument)))

    def _want(self, most: int, server: str) -> Dealt:
        with self._guard:
            frame = self._gathering
            at = len(frame.asked.wants)
            frame.asked.wants.append((most, server))
        return Dealt(*self._send(frame).dealt[at])

    def _waiting(self) -> AbstractContextManager[object]:
        assert self.baton is not None
        return self.baton.waiting()

    # Frames

    def _add(self, add: Callable[[Asked], None]) -> None:
        with self._guard:
            add(self._gathering.asked)
        if not self._stirred.is_set():
            self._stirred.set()

    def _send(self, frame: _Frame) -> Answer:
        """Return the answer to a frame, once it is sent."""
        with self._waiting(), self._talking:
            if frame.answer is None:
                with self._guard:
                    assert frame is self._gathering
                    self._gathering = _Frame()
                try:
                    self._channel.send_bytes(pack(frame.asked))
                    frame.answer = Answer(*unpack(self._channel.recv_bytes()))
                except (EOFError, OSError):
                    os._exit(1)  # the publisher is gone
            return frame.answer

    def _carry(self) -> None:
        """Send what nobody waits for, when nobody's frame took it along within a moment."""
        while True:
            self._stirred.wait()
            self._stirred.clear()
            with self._guard:
                frame = self._gathering
            time.sleep(_PATIENCE)
            if any(frame.asked):
                self._send(frame)

    def close(self) -> None:
        """Send what is left, and wait for its answer."""
        with self._guard:
            frame = self._gathering
        self._send(frame)

    def obey(self, orders: Channel[Any, Any]) -> None:
        """Do what the publisher says unasked until it is gone."""
        while True:
            said = orders.recv_bytes().decode()
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


def main(handle: int, orders: int, box: int) -> None:
    """Do what the publisher at the other end of the sockets says."""
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
        gc.freeze()  # what is here now stays, and little that comes has cycles
        gc.set_threshold(20_000)
        desk.courier.start()
        threading.Thread(target=work, args=(desk, connections, setup.render), daemon=True).start()
        desk.obey(Channel(orders))
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
