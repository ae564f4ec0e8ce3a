"""Real feed readers poll a published feed: twice, after a change, after a deletion, and after it is gone."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import feedparser
import pytest

from conftest import PublicationFactory
from newsletter.identity import PostState
from newsletter.publisher import Publisher
from newsletter.store import Store, posts
from newsletter.web import Server, create_app, leavings
from serving import NOW, Served

FEED = "feeds/atom.xml"
TAG = "feeds/tags/harbour/atom.xml"


class Site(Served):
    """A publication with a folder of posts."""

    def write(self, name: str, title: str, tags: str = "") -> None:
        """Write a post."""
        text = f"---\ntitle: {title}\ndate: 2026-11-2{name} 09:00\ntags: [{tags}]\n---\n\nText of {title}.\n"
        (self.config.folder / "posts" / f"{name}.md").write_text(text, encoding="utf-8")

    def publish(self, later: int = 0) -> None:
        """Gather and publish."""
        now = NOW + timedelta(days=1, minutes=later)
        publisher = Publisher(self.config, self.store)
        publisher.gather(now=now)
        publisher.publish(now=now)

    def withdraw(self, title: str, later: int) -> None:
        """Withdraw a post, and publish."""
        with self.store.write() as tx:
            (seq,) = (post.seq for post in posts.live_posts(tx) if post.title == title)
            posts.set_state(tx, seq, PostState.DELETED, now=NOW + timedelta(days=1, minutes=later))
        self.publish(later)

    def answered(self, path: str = FEED) -> Counter[int]:
        """Return how often the server answered for a feed how, and begin to count anew."""
        counts = Counter({status: n for (feed, status), n in self.front.counts.items() if feed == path})
        self.front.counts.clear()
        return counts


@pytest.fixture
def site(
    publication: PublicationFactory, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Serve two posts that are published."""
    monkeypatch.setattr(leavings, "FRESH", 0)
    config = publication()
    app = create_app(sqlite_store, config, lambda: datetime.now(UTC))
    with Server(app, "127.0.0.1", 0) as server:
        one = Site(config, sqlite_store, server.port, app.state.front)
        one.write("0", "First")
        one.write("1", "Second", "harbour")
        one.publish()
        yield one


def url(site: Site, path: str = FEED) -> str:
    return f"http://127.0.0.1:{site.port}/{path}"


# feedparser


@pytest.mark.parametrize("by", ["etag", "modified"])
def test_feedparser_polls(site: Site, by: str) -> None:
    def poll(**known: str) -> feedparser.FeedParserDict:
        return feedparser.parse(url(site), **known)

    def known(answer: feedparser.FeedParserDict) -> dict[str, str]:
        return {by: answer[by]}

    first = poll()
    assert (first.status, first.bozo, [e.title for e in first.entries]) == (200, False, ["Second", "First"])
    assert first.headers["content-encoding"] == "gzip"
    assert poll(**known(first)).status == 304
    site.write("2", "Third")
    site.publish(1)
    second = poll(**known(first))
    assert second.entries[0].title == "Third"
    assert poll(**known(second)).status == 304
    site.withdraw("First", 2)
    third = poll(**known(second))
    assert "First" not in [entry.title for entry in third.entries]
    assert poll(**known(third)).status == 304
    changed = Counter({226: 2}) if by == "etag" else Counter({200: 2})  # it sends `A-IM: feed` by itself
    assert site.answered() == Counter({200: 1, 304: 3}) + changed


def test_feedparser_is_told_that_a_feed_is_gone(site: Site) -> None:
    assert feedparser.parse(url(site, TAG)).status == 200
    site.withdraw("Second", 1)
    assert feedparser.parse(url(site, TAG)).status == 410


# newsboat

Reload = Callable[..., list[str]]


@pytest.fixture
def newsboat(tmp_path: Path) -> Reload:
    """Give a function that polls with newsboat and returns the titles that it has in its cache."""
    program = shutil.which("newsboat")
    if program is None:
        pytest.skip("newsboat is not installed (tests/prepare.sh installs it)")
    home = tmp_path / "newsboat"
    home.mkdir()
    (home / "config").write_text("download-retries 1\nkeep-articles-days 0\n", encoding="utf-8")

    def reload(*feeds: str) -> list[str]:
        (home / "urls").write_text("".join(f"{one}\n" for one in feeds), encoding="utf-8")
        files = {"config-file": "config", "url-file": "urls", "cache-file": "cache"}
        options = [part for option, name in files.items() for part in (f"--{option}", str(home / name))]
        command = [program, *options, "-x", "reload"]
        environment = {**os.environ, "HOME": str(home), "no_proxy": "*", "TERM": "dumb"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        cache = sqlite3.connect(home / "cache")
        try:
            rows = cache.execute(
                "SELECT title FROM rss_item WHERE deleted = 0 ORDER BY pubDate DESC"
            ).fetchall()
        finally:
            cache.close()
        return [title for (title,) in rows]

    return reload


def test_newsboat_polls(site: Site, newsboat: Reload) -> None:
    """It keeps ETag and date from its second poll on, and then asks for new entries alone."""
    for _ in range(2):
        assert newsboat(url(site)) == ["Second", "First"]
    assert site.answered() == {200: 2}
    assert newsboat(url(site)) == ["Second", "First"]
    assert site.answered() == {304: 1}
    site.write("2", "Third")
    site.publish(1)
    assert newsboat(url(site)) == ["Third", "Second", "First"]
    assert site.answered() == {226: 1}
    assert newsboat(url(site))
    assert site.answered() == {304: 1}


def test_newsboat_lives_with_a_deletion_and_a_feed_that_is_gone(site: Site, newsboat: Reload) -> None:
    feeds = (url(site), url(site, TAG))
    for _ in range(2):
        assert set(newsboat(*feeds)) == {"Second", "First"}
    assert site.answered(TAG) == {200: 2}
    site.withdraw("Second", 1)
    assert b"deleted-entry" in site.get(f"/{FEED}").body
    site.answered()
    assert "First" in newsboat(*feeds)
    assert site.answered() == {226: 1}, "the tombstone is new; the feed of the tag is gone"
    assert site.get(f"/{TAG}").status == 410
    assert "First" in newsboat(*feeds)
    assert site.answered() == {304: 1}
