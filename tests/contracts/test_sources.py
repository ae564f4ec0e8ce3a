"""What every source promises, run over each implementation with the same three posts."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import PublicationFactory
from newsletter.config import Config
from newsletter.errors import ConfigError, SourceError
from newsletter.gather import gather
from newsletter.model import Post, Rejected
from newsletter.sources import Source, SourceContext, SourceState, open_source
from newsletter.store import Store, posts

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
GOOD = {"One": "2026-11-01T09:00:00Z", "Two": "2026-11-02T09:00:00Z", "Bad": "the day before yesterday"}


@dataclass(frozen=True)
class Kind:
    """A kind of source and how to put its posts (title to date) where it reads them."""

    name: str
    path: str
    write: Callable[[Path, dict[str, str]], None]


def markdown(path: Path, dated: dict[str, str]) -> None:
    path.mkdir(exist_ok=True)
    for title, date in dated.items():
        file = path / f"{title.lower()}.md"
        file.write_text(f"---\ntitle: {title}\ndate: {date}\n---\nText of {title} <script>x()</script>\n")
        os.utime(file, (1_700_000_000, 1_700_000_000))


def atom(path: Path, dated: dict[str, str]) -> None:
    entries = "".join(
        f"<entry><id>urn:x:{title}</id><title>{title}</title><link href='https://a.example.com/{title}'/>"
        f"<published>{date}</published>"
        f"<content type='html'>Text of {title} &lt;script&gt;x()&lt;/script&gt;</content></entry>"
        for title, date in dated.items()
    )
    path.write_text(f'<feed xmlns="http://www.w3.org/2005/Atom"><title>F</title>{entries}</feed>')


def rss(path: Path, dated: dict[str, str]) -> None:
    items = "".join(
        f"<item><guid>https://a.example.com/{title}</guid><title>{title}</title>"
        f"<dc:date>{date}</dc:date><description>Text of {title} &lt;script&gt;x()&lt;/script&gt;</description></item>"
        for title, date in dated.items()
    )
    path.write_text(
        f'<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>{items}</channel></rss>'
    )


def json_feed(path: Path, dated: dict[str, str]) -> None:
    items = [
        {
            "id": f"urn:x:{title}",
            "title": title,
            "date_published": date,
            "content_html": f"Text of {title} <script>x()</script>",
        }
        for title, date in dated.items()
    ]
    path.write_text(json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": items}))


def wordpress(path: Path, dated: dict[str, str]) -> None:
    items = "".join(
        f"<item><guid>https://a.example.com/?p={title}</guid><title>{title}</title>"
        f"<wp:post_date>{date}</wp:post_date><wp:post_type>post</wp:post_type><wp:status>publish</wp:status>"
        f"<content:encoded><![CDATA[Text of {title} <script>x()</script>]]></content:encoded></item>"
        for title, date in dated.items()
    )
    path.write_text(
        '<rss xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        f'xmlns:wp="http://wordpress.org/export/1.2/"><channel>{items}</channel></rss>'
    )


def eml(path: Path, dated: dict[str, str]) -> None:
    path.mkdir(exist_ok=True)
    for title, date in dated.items():
        file = path / f"{title.lower()}.eml"
        file.write_text(
            f"From: Ada <ada@example.org>\nSubject: {title}\nDate: {date}\nMessage-ID: <{title}@example.org>\n"
            f"Content-Type: text/html\n\n<p>Text of {title} <script>x()</script></p>\n"
        )
        os.utime(file, (1_700_000_000, 1_700_000_000))


KINDS = [
    Kind("markdown", "posts", markdown),
    Kind("feed", "atom.xml", atom),
    Kind("feed", "rss.xml", rss),
    Kind("feed", "feed.json", json_feed),
    Kind("wordpress-export", "export.xml", wordpress),
    Kind("eml", "mails", eml),
]


@dataclass(frozen=True)
class Site:
    """A publication with one source."""

    kind: Kind
    config: Config

    @property
    def context(self) -> SourceContext:
        return SourceContext(config=self.config, source=self.config.sources[0], now=NOW)

    def write(self, dated: dict[str, str]) -> None:
        """Put posts there; what stood there stays or is replaced, as the kind has it."""
        self.kind.write(self.context.path(), dated)

    def open(self) -> Source:
        return open_source(self.context)

    def remove(self) -> None:
        """Take the source away."""
        path = self.context.path()
        path.rename(path.with_name("elsewhere"))


@pytest.fixture(params=KINDS, ids=lambda kind: kind.path)
def site(request: pytest.FixtureRequest, publication: PublicationFactory) -> Site:
    kind: Kind = request.param
    site = Site(kind, publication({"sources": [{"name": "one", "kind": kind.name, "path": kind.path}]}))
    site.write(GOOD)
    return site


def test_every_item_is_a_post_or_rejected_with_a_remedy(site: Site) -> None:
    items = list(site.open().posts(SourceState()))
    good = {item.title: item for item in items if isinstance(item, Post)}
    (bad,) = [item for item in items if isinstance(item, Rejected)]
    assert set(good) == {"One", "Two"}
    assert bad.where
    assert "the day before yesterday" in bad.reason
    assert bad.remedy
    assert len({item.source_key for item in items}) == 3
    assert all(item.source_key for item in items)


def test_posts_are_whole_and_safe(site: Site) -> None:
    for post in site.open().posts(SourceState()):
        if isinstance(post, Rejected):
            continue
        assert post.source == "one"
        assert post.seq == 0
        assert post.published.tzinfo is dt.UTC
        assert post.published.day in (1, 2)
        assert post.updated >= post.published
        assert f"Text of {post.title}" in post.body_html
        assert "script" not in post.body_html
        assert post.summary
        assert post.language == "en-AU"


def test_the_same_source_says_the_same_twice(site: Site) -> None:
    assert list(site.open().posts(SourceState())) == list(site.open().posts(SourceState()))


def test_what_is_unchanged_is_said_and_not_read(site: Site) -> None:
    state = SourceState()
    items = list(site.open().posts(state))
    good = {item.source_key for item in items if isinstance(item, Post)}
    memory = json.loads(json.dumps(state.memory))  # it is stored as JSON
    second = SourceState(memory=memory)
    assert not [item for item in site.open().posts(second) if isinstance(item, Post)]
    assert good <= second.unchanged


def test_what_waits_in_quarantine_is_told_again(site: Site) -> None:
    state = SourceState()
    items = list(site.open().posts(state))
    key = next(item.source_key for item in items if isinstance(item, Post))
    second = SourceState(memory=state.memory, again=frozenset({key}))
    assert key in {item.source_key for item in site.open().posts(second) if isinstance(item, Post)}


def test_a_source_that_is_not_there_says_so(site: Site) -> None:
    site.remove()
    with pytest.raises(SourceError) as caught:
        list(site.open().posts(SourceState()))
    assert caught.value.where
    assert caught.value.remedy


def test_a_source_without_its_path_is_refused(site: Site) -> None:
    bare = site.context.source.model_copy(update={"path": None})
    with pytest.raises(ConfigError, match="needs"):
        open_source(SourceContext(config=site.config, source=bare, now=NOW))


def test_gathering_twice_changes_nothing_and_mending_completes(site: Site, sqlite_store: Store) -> None:
    (first,) = gather(sqlite_store, site.config, now=NOW)
    assert (set(first.new), len(first.quarantined)) == ({"One", "Two"}, 1)
    with sqlite_store.read() as tx:
        before = posts.live_posts(tx)
    (second,) = gather(sqlite_store, site.config, now=NOW)
    assert (second.new, second.changed, second.unchanged, len(second.quarantined)) == ((), (), 2, 1)
    with sqlite_store.read() as tx:
        assert posts.live_posts(tx) == before
    site.write({**GOOD, "Bad": "2026-11-03T09:00:00Z"})
    (third,) = gather(sqlite_store, site.config, now=NOW)
    assert (third.new, third.changed, third.quarantined) == (("Bad",), (), ())


def test_an_unknown_kind_names_those_there_are(publication: PublicationFactory) -> None:
    config = publication({"sources": [{"name": "one", "kind": "gopher"}]})
    with pytest.raises(ConfigError, match="eml, feed, markdown, wordpress, wordpress-export"):
        open_source(SourceContext(config=config, source=config.sources[0], now=NOW))
