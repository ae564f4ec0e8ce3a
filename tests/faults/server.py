"""An SMTP server that misbehaves by a table, and logs what it accepted before it says so.

The table maps (stage, nth) to an action; `nth` counts from 1 over the whole life of the server, 0 means every
time. What is accepted is appended to a file, one `KEY RECIPIENT` line a message, KEY from its Message-ID
`<ISSUE.KEY@…>`: the witness against which a ledger is checked. Commands may come in one piece (PIPELINING), and
messages by BDAT (CHUNKING); each has its replies in turn, and what nobody is left to receive is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from newsletter.model import Stage

MESSAGE_ID = re.compile(rb"^Message-ID: <[0-9]+\.([0-9]+)@", re.MULTILINE | re.IGNORECASE)
PLAIN = ("8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "SIZE 10000000")
OFFERS = ("PIPELINING", *PLAIN)
CHUNKED = ("CHUNKING", *OFFERS)
MODES = {"plain": PLAIN, "pipelined": OFFERS, "chunked": CHUNKED}
NOBODY = b"554 5.5.1 no valid recipients\r\n"
USUAL: dict[Stage, bytes] = {
    Stage.GREETING: b"220 sink.test ESMTP\r\n",
    Stage.STARTTLS: b"220 2.0.0 go ahead\r\n",
    Stage.AUTH: b"235 2.7.0 welcome\r\n",
    Stage.MAIL: b"250 2.1.0 ok\r\n",
    Stage.RCPT: b"250 2.1.5 ok\r\n",
    Stage.DATA: b"354 go ahead\r\n",
    Stage.END_OF_DATA: b"250 2.0.0 queued\r\n",
}
COMMANDS: dict[bytes, Stage] = {
    b"EHLO": Stage.EHLO,
    b"STARTTLS": Stage.STARTTLS,
    b"AUTH": Stage.AUTH,
    b"MAIL": Stage.MAIL,
    b"RCPT": Stage.RCPT,
    b"DATA": Stage.DATA,
    b"BDAT": Stage.END_OF_DATA,
}


@dataclass(frozen=True)
class Act:
    """What to do at a point instead of the usual: these, in the order of the fields.

    `call` runs first; `take` accepts the message (at the end of data only) whatever is said then; `say` is
    sent raw; then `close` the connection, or be `silent` until the client or the server goes.
    """

    say: bytes = b""
    take: bool = False
    close: bool = False
    silent: bool = False
    drip: float = 0.0  # seconds between the octets of `say`
    call: Callable[[], None] | None = None


DROP = Act(close=True)
TAKE_AND_DROP = Act(take=True, close=True)
SILENCE = Act(silent=True)
TAKE_IN_SILENCE = Act(take=True, silent=True)


def say(line: str, *, close: bool = False) -> Act:
    """Answer with this line instead of the usual."""
    return Act(say=line.encode() + b"\r\n", close=close)


Table = Mapping[tuple[Stage, int], Act]


class _Gone(Exception):
    """The conversation is over."""


@dataclass
class FaultServer:
    """Runs in threads of this process, on a port of its own of the loopback."""

    log: Path
    table: Table = field(default_factory=dict)
    offers: tuple[str, ...] = OFFERS
    tls: ssl.SSLContext | None = None
    implicit: bool = False  # TLS from the start
    lenient: bool = False  # takes DATA even when nobody is left to receive it (RFC 2920 §3.1)
    watch: Callable[[Stage, int], None] | None = None  # told of each point before the server acts
    commands: list[bytes] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    taken: list[tuple[float, int]] = field(default_factory=list)  # when, by the clock on the wall, and whose

    def __enter__(self) -> Self:
        self._counts: Counter[Stage] = Counter()
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._open: set[socket.socket] = set()
        self._log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._guard:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        os.close(self._log)

    def accepted(self) -> Counter[int]:
        """Count what was accepted, by key."""
        return read_log(self.log)

    def count(self, stage: Stage) -> int:
        """Tell how often a stage was reached."""
        with self._guard:
            return self._counts[stage]

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._guard:
                self._open.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        talk = _Talk(self, sock)
        try:
            talk.run()
        except (_Gone, OSError):
            pass
        finally:
            with self._guard:
                self._open.discard(sock)
            talk.sock.close()

    def next(self, stage: Stage) -> Act | None:
        """Count a point and return what the table says of it."""
        with self._guard:
            self._counts[stage] += 1
            nth = self._counts[stage]
        if self.watch is not None:
            self.watch(stage, nth)
        return self.table.get((stage, nth)) or self.table.get((stage, 0))

    def take(self, content: bytes, recipient: bytes) -> None:
        """Accept a message: the log has it before anybody is told."""
        found, now = MESSAGE_ID.search(content), time.time()
        key = int(found[1]) if found else 0
        self.contents.append(content)
        self.taken.append((now, key))
        os.write(self._log, b"%d %s\n" % (key, recipient))

    def wait(self, seconds: float = 60) -> None:
        """Say nothing for so long, or until the server ends."""
        self._over.wait(seconds)


class _Talk:
    """One conversation."""

    def __init__(self, server: FaultServer, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.buffer = b""
        self.sender = False  # MAIL was taken
        self.recipient = b""

    def run(self) -> None:
        if self.server.implicit and self.server.tls is not None:
            self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
        self.point(Stage.GREETING)
        while True:
            line = self.read_until(b"\r\n")
            verb = line.split(b" ")[0].upper()
            stage = COMMANDS.get(verb)
            self.server.commands.append(line)
            if verb == b"QUIT":
                self.sock.sendall(b"221 2.0.0 bye\r\n")
                return
            if stage is None:
                if verb == b"RSET":
                    self.reset()
                self.sock.sendall(b"250 2.0.0 ok\r\n" if verb == b"RSET" else b"500 5.5.2 what\r\n")
            elif stage is Stage.END_OF_DATA:
                self.chunk(int(line.split(b" ")[1]))
            else:
                self.command(stage, line)

    def command(self, stage: Stage, line: bytes) -> None:
        if (stage is Stage.MAIL and self.sender) or (stage is Stage.RCPT and not self.sender):
            self.sock.sendall(b"503 5.5.1 out of order\r\n")
            return
        if stage is Stage.DATA and not self.recipient and not self.server.lenient:
            self.sock.sendall(NOBODY)
            return
        usual = self.point(stage)
        if usual and stage is Stage.MAIL:
            self.sender = True
        if usual and stage is Stage.RCPT:
            self.recipient = line[len(b"RCPT TO:<") : line.index(b">")]
        if usual and stage is Stage.STARTTLS and self.server.tls is not None:
            self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
        if usual and stage is Stage.DATA:
            self.data()

    def reset(self) -> None:
        self.sender, self.recipient = False, b""

    def point(self, stage: Stage) -> bool:
        """Act as the table says of this point; return whether the usual happened."""
        act = self.server.next(stage)
        if act is None:
            self.sock.sendall(self.offer() if stage is Stage.EHLO else USUAL[stage])
            return True
        self.do(act)
        return act.say[:1] in (b"3", b"2")

    def do(self, act: Act) -> None:
        if act.call is not None:
            act.call()
        for piece in [act.say[n : n + 1] for n in range(len(act.say))] if act.drip else [act.say]:
            self.sock.sendall(piece)
            self.server.wait(act.drip)
        if act.silent:
            self.server.wait()
        if act.close or act.silent:
            raise _Gone

    def data(self) -> None:
        early = self.server.next(Stage.BODY)
        if early is not None:
            while not self.buffer:  # the client has begun
                self.buffer = self.sock.recv(1)
            self.do(early)
        if not self.recipient:
            self.end(self.read_until(b".\r\n"))
        else:
            self.end(self.read_until(b"\r\n.\r\n") + b"\r\n")

    def chunk(self, size: int) -> None:
        while len(self.buffer) < size:
            self.receive()
        content, self.buffer = self.buffer[:size], self.buffer[size:]
        self.end(content)

    def end(self, content: bytes) -> None:
        recipient = self.recipient
        if not recipient:  # a BDAT that was refused leaves its transaction open
            self.sock.sendall(NOBODY)
            return
        self.reset()
        act = self.server.next(Stage.END_OF_DATA)
        if act is None or act.take:
            self.server.take(content, recipient)
        if act is None:
            self.sock.sendall(USUAL[Stage.END_OF_DATA])
        else:
            self.do(act)

    def offer(self) -> bytes:
        lines = ["sink.test", *self.server.offers]
        marks = ["250-"] * (len(lines) - 1) + ["250 "]
        return "".join(f"{mark}{line}\r\n" for mark, line in zip(marks, lines, strict=True)).encode()

    def read_until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            self.receive()
        found, _, self.buffer = self.buffer.partition(end)
        return found

    def receive(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise _Gone
        self.buffer += data


def read_log(log: Path) -> Counter[int]:
    """Count what a server accepted, by key."""
    return Counter(int(line.split()[0]) for line in log.read_bytes().splitlines())
