"""A published tree that is served, and somebody who asks for it."""

from __future__ import annotations

import gzip
import http.client
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from newsletter.config import Config
from newsletter.store import Store
from newsletter.web.front import Front

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DATED = 1_790_000_000
DATE = "Mon, 21 Sep 2026 14:13:20 GMT"


class Answered(NamedTuple):
    """An answer, its headers' names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    links: list[str]


def ask(port: int, path: str, method: str = "GET", **headers: str) -> Answered:
    """Ask once; `if_none_match="…"` becomes a header."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, None, {name.replace("_", "-"): v for name, v in headers.items()})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    named = {name.lower(): value for name, value in response.headers.items()}
    return Answered(response.status, named, body, response.headers.get_all("link") or [])


@dataclass
class Served:
    """A publication that the built-in server answers for."""

    config: Config
    store: Store
    port: int
    front: Front
    built_in: bool = True

    def get(self, path: str, **headers: str) -> Answered:
        """Ask for a path."""
        return ask(self.port, path, **headers)

    def put(self, path: str, data: bytes, *, dated: int = DATED) -> Path:
        """Put a file and its compressed form in place whole, as publishing does."""
        file = self.config.public / path
        file.parent.mkdir(parents=True, exist_ok=True)
        for name, held in ((file.name, data), (f"{file.name}.gz", gzip.compress(data, mtime=0))):
            new = file.with_name(f".{name}.new")
            new.write_bytes(held)
            os.utime(new, (dated, dated))
            new.replace(file.with_name(name))
        return file


def feed(*entries: tuple[str, str], tombs: str = "") -> bytes:
    """Return an Atom feed of entries by id and title."""
    told = "".join(
        f"<entry><id>tag:x,2026:{key}</id><title>{title}</title><updated>2026-11-20T00:00:00Z</updated></entry>"
        for key, title in entries
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom" '
        'xmlns:at="http://purl.org/atompub/tombstones/1.0">'
        "<id>tag:x,2026:feed</id><title>Harbour</title><updated>2026-11-20T00:00:00Z</updated>"
        '<author><name>Ada</name></author><link rel="self" href="https://harbour.example.org/feeds/atom.xml"/>'
        f'<link rel="hub" href="https://hub.example.org/"/>{told}{tombs}</feed>'
    ).encode()
