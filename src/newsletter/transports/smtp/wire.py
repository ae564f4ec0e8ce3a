"""The wire to one SMTP server: the standard library's client with a stage, a deadline for each, and no trust.

`smtplib` gives EHLO and AUTH; here are the socket, TLS, and a reader of replies that accepts only well-formed
ones. Who writes several commands at once counts the replies that must come; whatever else arrives ends the
connection, so that a reply is never taken for the answer to another command.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache

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
#: Octets a second below which a server that takes a message is given up, once its stage's time is over.
SLOWEST = 2048
_RECORD = 1 << 14  # of TLS: the most that goes, or does not, with one call
_BIG = (
    1 << 16
)  # what is bigger is written in two parts, so that a server's early word is heard before the end
_TAIL = 1 << 14
_UNREAD_LIMIT = 1 << 16  # octets of replies kept while we write


class Malformed(smtplib.SMTPException):
    """The server broke the protocol: what is said next cannot be understood."""


class Stopped(smtplib.SMTPServerDisconnected):
    """Another thread wants an end: nothing more is written."""


class Wire(smtplib.SMTP):
    """One connection that knows the stage it is in; every method may raise OSError or SMTPException."""

    ehlo_msg = "EHLO"

    def __init__(self, local_hostname: str, timeouts: Mapping[Stage, float]) -> None:
        super().__init__(local_hostname=local_hostname or "localhost")
        self.stage = Stage.CONNECT
        self.unanswered = 0  # messages whose end was (perhaps) written and whose answer was not read
        self.left = 0  # octets of the last write that were certainly not written
        self.waiting: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
        self._named = bool(local_hostname)
        self._timeouts = timeouts
        self._read_by = self._write_by = 0.0
        self._buffer = b""
        self._end: Exception | None = None  # why nothing more can be read, when that is so
        self._dry = False  # nothing was there when last looked at, and nobody waited since
        self._poll = select.poll()
        self._guard = threading.Lock()
        self._aborted = False

    def enter(self, stage: Stage, octets: int = 0) -> None:
        """Begin a stage in which we write: its time runs from now, longer by what so many octets may take."""
        if self._aborted:
            raise Stopped("stopped")
        self.stage = stage
        time_for = self._timeouts[stage]
        if self.unanswered:  # the server may be busy with the message before
            time_for = max(time_for, self._timeouts[Stage.END_OF_DATA])
        self._read_by = self._write_by = time.monotonic() + time_for + octets / SLOWEST

    def expect(self, stage: Stage, *, at_most: float | None = None) -> None:
        """Begin to wait for a reply: the stage's time runs from now."""
        if self._aborted and not self.unanswered:
            raise Stopped("stopped")
        self.stage = stage
        limit = self._timeouts[stage]
        self._read_by = time.monotonic() + (limit if at_most is None else min(limit, at_most))

    def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> Reply:
        """Connect, with TLS from the start when a context is given, and return the greeting."""
        self.enter(Stage.CONNECT)
        self.sock = self._call(host, port)
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
        self.stay_quiet()
        with self._guard:  # while the old socket is taken over, another thread would find none to cut
            plain = self.sock
            self.sock = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
            if self._aborted:
                raise Stopped("stopped")
        while True:
            try:
                self.sock.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._await(select.POLLIN, self._read_by)
            except ssl.SSLWantWriteError:
                self._await(select.POLLOUT, self._write_by)
        self.esmtp_features = {}

    # Commands and messages

    def ask(self, stage: Stage, command: bytes) -> Reply:
        """Send one command of a stage and return its one reply."""
        if b"\r" in command or b"\n" in command:
            raise ValueError(f"a command of two lines: {command!r}")
        self.enter(stage)
        self.stay_quiet()
        self.write(command + b"\r\n")
        reply = self.read_reply()
        if self._buffer:
            raise self._too_much()
        return reply

    def write(self, data: bytes | memoryview, *, quiet_above: int | None = None) -> None:
        """Write all within the stage's time; `left` says afterwards what certainly did not go.

        What the server says meanwhile is kept, so that neither side waits for the other to read; while more than
        `quiet_above` octets are left it may say nothing.
        """
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection is closed")
        self.left = len(data)
        veiled = isinstance(self.sock, ssl.SSLSocket)  # a failed write may then have gone all the same
        view = memoryview(data)
        while view:
            piece = view[:_RECORD] if veiled else view
            if veiled:
                self.left = len(view) - len(piece)
            try:
                count = self.sock.send(piece)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._await_room(select.POLLOUT | select.POLLIN, quiet_above)
            except ssl.SSLWantReadError:
                self._await_room(select.POLLIN, quiet_above)
            else:
                view = view[count:]
                self.left = len(view)

    def write_message(self, data: bytes, end: int, *, quietly: bool) -> None:
        """Write what ends a message at an offset: from its last octet to the answer there is doubt.

        With `quietly` nothing may have been said when the end is written: the answer can only come after it.
        """
        tail = view = memoryview(data)
        behind = len(data) - end
        if quietly:
            self.stay_quiet()
        if end > _BIG:
            self.write(view[: end - _TAIL], quiet_above=0 if quietly else None)
            tail = view[end - _TAIL :]
            if quietly:
                self.stay_quiet()
        with self._guard:
            if self._aborted:
                raise Stopped("stopped")
            self.unanswered += 1
        self.left = len(tail)
        try:
            self.write(tail, quiet_above=behind if quietly else None)
        except BaseException:
            if self.left > behind:
                self.note_answer()
            raise

    def note_answer(self) -> None:
        """Take note that a message whose end was written is in doubt no more."""
        with self._guard:
            self.unanswered -= 1

    def has_spoken(self) -> bool:
        """Tell whether something is there to read, without waiting: part of a reply, or the end of it all."""
        if not self._buffer:
            self._fill()
        return bool(self._buffer) or self._end is not None

    def has_read_line(self) -> bool:
        """Tell whether a whole line was read from the socket already."""
        return b"\n" in self._buffer

    def has_line(self) -> bool:
        """Tell whether a whole line is there to read, without waiting."""
        with contextlib.suppress(smtplib.SMTPServerDisconnected):
            self._fill()
        return b"\n" in self._buffer

    def is_over(self) -> bool:
        """Tell whether the server left of itself, with nothing behind its last whole reply."""
        return self._end is not None and not self._buffer and not self._aborted

    def is_quiet(self) -> bool:
        """Tell whether the connection still stands and the server has said nothing unasked."""
        try:
            self.stay_quiet()
        except (OSError, smtplib.SMTPException):
            return False
        return True

    def stay_quiet(self) -> None:
        """Refuse to go on when the server has gone or has said something unasked."""
        self._fill()
        if self._buffer:
            raise self._too_much()
        if self._end is not None:
            raise self._end

    def farewell(self) -> str:
        """Return the 421 that came behind the last reply; anything else there is an error, nothing is not."""
        if not self._buffer:
            return ""
        line = parse_line(self._buffer)
        if line is None or line[0] != 421:
            raise self._too_much()
        return f"421 {line[2]}"

    def abort(self, *, doubt: bool) -> None:
        """Cut the connection from another thread; without `doubt`, not while an end of data is answered."""
        with self._guard:
            self._aborted = True
            if self.sock is not None and (doubt or not self.unanswered):
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
        """Write a command of smtplib's own within the stage's time."""
        self.stay_quiet()
        self.write(s.encode("ascii") if isinstance(s, str) else bytes(s))

    def getreply(self) -> tuple[int, bytes]:
        """Read one reply in the form smtplib's own commands want it."""
        code, lines = self._read_lines()
        return code, "\n".join(lines).encode()

    def read_reply(self) -> Reply:
        """Read one whole reply."""
        line = self._read_line()
        return _whole_reply(line) or compose_reply(*self._read_lines(line))

    def close(self) -> None:
        """Close the socket."""
        with self._guard:
            self._poll = select.poll()
            super().close()

    # The socket

    def _call(self, host: str, port: int) -> socket.socket:
        """Connect to the first address of a host that answers; each may take its share of the stage's time."""
        with self.waiting():
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        error: OSError = OSError("the server has no address")
        for left, (family, kind, protocol, _, address) in zip(
            range(len(addresses), 0, -1), addresses, strict=True
        ):
            sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
            with self._guard:  # from here on another thread may cut it
                self.sock = sock
                if self._aborted:
                    raise Stopped("stopped")
            now = time.monotonic()
            try:
                if (code := sock.connect_ex(address)) == errno.EINPROGRESS:
                    self._await(select.POLLOUT, now + (self._write_by - now) / left)
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code == 0 and not self._aborted:
                    return sock
                error = OSError(code, os.strerror(code))
            except OSError as e:
                error = e
            self.close()
        raise error

    def _read_lines(self, line: bytes = b"") -> tuple[int, list[str]]:
        texts: list[str] = []
        first = 0
        while len(texts) < LINES_LIMIT:
            parsed = parse_line(line or self._read_line())
            if parsed is None or (first and parsed[0] != first):
                raise Malformed("the server's reply is malformed")
            first, more, text = parsed
            texts.append(text)
            line = b""
            if not more:
                return first, texts
        raise Malformed(f"the server's reply has more than {LINES_LIMIT} lines")

    def _read_line(self) -> bytes:
        while not (end := self._buffer.find(b"\n") + 1):
            if len(self._buffer) > LINE_LIMIT:
                raise Malformed(f"a line of the server's reply is longer than {LINE_LIMIT} octets")
            if self._end is not None:
                raise self._end
            if self._dry or not self._fill():
                self._await(select.POLLIN, self._read_by)
            elif time.monotonic() > self._read_by:
                raise self._late()
        line, self._buffer = self._buffer[:end], self._buffer[end:]
        return line

    def _fill(self) -> bool:
        """Take what has arrived, without waiting; False when there was nothing."""
        if self._end is not None:
            return True
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection is closed")
        try:
            data = self.sock.recv(4096)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._dry = True
            return False
        except OSError as e:
            self._end = e
            return True
        if not data:
            self._end = smtplib.SMTPServerDisconnected("the server closed the connection")
        self._buffer += data
        return True

    def _too_much(self) -> Malformed:
        line = parse_line(self._buffer.partition(b"\n")[0] + b"\n")
        said = f": {line[0]} {line[2]}" if line else ""
        return Malformed(f"the server spoke unasked{said}")

    def _late(self) -> TimeoutError:
        return TimeoutError(f"no answer within {self._timeouts[self.stage]:g} s")

    def _await(self, what: int, until: float) -> int:
        """Wait until the socket is ready for any of this, at most until then; return for what it is."""
        assert self.sock is not None
        self._dry = False
        left = until - time.monotonic()
        self._poll.register(self.sock, what)
        if left <= 0:
            raise self._late()
        with self.waiting():
            ready = self._poll.poll(left * 1000)
        if not ready:
            raise self._late()
        return ready[0][1]

    def _await_room(self, what: int, quiet_above: int | None) -> None:
        """Wait until more can be written, and keep what is said meanwhile."""
        if not self._await(what, self._write_by) & ~select.POLLOUT:
            return
        self._fill()
        if quiet_above is not None and self.left > quiet_above:
            self.stay_quiet()
        if self._end is not None:
            raise self._end
        if len(self._buffer) > _UNREAD_LIMIT:
            raise self._too_much()


@lru_cache(512)
def _whole_reply(line: bytes) -> Reply | None:
    """Return the reply that one line is, None when it is not one or not all."""
    parsed = parse_line(line)
    return None if parsed is None or parsed[1] else compose_reply(parsed[0], [parsed[2]])
