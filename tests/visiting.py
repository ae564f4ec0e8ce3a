"""Somebody who visits the pages of a publication: opens them, fills their forms, reads what was mailed."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from sqlalchemy import select

from conftest import PublicationFactory
from newsletter import letters, subscriptions, tokens, web
from newsletter.config import Config
from newsletter.store import Store, schema, subscribers
from newsletter.store import letters as stored_letters
from newsletter.tokens import Purpose

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"
EACH = {"sender": "weekly@harbour.example.org"}
NEWSLETTERS = [
    {"name": "weekly", "title": "The Harbour Weekly", **EACH},
    {"name": "daily", "title": "The <Daily>", "description": "Each morning.", **EACH},
]


class Clock:
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    page: str


@dataclass
class Visit:
    """A served publication; `network` is where the visitor's computer is."""

    config: Config
    store: Store
    port: int
    clock: Clock
    network: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in {**self.headers, **headers}.items()}
        if self.network:
            named["x-forwarded-for"] = self.network
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            page = response.read().decode()
        finally:
            connection.close()
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, page)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, **headers)

    def post(self, path: str, fields: object = (), **headers: str) -> Answer:
        body = urlencode(fields, doseq=True).encode()  # type: ignore[arg-type]  # pairs, or a mapping
        return self.ask("POST", path, body, content_type=FORM, **headers)

    def sign_up(self, address: str, newsletter: str = "weekly", **fields: str) -> Answer:
        """Open the form, take some time, and send it."""
        stamp = re.findall(r'name="shown" value="([^"]+)"', self.get("/subscribe/").page)[0]
        self.clock.turn(seconds=5)
        told = {"address": address, "newsletter": newsletter, "shown": stamp, **fields}
        return self.post("/subscribe/", told)

    def letters(self) -> list[tuple[str, str, str]]:
        """Return what was queued: kind, address, newsletter."""
        with self.store.read() as tx:
            return [(one.kind, one.address, one.newsletter) for one in letters.listed(tx, limit=100)[::-1]]

    def sent(self) -> None:
        """Put what was queued into batches, as sending begins."""
        with self.store.write() as tx:
            for one in self.config.newsletters:
                stored_letters.release(tx, one.name, frozen="", now=self.clock.now)

    def id(self, address: str) -> int:
        with self.store.read() as tx:
            person = subscribers.find(tx, address)
        assert person is not None
        return person.id

    def link(self, purpose: Purpose, subject: str) -> str:
        return f"/{purpose}/{tokens.make(self.config.token_keys(), purpose, subject)}"

    def confirming(self, address: str, newsletter: str = "weekly") -> str:
        return self.link(Purpose.CONFIRM, f"{self.id(address)}.{newsletter}")

    def page(self, address: str) -> str:
        return self.link(Purpose.PREFERENCES, f"{self.id(address)}")

    def standing(self, address: str) -> dict[str, str]:
        record = subscriptions.show(self.store, address)
        return {one.newsletter: one.standing.value for one in record.subscriptions} if record else {}

    def everything(self) -> list[list[str]]:
        with self.store.read() as tx:
            return [[str(row) for row in tx.execute(select(t))] for t in schema.METADATA.sorted_tables]


@contextmanager
def visiting(factory: PublicationFactory, store: Store, **changes: object) -> Iterator[Visit]:
    """Serve a publication with two newsletters to a visitor."""
    config = factory({"newsletters": NEWSLETTERS, **changes})
    clock = Clock()
    with web.Server(web.create_app(store, config, clock), "127.0.0.1", 0) as server:
        yield Visit(config, store, server.port, clock)
