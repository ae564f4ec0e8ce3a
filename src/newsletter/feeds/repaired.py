"""feedgen, repaired in one place.

feedgen 1.0.0 loses every attribute of an entry's links but `href`, knows five relations, stamps the clock on
what it is not told, flips the process's locale to write RSS dates, and takes the last link for the channel's.
One FeedEntry subclass and one extension put that right; the rest of feedgen is used as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import format_datetime
from functools import lru_cache
from typing import Any

from feedgen.entry import FeedEntry
from feedgen.ext.base import BaseExtension
from feedgen.feed import FeedGenerator
from lxml import etree

from newsletter.feeds.entry import Entry, Picture
from newsletter.feeds.feed import Feed, updated
from newsletter.feeds.links import unique_tags, word_slug
from newsletter.feeds.text import legal, line, rfc3339, web_link
from newsletter.model import Author, Relation

ATOM = "http://www.w3.org/2005/Atom"
CONTENT = "http://purl.org/rss/1.0/modules/content/"
HISTORY = "http://purl.org/syndication/history/1.0"
DC = "http://purl.org/dc/elements/1.1/"
MEDIA = "http://search.yahoo.com/mrss/"
THREAD = "http://purl.org/syndication/thread/1.0"
TOMBSTONES = "http://purl.org/atompub/tombstones/1.0"
XML = "http://www.w3.org/XML/1998/namespace"
TYPES = {"atom": "application/atom+xml", "rss": "application/rss+xml", "json": "application/feed+json"}

_Attributes = dict[str, str]
_PREFIXES = {"atom": ATOM, "content": CONTENT, "dc": DC, "media": MEDIA, "thr": THREAD}
_OPENING: bytes = etree.tostring(etree.Element("_", nsmap=_PREFIXES)).removesuffix(b"/>") + b">"


class Repairs(BaseExtension):  # type: ignore[misc]  # feedgen has no types
    """What feedgen's feed lacks: it is given the feed and its entries before anything is written."""

    feed: Feed
    entries: Sequence[Entry]
    rss: bool

    def extend_ns(self) -> dict[str, str]:
        """Declare only the namespaces that are used."""
        namespaces = {"dc": DC} if self.rss else {}
        if not self.rss and any(_replies(entry) for entry in self.entries):
            namespaces["thr"] = THREAD
        if any(entry.pictures or entry.thumbnail for entry in self.entries):
            namespaces["media"] = MEDIA
        if self.feed.archived:
            namespaces["fh"] = HISTORY
        return namespaces

    def extend_atom(self, feed: Any) -> Any:
        """Write the feed's own instant, that it is an archive (RFC 5005), and its tombstones (RFC 6721)."""
        feed.find("updated").text = rfc3339(updated(self.feed, self.entries))
        if self.feed.archived:
            etree.SubElement(feed, f"{{{HISTORY}}}archive")
        for gone in self.feed.deleted:
            attributes = {"ref": legal(gone.id).strip(), "when": rfc3339(gone.when)}
            etree.SubElement(feed, f"{{{TOMBSTONES}}}deleted-entry", attributes, {"at": TOMBSTONES})
        return feed

    def extend_rss(self, rss: Any) -> Any:
        """Point the channel at its page, date it without the clock, name the hubs."""
        channel = rss.find("channel")
        channel.find("link").text = self.feed.page
        etree.SubElement(channel, "lastBuildDate").text = rfc822(updated(self.feed, self.entries))
        for hub in self.feed.hubs:
            etree.SubElement(channel, f"{{{ATOM}}}link", {"rel": "hub", "href": hub})
        return rss


@dataclass(frozen=True, slots=True)
class Home:
    """What of a feed shows in its entries."""

    site: str
    author: Author
    publish_addresses: bool


class RepairedEntry(FeedEntry):  # type: ignore[misc]  # feedgen has no types
    """An entry that keeps its links' attributes, its dates' form and its pictures."""

    def __init__(self, home: Home, entry: Entry) -> None:
        super().__init__()
        self.ours, self.home = entry, home
        self.id(entry.id)
        self.title(entry.title)
        self.published(entry.published)
        self.updated(entry.updated)
        self.summary(entry.summary)
        self.content(entry.html, type="html")
        self.author([person(author, home.publish_addresses) for author in entry.authors])
        self.category(
            [
                {"term": word_slug(tag), "scheme": f"{home.site}tags/", "label": tag}
                for tag in unique_tags(entry.tags)
            ]
        )

    def atom_entry(self, extensions: bool = True) -> Any:
        """Return the entry element of RFC 4287 §4.1.2."""
        element = super().atom_entry(extensions)
        element.find("updated").text = rfc3339(self.ours.updated)
        element.find("published").text = rfc3339(self.ours.published)
        if self.ours.language:
            element.set(f"{{{XML}}}lang", self.ours.language)
        for attributes in entry_links(self.ours):
            etree.SubElement(element, "link", attributes)
        for attributes in _replies(self.ours):
            etree.SubElement(element, f"{{{THREAD}}}in-reply-to", attributes)
        _add_pictures(element, self.ours)
        return element

    def rss_entry(self, extensions: bool = True) -> Any:
        """Return the item element of RSS 2.0."""
        element = super().rss_entry(extensions)
        content = element.find(f"{{{CONTENT}}}encoded")
        content.text = self.ours.html  # feedgen leaves it out of no item, but types it in its own ways
        link = etree.Element("link")
        link.text = self.ours.url
        element.insert(1, link)
        etree.SubElement(element, "pubDate").text = rfc822(self.ours.published)
        etree.SubElement(element, f"{{{ATOM}}}updated").text = rfc3339(self.ours.updated)
        for author in self.ours.authors or (self.home.author,):
            etree.SubElement(element, f"{{{DC}}}creator").text = line(author.name)
        for enclosure in self.ours.enclosures[:1]:
            attributes = {"url": web_link(enclosure.url), "length": str(max(0, enclosure.length))}
            etree.SubElement(element, "enclosure", attributes | {"type": media_type(enclosure.media_type)})
        _add_pictures(element, self.ours)
        return element

    def published(self, published: Any = None) -> Any:
        """Keep the instant for Atom only: feedgen's own RSS date flips the locale of the process."""
        value = super().published(published)
        self._FeedEntry__rss_pubDate = None
        return value


def generator(feed: Feed, entries: Sequence[Entry], *, rss: bool) -> Any:
    """Return feedgen's generator, repaired, with what Atom and RSS share: the feed without its entries."""
    made = FeedGenerator()
    made.register_extension("repairs", Repairs)
    made.repairs.feed, made.repairs.entries, made.repairs.rss = feed, entries, rss
    made.id(feed.id)
    made.title(line(feed.title))
    made.updated(updated(feed, entries))
    made._FeedGenerator__rss_lastBuildDate = None  # it would be written in a flipped locale
    made.language(feed.language)
    made.generator("newsletter" if feed.generator else "", version=feed.generator or None)
    if line(feed.rights):
        made.rights(line(feed.rights))
    return made


def filled(document: bytes, feed: Feed, entries: Sequence[Entry], *, rss: bool) -> bytes:
    """Put the entries into the document of a feed that has none, last, where feedgen puts them."""
    home = Home(feed.site, feed.author, feed.publish_addresses)
    end = b"</channel></rss>" if rss else b"</feed>"
    assert document.endswith(end)
    return b"".join([document[: -len(end)], *(_fragment(home, entry, rss) for entry in entries), end])


@lru_cache(maxsize=512)
def _fragment(home: Home, entry: Entry, rss: bool) -> bytes:
    """Return the bytes of one entry, under the prefixes that the whole document declares.

    They are kept: the same entries stand in several feeds, and in the next version of each.
    """
    made = RepairedEntry(home, entry)
    around = etree.Element("_", nsmap=_PREFIXES)
    around.append(made.rss_entry() if rss else made.atom_entry())
    written: bytes = etree.tostring(around, encoding="UTF-8", xml_declaration=False)
    return written[len(_OPENING) : -len(b"</_>")]


def person(author: Author, with_address: bool) -> _Attributes:
    """Return an author as feedgen takes them, the address only when it may be told."""
    told = {"name": line(author.name), "uri": web_link(author.uri)}
    address = line(author.email)
    if with_address and "@" in address and " " not in address:
        told["email"] = address
    return {key: value for key, value in told.items() if value}


def rfc822(instant: Any) -> str:
    """Return an instant as RSS has it, with a four-digit year, whatever the locale."""
    return format_datetime(instant.astimezone(UTC).replace(microsecond=0))


def media_type(value: str) -> str:
    """Return a media type that the grammar of RFC 4287 takes; octets when it is none."""
    value = line(value)
    kind, slash, rest = value.partition("/")
    return value if kind and slash and rest and " " not in value else "application/octet-stream"


def entry_links(entry: Entry) -> list[_Attributes]:
    """Return an entry's links: its page, cited works, earlier posts, attached files."""
    page = {"rel": "alternate", "type": "text/html", "href": entry.url, "hreflang": entry.language}
    links = [page]
    for citation in entry.via:
        title = line(citation.title) or line(citation.text)
        links.append({"rel": "via", "href": web_link(citation.url), "title": title})
    for reference in entry.related:
        link = {"rel": "related", "type": "text/html", "href": web_link(reference.url)}
        links.append(link | {"title": line(reference.title)})
    for enclosure in entry.enclosures:
        link = {"rel": "enclosure", "type": media_type(enclosure.media_type), "href": web_link(enclosure.url)}
        length = str(enclosure.length) if enclosure.length > 0 else ""
        links.append(link | {"length": length, "title": line(enclosure.title)})
    return [{key: value for key, value in link.items() if value} for link in links]


def _replies(entry: Entry) -> list[_Attributes]:
    """Return what the entry follows up or corrects (RFC 4685), where the earlier post's id is known."""
    return [
        {"ref": legal(one.post_id).strip(), "type": "text/html", "href": web_link(one.url)}
        for one in entry.related
        if one.relation is not Relation.RELATED and legal(one.post_id).strip()
    ]


def _add_pictures(element: Any, entry: Entry) -> None:
    for picture in entry.pictures:
        content = etree.SubElement(element, f"{{{MEDIA}}}content", _picture_attributes(picture))
        words = (("description", picture.caption or picture.alt), ("credit", picture.credit))
        for name, text in words:
            if text:
                etree.SubElement(content, f"{{{MEDIA}}}{name}").text = text
    if entry.thumbnail is not None:
        attributes = _picture_attributes(entry.thumbnail)
        kept = {key: attributes[key] for key in ("url", "width", "height") if key in attributes}
        etree.SubElement(element, f"{{{MEDIA}}}thumbnail", kept)


def _picture_attributes(picture: Picture) -> _Attributes:
    attributes = {"url": picture.url, "medium": "image", "type": line(picture.media_type)}
    if picture.width > 0 and picture.height > 0:
        attributes |= {"width": str(picture.width), "height": str(picture.height)}
    attributes["fileSize"] = str(picture.size) if picture.size > 0 else ""
    return {key: value for key, value in attributes.items() if value}
