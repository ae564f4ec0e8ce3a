"""What RSS demands of a document: 2.0 and the versions before it that share its elements (0.91 to 0.94)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from newsletter.checks.atom import NAMESPACE as ATOM
from newsletter.checks.atom import self_links
from newsletter.checks.reading import (
    ABSOLUTE,
    ADDRESS,
    LANGUAGE,
    LARGEST,
    MEDIA_TYPE,
    WEB,
    Told,
    Written,
    advice,
    html_findings,
    media_findings,
    ours,
    text_of,
)

_RFC822 = re.compile(
    r"(?:(?P<day>Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?\d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"(?P<year>\d{4}|\d\d) \d\d:\d\d(?P<second>:\d\d)? (?P<zone>[+-]\d{4}|UT|GMT|[ECMP][SD]T|[A-IK-Z])",
    re.ASCII,
)
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_VERSIONS = ("0.91", "0.92", "0.93", "0.94")
_CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
_DC = "{http://purl.org/dc/elements/1.1/}"
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|&(#\d+|#x[0-9a-fA-F]+|[a-zA-Z]+);")
_DIGITS = re.compile("[0-9]+")

#: What the specification names, and whether it may be repeated.
_CHANNEL = {
    **dict.fromkeys(("title", "link", "description", "language", "copyright", "managingEditor"), False),
    **dict.fromkeys(("webMaster", "pubDate", "lastBuildDate", "generator", "docs", "cloud", "ttl"), False),
    **dict.fromkeys(("image", "rating", "textInput", "skipHours", "skipDays"), False),
    **dict.fromkeys(("category", "item"), True),
}
_ITEM = {
    **dict.fromkeys(("title", "link", "description", "author", "comments", "guid", "pubDate"), False),
    **dict.fromkeys(("source", "expirationDate"), False),
    **dict.fromkeys(("category", "enclosure"), True),
}
_ATTRIBUTES = {
    "category": {"domain"},
    "cloud": {"domain", "port", "path", "registerProcedure", "protocol"},
    "enclosure": {"url", "length", "type"},
    "guid": {"isPermaLink"},
    "source": {"url"},
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def rss_findings(root: Any, size: int) -> Iterator[Told]:
    """Yield what is wrong with a parsed document whose root is `rss`, of `size` bytes."""
    channels = root.findall("channel")
    if len(channels) != 1:
        rule = "the root is <rss version='2.0'> with a channel"
        yield Told("rss", rule, "Give it one channel", _spec("rss"))
        return
    version = root.get("version")
    if version in _VERSIONS:
        yield ours("rss", f"the root is <rss version='2.0'>, not {version}", "Write RSS 2.0, or Atom")
    elif version != "2.0":
        yield Told("rss", f"the root is <rss version='2.0'>, not {version}", "Name 2.0", _spec("rss"))
    if root.getroottree().docinfo.doctype:
        yield ours("rss", "the document has no document type", "Remove <!DOCTYPE …>: nobody reads it")
    (channel,) = channels
    items = channel.findall("item")
    yield from _channel(channel, root)
    if size > LARGEST and len(items) > 1:
        yield ours("channel", f"the document is at most {LARGEST} bytes, not {size}", "Publish fewer items")
    guids = Counter(text_of(item.find("guid")) for item in items)
    for number, item in enumerate(items, 1):
        yield from _item(item, _named(item, number), guids)


def rss_entries(channel: Any) -> list[Written]:
    """Return what a reader must find in a document without findings."""
    return [
        Written(
            id=item.findtext("guid") or "",
            title=item.findtext("title") or "",
            link=item.findtext("link") or "",
            published=parsedate_to_datetime(item.findtext("pubDate")),
        )
        for item in channel.findall("item")
    ]


def _spec(name: str) -> str:
    return f"RSS 2.0, <{name}>"


def _named(item: Any, number: int) -> str:
    name = text_of(item.find("guid")) or text_of(item.find("link")) or text_of(item.find("title"))
    return f"item {number} ({' '.join(name.split())[:300]})"


def _channel(channel: Any, root: Any) -> Iterator[Told]:
    for name in ("title", "link", "description"):
        if not text_of(channel.find(name)).strip():
            yield Told("channel", f"the channel has a {name}", f"Add <{name}>", _spec("channel"))
    link = text_of(channel.find("link"))
    if link and not WEB.fullmatch(link.strip()):
        rule = f"the channel's link is the absolute home page, not {link[:200]!r}"
        yield Told("channel", rule, "Give the whole address", _spec("channel"))
    selves = self_links(root)
    if len(selves) != 1 or not ABSOLUTE.fullmatch(selves[0]):
        yield ours("channel", "there is exactly one atom:link rel=self", "Add the feed's own address")
    yield from _structure(channel, "channel", _CHANNEL)
    yield from _dates(channel, "channel", ("pubDate", "lastBuildDate"))
    language = channel.findtext("language")
    if language is not None and not LANGUAGE.fullmatch(language.strip()):
        yield Told("channel", f"language is a language tag, not {language!r}", "Mend it", _spec("language"))
    for name in ("managingEditor", "webMaster"):
        yield from _address(channel.find(name), name, "channel")
    for link in channel.findall(f"{{{ATOM}}}link"):
        if not ABSOLUTE.fullmatch(link.get("href", "")):
            yield Told("channel", "an atom:link is absolute", "Give the whole address", "RFC 4287 §4.2.7.1")
    yield from _image(channel)
    yield from _timing(channel)


def _image(channel: Any) -> Iterator[Told]:
    for name, parts in (
        ("image", ("url", "title", "link")),
        ("textInput", ("title", "description", "name", "link")),
    ):
        for one, part in ((one, part) for one in channel.findall(name) for part in parts):
            if not text_of(one.find(part)).strip():
                yield Told("channel", f"the {name} has a {part}", f"Add <{part}>", _spec(name))
    home = text_of(channel.find("link")).strip()
    for image in channel.findall("image"):
        yield from _measures(image)
        addresses = {part: text_of(image.find(part)).strip() for part in ("url", "link")}
        for part, address in addresses.items():
            if address and not WEB.fullmatch(address):
                yield Told("channel", f"the image's {part} is absolute", "Give it whole", _spec("image"))
        if addresses["link"] and home and addresses["link"] != home:
            yield advice("channel", "the image's link is the channel's", "Make them alike", _spec("image"))


def _measures(image: Any) -> Iterator[Told]:
    for part, most in (("width", 144), ("height", 400)):
        size = image.findtext(part, "1").strip()
        if not _DIGITS.fullmatch(size) or not 0 < int(size[:9]) <= most:
            rule = f"the image's {part} is at most {most}, not {size[:80]!r}"
            yield Told("channel", rule, "Give a smaller picture", _spec("image"))


def _timing(channel: Any) -> Iterator[Told]:
    """Yield what is wrong with what tells readers when to come again."""
    ttl = channel.findtext("ttl")
    if ttl is not None and not _DIGITS.fullmatch(ttl.strip()):
        yield Told("channel", f"ttl is a number of minutes, not {ttl!r}", "Write digits", _spec("ttl"))
    for hour in channel.iterfind("skipHours/hour"):
        value = text_of(hour).strip()
        if not _DIGITS.fullmatch(value) or int(value[:9]) > 24:
            yield Told("channel", f"an hour is 0 to 23, not {value!r}", "Mend it", _spec("skipHours"))
    for day in channel.iterfind("skipDays/day"):
        if text_of(day).strip() not in _DAYS:
            rule = f"a day is Monday to Sunday, not {text_of(day)!r}"
            yield Told("channel", rule, "Write it in English and whole", _spec("skipDays"))
    for cloud in channel.findall("cloud"):
        missing = _ATTRIBUTES["cloud"] - set(cloud.attrib)
        if missing:
            rule = f"a cloud has {', '.join(sorted(missing))}"
            yield Told("channel", rule, "Add it, or name a WebSub hub", _spec("cloud"))


def _structure(element: Any, place: str, known: dict[str, bool]) -> Iterator[Told]:
    """Yield elements, attributes and text that have no place, and what stands twice."""
    kind = element.tag
    children = [child for child in element if isinstance(child.tag, str)]
    for name, count in Counter(child.tag for child in children if "}" not in child.tag).items():
        if name not in known:
            rule = f"the specification knows no <{name}> here"
            yield Told(place, rule, "Remove it, or put it into a namespace", _spec(kind))
        elif count > 1 and not known[name]:
            yield Told(place, f"there is at most one {name}", "Keep one", _spec(kind))
    for child in children:
        for key in child.attrib if "}" not in child.tag else ():
            if "}" not in key and key not in _ATTRIBUTES.get(child.tag, ()):
                yield Told(place, f"<{child.tag}> has no attribute {key}", "Remove it", _spec(child.tag))
        if child.tag.startswith("{http://search.yahoo.com/mrss}"):
            rule = "the namespace of Media RSS ends in a slash"
            yield Told(place, rule, "Write http://search.yahoo.com/mrss/", "Media RSS 1.5.1")
    if any((text or "").strip() for text in (element.text, *(child.tail for child in element))):
        yield Told(place, "no text stands outside the elements", "Remove it", _spec(kind))


def _item(item: Any, place: str, guids: Counter[str]) -> Iterator[Told]:
    yield from _structure(item, place, _ITEM)
    yield from _guid(item, place, guids)
    yield from _texts(item, place)
    yield from _item_addresses(item, place)
    if item.find("pubDate") is None and item.find(f"{_DC}date") is None:
        yield ours(place, "pubDate is an RFC 822 date", "Write Mon, 23 Nov 2026 12:00:00 +0000")
    yield from _dates(item, place, ("pubDate",))
    yield from _address(item.find("author"), "author", place)
    yield from _said_twice(item, place)
    yield from _enclosures(item, place)
    yield from media_findings(item, place)


def _texts(item: Any, place: str) -> Iterator[Told]:
    """Yield what is wrong with title, description and full text."""
    title, description = (text_of(item.find(name)).strip() for name in ("title", "description"))
    if not title and not description:
        yield Told(place, "an item has a title or a description", "Give it one", _spec("item"))
    if not title:
        yield ours(place, "an item has a title", "Give it one")
    elif _MARKUP.search(title):
        rule = "a title is plain text: readers differ about what looks like markup"
        yield advice(place, rule, "Write it without", _spec("title"))
    if not description:
        yield ours(place, "an item has a description", "Give it the summary")
    full = item.find(_CONTENT)
    if full is None:
        yield ours(place, "an item has content:encoded", "Give it the full text")
    yield from html_findings(text_of(full) or description, place)


def _item_addresses(item: Any, place: str) -> Iterator[Told]:
    link = item.findtext("link")
    if link is None:
        yield ours(place, "an item's link is absolute and there", "Give the whole address")
    elif not ABSOLUTE.fullmatch(link.strip()):
        rule = f"an item's link is absolute, not {link[:200]!r}"
        yield Told(place, rule, "Give the whole address", _spec("link"))
    for name in ("comments", "source"):
        for one in item.findall(name):
            if not ABSOLUTE.fullmatch((one.get("url", "") if name == "source" else text_of(one)).strip()):
                yield Told(place, f"{name} has an absolute url", "Give it whole", _spec(name))


def _guid(item: Any, place: str, guids: Counter[str]) -> Iterator[Told]:
    guid = item.find("guid")
    text, permanent = text_of(guid), "true" if guid is None else guid.get("isPermaLink", "true")
    if not text.strip() or permanent != "false":
        yield ours(place, 'an item has <guid isPermaLink="false">', "Give it an id that never changes")
    if guid is None:
        return
    if not text.strip():
        yield Told(place, "a guid says something", "Give it an id", _spec("guid"))
    elif guids[text] > 1:
        yield Told(place, "a guid occurs once", "Remove the second item", _spec("guid"))
    if permanent not in ("true", "false"):
        yield Told(place, f"isPermaLink is true or false, not {permanent!r}", "Mend it", _spec("guid"))
    elif permanent == "true" and text.strip() and not WEB.fullmatch(text.strip()):
        rule = f"a guid without isPermaLink is an address, not {text[:200]!r}"
        yield Told(place, rule, 'Add isPermaLink="false"', _spec("guid"))


def _said_twice(item: Any, place: str) -> Iterator[Told]:
    for core, other in (("pubDate", "date"), ("author", "creator"), ("category", "subject")):
        if item.find(core) is not None and item.find(f"{_DC}{other}") is not None:
            rule = f"{core} and dc:{other} say the same: one is enough"
            yield advice(place, rule, f"Remove dc:{other}", "RSS Advisory Board, Best Practices Profile")


def _enclosures(item: Any, place: str) -> Iterator[Told]:
    enclosures = item.findall("enclosure")
    if len(enclosures) > 1:
        yield advice(place, "an item has one enclosure", "Keep one: readers differ", _spec("enclosure"))
    for enclosure in enclosures:
        url, length, kind = (enclosure.get(key, "") for key in ("url", "length", "type"))
        if not (WEB.fullmatch(url) and _DIGITS.fullmatch(length)):
            rule = "an enclosure has an absolute url and a length in bytes"
            yield Told(place, rule, "Add what is missing; 0 where it is not known", _spec("enclosure"))
        if not MEDIA_TYPE.fullmatch(kind):
            yield Told(place, f"an enclosure has a media type, not {kind!r}", "Add it", _spec("enclosure"))


def _address(person: Any, name: str, place: str) -> Iterator[Told]:
    text = text_of(person)
    if person is not None and not ADDRESS.search(text):
        remedy = "Write editor@example.org (Name), or use dc:creator for a name alone"
        yield Told(place, f"{name} is an e-mail address, not {text[:200]!r}", remedy, _spec(name))


def _dates(element: Any, place: str, names: tuple[str, ...]) -> Iterator[Told]:
    for name in names:
        for one in element.findall(name):
            yield from _date(text_of(one), name, place)


def _date(value: str, name: str, place: str) -> Iterator[Told]:
    match, date = _RFC822.fullmatch(value.strip()), _instant(value)
    remedy = "Write Mon, 23 Nov 2026 12:00:00 +0000"
    if match is None or date is None:
        yield Told(place, f"{name} is an RFC 822 date, not {value[:80]!r}", remedy, "RFC 822 §5.1")
        return
    if match["day"] and _WEEKDAYS[date.weekday()] != match["day"]:
        rule = f"{name} is an RFC 822 date whose day of the week is right, not {value!r}"
        yield Told(place, rule, remedy, "RFC 822 §5.2")
    if len(match["year"]) == 2 or match["zone"][0] not in "+-GU" or not match["second"]:
        rule = f"{name} has a year of four digits, seconds and a zone in digits, not {value!r}"
        yield ours(place, rule, remedy)


def _instant(value: str) -> datetime | None:
    try:
        return parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
