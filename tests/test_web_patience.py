"""Clients that never finish a request are dropped, and others are answered meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from newsletter.config import Config
from newsletter.store import Store
from newsletter.web import Server, create_app, patience

PublicationFactory = Callable[..., Config]


FEED = b"GET /feeds/atom.xml HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: x"])
def test_a_client_that_drips_after_a_request_is_dropped(
    begun: bytes, publication: PublicationFactory, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 1.0)
    config = publication()
    file = config.public / "feeds" / "atom.xml"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    app = create_app(sqlite_store, config, lambda: datetime(2026, 11, 23, tzinfo=UTC))
    with (
        Server(app, "127.0.0.1", 0) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=0.2) as slow,
    ):
        slow.sendall(FEED + begun)
        began, got = time.monotonic(), b""
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 20:
                with contextlib.suppress(TimeoutError):
                    piece = slow.recv(1000)
                    if not piece:
                        break
                    got += piece
                slow.sendall(b"x" if begun else b"\r\n")
        assert got.startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began < 4, "before a connection that is idle would end"


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
