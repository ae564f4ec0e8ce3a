"""JSON Feed 1.1."""

from __future__ import annotations

import json
from collections.abc import Sequence

from newsletter.feeds.entry import Entry
from newsletter.feeds.feed import Feed, fit
from newsletter.feeds.text import line, rfc3339, web_link
from newsletter.model import Author, Enclosure

VERSION = "https://jsonfeed.org/version/1.1"


def json_feed(feed: Feed, entries: Sequence[Entry]) -> bytes:
    """Return the JSON Feed of a feed over as many of the entries, in their order, as its size allows."""
    return fit(lambda some: _json_feed(feed, some), entries)


def _json_feed(feed: Feed, entries: Sequence[Entry]) -> bytes:
    document = _told(
        {
            "version": VERSION,
            "title": line(feed.title),
            "home_page_url": feed.page,
            "feed_url": feed.json,
            "description": line(feed.subtitle),
            "icon": web_link(feed.logo),
            "favicon": web_link(feed.icon),
            "language": feed.language,
            "authors": [_author(feed.author, feed)],
            "hubs": [{"type": "WebSub", "url": hub} for hub in feed.hubs],
        }
    )
    document["items"] = [_item(feed, entry) for entry in entries]
    return written(document)


def written(document: dict[str, object]) -> bytes:
    """Return the bytes of a JSON Feed."""
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def _item(feed: Feed, entry: Entry) -> dict[str, object]:
    item = _told(
        {
            "id": entry.id,
            "url": entry.url,
            "external_url": web_link(entry.via[0].url) if entry.via else "",
            "title": entry.title,
            "summary": entry.summary,
            "image": _image(entry),
            "date_published": rfc3339(entry.published),
            "date_modified": rfc3339(entry.updated),
            "language": entry.language,
            "authors": [_author(author, feed) for author in entry.authors],
            "tags": list(entry.tags),
            "attachments": [_attachment(enclosure) for enclosure in entry.enclosures],
        }
    )
    item["content_html"] = entry.html  # an item must have it, even an empty one
    return item


def _image(entry: Entry) -> str:
    """Return the large copy of the picture that stands for the entry."""
    return entry.pictures[0].url if entry.pictures and entry.thumbnail else ""


def _author(author: Author, feed: Feed) -> dict[str, object]:
    url = web_link(author.uri)
    if not url and feed.publish_addresses and author.email:
        url = f"mailto:{line(author.email)}"
    return _told({"name": line(author.name), "url": url})


def _attachment(enclosure: Enclosure) -> dict[str, object]:
    return _told(
        {
            "url": web_link(enclosure.url),
            "mime_type": line(enclosure.media_type) or "application/octet-stream",
            "title": line(enclosure.title),
            "size_in_bytes": max(0, enclosure.length),
        }
    )


def _told(fields: dict[str, object]) -> dict[str, object]:
    """Drop what there is nothing to say of."""
    return {key: value for key, value in fields.items() if value}
