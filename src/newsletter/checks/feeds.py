"""The gate of feeds: what must hold of an Atom, RSS or JSON Feed document before anyone may read it.

Beyond well-formedness these are the assertions that a grammar cannot make, and a second reading of the
document by feedparser, whose ids, titles, links and dates must be those that are written.
"""

from __future__ import annotations

import json
import re
from calendar import timegm
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from newsletter.checks import atom as rules
from newsletter.checks.reading import ABSOLUTE, DATE, BadDocument, html_findings, parse_xml, told
from newsletter.model import Finding

_RFC822 = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
    r"\d\d:\d\d:\d\d [+-]\d{4}"
)
_ATOM = "{http://www.w3.org/2005/Atom}"
_CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"


def check_file(document: bytes, where: str) -> list[Finding]:
    """Check a feed of whichever format; an OPML document must only be well-formed."""
    head = document.lstrip()[:1]
    if head in (b"{", b"["):
        return check_json_feed(document, where)
    try:
        root = parse_xml(document)
    except BadDocument:
        return check_atom(document, where)
    if root.tag == "opml":
        return []
    return check_rss(document, where) if root.tag == "rss" else check_atom(document, where)


def check_atom(document: bytes, where: str = "atom.xml") -> list[Finding]:
    """Return what is wrong with an Atom document (RFC 4287); nothing when it may be published."""
    try:
        root = parse_xml(document)
    except BadDocument as e:
        return [told(where, e.place, e.rule, "Publish again; if it stays, report the post at fault")]
    found = [told(where, *finding) for finding in rules.atom_findings(root, len(document))]
    return found or [told(where, *f) for f in _read_again(document, rules.atom_entries(root))]


def check_rss(document: bytes, where: str = "rss.xml") -> list[Finding]:
    """Return what is wrong with an RSS 2.0 document."""
    try:
        root = parse_xml(document)
    except BadDocument as e:
        return [told(where, e.place, e.rule, "Publish again; if it stays, report the post at fault")]
    channel = root.find("channel")
    if root.tag != "rss" or root.get("version") != "2.0" or channel is None:
        return [told(where, "rss", "the root is <rss version='2.0'> with a channel", "Give it that root")]
    found = [told(where, *finding) for finding in _rss_findings(channel)]
    return found or [told(where, *f) for f in _read_again(document, _rss_entries(channel))]


def check_json_feed(document: bytes, where: str = "feed.json") -> list[Finding]:
    """Return what is wrong with a JSON Feed 1.1 document."""
    tell = partial(told, where)
    try:
        feed = json.loads(document)
    except ValueError as e:
        return [tell("", f"it is JSON: {e}", "Write valid JSON in UTF-8")]
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        return [tell("items", "the document is an object with a list of items", "Add the list")]
    found = []
    if feed.get("version") != "https://jsonfeed.org/version/1.1":
        found.append(tell("version", "the version is JSON Feed 1.1", "Name https://jsonfeed.org/version/1.1"))
    if not feed.get("title"):
        found.append(tell("title", "the feed has a title", "Give it one"))
    for key in ("home_page_url", "feed_url"):
        if not ABSOLUTE.fullmatch(str(feed.get(key, ""))):
            found.append(tell(key, "the address is absolute", "Give the whole address"))
    items = feed["items"]
    ids = Counter(item.get("id") for item in items if isinstance(item, dict))
    for number, item in enumerate(items, 1):
        found += [tell(*finding) for finding in _item_findings(item, f"item {number}", ids)]
    return found


def _item_findings(item: Any, place: str, ids: Counter[Any]) -> Iterator[tuple[str, str, str]]:
    if not isinstance(item, dict):
        yield place, "an item is an object", "Write it as one"
        return
    identity = item.get("id")
    place = f"{place} ({identity})"
    if not isinstance(identity, str) or not identity.strip():
        yield place, "an item has an id that is a text", "Give it one"
    elif ids[identity] > 1:
        yield place, "an id occurs once", "Remove the second item"
    if "content_html" not in item and "content_text" not in item:
        yield place, "an item has content", "Give it content_html"
    yield from _item_values(item, place)
    yield from html_findings(str(item.get("content_html", "")), place)


def _item_values(item: dict[str, Any], place: str) -> Iterator[tuple[str, str, str]]:
    for key in ("url", "external_url", "image"):
        if key in item and not ABSOLUTE.fullmatch(str(item[key])):
            yield place, f"{key} is an absolute address", "Give the whole address"
    for key in ("date_published", "date_modified"):
        if not DATE.fullmatch(str(item.get(key, ""))):
            yield place, f"{key} is an RFC 3339 date", "Write 2026-11-23T12:00:00Z"
    for attachment in item.get("attachments", []):
        if not attachment.get("url") or not attachment.get("mime_type"):
            yield place, "an attachment has url and mime_type", "Add what is missing"


def _rss_findings(channel: Any) -> Iterator[tuple[str, str, str]]:
    for name in ("title", "link", "description"):
        if not (channel.findtext(name) or "").strip():
            yield "channel", f"the channel has a {name}", f"Add <{name}>"
    if not ABSOLUTE.fullmatch(channel.findtext("link") or ""):
        yield "channel", "the channel's link is the absolute home page", "Give the whole address"
    selves = [link for link in channel.findall(f"{_ATOM}link") if link.get("rel") == "self"]
    if len(selves) != 1 or not ABSOLUTE.fullmatch(selves[0].get("href", "")):
        yield "channel", "there is exactly one atom:link rel=self", "Add the feed's own address"
    built = channel.findtext("lastBuildDate")
    if built is not None and not _is_rfc822(built):
        yield "channel", "lastBuildDate is an RFC 822 date", "Write Mon, 23 Nov 2026 12:00:00 +0000"
    guids = Counter(item.findtext("guid") for item in channel.findall("item"))
    for number, item in enumerate(channel.findall("item"), 1):
        yield from _rss_item_findings(item, f"item {number} ({item.findtext('guid')})", guids)


def _rss_item_findings(item: Any, place: str, guids: Counter[Any]) -> Iterator[tuple[str, str, str]]:
    guid = item.find("guid")
    if guid is None or not (guid.text or "").strip() or guid.get("isPermaLink") != "false":
        yield place, 'an item has <guid isPermaLink="false">', "Give it the post's id"
    elif guids[guid.text] > 1:
        yield place, "a guid occurs once", "Remove the second item"
    if not (item.findtext("title") or "").strip():
        yield place, "an item has a title", "Give it one"
    if not ABSOLUTE.fullmatch(item.findtext("link") or ""):
        yield place, "an item's link is absolute", "Give the whole address"
    if not _is_rfc822(item.findtext("pubDate") or ""):
        yield place, "pubDate is an RFC 822 date", "Write Mon, 23 Nov 2026 12:00:00 +0000"
    if not (item.findtext("description") or "").strip():
        yield place, "an item has a description", "Give it the summary"
    if item.find(_CONTENT) is None:
        yield place, "an item has content:encoded", "Give it the full text"
    for enclosure in item.findall("enclosure"):
        if not (ABSOLUTE.fullmatch(enclosure.get("url", "")) and enclosure.get("length", "").isdigit()):
            yield place, "an enclosure has an absolute url and a length", "Add what is missing"
    yield from html_findings(item.findtext(_CONTENT) or "", place)


def _rss_entries(channel: Any) -> list[rules.Written]:
    return [
        rules.Written(
            id=item.findtext("guid") or "",
            title=item.findtext("title") or "",
            link=item.findtext("link") or "",
            published=parsedate_to_datetime(item.findtext("pubDate")),
        )
        for item in channel.findall("item")
    ]


def _is_rfc822(value: str) -> bool:
    if not _RFC822.fullmatch(value):
        return False
    try:
        parsed = parsedate_to_datetime(value)
    except ValueError:
        return False
    return parsed.strftime("%w") == str(_WEEKDAYS.index(value[:3]))


_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


def _read_again(document: bytes, written: list[rules.Written]) -> Iterator[tuple[str, str, str]]:
    """Read the document as a feed reader does and compare."""
    import feedparser

    read = feedparser.parse(document, sanitize_html=False, resolve_relative_uris=False)
    if read.bozo:
        yield "", f"feedparser reads it without complaint: {read.get('bozo_exception')}", "Mend the document"
        return
    if len(read.entries) != len(written):
        yield "", f"feedparser finds {len(written)} entries, not {len(read.entries)}", "Mend the document"
        return
    for entry, ours in zip(read.entries, written, strict=True):
        place = f"entry ({ours.id})"
        for name, seen, meant in (
            ("id", entry.get("id", ""), ours.id),
            ("title", entry.get("title", ""), ours.title),
            ("link", entry.get("link", ""), ours.link),
            ("published", _seconds(entry.get("published_parsed")), _instant(ours.published)),
            ("updated", _seconds(entry.get("updated_parsed")), _instant(ours.updated)),
        ):
            if meant not in ("", None) and seen != meant:
                yield place, f"feedparser reads the same {name}: {seen!r} for {meant!r}", f"Mend its {name}"


def _seconds(parsed: Any) -> int | None:
    return None if parsed is None else timegm(parsed)


def _instant(value: datetime | None) -> int | None:
    return None if value is None else int(value.timestamp())
