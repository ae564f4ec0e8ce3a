"""What JSON Feed 1.1 demands of a document (https://www.jsonfeed.org/version/1.1/)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from newsletter.checks.reading import (
    ABSOLUTE,
    LANGUAGE,
    MEDIA_TYPE,
    Told,
    advice,
    as_date,
    html_findings,
    ours,
)

VERSIONS = ("https://jsonfeed.org/version/1", "https://jsonfeed.org/version/1.1")

_TOP = "JSON Feed 1.1, Top-level"
_ITEM = "JSON Feed 1.1, Items"
_KINDS: dict[type, str] = {str: "a text", list: "a list", dict: "an object", bool: "true or false"}
_FEED_KEYS: dict[str, type] = {
    "version": str,
    "title": str,
    "home_page_url": str,
    "feed_url": str,
    "description": str,
    "user_comment": str,
    "next_url": str,
    "icon": str,
    "favicon": str,
    "authors": list,
    "author": dict,
    "language": str,
    "expired": bool,
    "hubs": list,
    "items": list,
}
_ITEM_KEYS: dict[str, type] = {
    "id": str,
    "url": str,
    "external_url": str,
    "title": str,
    "content_html": str,
    "content_text": str,
    "summary": str,
    "image": str,
    "banner_image": str,
    "date_published": str,
    "date_modified": str,
    "authors": list,
    "author": dict,
    "tags": list,
    "language": str,
    "attachments": list,
}
_ADDRESSES = ("home_page_url", "feed_url", "next_url", "icon", "favicon", "url", "external_url", "image")


def json_findings(document: bytes) -> Iterator[Told]:
    """Yield what is wrong with a JSON Feed."""
    try:
        feed = json.loads(document)
    except (ValueError, RecursionError) as e:
        yield Told("", f"it is JSON: {e}", "Write valid JSON in UTF-8", "RFC 8259 §2")
        return
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        rule = "the document is an object with a list of items"
        yield Told("items", rule, "Add the list", _TOP)
        return
    yield from _feed(feed, document)
    items = feed["items"]
    ids = Counter(str(item.get("id")) for item in items if isinstance(item, dict))
    for number, item in enumerate(items, 1):
        if isinstance(item, dict):
            yield from _item(item, f"item {number} ({str(item.get('id'))[:300]})", ids)
        else:
            yield Told(f"item {number}", "an item is an object", "Write it as one", _ITEM)


def _feed(feed: dict[str, Any], document: bytes) -> Iterator[Told]:
    try:
        document.decode("utf-8")
    except UnicodeDecodeError:
        yield Told("", "it is encoded in UTF-8", "Write it in UTF-8", "RFC 8259 §8.1")
    if document.startswith(b"\xef\xbb\xbf"):
        yield Told("", "no byte order mark stands before it", "Remove it", "RFC 8259 §8.1")
    version = feed.get("version")
    if version not in VERSIONS:
        yield Told("version", "the version is JSON Feed 1 or 1.1", f"Name {VERSIONS[-1]}", _TOP)
    elif version != VERSIONS[-1]:
        yield ours("version", "the version is JSON Feed 1.1", f"Name {VERSIONS[-1]}")
    if not feed.get("title"):
        yield Told("title", "the feed has a title", "Give it one", _TOP)
    for key in ("home_page_url", "feed_url"):
        if key not in feed:
            yield ours(key, "the address is absolute and there", "Give the whole address")
    yield from _values(feed, _FEED_KEYS, "feed", _TOP)
    for hub in _objects(feed.get("hubs")):
        if not isinstance(hub.get("type"), str) or not isinstance(hub.get("url"), str):
            yield Told("hubs", "a hub has type and url", "Add what is missing", "JSON Feed 1.1, Hubs")


def _item(item: dict[str, Any], place: str, ids: Counter[str]) -> Iterator[Told]:
    identity = item.get("id")
    if isinstance(identity, int | float) and not isinstance(identity, bool):
        yield ours(place, "an item has an id that is a text", "Put it in quotation marks")
    elif not isinstance(identity, str) or not identity.strip():
        yield Told(place, "an item has an id that is a text", "Give it one", _ITEM)
    if ids[str(identity)] > 1:
        yield Told(place, "an id occurs once", "Remove the second item", _ITEM)
    if not isinstance(item.get("content_html"), str) and not isinstance(item.get("content_text"), str):
        yield Told(place, "an item has content", "Give it content_html or content_text", _ITEM)
    yield from _values(item, _ITEM_KEYS, place, _ITEM)
    yield from _dates(item, place)
    yield from _attachments(item, place)
    if isinstance(item.get("content_html"), str):
        yield from html_findings(item["content_html"], place)


def _dates(item: dict[str, Any], place: str) -> Iterator[Told]:
    for key in ("date_published", "date_modified"):
        if key in item and (not isinstance(item[key], str) or as_date(item[key]) is None):
            rule = f"{key} is an RFC 3339 date, not {str(item[key])[:80]!r}"
            yield Told(place, rule, "Write 2026-11-23T12:00:00Z", _ITEM)
        elif key not in item:
            yield ours(place, f"there is {key}, an RFC 3339 date", "Write 2026-11-23T12:00:00Z")


def _attachments(item: dict[str, Any], place: str) -> Iterator[Told]:
    spec = "JSON Feed 1.1, Attachments"
    for attachment in _objects(item.get("attachments")):
        url, kind = attachment.get("url"), attachment.get("mime_type")
        if not (isinstance(url, str) and isinstance(kind, str) and url and kind):
            yield Told(place, "an attachment has url and mime_type", "Add what is missing", spec)
        elif not ABSOLUTE.fullmatch(url) or not MEDIA_TYPE.fullmatch(kind):
            rule = f"an attachment has a whole url and a media type, not {url[:200]!r} and {kind[:80]!r}"
            yield Told(place, rule, "Mend them", spec)
        for key in ("size_in_bytes", "duration_in_seconds"):
            if not isinstance(attachment.get(key, 0), int | float):
                yield Told(place, f"{key} is a number", "Write it without quotation marks", spec)


def _values(told: dict[str, Any], keys: dict[str, type], place: str, spec: str) -> Iterator[Told]:
    """Yield what is wrong with the kinds of values, with addresses, languages, authors and unknown keys."""
    for key, value in told.items():
        kind = keys.get(key)
        if kind is None:
            if not key.startswith("_"):
                rule = f"an extension's name begins with an underscore, not {key[:80]!r}"
                yield advice(place, rule, "Rename it", "JSON Feed 1.1, Extensions")
        elif not isinstance(value, kind) and key != "id":
            yield Told(place, f"{key} is {_KINDS[kind]}", "Mend the value, or leave it out", spec)
        elif key in _ADDRESSES and not ABSOLUTE.fullmatch(value):
            yield Told(place, f"{key} is an absolute address, not {value[:200]!r}", "Give it whole", spec)
        elif key == "language" and not LANGUAGE.fullmatch(value):
            yield Told(place, f"language is a language tag, not {value[:80]!r}", "Mend it", spec)
        elif key == "tags" and not all(isinstance(tag, str) for tag in value):
            yield Told(place, "a tag is a text", "Put it in quotation marks", spec)
        elif key in ("authors", "attachments", "hubs") and len(list(_objects(value))) != len(value):
            yield Told(place, f"{key} is a list of objects", "Write each as an object", spec)
    yield from _authors(told, place, spec)


def _authors(told: dict[str, Any], place: str, spec: str) -> Iterator[Told]:
    if "author" in told:
        yield advice(place, "authors is a list", "Write authors: author is of version 1", spec)
    if any(not set(one) & {"name", "url", "avatar"} for one in _objects(told.get("authors"))):
        yield Told(place, "an author has a name, url or avatar", "Name the author", spec)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            yield one
