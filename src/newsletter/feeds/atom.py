"""Atom (RFC 4287)."""

from __future__ import annotations

from collections.abc import Sequence

from newsletter.feeds.entry import Entry
from newsletter.feeds.feed import Feed, fit
from newsletter.feeds.text import line, web_link


def atom(feed: Feed, entries: Sequence[Entry]) -> bytes:
    """Return the Atom document of a feed over as many of the entries, in their order, as its size allows."""
    return fit(lambda some: _atom(feed, some), entries)


def _atom(feed: Feed, entries: Sequence[Entry]) -> bytes:
    from newsletter.feeds.repaired import TYPES

    links = [
        {"rel": "self", "type": TYPES["atom"], "href": feed.atom},
        {"rel": "alternate", "type": "text/html", "href": feed.page, "hreflang": feed.language},
        {"rel": "alternate", "type": TYPES["rss"], "href": feed.rss},
        {"rel": "alternate", "type": TYPES["json"], "href": feed.json},
        *({"rel": "hub", "href": hub} for hub in feed.hubs),
    ]
    if feed.previous:
        links.append({"rel": "prev-archive", "type": TYPES["atom"], "href": feed.previous})
    return document(feed, entries, links)


def document(feed: Feed, entries: Sequence[Entry], links: list[dict[str, str]]) -> bytes:
    """Return an Atom document of a feed over all of the entries, with these links of its own."""
    from newsletter.feeds.repaired import filled, generator, person

    made = generator(feed, entries, rss=False)
    made.author(person(feed.author, feed.publish_addresses))
    made.link(links)
    if line(feed.subtitle):
        made.subtitle(line(feed.subtitle))
    if web_link(feed.icon):
        made.icon(web_link(feed.icon))
    if web_link(feed.logo):
        made.logo(web_link(feed.logo))
    return filled(made.atom_str(), feed, entries, rss=False)
