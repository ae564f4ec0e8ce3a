"""HTTP for clients that hold their end up: a whole request within a time, and within a size."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PATIENCE = 15.0  # seconds that a client has to send a whole request
LARGEST_REQUEST = 128 * 1024  # bytes, headers and body


class Patient(HttpToolsProtocol):
    """Drops a client that takes too long over one request, or sends too much."""

    _slow: asyncio.TimerHandle | None = None
    _received = 0

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
        if self._slow is None:
            self._slow = self.loop.call_later(PATIENCE, self.transport.abort)
        super().data_received(data)

    def on_message_complete(self) -> None:
        """Stop the clock: the request is whole."""
        self._forget()
        self._received = 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock: there is nobody to wait for."""
        self._forget()
        super().connection_lost(exc)

    def _forget(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
