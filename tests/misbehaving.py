"""A server on loopback that misbehaves on request, over raw sockets."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

Answer = Callable[[socket.socket, bytes], None]


class Misbehaving(socketserver.ThreadingTCPServer):
    """Answers each path with its own function, which writes to the raw socket."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[bytes] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def on(self, path: str, answer: Answer | bytes) -> str:
        """Answer a path with bytes or a function; return its URL."""
        self.answers[path] = answer if callable(answer) else lambda s, _: s.sendall(answer)
        return self.url + path

    def handle_error(self, request: object, client_address: object) -> None:
        """The client hangs up in these tests; that is no error of the server."""


class Handler(socketserver.BaseRequestHandler):
    """Reads one request and calls the answer of its path."""

    def handle(self) -> None:
        assert isinstance(self.server, Misbehaving)
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = self.request.recv(65536)
            if not chunk:
                return
            data += chunk
        self.server.requests.append(data)
        path = data.split(b" ")[1].decode().partition("?")[0]
        self.server.answers[path](self.request, data)


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with Misbehaving() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def redirect(to: str, status: str = "302 Found") -> bytes:
    return response(b"", f"Location: {to}", status=status)
