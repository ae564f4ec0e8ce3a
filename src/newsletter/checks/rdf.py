"""What RSS 1.0 demands, and 0.90 before it: feeds in RDF, whose items stand beside the channel."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from newsletter.checks.reading import ABSOLUTE, WEB, Told, advice, html_findings, ours, text_of

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NAMESPACES = ("http://purl.org/rss/1.0/", "http://my.netscape.com/rdf/simple/0.9/")

_R = f"{{{RDF}}}"
_DATE = "{http://purl.org/dc/elements/1.1/}date"
_CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
_W3CDTF = re.compile(
    r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])"
    r"(T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?)?)?",
    re.ASCII,
)


def rdf_findings(root: Any) -> Iterator[Told]:
    """Yield what is wrong with a parsed document whose root is rdf:RDF."""
    namespace = next((one for one in NAMESPACES if root.find(f"{{{one}}}channel") is not None), "")
    channels = root.findall(f"{{{namespace}}}channel")
    if not namespace or len(channels) != 1:
        yield Told("rdf:RDF", "there is one channel of RSS 1.0", "Give it one channel", "RSS 1.0 §5.3")
        return
    ns, items = f"{{{namespace}}}", root.findall(f"{{{namespace}}}item")
    yield ours("rdf:RDF", "the root is <rss version='2.0'>, or Atom's feed", "Write Atom, or RSS 2.0")
    (channel,) = channels
    yield from _required(channel, ns, ("title", "link", "description"), "channel", "5.3")
    if namespace == NAMESPACES[0]:
        yield from _listed(root, channel, items, ns)
    for name, parts, section in (
        ("image", ("title", "url", "link"), "5.4"),
        ("textinput", ("title", "description", "name", "link"), "5.6"),
    ):
        for one in root.findall(f"{ns}{name}"):
            yield from _required(one, ns, parts, name, section)
    for number, item in enumerate(items, 1):
        yield from _item(item, ns, number)


def _listed(root: Any, channel: Any, items: list[Any], ns: str) -> Iterator[Told]:
    """Yield what is wrong with the names of resources, which RSS 1.0 alone asks for."""
    for one in (channel, *items):
        if not ABSOLUTE.fullmatch(one.get(f"{_R}about", "")):
            name = one.tag.removeprefix(ns)
            yield Told(name, "it is named by rdf:about", "Give it its address", "RSS 1.0 §5.2")
    listed = {
        one.get(f"{_R}resource") or one.get("resource")
        for one in channel.iterfind(f"{ns}items/{_R}Seq/{_R}li")
    }
    abouts = Counter(item.get(f"{_R}about") for item in items)
    if channel.find(f"{ns}items/{_R}Seq") is None:
        yield Told("channel", "the channel lists its items", "Add <items><rdf:Seq>", "RSS 1.0 §5.3.5")
    elif listed != set(abouts):
        yield advice("channel", "the channel lists the items there are", "List them", "RSS 1.0 §5.3.5")
    for about, count in abouts.items():
        if about and count > 1:
            yield Told(f"item ({about})", "rdf:about occurs once", "Remove the second item", "RSS 1.0 §5.5")


def _item(item: Any, ns: str, number: int) -> Iterator[Told]:
    link = text_of(item.find(f"{ns}link")).strip()
    place = f"item {number} ({link[:300]})"
    yield from _required(item, ns, ("title", "link"), place, "5.5")
    date = item.find(_DATE)
    if date is None:
        yield ours(place, "an item has a dc:date", "Write 2026-11-23T12:00:00Z")
    elif not _W3CDTF.fullmatch(text_of(date).strip()):
        rule = f"dc:date is a date of W3CDTF, not {text_of(date)[:80]!r}"
        yield Told(place, rule, "Write 2026-11-23T12:00:00Z", "RSS 1.0, Dublin Core module")
    yield from html_findings(text_of(item.find(_CONTENT)) or text_of(item.find(f"{ns}description")), place)


def _required(element: Any, ns: str, names: tuple[str, ...], place: str, section: str) -> Iterator[Told]:
    for name in names:
        found = element.findall(f"{ns}{name}")
        if len(found) != 1 or not text_of(found[0]).strip():
            yield Told(place, f"there is one {name}", f"Add <{name}>", f"RSS 1.0 §{section}")
        elif name in ("link", "url") and not WEB.fullmatch(text_of(found[0]).strip()):
            rule = f"{name} is absolute, not {text_of(found[0])[:200]!r}"
            yield Told(place, rule, "Give the whole address", f"RSS 1.0 §{section}")
