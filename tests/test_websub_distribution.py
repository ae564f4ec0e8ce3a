"""What subscribers are sent: the whole feed, signed, once, whatever other callbacks do and whoever dies meanwhile."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from conftest import PublicationFactory
from newsletter import websub
from newsletter.errors import InputError
from newsletter.store import Store, meta, open_store
from newsletter.websub import distribution
from processes import child, line
from subscribing import (
    OURS,
    PATIENCE,
    Callbacks,
    Clock,
    Handler,
    Hub,
    Seen,
    answer,
    callbacks,
    good,
    hmac_sha256,
    posts,
)

DAY = timedelta(days=1)
FIRST, SECOND, THIRD = (f"<feed>{word} ü</feed>".encode() for word in ("first", "second", "third"))


@pytest.fixture
def server() -> Iterator[Callbacks]:
    with callbacks() as server:
        yield server


@pytest.fixture
def ours(publication: PublicationFactory, store: Store, now: datetime) -> Hub:
    """Make a publication with the hub and one feed, on each database."""
    made = Hub(publication({"websub": OURS}), store, Clock(now))
    made.publish(FIRST)
    return made


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("feeds/atom.xml", "application/atom+xml; charset=utf-8"),
        ("feeds/tags/a b/rss.xml", "application/rss+xml; charset=utf-8"),
        ("feeds/feed.json", "application/feed+json; charset=utf-8"),
    ],
)
def test_the_whole_feed_is_sent_with_its_type_and_links(
    ours: Hub, server: Callbacks, path: str, kind: str
) -> None:
    ours.publish(FIRST, path)
    topic = ours.topic(path.replace(" ", "%20"))
    ours.subscribe(f"{server.url}/back?key=1", topic=topic)
    ours.publish(SECOND, path)
    ours.push()
    (sent,) = server.posts()
    assert (sent.body, sent.query) == (SECOND, {"key": "1"})
    assert sent.headers["content-type"] == kind
    hub = "https://harbour.example.org/hub"
    assert sent.headers["link"] == f'<{hub}>; rel="hub", <{topic}>; rel="self"'
    assert "x-hub-signature" not in sent.headers
    assert "The%20Harbour" not in sent.headers["user-agent"]
    assert ours.config.publication.contact in sent.headers["user-agent"]


@pytest.mark.parametrize("secret", ["s", "sécret €", "x" * 199])
def test_a_secret_signs_what_is_sent(ours: Hub, server: Callbacks, secret: str) -> None:
    ours.subscribe(f"{server.url}/back", secret=secret)
    ours.publish(SECOND)
    ours.push()
    (sent,) = server.posts()
    assert sent.headers["x-hub-signature"] == f"sha256={hmac_sha256(secret.encode(), sent.body)}"


def test_each_change_is_sent_once_and_only_the_newest(ours: Hub, server: Callbacks) -> None:
    ours.subscribe(f"{server.url}/back")
    ours.publish(FIRST)
    ours.push()
    assert server.posts() == [], "nothing changed"
    ours.publish(SECOND)
    ours.clock.now += timedelta(seconds=1)
    ours.publish(THIRD)
    for _ in range(3):
        ours.push()
    assert [one.body for one in server.posts()] == [THIRD]
    ours.clock.now += timedelta(seconds=1)
    ours.publish(SECOND)
    ours.push()
    assert [one.body for one in server.posts()] == [THIRD, SECOND]


def test_a_change_while_it_is_sent_is_sent_as_well(ours: Hub, server: Callbacks) -> None:
    def publish_meanwhile(handler: Handler, seen: Seen) -> None:
        if seen.body == SECOND:
            ours.clock.now += timedelta(seconds=1)
            ours.publish(THIRD)
        good(handler, seen)

    server.behaviour["/back"] = publish_meanwhile
    ours.subscribe(f"{server.url}/back")
    ours.publish(SECOND)
    ours.push()
    ours.push()
    assert [one.body for one in server.posts()] == [SECOND, THIRD]


def test_only_subscribers_of_a_topic_are_sent_it(ours: Hub, server: Callbacks) -> None:
    ours.publish(FIRST, "feeds/rss.xml")
    ours.subscribe(f"{server.url}/atom")
    ours.subscribe(f"{server.url}/rss", topic=ours.topic("feeds/rss.xml"))
    ours.publish(SECOND, "feeds/rss.xml")
    ours.push()
    assert [one.path for one in server.posts()] == ["/rss"]


# Callbacks that fail


@pytest.mark.parametrize("fails", [500, 404, 302, 403])
def test_what_was_not_taken_is_sent_again_later(ours: Hub, server: Callbacks, fails: int) -> None:
    server.behaviour["/back"] = posts(fails, fails, 202)
    ours.subscribe(f"{server.url}/back", secret="s")
    ours.publish(SECOND)
    ours.push()
    ours.push()
    assert len(server.posts()) == 1, "not before its time"
    (one,) = ours.overview().subscriptions
    assert (one.failure, one.attempts, one.waiting_since) == (f"it answered {fails}", 1, ours.clock.now)
    assert one.next_at is not None
    assert timedelta(seconds=15) <= one.next_at - ours.clock.now <= timedelta(seconds=30)
    for _ in range(2):
        ours.clock.now += timedelta(minutes=5)
        ours.push()
    assert [one.body for one in server.posts()] == [SECOND] * 3
    (one,) = ours.overview().subscriptions
    assert (one.failure, one.attempts, one.waiting_since, one.next_at) == ("", 0, None, None)
    assert one.served_at == ours.clock.now


def test_a_redirect_leads_nowhere(ours: Hub, server: Callbacks) -> None:
    ours.subscribe(f"{server.url}/back")
    with callbacks("127.0.0.2") as inside:
        server.behaviour["/back"] = answer(307, location=f"{inside.url}/admin")
        ours.publish(SECOND)
        ours.push()
        assert (len(server.posts()), inside.seen) == (1, [])


def test_retry_after_is_kept(ours: Hub, server: Callbacks) -> None:
    server.behaviour["/back"] = lambda h, seen: h.say(503, retry_after="7200") if seen.body else good(h, seen)
    ours.subscribe(f"{server.url}/back")
    ours.publish(SECOND)
    ours.push()
    (one,) = ours.overview().subscriptions
    assert one.next_at == ours.clock.now + timedelta(hours=2)


def test_after_a_day_it_is_given_up_until_the_next_change(ours: Hub, server: Callbacks) -> None:
    server.behaviour["/back"] = posts(500)
    ours.subscribe(f"{server.url}/back")
    ours.publish(SECOND)
    for _ in range(200):
        ours.push()
        ours.clock.now += timedelta(minutes=10)
    (one,) = ours.overview().subscriptions
    assert (one.waiting_since, one.next_at, one.failure) == (None, None, "it answered 500")
    assert 24 <= len(server.posts()) <= 60
    server.behaviour.clear()
    ours.publish(THIRD)
    ours.push()
    assert server.posts()[-1].body == THIRD
    assert ours.overview().subscriptions[0].failure == ""


def test_gone_ends_the_subscription(ours: Hub, server: Callbacks) -> None:
    server.behaviour["/back"] = posts(410)
    ours.subscribe(f"{server.url}/back")
    ours.publish(SECOND)
    ours.push()
    assert (len(server.posts()), ours.subscribed()) == (1, [])


def test_a_feed_that_is_gone_is_not_sent(ours: Hub, server: Callbacks) -> None:
    ours.subscribe(f"{server.url}/back")
    ours.publish(SECOND)
    (ours.config.public / "feeds/atom.xml").unlink()
    ours.push()
    assert server.posts() == []


def endless(handler: Handler, seen: Seen) -> None:
    """Take a document, and answer for ever."""
    if seen.method == "GET":
        good(handler, seen)
        return
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while not handler.server.over.is_set():
            handler.wfile.write(b"x" * 65536)


def drip(handler: Handler, seen: Seen) -> None:
    """Take a document, and answer it a letter a time."""
    if seen.method == "GET":
        good(handler, seen)
        return
    with contextlib.suppress(OSError):
        for letter in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 10_000:
            handler.wfile.write(bytes([letter]))
            if handler.server.over.wait(0.1):
                return


def test_an_endless_answer_is_not_read(ours: Hub, server: Callbacks) -> None:
    server.behaviour["/back"] = endless
    ours.subscribe(f"{server.url}/back")
    ours.publish(SECOND)
    ours.push()
    assert ours.overview().subscriptions[0].served_at is not None


def test_slow_callbacks_delay_no_other(ours: Hub, server: Callbacks, monkeypatch: pytest.MonkeyPatch) -> None:
    ours.subscribe(f"{server.url}/back")
    ours.publish(b"<feed>taken before</feed>")
    ours.push()
    ours.clock.now += timedelta(seconds=1)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(callbacks(f"127.0.0.{number}")) for number in range(2, 32)]
        for one in slow:
            one.behaviour["/back"] = drip
            assert ours.ask(f"{one.url}/back").status == 202
        ours.push()
        ours.publish(SECOND)
        monkeypatch.setattr(distribution, "TOTAL", 2.0)
        begun = time.monotonic()
        pushing = threading.Thread(target=ours.push)
        pushing.start()
        server.wait(2)
        waited = server.posts()[1].at - begun
        ours.clock.now += timedelta(seconds=1)
        ours.publish(THIRD)  # while the slow ones are being waited for
        changed = time.monotonic()
        server.wait(3)
        waited_again = server.posts()[2].at - changed
        pushing.join()
        took = time.monotonic() - begun
    assert waited < took / 2
    assert waited_again < took / 2
    assert server.posts()[2].body == THIRD


def test_a_slow_callback_delays_its_own_host_once(
    ours: Hub, server: Callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "TOTAL", 1.0)
    server.behaviour["/slow"] = drip
    for path in ("/slow", "/a", "/b"):
        ours.subscribe(server.url + path)
    ours.publish(SECOND)
    ours.push()
    assert Counter(one.path for one in server.posts()) == {"/slow": 1, "/a": 1, "/b": 1}


# Two processes, and death

PUSHER = """
import sys
from pathlib import Path
from newsletter import websub
from newsletter.config import load
from newsletter.store import open_store

config = load(Path(sys.argv[1]), {})
with open_store(sys.argv[2]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    print(websub.push(store, config), flush=True)
"""
MANY = 40


def really(ours: Hub) -> None:
    """Go by the real clock, as other processes do."""
    ours.clock.now = datetime.now(ours.clock.now.tzinfo)


def test_two_processes_send_once(ours: Hub, server: Callbacks, store_url: str) -> None:
    really(ours)
    for number in range(MANY):
        ours.ask(f"{server.url}/{number}")
    ours.push()
    ours.publish(SECOND)
    arguments = (str(ours.config.folder), store_url)
    with child(PUSHER, *arguments) as one, child(PUSHER, *arguments) as other:
        for process in (one, other):
            assert line(process) == "ready"
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = {line(one), line(other)}
    assert "True" in said
    assert Counter(one.path for one in server.posts()) == {f"/{number}": 1 for number in range(MANY)}


def test_a_process_killed_in_the_midst_loses_nothing(ours: Hub, server: Callbacks, store_url: str) -> None:
    really(ours)
    for number in range(MANY):
        ours.ask(f"{server.url}/{number}")
    ours.push()
    ours.ask(f"{server.url}/asks")  # a request that waits is not lost either
    killed = threading.Event()

    def hang(handler: Handler, seen: Seen) -> None:
        if not killed.wait(PATIENCE):
            raise TimeoutError
        good(handler, seen)

    server.behaviour[f"/{MANY // 4}"] = hang
    ours.publish(SECOND)
    with child(PUSHER, str(ours.config.folder), store_url) as process:
        assert line(process) == "ready"
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        server.wait(MANY // 4 + 1)
        process.kill()
        process.wait()
    killed.set()
    before = len(server.posts())
    deadline = time.monotonic() + PATIENCE
    with open_store(store_url) as again:
        while not websub.push(again, ours.config):  # a server takes a moment to see that its client is dead
            assert time.monotonic() < deadline
            time.sleep(0.05)
    sent = Counter(one.path for one in server.posts())
    assert before == MANY // 4 + 1
    assert sent.keys() == {f"/{number}" for number in range(MANY)}
    assert [path for path, count in sent.items() if count > 1] == [f"/{MANY // 4}"], "what was on its way"
    assert sum(sent.values()) == MANY + 1
    assert f"{server.url}/asks" in ours.subscribed()


def test_a_copied_store_sends_nothing(ours: Hub, server: Callbacks) -> None:
    ours.subscribe(f"{server.url}/back")
    ours.publish(SECOND)
    with ours.store.write() as tx:
        meta.put(tx, "restored_from", "a backup")
    assert not websub.push(ours.store, ours.config, clock=ours.clock)
    with ours.store.write() as tx:
        meta.resume(tx)
    ours.push()
    assert len(server.posts()) == 1


# Secrets


def test_secrets_and_callbacks_are_in_no_log(
    ours: Hub, server: Callbacks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.behaviour["/token-in-the-path"] = posts(500)
    ours.subscribe(f"{server.url}/token-in-the-path", secret="hunter2")
    ours.publish(SECOND)
    ours.push()
    ours.ask("http://127.0.0.1:1/token-in-the-path", secret="hunter2")
    ours.push()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("newsletter")]
    assert said
    assert not [one for one in said if "hunter2" in one or "token-in" in one]
    assert "hunter2" not in repr(ours.overview())


def test_an_editor_ends_a_subscription(ours: Hub, server: Callbacks) -> None:
    ours.subscribe(f"{server.url}/back")
    (one,) = ours.overview().subscriptions
    websub.remove(ours.store, one.id)
    assert ours.subscribed() == []
    with pytest.raises(InputError, match="there is no subscription"):
        websub.remove(ours.store, one.id)
