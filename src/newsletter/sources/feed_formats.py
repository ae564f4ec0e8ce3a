"""The formats of feeds: Atom and RSS by feedparser, JSON Feed by the standard library; bytes in, entries out."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from html import unescape
from typing import Any
from urllib.parse import urljoin

from newsletter.content import clean_line, plain_text
from newsletter.errors import InputError
from newsletter.identity import is_absolute_id
from newsletter.model import Author, Citation, Enclosure, Image
from newsletter.sources.entries import Entry, make_author, web_url
from newsletter.sources.xml import check_shape, locate, to_utf8

_HTML = ("text/html", "application/xhtml+xml")
_WRITTEN = (*_HTML, "text/plain", "")
_ID = re.compile(
    rb"<(?:[\w.-]+:)?(?:id|guid|identifier)\b[^<>]{0,500}>\s*(?:<!\[CDATA\[(.{0,2500}?)\]\]>|([^<]{0,2500}))\s*</",
    re.DOTALL,
)
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)", re.DOTALL)
_TOMBSTONE = re.compile(
    rb"<(?:[\w.-]+:)?deleted-entry\b[^<>]{0,2000}?\bref\s*=\s*(?:\"([^\"<>]{0,2500})\"|'([^'<>]{0,2500})')"
)
_NOWHERE = "http://nowhere.invalid/"


def read_feed(data: bytes, *, where: str, base: str, content_type: str = "") -> list[Entry]:
    """Read a document of any of the formats; `base` is the URL that its relative links count from.

    What can be read of a malformed document is read. Raises InputError, with line and column where there
    are some, when nothing can.
    """
    head = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if head in (b"{", b"["):
        return list(_json_entries(_load_json(data), where, base))
    import feedparser

    text = to_utf8(data, content_type)
    check_shape(text)
    feed = feedparser.parse(
        io.BytesIO(text),
        response_headers={"content-location": base, "content-type": "application/xml; charset=utf-8"},
        resolve_relative_uris=False,
        sanitize_html=False,
    )
    written = _written_ids(text)
    entries = [
        _xml_entry(one, feed.feed, written, f"{where} item {number}", base)
        for number, one in enumerate(feed.entries, 1)
    ]
    if not entries and (feed.bozo or not feed.get("version")):
        reason = locate(data) or "it is well-formed but no feed"
        raise InputError(f"nothing of it can be read: {reason}", remedy="Check it with a feed validator")
    return entries


def read_tombstones(data: bytes, content_type: str = "") -> set[str]:
    """Return the ids of the entries whose end a feed tells of (RFC 6721 §2, `at:deleted-entry`)."""
    if b"deleted-entry" not in data:
        return set()
    found = _TOMBSTONE.finditer(_COMMENT.sub(b"", to_utf8(data, content_type)))
    return {unescape((one[1] or one[2] or b"").decode()).strip() for one in found} - {""}


# Atom and RSS. feedparser's dictionaries answer one key for another when asked nicely, with a warning; a
# plain look-up does not.


def _get(found: Mapping[str, Any], name: str) -> Any:
    return dict.get(found, name) if isinstance(found, dict) else None


def _string(found: Mapping[str, Any], name: str) -> str:
    value = _get(found, name)
    return value if isinstance(value, str) else ""


def _written_ids(text: bytes) -> dict[str, str]:
    """Return the ids in a document as they are written, by what feedparser makes of them.

    It joins each with the base, which changes one that is absolute (`HTTP:` becomes `http:`, an empty query is
    lost). One that is relative is not among them: the base may change.
    """
    told = [unescape((one[1] or one[2]).decode()).strip() for one in _ID.finditer(text)]
    found = {one: one for one in told}
    for one in told:
        with suppress(ValueError):
            found.setdefault(urljoin(_NOWHERE, one), one)
    return found


def _xml_entry(
    one: Mapping[str, Any], feed: Mapping[str, Any], written: Mapping[str, str], where: str, base: str
) -> Entry:
    post_id, url = written.get(_string(one, "id").strip(), ""), _string(one, "link").strip()
    if _get(one, "guidislink") and not is_absolute_id(post_id):
        post_id = ""
    body, kind, body_base, language = _body(one)
    title, summary = _get(one, "title_detail") or {}, _get(one, "summary_detail") or {}
    summary_text = "" if summary.get("value") == body else _string(summary, "value")
    links = [link for link in _get(one, "links") or [] if link.get("href")]
    return Entry(
        key=post_id or web_url(base, url) or _nameless(title, one),
        where=where,
        id=post_id,
        url=url,
        base=body_base or base,
        title=_string(title, "value"),
        title_is_html=title.get("type") in _HTML,
        published=_string(one, "published") or _string(one, "created"),
        updated=_string(one, "updated"),
        html=body if kind in _HTML else "",
        text="" if kind in _HTML else body,
        summary=summary_text,
        summary_is_html=summary.get("type") in _HTML,
        language=language or _string(feed, "language"),
        authors=_authors(one) or _authors(feed),
        tags=tuple(tag.get("label") or tag.get("term") or "" for tag in _get(one, "tags") or []),
        enclosures=tuple(_enclosures(links, base)),
        citations=tuple(_via(links, base)),
    )


def _nameless(title: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """Name an entry that has neither id nor link."""
    told = f"{_string(title, 'value')} {_string(one, 'published')}{_string(one, 'updated')} {_string(one, 'summary')}"
    return f"without id: {hashlib.blake2b(told.encode('utf-8', 'replace'), digest_size=8).hexdigest()}"


def _body(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return (value, media type, base, language) of the content, else of the summary."""
    offered = [*(_get(one, "content") or []), _get(one, "summary_detail") or {}]
    for kinds in (_HTML, _WRITTEN):
        for detail in offered:
            if detail.get("value") and (detail.get("type") or "") in kinds:
                return (
                    detail["value"],
                    detail.get("type") or "",
                    detail.get("base") or "",
                    detail.get("language") or "",
                )
    return "", "", "", ""


def _authors(found: Mapping[str, Any]) -> tuple[Author, ...]:
    told = _get(found, "authors") or []
    made = (
        make_author(_string(one, "name"), _string(one, "href"), _string(one, "email")) for one in told if one
    )
    return tuple(dict.fromkeys(author for author in made if author))


def _enclosures(links: Iterable[Mapping[str, Any]], base: str) -> Iterator[Enclosure]:
    for link in links:
        url = web_url(base, str(link["href"])) if link.get("rel") == "enclosure" else ""
        if url:
            length = str(link.get("length") or "")
            yield Enclosure(
                url=url,
                media_type=clean_line(str(link.get("type") or "")) or "application/octet-stream",
                length=int(length) if length.isascii() and length.isdigit() and len(length) < 16 else 0,
                title=clean_line(str(link.get("title") or "")),
            )


def _via(links: Iterable[Mapping[str, Any]], base: str) -> Iterator[Citation]:
    for link in links:
        url = web_url(base, str(link["href"])) if link.get("rel") == "via" else ""
        if url:
            title = clean_line(str(link.get("title") or ""))
            yield Citation(text=title or url, url=url, title=title)


# JSON Feed (https://jsonfeed.org/version/1.1); each field is looked at before it is believed.


def _load_json(data: bytes) -> dict[str, Any]:
    remedy = "Check it with a JSON Feed validator"
    try:
        feed = json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as e:
        reason = f"nothing of it can be read: {e.msg} (line {e.lineno}, column {e.colno})"
        raise InputError(reason, remedy=remedy) from e
    except (ValueError, RecursionError) as e:
        raise InputError(f"nothing of it can be read: {type(e).__name__}", remedy=remedy) from e
    version = feed.get("version") if isinstance(feed, dict) else None
    if not isinstance(version, str) or "jsonfeed.org/version/1" not in version:
        raise InputError("it is JSON but no JSON Feed of version 1 or 1.1", remedy=remedy)
    return feed if isinstance(feed, dict) else {}


def _json_entries(feed: dict[str, Any], where: str, base: str) -> Iterator[Entry]:
    items = feed.get("items")
    for number, one in enumerate(items if isinstance(items, list) else [], 1):
        if isinstance(one, dict):
            yield _json_entry(one, feed, f"{where} item {number}", base or _text(feed, "feed_url"))


def _json_entry(one: dict[str, Any], feed: dict[str, Any], where: str, base: str) -> Entry:
    url = web_url(base, _text(one, "url"))
    post_id = _text(one, "id").strip()
    external = web_url(base, _text(one, "external_url"))
    picture = _text(one, "image") or _text(one, "banner_image")
    html, text = _text(one, "content_html"), _text(one, "content_text")
    return Entry(
        key=post_id
        or url
        or f"without id: {clean_line(_text(one, 'title') or plain_text(html) or text)[:60]}",
        where=where,
        id=post_id,
        url=url,
        base=url or base,
        title=_text(one, "title"),
        published=_text(one, "date_published"),
        updated=_text(one, "date_modified"),
        html=html,
        text=text,
        summary=_text(one, "summary"),
        language=_text(one, "language") or _text(feed, "language"),
        authors=_json_authors(one) or _json_authors(feed),
        tags=tuple(tag for tag in _list(one, "tags") if isinstance(tag, str)),
        images=(Image(src=web_url(url or base, picture)),) if picture else (),
        enclosures=tuple(_attachments(one, url or base)),
        citations=(Citation(text=external, url=external),) if external and external != url else (),
    )


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    value = found.get(name)
    return value if isinstance(value, list) else []


def _json_authors(found: Mapping[str, Any]) -> tuple[Author, ...]:
    told = [*_list(found, "authors"), found.get("author")]
    made = (make_author(_text(one, "name"), _text(one, "url")) for one in told if isinstance(one, dict))
    return tuple(dict.fromkeys(author for author in made if author))


def _attachments(one: Mapping[str, Any], base: str) -> Iterator[Enclosure]:
    for link in _list(one, "attachments"):
        url = web_url(base, _text(link, "url")) if isinstance(link, dict) else ""
        if url:
            size = link.get("size_in_bytes")
            yield Enclosure(
                url=url,
                media_type=clean_line(_text(link, "mime_type")) or "application/octet-stream",
                length=size if isinstance(size, int) and 0 <= size < 2**53 else 0,
                title=clean_line(_text(link, "title")),
            )
