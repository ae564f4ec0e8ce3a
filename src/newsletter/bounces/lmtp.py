"""An LMTP listener (RFC 2033): an MTA hands over what came for the bounce addresses, one reply for each recipient.

A reply says 250 only when the report is recorded, so nothing is lost between the two. aiosmtpd's LMTP class answers
once for all recipients, which LMTP forbids; so the few commands are spoken here.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

from newsletter.errors import OutsideError

LARGEST = 10 << 20  # octets of a message
_LINE = 2048  # octets of a command
_RECIPIENTS = 100
_SESSIONS = 20
_COMMAND = 300.0  # seconds for a command
_MESSAGE = 600.0  # seconds for a message
_OURS = re.compile(r"[bu](?:\+[^\s<>]*)?@[^\s<>@]+", re.IGNORECASE)
_PATH = re.compile(r"(?:FROM|TO):\s*<([^<>\s]{0,320})>(?:\s|$)", re.IGNORECASE)
_OFFERS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", f"SIZE {LARGEST}")

Take = Callable[[bytes, Sequence[str]], object]

log = logging.getLogger(__name__)


class LmtpServer:
    """Listens until it is closed; each session in a thread of its own, a bounded number of them."""

    def __init__(
        self, host: str, port: int, take: Take, *, command: float = _COMMAND, message: float = _MESSAGE
    ) -> None:
        """Listen. Raises OutsideError when the address cannot be had."""
        self._take = take
        self._command, self._message = command, message
        self._sessions: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._closed = False
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.create_server((host, port), family=family, backlog=50)
        except (OSError, OverflowError) as e:
            raise OutsideError(
                f"cannot listen: {e}", where=f"{host}:{port}", remedy="Choose another bounces.lmtp"
            ) from e
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="lmtp", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, patience: float = 5.0) -> None:
        """Take no more; what is being recorded is still answered."""
        with self._changed:
            self._closed = True
            waiting = list(self._sessions)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in waiting:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RD)
        with self._changed:
            self._changed.wait_for(lambda: not self._sessions, timeout=patience)
        self._thread.join(patience)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                time.sleep(0.1)  # out of descriptors, perhaps
                continue
            threading.Thread(target=self._serve, args=(connection,), name="lmtp session", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            with self._changed:
                full = self._closed or len(self._sessions) >= _SESSIONS
                if not full:
                    self._sessions.add(connection)
            if full:
                connection.sendall(b"421 4.3.2 too many sessions, try again later\r\n")
                return
            try:
                Session(connection, self._take, command=self._command, message=self._message).run()
            finally:
                with self._changed:
                    self._sessions.discard(connection)
                    self._changed.notify_all()


class Session:
    """One connection: RFC 5321's state, without EHLO, with a reply for each recipient after the dot."""

    def __init__(self, connection: socket.socket, take: Take, *, command: float, message: float) -> None:
        self._connection = connection
        self._take = take
        self._command, self._message = command, message
        self._buffer = bytearray()
        self._greeted = False
        self._sender: str | None = None
        self._recipients: list[str] = []

    def run(self) -> None:
        """Speak until the other side leaves. Raises EOFError or OSError when the connection ends."""
        self._say("220 newsletter LMTP ready")
        while True:
            line = self._line(time.monotonic() + self._command)
            if line is None:
                self._say("500 5.5.2 the line is too long")
                continue
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            if verb.upper() == "QUIT":
                self._say("221 2.0.0 bye")
                return
            if verb.upper() == "DATA":
                self._data()
                continue
            self._say(*self._answer(verb.upper(), rest))

    def _answer(self, verb: str, rest: str) -> tuple[str, ...]:
        match verb:
            case "LHLO":
                self._greeted, self._sender, self._recipients = True, None, []
                return ("250-newsletter", *(f"250-{one}" for one in _OFFERS[:-1]), f"250 {_OFFERS[-1]}")
            case "MAIL":
                return (self._mail(rest),)
            case "RCPT":
                return (self._rcpt(rest),)
            case "RSET":
                self._sender, self._recipients = None, []
                return ("250 2.0.0 ok",)
            case "NOOP":
                return ("250 2.0.0 ok",)
            case "VRFY":
                return ("252 2.5.2 send some mail",)
        return ("500 5.5.1 this is LMTP: LHLO, MAIL, RCPT, DATA, RSET, NOOP, QUIT",)

    def _mail(self, rest: str) -> str:
        path = _PATH.match(rest)
        if not self._greeted or self._sender is not None:
            return "503 5.5.1 out of order"
        if path is None:
            return "501 5.5.4 MAIL FROM:<address> is needed"
        size = re.search(r"\bSIZE=(\d{1,20})\b", rest, re.IGNORECASE)
        if size and int(size[1]) > LARGEST:
            return "552 5.3.4 the message is too big"
        self._sender = path[1]
        return "250 2.1.0 ok"

    def _rcpt(self, rest: str) -> str:
        path = _PATH.match(rest)
        if self._sender is None:
            return "503 5.5.1 MAIL first"
        if path is None:
            return "501 5.5.4 RCPT TO:<address> is needed"
        if not _OURS.fullmatch(path[1]):
            return "550 5.1.1 only b and u, with or without a token, live here"
        if len(self._recipients) >= _RECIPIENTS:
            return "452 4.5.3 too many recipients"
        self._recipients.append(path[1])
        return "250 2.1.5 ok"

    def _data(self) -> None:
        if not self._recipients:
            self._say("503 5.5.1 no valid recipients")
            return
        recipients, self._sender, self._recipients = self._recipients, None, []
        self._say("354 end with a dot on a line of its own")
        content = self._content(time.monotonic() + self._message)
        if content is None:
            reply = "552 5.3.4 the message is too big"
        else:
            reply = "250 2.0.0 recorded"
            try:
                self._take(content, recipients)
            except Exception as e:  # whatever it is, the MTA keeps the message
                log.error("a report could not be recorded: %s", e)
                reply = "451 4.3.0 it could not be recorded, try again later"
        self._say(*[reply] * len(recipients))

    # The wire

    def _say(self, *lines: str) -> None:
        self._connection.settimeout(self._command)
        self._connection.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def _receive(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("too slow")
        self._connection.settimeout(left)
        got = self._connection.recv(65536)
        if not got:
            raise EOFError
        self._buffer += got

    def _line(self, deadline: float) -> bytes | None:
        """Return the next command; None when it is too long. Raises TimeoutError when it takes too long."""
        long = False
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _LINE:
                long = True
                self._buffer.clear()
            self._receive(deadline)
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return None if long or len(line) > _LINE else line

    def _content(self, deadline: float) -> bytes | None:
        """Read up to the dot, undo its stuffing; None when it was too much. Only CRLF ends a line."""
        content, big, begin = bytearray(b"\r\n"), False, 0
        while True:
            content += self._buffer
            self._buffer.clear()
            end = content.find(b"\r\n.\r\n", begin)
            if end >= 0:
                self._buffer += content[end + 5 :]
                whole = bytes(content[2 : end + 2])
                return None if big else re.sub(rb"(\A|\r\n)\.", rb"\1", whole)
            if len(content) > LARGEST:
                big = True
                del content[:-4]
            begin = max(0, len(content) - 4)
            self._receive(deadline)
