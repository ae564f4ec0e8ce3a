"""Hubs are told once of each feed that changed, for a day if need be, and publishing waits for none of them."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from conftest import PublicationFactory
from newsletter import web, websub
from newsletter.daemon import Daemon
from newsletter.publisher import Publisher
from newsletter.store import Store
from newsletter.websub.pace import FIRST_REST, GIVE_UP, LONGEST_REST, next_try
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
    hmac_sha256,
    posts,
)

FORM = "application/x-www-form-urlencoded"
FIRST, SECOND, THIRD = (f"<feed>{word}</feed>".encode() for word in ("first", "second", "third"))


@pytest.fixture
def server() -> Iterator[Callbacks]:
    with callbacks() as server:
        yield server


@pytest.fixture
def ours(publication: PublicationFactory, store: Store, now: datetime, server: Callbacks) -> Hub:
    """Make a publication that names somebody else's hub, on each database."""
    changes = {"websub": {"allow_private_addresses": True}, "feeds": {"hubs": [f"{server.url}/"]}}
    return Hub(publication(changes), store, Clock(now))


def told(server: Callbacks, path: str = "/") -> list[str]:
    """Return the topics that a hub was told of."""
    found = []
    for one in server.posts(path):
        assert one.headers["content-type"] == FORM
        fields = parse_qs(one.body.decode(), strict_parsing=True)
        assert fields.keys() == {"hub.mode", "hub.url"}
        assert fields["hub.mode"] == ["publish"]
        found += fields["hub.url"]
    return found


def test_a_hub_is_told_once_of_each_change(ours: Hub, server: Callbacks) -> None:
    ours.publish(FIRST)
    ours.publish(FIRST, "feeds/tags/a/rss.xml")
    assert server.seen == [], "publishing waits for nobody"
    for _ in range(3):
        ours.push()
    assert told(server) == [ours.topic(), ours.topic("feeds/tags/a/rss.xml")]
    ours.publish(FIRST)  # the same bytes, written again
    ours.publish(SECOND, "feeds/tags/a/rss.xml")
    ours.push()
    ours.push()
    assert told(server)[2:] == [ours.topic("feeds/tags/a/rss.xml")]


def test_pages_and_zipped_feeds_are_no_topics(ours: Hub, server: Callbacks) -> None:
    for path in ("index.html", "feeds/atom.xml.gz", "feeds/feeds.opml", "feeds/.hidden/atom.xml", "atom.xml"):
        ours.publish(FIRST, path)
    ours.push()
    assert server.seen == []


def test_every_hub_is_told_and_a_dead_one_holds_up_none(
    publication: PublicationFactory, store: Store, now: datetime, server: Callbacks
) -> None:
    hubs = ["http://127.0.0.1:1/dead", f"{server.url}/one", f"{server.url}/two"]
    changes = {"websub": {"allow_private_addresses": True}, "feeds": {"hubs": hubs}}
    made = Hub(publication(changes), store, Clock(now))
    made.publish(FIRST)
    made.push()
    assert told(server, "/one") == told(server, "/two") == [made.topic()]
    assert [one.hub for one in made.overview().notices] == hubs[:1]


@pytest.mark.parametrize("status", [500, 503, 429, 301, 404])
def test_a_hub_at_fault_rests_as_a_whole(ours: Hub, server: Callbacks, status: int) -> None:
    server.behaviour["/"] = answer(status, location="/elsewhere")
    for path in ("feeds/atom.xml", "feeds/rss.xml"):
        ours.publish(FIRST, path)
    ours.push()
    ours.push()
    assert [one.path for one in server.seen] == ["/"]
    waiting = ours.overview().notices
    assert [(one.attempts, one.failure) for one in waiting] == [(1, f"it answered {status}")] * 2
    server.behaviour.clear()
    ours.clock.now += FIRST_REST
    ours.push()
    assert sorted(told(server)[1:]) == [ours.topic(), ours.topic("feeds/rss.xml")]
    assert ours.overview().notices == ()


def test_one_feed_that_a_hub_refuses_holds_up_no_other(ours: Hub, server: Callbacks) -> None:
    server.behaviour["/"] = lambda h, seen: h.say(400 if b"atom.xml" in seen.body else 204)
    for path in ("feeds/atom.xml", "feeds/rss.xml"):
        ours.publish(FIRST, path)
    ours.push()
    assert [one.topic for one in ours.overview().notices] == [ours.topic()]


def test_after_a_day_it_is_given_up_and_the_editor_sees_it(ours: Hub, server: Callbacks) -> None:
    server.behaviour["/"] = posts(500)
    ours.publish(FIRST)
    assert websub.findings(ours.store) == []
    ours.push()
    (advice,) = websub.findings(ours.store)
    assert (advice.error, advice.where) == (False, f"{server.url}/")
    for _ in range(200):
        ours.clock.now += timedelta(minutes=10)
        ours.push()
    count = len(server.seen)
    assert 24 <= count <= 60
    (finding,) = websub.findings(ours.store)
    assert finding.error
    assert (finding.where, finding.place) == (f"{server.url}/", ours.topic())
    assert "500" in finding.rule
    assert "websub send" in finding.remedy
    server.behaviour.clear()
    ours.push()
    assert len(server.seen) == count
    websub.try_again(ours.store, now=ours.clock.now)
    ours.push()
    assert (len(server.seen), websub.findings(ours.store)) == (count + 1, [])


def test_a_change_after_giving_up_is_told_anew(ours: Hub, server: Callbacks) -> None:
    server.behaviour["/"] = answer(500)
    ours.publish(FIRST)
    ours.push()
    ours.clock.now += GIVE_UP
    ours.push()
    assert ours.overview().notices[0].next_at is None
    server.behaviour.clear()
    ours.publish(SECOND)
    ours.push()
    assert ours.overview().notices == ()


def test_a_change_while_a_hub_is_told_is_told_as_well(ours: Hub, server: Callbacks) -> None:
    def publish_meanwhile(handler: Handler, seen: Seen) -> None:
        if len(server.seen) == 1:
            ours.publish(SECOND)
        handler.say(204)

    server.behaviour["/"] = publish_meanwhile
    ours.publish(FIRST)
    ours.push()
    ours.push()
    assert told(server) == [ours.topic()] * 2


def test_a_crash_before_it_was_noted_loses_nothing(ours: Hub, server: Callbacks) -> None:
    ours.publish(FIRST)
    ours.push()
    (ours.config.public / "feeds/atom.xml").write_bytes(SECOND)  # and here the process dies
    assert websub.note(ours.store, ours.config, now=ours.clock.now) == 1
    ours.push()
    assert told(server) == [ours.topic()] * 2


def test_what_is_gone_is_not_told(ours: Hub, server: Callbacks) -> None:
    ours.publish(FIRST)
    (ours.config.public / "feeds/atom.xml").unlink()
    ours.publish(FIRST, "feeds/rss.xml")
    ours.push()
    assert told(server) == [ours.topic("feeds/rss.xml")]


def test_a_hub_that_is_no_longer_configured_is_dropped(
    ours: Hub, publication: PublicationFactory, server: Callbacks
) -> None:
    ours.publish(FIRST)
    ours.config = publication({"websub": OURS})
    ours.publish(FIRST)
    assert ours.overview().notices == ()


def test_without_hubs_nothing_is_noted(publication: PublicationFactory, store: Store, now: datetime) -> None:
    made = Hub(publication(), store, Clock(now))
    made.publish(FIRST)
    assert not websub.push(store, made.config)
    assert made.overview().notices == ()


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_the_rest_doubles_half_of_it_by_chance(now: datetime, chance: float) -> None:
    share = 0.5 + chance / 2
    for attempts in range(30):
        at = next_try(now, attempts, now=now, jitter=lambda: chance)
        assert at is not None
        assert at - now == min(FIRST_REST * 2**attempts, LONGEST_REST) * share
    assert next_try(now - GIVE_UP, 1, now=now) is None
    assert next_try(now - GIVE_UP + FIRST_REST, 99, now=now, jitter=lambda: 1.0) == now + FIRST_REST
    assert next_try(now, 0, now=now, retry_after=1e12) == now + GIVE_UP


# Over the web part


@pytest.fixture
def port(publication: PublicationFactory, sqlite_store: Store, now: datetime) -> Iterator[int]:
    """Serve a publication below a path, with our hub and another, and a feed and a page in it."""
    changes = {
        "websub": OURS,
        "feeds": {"hubs": ["https://hub.example.org/"]},
        "web": {"url": "https://mail.example.org/letters/"},
    }
    made = Hub(publication(changes), sqlite_store, Clock(now))
    made.publish(FIRST)
    made.publish(b"<html>", "index.html")
    with web.Server(web.create_app(sqlite_store, made.config, lambda: now), "127.0.0.1", 0) as running:
        yield running.port


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("prefix", ["", "/letters"])
def test_feeds_name_their_hubs(port: int, prefix: str) -> None:
    links = [
        '<https://mail.example.org/letters/hub>; rel="hub"',
        '<https://hub.example.org/>; rel="hub"',
        '<https://harbour.example.org/feeds/atom.xml>; rel="self"',
    ]
    response, _ = ask(port, "GET", f"{prefix}/feeds/atom.xml")
    assert response.headers.get_all("link") == links
    again, _ = ask(port, "GET", f"{prefix}/feeds/atom.xml", if_none_match=response.headers["etag"])
    assert (again.status, again.headers.get_all("link")) == (304, links)
    for path in ("/", "/feeds/none/atom.xml"):
        assert ask(port, "GET", prefix + path)[0].headers["link"] is None


def test_the_hub_answers_forms_and_nothing_else(port: int) -> None:
    fields = {
        "hub.mode": "subscribe",
        "hub.topic": "https://harbour.example.org/feeds/atom.xml",
        "hub.callback": "https://reader.example.org/",
    }
    form = urlencode(fields).encode()
    for kind in (FORM, f"{FORM}; charset=UTF-8"):
        response, text = ask(port, "POST", "/letters/hub", form, content_type=kind)
        assert (response.status, text.count("\n")) == (202, 1)
    assert ask(port, "POST", "/hub", form, content_type="application/json")[0].status == 415
    assert ask(port, "POST", "/hub", b"nonsense", content_type=FORM)[0].status == 400
    assert ask(port, "POST", "/hub", form + b"&a=" + b"x" * 100_000, content_type=FORM)[0].status == 413
    assert ask(port, "GET", "/hub")[0].status == 404


def test_without_the_hub_there_is_none(publication: PublicationFactory, sqlite_store: Store) -> None:
    with web.Server(web.create_app(sqlite_store, publication()), "127.0.0.1", 0) as running:
        assert ask(running.port, "POST", "/hub", b"a=b", content_type=FORM)[0].status == 405


# The daemon and the command line


def write_post(folder: Path, name: str) -> None:
    text = f"---\ntitle: The {name} post\ndate: 2026-11-01T12:00:00Z\nauthor: Ada\n---\n\nA text of words.\n"
    (folder / "posts" / f"{name}.md").write_text(text)


def newsletter(folder: Path, *words: str) -> tuple[int, str]:
    """Run a command as a process of its own."""
    command = [sys.executable, "-m", "newsletter", "-p", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_the_daemon_publishes_and_tells(publication: PublicationFactory, server: Callbacks) -> None:
    server.behaviour["/dead"] = answer(500)
    hubs = [f"{server.url}/dead", f"{server.url}/"]
    config = publication({"websub": {"allow_private_addresses": True}, "feeds": {"hubs": hubs}})
    write_post(config.folder, "first")
    with Publisher.open(config) as publisher:
        daemon = Daemon(publisher)
        daemon.tick()
        assert server.seen == []
        for _ in range(2):
            daemon.push()
    forms = {f"https://harbour.example.org/feeds/{name}" for name in ("atom.xml", "rss.xml", "feed.json")}
    assert forms <= set(told(server))
    assert len(set(told(server))) == len(told(server))
    atom = (config.public / "feeds/atom.xml").read_text()
    assert f'rel="hub" href="{hubs[0]}"' in atom or f'href="{hubs[0]}" rel="hub"' in atom


def test_the_commands(publication: PublicationFactory, server: Callbacks) -> None:
    hubs = {"feeds": {"hubs": [f"{server.url}/"]}, "websub": OURS}
    config = publication(hubs)
    write_post(config.folder, "first")
    server.behaviour["/"] = answer(500)
    assert newsletter(config.folder, "gather")[0] == 0
    assert newsletter(config.folder, "publish")[0] == 0
    with Publisher.open(config) as publisher:
        made = Hub(config, publisher.store, Clock(datetime.now().astimezone()))
        made.ask(f"{server.url}/back", secret="hunter2")
    code, said = newsletter(config.folder, "websub", "send")
    assert code == 0
    assert "it answered 500" in said
    code, said = newsletter(config.folder, "websub", "list", "--json")
    listed: dict[str, Any] = json.loads(said)
    assert listed["notices"][0]["hub"] == f"{server.url}/"
    assert [one["callback"] for one in listed["subscriptions"]] == [f"{server.url}/back"]
    assert listed["subscriptions"][0]["signed"] is True
    assert "hunter2" not in said
    code, said = newsletter(config.folder, "check", "hubs")
    assert (code, "advice" in said) == (0, True)
    server.behaviour.clear()
    assert newsletter(config.folder, "websub", "send", "--json")[0] == 0
    assert newsletter(config.folder, "check", "hubs") == (0, "1 hubs: nothing found\n")
    number = str(listed["subscriptions"][0]["id"])
    assert newsletter(config.folder, "websub", "remove", number)[0] == 0
    assert newsletter(config.folder, "websub", "remove", number)[0] == 2


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 3 * PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_new_post_reaches_a_subscriber_of_the_running_program(
    publication: PublicationFactory, server: Callbacks, tmp_path: Path
) -> None:
    config = publication({"websub": OURS, "gather": {"every": "1s"}, "web": {"port": 0}})
    write_post(config.folder, "first")
    log = tmp_path / "log"
    command = [sys.executable, "-m", "newsletter", "-p", str(config.folder), "run"]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            wait_for(lambda: "listening on http://127.0.0.1:" in log.read_text())
            port = int(log.read_text().partition("listening on http://127.0.0.1:")[2].partition("/")[0])
            wait_for(lambda: (config.public / "feeds/atom.xml").exists())
            fields = {"mode": "subscribe", "callback": f"{server.url}/back", "secret": "hunter2"}
            fields["topic"] = "https://harbour.example.org/feeds/atom.xml"
            form = urlencode({f"hub.{name}": value for name, value in fields.items()}).encode()
            assert ask(port, "POST", "/hub", form, content_type=FORM)[0].status == 202
            server.wait(1, "GET")
            write_post(config.folder, "second")
            server.wait(1)
        finally:
            process.terminate()
            process.wait(PATIENCE)
    sent = server.posts()[0]
    assert sent.body == (config.public / "feeds/atom.xml").read_bytes()
    assert b"The second post" in sent.body
    assert sent.headers["x-hub-signature"] == f"sha256={hmac_sha256(b'hunter2', sent.body)}"
    assert "hunter2" not in log.read_text()
    assert process.returncode == 0
