"""The assertions of RFC 4287 that its grammar cannot make, over a parsed document."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from newsletter.checks.reading import ABSOLUTE, DATE, html_findings

Told = tuple[str, str, str]  # place, rule, remedy

#: No document is larger while it holds more than one entry, in bytes.
LARGEST = 250_000

_A = "{http://www.w3.org/2005/Atom}"
_TOMBSTONE = "{http://purl.org/atompub/tombstones/1.0}deleted-entry"
_REPLY = "{http://purl.org/syndication/thread/1.0}in-reply-to"
_ARCHIVE = "{http://purl.org/syndication/history/1.0}archive"
_MEDIA_TYPE = re.compile(r"[^\s/;]+/[^\s/;]+(;.*)?")
_LANGUAGE = re.compile(r"([A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*)?")
_ADDRESS = re.compile(r"[^\s@<>]+@[^\s@<>]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What an entry says of itself, to be found again by a feed reader."""

    id: str
    title: str
    link: str = ""
    published: datetime | None = None
    updated: datetime | None = None


def atom_findings(root: Any, size: int) -> Iterator[Told]:
    """Yield what is wrong with a parsed Atom feed of `size` bytes."""
    if root.tag != f"{_A}feed":
        yield "root", "the root is atom:feed", "Give it that root"
        return
    entries = root.findall(f"{_A}entry")
    yield from _identity(root, "feed")
    yield from _feed(root, entries, size)
    yield from _shared(root, "feed")
    yield from _across(root, entries)
    for entry in entries:
        yield from _entry(entry)
    for gone in root.findall(_TOMBSTONE):
        if not ABSOLUTE.fullmatch(gone.get("ref", "")) or not _is_date(gone.get("when")):
            yield "deleted-entry", "a tombstone has an id and a date (RFC 6721)", "Give it both"


def _feed(root: Any, entries: list[Any], size: int) -> Iterator[Told]:
    """Yield what is wrong with the feed's own links, size and authors."""
    selves = [link for link in root.findall(f"{_A}link") if link.get("rel") == "self"]
    if len(selves) != 1:
        yield "feed", "there is exactly one link rel=self", "Name the feed's own address once"
    if not any(_relation(link) == "alternate" for link in root.findall(f"{_A}link")):
        yield "feed", "there is a link rel=alternate", "Name the page that the feed is about"
    if size > LARGEST and len(entries) > 1 and root.find(_ARCHIVE) is None:
        yield "feed", f"the document is at most {LARGEST} bytes, not {size}", "Publish fewer entries"
    if root.find(f"{_A}author") is None:
        for entry in entries:
            if entry.find(f"{_A}author") is None:
                yield _place(entry), "an author can be reached (4.1.1)", "Name an author"


def atom_entries(root: Any) -> list[Written]:
    """Return what a reader must find in a document without findings."""
    return [
        Written(
            id=_text(entry, "id"),
            title=_text(entry, "title"),
            link=next((u.get("href") for u in entry.findall(f"{_A}link") if _relation(u) == "alternate"), ""),
            published=_date(_text(entry, "published")),
            updated=_date(_text(entry, "updated")),
        )
        for entry in root.findall(f"{_A}entry")
    ]


def _across(root: Any, entries: list[Any]) -> Iterator[Told]:
    """Yield what only shows when entries are compared."""
    ids = Counter(_text(entry, "id") for entry in entries)
    for identity, count in ids.items():
        if count > 1:
            yield f"entry ({identity})", "an id occurs once in a document", "Remove the second entry"
    declared = "http://purl.org/atompub/tombstones/1.0" in root.nsmap.values()
    if declared and root.find(_TOMBSTONE) is None:
        yield "feed", "the tombstone namespace is there only when something is deleted", "Remove it"
    newest = _date(_text(root, "updated"))
    for entry in entries:
        changed = _date(_text(entry, "updated"))
        if newest and changed and changed > newest:
            yield _place(entry), "the feed is as new as its newest entry", "Move the feed's updated"


def _identity(element: Any, place: str) -> Iterator[Told]:
    """Yield what is wrong with id, title and updated."""
    for name in ("id", "title", "updated"):
        count = len(element.findall(f"{_A}{name}"))
        if count != 1:
            yield place, f"there is exactly one {name}, not {count} (4.1)", f"Give it one {name}"
    identity = element.findtext(f"{_A}id")
    if identity is not None and not ABSOLUTE.fullmatch(identity):
        yield place, f"the id is an absolute IRI without white space, not {identity!r} (4.2.6)", "Mend the id"
    if not _text(element, "title").strip():
        yield place, "the title says something", "Give it a title"


def _entry(entry: Any) -> Iterator[Told]:
    place = _place(entry)
    yield from _identity(entry, place)
    yield from _shared(entry, place)
    links = entry.findall(f"{_A}link")
    content = entry.find(f"{_A}content")
    if content is None and not any(_relation(link) == "alternate" for link in links):
        yield place, "there is content or a link rel=alternate (4.1.2)", "Give it one of them"
    if len(entry.findall(f"{_A}summary")) != 1 or not _text(entry, "summary").strip():
        yield place, "there is a summary", "Give it a plain-text summary"
    if content is not None:
        yield from _content(content, place)
    for reply in entry.findall(_REPLY):
        if not ABSOLUTE.fullmatch(reply.get("ref", "")):
            yield place, "in-reply-to has the id of what it answers (RFC 4685)", "Name the earlier post"


def _shared(element: Any, place: str) -> Iterator[Told]:
    """Yield what is wrong with what feeds and entries have in common."""
    yield from _simple(element, place)
    for person in (*element.findall(f"{_A}author"), *element.findall(f"{_A}contributor")):
        yield from _person(person, place)
    for category in element.findall(f"{_A}category"):
        if not category.get("term", "").strip():
            yield place, "a category has a term", "Name the tag"
    yield from _links(element.findall(f"{_A}link"), place)


def _simple(element: Any, place: str) -> Iterator[Told]:
    """Yield what is wrong with dates, addresses and texts."""
    for name in ("updated", "published"):
        for date in element.findall(f"{_A}{name}"):
            if not _is_date(date.text):
                yield place, f"{name} is an RFC 3339 date, not {date.text!r} (3.3)", "Write …T12:00:00Z"
    for name in ("icon", "logo"):
        for address in element.findall(f"{_A}{name}"):
            if not ABSOLUTE.fullmatch(address.text or ""):
                yield place, f"{name} is an absolute address", "Give the whole address"
    for name in ("title", "subtitle", "summary", "rights"):
        for text in element.findall(f"{_A}{name}"):
            if text.get("type", "text") != "text" or len(text):
                yield place, f"{name} is plain text", "Write it without markup"


def _person(person: Any, place: str) -> Iterator[Told]:
    if not _text(person, "name").strip():
        yield place, "a person has a name (3.2.1)", "Name the author"
    for address in person.findall(f"{_A}email"):
        if not _ADDRESS.fullmatch(address.text or ""):
            yield place, f"a person's address is one, not {address.text!r} (3.2.3)", "Mend the address"
    for address in person.findall(f"{_A}uri"):
        if not ABSOLUTE.fullmatch(address.text or ""):
            yield place, "a person's uri is absolute", "Give the whole address"


def _links(links: list[Any], place: str) -> Iterator[Told]:
    alternates: Counter[tuple[str, str]] = Counter()
    for link in links:
        href = link.get("href", "")
        if not ABSOLUTE.fullmatch(href):
            yield place, f"a link is absolute and without white space, not {href!r}", "Mend the address"
        if "type" in link.attrib and not _MEDIA_TYPE.fullmatch(link.get("type")):
            yield place, f"a link's type is a media type, not {link.get('type')!r}", "Mend the type"
        if not _LANGUAGE.fullmatch(link.get("hreflang", "")):
            yield place, f"hreflang is a language tag, not {link.get('hreflang')!r}", "Mend the language"
        if not link.get("length", "0").isdigit():
            yield place, "a link's length is a number of bytes", "Mend the length"
        if _relation(link) == "alternate":
            alternates[link.get("type", ""), link.get("hreflang", "").lower()] += 1
    for (kind, language), count in alternates.items():
        if count > 1:
            yield place, f"one alternate of type {kind!r} and language {language!r} (4.1.1)", "Remove one"


def _content(content: Any, place: str) -> Iterator[Told]:
    kind = content.get("type", "text")
    if content.get("src") is not None:
        if not ABSOLUTE.fullmatch(content.get("src")) or content.text:
            yield place, "content elsewhere has an absolute src and nothing inside (4.1.3)", "Mend it"
    elif kind in ("text", "html"):
        if len(content):
            yield place, f"content of type {kind} is escaped text (4.1.3)", "Escape it"
        elif kind == "html":
            yield from html_findings(content.text or "", place)
    elif kind == "xhtml":
        if [child.tag for child in content] != ["{http://www.w3.org/1999/xhtml}div"]:
            yield place, "xhtml content is one div (4.1.3)", "Wrap it in a div"
    elif not _MEDIA_TYPE.fullmatch(kind):
        yield place, f"the content's type is a media type, not {kind!r} (4.1.3.1)", "Mend the type"
    elif not kind.startswith("text/") and not kind.endswith(("+xml", "/xml")):
        yield from _base64(content.text or "", place)


def _base64(text: str, place: str) -> Iterator[Told]:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        yield place, "content of that type is valid base64 (4.1.3.3)", "Encode it again"


def _text(element: Any, name: str) -> str:
    return element.findtext(f"{_A}{name}") or ""


def _place(entry: Any) -> str:
    return f"entry ({_text(entry, 'id')})"


def _relation(link: Any) -> str:
    return str(link.get("rel", "alternate"))


def _is_date(text: str | None) -> bool:
    return text is not None and _date(text) is not None


def _date(text: str) -> datetime | None:
    if not DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
