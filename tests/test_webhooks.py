"""Webhooks: what happened is told at least once, signed, whatever dies, and to those alone who asked for it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from calling import NOW, serving
from configurations import mistake
from conftest import PublicationFactory
from faults.ground import add_readers
from newsletter import subscriptions
from newsletter.api import webhooks
from newsletter.config import Config
from newsletter.daemon import Daemon
from newsletter.deliver import release
from newsletter.errors import ConfigError, InputError
from newsletter.model import EventKind, SuppressionReason
from newsletter.publisher import Publisher
from newsletter.store import Store, meta, open_store, subscribers
from newsletter.store import webhooks as stored
from newsletter.websub.pace import GIVE_UP
from processes import child, line
from subscribing import PATIENCE, Callbacks, Clock, Handler, Seen, answer, callbacks, hmac_sha256
from test_deliver import go
from test_issues import POSTS, compose, put, site

SECRET = b"0123456789abcdef0123456789abcdef"
WRITTEN = f"whsec_{base64.b64encode(SECRET).decode()}"
ALL = [one.value for one in EventKind]


@pytest.fixture
def server() -> Iterator[Callbacks]:
    with callbacks() as server:
        yield server


def hooks(server: Callbacks, *paths: str, events: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """Configure a webhook for each path."""
    one = {"secret_file": "secret", "events": events or ALL, "allow_private_addresses": True, **more}
    return {"webhooks": [{"url": f"{server.url}{path}", **one} for path in paths or ("/hook",)]}


class Site:
    """A publication with webhooks over a store."""

    def __init__(self, config: Config, store: Store) -> None:
        (config.folder / "secret").write_text(WRITTEN + "\n")
        self.config, self.store, self.clock = config, store, Clock(NOW)
        stored.configure(store, config.webhook_events)

    def add(self, name: str = "ada") -> int:
        """Add somebody who agreed."""
        address = f"{name}@example.org"
        subscriptions.add(self.store, address, ["weekly"], consent="said so", now=self.clock())
        with self.store.read() as tx:
            person = subscribers.find(tx, address)
        assert person is not None
        return person.id

    def deliver(self) -> None:
        """Tell what is due."""
        assert webhooks.deliver(self.store, self.config, clock=self.clock)

    def waiting(self) -> list[tuple[int, int]]:
        """Return how many events wait, and were given up, for each webhook."""
        return [(one.waiting, one.given_up) for one in webhooks.listed(self.store)]


@pytest.fixture
def ours(publication: PublicationFactory, store: Store, server: Callbacks) -> Site:
    return Site(publication(hooks(server)), store)


def told(server: Callbacks, path: str = "/hook") -> list[tuple[str, dict[str, Any]]]:
    """Return what a receiver was told, each signature checked by its definition."""
    found = []
    for one in server.posts(path):
        event, stamp = one.headers["webhook-id"], one.headers["webhook-timestamp"]
        version, _, given = one.headers["webhook-signature"].partition(",")
        mac = hmac_sha256(SECRET, f"{event}.{stamp}.".encode() + one.body)
        assert (version, base64.b64decode(given).hex()) == ("v1", mac)
        assert one.headers["content-type"] == "application/json"
        body = json.loads(one.body)
        assert body.keys() == {"type", "timestamp", "data"}
        assert b"@" not in one.body
        found.append((body["type"], body["data"]))
    return found


# What is told


def test_whatever_the_channel_what_a_person_does_is_told(ours: Site, server: Callbacks) -> None:
    person = ours.add()
    subscriptions.leave(ours.store, person, "weekly", channel="one-click", now=NOW)
    other = ours.add("bob")
    with ours.store.write() as tx:
        subscriptions.suppress(tx, "bob@example.org", SuppressionReason.COMPLAINT, now=NOW)
        subscriptions.suppress(tx, "bob@example.org", SuppressionReason.BOUNCE, now=NOW)
        subscriptions.suppress(tx, "stranger@example.org", SuppressionReason.BOUNCE, now=NOW)
    subscriptions.forget(ours.store, "ada@example.org", now=NOW)
    ours.deliver()
    weekly = {"newsletter": "weekly"}
    assert told(server) == [
        ("subscriber.confirmed", {"subscriber_id": person, **weekly, "channel": "command line"}),
        ("subscriber.unsubscribed", {"subscriber_id": person, **weekly, "channel": "one-click"}),
        ("subscriber.confirmed", {"subscriber_id": other, **weekly, "channel": "command line"}),
        ("subscriber.suppressed", {"subscriber_id": other, "reason": "complaint"}),
        ("subscriber.erased", {"subscriber_id": person}),
    ]
    assert ours.waiting() == [(0, 0)]
    (one,) = webhooks.listed(ours.store)
    assert (one.told, one.told_at) == (5, NOW)


def test_what_becomes_of_an_issue_is_told(
    publication: PublicationFactory, store: Store, server: Callbacks
) -> None:
    config = site(publication)
    ours = Site(config.model_copy(update={"webhooks": publication(hooks(server)).webhooks}), store)
    put(store, *POSTS)
    made = compose(store, config, NOW)
    assert made.issue is not None
    add_readers(store, 2)
    issue_id = made.issue.id
    for _ in range(2):
        release(store, issue_id, now=NOW)
    go(store, issue_id)
    ours.deliver()
    found = told(server)
    assert [(kind, data["issue_id"]) for kind, data in found] == [
        ("issue.composed", issue_id),
        ("issue.released", issue_id),
        ("issue.finished", issue_id),
    ]
    assert found[0][1]["subject"] == made.issue.subject
    assert found[0][1]["newsletter"] == "weekly"


def test_an_import_tells_nobody(ours: Site, tmp_path: Path) -> None:
    rows = "".join(f"p{n}@example.org,weekly,{'unsubscribed' if n % 2 else 'active'}\n" for n in range(50))
    file = tmp_path / "people.csv"
    file.write_text("email,newsletters,status\n" + rows + "gone@example.org,weekly,suppressed\n")
    add_readers(ours.store, 1, address=lambda _: "gone@example.org")
    report = subscriptions.import_csv(ours.store, file, newsletters=["weekly"], consent="fair", now=NOW)
    assert (report.refused, ours.waiting()) == (0, [(0, 0)])


def test_each_is_told_what_it_asks_for_and_nothing_is_written_for_nobody(
    publication: PublicationFactory, store: Store, server: Callbacks
) -> None:
    changes = {
        "webhooks": hooks(server, "/left", events=["subscriber.unsubscribed"])["webhooks"]
        + hooks(server, "/both", events=["subscriber.unsubscribed", "subscriber.confirmed"])["webhooks"]
    }
    ours = Site(publication(changes), store)
    person = ours.add()
    subscriptions.leave(store, person, "weekly", channel="x", now=NOW)
    ours.deliver()
    assert [kind for kind, _ in told(server, "/left")] == ["subscriber.unsubscribed"]
    assert [kind for kind, _ in told(server, "/both")] == ["subscriber.confirmed", "subscriber.unsubscribed"]
    ids = {one.headers["webhook-id"] for one in server.posts()}
    assert len(ids) == 2, "the same event has the same id for every receiver"
    ours.add("bob")
    stored.configure(store, {})
    assert ours.waiting() == []
    ours.add("cy")
    stored.configure(store, ours.config.webhook_events)
    assert ours.waiting() == [(0, 0), (0, 0)], "of what happened without a webhook nothing was kept"


def test_what_is_taken_back_is_not_told(ours: Site) -> None:
    ours.add("bob")
    with suppress(RuntimeError), ours.store.write() as tx:
        subscriptions.suppress(tx, "bob@example.org", SuppressionReason.BOUNCE, now=NOW)
        assert len(stored.due(tx, ours.config.webhooks[0].url, now=NOW, limit=9)) == 2
        raise RuntimeError
    assert ours.waiting() == [(1, 0)]


# Who does not take it


@pytest.mark.parametrize("status", [500, 301, 307, 404, 410, 429])
def test_a_receiver_at_fault_rests_as_a_whole_and_gets_all_of_it_later(
    ours: Site, server: Callbacks, status: int
) -> None:
    server.behaviour["/hook"] = answer(status, location=f"{server.url}/elsewhere")
    for name in ("ada", "bob", "cy"):
        ours.add(name)
    ours.deliver()
    ours.deliver()
    assert [one.path for one in server.seen] == ["/hook"], "asked once, and a redirect leads nowhere"
    (one,) = webhooks.listed(ours.store)
    assert (one.waiting, one.failure) == (3, f"it answered {status}")
    server.behaviour.clear()
    ours.clock.now += timedelta(minutes=1)
    ours.deliver()
    assert len(told(server)) == 4
    first, *rest = [one.headers["webhook-id"] for one in server.posts()]
    assert first in rest
    assert len(set(rest)) == 3


def test_one_event_that_is_refused_holds_up_no_other(ours: Site, server: Callbacks) -> None:
    server.behaviour["/hook"] = lambda h, seen: h.say(422 if b'"subscriber_id": 1' in seen.body else 204)
    for name in ("ada", "bob", "cy"):
        ours.add(name)
    ours.deliver()
    assert (len(server.seen), ours.waiting()) == (3, [(1, 0)])


def test_after_a_day_it_is_given_up_shown_and_repeated_by_a_word(ours: Site, server: Callbacks) -> None:
    server.behaviour["/hook"] = answer(500)
    ours.add()
    for _ in range(200):
        ours.deliver()
        ours.clock.now += timedelta(minutes=10)
    count = len(server.seen)
    assert 20 <= count <= 60
    assert ours.waiting() == [(0, 1)]
    assert ours.clock.now - NOW > GIVE_UP
    server.behaviour.clear()
    ours.deliver()
    assert len(server.seen) == count
    assert webhooks.retry(ours.store, ours.config, clock=ours.clock) == 1
    assert (len(server.seen), ours.waiting()) == (count + 1, [(0, 0)])


def hang(handler: Handler, seen: Seen) -> None:
    """Answer nothing until the test is over."""
    handler.server.over.wait(PATIENCE)


def test_one_that_hangs_or_is_away_delays_no_other(
    publication: PublicationFactory, store: Store, server: Callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TOTAL", 3.0)
    changes = hooks(server, "/hangs", "/good")
    away = {**changes["webhooks"][0], "url": "http://127.0.0.1:1/away"}
    ours = Site(publication({"webhooks": [*changes["webhooks"], away]}), store)
    server.behaviour["/hangs"] = hang
    ours.add()
    ours.add("bob")
    ours.deliver()
    assert len(server.posts("/good")) == 2
    assert len(server.posts("/hangs")) == 1
    states = {one.url.rpartition("/")[2]: one for one in webhooks.listed(store)}
    assert states["good"].waiting == 0
    assert (states["hangs"].waiting, "within 3 seconds" in states["hangs"].failure) == (2, True)
    assert (states["away"].waiting, "connection failed" in states["away"].failure) == (2, True)


def test_a_private_address_is_refused(
    publication: PublicationFactory, store: Store, server: Callbacks
) -> None:
    ours = Site(publication(hooks(server, allow_private_addresses=False)), store)
    ours.add()
    ours.deliver()
    assert server.seen == []
    (one,) = webhooks.listed(store)
    assert "not a public address" in one.failure


def test_a_copy_of_the_store_tells_nobody(ours: Site, server: Callbacks) -> None:
    ours.add()
    with ours.store.write() as tx:
        meta.put(tx, "restored_from", "a backup")
        paused = meta.pause_reason(tx)
    assert paused
    assert not webhooks.deliver(ours.store, ours.config, clock=ours.clock)
    assert server.seen == []


# Signatures and secrets


def test_while_a_secret_is_replaced_both_sign(ours: Site, server: Callbacks) -> None:
    other = base64.b64encode(b"n" * 24).decode()
    (ours.config.folder / "secret").write_text(f"whsec_{other}\n{WRITTEN}\n")
    ours.add()
    ours.deliver()
    (one,) = server.posts()
    new, old = one.headers["webhook-signature"].split()
    text = f"{one.headers['webhook-id']}.{one.headers['webhook-timestamp']}.".encode() + one.body
    assert base64.b64decode(new.removeprefix("v1,")).hex() == hmac_sha256(b"n" * 24, text)
    assert base64.b64decode(old.removeprefix("v1,")).hex() == hmac_sha256(SECRET, text)


def test_a_signature_is_the_one_of_the_conventions() -> None:
    """The example that the conventions publish."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    event, stamp, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert webhooks.signature([key], event, stamp, body) == expected


@pytest.mark.parametrize(
    "text", ["x", "whsec_", "whsec_AAAA", f"whsec_{'A' * 88}", f"{WRITTEN} x", "whsec_é"]
)
def test_a_wrong_secret_loses_nothing_and_is_not_shown(ours: Site, server: Callbacks, text: str) -> None:
    (ours.config.folder / "secret").write_text(text)
    with pytest.raises(ConfigError) as caught:
        ours.config.webhooks[0].secrets(ours.config.folder)
    assert text not in str(caught.value) or text in ("x", "whsec_")
    ours.add()
    ours.deliver()
    assert (server.seen, ours.waiting()) == ([], [(1, 0)])
    (ours.config.folder / "secret").write_text(WRITTEN)
    webhooks.retry(ours.store, ours.config, clock=ours.clock)
    assert len(told(server)) == 1


def test_a_secret_may_come_from_the_environment(
    publication: PublicationFactory, monkeypatch: pytest.MonkeyPatch, server: Callbacks
) -> None:
    changes = hooks(server)["webhooks"][0] | {"secret_env": "OUR_HOOK"}
    del changes["secret_file"]
    config = publication({"webhooks": [changes]})
    monkeypatch.setenv("OUR_HOOK", WRITTEN)
    assert config.webhooks[0].secrets(config.folder) == (SECRET,)
    monkeypatch.delenv("OUR_HOOK")
    with pytest.raises(ConfigError, match="not a webhook's secret"):
        config.webhooks[0].secrets(config.folder)


def test_a_wrong_configuration_is_refused(tmp_path: Path) -> None:
    one = {"url": "https://hooks.example.org/", "events": ["issue.released"], "secret_file": "s"}
    assert "one of secret_file and secret_env" in mistake(tmp_path, {"webhooks": [one | {"secret_env": "X"}]})
    assert "issue.released" in mistake(tmp_path, {"webhooks": [one | {"events": ["issue.relased"]}]})
    assert "at least 1 item" in mistake(tmp_path, {"webhooks": [one | {"events": []}]})
    assert "used twice" in mistake(tmp_path, {"webhooks": [one, one]})


# Processes that die


DIES = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from newsletter.api import webhooks
from newsletter.config import load
from newsletter.store import open_store
from newsletter import subscriptions
from newsletter.store import webhooks as stored
config, when = load(Path(sys.argv[1]), {}), sys.argv[3]
store = stored.configure(open_store(sys.argv[2]), config.webhook_events)
now = datetime(2026, 11, 23, 12, tzinfo=UTC)
if when == "uncommitted":
    with store.write() as tx:
        from newsletter.store.joined import Joined
        subscriptions.add(Joined(store, tx), "ada@example.org", ["weekly"], consent="said so", now=now)
        print("now", flush=True)
        sys.stdin.readline()
subscriptions.add(store, "ada@example.org", ["weekly"], consent="said so", now=now)
if when == "committed":
    print("now", flush=True)
    sys.stdin.readline()
webhooks.deliver(store, config, clock=lambda: now)
"""


@pytest.mark.parametrize("when", ["uncommitted", "committed", "answered"])
def test_a_process_that_is_killed_loses_no_event_and_invents_none(
    publication: PublicationFactory, store_url: str, server: Callbacks, when: str
) -> None:
    config = publication(hooks(server))
    (config.folder / "secret").write_text(WRITTEN)
    server.behaviour["/hook"] = hang
    with child(DIES, str(config.folder), store_url, when) as process:
        if when == "answered":
            server.wait(1)
        else:
            assert line(process) == "now"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    server.behaviour.clear()
    with open_store(store_url) as store:
        ours = Site(config, store)
        with store.read() as tx:
            there = subscribers.find(tx, "ada@example.org") is not None
        assert there is (when != "uncommitted")
        ours.deliver()
        assert ours.waiting() == [(0, 0)]
    ids = [one.headers["webhook-id"] for one in server.posts()]
    assert len(ids) == {"uncommitted": 0, "committed": 1, "answered": 2}[when]
    assert len(set(ids)) <= 1, "told twice, under one id"


def test_the_daemon_tells(publication: PublicationFactory, made_sqlite_url: str, server: Callbacks) -> None:
    config = publication({**hooks(server), "store": {"url": made_sqlite_url}})
    (config.folder / "secret").write_text(WRITTEN)
    with Publisher.open(config) as publisher:
        now = datetime.now(UTC)
        subscriptions.add(publisher.store, "ada@example.org", ["weekly"], consent="said so", now=now)
        Daemon(publisher).tell()
    assert [kind for kind, _ in told(server)] == ["subscriber.confirmed"]


def test_a_running_daemon_tells_what_another_process_did(
    publication: PublicationFactory, made_sqlite_url: str, server: Callbacks
) -> None:
    config = publication({**hooks(server), "store": {"url": made_sqlite_url}})
    (config.folder / "secret").write_text(WRITTEN)
    program = [sys.executable, "-m", "newsletter", "-p", str(config.folder), "run", "--no-web"]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            next(one for one in process.stderr if "running" in one)
            with open_store(made_sqlite_url) as store:
                Site(config, store).add()
            server.wait(1)
        finally:
            process.terminate()
            process.communicate()
    assert [kind for kind, _ in told(server)] == ["subscriber.confirmed"]


def test_a_receiver_that_hangs_keeps_no_daemon_from_ending(
    publication: PublicationFactory, made_sqlite_url: str, server: Callbacks
) -> None:
    config = publication({**hooks(server), "store": {"url": made_sqlite_url}})
    (config.folder / "secret").write_text(WRITTEN)
    server.behaviour["/hook"] = hang
    with open_store(made_sqlite_url) as store:
        Site(config, store).add()
    program = [sys.executable, "-m", "newsletter", "-p", str(config.folder), "run", "--no-web"]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL) as process:
        try:
            server.wait(1)
            start = time.monotonic()
            process.terminate()
            assert process.wait(PATIENCE) == 0
            assert time.monotonic() - start < webhooks.TOTAL - 2, "it did not wait for the receiver"
        finally:
            process.kill()


def test_what_the_api_refuses_is_not_told(ours: Site, server: Callbacks) -> None:
    sent = {"address": "ada@example.org", "newsletters": ["weekly"], "consent": "x"}
    with serving(ours.config, ours.store) as client:
        assert client.post("/subscribers", sent, idempotency_key="a").status == 201
        assert client.post("/subscribers", sent, idempotency_key="a").status == 201
        assert client.post("/subscribers/1/unsubscribe").status == 200
        assert client.post("/subscribers", sent).status == 409
    ours.deliver()
    assert [(kind, data["channel"]) for kind, data in told(server)] == [
        ("subscriber.confirmed", "api"),
        ("subscriber.unsubscribed", "api"),
    ]


# The command line


@pytest.fixture
def run(
    publication: PublicationFactory, server: Callbacks
) -> Callable[..., subprocess.CompletedProcess[str]]:
    config = publication(hooks(server))
    (config.folder / "secret").write_text(WRITTEN)

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "newsletter", "-p", str(config.folder), *words]
        return subprocess.run(program, capture_output=True, text=True, timeout=120)

    return call


def test_the_command_line_lists_tries_and_repeats(
    run: Callable[..., subprocess.CompletedProcess[str]], server: Callbacks
) -> None:
    done = run("webhooks", "test")
    assert (done.returncode, "taken (200)" in done.stdout) == (0, True), done.stderr
    assert [kind for kind, _ in told(server)] == ["webhook.test"]
    server.behaviour["/hook"] = answer(500)
    assert run("webhooks", "test", f"{server.url}/hook").returncode == 1
    assert run("webhooks", "test", "https://example.org/").returncode == 2
    assert (
        run("subscribers", "add", "ada@example.org", "--newsletter", "weekly", "--consent", "x").returncode
        == 0
    )
    assert json.loads(run("webhooks", "list", "--json").stdout)[0]["waiting"] == 1
    server.behaviour.clear()
    done = run("webhooks", "retry", "--json")
    assert json.loads(done.stdout)[0]["told"] == 1, done.stderr
    assert [kind for kind, _ in told(server)][-1] == "subscriber.confirmed"


def test_without_a_webhook_the_command_says_so(publication: PublicationFactory) -> None:
    config = publication()
    with pytest.raises(InputError, match="no webhook is configured"):
        webhooks.probe(config, now=NOW)


def test_telling_nobody_costs_next_to_nothing(sqlite_store: Store) -> None:
    """One look at an empty table."""
    with sqlite_store.write() as tx:
        start = time.perf_counter()
        for _ in range(200):
            stored.tell(tx, EventKind.SUBSCRIBER_ERASED, {"subscriber_id": 1}, now=NOW)
        spent = (time.perf_counter() - start) / 200
    assert spent < 0.05, "seconds; about 0.0001"
    assert webhooks.listed(sqlite_store) == []
