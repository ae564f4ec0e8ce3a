"""An SMTP server that accepts and forgets everything; a process of its own, so that it costs the sender nothing.

Commands may come together (PIPELINING) and messages by BDAT (CHUNKING). Each reply may be late by a fixed time, as a
distant server's is: what is sent together is then answered together.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

OFFERS = ("ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "PIPELINING")
CHUNKED = (*OFFERS, "CHUNKING")
REPLIES = {
    b"MAIL": b"250 2.1.0 ok\r\n",
    b"RCPT": b"250 2.1.5 ok\r\n",
    b"DATA": b"354 go\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}
TAKEN = b"250 2.0.0 taken\r\n"


class Talk(asyncio.Protocol):
    """One conversation."""

    def __init__(self, offers: list[str], delay: float) -> None:
        lines = ["sink", *offers]
        self.ehlo = (
            "".join(f"250-{line}\r\n" for line in lines[:-1]).encode() + f"250 {lines[-1]}\r\n".encode()
        )
        self.delay = delay
        self.buffer = bytearray()
        self.waiting: deque[bytes] = deque()
        self.in_data = False
        self.skip = 0  # octets of a chunk still to come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.say([b"220 sink ESMTP\r\n"])

    def data_received(self, data: bytes) -> None:
        """Answer whatever is complete."""
        self.buffer += data
        replies: list[bytes] = []
        while (reply := self.advance()) is not None:
            replies.append(reply)
        if replies:
            self.say(replies)

    def advance(self) -> bytes | None:
        """Take one command or message off the buffer and return its reply; None when it is not all there."""
        if self.skip:
            gone = min(self.skip, len(self.buffer))
            del self.buffer[:gone]
            self.skip -= gone
            return None if self.skip else TAKEN
        end = b"\r\n.\r\n" if self.in_data else b"\r\n"
        at = self.buffer.find(end)
        if at < 0:
            return None
        line = bytes(self.buffer[: min(at, 60)])
        del self.buffer[: at + len(end)]
        if self.in_data:
            self.in_data = False
            return TAKEN
        verb = line[:4].upper()
        if verb == b"BDAT":
            self.skip = int(line.split()[1])
            return self.advance() if self.buffer else None
        self.in_data = verb == b"DATA"
        return self.ehlo if verb == b"EHLO" else REPLIES.get(verb, b"250 2.0.0 ok\r\n")

    def say(self, replies: list[bytes]) -> None:
        """Write replies together, now or later."""
        self.waiting.append(b"".join(replies))
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self.write_next)
        else:
            self.write_next()

    def write_next(self) -> None:
        """Write what waits longest."""
        self.transport.write(self.waiting.popleft())


async def _serve(offers: list[str], delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Talk(offers, delay), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def running(offers: tuple[str, ...] = OFFERS, *, delay: float = 0.0) -> Iterator[int]:
    """Run the sink and yield its port; each reply is `delay` seconds late."""
    command = [sys.executable, "-m", "bench.sink", "--delay", str(delay), *offers]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("offers", nargs="*")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.offers, arguments.delay))
