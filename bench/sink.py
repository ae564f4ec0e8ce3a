"""An SMTP server that accepts and forgets everything, in a process of its own, and is never what bounds a sender.

It speaks PIPELINING, CHUNKING and STARTTLS. The octets of a chunk are dropped in the kernel (MSG_TRUNC, Linux); those
of DATA are read in large pieces, and only the end of each is looked at. Each reply may be late by a fixed time, as a
distant server's is: what is sent together is then answered together.
"""

from __future__ import annotations

import argparse
import resource
import select
import socket
import ssl
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OFFERS = ("ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "PIPELINING")
CHUNKED = (*OFFERS, "CHUNKING")
REPLIES = {
    b"MAIL": b"250 2.1.0 ok\r\n",
    b"RCPT": b"250 2.1.5 ok\r\n",
    b"DATA": b"354 go\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
    b"STAR": b"220 2.0.0 go ahead\r\n",
}
TAKEN = b"250 2.0.0 taken\r\n"
END = b"\r\n.\r\n"
COMMANDS = 1024  # octets read when commands are due: an envelope, and little of what follows
BEHIND = (
    2048  # octets at the end of a piece in which an end of data is looked for: an envelope at most follows it
)
PIECE = bytearray(1 << 20)
DROP = socket.MSG_TRUNC if sys.platform == "linux" else 0


class Talk:
    """One conversation; `said` gathers the replies to what was read at once."""

    def __init__(self, sock: socket.socket, offers: tuple[str, ...], tls: ssl.SSLContext | None) -> None:
        self.sock = sock
        self.offers = offers
        self.tls = tls  # none also once it is on
        self.said = b""
        self.taken = 0
        self._buffer = b""
        self._in_data = False
        self._skip = 0  # octets of a chunk still to come

    def read(self) -> bool:
        """Take what has come; False when the client has gone."""
        while True:
            count = self._step()
            if count <= 0:
                return count < 0
            veiled = isinstance(self.sock, ssl.SSLSocket)  # a record may hold more than the kernel tells of
            if not self._skip and not veiled:
                return True

    def secure(self) -> None:
        """Put TLS on the connection, if STARTTLS was just answered."""
        if self.tls is None or not self.said.startswith(REPLIES[b"STAR"]):
            return
        self.sock.sendall(self.said)
        self.said = b""
        self.sock.settimeout(10)
        self.sock = self.tls.wrap_socket(self.sock, server_side=True)
        self.sock.setblocking(False)
        self.tls = None

    def _step(self) -> int:
        """Read once; return how many octets came, -1 when none is there, 0 at the end."""
        plain = not isinstance(self.sock, ssl.SSLSocket)
        try:
            if self._skip:
                most = min(self._skip, len(PIECE))
                count = self.sock.recv_into(PIECE, most, DROP) if plain else self.sock.recv_into(PIECE, most)
                self._skip -= count
                if count and not self._skip:
                    self._take()
            elif self._in_data:
                count = self.sock.recv_into(PIECE)
                self._look_for_end(self._buffer + PIECE[max(0, count - BEHIND) : count])
            else:
                count = self.sock.recv_into(PIECE, COMMANDS)
                self._obey(self._buffer + PIECE[:count])
        except (BlockingIOError, ssl.SSLWantReadError):
            return -1
        except OSError:
            return 0
        return count

    def _take(self) -> None:
        self.taken += 1
        self.said += TAKEN

    def _look_for_end(self, tail: bytes) -> None:
        at = tail.rfind(END)
        if at < 0:
            self._buffer = tail[1 - len(END) :]
            return
        self._in_data = False
        self._take()
        self._obey(tail[at + len(END) :])

    def _obey(self, data: bytes) -> None:
        """Answer whole commands; what follows the last one waits."""
        while not self._in_data and b"\n" in data:
            line, _, data = data.partition(b"\n")
            verb = line[:4].upper()
            if verb == b"BDAT":
                size = int(line.split()[1])
                self._skip = max(0, size - len(data))
                data = data[size:]
                if not self._skip:
                    self._take()
                continue
            self._in_data = verb == b"DATA"
            self.said += self._ehlo() if verb == b"EHLO" else REPLIES.get(verb, b"250 2.0.0 ok\r\n")
        self._buffer = data
        if self._in_data and data:
            self._look_for_end(data)

    def _ehlo(self) -> bytes:
        lines = ["sink", *self.offers, *(["STARTTLS"] if self.tls else [])]
        said = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
        return said.encode()


class Sink:
    """The server: one loop over all conversations."""

    def __init__(self, offers: tuple[str, ...], delay: float, tls: ssl.SSLContext | None) -> None:
        self.offers, self.delay, self.tls = offers, delay, tls
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.talks: dict[int, Talk] = {}
        self.taken = 0  # of conversations that are over
        self.late: deque[tuple[float, Talk, bytes]] = deque()

    def serve(self) -> None:
        """Serve until standard input ends; a line there asks for what was taken and what it cost."""
        poll = select.epoll()
        for waited in (self.socket.fileno(), 0):
            poll.register(waited, select.EPOLLIN)
        print(self.socket.getsockname()[1], flush=True)
        while True:
            patience = max(0.0, self.late[0][0] - time.monotonic()) if self.late else -1
            for number, _ in poll.poll(patience):
                if number == 0:
                    if not sys.stdin.readline():
                        return
                    self._report()
                elif number == self.socket.fileno():
                    self._accept(poll)
                elif not self._hear(self.talks[number]):
                    self._forget(self.talks.pop(number))
            while self.late and self.late[0][0] <= time.monotonic():
                _, talk, said = self.late.popleft()
                self._write(talk, said)

    def _accept(self, poll: select.epoll) -> None:
        sock, _ = self.socket.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        talk = self.talks[sock.fileno()] = Talk(sock, self.offers, self.tls)
        poll.register(sock, select.EPOLLIN)
        self._say(talk, b"220 sink ESMTP\r\n")

    def _hear(self, talk: Talk) -> bool:
        alive = talk.read()
        try:
            talk.secure()
        except OSError:
            return False
        if talk.said:
            said, talk.said = talk.said, b""
            self._say(talk, said)
        return alive

    def _say(self, talk: Talk, said: bytes) -> None:
        if self.delay:
            self.late.append((time.monotonic() + self.delay, talk, said))
        else:
            self._write(talk, said)

    def _write(self, talk: Talk, said: bytes) -> None:
        try:
            talk.sock.send(said)
        except OSError:
            return  # it has gone, which reading tells

    def _forget(self, talk: Talk) -> None:
        self.taken += talk.taken
        talk.sock.close()

    def _report(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        taken = self.taken + sum(talk.taken for talk in self.talks.values())
        print(taken, usage.ru_utime + usage.ru_stime, flush=True)


@dataclass(frozen=True, slots=True)
class Running:
    """A running sink."""

    port: int
    process: subprocess.Popen[str]

    def report(self) -> tuple[int, float]:
        """Return how many messages it took so far, and its CPU seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        taken, used = self.process.stdout.readline().split()
        return int(taken), float(used)


@contextmanager
def started(
    offers: tuple[str, ...] = OFFERS, *, delay: float = 0.0, tls: Path | None = None
) -> Iterator[Running]:
    """Run a sink; each reply is `delay` seconds late. `tls` is a file of a key and its certificate, for STARTTLS."""
    command = [sys.executable, "-m", "bench.sink", "--delay", str(delay), *offers]
    if tls is not None:
        command += ["--tls", str(tls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Running(int(process.stdout.readline()), process)
        process.communicate(timeout=30)


@contextmanager
def running(offers: tuple[str, ...] = OFFERS, *, delay: float = 0.0) -> Iterator[int]:
    """Run a sink and yield its port."""
    with started(offers, delay=delay) as sink:
        yield sink.port


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--tls", type=Path)
    parser.add_argument("offers", nargs="*")
    arguments = parser.parse_args()
    context = None
    if arguments.tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.tls)
    Sink(tuple(arguments.offers), arguments.delay, context).serve()
