"""Feeds as a source, by URL: asked for politely."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from conftest import PublicationFactory
from feeding import DATED, NOW, only_post, rss
from newsletter.config import SourceConfig
from newsletter.errors import SourceError
from newsletter.gather import gather
from newsletter.model import Rejected
from newsletter.sources import SourceContext, SourceState
from newsletter.sources.feed import FeedSource
from newsletter.store import Store


class Site(BaseHTTPRequestHandler):
    """Answers as the test says: (status, headers, body) by path."""

    answers: dict[str, tuple[int, dict[str, str], bytes]]
    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("If-None-Match", "")))
        status, headers, body = self.answers[self.path]
        if headers.get("ETag") and self.headers.get("If-None-Match") == headers["ETag"]:
            status, body = 304, b""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[tuple[str, type[Site]]]:
    handler = type("Answers", (Site,), {"answers": {}, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
        server.shutdown()
        thread.join()


@pytest.fixture
def by_url(publication: PublicationFactory, site: tuple[str, type[Site]]) -> SourceContext:
    config = publication({"sources": [], "gather": {"allow_private_addresses": True}})
    source = SourceConfig(name="feed", kind="feed", url=f"{site[0]}/feed")
    return SourceContext(config=config, source=source, now=NOW)


def later(context: SourceContext, minutes: float) -> SourceContext:
    return SourceContext(
        config=context.config, source=context.source, now=NOW + dt.timedelta(minutes=minutes)
    )


FEED = rss(f"<item><title>A</title>{DATED}<link>/a</link></item>").encode()


def test_a_feed_is_fetched_politely(by_url: SourceContext, site: tuple[str, type[Site]]) -> None:
    url, handler = site
    handler.answers["/feed"] = (200, {"ETag": '"v1"', "Cache-Control": "max-age=1200"}, FEED)
    state = SourceState()
    post = only_post(list(FeedSource(by_url).posts(state)))
    assert post.url == f"{url}/a"
    early = SourceState(memory=dict(state.memory))
    assert list(FeedSource(later(by_url, 19)).posts(early)) == []
    assert early.unchanged == {post.source_key}
    assert len(handler.asked) == 1, "not before max-age is over"
    again = SourceState(memory=dict(early.memory))
    assert list(FeedSource(later(by_url, 21)).posts(again)) == []
    assert again.unchanged == {post.source_key}
    assert handler.asked[-1] == ("/feed", '"v1"')
    handler.answers["/feed"] = (200, {"ETag": '"v2"'}, FEED)
    assert len(list(FeedSource(later(by_url, 42)).posts(SourceState(memory=dict(again.memory))))) == 1


def test_a_feed_that_is_gone_is_not_asked_for_again(
    by_url: SourceContext, site: tuple[str, type[Site]]
) -> None:
    site[1].answers["/feed"] = (410, {}, b"")
    with pytest.raises(SourceError, match="gone for good") as caught:
        list(FeedSource(by_url).posts(SourceState()))
    with pytest.raises(SourceError, match="gone for good"):
        list(FeedSource(by_url).posts(SourceState(memory=dict(caught.value.remember))))
    assert len(site[1].asked) == 1


def test_the_store_remembers_what_a_failing_feed_said(
    sqlite_store: Store, publication: PublicationFactory, site: tuple[str, type[Site]]
) -> None:
    url, handler = site
    handler.answers["/feed"] = (410, {}, b"")
    config = publication(
        {
            "sources": [{"name": "feed", "kind": "feed", "url": f"{url}/feed"}],
            "gather": {"allow_private_addresses": True},
        }
    )
    for _ in range(2):
        (report,) = gather(sqlite_store, config, now=NOW)
        assert "gone for good" in report.failed
    assert len(handler.asked) == 1
    config = publication({"sources": [{"name": "feed", "kind": "feed", "url": f"{url}/new"}]})
    (report,) = gather(sqlite_store, config, now=NOW)
    assert "127.0.0.1, which is not a public address" in report.failed


def test_retry_after_is_kept_to(by_url: SourceContext, site: tuple[str, type[Site]]) -> None:
    site[1].answers["/feed"] = (503, {"Retry-After": "3600"}, b"")
    with pytest.raises(SourceError, match="come later") as caught:
        list(FeedSource(by_url).posts(SourceState()))
    state = SourceState(memory=dict(caught.value.remember))
    with pytest.raises(SourceError, match="come later") as caught:
        list(FeedSource(later(by_url, 59)).posts(state))
    assert "asked again after" in caught.value.remedy
    assert len(site[1].asked) == 1
    with pytest.raises(SourceError, match="come later"):
        list(FeedSource(later(by_url, 61)).posts(state))


def test_a_permanent_redirect_is_followed_directly_once_seen_twice(
    by_url: SourceContext, site: tuple[str, type[Site]]
) -> None:
    url, handler = site
    handler.answers["/feed"] = (301, {"Location": "/new"}, b"")
    handler.answers["/new"] = (200, {}, FEED)
    memory: dict[str, Any] = {}
    for visit in range(3):
        state = SourceState(memory=memory)
        assert len(list(FeedSource(later(by_url, visit * 20)).posts(state))) == 1
        memory = state.memory
    assert [path for path, _ in handler.asked] == ["/feed", "/new", "/feed", "/new", "/new"]
    assert memory["url"] == f"{url}/new"


def test_a_failing_feed_is_left_alone_for_ten_minutes(
    by_url: SourceContext, site: tuple[str, type[Site]]
) -> None:
    site[1].answers["/feed"] = (500, {}, b"")
    with pytest.raises(SourceError, match="answered 500") as caught:
        list(FeedSource(by_url).posts(SourceState()))
    memory = dict(caught.value.remember)
    with pytest.raises(SourceError, match="answered 500"):
        list(FeedSource(later(by_url, 9)).posts(SourceState(memory=memory)))
    assert len(site[1].asked) == 1
    site[1].answers["/feed"] = (200, {}, FEED)
    state = SourceState(memory=memory)
    assert len(list(FeedSource(later(by_url, 10)).posts(state))) == 1
    assert state.memory["failed"] == ""


def test_nothing_changed_is_believed_for_a_week(by_url: SourceContext, site: tuple[str, type[Site]]) -> None:
    """A server that always says 304 would hide every new post."""
    site[1].answers["/feed"] = (200, {"ETag": '"stuck"'}, FEED)
    state = SourceState()
    list(FeedSource(by_url).posts(state))
    day = 24 * 60
    for days in (1, 6):
        assert list(FeedSource(later(by_url, days * day)).posts(state)) == []
    assert len(list(FeedSource(later(by_url, 7 * day)).posts(state))) == 1
    assert [etag for _, etag in site[1].asked] == ["", '"stuck"', '"stuck"', ""]


def test_a_charset_that_is_none_is_passed_over(by_url: SourceContext, site: tuple[str, type[Site]]) -> None:
    body = rss(f"<item><title>Café</title>{DATED}<link>/a</link></item>").encode()
    site[1].answers["/feed"] = (200, {"Content-Type": "text/xml; charset=utf-9"}, body)
    assert only_post(list(FeedSource(by_url).posts(SourceState()))).title == "Café"


def test_a_doctype_with_an_internal_subset_is_refused_before_parsing(
    by_url: SourceContext, site: tuple[str, type[Site]]
) -> None:
    entities = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10 if n else 'ha'}'>" for n in range(30))
    site[1].answers["/feed"] = (200, {}, f"<!DOCTYPE rss [{entities}]><rss>&e29;</rss>".encode())
    (one,) = FeedSource(by_url).posts(SourceState())
    assert isinstance(one, Rejected)
    assert "internal subset" in one.reason
