"""The OpenAPI document says what is served: every route, every status, every field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from calling import DOCUMENT, Client, serving
from conftest import PublicationFactory
from newsletter.api.keys import Scope
from newsletter.api.routes import OPERATIONS
from newsletter.store import Store, open_store


@pytest.fixture
def client(publication: PublicationFactory, sqlite_store: Store) -> Iterator[Client]:
    with serving(publication(), sqlite_store) as client:
        yield client


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Give every object inside a document."""
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from nodes(one)
    elif isinstance(value, list):
        for one in value:
            yield from nodes(one)


def test_it_is_served_to_everybody_as_it_is_made(client: Client) -> None:
    answer = client.get("/openapi.json", authorization="")
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == json.loads(json.dumps(DOCUMENT))


def test_its_structure_is_that_of_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert re.fullmatch(r"https?://.*/api/v1", DOCUMENT["servers"][0]["url"])
    assert DOCUMENT.keys() <= {
        *("openapi", "info", "jsonSchemaDialect", "servers", "paths", "components", "security"),
    }
    for path, item in DOCUMENT["paths"].items():
        assert path.startswith("/")
        for method, one in item.items():
            assert method in ("get", "post", "patch", "delete")
            assert one["responses"]
            assert one["operationId"]
            placed = {(parameter["in"], parameter["name"]) for parameter in one.get("parameters", ())}
            assert len(placed) == len(one.get("parameters", ()))
            assert {name for place, name in placed if place == "path"} == set(re.findall(r"{(\w+)}", path))
            for parameter in one.get("parameters", ()):
                assert parameter["in"] in ("path", "query", "header")
                assert "schema" in parameter
                assert parameter["in"] != "path" or parameter["required"] is True
            for status, response in one["responses"].items():
                assert re.fullmatch(r"[1-5][0-9][0-9]", status)
                assert response["description"]
            assert one["security"][0]["token"][0] in tuple(Scope)
    names = [one["operationId"] for item in DOCUMENT["paths"].values() for one in item.values()]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    named = {one["$ref"] for one in nodes(DOCUMENT) if isinstance(one.get("$ref"), str)}
    assert named
    assert named <= {f"#/components/schemas/{name}" for name in schemas}


def test_every_route_is_declared_and_answers_only_what_is(client: Client) -> None:
    assert {(one.method.lower(), one.path) for one in OPERATIONS} == {
        (method, path) for path, item in DOCUMENT["paths"].items() for method in item
    }
    for one in OPERATIONS:
        path = one.path.replace("{id}", "7")
        answers = [client.ask(one.method, path), client.ask(one.method, path, authorization="")]
        if one.body is not None:
            answers += [
                client.ask(one.method, path, raw=raw, if_match="*") for raw in (b"{", b"[]", b'{"zz": 1}')
            ]
        assert not [answer for answer in answers if answer.status in (405, 500)], one.name
    assert {name for name, _ in client.seen} == {one.name for one in OPERATIONS}


def test_no_unknown_field_is_allowed() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if schema["type"] == "object":
            assert schema["additionalProperties"] is False, name


def test_a_store_that_is_busy_or_broken_is_told_as_a_problem(
    publication: PublicationFactory, made_sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(made_sqlite_url, patience=0.2) as store, serving(publication(), store) as client:
        client.get("/newsletters")
        with store.write():
            answer = client.post("/subscribers/7/unsubscribe")
        assert (answer.status, answer.headers["retry-after"]) == (503, "60")
        with store.write() as tx:
            tx.execute(text("DROP TABLE subscriptions"))
        answer = client.get("/newsletters")
        assert answer.status == 500
        assert b"subscriptions" not in answer.raw
        assert "the API failed" in caplog.text
