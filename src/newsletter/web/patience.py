"""HTTP for clients that hold their end up: a whole request within a time, and within a size.

What can be answered at once is, before a task is made for it: a `304` costs no more than reading the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from newsletter.web.front import Headers
from newsletter.web.shelf import Answer

PATIENCE = 15.0  # seconds that a client has to send a whole request
LARGEST_REQUEST = 128 * 1024  # bytes, headers and body

#: method, target, headers, the peer's address > an answer, or None when it takes longer
Quick = Callable[[bytes, bytes, Headers, str], Answer | None]


class Patient(HttpToolsProtocol):
    """Drops a client that takes too long over one request, or sends too much."""

    _named: tuple[object, bytes] = (None, b"")

    def __init__(self, *arguments: Any, quick: Quick | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._quick = quick
        self._slow: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._received = 0
        self._amid = False  # between the first line of a request and its end
        self._whole = False  # a request ended in the piece that came last
        self._answered = False  # the request that is being read

    def connection_made(self, transport: Any) -> None:
        """Start the clock."""
        super().connection_made(transport)
        self._slow = self.loop.call_later(PATIENCE, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request, or end the connection."""
        self._heard = self.loop.time()
        self._received += len(data)
        if self._received > LARGEST_REQUEST:
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()
            return
        self._whole = False
        super().data_received(data)
        if (self._amid or not self._whole) and self._slow is None:
            self._slow = self.loop.call_later(PATIENCE, self.transport.abort)

    def on_message_begin(self) -> None:
        """Note that a request has begun; what its handling needs is made when it is handed on."""
        self._amid, self._answered = True, False
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Answer at once what can be, hand on the rest."""
        answer = self._answer_at_once() if self._quick is not None else None
        if answer is None:
            self._hand_on()
        else:
            self._answered = True
            self._write(answer)

    def _hand_on(self) -> None:
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body; what was answered at once has none."""
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the clock: the request is whole."""
        self._forget()
        self._received = 0
        self._amid = False
        self._whole = True
        if not self._answered:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock: there is nobody to wait for."""
        self._forget()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        super().connection_lost(exc)

    def _forget(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _answer_at_once(self) -> Answer | None:
        busy = self.cycle is not None and not self.cycle.response_complete
        full = self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency
        if self._quick is None or busy or full or self.pipeline or self.flow.write_paused:
            return None
        peer = self.client[0] if self.client else ""
        try:
            return self._quick(self.parser.get_method(), self.url, self.headers, peer)
        except Exception:  # inside the parser it would pass for a fault of the client
            self.logger.exception("a feed could not be answered at once")
            return None

    def _write(self, answer: Answer) -> None:
        stays = self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"
        if self._named[0] is not self.server_state.default_headers:  # replaced once a second: the date
            lines = [b"%b: %b\r\n" % one for one in self.server_state.default_headers]
            Patient._named = (self.server_state.default_headers, b"".join(lines))
        end = b"\r\n" if stays else b"connection: close\r\n\r\n"
        head = b"".join((answer.head, self._named[1], end))
        self.transport.writelines((head, answer.body) if answer.body else (head,))  # the body is not copied
        if self.access_log:
            self._log(answer.status)
        self.server_state.total_requests += 1
        if not stays:
            self.transport.close()
        elif self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._part)

    def _part(self) -> None:
        """Close a connection on which nothing has come for some time; one timer serves for many requests."""
        left = self._heard + self.timeout_keep_alive - self.loop.time()
        busy = self._amid or (self.cycle is not None and not self.cycle.response_complete)
        if left <= 0 and not busy:
            self._idle = None
            self.transport.close()
        else:
            self._idle = self.loop.call_later(max(left, 1.0), self._part)

    def _log(self, status: int) -> None:
        client = ":".join(map(str, self.client)) if self.client else ""
        method, target = self.parser.get_method().decode(), self.url.decode("latin-1")
        self.access_logger.info('%s - "%s %s HTTP/1.1" %d', client, method, target, status)
