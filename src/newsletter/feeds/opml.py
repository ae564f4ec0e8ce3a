"""OPML 2.0: all feeds of a publication, to subscribe to at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime

from newsletter.feeds.feed import Feed
from newsletter.feeds.text import line


def opml(title: str, owner: str, feeds: Sequence[Feed], modified: datetime) -> bytes:
    """Return the outline of the feeds, the Atom form of each."""
    from lxml import etree

    root = etree.Element("opml", version="2.0")
    head, body = etree.SubElement(root, "head"), etree.SubElement(root, "body")
    when = format_datetime(modified.astimezone(UTC).replace(microsecond=0))
    for name, text in (("title", line(title)), ("dateModified", when), ("ownerName", line(owner))):
        if text:
            etree.SubElement(head, name).text = text
    for feed in feeds:
        attributes = {
            "type": "rss",  # OPML's word for any subscription
            "text": line(feed.title),
            "title": line(feed.title),
            "description": line(feed.subtitle),
            "language": feed.language,
            "xmlUrl": feed.atom,
            "htmlUrl": feed.page,
            "version": "ATOM1",
        }
        etree.SubElement(body, "outline", {key: value for key, value in attributes.items() if value})
    document: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)
    return document
