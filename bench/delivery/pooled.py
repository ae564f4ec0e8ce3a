"""A sender that works as listmonk's does, written here: pooled connections, a command and a reply at a time.

The template is compiled once and rendered for each reader, the parts are made quoted-printable by C code, and put
together by hand. There is no ledger and no signature. Standard input: page and text
in one line of JSON; its end starts it.
"""

from __future__ import annotations

import binascii
import json
import socket
import sys
import threading
import time

import jinja2

from bench.digest import reader
from newsletter.model import Reader

HEAD = (
    "From: weekly@example.org\r\nTo: {address}\r\nSubject: Weekly\r\nMessage-ID: <{number}@example.org>\r\n"
    "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n"
)
PART = (
    "--b\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
)


class Sender:
    """One connection of the pool."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.sock.makefile("rb")
        self.expect(b"220")
        self.ask(b"EHLO localhost\r\n", b"250")

    def expect(self, code: bytes) -> None:
        """Read one reply."""
        while (line := self.replies.readline())[3:4] == b"-":
            continue
        assert line.startswith(code), line

    def ask(self, command: bytes, code: bytes) -> None:
        """Send one command and await its reply."""
        self.sock.sendall(command)
        self.expect(code)

    def send(self, recipient: str, content: bytes) -> None:
        """Send one message."""
        self.ask(b"MAIL FROM:<weekly@example.org>\r\n", b"250")
        self.ask(f"RCPT TO:<{recipient}>\r\n".encode(), b"250")
        self.ask(b"DATA\r\n", b"354")
        self.ask(content.replace(b"\r\n.", b"\r\n..") + b".\r\n", b"250")


class Maker:
    """Makes a reader's message."""

    def __init__(self, page: str, text: str) -> None:
        self.page, self.text = (jinja2.Template(one.replace("Zoë 0", "{{ name }}")) for one in (page, text))

    def __call__(self, one: Reader) -> bytes:
        pieces = [HEAD.format(address=one.address, number=one.subscriber_id).encode()]
        for kind, template in (("plain", self.text), ("html", self.page)):
            words = template.render(name=one.name).replace("\r\n", "\n").replace("\n", "\r\n").encode()
            body = binascii.b2a_qp(words, istext=True)
            pieces += [PART.format(kind=kind).encode(), body, b"\r\n"]
        return b"\r\n".join((pieces[0], b"".join(pieces[1:]) + b"--b--\r\n"))


def main(port: int, count: int, connections: int) -> None:
    """Send a share over each connection; print the CPU seconds."""
    make = Maker(*json.loads(sys.stdin.readline()))
    print("ready", flush=True)
    sys.stdin.read()
    used = time.process_time()

    def work(share: range) -> None:
        sender = Sender(port)
        for number in share:
            one = reader(number)
            sender.send(one.address, make(one))

    threads = [
        threading.Thread(target=work, args=(range(n, count, connections),)) for n in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(time.process_time() - used, flush=True)


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:]))
