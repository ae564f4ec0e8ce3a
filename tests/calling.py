"""A publication's API behind a real server, and a client that holds every answer against the OpenAPI document."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from newsletter.api import keys
from newsletter.api.keys import Scope
from newsletter.api.openapi import document
from newsletter.config import Config
from newsletter.store import Store
from newsletter.web import Server, create_app
from subscribing import Clock

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DOCUMENT = document("https://harbour.example.org/")


@dataclass
class Answer:
    """An answer, its headers' names in lower case."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The document that came."""
        return json.loads(self.raw)


@dataclass
class Client:
    """Asks a server that listens; `seen` is each (operation, status) that was answered."""

    config: Config
    store: Store
    port: int
    clock: Clock
    token: str = ""
    seen: set[tuple[str, int]] = field(default_factory=set)

    def key(self, *scopes: Scope, name: str = "", lasts: timedelta | None = None) -> str:
        """Make a key and return its token."""
        made = name or f"key{len(keys.listed(self.store))}"
        until = None if lasts is None else self.clock.now + lasts
        return keys.make(self.store, made, scopes or tuple(Scope), now=self.clock.now, until=until)

    def ask(
        self, method: str, path: str, sent: Any = None, *, raw: bytes | None = None, **headers: str
    ) -> Answer:
        """Ask once; `if_match="…"` becomes a header, an empty one is left out."""
        body = raw if raw is not None else None if sent is None else json.dumps(sent).encode()
        given = {"authorization": f"Bearer {self.token}"}
        if body is not None:
            given["content-type"] = "application/json"
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, f"/api/v1{path}", body, {n: v for n, v in given.items() if v})
            response = connection.getresponse()
            answer = Answer(
                response.status, {n.lower(): v for n, v in response.headers.items()}, response.read()
            )
        finally:
            connection.close()
        self._hold(method, path.partition("?")[0], answer)
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for something."""
        return self.ask("GET", path, raw=None, **headers)

    def post(self, path: str, sent: Any = None, **headers: str) -> Answer:
        """Post a document."""
        return self.ask("POST", path, sent, raw=None, **headers)

    def _hold(self, method: str, path: str, answer: Answer) -> None:
        """Hold an answer against the document: its status, its type, its schema."""
        assert answer.headers["cache-control"] == "no-store"
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        if answer.status >= 400 and method != "HEAD":
            assert answer.headers["content-type"] == "application/problem+json"
            check(answer.body, {"$ref": "#/components/schemas/ProblemBody"})
            assert answer.body["status"] == answer.status
        template = re.sub(r"/[0-9]+(?=/|$)", "/{id}", path)
        operation = DOCUMENT["paths"].get(template, {}).get(method.lower())
        if operation is None:
            return
        self.seen.add((operation["operationId"], answer.status))
        said = operation["responses"][str(answer.status)]
        for kind, one in said.get("content", {}).items():
            assert answer.headers["content-type"] == kind
            check(answer.body, one["schema"])
        if "content" not in said:
            assert answer.raw == b""


@contextmanager
def serving(config: Config, store: Store, *, token: str = "") -> Iterator[Client]:
    """Run the built-in server; without a token the client gets one with every scope."""
    clock = Clock(NOW)
    with Server(create_app(store, config, clock), "127.0.0.1", 0) as server:
        client = Client(config, store, server.port, clock)
        client.token = token or client.key(name="all")
        yield client


def check(value: Any, schema: Any, where: str = "") -> None:
    """Hold a value against the part of JSON Schema that the document uses."""
    if "$ref" in schema:
        check(value, DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]], where)
    if "anyOf" in schema:
        assert any(_fits(value, one, where) for one in schema["anyOf"]), (where, value)
    if "type" in schema:
        kind = schema["type"]
        assert isinstance(value, _KINDS[kind]), (where, value)
        assert kind != "integer" or not isinstance(value, bool), (where, value)
    if "enum" in schema:
        assert value in schema["enum"], (where, value)
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema.get("required", ())) <= value.keys(), (where, value)
        assert value.keys() <= schema["properties"].keys(), (where, value)
        for name, one in value.items():
            check(one, schema["properties"][name], f"{where}/{name}")
    if isinstance(value, list) and "items" in schema:
        for number, one in enumerate(value):
            check(one, schema["items"], f"{where}/{number}")


def _fits(value: Any, schema: Any, where: str) -> bool:
    try:
        check(value, schema, where)
    except AssertionError:
        return False
    return True


_KINDS: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}
