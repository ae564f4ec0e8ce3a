"""A transport that talks to a misbehaving server, and what must be true of its receipts whatever happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from faults.server import FaultServer
from newsletter.config import Config
from newsletter.errors import TransportError
from newsletter.model import Message, Outcome, Receipt, Stage
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport

QUICK = dict.fromkeys(Stage, 0.3)


def message(key: int, *, content: bytes = b"") -> Message:
    """Make a small message."""
    head = f"Message-ID: <1.{key}@example.com>\r\n\r\n".encode()
    return Message(
        key=key,
        sender=f"b+{key}@example.com",
        recipient=f"reader{key}@example.org",
        content=content or head + b"Hello\r\n",
    )


class Ground:
    """A server, and transports that talk to it."""

    def __init__(self, server: FaultServer, config: Config) -> None:
        self.server = server
        self.config = config
        self.error: TransportError | None = None
        self.timeouts: Mapping[Stage, float] = QUICK

    def transport(self, timeouts: Mapping[Stage, float] | None = None) -> SmtpTransport:
        """Make a transport with short timeouts."""
        return SmtpTransport(TransportContext(config=self.config), timeouts=timeouts or self.timeouts)

    def send(self, *messages: Message) -> list[Receipt]:
        """Send as the engine does: a connection that broke is made anew for what was not taken."""
        receipts: list[Receipt] = []
        left = list(messages)
        while left:
            try:
                with self.transport() as transport:
                    receipts.extend(transport.send(iter_popping(left)))
            except TransportError as e:
                if self.error is not None and not receipts:
                    raise
                self.error = e
        return receipts


def iter_popping(left: list[Message]) -> Iterator[Message]:
    """Give messages and forget each that was taken."""
    while left:
        yield left.pop(0)


def check_truth(receipts: list[Receipt], log: Counter[int], count: int) -> None:
    """Compare receipts with the server's own log: one each, and none that says what is not so."""
    assert sorted(receipt.key for receipt in receipts) == list(range(1, count + 1))
    for receipt in receipts:
        if receipt.outcome is Outcome.ACCEPTED:
            assert log[receipt.key] == 1, receipt
        elif receipt.outcome is not Outcome.UNKNOWN:
            assert log[receipt.key] == 0, receipt
    assert set(log.values()) <= {1}
