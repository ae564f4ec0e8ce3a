"""An SMTP server on loopback that writes down whom a message was for before it says that it took it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

#: The moments that a watcher is told of, before the reply: none but these change what a ledger must know.
MOMENTS = ("rcpt", "data", "taken", "told")

_REPLIES = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 10000000\r\n",
    b"HELO": b"250 sink\r\n",
    b"MAIL": b"250 2.1.0 ok\r\n",
    b"RCPT": b"250 2.1.5 ok\r\n",
    b"RSET": b"250 2.0.0 ok\r\n",
    b"NOOP": b"250 2.0.0 ok\r\n",
}


class Sink:
    """Accepts everything; `log` has one address a line, in the order of acceptance."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.watch: Callable[[str, int], None] = lambda moment, nth: None
        self._counts: Counter[str] = Counter()
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        self._file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, name="sink", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._guard:
            os.close(self._file)
            self._file = -1

    def count(self, moment: str) -> int:
        """Tell how often a moment came."""
        with self._guard:
            return self._counts[moment]

    def accepted(self) -> Counter[str]:
        """Read from the log how often each address was sent to."""
        return Counter(self.log.read_text(encoding="utf-8").splitlines())

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            self._talk(connection, lines)

    def _talk(self, connection: socket.socket, lines: BinaryIO) -> None:
        address = b""
        connection.sendall(b"220 sink ESMTP\r\n")
        while line := lines.readline():
            verb = line[:4].upper()
            if verb == b"QUIT":
                connection.sendall(b"221 2.0.0 bye\r\n")
                return
            if verb == b"RCPT":
                address = line[line.index(b"<") + 1 : line.index(b">")]
                self._tell("rcpt")
            if verb == b"DATA":
                self._tell("data")
                connection.sendall(b"354 go ahead\r\n")
                if not _whole(lines):
                    return
                self._take(address)
                self._tell("taken")
                connection.sendall(b"250 2.0.0 taken\r\n")
                self._tell("told")
            else:
                connection.sendall(_REPLIES.get(verb, b"502 5.5.1 not known here\r\n"))

    def _tell(self, moment: str) -> None:
        with self._guard:
            self._counts[moment] += 1
            nth = self._counts[moment]
        self.watch(moment, nth)

    def _take(self, address: bytes) -> None:
        with self._guard:
            if self._file >= 0:
                os.write(self._file, address + b"\n")


def _whole(lines: BinaryIO) -> bool:
    """Read a message up to its final dot; whether that came."""
    while line := lines.readline():
        if line == b".\r\n":
            return True
    return False
