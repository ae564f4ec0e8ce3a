"""One connection after the other: it takes, renders, has intents written, hands over, and tells what it was told."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Protocol, runtime_checkable

from newsletter.crew.blackbox import Fate, Ring
from newsletter.crew.desk import Desk
from newsletter.errors import TransportError
from newsletter.model import Message, Outcome, Reader, Receipt
from newsletter.transports import Transport

Render = Callable[[Reader], Message]
Connect = Callable[[], Transport]

#: What a receipt tells of a message; anything else says that it was not taken.
_FATES = {Outcome.ACCEPTED: Fate.ACCEPTED, Outcome.UNKNOWN: Fate.ENDING}


@runtime_checkable
class Foreseeing(Protocol):
    """A renderer that may do what several readers share before it is sent to other processes."""

    def foresee(self, readers: Iterable[Reader]) -> None:
        """Make ready what these need."""
        ...


class Connection(threading.Thread):
    """A thread that sends until nothing is due, with a patience of its own for failures."""

    def __init__(self, desk: Desk, render: Render, connect: Connect, ring: Ring | None, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.desk = desk
        self.make = render
        self.connect = connect
        self.ring = ring
        self.failures = 0
        self.settled = 0
        self.hand: deque[Message] = deque()  # intents durable, not yet handed over
        self.flying: set[int] = set()
        self.server = ""
        self.window = 1
        self.announced = False

    def run(self) -> None:
        """Send over one connection after the other until nothing is due."""
        try:
            self.work()
        except BaseException as e:  # whatever it is, the desk must know
            self.desk.fail(e)

    def work(self) -> None:
        """Connect and send, again after a failure, until nothing is due or failures are too many."""
        desk = self.desk
        while not desk.over.is_set() and desk.has_more():
            try:
                if not self.converse() and not desk.over.is_set() and desk.has_more():
                    raise TransportError("the transport takes no message", where=desk.transport)
            except TransportError as e:
                if e.lasting:
                    desk.hold(str(e), e.rest)
                    return
                self.failures += 1
                if self.failures > len(desk.reconnect):
                    desk.give_up(e)
                    return
                desk.over.wait(desk.reconnect[self.failures - 1])

    def converse(self) -> int:
        """Send over one connection until it ends; return how many readers were dealt with."""
        desk, before = self.desk, self.settled
        with ExitStack() as stack:
            with desk.opening:
                if desk.over.is_set():
                    return 0
                transport = self.connect()
                desk.open.add(transport)  # already now: a stop is heard while it connects
                stack.callback(desk.open.discard, transport)
                stack.enter_context(transport)
            offered = transport.capabilities
            self.server, self.window, self.announced = offered.server, offered.window, offered.announces
            desk.opened(offered.window)
            if desk.baton is not None and offered.yields:
                stack.enter_context(desk.baton)
            try:
                for receipt in transport.send(_Turns(self)):
                    self.settle(receipt)
            finally:
                self._give_back()
        return self.settled - before

    def _give_back(self) -> None:
        """Account for what is left when a conversation ends: what was not handed over was certainly not sent."""
        waiting = [message.key for message in self.hand]
        self.hand.clear()
        for key in waiting:
            self._note(key, Fate.NOT_ENDED)
        if waiting:
            self.desk.give_back(waiting)
        for key in list(self.flying):
            self.settle(Receipt(key=key, outcome=Outcome.UNKNOWN, text="the transport gave no receipt"))

    def messages(self) -> Iterator[Message]:
        """Give messages one by one, each with its intent durable, and no more of them than may be on their way."""
        while self._fill():
            while self.hand:
                if self.desk.over.is_set():
                    return
                message = self.hand.popleft()
                self.flying.add(message.key)
                yield message

    def _fill(self) -> bool:
        """Take the next hand of messages; False at the end."""
        desk = self.desk
        while readers := desk.take(max(1, self.window - len(self.flying)), self.server):
            messages = [message for message in map(self.render, readers) if message is not None]
            claimed = desk.intend([message.key for message in messages]) if messages else ()
            for message in messages:
                if message.key in claimed:
                    self.hand.append(message)
                    if self.ring is not None:
                        self.ring.begin(message.key, announced=self.announced)
            if self.hand:
                return True
        return False

    def render(self, reader: Reader) -> Message | None:
        """Render for one reader; what cannot be rendered is quarantined, and the others go on."""
        try:
            message = self.make(reader)
            if message.key != reader.subscriber_id:
                raise ValueError(f"it was rendered under the key {message.key}")
        except Exception as e:  # one reader's fault never stops the others
            self.settled += 1
            self.desk.quarantine(reader.subscriber_id, f"{type(e).__name__}: {e}")
            return None
        return message

    def settle(self, receipt: Receipt) -> None:
        """Tell the black box and the desk what became of a message."""
        self.flying.remove(receipt.key)
        self.settled += 1
        self._note(receipt.key, _FATES.get(receipt.outcome, Fate.NOT_ENDED))
        self.desk.settle(receipt)
        if receipt.outcome not in (Outcome.NOT_SENT, Outcome.UNKNOWN):
            self.failures = 0

    def _note(self, key: int, fate: Fate) -> None:
        if self.ring is not None:
            self.ring.settle(key, fate)


class _Turns:
    """Messages in the order of their turns, which a transport may ask about, and announces their ends to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __iter__(self) -> Iterator[Message]:
        return self._connection.messages()

    def is_ready(self) -> bool:
        """Tell whether the next need not wait: for its turn, or for room to write intents for half a window at once."""
        one = self._connection
        if one.hand:
            return True
        return 2 * len(one.flying) <= one.window and one.desk.is_ready(one.server)

    def waiting(self) -> AbstractContextManager[object]:
        """Let the other connections work while the block runs."""
        baton = self._connection.desk.baton
        return baton.waiting() if baton is not None else nullcontext()

    def ending(self, key: int) -> None:
        """Note in the black box that a message can no longer be taken back."""
        if self._connection.ring is not None:
            self._connection.ring.ending(key)
