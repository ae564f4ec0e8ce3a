"""Small feeds for tests of the feed source."""

from __future__ import annotations

import datetime as dt

from newsletter.model import Post, Rejected
from newsletter.sources import SourceContext, SourceState
from newsletter.sources.feed import FeedSource

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def read(
    context: SourceContext, data: bytes | str, state: SourceState | None = None
) -> list[Post | Rejected]:
    """Write the feed's file and read it."""
    path = context.path()
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return list(FeedSource(context).posts(state or SourceState()))


def only_post(items: list[Post | Rejected]) -> Post:
    (item,) = items
    assert isinstance(item, Post), item
    return item


def only_rejected(items: list[Post | Rejected]) -> Rejected:
    (item,) = items
    assert isinstance(item, Rejected), item
    return item


def atom(entry: str, attributes: str = "") -> str:
    return f'<feed xmlns="http://www.w3.org/2005/Atom" {attributes}><title>F</title>{entry}</feed>'


def rss(item: str, channel: str = "") -> str:
    return (
        '<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>C</title>'
        f"<link>https://site.example.com/</link>{channel}{item}</channel></rss>"
    )


DATED = "<pubDate>Mon, 02 Nov 2026 09:00:00 +0100</pubDate>"
