"""The built-in hub: who may subscribe, who is asked, and what strangers can make it do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import PublicationFactory
from newsletter import websub
from newsletter.model import PushMode
from newsletter.store import Store
from newsletter.store import websub as stored
from newsletter.websub import distribution, hub
from subscribing import OURS, Callbacks, Clock, Handler, Hub, Seen, answer, callbacks

DAY = timedelta(days=1)
DOCUMENT = b"<feed>first</feed>"


@pytest.fixture
def server() -> Iterator[Callbacks]:
    with callbacks() as server:
        yield server


@pytest.fixture
def ours(publication: PublicationFactory, store: Store, now: datetime) -> Hub:
    """Make a publication with the hub and one feed, on each database."""
    made = Hub(publication({"websub": OURS}), store, Clock(now))
    made.publish(DOCUMENT)
    return made


def public(publication: PublicationFactory, store: Store, now: datetime) -> Hub:
    """Make a hub as it is by default."""
    made = Hub(publication({"websub": {"hub": True}}), store, Clock(now))
    made.publish(DOCUMENT)
    return made


# Verification of intent


def test_a_callback_is_asked_before_it_is_subscribed(ours: Hub, server: Callbacks) -> None:
    callback = f"{server.url}/back?who=ada&x=%2F"
    assert ours.ask(callback).status == 202
    assert (ours.subscribed(), server.seen) == ([], []), "nothing happens within the request"
    ours.push()
    asked = server.seen[0]
    assert (asked.method, asked.path) == ("GET", "/back")
    assert len(asked.query.pop("hub.challenge")) >= 32
    assert asked.query == {
        "who": "ada",
        "x": "/",
        "hub.mode": "subscribe",
        "hub.topic": ours.topic(),
        "hub.lease_seconds": "864000",
    }
    assert ours.subscribed() == [callback]
    ours.push()
    assert len(server.seen) == 1


def test_challenges_differ(ours: Hub, server: Callbacks) -> None:
    for number in range(3):
        ours.subscribe(f"{server.url}/{number}")
    assert len({one.query["hub.challenge"] for one in server.seen}) == 3


def newline(handler: Handler, seen: Seen) -> None:
    handler.say(200, seen.query["hub.challenge"].encode() + b"\n")


def short(handler: Handler, seen: Seen) -> None:
    handler.say(200, seen.query["hub.challenge"][:-1].encode())


def not_found(handler: Handler, seen: Seen) -> None:
    handler.say(404, seen.query["hub.challenge"].encode())


def elsewhere(handler: Handler, seen: Seen) -> None:
    handler.say(302, seen.query["hub.challenge"].encode(), location="/good?" + urlencode(seen.query))


@pytest.mark.parametrize("wrong", [newline, short, not_found, elsewhere, answer(200), answer(200, b"x" * 43)])
def test_only_the_very_challenge_confirms(ours: Hub, server: Callbacks, wrong: object) -> None:
    server.behaviour["/back"] = wrong  # type: ignore[assignment]  # each is a behaviour
    ours.subscribe(f"{server.url}/back")
    assert ours.subscribed() == []
    ours.clock.now += DAY
    ours.push()
    assert [one.path for one in server.seen] == ["/back"], "not asked again, and no redirect followed"
    assert ours.overview().requests == 0


def test_an_endless_answer_is_cut_off(ours: Hub, server: Callbacks) -> None:
    def endless(handler: Handler, seen: Seen) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.over.is_set():
            handler.wfile.write(b"x" * 65536)

    server.behaviour["/back"] = endless
    ours.subscribe(f"{server.url}/back")
    assert ours.subscribed() == []


def test_a_callback_that_fails_is_asked_three_times(ours: Hub, server: Callbacks) -> None:
    server.behaviour["/back"] = answer(500)
    ours.subscribe(f"{server.url}/back")
    for _ in range(5):
        ours.clock.now += DAY
        ours.push()
    assert len(server.seen) == distribution.TRIES
    assert ours.overview().requests == 0


def test_a_callback_that_was_down_is_asked_again(ours: Hub, server: Callbacks) -> None:
    server.behaviour["/back"] = answer(503)
    ours.subscribe(f"{server.url}/back")
    del server.behaviour["/back"]
    ours.push()
    assert (len(server.seen), ours.subscribed()) == (1, []), "not before its time"
    ours.clock.now += DAY
    ours.push()
    assert ours.subscribed() == [f"{server.url}/back"]


def test_unsubscribing_is_asked_too(ours: Hub, server: Callbacks) -> None:
    ours.subscribe(f"{server.url}/back")
    ours.ask(f"{server.url}/back", "unsubscribe")
    assert len(ours.subscribed()) == 1
    ours.push()
    asked = server.seen[-1].query
    assert (asked["hub.mode"], "hub.lease_seconds" in asked) == ("unsubscribe", False)
    assert ours.subscribed() == []


@pytest.mark.parametrize("says", [404, 200, 500])
def test_a_forged_unsubscribe_ends_nothing(ours: Hub, server: Callbacks, says: int) -> None:
    ours.subscribe(f"{server.url}/back", secret="kept")
    server.behaviour["/back"] = answer(says, b"I did not ask")
    assert ours.ask(f"{server.url}/back", "unsubscribe").status == 202
    ours.push()
    assert ours.subscribed() == [f"{server.url}/back"]


def test_a_forged_subscribe_changes_no_secret(ours: Hub, server: Callbacks) -> None:
    ours.subscribe(f"{server.url}/back", secret="kept")
    server.behaviour["/back"] = answer(404)
    ours.ask(f"{server.url}/back", secret="forged", lease_seconds="3600")
    ours.push()
    with ours.store.read() as tx:
        (kept,) = stored.subscriptions(tx)
    assert (kept.secret, kept.expires_at - kept.created) == ("kept", timedelta(days=10))


def test_what_nobody_subscribed_to_cannot_be_asked_about(ours: Hub, server: Callbacks) -> None:
    assert ours.ask(f"{server.url}/back", "unsubscribe").status == 202
    ours.push()
    assert server.seen == []


@pytest.mark.parametrize(
    "topic",
    [
        "https://other.example.org/feeds/atom.xml",
        "https://harbour.example.org/feeds/none/atom.xml",
        "https://harbour.example.org/index.html",
        "https://harbour.example.org/feeds/../feeds/atom.xml",
        "https://harbour.example.org/feeds/%2e%2e/feeds/atom.xml",
        "https://harbour.example.org/feeds/%61tom.xml",
        "https://harbour.example.org/feeds/atom.xml?page=2",
        "https://harbour.example.org:443/feeds/atom.xml",
        "http://harbour.example.org/feeds/atom.xml",
        "https://HARBOUR.example.org/feeds/atom.xml",
    ],
)
def test_a_topic_that_is_not_ours_is_denied(ours: Hub, server: Callbacks, topic: str) -> None:
    assert ours.ask(f"{server.url}/back", topic=topic).status == 202
    ours.push()
    (told,) = server.seen
    assert (told.query["hub.mode"], told.query["hub.topic"]) == ("denied", topic)
    assert "hub.challenge" not in told.query
    assert "hub.reason" in told.query
    assert ours.subscribed() == []


# Leases


@pytest.mark.parametrize(
    ("asked", "granted"),
    [("1", 3600), ("3600", 3600), ("86400", 86400), ("999999999999", 30 * 86400), ("", 864000)],
)
def test_a_lease_is_granted_within_bounds(ours: Hub, server: Callbacks, asked: str, granted: int) -> None:
    ours.subscribe(f"{server.url}/back", lease_seconds=asked)
    assert server.seen[0].query["hub.lease_seconds"] == str(granted)
    (one,) = ours.overview().subscriptions
    assert one.expires_at == ours.clock.now + timedelta(seconds=granted)


def test_a_lease_ends_and_is_renewed(ours: Hub, server: Callbacks) -> None:
    for path in ("/kept", "/left"):
        ours.subscribe(f"{server.url}{path}", lease_seconds="86400")
    ours.clock.now += timedelta(hours=23)
    ours.subscribe(f"{server.url}/kept", lease_seconds="86400", secret="new")
    ours.clock.now += timedelta(hours=2)
    ours.publish(b"<feed>second</feed>")
    ours.push()
    assert [one.path for one in server.posts()] == ["/kept"]
    assert "x-hub-signature" in server.posts()[0].headers
    assert ours.subscribed() == [f"{server.url}/kept"]
    ours.clock.now += DAY
    ours.publish(b"<feed>third</feed>")
    ours.push()
    assert (len(server.posts()), ours.subscribed()) == (1, [])


# Hostile requests


GOOD = {"hub.mode": "subscribe", "hub.callback": "https://reader.example.org/back"}
HOSTILE = [
    {"hub.mode": "publish"},
    {"hub.mode": ""},
    {"hub.mode": "denied"},
    {"hub.callback": ""},
    {"hub.callback": "reader.example.org"},
    {"hub.callback": "ftp://reader.example.org/"},
    {"hub.callback": "file:///etc/passwd"},
    {"hub.callback": "https://ada:secret@reader.example.org/"},
    {"hub.callback": "https://@reader.example.org/"},
    {"hub.callback": "https://reader.example.org/#top"},
    {"hub.callback": "https://reader.example.org/a b"},
    {"hub.callback": "https://reader.example.org/\r\nX-Evil: 1"},
    {"hub.callback": "https://reader.example.org/\0"},
    {"hub.callback": "https://reäder.example.org/"},
    {"hub.callback": "https://reader.example.org/" + "a" * 2048},
    {"hub.callback": "https://reader.example.org:25/"},
    {"hub.callback": "https://reader.example.org:99999/"},
    {"hub.callback": "https://[::1"},
    {"hub.callback": "http://127.0.0.1/"},
    {"hub.callback": "http://[::1]/"},
    {"hub.callback": "http://[::ffff:10.0.0.1]/"},
    {"hub.callback": "http://10.1.2.3/"},
    {"hub.callback": "http://169.254.169.254/latest/meta-data/"},
    {"hub.callback": "http://localhost/"},
    {"hub.callback": "http://a.localhost./"},
    {"hub.topic": ""},
    {"hub.topic": "https://harbour.example.org/feeds/atom.xml#top"},
    {"hub.topic": "https://ada@harbour.example.org/feeds/atom.xml"},
    {"hub.topic": "https://harbour.example.org/\r\nX-Evil: 1"},
    {"hub.topic": "https://harbour.example.org/" + "a" * 2048},
    {"hub.topic": "javascript:alert(1)"},
    {"hub.secret": "x" * 200},
    {"hub.secret": "ä" * 100},
    {"hub.secret": "a\0b"},
    {"hub.secret": "a\r\nb"},
    {"hub.lease_seconds": "0"},
    {"hub.lease_seconds": "-1"},
    {"hub.lease_seconds": "1e9"},
    {"hub.lease_seconds": "١٢"},
    {"hub.lease_seconds": "9" * 400},
]


@pytest.mark.parametrize("wrong", HOSTILE, ids=str)
def test_hostile_parameters_are_refused(
    publication: PublicationFactory, sqlite_store: Store, now: datetime, wrong: dict[str, str]
) -> None:
    made = public(publication, sqlite_store, now)
    fields = {**GOOD, "hub.topic": made.topic()}
    reply = websub.ask(made.store, made.config, urlencode({**fields, **wrong}).encode(), now=now)
    assert reply.status == 400
    assert reply.text.isprintable()
    (value,) = wrong.values()
    assert len(value) < 8 or value not in reply.text, "nothing is repeated"
    assert made.overview().requests == 0
    assert websub.ask(made.store, made.config, urlencode(fields).encode(), now=now).status == 202


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"hub.mode=%FF%FE&hub.callback=x",
        b"no form",
        b"&".join(b"a=1" for _ in range(500)),
        b"hub.mode=subscribe&hub.mode=unsubscribe",
        b"hub.callback=https%3A%2F%2Fa.example%2F&hub.callback=https%3A%2F%2Fb.example%2F&hub.mode=subscribe",
    ],
)
def test_what_is_no_form_is_refused(
    publication: PublicationFactory, sqlite_store: Store, now: datetime, body: bytes
) -> None:
    made = public(publication, sqlite_store, now)
    assert websub.ask(made.store, made.config, body, now=now).status == 400
    assert made.overview().requests == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from([f"hub.{name}" for name in ("mode", "callback", "topic", "secret", "lease_seconds")]),
        st.text()
        | st.sampled_from(["subscribe", "https://a.example/", "https://harbour.example.org/feeds/atom.xml"]),
    )
)
def test_no_form_breaks_the_hub(
    publication: PublicationFactory, sqlite_store: Store, now: datetime, fields: dict[str, str]
) -> None:
    config = publication({"websub": {"hub": True}})
    form = urlencode({k: v.encode("utf-8", "surrogatepass") for k, v in fields.items()}).encode()
    assert websub.ask(sqlite_store, config, form, now=now).status in (202, 400, 429, 503)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "0"])
def test_other_spellings_of_loopback_are_not_called(
    publication: PublicationFactory, sqlite_store: Store, now: datetime, server: Callbacks, host: str
) -> None:
    made = Hub(publication({"websub": {**OURS, "allow_private_addresses": False}}), sqlite_store, Clock(now))
    made.publish(DOCUMENT)
    made.ask(server.url.replace("127.0.0.1", host))
    made.push()
    assert (server.seen, made.subscribed()) == ([], [])


def test_a_name_that_leads_inside_is_not_called(
    publication: PublicationFactory, store: Store, now: datetime, server: Callbacks
) -> None:
    made = Hub(publication({"websub": {**OURS, "allow_private_addresses": False}}), store, Clock(now))
    made.publish(DOCUMENT)
    callback = server.url.replace("127.0.0.1", "localhost")
    wish = {"topic": made.topic(), "callback": callback, "host": "localhost", "secret": "", "lease": 3600}
    with store.write() as tx:  # as if the name had led elsewhere when it was asked
        stored.request(tx, {"mode": PushMode.SUBSCRIBE, **wish}, now=now)
    made.push()
    assert (server.seen, made.overview().requests) == ([], 0)


def test_only_configured_ports_are_called(
    publication: PublicationFactory, store: Store, now: datetime, server: Callbacks
) -> None:
    made = Hub(publication({"websub": {**OURS, "ports": [server.server_address[1]]}}), store, Clock(now))
    made.publish(DOCUMENT)
    assert made.ask("http://127.0.0.1/").status == 400
    made.subscribe(f"{server.url}/back")
    assert made.subscribed() == [f"{server.url}/back"]


# Limits


def test_a_host_has_only_so_many_subscriptions(
    publication: PublicationFactory, store: Store, now: datetime, server: Callbacks
) -> None:
    made = Hub(publication({"websub": {**OURS, "per_host": 3, "subscriptions": 5}}), store, Clock(now))
    made.publish(DOCUMENT)
    for number in range(2):
        made.subscribe(f"{server.url}/{number}")
    assert made.ask(f"{server.url}/2").status == 202
    reply = made.ask(f"{server.url}/3")
    assert (reply.status, reply.retry_after) == (429, 3600)
    assert made.ask(f"{server.url}/0").status == 202, "a renewal is no new one"
    made.push()
    with callbacks("127.0.0.2") as other:
        for number in range(2):
            made.subscribe(f"{other.url}/{number}")
        assert made.ask(f"{other.url}/2").status == 503
    assert len(made.subscribed()) == 5


def test_only_so_many_requests_wait(ours: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MOST_WAITING", 5)
    monkeypatch.setattr(hub, "MOST_WAITING_PER_HOST", 3)
    for _ in range(4):
        assert [ours.ask(f"http://127.0.0.1:1/{number}").status for number in range(3)] == [202] * 3
    assert ours.overview().requests == 3, "the very same request is one"
    assert ours.ask("http://127.0.0.1:1/3").status == 429
    assert [ours.ask(f"http://127.0.0.2:1/{number}").status for number in range(2)] == [202] * 2
    assert ours.ask("http://127.0.0.3:1/").status == 503


def test_topics_are_spelt_as_documents_spell_them(ours: Hub, server: Callbacks) -> None:
    path = "feeds/tags/naïve café/atom.xml"
    ours.publish(DOCUMENT, path)
    ours.subscribe(f"{server.url}/back", topic=ours.config.publication.url + quote(path))
    assert len(ours.subscribed()) == 1
