"""What the built-in server alone does for feeds: new entries, limits, counts, feeds of one's own, what went where."""

from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from conftest import PublicationFactory
from newsletter import moves, subscriptions, tokens
from newsletter.cli import Context, program
from newsletter.config import Config
from newsletter.identity import PostState
from newsletter.model import Author, Post, SuppressionReason
from newsletter.store import Store, open_store, posts, readers, subscribers
from newsletter.tokens import Purpose
from newsletter.web import Server, create_app, leavings, limits, tally
from newsletter.web.editions import Editions
from newsletter.web.limits import Limits
from newsletter.web.shelf import Shelf
from serving import DATED, NOW, Answered, Served, feed

PATH = "/feeds/atom.xml"
ATOM = "{http://www.w3.org/2005/Atom}"
TOMB = '<at:deleted-entry ref="tag:x,2026:1" when="2026-11-21T00:00:00Z"/>'


@pytest.fixture
def served(
    publication: PublicationFactory, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    monkeypatch.setattr(leavings, "FRESH", 0)
    config = publication(
        {
            "feeds": {"hubs": ["https://hub.example.org/"]},
            "web": {"url": "https://letters.example.org/news/", "moved": {"/feeds/old/atom.xml": PATH}},
        }
    )
    app = create_app(sqlite_store, config, lambda: NOW)
    with Server(app, "127.0.0.1", 0) as server:
        yield Served(config, sqlite_store, server.port, app.state.front)


def titles(answer: Answered) -> list[str]:
    return [str(one.text) for one in etree.fromstring(answer.body).iterfind(f"{ATOM}entry/{ATOM}title")]


# New entries alone


def test_only_what_is_new_comes_to_who_asks_for_that(served: Served) -> None:
    served.put("feeds/atom.xml", feed(*((str(n), f"Post {n}") for n in range(20))))
    first = served.get(PATH)
    changed = [("20", "New"), ("19", "Better"), *((str(n), f"Post {n}") for n in range(1, 19))]
    served.put("feeds/atom.xml", feed(*changed, tombs=TOMB), dated=DATED + 1)
    assert served.get(PATH, if_none_match='"x"').status == 200
    etag = served.get(PATH).headers["etag"]
    asked = {"if_none_match": first.headers["etag"], "a_im": "gzip;q=0.1, feed"}
    answer = served.get(PATH, **asked)
    assert (answer.status, answer.headers["im"], titles(answer)) == (226, "feed", ["New", "Better"])
    assert len(etree.fromstring(answer.body).findall("{*}deleted-entry")) == 1
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"] == "no-store, im"
    assert set(answer.headers["vary"].split(", ")) == {"A-IM", "If-None-Match", "Accept-Encoding"}
    assert answer.headers["content-type"] == "application/atom+xml; charset=utf-8"
    assert [one.partition("; ")[2] for one in answer.links] == ['rel="hub"', 'rel="self"']
    again = served.get(PATH, if_none_match=answer.headers["etag"], a_im="feed")
    assert again.status == 304


def test_new_entries_come_compressed_under_the_etag_of_the_compressed_whole(served: Served) -> None:
    before = [(str(n), f"Post {n}") for n in range(20)]
    served.put("feeds/atom.xml", feed(*before))
    first = served.get(PATH, accept_encoding="gzip").headers["etag"]
    served.put("feeds/atom.xml", feed(("20", "New"), *before), dated=DATED + 1)
    answer = served.get(PATH, accept_encoding="gzip", if_none_match=first, a_im="feed")
    assert (answer.status, answer.headers["content-encoding"]) == (226, "gzip")
    assert titles(answer._replace(body=gzip.decompress(answer.body))) == ["New"]
    whole = served.get(PATH, accept_encoding="gzip")
    assert answer.headers["etag"] == whole.headers["etag"]


def test_new_items_of_a_json_feed_come_alone(served: Served) -> None:
    def told(*titles: str) -> bytes:
        items = [{"id": f"urn:{title[0]}", "title": title, "content_html": "x" * 99} for title in titles]
        return json.dumps(
            {"version": "https://jsonfeed.org/version/1.1", "title": "J", "items": items}
        ).encode()

    path = "feeds/feed.json"
    served.put(path, told("2 Two", "1 One", "0 Zero"))
    etag = served.get(f"/{path}").headers["etag"]
    served.put(path, told("3 Three", "2 Two", "1 Better", "0 Zero"), dated=DATED + 1)
    answer = served.get(f"/{path}", if_none_match=etag, a_im="feed")
    assert (answer.status, answer.headers["im"]) == (226, "feed")
    assert answer.headers["content-type"] == "application/feed+json; charset=utf-8"
    document = json.loads(answer.body)
    assert [item["title"] for item in document.pop("items")] == ["3 Three", "1 Better"]
    assert document == {"version": "https://jsonfeed.org/version/1.1", "title": "J"}
    for broken in (b"[]", b"{", b'{"items": 1}'):
        before = served.get(f"/{path}").headers["etag"]
        served.put(path, broken, dated=DATED + 2)
        assert served.get(f"/{path}", if_none_match=before, a_im="feed").body == broken


@pytest.mark.parametrize("wish", ["", "feed;q=0", "feed; q=0.0", "diffe", "feeds"])
def test_who_does_not_ask_for_new_entries_gets_the_whole(served: Served, wish: str) -> None:
    served.put("feeds/atom.xml", feed(("1", "One"), ("2", "Two")))
    etag = served.get(PATH).headers["etag"]
    served.put("feeds/atom.xml", feed(("2", "Two")), dated=DATED + 1)
    answer = served.get(PATH, if_none_match=etag, **({"a_im": wish} if wish else {}))
    assert (answer.status, titles(answer)) == (200, ["Two"])


def test_an_edition_that_is_not_known_brings_the_whole(served: Served) -> None:
    served.put("feeds/atom.xml", feed(("1", "One")))
    answer = served.get(PATH, if_none_match='"never"', a_im="feed")
    assert (answer.status, "im" in answer.headers) == (200, False)


def test_editions_are_bounded() -> None:
    editions = Editions()
    for number in range(2_100):
        editions.remember("feeds/atom.xml", feed((str(number), "x")), [f'"{number}"'])
    assert editions.since("feeds/atom.xml", ['"0"'], feed()) is None
    assert editions.since("feeds/atom.xml", ['"2099"'], feed(("2099", "x"), ("1", "y"))) is not None
    editions.remember("feeds/atom.xml", b"<broken", ['"b"'])
    assert editions.since("feeds/atom.xml", ['"b"'], feed()) is None


# At once, or by the routes


def test_a_feed_answers_alike_at_once_and_by_the_routes(served: Served) -> None:
    served.put("feeds/atom.xml", feed(("1", "One")))
    at_once, routed, below = (served.get(p) for p in (PATH, f"{PATH}?x", f"/news{PATH}"))
    assert at_once.body == routed.body == below.body
    leave = {"date"}
    assert {k: v for k, v in at_once.headers.items() if k not in leave} == {
        k: v for k, v in routed.headers.items() if k not in leave
    }
    assert at_once.links == routed.links == below.links
    assert len([one for one in at_once.links if 'rel="self"' in one]) == 1
    assert "default-src 'none'" in at_once.headers["content-security-policy"]
    assert at_once.headers["x-content-type-options"] == "nosniff"


def test_last_modified_is_never_in_the_future(served: Served) -> None:
    served.put("feeds/atom.xml", feed(), dated=int(time.time()) + 100_000)
    served.put("index.html", b"home", dated=int(time.time()) + 100_000)
    for path in (PATH, "/"):
        answer = served.get(path)
        moments = [parsedate_to_datetime(answer.headers[name]) for name in ("last-modified", "date")]
        assert moments[0] <= moments[1]


def test_a_compressed_file_that_is_older_is_not_sent(served: Served) -> None:
    file = served.put("feeds/atom.xml", b"old")
    file.write_bytes(b"new")
    os.utime(file, (DATED + 5, DATED + 5))
    answer = served.get(PATH, accept_encoding="gzip")
    assert (answer.body, answer.headers.get("content-encoding")) == (b"new", None)


def test_a_brotli_file_is_sent_to_who_takes_it(served: Served) -> None:
    file = served.put("feeds/atom.xml", b"plain")
    served.put("index.html", b"page").with_name("index.html.br").write_bytes(b"brotli of the page")
    file.with_name("atom.xml.br").write_bytes(b"brotli")
    answer = served.get(PATH, accept_encoding="gzip, br")
    assert (answer.body, answer.headers["content-encoding"]) == (b"brotli", "br")
    assert served.get(PATH, accept_encoding="gzip, br", if_none_match=answer.headers["etag"]).status == 304
    assert served.get("/", accept_encoding="br").body == b"brotli of the page"


def test_many_requests_at_once_are_all_answered(served: Served) -> None:
    """Requests that follow each other unanswered, until the buffers are full, those in between by the routes."""
    body = feed(*((str(n), "x" * 2000) for n in range(100)))
    served.put("feeds/atom.xml", body)
    lines = [PATH, f"{PATH}?x", PATH] * 20
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
        client.sendall(b"".join(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % line.encode() for line in lines))
        time.sleep(0.3)
        got = client.makefile("rb")
        for _ in lines:
            length = 0
            assert got.readline() == b"HTTP/1.1 200 OK\r\n"
            while line := got.readline().strip():
                length = int(line.partition(b": ")[2]) if line.startswith(b"content-length") else length
            assert got.read(length) == body


@pytest.mark.parametrize(
    "lines",
    [b"HTTP/1.0\r\n", b"HTTP/1.1\r\nConnection: close\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n"],
)
def test_who_wants_the_connection_closed_sees_its_end(served: Served, lines: bytes) -> None:
    served.put("feeds/atom.xml", b"x")
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
        client.sendall(b"GET /feeds/atom.xml " + lines + b"Host: x\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"connection: close\r\n\r\nx")


def test_an_idle_connection_ends(served: Served) -> None:
    served.put("feeds/atom.xml", b"x")
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
        client.sendall(b"GET /feeds/atom.xml HTTP/1.1\r\nHost: x\r\n\r\n")
        began = time.monotonic()
        assert client.makefile("rb").read().endswith(b"\r\n\r\nx")
        assert time.monotonic() - began > 3


def test_a_get_with_a_body_is_answered(served: Served) -> None:
    served.put("feeds/atom.xml", b"x")
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
        client.sendall(
            b"GET /feeds/atom.xml HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        )
        assert client.makefile("rb").read().endswith(b"\r\n\r\nx")


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsletter.web.shelf.MOST_BYTES", 10_000)
    shelf = Shelf(tmp_path, lambda _: (), {})
    for number in range(50):
        file = tmp_path / "feeds" / str(number) / "atom.xml"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 1_000)
        assert shelf.get(f"feeds/{number}/atom.xml") is not None
    assert shelf.size <= 10_000
    file.unlink()
    assert shelf.get("feeds/49/atom.xml") is None


@pytest.mark.parametrize(
    "path", ["feeds/../secret/atom.xml", "feeds//atom.xml", "atom.xml", "feeds/.x/atom.xml"]
)
def test_a_path_that_is_no_feed_is_not_kept(tmp_path: Path, path: str) -> None:
    for folder in ("secret", "feeds/.x"):
        (tmp_path / "public" / folder).mkdir(parents=True)
        (tmp_path / "public" / folder / "atom.xml").write_bytes(b"x")
    assert Shelf(tmp_path / "public", lambda _: (), {}).get(path) is None


# Limits


def test_who_hammers_is_asked_to_wait_and_nobody_else(served: Served) -> None:
    served.put("feeds/atom.xml", feed())
    served.put("feeds/rss.xml", b"<rss/>")
    hammer = {"x_forwarded_for": "203.0.113.9, 192.0.2.1", "user_agent": "Hammer/1"}
    statuses = [served.get(PATH, **hammer).status for _ in range(70)]
    assert statuses[:60] == [200] * 60
    assert statuses[-1] == 429
    answer = served.get(PATH, **hammer, if_none_match="*")
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert answer.headers["cache-control"] == "no-store"
    assert served.get("/feeds/rss.xml", **hammer).status == 200
    assert served.get(PATH, **{**hammer, "user_agent": "Calm/1"}).status == 200
    assert served.get(PATH, **{**hammer, "x_forwarded_for": "192.0.2.2"}).status == 200
    assert served.get(f"{PATH}?x", **hammer).status == 429
    assert served.front.counts["feeds/atom.xml", 429] >= 10


def test_a_limit_is_by_rate_and_shared_wider() -> None:
    now = [0.0]
    some = Limits(lambda: now[0])
    assert [some.wait("f", "192.0.2.1", b"a") for _ in range(60)] == [0] * 60
    wait = some.wait("f", "192.0.2.1", b"a")
    assert wait == 5
    now[0] += wait
    assert some.wait("f", "192.0.2.1", b"a") == 0
    assert some.wait("f", "192.0.2.1", b"a") == 5
    for number in range(600 - 61):
        assert some.wait("f", "192.0.2.1", b"agent %d" % number) == 0
    late = [some.wait("f", "192.0.2.1", b"another %d" % number) for number in range(20)]
    assert late[-1] > 0, "one address cannot evade by changing its name for ever"
    assert some.wait("f", "192.0.2.2", b"a") == 0


def test_the_addresses_of_one_line_are_one() -> None:
    some = Limits(lambda: 0.0)
    assert [some.wait("f", f"2001:db8:1:2::{n:x}", b"a") for n in range(60)] == [0] * 60
    assert some.wait("f", "2001:db8:1:2:ffff::1", b"a") > 0
    assert some.wait("f", "2001:db8:1:3::1", b"a") == 0
    assert some.wait("f", "no:address", b"a") == 0


def test_what_is_remembered_of_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST", 1_000)
    some = Limits(lambda: 0.0)
    for _ in range(61):
        hammer = some.wait("f", "192.0.2.1", b"hammer")
    for number in range(5_000):
        some.wait("f", f"198.51.{number // 250}.{number % 250}", b"a")
        assert len(some) <= 1_002
    assert hammer > 0
    assert some.wait("f", "192.0.2.1", b"hammer") > 0, "the fullest is kept longest"


# Subscribers of aggregators


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        (
            "Feedly/1.0 (+http://www.feedly.com/fetcher.html; 12 subscribers; like FeedFetcher)",
            ("Feedly", 12),
        ),
        ("Feedbin feed-id:1373711 - 1 subscribers", ("Feedbin feed-id", 1)),
        ("Mozilla/5.0 (compatible; theoldreader.com; 5 subscribers; feed-id=1)", ("theoldreader.com", 5)),
        ("NewsBlur Feed Fetcher - 3 subscribers - https://www.newsblur.com/", ("NewsBlur Feed Fetcher", 3)),
        ("Bloglovin/1.0 (http://www.bloglovin.com; 0 readers)", ("Bloglovin", 0)),
        ("newsboat/2.21.0 (Linux x86_64)", None),
        ("9999999999999 subscribers", None),
        ("x 999999999 subscribers", None),
        ("12 subscribers", None),
    ],
)
def test_what_an_aggregator_tells(agent: str, told: tuple[str, int] | None) -> None:
    assert tally.said(agent) == told


@given(st.text(max_size=400))
def test_any_agent_is_read(agent: str) -> None:
    told = tally.said(agent)
    assert told is None or (0 < len(told[0]) <= 40 and told[0].isprintable())


def test_numbers_are_kept_for_each_feed_without_addresses(served: Served) -> None:
    served.put("feeds/atom.xml", feed())
    for count in (11, 12):
        served.get(PATH, user_agent=f"Feedly/1.0 (x; {count} subscribers)", x_forwarded_for="192.0.2.77")
    served.get(PATH, user_agent="NewsBlur - 3 subscribers")
    served.front.close()
    with served.store.read() as tx:
        found = readers.since(tx, NOW)
    assert [(r.feed, r.agent, r.subscribers) for r in found] == [
        ("feeds/atom.xml", "Feedly", 12),
        ("feeds/atom.xml", "NewsBlur", 3),
    ]
    for file in Path(served.store.url.removeprefix("sqlite:///")).parent.iterdir():
        assert b"192.0.2.77" not in file.read_bytes()


def test_numbers_are_written_now_and_then(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.put("feeds/atom.xml", feed())
    monkeypatch.setattr(served.front.tally, "_due", 0.0)
    served.get(PATH, user_agent="Feedly/1.0 (x; 7 subscribers)")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with served.store.read() as tx:
            if readers.since(tx, NOW):
                break
        time.sleep(0.05)
    with served.store.read() as tx:
        assert [r.subscribers for r in readers.since(tx, NOW)] == [7]


def invoke(config: Config, *arguments: str) -> Result:
    context = Context(config.folder)
    context.__dict__["config"] = config
    try:
        return CliRunner().invoke(program, ["-p", str(config.folder), *arguments], catch_exceptions=False)
    finally:
        context.close()


def test_the_numbers_are_shown(publication: PublicationFactory) -> None:
    config = publication()
    with open_store(config.store_url) as store, store.write() as tx:
        readers.put(
            tx, {("feeds/atom.xml", "Feedly"): 12, ("feeds/atom.xml", "NewsBlur"): 3}, now=datetime.now(UTC)
        )
    assert "feeds/atom.xml: 15 subscribers" in invoke(config, "feeds", "readers").output
    told = json.loads(invoke(config, "feeds", "readers", "--json").output)
    assert [(one["agent"], one["subscribers"]) for one in told] == [("Feedly", 12), ("NewsBlur", 3)]


# Moved and gone


def test_what_was_withdrawn_is_gone(served: Served) -> None:
    def post(seq: int, key: str, *tags: str) -> Post:
        return Post(
            source="s",
            source_key=key,
            seq=seq,
            id=f"tag:x,2026:{key}",
            title=key,
            published=NOW,
            updated=NOW,
            body_html="",
            summary="",
            slug=key,
            own_page=True,
            tags=tags,
            authors=(Author(name="Ada"),),
        )

    with served.store.write() as tx:
        posts.add(
            tx,
            [
                posts.Filed(post(1, "kept", "Both"), PostState.LIVE, ""),
                posts.Filed(post(2, "lost", "Both", "Été"), PostState.DELETED, ""),
            ],
            now=NOW,
        )
    gone = (
        "/posts/lost/",
        "/posts/lost",
        "/news/posts/lost/",
        "/tags/%C3%A9t%C3%A9/",
        "/feeds/tags/%C3%A9t%C3%A9/rss.xml",
    )
    for path in gone:
        answer = served.get(path)
        assert (answer.status, b"No longer here" in answer.body) == (410, True), path
    for path in ("/posts/kept/", "/tags/both/", "/authors/ada/", "/posts/never/"):
        assert served.get(path).status == 404, path
    served.put("posts/lost/index.html", b"back again")
    assert served.get("/posts/lost/").status == 200


def test_a_post_that_has_another_slug_leads_on_and_a_tag_that_it_lost_is_gone(served: Served) -> None:
    def store(slug: str, *tags: str, author: str = "Ada", url: str = "") -> None:
        one = Post(
            source="posts",
            source_key="a",
            seq=1,
            id="tag:x.example.org,2026:1",
            title="A",
            published=NOW,
            updated=NOW,
            body_html="",
            summary="",
            slug=slug,
            url=url,
            own_page=not url,
            tags=tags,
            authors=(Author(name=author),),
        )
        filed = [posts.Filed(one, PostState.LIVE, "")]
        with served.store.write() as tx:
            if posts.by_seqs(tx, [1]):
                posts.change(tx, filed)
            else:
                posts.add(tx, filed, now=NOW)

    def went(path: str) -> tuple[int, str]:
        answer = served.get(path)
        return answer.status, answer.headers.get("location", "")

    site = "https://harbour.example.org"
    store("first", "Ships", "Law")
    store("second", "Law", author="Grace")
    store("third", "Law", author="Grace")
    for path in ("/posts/first/", "/posts/first", "/posts/second/index.html", "/news/posts/first/"):
        assert went(path) == (301, f"{site}/posts/third/"), path
    for path in (
        "/tags/ships/",
        "/feeds/tags/ships/atom.xml",
        "/feeds/authors/ada/feed.json",
        "/authors/ada/",
    ):
        assert went(path)[0] == 410, path
    assert [went(path)[0] for path in ("/tags/law/", "/posts/third/", "/authors/grace/")] == [404] * 3
    store("first", "Law", "Ships")
    assert [went(path)[0] for path in ("/posts/first/", "/posts/third/", "/tags/ships/")] == [404, 301, 404]
    store("", "Law", url="https://elsewhere.example.com/a")
    assert went("/posts/first/") == (301, "https://elsewhere.example.com/a")
    with served.store.write() as tx:
        posts.set_state(tx, 1, PostState.DELETED, now=NOW)
    assert {went(f"/posts/{slug}/")[0] for slug in ("first", "second", "third")} == {410}


def test_a_moved_feed_says_where_it_went(served: Served) -> None:
    served.put("feeds/old/atom.xml", b"still there")
    for path in ("/feeds/old/atom.xml", "/news/feeds/old/atom.xml?x"):
        answer = served.get(path)
        assert (answer.status, answer.headers["location"]) == (301, f"https://harbour.example.org{PATH}")


@pytest.mark.parametrize("server", ["nginx", "caddy", "apache"])
def test_moves_are_printed_for_each_server(publication: PublicationFactory, server: str) -> None:
    config = publication({"web": {"moved": {"/a.xml": "https://x.example.org/$b?c"}, "gone": ["/d.e/"]}})
    printed = invoke(config, "feeds", "moves", "--for", server).output
    assert "/a.xml" in printed.replace("\\", "")
    assert "/d.e/" in printed.replace("\\", "")
    assert json.loads(invoke(config, "feeds", "moves", "--json").output) == {
        "moved": {"/a.xml": "https://x.example.org/$b?c"},
        "gone": ["/d.e/"],
    }
    assert "410" in invoke(config, "feeds", "moves").output


def test_lines_for_servers_cannot_be_broken_out_of() -> None:
    found = moves.Moves(moved={"/a": 'https://x.example.org/"$1\\'}, gone=frozenset({"/b.c", '/"; }'}))
    assert '    "/a" "https://x.example.org/%22%241%5C";' in list(moves.nginx(found))
    assert list(moves.apache(found)) == [
        'RedirectMatch 301 "^/a$" "https://x.example.org/%22%241%5C"',
        'RedirectMatch 410 "^/b\\.c$"',
    ]


# A subscriber's own feed


@pytest.fixture
def own(served: Served) -> str:
    """Give the path of Ada's own feed."""
    subscriptions.add(served.store, "ada@example.org", ["weekly"], consent="said so", now=NOW)
    served.put("feeds/atom.xml", feed(("1", "One")))
    return address(served).removeprefix("https://letters.example.org")


def address(served: Served, *, renew: bool = False) -> str:
    keys, root = served.config.token_keys(), served.config.web_url
    return subscriptions.feed_address(served.store, keys, root, "ada@example.org", renew=renew)


def test_ones_own_feed_is_the_whole_feed_under_its_own_address(served: Served, own: str) -> None:
    answer = served.get(own)
    root = etree.fromstring(answer.body)
    links = [(one.get("rel"), one.get("href")) for one in root.findall(f"{ATOM}link")]
    assert links == [("self", f"https://letters.example.org{own}")]
    assert titles(answer) == ["One"]
    assert answer.links == [f'<https://letters.example.org{own}>; rel="self"']
    assert answer.headers["cache-control"] == "private, max-age=1800"
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-type"] == "application/atom+xml; charset=utf-8"


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_ones_own_feed_is_304_until_it_changes(served: Served, own: str, coding: str) -> None:
    first = served.get(own, accept_encoding=coding)
    for conditions in (
        {"if_none_match": first.headers["etag"]},
        {"if_modified_since": first.headers["last-modified"]},
    ):
        again = served.get(own, accept_encoding=coding, **conditions)
        assert (again.status, again.headers["etag"]) == (304, first.headers["etag"])
        assert again.headers["cache-control"] == "private, max-age=1800"
    served.put("feeds/atom.xml", feed(("2", "Two")), dated=DATED + 1)
    answer = served.get(own, accept_encoding=coding, if_none_match=first.headers["etag"])
    assert answer.status == 200
    assert titles(answer._replace(body=gzip.decompress(answer.body) if coding else answer.body)) == ["Two"]


def test_a_renewed_address_is_gone(served: Served, own: str) -> None:
    renewed = address(served, renew=True).removeprefix("https://letters.example.org")
    assert renewed != own
    assert (served.get(own).status, served.get(renewed).status) == (410, 200)
    assert served.get(own).headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("end", ["unsubscribed", "erased", "suppressed"])
def test_the_feed_ends_with_the_subscription(served: Served, own: str, end: str) -> None:
    if end == "erased":
        subscriptions.forget(served.store, "ada@example.org", now=NOW)
    elif end == "suppressed":
        with served.store.write() as tx:
            subscriptions.suppress(tx, "ada@example.org", SuppressionReason.REQUEST, now=NOW)
    else:
        with served.store.read() as tx:
            person = subscribers.find(tx, "ada@example.org")
        assert person is not None
        token = tokens.make(served.config.token_keys(), Purpose.UNSUBSCRIBE, f"{person.id}.weekly")
        subscriptions.unsubscribe(served.store, served.config.token_keys(), token, channel="page", now=NOW)
    assert served.get(own).status == 410
    with pytest.raises(Exception, match="has no feed"):
        address(served)


def test_another_token_opens_no_feed(served: Served, own: str) -> None:
    keys = served.config.token_keys()
    for purpose in (Purpose.UNSUBSCRIBE, Purpose.PREFERENCES):
        assert served.get(f"/news/f/{tokens.make(keys, purpose, '1.1')}/atom.xml").status == 404
    good = own.split("/")[-2]
    changed = good[:-1] + ("b" if good.endswith("a") else "a")
    for token in ("x", changed, tokens.make((("k9", b"k" * 32),), Purpose.FEED, "1.1")):
        assert served.get(f"/news/f/{token}/atom.xml").status == 404


def test_the_token_of_a_feed_is_in_no_log(served: Served, own: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    served.get(own)
    served.get(f"/feeds/atom.xml?{own}")
    address(served, renew=True)
    served.get(own)
    lines = "\n".join(record.getMessage() for record in caplog.records)
    assert "/f/[token]/atom.xml" in lines
    assert own.split("/")[-2] not in lines


def test_an_own_feed_is_limited_and_waits_for_the_first_publishing(served: Served, own: str) -> None:
    statuses = {served.get(own, x_forwarded_for="192.0.2.1").status for _ in range(70)}
    assert statuses == {200, 429}
    (served.config.public / "feeds" / "atom.xml").unlink()
    assert served.get(own).status == 404


def test_the_address_is_shown_by_command(publication: PublicationFactory) -> None:
    config = publication()
    assert invoke(config, "subscribers", "add", "ada@example.org", "--consent", "said so").exit_code == 0
    first = invoke(config, "subscribers", "feed", "ada@example.org").output.strip()
    assert first.startswith("https://harbour.example.org/f/")
    assert (
        json.loads(invoke(config, "subscribers", "feed", "ada@example.org", "--json").output)["feed"] == first
    )
    assert invoke(config, "subscribers", "feed", "ada@example.org", "--renew").output.strip() != first
