"""The assertions of RFC 4287 over a parsed document: those of its grammar, and those that no grammar can make."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from newsletter.checks.reading import (
    ABSOLUTE,
    ADDRESS,
    LANGUAGE,
    LARGEST,
    MEDIA_TYPE,
    REFERENCE,
    Told,
    Written,
    as_date,
    html_findings,
    media_findings,
    ours,
)

NAMESPACE = "http://www.w3.org/2005/Atom"

_A = f"{{{NAMESPACE}}}"
_OLD = "{http://purl.org/atom/ns#}feed"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_DIV = "{http://www.w3.org/1999/xhtml}div"
_TOMBSTONES = "http://purl.org/atompub/tombstones/1.0"
_TOMBSTONE = f"{{{_TOMBSTONES}}}deleted-entry"
_REPLY = "{http://purl.org/syndication/thread/1.0}in-reply-to"
_ARCHIVE = "{http://purl.org/syndication/history/1.0}archive"
_TEXTS = ("title", "subtitle", "summary", "rights")
_PEOPLE = ("author", "contributor")
_COMPOSITE = re.compile(r"(multipart|message)/", re.IGNORECASE)
_XMLISH = re.compile(r"(text/.*|.*[+/]xml)\s*(;.*)?", re.IGNORECASE)

#: What may stand in an element of Atom: children that occur once, children that may be repeated.
_CHILDREN = {
    "feed": ({"generator", "icon", "id", "logo", "rights", "subtitle", "title", "updated"}, {"entry"}),
    "entry": ({"content", "id", "published", "rights", "source", "summary", "title", "updated"}, set[str]()),
    "source": ({"generator", "icon", "id", "logo", "rights", "subtitle", "title", "updated"}, set[str]()),
}
_ANYWHERE = {"author", "category", "contributor", "link"}
_ATTRIBUTES = {
    "link": {"href", "rel", "type", "hreflang", "title", "length"},
    "category": {"term", "scheme", "label"},
    "generator": {"uri", "version"},
    "content": {"type", "src"},
    **{name: {"type"} for name in _TEXTS},
}
_LEAVES = {
    "id",
    "updated",
    "published",
    "icon",
    "logo",
    "generator",
    "name",
    "uri",
    "email",
    "link",
    "category",
}
_SECTIONS = {"feed": "4.1.1", "entry": "4.1.2", "source": "4.2.11"}


def atom_findings(root: Any, size: int) -> Iterator[Told]:
    """Yield what is wrong with a parsed Atom feed, or an entry on its own, of `size` bytes."""
    if root.tag == f"{_A}entry":
        yield ours("root", "the root is atom:feed", "Publish a feed, not an entry alone")
        yield from _entry(root)
        yield from _unauthored(root, [root])
        return
    if root.tag != f"{_A}feed":
        remedy = "Write Atom 1.0: 0.3 was replaced in 2005" if root.tag == _OLD else "Give it that root"
        yield Told("root", "the root is atom:feed", remedy, _rfc("2"))
        return
    entries = root.findall(f"{_A}entry")
    yield from _common(root, "feed", "feed")
    yield from _feed(root, entries, size)
    yield from _across(root, entries)
    yield from _unauthored(root, entries)
    for entry in entries:
        yield from _entry(entry)
    for gone in root.findall(_TOMBSTONE):
        if not ABSOLUTE.fullmatch(gone.get("ref", "")) or as_date(gone.get("when")) is None:
            yield Told("deleted-entry", "a tombstone has an id and a date", "Give it both", "RFC 6721 §3")


def atom_entries(root: Any) -> list[Written]:
    """Return what a reader must find in a document without findings."""
    return [
        Written(
            id=_text(entry, "id"),
            title=_text(entry, "title"),
            link=next((u.get("href") for u in entry.findall(f"{_A}link") if _relation(u) == "alternate"), ""),
            published=as_date(_text(entry, "published")),
            updated=as_date(_text(entry, "updated")),
        )
        for entry in root.findall(f"{_A}entry")
    ]


def self_links(root: Any) -> list[str]:
    """Return the addresses that a feed says it has, of Atom or with Atom's links in it."""
    links = (*root.findall(f"{_A}link"), *root.findall(f"channel/{_A}link"))
    return [link.get("href", "") for link in links if link.get("rel") == "self"]


def _rfc(section: str) -> str:
    return f"RFC 4287 §{section}"


def _feed(root: Any, entries: list[Any], size: int) -> Iterator[Told]:
    """Yield what is wrong with the feed's own links and size."""
    if len(self_links(root)) != 1:
        rule = "there is exactly one link rel=self"
        yield ours("feed", rule, "Name the feed's own address once")._replace(spec=_rfc("4.1.1"))
    if not any(_relation(link) == "alternate" for link in root.findall(f"{_A}link")):
        yield ours("feed", "there is a link rel=alternate", "Name the page that the feed is about")
    if size > LARGEST and len(entries) > 1 and root.find(_ARCHIVE) is None:
        yield ours("feed", f"the document is at most {LARGEST} bytes, not {size}", "Publish fewer entries")


def _unauthored(root: Any, entries: list[Any]) -> Iterator[Told]:
    if root.tag == f"{_A}feed" and root.find(f"{_A}author") is not None:
        return
    for entry in entries:
        if entry.find(f"{_A}author") is None and entry.find(f"{_A}source/{_A}author") is None:
            yield Told(_place(entry), "an author can be reached", "Name an author", _rfc("4.1.2"))
    if not entries:
        yield ours("feed", "a feed has an author", "Name an author of the feed")


def _across(root: Any, entries: list[Any]) -> Iterator[Told]:
    """Yield what only shows when entries are compared."""
    ids = Counter(_text(entry, "id") for entry in entries)
    for identity, count in ids.items():
        if count > 1:
            rule = "an id occurs once in a document"
            yield ours(f"entry ({identity})", rule, "Remove the second entry, or give it an id of its own")
    declared = _TOMBSTONES in root.nsmap.values()
    if declared and root.find(_TOMBSTONE) is None:
        yield ours("feed", "the tombstone namespace is there only when something is deleted", "Remove it")
    newest = as_date(_text(root, "updated"))
    for entry in entries:
        changed = as_date(_text(entry, "updated"))
        if newest and changed and changed > newest:
            yield ours(_place(entry), "the feed is as new as its newest entry", "Move the feed's updated")


def _entry(entry: Any) -> Iterator[Told]:
    place = _place(entry)
    yield from _common(entry, "entry", place)
    content = entry.find(f"{_A}content")
    alternate = any(_relation(link) == "alternate" for link in entry.findall(f"{_A}link"))
    if content is None and not alternate:
        rule = "there is content or a link rel=alternate"
        yield Told(place, rule, "Give it one of them", _rfc("4.1.2"))
    summary = entry.find(f"{_A}summary")
    if summary is None or not "".join(summary.itertext()).strip():
        yield ours(place, "there is a summary", "Give it a plain-text summary")
    if content is not None:
        yield from _content(content, place, summarised=summary is not None)
    for reply in entry.findall(_REPLY):
        if not ABSOLUTE.fullmatch(reply.get("ref", "")):
            rule = "in-reply-to has the id of what it answers"
            yield Told(place, rule, "Name the earlier post", "RFC 4685 §3")
    for source in entry.findall(f"{_A}source"):
        yield from _common(source, "source", f"{place}, source")
    yield from media_findings(entry, place)


def _common(element: Any, kind: str, place: str) -> Iterator[Told]:
    """Yield what is wrong with what feeds, entries and sources have in common."""
    yield from _structure(element, kind, place)
    if kind != "source":
        yield from _identity(element, place, _rfc(_SECTIONS[kind]))
    else:
        for identity in element.findall(f"{_A}id"):
            yield from _id(identity.text, place)
    yield from _simple(element, place)
    for person in (one for name in _PEOPLE for one in element.findall(f"{_A}{name}")):
        yield from _person(person, place)
    for category in element.findall(f"{_A}category"):
        if not category.get("term", "").strip():
            rule = "a category has a term"
            weight = Told(place, rule, "Name the tag", _rfc("4.2.2.1"))
            yield weight if "term" not in category.attrib else ours(place, rule, "Name the tag")
        if not REFERENCE.fullmatch(category.get("scheme", "x")):
            yield Told(place, "a category's scheme is an IRI", "Mend the scheme", _rfc("4.2.2.2"))
    yield from _links(element.findall(f"{_A}link"), place)


def _structure(element: Any, kind: str, place: str) -> Iterator[Told]:
    """Yield what the grammar refuses: elements, attributes and text where they have no place."""
    once, many = _CHILDREN[kind]
    counts = Counter(child.tag[len(_A) :] for child in element if _is_atom(child))
    for name, count in counts.items():
        if name not in once | many | _ANYWHERE:
            yield Told(place, f"<{name}> has no place here", "Remove it", _rfc(_SECTIONS[kind]))
        elif count > 1 and name in once - {"id", "title", "updated"}:
            yield Told(place, f"there is at most one {name}", "Keep one", _rfc(_SECTIONS[kind]))
    texts = [element.text, *(child.tail for child in element)]
    if any((text or "").strip() for text in texts):
        yield Told(place, "no text stands outside the elements", "Remove it", _rfc(_SECTIONS[kind]))
    for child in (element, *(one for one in element if _is_atom(one))):
        yield from _leaf(child, place)
        language = child.get(f"{_XML}lang")
        if language is not None and not LANGUAGE.fullmatch(language):
            yield Told(place, f"xml:lang is a language tag, not {language!r}", "Mend it", _rfc("2"))


def _leaf(element: Any, place: str) -> Iterator[Told]:
    """Yield attributes that are none, and elements in what holds text; links may hold those of extensions."""
    name = element.tag[len(_A) :]
    inner = [one for one in element if isinstance(one.tag, str)]
    if name in ("link", "category"):
        inner = [one for one in inner if _is_atom(one)]
    if inner and name in _LEAVES:
        yield Told(place, f"<{name}> holds no elements", "Move them out", "RFC 4287, Appendix B")
    for key in element.attrib:
        if "}" not in key and key not in _ATTRIBUTES.get(name, ()):
            yield Told(place, f"<{name}> has no attribute {key}", "Remove it", "RFC 4287, Appendix B")


def _identity(element: Any, place: str, spec: str) -> Iterator[Told]:
    """Yield what is wrong with id, title and updated."""
    for name in ("id", "title", "updated"):
        count = len(element.findall(f"{_A}{name}"))
        if count != 1:
            yield Told(place, f"there is exactly one {name}, not {count}", f"Give it one {name}", spec)
    identity = element.find(f"{_A}id")
    if identity is not None:
        yield from _id(identity.text, place)
    title = element.find(f"{_A}title")
    if title is None or not "".join(title.itertext()).strip():
        yield ours(place, "the title says something", "Give it a title")


def _id(text: str | None, place: str) -> Iterator[Told]:
    if not ABSOLUTE.fullmatch(text or ""):
        rule = f"the id is an absolute IRI without white space, not {(text or '')[:200]!r}"
        yield Told(place, rule, "Mend the id, once and for all", _rfc("4.2.6"))


def _simple(element: Any, place: str) -> Iterator[Told]:
    """Yield what is wrong with dates, addresses and texts."""
    for name in ("updated", "published"):
        for date in element.findall(f"{_A}{name}"):
            if len(date) or as_date(date.text) is None:
                rule = f"{name} is an RFC 3339 date, not {(date.text or '')[:80]!r}"
                yield Told(place, rule, "Write 2026-11-23T12:00:00Z", _rfc("3.3"))
    for name, section in (("icon", "4.2.5"), ("logo", "4.2.8")):
        for address in element.findall(f"{_A}{name}"):
            yield from _address(address, address.text or "", name, place, section)
    for name in _TEXTS:
        for text in element.findall(f"{_A}{name}"):
            yield from _words(text, name, place)


def _words(text: Any, name: str, place: str) -> Iterator[Told]:
    """Yield what is wrong with a text construct (3.1)."""
    kind = text.get("type", "text")
    if kind not in ("text", "html", "xhtml"):
        rule = f"the type of {name} is text, html or xhtml, not {kind!r}"
        yield Told(place, rule, "Mend the type", _rfc("3.1.1"))
    elif kind == "xhtml" and [child.tag for child in text] != [_DIV]:
        yield Told(place, f"{name} of type xhtml is one div", "Wrap it in a div", _rfc("3.1.1.3"))
    elif kind != "xhtml" and len(text):
        yield Told(place, f"{name} of type {kind} holds no elements", "Escape them", _rfc("3.1.1"))
    if kind != "text" or len(text):
        yield ours(place, f"{name} is plain text", "Write it without markup: many readers show it raw")


def _person(person: Any, place: str) -> Iterator[Told]:
    names = [child.tag[len(_A) :] for child in person if _is_atom(child)]
    if names.count("name") != 1 or not _text(person, "name").strip():
        yield Told(place, "a person has a name", "Name the author", _rfc("3.2.1"))
    if set(names) - {"name", "uri", "email"} or max(map(names.count, names), default=0) > 1:
        rule = "a person has one name, and at most one uri and email"
        yield Told(place, rule, "Remove the others", _rfc("3.2"))
    if any((one or "").strip() for one in (person.text, *(child.tail for child in person))):
        yield Told(place, "a person's name stands in <name>", "Put it there", _rfc("3.2"))
    for part in person:
        yield from _leaf(part, place) if _is_atom(part) else ()
    for address in person.findall(f"{_A}email"):
        if not ADDRESS.fullmatch(address.text or ""):
            rule = f"a person's address is one, not {(address.text or '')[:200]!r}"
            yield Told(place, rule, "Mend the address", _rfc("3.2.3"))
    for address in person.findall(f"{_A}uri"):
        yield from _address(address, address.text or "", "a person's uri", place, "3.2.2")


def _address(element: Any, value: str, name: str, place: str, section: str) -> Iterator[Told]:
    """Yield what is wrong with an address; a relative one is right where there is an xml:base."""
    if ABSOLUTE.fullmatch(value):
        return
    if value and not REFERENCE.fullmatch(value):
        rule = f"{name} is absolute and without white space, not {value[:200]!r}"
        yield Told(place, rule, "Mend the address", _rfc(section))
    elif not element.xpath("ancestor-or-self::*[@xml:base]"):
        yield ours(place, f"{name} is absolute, not {value[:200]!r}", "Give the whole address")


def _links(links: list[Any], place: str) -> Iterator[Told]:
    alternates: Counter[tuple[str, str]] = Counter()
    for link in links:
        if "href" not in link.attrib:
            yield Told(place, "a link has an href", "Give it an address", _rfc("4.2.7.1"))
        yield from _address(link, link.get("href", ""), "a link", place, "4.2.7.1")
        if "type" in link.attrib and not MEDIA_TYPE.fullmatch(link.get("type")):
            rule = f"a link's type is a media type, not {link.get('type')!r}"
            yield Told(place, rule, "Mend the type", _rfc("4.2.7.3"))
        if not LANGUAGE.fullmatch(link.get("hreflang", "en")):
            rule = f"hreflang is a language tag, not {link.get('hreflang')!r}"
            yield Told(place, rule, "Mend the language", _rfc("4.2.7.4"))
        if not re.fullmatch("[0-9]+", link.get("length", "0")):
            yield Told(place, "a link's length is a number of bytes", "Mend the length", _rfc("4.2.7.6"))
        if not _relation(link).strip():
            yield Told(place, "a link's rel says something", "Remove rel, or name it", _rfc("4.2.7.2"))
        if _relation(link) == "alternate":
            alternates[link.get("type", ""), link.get("hreflang", "").lower()] += 1
    for (kind, language), count in alternates.items():
        if count > 1:
            rule = f"one alternate of type {kind!r} and language {language!r}"
            yield Told(place, rule, "Remove one", _rfc("4.1.1"))


def _content(content: Any, place: str, *, summarised: bool) -> Iterator[Told]:
    kind = content.get("type", "text")
    if content.get("src") is not None:
        yield from _elsewhere(content, place, summarised)
    if kind not in ("text", "html", "xhtml"):
        if not MEDIA_TYPE.fullmatch(kind) or _COMPOSITE.match(kind):
            rule = f"the content's type is a simple media type, not {kind!r}"
            yield Told(place, rule, "Mend the type", _rfc("4.1.3.1"))
        elif content.get("src") is None and not _XMLISH.fullmatch(kind):
            yield from _base64(content, place, summarised)
    elif content.get("src") is None:
        yield from _here(content, kind, place)


def _here(content: Any, kind: str, place: str) -> Iterator[Told]:
    if kind == "xhtml":
        if [child.tag for child in content] != [_DIV]:
            yield Told(place, "xhtml content is one div", "Wrap it in a div", _rfc("4.1.3.3"))
    elif len(content):
        yield Told(place, f"content of type {kind} is escaped text", "Escape it", _rfc("4.1.3.3"))
    elif kind == "html":
        yield from html_findings(content.text or "", place)


def _elsewhere(content: Any, place: str, summarised: bool) -> Iterator[Told]:
    yield from _address(content, content.get("src"), "content's src", place, "4.1.3.2")
    if len(content) or (content.text or "").strip():
        rule = "content elsewhere has an absolute src and nothing inside"
        yield Told(place, rule, "Empty it, or remove src", _rfc("4.1.3.2"))
    if not summarised:
        yield Told(place, "content elsewhere has a summary here", "Add one", _rfc("4.1.2"))
    if content.get("type") in ("text", "html", "xhtml"):
        rule = f"content elsewhere is not of type {content.get('type')}"
        yield Told(place, rule, "Name its media type", _rfc("4.1.3.2"))


def _base64(content: Any, place: str, summarised: bool) -> Iterator[Told]:
    text = "".join(content.itertext())
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        rule = "content of that type is valid base64"
        yield Told(place, rule, "Encode it again", _rfc("4.1.3.3"))
    if not summarised:
        yield Told(place, "content in base64 has a summary", "Add one", _rfc("4.1.2"))


def _text(element: Any, name: str) -> str:
    return element.findtext(f"{_A}{name}") or ""


def _place(entry: Any) -> str:
    return f"entry ({_text(entry, 'id')[:300]})"


def _relation(link: Any) -> str:
    return str(link.get("rel", "alternate"))


def _is_atom(element: Any) -> bool:
    return isinstance(element.tag, str) and element.tag.startswith(_A)
