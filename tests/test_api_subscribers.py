"""Subscribers over the API: nobody is added without a consent, brought back, or changed unseen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from calling import NOW, Answer, Client, serving
from configurations import WEEKLY
from conftest import PublicationFactory
from newsletter import subscriptions
from newsletter.model import ConsentAct, SuppressionReason
from newsletter.store import Store, consents, subscribers

ADA: dict[str, Any] = {
    "address": "ada@example.org",
    "newsletters": ["weekly"],
    "consent": "signed the list at the harbour fair on 2026-11-20",
    "name": "Ada",
}
TWO = {"newsletters": [WEEKLY, {**WEEKLY, "name": "daily"}]}


@pytest.fixture
def client(publication: PublicationFactory, store: Store) -> Iterator[Client]:
    with serving(publication(TWO), store) as client:
        yield client


def add(client: Client, number: int = 0, **changes: Any) -> dict[str, Any]:
    """Add somebody."""
    address = f"p{number}@example.org" if number else ADA["address"]
    answer = client.post("/subscribers", {**ADA, "address": address, **changes})
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.body
    return found


def fault(answer: Answer) -> tuple[str, str]:
    """Return the one fault that a request had."""
    assert answer.status == 422
    (one,) = answer.body["errors"]
    return one["pointer"], one["detail"]


def test_a_person_is_added_with_their_consent(client: Client) -> None:
    answer = client.post("/subscribers", ADA)
    assert answer.status == 201
    assert answer.headers["location"] == "https://harbour.example.org/api/v1/subscribers/1"
    assert [(one["newsletter"], one["standing"]) for one in answer.body["subscriptions"]] == [
        ("weekly", "active")
    ]
    with client.store.read() as tx:
        (line,) = consents.of(tx, 1)
    assert (line.act, line.channel, ADA["consent"] in line.detail) == (ConsentAct.IMPORTED, "api", True)
    again = client.post("/subscribers", ADA)
    assert (again.status, again.body) == (200, answer.body)
    shown = client.get("/subscribers/1")
    assert (shown.body, shown.headers["etag"]) == (answer.body, answer.headers["etag"])
    with client.store.read() as tx:
        assert consents.verify(tx).broken == ()


@pytest.mark.parametrize(
    ("changes", "pointer", "said"),
    [
        ({"consent": ""}, "/consent", "at least 1 character"),
        ({"consent": "a\nb"}, "/consent", "short line"),
        ({"consent": 7}, "/consent", "string"),
        ({"address": "ada@"}, "/address", "not an e-mail address"),
        ({"address": "ada@example.org\r\nBcc: x"}, "/address", "cannot be seen"),
        ({"name": "a\x00b"}, "/name", "cannot be seen"),
        ({"language": "english language"}, "/language", "language tag"),
        ({"timezone": "Mars/Base"}, "/timezone", "time zone"),
        ({"newsletters": []}, "/newsletters", "at least 1 item"),
        ({"newsletter": ["weekly"]}, "/newsletter", "Did you mean newsletters?"),
        ({"zebra/x": 1}, "/zebra~1x", "Known: address"),
    ],
)
def test_what_is_wrong_is_named(client: Client, changes: dict[str, Any], pointer: str, said: str) -> None:
    answer = client.post("/subscribers", {**ADA, **changes})
    place, detail = fault(answer)
    assert (place, said in detail) == (pointer, True), detail
    assert client.get("/subscribers").body["items"] == []


def test_what_is_missing_is_named(client: Client) -> None:
    answer = client.post("/subscribers", {"address": "ada@example.org"})
    assert [one["pointer"] for one in answer.body["errors"]] == ["/newsletters", "/consent"]
    assert fault(client.post("/subscribers", {**ADA, "consent": "\x85"}))[0] == "/consent"
    assert client.post("/subscribers", {**ADA, "consent": "  "}).status == 422
    answer = client.post("/subscribers", {**ADA, "newsletters": ["weakly"]})
    assert (answer.status, "Known: weekly, daily" in answer.body["detail"]) == (422, True)


def test_only_json_of_a_bounded_size_is_taken(client: Client) -> None:
    assert client.ask("POST", "/subscribers", ADA, content_type="text/plain").status == 415
    assert client.ask("POST", "/subscribers", ADA, content_type="").status == 415
    kind = "application/json; charset=utf-8"
    assert client.ask("POST", "/subscribers", ADA, content_type=kind).status == 201
    for raw in (b"{", b"\xff", b"[" * 60_000, b"{} {}"):
        assert client.ask("POST", "/subscribers", raw=raw).status == 400, raw[:20]
    for raw in (b"[]", b"null", b'"x"'):
        assert fault(client.ask("POST", "/subscribers", raw=raw))[0] == ""
    assert client.ask("POST", "/subscribers", raw=b" " * (64 * 1024 + 1)).status == 413


def test_who_left_or_is_suppressed_is_never_brought_back(client: Client) -> None:
    add(client)
    assert client.post("/subscribers/1/unsubscribe", {"newsletter": "weekly"}).status == 200
    for path, sent in (
        ("/subscribers", {**ADA, "newsletters": ["daily", "weekly"], "name": "Other"}),
        ("/subscribers/1/subscriptions", {"newsletter": "weekly", "consent": "asked again"}),
    ):
        answer = client.post(path, sent)
        assert (answer.status, answer.body["type"]) == (409, "urn:newsletter:problem:unsubscribed")
        assert "only they can come back" in answer.body["detail"]
    shown = client.get("/subscribers/1").body
    assert [one["standing"] for one in shown["subscriptions"]] == ["unsubscribed"], (
        "nor half of what was asked"
    )
    assert shown["name"] == "Ada"
    with client.store.write() as tx:
        subscriptions.suppress(tx, "gone@example.org", SuppressionReason.COMPLAINT, now=NOW)
    answer = client.post("/subscribers", {**ADA, "address": "Gone@example.org"})
    assert (answer.status, answer.body["type"]) == (409, "urn:newsletter:problem:suppressed")
    assert client.get("/subscribers?address=gone@example.org").body["items"] == []


def test_who_was_erased_is_never_brought_back(client: Client) -> None:
    add(client)
    answer = client.ask("DELETE", "/subscribers/1")
    assert (answer.status, answer.raw) == (204, b"")
    assert client.ask("DELETE", "/subscribers/1").status == 404
    assert client.get("/subscribers/1").status == 404
    assert client.post("/subscribers", ADA).status == 409


def test_erasing_reaches_the_answers_that_are_kept(
    publication: PublicationFactory, sqlite_store: Store, tmp_path: Path
) -> None:
    with serving(publication(), sqlite_store) as client:
        sent = {**ADA, "address": "quite.unusual@example.org"}
        assert client.post("/subscribers", sent, idempotency_key="a").status == 201
        held = b"".join(file.read_bytes() for file in tmp_path.rglob("newsletter.db*"))
        assert b"quite.unusual" in held
        assert client.ask("DELETE", "/subscribers/1").status == 204
        held = b"".join(file.read_bytes() for file in tmp_path.rglob("newsletter.db*"))
        assert b"quite.unusual" not in held


def test_subscribing_and_leaving(client: Client) -> None:
    add(client)
    more = {"newsletter": "daily", "consent": "asked by telephone"}
    assert client.post("/subscribers/1/subscriptions", more).status == 201
    assert client.post("/subscribers/1/subscriptions", more).status == 200
    assert client.post("/subscribers/9/subscriptions", more).status == 404
    answer = client.post("/subscribers/1/unsubscribe", {"newsletter": "daily"})
    standings = {one["newsletter"]: one["standing"] for one in answer.body["subscriptions"]}
    assert standings == {"daily": "unsubscribed", "weekly": "active"}
    answer = client.post("/subscribers/1/unsubscribe")
    assert {one["standing"] for one in answer.body["subscriptions"]} == {"unsubscribed"}
    with client.store.read() as tx:
        lines = [(one.act, one.newsletter) for one in consents.of(tx, 1) if one.act is ConsentAct.WITHDRAWN]
    assert lines == [(ConsentAct.WITHDRAWN, "daily"), (ConsentAct.WITHDRAWN, "weekly")]
    assert client.post("/subscribers/9/unsubscribe").status == 404
    add(client, 2)
    assert client.post("/subscribers/2/unsubscribe", {"newsletter": "daily"}).status == 409
    assert client.post("/subscribers/2/unsubscribe", {"newsletter": "dayly"}).status == 422


def test_a_change_must_name_what_it_saw(client: Client) -> None:
    add(client)
    tag = client.get("/subscribers/1").headers["etag"]
    assert client.ask("PATCH", "/subscribers/1", {"name": "Bo"}).status == 428
    answer = client.ask("PATCH", "/subscribers/1", {"name": "Bo", "language": "nl"}, if_match=tag)
    assert (answer.status, answer.body["name"], answer.body["language"]) == (200, "Bo", "nl")
    assert client.ask("PATCH", "/subscribers/1", {"name": "Cy"}, if_match=tag).status == 412
    assert client.get("/subscribers/1").body["name"] == "Bo"
    assert client.ask("PATCH", "/subscribers/1", {"name": ""}, if_match="*").body["name"] == ""
    assert client.ask("PATCH", "/subscribers/9", {"name": ""}, if_match="*").status == 404
    assert fault(client.ask("PATCH", "/subscribers/1", {"adress": "x"}, if_match="*"))[0] == "/adress"


def test_every_subscriber_is_on_one_page(client: Client) -> None:
    for number in range(1, 8):
        add(client, number)
    client.post("/subscribers/3/unsubscribe")
    client.post("/subscribers/5/subscriptions", {"newsletter": "daily", "consent": "asked"})
    found, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/subscribers?limit=3{f'&cursor={cursor}' if cursor else ''}").body
        assert len(page["items"]) <= 3
        found += [one["id"] for one in page["items"]]
        cursor = page["next"]
    assert found == list(range(1, 8))

    def ids(query: str) -> list[int]:
        return [one["id"] for one in client.get(f"/subscribers?{query}").body["items"]]

    assert ids("newsletter=daily") == [5]
    assert ids("standing=unsubscribed") == [3]
    assert ids("newsletter=weekly&standing=active") == [1, 2, 4, 5, 6, 7]
    assert ids("address=P2%40example.org") == [2]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "cursor=x", "cursor=é", "standing=activ", "limit=1&limit=2",
              "newsletter=weakly", "newsleter=weekly", "address=x"],
)  # fmt: skip
def test_a_wrong_parameter_is_refused(client: Client, query: str) -> None:
    answer = client.get(f"/subscribers?{query.replace('é', '%C3%A9')}")
    assert answer.status == 422
    assert answer.body["detail"]


def test_the_same_key_gives_the_same_answer(client: Client, store_url: str) -> None:
    first = client.post("/subscribers", ADA, idempotency_key="one")
    assert (first.status, "idempotent-replayed" in first.headers) == (201, False)
    client.post("/subscribers/1/unsubscribe")
    again = client.post("/subscribers", ADA, idempotency_key="one")
    assert (again.status, again.raw) == (201, first.raw)
    assert (again.headers["etag"], again.headers["idempotent-replayed"]) == (first.headers["etag"], "true")
    assert again.headers["location"] == first.headers["location"]
    other = client.post("/subscribers", {**ADA, "name": "B"}, idempotency_key="one")
    assert (other.status, other.body["type"]) == (422, "urn:newsletter:problem:key-reused")
    assert client.post("/subscribers/1/unsubscribe", idempotency_key="one").status == 422
    with serving(client.config, client.store, token=client.token) as restarted:
        assert restarted.post("/subscribers", ADA, idempotency_key="one").raw == first.raw
    client.token = client.key()
    assert client.post("/subscribers", ADA, idempotency_key="one").status == 409, "another key's is another's"


def test_a_key_is_forgotten_after_a_day_and_a_refusal_at_once(client: Client) -> None:
    client.post("/subscribers", ADA, idempotency_key="one")
    client.clock.now += timedelta(hours=24)
    again = client.post("/subscribers", ADA, idempotency_key="one")
    assert (again.status, "idempotent-replayed" in again.headers) == (200, False)
    wrong = {**ADA, "address": "bo@example.org", "newsletters": ["weakly"]}
    assert client.post("/subscribers", wrong, idempotency_key="two").status == 422
    right = {**wrong, "newsletters": ["weekly"]}
    assert client.post("/subscribers", right, idempotency_key="two").status == 201, "nothing had been done"
    assert client.post("/subscribers", ADA, idempotency_key="a b").status == 400
    assert client.post("/subscribers", ADA, idempotency_key="x" * 256).status == 400


def test_the_same_at_the_same_time_is_done_once(client: Client) -> None:
    """The first is stopped by a writer that we are; the second is refused meanwhile."""
    answers: list[Answer] = []

    def post() -> None:
        answers.append(client.post("/subscribers", ADA, idempotency_key="one"))

    client.get("/newsletters")  # notes the day of the key's use
    with client.store.write():
        threads = [threading.Thread(target=post) for _ in range(2)]
        for thread in threads:
            thread.start()
        while not answers:
            threads[0].join(0.02)
            threads[1].join(0.02)
        assert [one.status for one in answers] == [409]
        assert answers[0].body["type"] == "urn:newsletter:problem:in-progress"
        assert answers[0].headers["retry-after"] == "1"
    for thread in threads:
        thread.join()
    assert sorted(one.status for one in answers) == [201, 409]
    with client.store.read() as tx:
        assert len(list(subscribers.every(tx))) == 1


def test_what_there_is_not(client: Client) -> None:
    assert client.get("/nothing").status == 404
    assert client.get("/subscribers/x").status == 404
    assert client.get("/subscribers/" + "9" * 30).status == 404
    answer = client.ask("PUT", "/subscribers/1")
    assert (answer.status, answer.headers["allow"]) == (405, "DELETE, GET, HEAD, PATCH")
    answer = client.ask("OPTIONS", "/subscribers", origin="https://evil.example")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    head = client.ask("HEAD", "/newsletters")
    assert (head.status, head.raw) == (200, b"")
    assert client.get("/openapi.json", authorization="").status == 200
