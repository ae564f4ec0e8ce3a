"""Issues over the API: the editor's words go the same way as from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from calling import NOW, Client, serving
from conftest import PublicationFactory
from faults.ground import add_readers, issue_state, make_issue
from letters import HARBOUR
from newsletter.model import IssueState
from newsletter.store import Store
from test_deliver import go, released, say
from test_issues import POSTS, compose, put, site


@pytest.fixture
def client(publication: PublicationFactory, store: Store) -> Iterator[Client]:
    with serving(site(publication, approval=True), store) as client:
        yield client


def composed(client: Client) -> int:
    """Compose an issue that waits for approval, with two readers."""
    add_readers(client.store, 2)
    put(client.store, *POSTS)
    made = compose(client.store, client.config, NOW)
    assert made.issue is not None
    return made.issue.id


def test_an_issue_goes_from_approval_to_its_account(client: Client) -> None:
    issue_id = composed(client)
    shown = client.get(f"/issues/{issue_id}").body
    assert (shown["state"], shown["number"], shown["account"]["audience"]) == ("composed", 1, 0)
    assert shown["posts"] == [one.id for one in reversed(POSTS)]
    assert client.post(f"/issues/{issue_id}/release").status == 409, "it waits for approval"
    assert client.post(f"/issues/{issue_id}/resume").status == 409
    assert client.post(f"/issues/{issue_id}/approve").body["state"] == "approved"
    answer = client.post(f"/issues/{issue_id}/release", {}, idempotency_key="go")
    assert (answer.status, answer.body["state"]) == (200, "released")
    assert answer.body["account"]["waiting"] == 2
    assert client.post(f"/issues/{issue_id}/release", {}, idempotency_key="go").raw == answer.raw
    held = client.post(f"/issues/{issue_id}/hold", {"reason": "a wrong name"})
    assert (held.body["state"], held.body["reason"]) == ("held", "a wrong name")
    assert client.post(f"/issues/{issue_id}/resume").body["state"] == "released"
    until = (NOW + timedelta(hours=2)).isoformat()
    paused = client.post(f"/issues/{issue_id}/hold", {"reason": "lunch", "until": until})
    assert paused.body["held_until"] == "2026-11-23T14:00:00Z"
    assert client.post(f"/issues/{issue_id}/release").status == 409, "it is paused"
    past = {"reason": "lunch", "until": "2026-11-23T11:00:00Z"}
    assert client.post(f"/issues/{issue_id}/hold", past).status == 409
    assert (
        client.post(f"/issues/{issue_id}/hold", {"reason": "x", "until": "2026-11-24T11:00:00"}).status == 422
    )
    assert client.post(f"/issues/{issue_id}/hold").status == 422


def test_a_digest_that_breaks_a_rule_goes_only_with_a_reason(client: Client) -> None:
    issue_id = composed(client)
    client.post(f"/issues/{issue_id}/approve")
    (client.config.media / str(HARBOUR.large)).unlink()
    answer = client.post(f"/issues/{issue_id}/release")
    assert (answer.status, "nothing that we publish" in answer.body["detail"]) == (409, True)
    assert client.get(f"/issues/{issue_id}").body["state"] == "held", "as when it is delivered by hand"
    assert client.post(f"/issues/{issue_id}/approve").status == 409
    forced = client.post(f"/issues/{issue_id}/approve", {"force": "nobody misses it"})
    assert (forced.status, forced.body["reason"]) == (200, "forced: nobody misses it")
    assert client.post(f"/issues/{issue_id}/release").body["state"] == "released"


def test_a_finished_issue_is_neither_held_nor_approved(client: Client) -> None:
    issue_id, _ = released(client.store, 1)
    go(client.store, issue_id)
    assert client.get(f"/issues/{issue_id}").body["state"] == "finished"
    assert client.post(f"/issues/{issue_id}/hold", {"reason": "late"}).status == 409
    assert client.post(f"/issues/{issue_id}/approve").status == 409


def test_deliveries_are_told_by_number_without_an_address(client: Client) -> None:
    issue_id, ids = released(client.store, 7)
    go(client.store, issue_id, say(550, "5.1.1", "no such user reader0@example.org"))
    found, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/issues/{issue_id}/deliveries?limit=3{f'&cursor={cursor}' if cursor else ''}")
        assert b"@" not in page.raw
        found += page.body["items"]
        cursor = page.body["next"]
    assert [one["subscriber_id"] for one in found] == ids
    assert {one["state"] for one in found} == {"refused"}
    assert client.get(f"/issues/{issue_id}/deliveries?state=waiting").body["items"] == []
    assert client.get("/issues/99/deliveries").status == 404


def test_issues_are_listed_the_newest_first(client: Client) -> None:
    ids = [make_issue(client.store, number=number) for number in range(1, 6)]
    first = client.get("/issues?limit=2").body
    second = client.get(f"/issues?limit=3&cursor={first['next']}").body
    assert [one["id"] for one in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None
    assert client.get("/issues?state=held").body["items"] == []
    assert len(client.get("/issues?newsletter=weekly&state=approved").body["items"]) == 5
    assert client.get("/issues?newsletter=weakly").status == 422
    assert client.get("/issues?cursor=x").status == 422


def test_what_there_is_not(client: Client) -> None:
    for word, sent in (("approve", {}), ("hold", {"reason": "x"}), ("resume", {}), ("release", {})):
        assert client.post(f"/issues/99/{word}", sent).status == 404
    assert client.get("/issues/99").status == 404


def test_newsletters_have_their_audience(client: Client) -> None:
    add_readers(client.store, 3)
    (one,) = client.get("/newsletters").body["items"]
    assert (one["name"], one["audience"]) == ("weekly", 3)
    assert client.get("/newsletters?x=1").status == 422


def test_a_refused_word_leaves_no_trace(client: Client) -> None:
    issue_id = make_issue(client.store, state=IssueState.COMPOSED)
    assert client.post(f"/issues/{issue_id}/release", {}, idempotency_key="a").status == 409
    assert issue_state(client.store, issue_id) == (IssueState.COMPOSED, "")
