"""RSS 2.0, with the modules that readers know: content, dc, media, atom."""

from __future__ import annotations

from collections.abc import Sequence

from newsletter.feeds.entry import Entry
from newsletter.feeds.feed import Feed, fit
from newsletter.feeds.text import line, web_link


def rss(feed: Feed, entries: Sequence[Entry]) -> bytes:
    """Return the RSS document of a feed over as many of the entries, in their order, as its size allows."""
    return fit(lambda some: _rss(feed, some), entries)


def _rss(feed: Feed, entries: Sequence[Entry]) -> bytes:
    from newsletter.feeds.repaired import TYPES, filled, generator

    made = generator(feed, entries, rss=True)
    made.link({"rel": "self", "type": TYPES["rss"], "href": feed.rss})
    made.description(line(feed.subtitle) or line(feed.title))
    if web_link(feed.logo):
        made.image(url=web_link(feed.logo), title=line(feed.title), link=feed.page)
    return filled(made.rss_str(), feed, entries, rss=True)
