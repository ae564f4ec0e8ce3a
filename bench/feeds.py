"""Building feeds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from feedgen.feed import FeedGenerator

from bench.harness import Figure, paired
from newsletter.feeds import Feed, atom, entry_of_post
from newsletter.model import Author, Image, Post

START = datetime(2026, 11, 20, 8, tzinfo=UTC)
BODY = '<figure><img src="https://x.example.org/i.jpg" alt="x"><figcaption>Caption</figcaption></figure>' + (
    "<p>" + "text " * 300 + "</p>"
)


def make(count: int) -> list[Post]:
    """Make posts with what a post usually carries."""
    return [
        Post(
            source="bench",
            source_key=str(n),
            seq=n + 1,
            id=f"tag:x.example.org,2026:{n}",
            title=f"Post {n}: café & “quotes”",
            published=START - timedelta(hours=n),
            updated=START - timedelta(hours=n),
            body_html=BODY,
            summary="A short plain summary.",
            url=f"https://x.example.org/p/{n}",
            slug=f"p{n}",
            authors=(Author(name="The Editor"),),
            tags=("trade", "law"),
            images=(Image(src="https://x.example.org/i.jpg", alt="x", width=640, height=480),),
        )
        for n in range(count)
    ]


def ours(posts: list[Post]) -> bytes:
    """Build our Atom feed."""
    feed = Feed(
        id="tag:x.example.org,2026:feed",
        title="Bench",
        site="https://x.example.org/",
        page="https://x.example.org/",
        atom="https://x.example.org/feeds/atom.xml",
        rss="https://x.example.org/feeds/rss.xml",
        json="https://x.example.org/feeds/feed.json",
        author=Author(name="The Editor"),
        began=START,
    )
    return atom(feed, [entry_of_post(feed, post) for post in posts])


def plain(posts: list[Post]) -> bytes:
    """Build what feedgen alone makes of the same posts."""
    feed: Any = FeedGenerator()
    feed.id("tag:x.example.org,2026:feed")
    feed.title("Bench")
    feed.author(name="The Editor")
    feed.link(href="https://x.example.org/")
    feed.updated(START)
    for post in posts:
        entry = feed.add_entry(order="append")
        entry.id(post.id)
        entry.title(post.title)
        entry.link(href=post.url)
        entry.published(post.published)
        entry.updated(post.updated)
        entry.summary(post.summary)
        entry.content(post.body_html, type="html")
        for tag in post.tags:
            entry.category(term=tag)
    made: bytes = feed.atom_str()
    return made


def figures() -> list[Figure]:
    """Measure both over 30 and 1,000 entries."""
    rows = []
    for count in (30, 1000):
        posts = make(count)
        a, b, ratio = paired(lambda posts=posts: ours(posts), lambda posts=posts: plain(posts))  # type: ignore[misc]
        what = (
            f"Atom of {count:,} entries (cut at 250 kB), against feedgen alone (all of them, fewer elements)"
        )
        rows.append(Figure(what, f"{a * 1000:.1f} ms", f"{b * 1000:.1f} ms", f"{1 / ratio:.1f}× its time"))
    return rows
