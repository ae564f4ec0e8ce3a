"""The wire to one SMTP server: the standard library's client with a stage, a deadline for each, and no trust.

`smtplib` gives EHLO and AUTH; here are the socket, TLS, and a reader of replies that
accepts exactly one well-formed reply for each command. Whatever else arrives ends the connection, so that a
reply is never taken for the answer to another command.
"""

from __future__ import annotations

import base64
import contextlib
import select
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Mapping

from newsletter.model import Stage
from newsletter.transports.replies import LINE_LIMIT, LINES_LIMIT, Reply, compose_reply, parse_line

#: Seconds each stage may take in all (RFC 5321 §4.5.3.2), on the monotonic clock.
TIMEOUTS: Mapping[Stage, float] = {
    Stage.CONNECT: 60,
    Stage.GREETING: 300,
    Stage.EHLO: 300,
    Stage.STARTTLS: 120,
    Stage.AUTH: 120,
    Stage.MAIL: 300,
    Stage.RCPT: 300,
    Stage.DATA: 120,
    Stage.BODY: 180,
    Stage.END_OF_DATA: 600,
    Stage.LOCAL: 0.5,  # saying QUIT
}


class Malformed(smtplib.SMTPException):
    """The server broke the protocol: what is said next cannot be understood."""


class Wire(smtplib.SMTP):
    """One connection that knows the stage it is in; every method may raise OSError or SMTPException."""

    ehlo_msg = "EHLO"

    def __init__(self, local_hostname: str, timeouts: Mapping[Stage, float]) -> None:
        super().__init__(local_hostname=local_hostname or "localhost")
        self.stage = Stage.CONNECT
        self.last_words = ""  # an announcement that came behind an answer: a 421
        self._named = bool(local_hostname)
        self._timeouts = timeouts
        self._deadline = 0.0
        self._buffer = b""
        self._guard = threading.Lock()
        self._aborted = False

    def enter(self, stage: Stage) -> None:
        """Begin a stage: its time runs from now."""
        with self._guard:
            if self._aborted:
                raise smtplib.SMTPServerDisconnected("stopped")
            self.stage = stage
        self._deadline = time.monotonic() + self._timeouts[stage]

    def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> Reply:
        """Connect, with TLS from the start when a context is given, and return the greeting."""
        self.enter(Stage.CONNECT)
        self.sock = socket.create_connection((host, port), timeout=self._timeouts[Stage.CONNECT])
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._named:
            address = self.sock.getsockname()[0]
            self.local_hostname = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
        if tls is not None:
            self.enter(Stage.STARTTLS)
            self.secure(host, tls)
        self.enter(Stage.GREETING)
        return self.read_reply()

    def secure(self, host: str, context: ssl.SSLContext) -> None:
        """Put TLS on the socket, verified as the context says; nothing read before survives it."""
        assert self.sock is not None
        self._stay_quiet()
        self.sock = context.wrap_socket(self.sock, server_hostname=host, do_handshake_on_connect=False)
        self.sock.setblocking(False)
        while True:
            try:
                self.sock.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._await(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._await(select.POLLOUT)
        self.esmtp_features = {}

    def authenticate(self, username: str, password: str) -> Reply:
        """Try the best mechanism offered, once: a second try could lock the account."""
        offered = self.esmtp_features.get("auth", "").upper().split()
        self.user, self.password = username, password
        if "PLAIN" in offered:
            secret = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
            code, words = self.docmd("AUTH", f"PLAIN {secret}")
            return compose_reply(code, words.decode(errors="replace").split("\n"))
        for mechanism, answer in (("CRAM-MD5", self.auth_cram_md5), ("LOGIN", self.auth_login)):
            if mechanism in offered:
                try:
                    code, words = self.auth(mechanism, answer, initial_response_ok=False)
                except smtplib.SMTPAuthenticationError as e:
                    words = e.smtp_error if isinstance(e.smtp_error, bytes) else e.smtp_error.encode()
                    code = e.smtp_code
                return compose_reply(code, words.decode(errors="replace").split("\n"))
        raise smtplib.SMTPNotSupportedError(
            f"the server offers no way to log in that we know ({' '.join(offered) or 'none at all'})"
        )

    # One transaction

    def ask(self, stage: Stage, command: bytes) -> Reply:
        """Send one command of a stage and return its one reply."""
        if b"\r" in command or b"\n" in command:
            raise ValueError(f"a command of two lines: {command!r}")
        self.enter(stage)
        self._stay_quiet()
        self.send(command + b"\r\n")
        reply = self.read_reply()
        if self._buffer:
            raise self._too_much()
        return reply

    def write_body(self, stuffed: bytes) -> None:
        """Send the dot-stuffed message without its final dot."""
        self.enter(Stage.BODY)
        self.send(stuffed)

    def end_data(self) -> Reply:
        """Write the final dot and return the reply: from here to its last octet the outcome is in doubt."""
        self._stay_quiet()
        self.enter(Stage.END_OF_DATA)
        self.send(b".\r\n")
        reply = self.read_reply()
        if self._buffer:
            line = parse_line(self._buffer)
            if line is None or line[0] != 421:
                raise self._too_much()
            self.last_words = f"421 {line[2]}"
        with self._guard:
            self.stage = Stage.LOCAL
        return reply

    def is_quiet(self) -> bool:
        """Tell whether the connection still stands and the server has said nothing unasked."""
        try:
            self._stay_quiet()
        except (OSError, smtplib.SMTPException):
            return False
        return not self.last_words

    def abort(self, *, doubt: bool) -> None:
        """Cut the connection from another thread; without `doubt`, not while an end of data is answered."""
        with self._guard:
            self._aborted = True
            if self.sock is not None and (doubt or self.stage is not Stage.END_OF_DATA):
                with contextlib.suppress(OSError):  # it may be gone already
                    socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # the plain one, below any TLS

    def leave(self) -> None:
        """Say QUIT if the server listens, and close."""
        try:
            if self.sock is not None:
                self.ask(Stage.LOCAL, b"QUIT")
        except (OSError, smtplib.SMTPException):
            pass  # leaving is a courtesy
        finally:
            self.close()

    # What smtplib's own commands go through as well

    def send(self, s: bytes | bytearray | str) -> None:  # type: ignore[override]  # typeshed: ReadableBuffer
        """Write all within the stage's time."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection is closed")
        if isinstance(s, str):  # a command of smtplib's own
            self._stay_quiet()
        self.sock.settimeout(self._remaining())
        self.sock.sendall(s.encode("ascii") if isinstance(s, str) else s)

    def getreply(self) -> tuple[int, bytes]:
        """Read one reply in the form smtplib's own commands want it."""
        code, lines = self._read_lines()
        return code, "\n".join(lines).encode()

    def read_reply(self) -> Reply:
        """Read one whole reply."""
        return compose_reply(*self._read_lines())

    def close(self) -> None:
        """Close the socket."""
        with self._guard:
            super().close()

    # The socket

    def _read_lines(self) -> tuple[int, list[str]]:
        texts: list[str] = []
        first = 0
        while len(texts) < LINES_LIMIT:
            line = parse_line(self._read_line())
            if line is None or (first and line[0] != first):
                raise Malformed("the server's reply is malformed")
            first, more, text = line
            texts.append(text)
            if not more:
                return first, texts
        raise Malformed(f"the server's reply has more than {LINES_LIMIT} lines")

    def _read_line(self) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > LINE_LIMIT:
                raise Malformed(f"a line of the server's reply is longer than {LINE_LIMIT} octets")
            if self.sock is None:
                raise smtplib.SMTPServerDisconnected("the connection is closed")
            self.sock.settimeout(self._remaining())
            try:
                data = self.sock.recv(4096)
            except TimeoutError:
                raise self._late() from None
            if not data:
                raise smtplib.SMTPServerDisconnected("the server closed the connection")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def _stay_quiet(self) -> None:
        """Refuse to go on when the server has gone or has said something unasked."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection is closed")
        self.sock.settimeout(0)
        try:
            data = self.sock.recv(4096)
        except (BlockingIOError, ssl.SSLWantReadError):
            data = None
        if data == b"":
            raise smtplib.SMTPServerDisconnected("the server closed the connection")
        self._buffer += data or b""
        if self._buffer:
            raise self._too_much()

    def _too_much(self) -> Malformed:
        line = parse_line(self._buffer.partition(b"\n")[0] + b"\n")
        said = f": {line[0]} {line[2]}" if line else ""
        return Malformed(f"the server spoke unasked{said}")

    def _remaining(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._late()
        return left

    def _late(self) -> TimeoutError:
        return TimeoutError(f"no answer within {self._timeouts[self.stage]:g} s")

    def _await(self, what: int) -> None:
        assert self.sock is not None
        poll = select.poll()
        poll.register(self.sock, what)
        poll.poll(self._remaining() * 1000)
