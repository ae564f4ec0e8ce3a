"""The gate of feeds: what must hold of an Atom, RSS or JSON Feed document before anyone may read it.

Our own documents must also pass a second reading by feedparser, whose ids, titles, links and dates must be those
that are written. Of others' documents the same is told, but what only we ask of a feed is advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from newsletter.checks import atom as rules
from newsletter.checks.habits import habits
from newsletter.checks.jsonfeed import json_findings
from newsletter.checks.rdf import RDF, rdf_findings
from newsletter.checks.reading import (
    ABSOLUTE,
    BadDocument,
    Told,
    findings,
    ours,
    parse_xml,
    text_of,
)
from newsletter.checks.rereading import read_again
from newsletter.checks.rss import rss_entries, rss_findings
from newsletter.model import Finding

_HTML = re.compile(rb"\s*(<!--.*?-->\s*)*(<!doctype html|<html)", re.IGNORECASE | re.DOTALL)
_FEED_TYPES = ("application/atom+xml", "application/rss+xml", "application/feed+json", "application/json")


def check_file(document: bytes, where: str, *, own: bool = True) -> list[Finding]:
    """Check a document of whichever format; `own` when we made it, and our own rules are errors."""
    if document.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return check_json_feed(document, where, own=own)
    try:
        root = parse_xml(document, typed=not own)
    except BadDocument as e:
        told = _page(document) if _HTML.match(document) else e.told
        return findings(where, [told], own=own)
    if root.tag == "opml":
        return findings(where, _opml(root), own=own)
    if root.tag == f"{{{RDF}}}RDF":
        return findings(where, (*rdf_findings(root), *habits(root)), own=own)
    if _is_page(root):
        return findings(where, [_page(document)], own=own)
    return _rss(document, root, where, own) if root.tag == "rss" else _atom(document, root, where, own)


def check_atom(document: bytes, where: str = "atom.xml", *, own: bool = True) -> list[Finding]:
    """Return what is wrong with an Atom document (RFC 4287); no error when it may be published."""
    try:
        root = parse_xml(document, typed=not own)
    except BadDocument as e:
        return findings(where, [e.told], own=own)
    return _atom(document, root, where, own)


def check_rss(document: bytes, where: str = "rss.xml", *, own: bool = True) -> list[Finding]:
    """Return what is wrong with an RSS document."""
    try:
        root = parse_xml(document, typed=not own)
    except BadDocument as e:
        return findings(where, [e.told], own=own)
    return _rss(document, root, where, own)


def check_json_feed(document: bytes, where: str = "feed.json", *, own: bool = True) -> list[Finding]:
    """Return what is wrong with a JSON Feed document."""
    return findings(where, json_findings(document), own=own)


def _atom(document: bytes, root: Any, where: str, own: bool) -> list[Finding]:
    found = findings(where, (*rules.atom_findings(root, len(document)), *_habits(root, own)), own=own)
    return _again(document, found, rules.atom_entries, root, where) if own else found


def _rss(document: bytes, root: Any, where: str, own: bool) -> list[Finding]:
    if root.tag != "rss":
        told = Told("root", f"it is a feed, not <{str(root.tag)[:80]}>", "Name a feed", "RSS 2.0, <rss>")
        return findings(where, [told], own=own)
    found = findings(where, (*rss_findings(root, len(document)), *_habits(root, own)), own=own)
    return _again(document, found, rss_entries, root.find("channel"), where) if own else found


def _again(document: bytes, found: list[Finding], entries: Any, root: Any, where: str) -> list[Finding]:
    """Add what a second reading finds, when the first found no error."""
    if any(one.error for one in found):
        return found
    return findings(where, read_again(document, entries(root)), own=True) + found


def _habits(root: Any, own: bool) -> Iterator[Told]:
    """Yield advice about what another program wrote; ours has no such habits, which is tested."""
    return iter(()) if own else habits(root)


def _is_page(root: Any) -> bool:
    return isinstance(root.tag, str) and root.tag.rpartition("}")[2].lower() == "html"


def _page(document: bytes) -> Told:
    """Return what is told of a web page, with the feeds that it announces."""
    from lxml import etree, html

    announced: list[str] = []
    try:
        for link in html.document_fromstring(document).iter("link"):
            relations = link.get("rel", "").lower().split()
            if "alternate" in relations and link.get("type", "").lower() in _FEED_TYPES:
                announced.append(link.get("href", ""))
    except (etree.ParserError, ValueError, AssertionError):
        pass
    remedy = f"Check the feed that it announces: {', '.join(announced[:5])}" if announced else "Name a feed"
    return Told("", "it is a feed, not a web page", remedy)


def _opml(root: Any) -> Iterator[Told]:
    if root.get("version") not in ("1.0", "1.1", "2.0"):
        yield Told("opml", "the version is 1.0, 1.1 or 2.0", "Name 2.0", "OPML 2.0, <opml>")
    if root.find("head") is None or root.find("body") is None:
        yield Told("opml", "there is a head and a body", "Add what is missing", "OPML 2.0, <opml>")
    outlines = list(root.iterfind("body//outline"))
    if not outlines:
        yield Told("body", "there is at least one outline", "Name a feed", "OPML 2.0, <body>")
    for number, outline in enumerate(outlines, 1):
        place = f"outline {number} ({outline.get('text', '')[:80]})"
        if not outline.get("text"):
            yield Told(place, "an outline has a text", "Name it", "OPML 2.0, <outline>")
        if outline.get("type") == "rss" and not ABSOLUTE.fullmatch(outline.get("xmlUrl", "")):
            rule = "an outline of type rss has the address of a feed"
            yield Told(place, rule, "Give xmlUrl whole", "OPML 2.0, Subscription lists")
    if not text_of(root.find("head/title")).strip():
        yield ours("head", "the outlines have a title", "Add <title>")
