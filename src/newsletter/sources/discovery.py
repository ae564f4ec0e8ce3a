"""What there is to gather at a URL, in a folder or a file, and what that would bring."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from newsletter.config import Config, SourceConfig
from newsletter.content import clean_line
from newsletter.errors import FetchError, InputError, NewsletterError
from newsletter.fetch import Fetched, check_url, fetch, rules_of
from newsletter.model import Post, Rejected
from newsletter.sources import SourceContext, SourceState, open_source
from newsletter.sources.feed_formats import read_feed
from newsletter.sources.wordpress_api import STATUSES, Ask, find_root

_FEED_TYPES = frozenset(
    {"application/atom+xml", "application/rss+xml", "application/feed+json", "application/rdf+xml"}
)
_PATHS = ("feed/", "feed.xml", "atom.xml", "rss.xml", "index.xml", "feed.json")
_SITEMAPS = ("sitemap.xml", "wp-sitemap.xml")
_HEAD = 500_000  # bytes of a page that are looked at
_ITEMS = 100  # of a source that are read for a first look
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A first look at a source: the newest of its first posts as (title, date), and what is wrong with it.

    `more` when there is more than was read, `failed` when it cannot be read at all.
    """

    source: SourceConfig
    posts: tuple[tuple[str, datetime], ...] = ()
    count: int = 0
    more: bool = False
    quarantined: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is, the best first, and what else was seen."""

    sources: tuple[SourceConfig, ...]
    notes: tuple[str, ...] = ()


def discover(config: Config, target: str, *, name: str = "") -> Found:
    """Find what can be gathered at a URL, or at a path relative to the publication's folder.

    Raises InputError or FetchError when there is nothing.
    """
    if re.match(r"https?://", target, re.IGNORECASE):
        return _at_url(config, str(check_url(target)), name)
    return Found((_at_path(config, target, name),))


def look(config: Config, source: SourceConfig, *, now: datetime) -> Look:
    """Read the first items of a source; nothing is stored."""
    state, failed = SourceState(), ""
    posts: list[Post] = []
    bad: list[Rejected] = []
    with tempfile.TemporaryDirectory() as scratch:
        context = SourceContext(config=config, source=source, now=now, scratch=Path(scratch))
        try:
            for one in islice(open_source(context).posts(state), _ITEMS + 1):
                if isinstance(one, Rejected):
                    bad.append(one)
                else:
                    posts.append(one)
        except NewsletterError as e:
            failed = str(e)
    newest = sorted(posts, key=lambda one: one.published, reverse=True)
    count = len(posts) + len(bad)
    return Look(
        source=source,
        posts=tuple((one.title, one.published) for one in newest[:_SHOWN]),
        count=min(len(posts), _ITEMS),
        more=count > _ITEMS,
        quarantined=tuple(bad),
        notes=tuple(state.notes),
        failed=failed,
    )


# A path


def _at_path(config: Config, target: str, name: str) -> SourceConfig:
    path = config.path(target)
    if not path.exists():
        raise InputError(
            "there is no such file or folder", where=target, remedy="Name one, or an http(s) URL"
        )
    shown = path.relative_to(config.folder) if path.is_relative_to(config.folder) else path
    label = name or _free_name(config, path.stem)
    return _make(name=label, kind=_kind_of(path, target), path=shown)


def _kind_of(path: Path, target: str) -> str:
    if path.is_dir():
        mails = next(path.rglob("*.eml"), None)
        pages = next(
            (one for one in path.rglob("*") if one.suffix.lower() in (".md", ".markdown", ".html", ".txt")),
            None,
        )
        return "eml" if mails and not pages else "markdown"
    if path.suffix.lower() == ".eml":
        return "eml"
    with path.open("rb") as file:
        head = file.read(20_000)
    if b"wordpress.org/export/" in head:
        return "wordpress-export"
    if re.search(rb"<(?:rss|feed|rdf:RDF)\b", head) or b"jsonfeed.org/version/" in head:
        return "feed"
    raise InputError(
        "it is neither a feed, nor an export of WordPress, nor an e-mail",
        where=target,
        remedy="Name the folder it is in, to gather Markdown, HTML and text files",
    )


# A URL


class _Links(HTMLParser):
    """Collects the <link> elements of a page's head, and its base."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[dict[str, str]] = []
        self.base = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {key: value or "" for key, value in attrs}
        if tag == "link":
            self.links.append(told)
        elif tag == "base":
            self.base = self.base or told.get("href", "")


def feed_links(page: Fetched) -> list[str]:
    """Return the feeds that a page names, those of comments last."""
    parser = _Links()
    parser.feed(page.body[:_HEAD].decode("utf-8", "replace"))
    base = urljoin(page.url, parser.base)
    found = [
        (
            urljoin(base, one.get("href", "").strip()),
            "comment" in f"{one.get('title')} {one.get('href')}".lower(),
        )
        for one in parser.links
        if "alternate" in one.get("rel", "").lower().split()
        and one.get("type", "").partition(";")[0].strip().lower() in _FEED_TYPES
        and one.get("href", "").strip()
    ]
    return list(dict.fromkeys(url for url, _ in sorted(found, key=lambda one: one[1])))


def _at_url(config: Config, url: str, name: str) -> Found:
    def ask(there: str) -> Fetched:
        return fetch(there, rules_of(config), statuses=STATUSES)

    page = ask(url)
    label = name or _free_name(config, (urlsplit(url).hostname or "").removeprefix("www."))
    if page.status == 200 and _is_feed(page):
        return Found((_make(name=label, kind="feed", url=page.moved_to or url),))
    found: list[SourceConfig] = []
    try:
        find_root(url, ask)
        found.append(_make(name=label, kind="wordpress", url=url))
    except NewsletterError:
        pass  # no WordPress, or one that is closed: what else there is
    named = [link for link in feed_links(page) if link.startswith(("http://", "https://"))]
    feeds = named or list(_guessed(page.url, ask))
    found += [_make(name=label, kind="feed", url=link) for link in feeds]
    notes = tuple(_sitemaps(page.url, ask))
    if not found:
        raise InputError(
            "nothing to gather is found there: no feed, no WordPress",
            where=url,
            remedy="; ".join(notes) or "Name the feed's own URL, a file or a folder",
        )
    return Found(tuple(found), notes)


def _is_feed(answer: Fetched) -> bool:
    start = answer.body[:2000].lstrip()
    if start[:1] not in (b"<", b"{", b"\xef", b"\xff", b"\xfe") or re.match(
        rb"(?i)<!doctype html|<html", start
    ):
        return False
    try:
        read_feed(answer.body, where=answer.url, base=answer.url, content_type=answer.content_type)
    except InputError:
        return False
    return True


def _guessed(url: str, ask: Ask) -> Iterator[str]:
    """Look in the places where feeds usually are; the first one found."""
    for path in _PATHS:
        there = urljoin(urljoin(url, "/"), path)
        try:
            answer = ask(there)
        except FetchError:
            continue
        if answer.status == 200 and _is_feed(answer):
            yield answer.url
            return


def _sitemaps(url: str, ask: Ask) -> Iterator[str]:
    for path in _SITEMAPS:
        there = urljoin(urljoin(url, "/"), path)
        try:
            answer = ask(there)
        except FetchError:
            continue
        if answer.status == 200 and re.search(rb"<(?:urlset|sitemapindex)\b", answer.body[:5000]):
            count = answer.body.count(b"<loc>")
            yield f"{there} lists {count} pages; there is no text in it to gather"
            return


def _make(**table: object) -> SourceConfig:
    try:
        return SourceConfig.model_validate(table)
    except ValueError as e:
        said = " ".join(str(e).splitlines()[2].partition(" [type")[0].split()).removeprefix("Value error, ")
        place = str(table.get("url") or table.get("path"))
        raise InputError(said, where=place, remedy="Choose another --name or URL") from e


def _free_name(config: Config, wish: str) -> str:
    """Make a name that no source has."""
    plain = re.sub(r"[^a-z0-9]+", "-", clean_line(wish).lower()).strip("-")[:40].strip("-")
    plain = plain if plain[:1].isalpha() else f"source-{plain}".rstrip("-")
    taken = {one.name for one in config.sources}
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    return name
