"""Clients that never finish a request are dropped, and others are answered meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from newsletter.config import Config
from newsletter.store import Store
from newsletter.web import Server, create_app, patience

PublicationFactory = Callable[..., Config]


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"POST /u/x HTTP/1.1\r\nContent-Length: 9\r\n\r\na"],
)
def test_a_slow_client_is_dropped(
    said: bytes, publication: PublicationFactory, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    config = publication()
    app = create_app(sqlite_store, config, lambda: datetime(2026, 11, 23, tzinfo=UTC))
    with Server(app, "127.0.0.1", 0) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
            slow.sendall(said)
            quick = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            quick.request("GET", "/healthz")
            assert quick.getresponse().status == 200
            quick.close()
            with contextlib.suppress(ConnectionResetError):
                assert slow.recv(100) == b""  # the server hung up, without a word
