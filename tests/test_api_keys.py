"""Keys of the API: shown once, kept as a hash, limited to their scopes, and slow to be guessed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from calling import NOW, Client, serving
from conftest import PublicationFactory
from newsletter.api import keys
from newsletter.api.keys import FREE, LONGEST_REST, Scope, rest_after
from newsletter.api.routes import OPERATIONS
from newsletter.cli.keys import SCOPES
from newsletter.errors import InputError
from newsletter.store import Store, open_store


@pytest.fixture
def client(publication: PublicationFactory, store: Store) -> Iterator[Client]:
    with serving(publication(), store) as client:
        yield client


def test_without_a_token_nothing_is_told(client: Client) -> None:
    for header in ("", "Basic YTpi", "Bearer", "Bearer ", "Bearer nl_short", "Bearer " + "x" * 5000):
        answer = client.get("/newsletters", authorization=header)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.body["title"] == "No valid token"
        assert "xxx" not in answer.body["detail"]


def test_a_token_opens_what_its_scopes_say_and_nothing_else(client: Client) -> None:
    for scope in Scope:
        token = client.key(scope)
        for one in OPERATIONS:
            path = one.path.replace("{id}", "1")
            answer = client.ask(one.method, path, authorization=f"Bearer {token}")
            if one.scope is scope:
                assert answer.status not in (401, 403), (scope, one.name)
            else:
                assert answer.status == 403
                assert one.scope.value in answer.body["detail"]
                assert f'scope="{one.scope.value}"' in answer.headers["www-authenticate"]


def test_a_revoked_and_an_expired_key_hold_no_longer(client: Client) -> None:
    client.token = client.key(name="passing", lasts=timedelta(hours=1))
    assert client.get("/newsletters").status == 200
    client.clock.now += timedelta(hours=1)
    answer = client.get("/newsletters")
    assert (answer.status, "expired" in answer.body["detail"]) == (401, True)
    client.token = client.key(name="gone")
    assert client.get("/newsletters").status == 200
    keys.revoke(client.store, "gone", now=NOW)
    answer = client.get("/newsletters")
    assert (answer.status, "revoked" in answer.body["detail"]) == (401, True)
    with pytest.raises(InputError, match="no key 'gone' holds"):
        keys.revoke(client.store, "gone", now=NOW)


def test_only_the_day_of_the_last_use_is_kept(client: Client) -> None:
    client.clock.now = NOW + timedelta(hours=3, minutes=17)
    client.get("/newsletters")
    client.get("/newsletters")
    (one,) = keys.listed(client.store)
    assert one.last_used == datetime(2026, 11, 23, tzinfo=UTC)


def test_wrong_tokens_are_slowed_down_for_their_prefix_alone(client: Client, store_url: str) -> None:
    wrong = client.token[:-4] + "AAAA"
    for _ in range(FREE):
        assert client.get("/newsletters", authorization=f"Bearer {wrong}").status == 401
    answer = client.get("/newsletters", authorization=f"Bearer {wrong}")
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert client.get("/newsletters").status == 429, "also the right one: else guessing would cost nothing"
    other = client.key(Scope.ISSUES_READ)
    assert client.get("/newsletters", authorization=f"Bearer {other}").status == 200
    with open_store(store_url) as again, pytest.raises(Exception, match="Several wrong tokens"):
        keys.authenticate(again, f"Bearer {wrong}", now=client.clock.now)  # a restart forgives nothing
    client.clock.now += timedelta(seconds=1)
    assert client.get("/newsletters", authorization=f"Bearer {wrong}").status == 401
    answer = client.get("/newsletters", authorization=f"Bearer {wrong}")
    assert (answer.status, answer.headers["retry-after"]) == (429, "2")
    client.clock.now += timedelta(seconds=2)
    assert client.get("/newsletters").status == 200
    assert client.get("/newsletters", authorization=f"Bearer {wrong}").status == 401, "all is forgiven"


def test_a_prefix_of_nobody_is_answered_like_one_of_somebody(client: Client) -> None:
    wrong = f"nl_0000000000_{'A' * 43}"
    answers = [client.get("/newsletters", authorization=f"Bearer {wrong}") for _ in range(FREE + 1)]
    assert [one.status for one in answers] == [401] * FREE + [429]
    assert answers[0].body["detail"] == "No key has this token."


def test_the_rest_doubles_up_to_a_bound() -> None:
    rests = [rest_after(count) for count in range(60)]
    assert rests[:FREE] == [timedelta()] * FREE
    assert rests == sorted(rests)
    assert rests[-1] == LONGEST_REST


def test_the_token_is_in_no_byte_of_the_store(sqlite_store: Store, tmp_path: Path) -> None:
    token = keys.make(sqlite_store, "one", [Scope.ISSUES_READ], now=NOW)
    assert len(token) == 3 + 10 + 1 + 43
    assert keys.authenticate(sqlite_store, f"bearer {token}", now=NOW).name == "one"
    held = b"".join(file.read_bytes() for file in tmp_path.rglob("newsletter.db*"))
    assert token[3:13].encode() in held
    assert token[14:].encode() not in held


@pytest.mark.parametrize("name", ["", "A", "a b", "é", "x" * 62])
def test_a_wrong_name_is_refused(sqlite_store: Store, name: str) -> None:
    with pytest.raises(InputError, match="is no name for a key"):
        keys.make(sqlite_store, name, [Scope.ISSUES_READ], now=NOW)


def test_a_name_is_used_once(sqlite_store: Store) -> None:
    keys.make(sqlite_store, "one", [Scope.ISSUES_READ], now=NOW)
    keys.revoke(sqlite_store, "one", now=NOW)
    with pytest.raises(InputError, match="there is, or was"):
        keys.make(sqlite_store, "one", [Scope.ISSUES_READ], now=NOW)


def test_the_command_line_makes_lists_and_revokes(publication: PublicationFactory) -> None:
    folder = publication().folder

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "newsletter", "-p", str(folder), "api-keys", *words]
        return subprocess.run(program, capture_output=True, text=True, timeout=120)

    made = run("add", "desk", "--scope", "issues:read", "--scope", "deliveries:read", "--expires", "90d")
    token = made.stdout.strip()
    assert (made.returncode, token[:3]) == (0, "nl_")
    assert "once" in made.stderr
    listed = run("list", "--json")
    (one,) = json.loads(listed.stdout)
    assert one["scopes"] == ["deliveries:read", "issues:read"]
    assert one["expires_at"]
    assert token[14:] not in listed.stdout + run("list").stdout
    assert run("add", "x", "--scope", "issues:read", "--expires", "soon").returncode == 2
    assert run("add", "x", "--scope", "issues").returncode == 2
    assert run("revoke", "desk").returncode == 0
    assert run("revoke", "desk").returncode == 2


def test_the_scopes_of_the_command_line_are_those_of_the_api() -> None:
    assert tuple(Scope) == SCOPES


def test_no_token_and_no_address_is_in_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert client.get("/subscribers?address=ada%40example.org&limit=3").status == 200
    assert "/api/v1/subscribers?[parameters] HTTP/1.1" in caplog.text
    assert "ada" not in caplog.text
    assert client.token[14:] not in caplog.text
