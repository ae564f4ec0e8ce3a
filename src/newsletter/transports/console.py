"""Console: say what would be sent, and send nothing anywhere."""

from __future__ import annotations

import email.policy
import sys
from collections.abc import Iterable, Iterator
from email.parser import BytesHeaderParser
from threading import Lock
from types import TracebackType
from typing import Self, TextIO

from newsletter.model import Message, Outcome, Receipt
from newsletter.transports import Capabilities, TransportContext

_ONE_AT_A_TIME = Lock()


class ConsoleTransport:
    """Prints one summary a message to a stream, standard output by default."""

    capabilities = Capabilities(smtputf8=True, eight_bit=True)

    def __init__(self, context: TransportContext | None = None, stream: TextIO | None = None) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
        """Print each message's summary."""
        for message in messages:
            text = summarise(message)
            with _ONE_AT_A_TIME:
                stream = self._stream or sys.stdout
                stream.write(text)
                stream.flush()
            yield Receipt(key=message.key, outcome=Outcome.ACCEPTED, server="console", text="printed")


def summarise(message: Message) -> str:
    """Describe a message in a few lines; control characters are shown, not obeyed."""
    headers = BytesHeaderParser(policy=email.policy.default).parsebytes(message.content)
    lines = [
        f"{name}: {value}"
        for name in ("From", "To", "Subject", "Date", "Message-ID")
        if (value := headers.get(name)) is not None
    ]
    shown = [
        f"--- {message.key}: <{message.sender}> to <{message.recipient}>, {len(message.content)} octets",
        *(f"    {line}" for line in lines),
    ]
    return "".join("".join(c if c.isprintable() else repr(c)[1:-1] for c in line) + "\n" for line in shown)
