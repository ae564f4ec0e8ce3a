"""A WordPress site on loopback, as far as its REST API, feed and export go: what version 6 answers, in our words."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

import pytest


@dataclass
class Article:
    """One row of wp_posts; instants are UTC, naive, as the database has them."""

    id: int
    title: str
    content: str
    date: datetime
    modified: datetime
    status: str = "publish"
    password: str = ""
    excerpt: str = ""
    author: str = "Ada Verstraete"
    tags: tuple[str, ...] = ("Harbours",)
    picture: dict[str, Any] | None = None
    guid: str = ""
    slug: str = ""


@dataclass
class Blog:
    """The site: its posts, the zone of its clock, and its quirks."""

    articles: dict[int, Article] = field(default_factory=dict)
    zone: timedelta = timedelta(hours=1)
    pretty: bool = True
    link_header: bool = True
    link_tag: bool = False
    totals: bool = True  # whether X-WP-Total… reach us
    knows_modified: bool = True  # modified_after, since 5.7
    sorts: bool = True  # orderby=modified
    before_json: bytes = b""  # warnings of PHP
    refuse: Callable[[str], tuple[int, dict[str, str], bytes] | None] = lambda path: None
    between: Callable[[int], None] = lambda number: None  # called before each answer with how many there were
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, number: int, **changes: Any) -> Article:
        """Write a post, or write it anew."""
        day = datetime(2026, 1, 1, 9) + timedelta(minutes=number)
        values = {
            "title": f"Post {number}",
            "content": f"<p>Text of post {number}.</p>",
            "date": day,
            "modified": day,
            "guid": f"{self.url}/?p={number}",
            "slug": f"post-{number}",
        }
        self.articles[number] = Article(id=number, **{**values, **changes})
        return self.articles[number]

    def edit(self, number: int, when: datetime, **changes: Any) -> None:
        article = self.articles[number]
        for name, value in changes.items():
            setattr(article, name, value)
        article.modified = when

    def link(self, article: Article) -> str:
        return (
            f"{self.url}/{article.date:%Y/%m}/{article.slug}/"
            if self.pretty
            else f"{self.url}/?p={article.id}"
        )

    @property
    def root(self) -> str:
        return f"{self.url}/wp-json/" if self.pretty else f"{self.url}/index.php?rest_route=/"

    # REST

    def rest(self, route: str, asked: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        if route in ("/", ""):
            return 200, {}, {"name": "Harbour", "namespaces": ["oembed/1.0", "wp/v2"]}
        if route.rstrip("/") != "/wp/v2/posts":
            return _error(404, "rest_no_route", "No route was found matching the URL and request method.")
        size, page = int(asked.get("per_page", "10")), int(asked.get("page", "1"))
        if not 1 <= size <= 100:
            return _error(400, "rest_invalid_param", "Invalid parameter(s): per_page")
        found = self._find(asked)
        pages = math.ceil(len(found) / size)
        if page > max(pages, 1):
            text = "The page number requested is larger than the number of pages available."
            return _error(400, "rest_post_invalid_page_number", text)
        headers = {"X-WP-Total": str(len(found)), "X-WP-TotalPages": str(pages)} if self.totals else {}
        shown = found[(page - 1) * size : page * size]
        return (
            200,
            headers,
            [_only(self._told(one, "_embed" in asked), asked.get("_fields", "")) for one in shown],
        )

    def _find(self, asked: dict[str, str]) -> list[Article]:
        found = [one for one in self.articles.values() if one.status == "publish"]
        if "include" in asked:
            wanted = {int(number) for number in asked["include"].split(",")}
            found = [one for one in found if one.id in wanted]
        if "modified_after" in asked and self.knows_modified:
            since = datetime.fromisoformat(asked["modified_after"].removesuffix("Z")) + self.zone
            found = [one for one in found if one.modified + self.zone > since]
        order = asked.get("orderby", "date")
        key = "date" if order == "modified" and not self.sorts else order
        found.sort(key=lambda one: (getattr(one, key), one.id), reverse=asked.get("order", "desc") == "desc")
        return found

    def _told(self, one: Article, embed: bool) -> dict[str, Any]:
        shown = "" if one.password else one.content
        excerpt = one.excerpt or "<p>" + " ".join(_bare(shown).split()[:6]) + " [&hellip;]</p>"
        told: dict[str, Any] = {
            "id": one.id,
            "date": (one.date + self.zone).isoformat(),
            "date_gmt": one.date.isoformat(),
            "guid": {"rendered": one.guid.replace("&", "&#038;")},
            "modified": (one.modified + self.zone).isoformat(),
            "modified_gmt": one.modified.isoformat(),
            "slug": one.slug,
            "status": one.status,
            "type": "post",
            "link": self.link(one),
            "title": {"rendered": ("Protected: " if one.password else "") + one.title},
            "content": {"rendered": shown, "protected": bool(one.password)},
            "excerpt": {"rendered": "" if one.password else excerpt, "protected": bool(one.password)},
            "author": 1,
            "featured_media": 7 if one.picture else 0,
            "_links": {"author": [{"href": f"{self.root}wp/v2/users/1", "embeddable": True}]},
        }
        if embed:
            terms = [{"name": name, "slug": name.lower(), "taxonomy": "category"} for name in one.tags]
            told["_embedded"] = {
                "author": [{"id": 1, "name": one.author, "link": f"{self.url}/author/ada/"}],
                "wp:featuredmedia": [one.picture] if one.picture else [],
                "wp:term": [terms, []],
            }
        return told

    # Feed and export

    def feed(self) -> bytes:
        items = "".join(
            f"<item><title>{escape(one.title)}</title><link>{self.link(one)}</link>"
            f"<pubDate>{one.date:%a, %d %b %Y %H:%M:%S} +0000</pubDate>"
            f'<guid isPermaLink="false">{escape(one.guid)}</guid>'
            f"<description><![CDATA[{_bare(one.content)[:20]} [&#8230;]]]></description>"
            f"<content:encoded><![CDATA[{one.content}]]></content:encoded></item>"
            for one in sorted(self.articles.values(), key=lambda one: one.date, reverse=True)[:10]
        )
        return (
            '<?xml version="1.0"?><rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/">'
            f"<channel><title>Harbour</title><link>{self.url}</link>{items}</channel></rss>"
        ).encode()

    def export(self) -> str:
        items = "".join(
            f"<item><title>{escape(one.title)}</title><link>{self.link(one)}</link>"
            f'<guid isPermaLink="false">{escape(one.guid)}</guid>'
            f"<content:encoded><![CDATA[{one.content}]]></content:encoded><wp:post_id>{one.id}</wp:post_id>"
            f"<wp:post_date_gmt>{one.date:%Y-%m-%d %H:%M:%S}</wp:post_date_gmt>"
            f"<wp:status>{one.status}</wp:status><wp:post_type>post</wp:post_type></item>"
            for one in self.articles.values()
        )
        return (
            '<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" '
            f'xmlns:wp="http://wordpress.org/export/1.2/"><channel>{items}</channel></rss>'
        )

    # HTTP

    def answer(self, target: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(target)
        self.between(len(self.asked))
        refused = self.refuse(target)
        if refused:
            return refused
        parts = urlsplit(target)
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        route = asked.pop("rest_route", None)
        if route is None and self.pretty and parts.path.startswith("/wp-json"):
            route = parts.path.removeprefix("/wp-json") or "/"
        if route is not None:
            status, headers, told = self.rest(route, asked)
            body = self.before_json + json.dumps(told).encode()
            return status, {"Content-Type": "application/json; charset=UTF-8", **headers}, body
        if parts.path == "/feed/":
            return 200, {"Content-Type": "application/rss+xml; charset=UTF-8"}, self.feed()
        if parts.path != "/":
            return 404, {"Content-Type": "text/html"}, b"<!DOCTYPE html><title>Page not found</title>"
        return 200, self._front_headers(), self._front().encode()

    def _front_headers(self) -> dict[str, str]:
        link = {"Link": f'<{self.root}>; rel="https://api.w.org/"'} if self.link_header else {}
        return {"Content-Type": "text/html; charset=UTF-8", **link}

    def _front(self) -> str:
        tag = f"<link rel='https://api.w.org/' href='{self.root}' />" if self.link_tag else ""
        return (
            "<!DOCTYPE html><html><head><title>Harbour &amp; Sons</title>"
            f'<link rel="alternate" type="application/rss+xml" title="Harbour &raquo; Feed" href="{self.url}/feed/">'
            f"{tag}</head><body>Welcome</body></html>"
        )


def _bare(html: str) -> str:
    return html.replace("<p>", "").replace("</p>", " ").strip()


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, str], Any]:
    return status, {}, {"code": code, "message": message, "data": {"status": status}}


def error(status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
    """Return an answer in the form of WordPress's errors."""
    return status, {"Content-Type": "application/json"}, json.dumps(_error(status, code, message)[2]).encode()


def _only(told: dict[str, Any], fields: str) -> dict[str, Any]:
    if not fields:
        return told
    names = {name.partition(".")[0] for name in fields.split(",")}
    return {name: value for name, value in told.items() if name in names}


class _Handler(BaseHTTPRequestHandler):
    blog: Blog
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, headers, body = self.blog.answer(self.path)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def blog() -> Iterator[Blog]:
    """Run a site that has no posts yet."""
    blog = Blog()
    handler = type("Handler", (_Handler,), {"blog": blog})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        blog.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield blog
        server.shutdown()
        thread.join()
