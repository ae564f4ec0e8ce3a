"""How a feed is served: what its HTTP answers say, beside what its document says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin

from newsletter.checks.atom import self_links
from newsletter.checks.reading import LARGEST, BadDocument, Told, advice, parse_xml

_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_DECLARED = re.compile(rb"\s*<\?xml[^>]*\sencoding\s*=\s*[\"']([A-Za-z0-9._:-]+)")
_WANTED = {"atom": "application/atom+xml", "rss": "application/rss+xml", "json": "application/feed+json"}
_ALSO = {"atom": ("application/xml", "text/xml"), "rss": ("application/xml", "text/xml"), "json": ()}
_SMALL = 1500  # bytes: what one packet carries need not be compressed


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What came over HTTP: `asked` is the address that was asked, `url` where the answer came from.

    `permanent` says that every redirect between them was. `revalidated` is whether asking again with the
    answer's own ETag and Last-Modified brought 304, None when there was neither.
    """

    asked: str
    url: str
    body: bytes
    permanent: bool = False
    content_type: str = ""
    encoding: str = ""
    etag: str = ""
    last_modified: str = ""
    revalidated: bool | None = None


def served_findings(served: Served) -> Iterator[Told]:
    """Yield what is wrong with how a feed is served."""
    kind = _kind(served.body)
    yield from _moved(served)
    yield from _typed(served, kind)
    yield from _cached(served)
    if served.encoding == "" and len(served.body) > _SMALL:
        rule = f"it is compressed when a reader asks for gzip: {len(served.body)} bytes came"
        yield advice("HTTP", rule, "Switch compression on for feeds", "RFC 9110 §8.4")
    if len(served.body) > LARGEST:
        rule = f"it is at most {LARGEST} bytes, not {len(served.body)}: each reader gets it many times a day"
        yield advice("HTTP", rule, "Publish fewer entries")
    yield from _named(served, kind)


def _kind(body: bytes) -> str:
    head = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:1] in (b"{", b"["):
        return "json"
    try:
        tag = parse_xml(body, typed=True).tag
    except BadDocument:
        return ""
    return "atom" if tag.startswith("{http://www.w3.org/2005/Atom}") else "rss"


def _moved(served: Served) -> Iterator[Told]:
    if served.url == served.asked:
        return
    if served.permanent:
        yield advice(
            "HTTP", f"it has moved for good to {served.url}", "Announce that address", "RFC 9110 §15.4"
        )
    else:
        rule = f"it redirects for the time being to {served.url}"
        remedy = "Redirect with 301 when that is meant to last: readers keep asking the old address"
        yield advice("HTTP", rule, remedy, "RFC 9110 §15.4")


def _typed(served: Served, kind: str) -> Iterator[Told]:
    told = served.content_type.partition(";")[0].strip().lower()
    if kind and told not in (_WANTED[kind], *_ALSO[kind]) and (kind, told) != ("json", "application/json"):
        rule = f"its type is {_WANTED[kind]}, not {told or 'left out'}"
        yield advice("HTTP", rule, f"Send Content-Type: {_WANTED[kind]}; charset=utf-8", "RFC 9110 §8.3")
    elif kind and told in _ALSO[kind]:
        rule = f"its type is {_WANTED[kind]} rather than {told}"
        yield advice("HTTP", rule, f"Send Content-Type: {_WANTED[kind]}; charset=utf-8", "RFC 9110 §8.3")
    charset = _CHARSET.search(served.content_type)
    if charset is None:
        return
    declared = _DECLARED.match(served.body.removeprefix(b"\xef\xbb\xbf"))
    written = declared[1].decode().lower() if declared else "utf-8"
    if kind and charset[1].lower() != written:
        rule = f"the charset is the document's {written}, not {charset[1]}"
        yield Told("HTTP", rule, "Make header and document say the same", "RFC 7303 §3.2")


def _cached(served: Served) -> Iterator[Told]:
    if served.revalidated is None:
        rule = "it has an ETag or a Last-Modified: without, readers fetch all of it every time"
        yield advice("HTTP", rule, "Send one of them", "RFC 9110 §8.8")
    elif not served.revalidated:
        names = " and ".join(
            name for name, value in (("ETag", served.etag), ("Last-Modified", served.last_modified)) if value
        )
        rule = f"asked again with its own {names}, it answers 304"
        yield advice("HTTP", rule, "Let the server compare them", "RFC 9110 §13.2.2")


def _named(served: Served, kind: str) -> Iterator[Told]:
    """Compare the document's own address with the one that it was got from."""
    told = [urljoin(served.url, one) for one in _selves(served.body, kind)]
    if told and not {served.url, served.asked} & set(told):
        rule = f"the address that it names as its own is {served.url}, not {told[0]}"
        yield advice("HTTP", rule, "Name the address at which it is served", "RFC 4287 §4.2.7.2")


def _selves(body: bytes, kind: str) -> list[str]:
    if kind == "json":
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            return []
        address = told.get("feed_url") if isinstance(told, dict) else None
        return [address] if isinstance(address, str) else []
    return self_links(parse_xml(body, typed=True)) if kind else []
