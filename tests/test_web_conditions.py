"""Conditional requests of pollers: the built-in server, and nginx as docs/serving.md configures it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import private_nginx
from conftest import PublicationFactory
from newsletter import moves
from newsletter.store import Store
from newsletter.web import Server, create_app
from newsletter.web.conditions import codings, tags, unchanged
from serving import DATE, NOW, Answered, Served, ask, feed

PATH = "/feeds/atom.xml"
FORMS = {"plain": "", "gzip": "gzip"}


@pytest.fixture(params=["built-in", "nginx"])
def server(
    request: pytest.FixtureRequest, publication: PublicationFactory, sqlite_store: Store, tmp_path: Path
) -> Iterator[Served]:
    """Serve a published feed, once by each server."""
    config = publication(
        {
            "web": {
                "moved": {"/rss.xml": "/feeds/rss.xml"},
                "gone": ["/comments/feed/", "/feeds/tags/été/atom.xml"],
            }
        }
    )
    app = create_app(sqlite_store, config, lambda: NOW)
    with Server(app, "127.0.0.1", 0) as built_in:
        served = Served(config, sqlite_store, built_in.port, app.state.front)
        served.put("feeds/atom.xml", feed(("1", "One")))
        served.put("feeds/tags/x/rss.xml", b"<rss/>")
        served.put("feeds/feed.json", b"{}")
        served.put("404.html", b"Nothing here")
        if request.param == "built-in":
            yield served
            return
        if private_nginx.found() is None:
            pytest.skip("nginx is not installed (tests/prepare.sh installs nginx-light)")
        found = "\n".join(moves.nginx(moves.find(sqlite_store, config)))
        with private_nginx.running(
            tmp_path / "nginx", config.public, found, behind=built_in.port
        ) as served.port:
            served.built_in = False
            yield served


def fresh(server: Served, coding: str) -> Answered:
    answer = server.get(PATH, accept_encoding=coding)
    assert answer.status == 200
    return answer


def test_each_form_has_a_strong_etag_of_its_own(server: Served) -> None:
    answers = [fresh(server, coding) for coding in FORMS.values()]
    assert [a.headers.get("content-encoding") for a in answers] == [None, "gzip"]
    assert gzip.decompress(answers[1].body) == answers[0].body
    assert answers[0].headers["etag"] != answers[1].headers["etag"]
    for one in answers:
        assert re.fullmatch(r'"[^"]+"', one.headers["etag"])
        assert one.headers["last-modified"] == DATE
        assert one.headers["vary"] == "Accept-Encoding"
        assert one.headers["cache-control"] == "public, max-age=1800"
        assert one.headers["content-type"] == "application/atom+xml; charset=utf-8"
        assert one.links == ['<https://harbour.example.org/feeds/atom.xml>; rel="self"']
        assert "date" in one.headers


@pytest.mark.parametrize("coding", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "conditions",
    [
        lambda etag: {"if_none_match": etag},
        lambda etag: {"if_none_match": f"W/{etag}"},
        lambda etag: {"if_none_match": f'"x, y", "z",W/{etag}, "last"'},
        lambda _: {"if_none_match": "*"},
        lambda _: {"if_modified_since": DATE},
        lambda _: {"if_modified_since": "Tue, 22 Sep 2026 00:00:00 GMT"},
        lambda etag: {"if_none_match": etag, "if_modified_since": DATE},
    ],
    ids=["same", "weak", "list", "any", "date", "later date", "tag and date"],
)
def test_what_has_not_changed_is_304(
    server: Served, coding: str, method: str, conditions: Callable[[str], dict[str, str]]
) -> None:
    etag = fresh(server, coding).headers["etag"]
    answer = ask(server.port, PATH, method, accept_encoding=coding, **conditions(etag))
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"] == "public, max-age=1800"
    assert "date" in answer.headers
    assert answer.links
    assert "content-length" not in answer.headers


def test_a_tag_decides_alone(server: Served) -> None:
    """nginx wants the date to agree as well and sends the feed once more than it must."""
    etag = fresh(server, "").headers["etag"]
    answer = server.get(PATH, if_none_match=etag, if_modified_since="Thu, 01 Jan 1970 00:00:00 GMT")
    assert answer.status == (304 if server.built_in else 200)


def test_a_304_varies_as_the_200_does(server: Served) -> None:
    etag = fresh(server, "gzip").headers["etag"]
    answer = server.get(PATH, accept_encoding="gzip", if_none_match=etag)
    assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "conditions",
    [
        {"if_none_match": '"x"'},
        {"if_none_match": '"x"', "if_modified_since": DATE},
        {"if_none_match": ""},
        {"if_modified_since": "yesterday"},
        {"if_modified_since": "Sun, 20 Sep 2026 00:00:00 GMT"},
    ],
    ids=["another", "tag before date", "none", "no date", "older"],
)
def test_what_was_not_seen_comes_whole(server: Served, conditions: dict[str, str]) -> None:
    answer = server.get(PATH, **conditions)
    assert (answer.status, answer.body) == (200, feed(("1", "One")))


def test_the_etag_of_one_form_is_not_that_of_another(server: Served) -> None:
    etag = fresh(server, "gzip").headers["etag"]
    assert server.get(PATH, accept_encoding="identity", if_none_match=etag).status == 200


def test_a_change_is_seen_at_once(server: Served) -> None:
    etag = fresh(server, "gzip").headers["etag"]
    server.put("feeds/atom.xml", feed(("2", "Two"), ("1", "One")), dated=1_790_000_001)
    answer = server.get(PATH, accept_encoding="gzip", if_none_match=etag, if_modified_since=DATE)
    assert answer.status == 200
    assert b"Two" in (gzip.decompress(answer.body) if "content-encoding" in answer.headers else answer.body)


def test_head_says_what_get_sends(server: Served) -> None:
    head, whole = ask(server.port, PATH, "HEAD"), ask(server.port, PATH)
    assert head.body == b""
    kept = ("etag", "content-length", "content-type", "cache-control", "last-modified", "vary")
    assert [head.headers.get(name) for name in kept] == [whole.headers.get(name) for name in kept]


def test_other_forms_have_their_types(server: Served) -> None:
    for path, kind in (("feeds/tags/x/rss.xml", "rss+xml"), ("feeds/feed.json", "feed+json")):
        answer = server.get(f"/{path}?from=mail")
        assert answer.headers["content-type"] == f"application/{kind}; charset=utf-8"
        assert answer.links == [f'<https://harbour.example.org/{path}>; rel="self"']


def test_what_was_moved_and_what_is_gone(server: Served) -> None:
    moved = server.get("/rss.xml")
    assert (moved.status, moved.headers["location"]) == (301, "https://harbour.example.org/feeds/rss.xml")
    for path in ("/comments/feed/", "/feeds/tags/%C3%A9t%C3%A9/atom.xml"):
        assert server.get(path).status == 410
    assert server.get("/feeds/tags/nothing/atom.xml").status == 404


def test_links_are_passed_on(server: Served) -> None:
    assert b"This link does not work" in server.get("/u/k1.1.weekly." + "a" * 26).body
    assert server.get("/f/k1.1.1." + "a" * 26 + "/atom.xml").status == 404


# The rules alone


@pytest.mark.parametrize(
    ("offers", "best"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, br", "br"),
        ("br;q=0.5, gzip", "gzip"),
        ("gzip;q=0, *", "br"),
        ("*", "br"),
        ("*;q=0", "identity"),
        ("identity, gzip;q=0.5", "identity"),
        ("GZIP ; Q=0.3", "gzip"),
        ("gzip;q=much", "identity"),
    ],
)
def test_the_best_coding(offers: str, best: str) -> None:
    assert codings(offers)[0] == best


@given(st.text(max_size=400))
def test_any_offer_leaves_the_plain_form(offers: str) -> None:
    assert codings(offers)[-1] == "identity"


@given(st.text(max_size=200), st.text(max_size=60))
def test_any_condition_is_judged(asked: str, since: str) -> None:
    assert unchanged(asked, since, '"e"', 0) == (asked.strip() == "*" or '"e"' in tags(asked))
    assert unchanged(None, since, '"e"', 2**40) in (True, False)
