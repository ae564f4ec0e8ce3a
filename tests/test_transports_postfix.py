"""Against a real Postfix: whatever a receipt calls accepted is delivered once, and nothing else is."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from faults import postfix
from newsletter.config import Config
from newsletter.model import Message, Outcome
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport

PublicationFactory = Callable[..., Config]
COUNT = 200
BODIES = (
    b".\r\n..\r\n.a dot\r\n\r\n.\r\n",
    "zoë in eight bits\r\n".encode() * 50,
    b"x" * 998 + b"\r\n",
    b".QUIT\r\nMAIL FROM:<evil@example.com>\r\nBDAT 10 LAST\r\n",
    b"\r\n",
    b"a line of a message of some size\r\n" * 9000,
)


@pytest.fixture(scope="module")
def server() -> Iterator[postfix.Postfix]:
    """Run a Postfix that throws away what it takes."""
    if postfix.found() is None:
        pytest.skip("Postfix is not installed (tests/prepare.sh unpacks it)")
    if os.geteuid() != 0:
        pytest.skip("Postfix starts only as root")
    with (
        TemporaryDirectory(prefix="newsletter-") as folder,
        postfix.running(Path(folder) / "mail") as running,
    ):
        yield running


def awkward(key: int) -> Message:
    """Make one of many awkward messages."""
    local = ("reader", "zoë+", "o'brien=", "a.b-")[key % 4]
    head = f"Message-ID: <1.{key}@example.com>\r\nSubject: {'zoë' if key % 4 == 1 else 'News'}\r\n\r\n"
    return Message(
        key=key,
        sender=f"b+{key}@example.com",
        recipient=f"{local}{key}@example.org",
        content=head.encode() + BODIES[key % len(BODIES)],
    )


@pytest.mark.parametrize("canonical", [False, True])
def test_each_message_is_taken_and_delivered_once(
    publication: PublicationFactory, server: postfix.Postfix, canonical: bool
) -> None:
    smtp = {"host": "127.0.0.1", "port": server.port, "security": "none"}
    config = publication({"smtp": smtp, "delivery": {"per_connection": 70}})
    first = 10_000 if canonical else 1
    messages = [plain(key) if canonical else awkward(key) for key in range(first, first + COUNT)]
    with SmtpTransport(TransportContext(config=config)) as transport:
        assert transport.capabilities.window == 4
        assert transport.capabilities.dsn
        receipts = list(transport.send(messages))
    assert Counter(r.outcome for r in receipts) == {Outcome.ACCEPTED: COUNT}
    assert [r.key for r in receipts] == [one.key for one in messages]
    expected = Counter(one.recipient for one in messages)
    assert delivered(server, first, COUNT) == expected
    assert "improper command pipelining" not in server.log()


def plain(key: int) -> Message:
    """Make a message as the mailer does, that vouches for itself."""
    head = b"Message-ID: <1.%d@example.com>\r\n\r\n" % key
    body = b"=2E a line\r\n" * 4000
    address = f"reader{key}@example.org"
    return Message(key=key, sender="", recipient=address, content=head + body, canonical=True)


def delivered(server: postfix.Postfix, first: int, count: int) -> Counter[str]:
    """Wait until so many of these keys are out of the queue, and return all that are."""
    until = time.monotonic() + 60
    while True:
        out = Counter({a: n for a, n in server.delivered().items() if first <= key_of(a) < first + 5000})
        if out.total() >= count or time.monotonic() > until:
            return out
        time.sleep(0.1)


def key_of(address: str) -> int:
    """Return the key in an address of ours."""
    return int("".join(filter(str.isdigit, address.partition("@")[0])))
