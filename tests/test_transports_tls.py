"""PIPELINING and CHUNKING under TLS, big messages, servers that read slowly or not at all, and an end at any time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faults.certificates import Authority
from faults.server import CHUNKED, MODES, OFFERS, USUAL, Act, FaultServer, Table, say
from newsletter.config import Config
from newsletter.errors import TransportError
from newsletter.model import Message, Outcome, Receipt, Stage
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport
from newsletter.transports.smtp.wire import TIMEOUTS, Malformed, Wire
from talking import Ground, check_truth, message

PublicationFactory = Callable[..., Config]
A, U, N = Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.NOT_SENT
PATIENT = dict.fromkeys(Stage, 30.0)
SECURITY = ("none", "starttls", "tls")


class Implicit(FaultServer):
    """Speaks TLS from the start."""

    def _serve(self, sock: socket.socket) -> None:
        assert self.tls is not None
        super()._serve(self.tls.wrap_socket(sock, server_side=True))


@contextmanager
def secured(
    publication: PublicationFactory, folder: Path, security: str, table: Table | None = None, **more: Any
) -> Iterator[Ground]:
    """Start a server that is reached by one kind of security, with little room for what it has not read."""
    authority = Authority(folder)
    make = Implicit if security == "tls" else FaultServer
    if security == "starttls":
        more["offers"] = (*more["offers"], "STARTTLS")
    tls = authority.context() if security != "none" else None
    with make(folder / "accepted", table or {}, tls=tls, **more) as server:
        server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        smtp: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "security": security}
        if tls is not None:
            smtp["ca_file"] = str(authority.file)
        here = Ground(server, publication({"smtp": smtp}))
        here.timeouts = PATIENT
        yield here


def big(key: int, size: int = 300_000) -> Message:
    """Make a message bigger than any buffer, with dots where lines begin."""
    head = f"Message-ID: <1.{key}@example.com>\r\n\r\n".encode()
    line = b".%d a line that begins with a dot, as some do\r\n" % key
    return message(key, content=head + line * (size // len(line)))


def pause() -> None:
    """Let a reply be late."""
    threading.Event().wait(0.05)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("security", SECURITY)
def test_big_messages_arrive_whole_where_little_is_read_at_a_time(
    publication: PublicationFactory, tmp_path: Path, security: str, mode: str
) -> None:
    late = Act(say=USUAL[Stage.END_OF_DATA], take=True, call=pause)
    table = {(Stage.END_OF_DATA, nth): late for nth in (2, 4, 5)}
    with secured(publication, tmp_path, security, table, offers=MODES[mode]) as here:
        sent = [big(key) if key in (3, 4, 6, 7) else message(key) for key in range(1, 10)]
        receipts = here.send(*sent)
        assert [r.outcome for r in receipts] == [A] * 9
        check_truth(receipts, here.server.accepted(), 9)
        chunked = sum(line.startswith(b"BDAT") for line in here.server.commands)
        assert chunked == (8 if mode == "chunked" else 0)
        stuffed = [b"\r\n".join(line.removeprefix(b".") for line in c.split(b"\r\n")) for c in dotted(here)]
        assert sorted(stuffed + whole(here)) == sorted(one.content for one in sent)
        assert here.server.count(Stage.GREETING) == 1


def dotted(here: Ground) -> list[bytes]:
    """Return what came by DATA, its dots doubled."""
    return here.server.contents[: len(here.server.contents) - len(whole(here))]


def whole(here: Ground) -> list[bytes]:
    """Return what came by BDAT."""
    chunks = sum(line.startswith(b"BDAT") for line in here.server.commands)
    return here.server.contents[len(here.server.contents) - chunks :]


@pytest.mark.parametrize("security", SECURITY)
def test_what_is_cut_in_the_middle_was_certainly_not_sent(
    publication: PublicationFactory, tmp_path: Path, security: str
) -> None:
    table = {(Stage.BODY, 2): Act(close=True)}
    with secured(publication, tmp_path, security, table, offers=OFFERS) as here:
        receipts = here.send(message(1), big(2, 5_000_000), message(3), message(4))
        assert (receipts[0].outcome, receipts[1].outcome) == (A, N)
        check_truth(receipts, here.server.accepted(), 4)


@pytest.mark.parametrize("mode", ["plain", "pipelined"])
@pytest.mark.parametrize("security", SECURITY)
def test_a_server_that_refuses_in_the_middle_and_reads_no_more_is_left_at_once(
    publication: PublicationFactory, tmp_path: Path, security: str, mode: str
) -> None:
    early = Act(say=b"552 5.3.4 enough\r\n", silent=True)
    with secured(publication, tmp_path, security, {(Stage.BODY, 1): early}, offers=MODES[mode]) as here:
        here.timeouts = TIMEOUTS  # minutes
        receipts = here.send(big(1, 9_000_000), message(2))
        assert [(r.outcome, r.stage) for r in receipts] == [(N, Stage.BODY), (A, Stage.END_OF_DATA)]
        assert "552" in receipts[0].text
        check_truth(receipts, here.server.accepted(), 2)


@pytest.mark.parametrize("security", SECURITY)
@pytest.mark.parametrize("mode", MODES)
def test_a_drop_at_an_end_of_data_is_told_truly(
    publication: PublicationFactory, tmp_path: Path, security: str, mode: str
) -> None:
    for act in (Act(take=True, close=True), Act(close=True), Act(say=b"250 2.0", take=True, close=True)):
        (tmp_path / "accepted").unlink(missing_ok=True)
        table = {(Stage.END_OF_DATA, 4): act}
        with secured(publication, tmp_path, security, table, offers=MODES[mode]) as here:
            receipts = here.send(*map(message, range(1, 8)))
            check_truth(receipts, here.server.accepted(), 7)
            assert receipts[3].outcome is U
            assert sum(r.outcome is U for r in receipts) <= (4 if mode == "chunked" else 1)


def test_replies_to_a_reset_and_to_a_message_that_are_the_same(
    publication: PublicationFactory, tmp_path: Path
) -> None:
    table = {(Stage.END_OF_DATA, 0): Act(say=b"250 2.0.0 ok\r\n", take=True)}  # what it says to RSET
    with secured(publication, tmp_path, "none", table, offers=CHUNKED) as here:
        receipts = here.send(*map(message, range(1, 8)))
        assert [r.outcome for r in receipts] == [A] * 7
        check_truth(receipts, here.server.accepted(), 7)
        assert sum(line.startswith(b"BDAT") for line in here.server.commands) == 1
        assert here.server.count(Stage.GREETING) == 1


def test_what_comes_while_we_write_is_kept_within_bounds() -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def flood() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"220 hello\r\n")
                over.wait(0.1)
                sock.settimeout(0.1)
                while not over.is_set():
                    try:
                        sock.send(b"250-and so on\r\n" * 1000)
                    except OSError:
                        continue

        thread = threading.Thread(target=flood)
        thread.start()
        wire = Wire("", PATIENT)
        try:
            assert wire.open("127.0.0.1", listener.getsockname()[1], None).code == 220
            wire.enter(Stage.BODY, 50_000_000)
            with pytest.raises(Malformed, match="spoke unasked"):
                wire.write(b"x" * 50_000_000)
            assert wire.left
            assert len(wire._buffer) < 100_000
        finally:
            over.set()
            wire.close()
            thread.join(5)


# An end at any time


def ends_soon(transport: SmtpTransport, reached: Callable[[], object]) -> TransportError:
    """Enter a transport in a thread, cut it once something is reached, and return how it ended."""
    errors: list[TransportError] = []

    def work() -> None:
        try:
            transport.__enter__()
        except TransportError as e:
            errors.append(e)

    thread = threading.Thread(target=work)
    thread.start()
    reached()
    transport.abort(doubt=True)
    thread.join(10)
    assert not thread.is_alive()
    return errors[0]


def test_abort_in_a_handshake(publication: PublicationFactory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        smtp = {"host": "127.0.0.1", "port": listener.getsockname()[1], "security": "tls"}
        transport = SmtpTransport(TransportContext(config=publication({"smtp": smtp})))

        def hello() -> None:
            sock, _ = listener.accept()
            assert sock.recv(1) == b"\x16"  # the client's part of the handshake
            keep.append(sock)

        keep: list[socket.socket] = []
        ends_soon(transport, hello)
        keep[0].close()


def test_abort_while_connecting(publication: PublicationFactory) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]  # more than it keeps for later
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        smtp = {"host": "127.0.0.1", "port": address[1], "security": "none"}
        transport = SmtpTransport(TransportContext(config=publication({"smtp": smtp})))

        def begun() -> None:
            while transport._wire is None or transport._wire.sock is None:
                threading.Event().wait(0.01)

        ends_soon(transport, begun)
        for sock in waiting:
            sock.close()


def test_what_the_giver_of_messages_raises_is_no_fault_of_the_connection(
    publication: PublicationFactory, tmp_path: Path
) -> None:
    def source() -> Iterator[Message]:
        yield message(1)
        raise OSError("the ledger's disk is gone")

    with secured(publication, tmp_path, "none", offers=MODES["plain"]) as here:
        receipts: list[Receipt] = []
        with pytest.raises(OSError, match="the ledger's disk is gone"), here.transport() as transport:
            receipts.extend(transport.send(source()))
        assert [r.outcome for r in receipts] == [A]


def test_a_message_taken_ahead_of_one_that_is_refused_goes_next(
    publication: PublicationFactory, tmp_path: Path
) -> None:
    table = {(Stage.RCPT, nth): say("550 5.1.1 no such user") for nth in (3, 5, 6)}
    with secured(publication, tmp_path, "none", table, offers=OFFERS) as here:
        receipts = here.send(*map(message, range(1, 9)))
        assert [r.key for r in receipts if r.outcome is A] == [1, 2, 4, 7, 8]
        check_truth(receipts, here.server.accepted(), 8)
        assert here.server.count(Stage.GREETING) == 1
