"""HTTP for clients that hold their end up: a whole request within a time, and within a size.

What can be answered at once is, before a task is made for it: a `304` costs no more than reading the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from newsletter.web.front import Answer, Headers

PATIENCE = 15.0  # seconds that a client has to send a whole request
LARGEST_REQUEST = 128 * 1024  # bytes, headers and body

#: method, target, headers, the peer's address > an answer, or None when it takes longer
Quick = Callable[[bytes, bytes, Headers, str], Answer | None]


class Patient(HttpToolsProtocol):
    """Drops a client that takes too long over one request, or sends too much."""

    def __init__(self, *arguments: Any, quick: Quick | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._quick = quick
        self._slow: asyncio.TimerHandle | None = None
        self._received = 0
        self._amid = False  # between the first line of a request and its end
        self._answered = False  # the request that is being read

    def connection_made(self, transport: Any) -> None:
        """Start the clock."""
        super().connection_made(transport)
        self._slow = self.loop.call_later(PATIENCE, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request, or end the connection."""
        self._received += len(data)
        if self._received > LARGEST_REQUEST:
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()
            return
        super().data_received(data)
        if self._amid and self._slow is None:
            self._slow = self.loop.call_later(PATIENCE, self.transport.abort)

    def on_message_begin(self) -> None:
        """Note that a request has begun."""
        self._amid, self._answered = True, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Answer at once what can be, hand on the rest."""
        answer = self._answer_at_once() if self._quick is not None else None
        if answer is None:
            super().on_headers_complete()
        else:
            self._answered = True
            self._write(answer)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body; what was answered at once has none."""
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the clock: the request is whole."""
        self._forget()
        self._received = 0
        self._amid = False
        if not self._answered:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock: there is nobody to wait for."""
        self._forget()
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
        return self._quick(
            self.parser.get_method(), self.url, self.headers, self.client[0] if self.client else ""
        )

    def _write(self, answer: Answer) -> None:
        stays = self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"
        named = b"".join(
            [name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers]
        )
        end = b"\r\n" if stays else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((answer.head, named, end, answer.body)))
        if self.access_log:
            self._log(answer.status)
        self.server_state.total_requests += 1
        if not stays:
            self.transport.close()
        elif self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _log(self, status: int) -> None:
        client = ":".join(map(str, self.client)) if self.client else ""
        method, target = self.parser.get_method().decode(), self.url.decode("latin-1")
        self.access_logger.info('%s - "%s %s HTTP/1.1" %d', client, method, target, status)
