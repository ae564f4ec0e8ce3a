"""One contract over every transport: what is taken has exactly one receipt, and nothing is dropped or doubled."""

from __future__ import annotations

import io
import socket
from asyncio import AbstractServer
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults.server import MODES, FaultServer
from newsletter.config import Config
from newsletter.errors import ConfigError
from newsletter.model import Message, Outcome, Receipt
from newsletter.transports import Transport, TransportContext, transport_factory
from newsletter.transports.console import ConsoleTransport
from newsletter.transports.maildir import MaildirTransport
from newsletter.transports.memory import MemoryTransport
from newsletter.transports.smtp import SmtpTransport

PublicationFactory = Callable[..., Config]
Carrier = tuple[Callable[[], Transport], Callable[[], list[bytes]]]  # makes connections; lists what arrived


def message(key: int, *, recipient: str = "", body: bytes = b"Hello\r\n") -> Message:
    """Make a small message."""
    to = recipient or f"reader{key}@example.org"
    head = f"From: weekly@example.com\r\nTo: {to}\r\nMessage-ID: <1.{key}@example.com>\r\n"
    return Message(
        key=key,
        sender=f"b+{key}@example.com",
        recipient=to,
        content=head.encode() + b"Subject: News\r\n\r\n" + body,
    )


class Listening(Controller):
    """aiosmtpd on a port that nobody else can take in between."""

    def _create_server(self) -> Coroutine[Any, Any, AbstractServer]:
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        return self.loop.create_server(self._factory_invoker, sock=sock)


class Inbox:
    """What aiosmtpd received."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.contents.append(envelope.content)
        return "250 2.0.0 kept"


def smtp_maker(publication: PublicationFactory, port: int) -> Callable[[], Transport]:
    """Make SMTP connections to a port of the loopback."""
    config = publication({"smtp": {"host": "127.0.0.1", "port": port, "security": "none"}})
    return lambda: SmtpTransport(TransportContext(config=config))


@pytest.fixture(params=["memory", "console", "maildir", "aiosmtpd", *MODES])
def carrier(
    request: pytest.FixtureRequest, publication: PublicationFactory, tmp_path: Path
) -> Iterator[Carrier]:
    """Give each transport, and a way to see what arrived."""
    config = publication()
    if request.param == "memory":
        kept: list[Message] = []
        yield (lambda: MemoryTransport(None, kept)), (lambda: [m.content for m in kept])
    elif request.param == "console":
        stream = io.StringIO()
        yield (
            (lambda: ConsoleTransport(None, stream)),
            (lambda: stream.getvalue().encode().split(b"--- ")[1:]),
        )
    elif request.param == "maildir":
        new = config.path(config.maildir.path) / "new"
        yield (
            (lambda: MaildirTransport(TransportContext(config=config))),
            (lambda: [file.read_bytes() for file in sorted(new.iterdir())]),
        )
    elif request.param == "aiosmtpd":
        inbox = Inbox()
        controller = Listening(inbox, hostname="127.0.0.1", enable_SMTPUTF8=True)
        controller.start()
        try:
            yield smtp_maker(publication, controller.port), (lambda: inbox.contents)
        finally:
            controller.stop()
    else:
        with FaultServer(tmp_path / "accepted", offers=MODES[request.param]) as server:
            yield smtp_maker(publication, server.port), (lambda: server.contents)


def carry(connect: Callable[[], Transport], messages: list[Message]) -> list[Receipt]:
    """Send messages over one connection."""
    with connect() as transport:
        return list(transport.send(iter(messages)))


def test_each_message_has_one_receipt_and_arrives_once(carrier: Carrier) -> None:
    connect, arrived = carrier
    receipts = carry(connect, [message(key) for key in range(1, 8)])
    assert sorted(r.key for r in receipts) == list(range(1, 8))
    assert {r.outcome for r in receipts} == {Outcome.ACCEPTED}
    assert all(r.server and r.text for r in receipts)
    assert len(arrived()) == 7


def test_nothing_to_send_is_no_fault(carrier: Carrier) -> None:
    connect, arrived = carrier
    assert carry(connect, []) == []
    assert arrived() == []


def test_capabilities_are_known_once_entered(carrier: Carrier) -> None:
    connect, _ = carrier
    transport = connect()
    idempotent = transport.capabilities.idempotent
    with transport:
        assert transport.capabilities.idempotent is idempotent
        assert transport.capabilities.eight_bit


def test_a_recipient_outside_ascii_is_carried_or_refused_with_its_reason(carrier: Carrier) -> None:
    connect, arrived = carrier
    receipts = carry(connect, [message(1, recipient="zoë@bücher.example"), message(2)])
    assert [r.key for r in receipts] == [1, 2]
    assert {r.outcome for r in receipts} == {Outcome.ACCEPTED}
    assert any("zoë@bücher.example".encode() in content for content in arrived())


def test_a_big_message_arrives_whole(carrier: Carrier) -> None:
    connect, arrived = carrier
    body = b"".join(b".%07d a line of the big message\r\n" % n for n in range(60_000))
    assert carry(connect, [message(1, body=body)])[0].outcome is Outcome.ACCEPTED
    if len(arrived()[0]) > 1000:  # the console shows a summary
        assert arrived()[0].replace(b"\r\n", b"\n").count(b"59999 a line of the big message\n") == 1


def test_messages_are_taken_only_when_their_turn_has_come(carrier: Carrier) -> None:
    connect, _ = carrier
    taken: list[int] = []

    def source() -> Iterator[Message]:
        for key in range(1, 12):
            taken.append(key)
            yield message(key)

    with connect() as transport:
        receipts = transport.send(source())
        assert taken == []
        for count, receipt in enumerate(receipts, 1):
            assert receipt.key in taken
            assert len(taken) <= count - 1 + transport.capabilities.window


class Slow:
    """A source whose turns have not come: what is on its way is ended before each."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken = 0

    def __iter__(self) -> Iterator[Message]:
        for key in range(1, self.count + 1):
            self.taken += 1
            yield message(key)

    def is_ready(self) -> bool:
        """Never."""
        return False


def test_a_source_that_is_not_ready_is_asked_when_nothing_is_on_its_way(carrier: Carrier) -> None:
    connect, arrived = carrier
    source = Slow(8)
    with connect() as transport:
        for count, _ in enumerate(transport.send(source), 1):
            assert source.taken == count
    assert len(arrived()) == 8


def test_an_error_of_the_source_passes_through(carrier: Carrier) -> None:
    connect, arrived = carrier

    def source() -> Iterator[Message]:
        yield message(1)
        raise LookupError("the ledger is gone")

    got: list[Receipt] = []
    with pytest.raises(LookupError, match="the ledger is gone"), connect() as transport:
        got.extend(transport.send(source()))
    assert len(arrived()) == 1


def test_two_connections_at_once(carrier: Carrier) -> None:
    connect, arrived = carrier
    with connect() as one, connect() as other:
        assert [r.outcome for r in one.send([message(1)])] == [Outcome.ACCEPTED]
        assert [r.outcome for r in other.send([message(2)])] == [Outcome.ACCEPTED]
    assert len(arrived()) == 2


HOSTILE = st.text(
    alphabet=st.sampled_from(list('ab@.<> \r\n\t\0"\\,;:[]()é\u202e\u2028\x85%+-')), min_size=0, max_size=24
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(address=HOSTILE | st.builds("{}@example.org".format, HOSTILE))
def test_a_hostile_address_is_refused_or_seen_exactly(
    address: str, publication: PublicationFactory, tmp_path: Path
) -> None:
    with FaultServer(tmp_path / "accepted") as server:
        receipts = carry(smtp_maker(publication, server.port), [replace(message(1), recipient=address)])
    seen = [line for line in server.commands if line.upper().startswith(b"RCPT")]
    assert len(receipts) == 1
    if receipts[0].outcome is Outcome.ACCEPTED:
        assert seen == [b"RCPT TO:<%s>" % address.encode()]
    else:
        assert receipts[0].outcome is Outcome.REFUSED
        assert seen == []
        assert "address" in receipts[0].text


def test_a_resend_into_a_maildir_is_not_a_second_copy(publication: PublicationFactory) -> None:
    config = publication()
    folder = config.path(config.maildir.path)
    transport = MaildirTransport(TransportContext(config=config))
    carry(lambda: transport, [message(1), message(1), message(2)])
    assert len(list((folder / "new").iterdir())) == 2
    first = min((folder / "new").iterdir(), key=lambda file: int(file.name.split(".")[0]))
    first.rename(folder / "cur" / f"{first.name}:2,S")  # somebody read it
    carry(lambda: transport, [message(1)])
    assert len(list((folder / "new").iterdir())) == 1
    assert list((folder / "tmp").iterdir()) == []


def test_a_maildir_that_cannot_be_made_says_so(publication: PublicationFactory, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    config = publication({"maildir": {"path": str(tmp_path / "file" / "maildir")}})
    with pytest.raises(Exception, match="the maildir cannot be written"):
        carry(lambda: MaildirTransport(TransportContext(config=config)), [message(1)])


def test_the_console_shows_control_characters_and_obeys_none(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = replace(message(1), recipient="a\x1b[2J@example.org")
    assert carry(ConsoleTransport, [hostile])[0].outcome is Outcome.ACCEPTED
    printed = capsys.readouterr().out
    assert "\\x1b[2J" in printed
    assert "\x1b" not in printed
    assert "Subject: News" in printed


def test_transports_are_found_by_name(publication: PublicationFactory) -> None:
    config = publication()
    assert isinstance(transport_factory(config, "maildir")(), MaildirTransport)
    with pytest.raises(ConfigError, match=r"there is no transport 'pigeon'.*Known: console, maildir"):
        transport_factory(config, "pigeon")
