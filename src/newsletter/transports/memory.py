"""Memory: keep messages in a list, for tests and previews."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from newsletter.model import Message, Outcome, Receipt
from newsletter.transports import Capabilities, TransportContext


class MemoryTransport:
    """Carries anything into `messages`, a list that several connections may share."""

    capabilities = Capabilities(smtputf8=True, eight_bit=True)

    def __init__(
        self, context: TransportContext | None = None, messages: list[Message] | None = None
    ) -> None:
        self.messages: list[Message] = [] if messages is None else messages

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
        """Keep each message."""
        for message in messages:
            self.messages.append(message)
            yield Receipt(key=message.key, outcome=Outcome.ACCEPTED, server="memory", text="kept")
