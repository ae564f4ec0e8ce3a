"""Subscribers of a hub, and hubs: real servers on loopback that behave as each path says."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from newsletter import websub
from newsletter.config import Config
from newsletter.store import Store
from newsletter.websub import Overview

PATIENCE = 30.0  # seconds
OURS = {"hub": True, "allow_private_addresses": True, "ports": []}


@dataclass(frozen=True)
class Seen:
    """One request as a server saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float


Behave = Callable[["Handler", Seen], None]


class Handler(BaseHTTPRequestHandler):
    """Notes a request and lets the path's behaviour answer it; without one, it does what a good subscriber does."""

    server: Callbacks

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body, time.monotonic())
        self.server.note(seen)
        self.server.behaviour.get(parts.path, good)(self, seen)

    do_GET = do_POST = _answer  # noqa: N815

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer with a status and a body."""
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def good(handler: Handler, seen: Seen) -> None:
    """Echo the challenge, and take what is sent."""
    handler.say(200, seen.query.get("hub.challenge", "").encode())


def answer(status: int, body: bytes = b"", **headers: str) -> Behave:
    """Answer everything alike."""
    return lambda handler, seen: handler.say(status, body, **headers)


def posts(*statuses: int) -> Behave:
    """Echo the challenge; answer each document with the next status, the last one for ever."""
    left = list(statuses)

    def behave(handler: Handler, seen: Seen) -> None:
        if seen.method == "GET":
            good(handler, seen)
        else:
            handler.say(left.pop(0) if len(left) > 1 else left[0])

    return behave


class Callbacks(ThreadingHTTPServer):
    """A server of callbacks; `seen` is all that was asked of it."""

    daemon_threads = True

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Handler)
        self.behaviour: dict[str, Behave] = {}
        self.seen: list[Seen] = []
        self._changed = threading.Condition()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def note(self, seen: Seen) -> None:
        """Keep a request."""
        with self._changed:
            self.seen.append(seen)
            self._changed.notify_all()

    def posts(self, path: str | None = None) -> list[Seen]:
        """Return the documents that were sent, to one path or to all."""
        return [one for one in self.seen if one.method == "POST" and path in (None, one.path)]

    def gets(self, path: str | None = None) -> list[Seen]:
        """Return the questions that were asked."""
        return [one for one in self.seen if one.method == "GET" and path in (None, one.path)]

    def wait(self, count: int, method: str = "POST") -> None:
        """Wait until so many requests came."""
        with self._changed:
            enough = lambda: len([s for s in self.seen if s.method == method]) >= count  # noqa: E731
            assert self._changed.wait_for(enough, PATIENCE), f"{len(self.seen)} requests came"

    def handle_error(self, request: object, client_address: object) -> None:
        """We hang up on those who talk too long; that is no error here."""


@contextmanager
def callbacks(host: str = "127.0.0.1") -> Iterator[Callbacks]:
    """Run a server of callbacks."""
    with Callbacks(host) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


class Clock:
    """An instant that the test moves."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Hub:
    """A publication with the built-in hub, and what is done to it."""

    def __init__(self, config: Config, store: Store, clock: Clock) -> None:
        self.config = config
        self.store = store
        self.clock = clock

    def topic(self, path: str = "feeds/atom.xml") -> str:
        """Return a topic."""
        return self.config.publication.url + path

    def publish(self, body: bytes, path: str = "feeds/atom.xml") -> None:
        """Put a feed into the public folder, and note what changed."""
        file: Path = self.config.public / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        websub.note(self.store, self.config, now=self.clock())

    def ask(self, callback: str, mode: str = "subscribe", **fields: str) -> websub.Reply:
        """Ask the hub; `topic`, `secret` and `lease_seconds` may be given."""
        given = {"mode": mode, "callback": callback, "topic": self.topic(), **fields}
        form = urlencode({f"hub.{name}": value for name, value in given.items()}).encode()
        return websub.ask(self.store, self.config, form, now=self.clock())

    def push(self) -> None:
        """Do what is due."""
        assert websub.push(self.store, self.config, clock=self.clock)

    def subscribe(self, callback: str, **fields: str) -> None:
        """Subscribe and be verified."""
        assert self.ask(callback, **fields).status == 202
        self.push()

    def overview(self) -> Overview:
        """Return what there is."""
        return websub.overview(self.store)

    def subscribed(self) -> list[str]:
        """Return the callbacks that are subscribed."""
        return [one.callback for one in self.overview().subscriptions]


def hmac_sha256(key: bytes, text: bytes) -> str:
    """Compute HMAC-SHA256 from its definition (RFC 2104), not from a library's."""
    key = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(one ^ 0x36 for one in key) + text).digest()
    return hashlib.sha256(bytes(one ^ 0x5C for one in key) + inner).hexdigest()
