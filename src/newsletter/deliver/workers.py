"""Processes of connections, from the publisher's side: each has a thread here that answers it, and buries it."""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection as Channel
from typing import Any, Protocol

from newsletter.crew import frames
from newsletter.crew.blackbox import BlackBox, Fate
from newsletter.crew.desk import Desk
from newsletter.crew.frames import Answer, Asked, Dealt, Setup
from newsletter.errors import TransportError
from newsletter.model import Delivery

log = logging.getLogger(__name__)
_STOCK = 100  # readers that a process takes at once when nobody waits for turns
_ENDING = 1.0  # seconds in which a process that was told to end does


class Office(Protocol):
    """What a worker needs of the run beside its desk."""

    def deal(self, most: int, server: str) -> tuple[list[Delivery], float]:
        """Return rows whose turn is now; when there are none, the seconds until one's is."""
        ...

    def is_free(self, server: str) -> bool:
        """Tell whether no turn at a server is waited for."""
        ...

    def bury(self, fates: dict[int, Fate], code: int) -> None:
        """Settle what a process that died had been allowed to send, by what is known of it."""
        ...


class Worker(threading.Thread):
    """One process of connections, from its start to its end."""

    def __init__(self, desk: Desk, office: Office, setup: Setup, box: BlackBox | None, *, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._desk = desk
        self._office = office
        self._setup = setup
        self._box = box
        self._claimed: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel[Any, Any] | None = None
        self._orders: Channel[Any, Any] | None = None
        self._done = False

    def run(self) -> None:
        """Start it, answer it, and settle what it leaves behind."""
        try:
            self._start()
            with contextlib.suppress(EOFError, ConnectionError):
                while True:
                    self._answer()
        except BaseException as e:  # whatever it is, the desk must know
            self._desk.fail(e)
        finally:
            self._bury()

    def order(self, what: str) -> None:
        """Tell the process to stop, or to cut its connections."""
        orders = self._orders
        if orders is not None:
            with contextlib.suppress(OSError):
                orders.send_bytes(what.encode())

    def kill(self) -> None:
        """End the process at once, if it has not ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def _start(self) -> None:
        (ours, theirs), (orders, obeyed) = socket.socketpair(), socket.socketpair()
        with theirs, obeyed:
            handles = [theirs.fileno(), obeyed.fileno(), self._box.handle[0] if self._box is not None else -1]
            command = [sys.executable, "-m", "newsletter.crew.process", *map(str, handles)]
            passed = [one for one in handles if one >= 0]
            self._process = subprocess.Popen(command, pass_fds=passed, stdin=subprocess.DEVNULL)
        self._channel, self._orders = Channel(ours.detach()), Channel(orders.detach())
        self._channel.send(sys.path)
        self._channel.send(self._setup)

    def _answer(self) -> None:
        assert self._channel is not None
        asked = Asked(*frames.unpack(self._channel.recv_bytes()))
        for row in asked.settled:
            receipt = frames.unpack_receipt(row)
            self._claimed.discard(receipt.key)
            self._desk.settle(receipt)
        for key, fault in asked.quarantined:
            self._desk.quarantine(key, fault)
        if asked.returned:
            self._claimed.difference_update(asked.returned)
            self._desk.give_back(asked.returned)
        for what, argument in asked.notes:
            self._note(what, argument)
        claimed = self._desk.intend(asked.intents) if asked.intents else ()
        mine = frozenset(asked.intents).intersection(claimed)
        self._claimed.update(mine)
        answer = Answer(mine, [tuple(self._deal(*want)) for want in asked.wants])
        self._channel.send_bytes(frames.pack(answer))

    def _deal(self, most: int, server: str) -> Dealt:
        if not most:
            return Dealt([], 0.0, self._desk.has_more())
        rows, wait = self._office.deal(_STOCK if self._office.is_free(server) else most, server)
        return Dealt([frames.pack_reader(row.reader) for row in rows], wait, bool(rows or wait))

    def _note(self, what: str, argument: Any) -> None:
        if what == frames.DONE:
            self._done = True
        elif what == "log":
            level, name, message = argument
            logging.getLogger(name).log(level, "%s", message)
        elif what == "fail":
            self._desk.fail(RuntimeError(f"a process of connections failed: {argument}"))
        else:
            assert what in ("opened", "hold", "give_up"), what
            notes: dict[str, Callable[[Any], None]] = {
                "opened": self._desk.opened,
                "hold": lambda said: self._desk.hold(*said),
                "give_up": self._give_up,
            }
            notes[what](argument)

    def _give_up(self, said: tuple[str, str, str, bool]) -> None:
        what, where, remedy, lasting = said
        self._desk.give_up(TransportError(what, where=where, remedy=remedy, lasting=lasting))

    def _bury(self) -> None:
        """Make sure that the process has ended, and have settled what it never told of."""
        if self._process is None:
            return
        try:
            code = self._process.wait(_ENDING if self._done else 0.1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        for channel in (self._channel, self._orders):
            if channel is not None:
                channel.close()
        if self._done and not self._claimed:
            return
        known = self._read_box()
        fates = {key: known.get(key, Fate.NOT_ENDED) for key in self._claimed} if known is not None else {}
        with contextlib.suppress(Exception):  # the ledger may have failed: then the next owner does it
            self._office.bury(fates or dict.fromkeys(self._claimed, Fate.ENDING), code)

    def _read_box(self) -> dict[int, Fate] | None:
        rings = self._setup.rings
        return self._box.read(rings.start, len(rings)) if self._box is not None else None


def shares(connections: int, processes: int) -> Sequence[range]:
    """Divide connections, by number, among processes as evenly as it goes."""
    each, more = divmod(connections, processes)
    ends = [n * each + min(n, more) for n in range(processes + 1)]
    return [range(first, last) for first, last in itertools.pairwise(ends) if last > first]
