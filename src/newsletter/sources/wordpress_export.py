"""A WordPress export file (WXR) as a source; it is streamed, whatever its size.

Published posts are taken, and scheduled ones, which wait for their date. Pages, drafts, private and
pending posts and those behind a password are left out and counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from newsletter.content import clean_line
from newsletter.content.wordpress import prepare
from newsletter.errors import InputError, SourceError
from newsletter.model import Author, Image, Post, Rejected
from newsletter.sources import SourceContext, SourceState
from newsletter.sources.entries import Entry, make_author, to_post, web_url
from newsletter.sources.places import mark_of
from newsletter.sources.xml import XmlError, iterate

_CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
_ZERO = "0000-00-00 00:00:00"
_TAKEN = ("publish", "future")
_PICTURE = re.compile(r"\.(?:jpe?g|png|gif|webp|avif|svg)(?:\?.*)?$", re.IGNORECASE)
_KINDS = {"page": "page", "attachment": "attachment", "nav_menu_item": "menu item"}


@dataclass(frozen=True, slots=True)
class _Attachment:
    image: Image
    parent: str


@dataclass(slots=True)
class _Site:
    """What posts refer to: authors by login, pictures by attachment id, the site's own URL.

    `owners` says which post a guid is of: copied posts carry the guid of their original, whose number is lower.
    """

    url: str = ""
    authors: dict[str, Author] = field(default_factory=dict)
    pictures: dict[str, _Attachment] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)

    def find(self, ids: tuple[str, ...], parent: str) -> Sequence[Image]:
        """Return the pictures of a gallery: those named, else all that belong to the post."""
        if ids:
            return [self.pictures[one].image for one in ids if one in self.pictures]
        return [one.image for one in self.pictures.values() if one.parent == parent]


class WordPressExportSource:
    """Reads one export file twice: for authors and attachments, which may stand behind, then for posts."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._path = context.path()
        self._shown = str(context.source.path)

    def posts(self, state: SourceState) -> Iterator[Post | Rejected]:
        """Yield every published post, or nothing when the file has not changed."""
        memory = state.memory
        stamp = self._stamp()
        if memory.get("stamp") == stamp and not state.again - set(memory.get("rejected", ())):
            state.unchanged.update(memory.get("keys", ()))
            state.complete = bool(memory.get("complete"))
            return
        keys: list[str] = []
        rejected: list[str] = []
        broken = False
        try:
            for one in self._items(self._site(), state):
                keys.append(one.source_key)
                if isinstance(one, Rejected):
                    rejected.append(one.source_key)
                yield one
        except XmlError as e:
            broken = True
            keys.append(self._shown)
            rejected.append(self._shown)
            yield self._rejected(self._shown, f"{self._shown}{e.where}", e)
        state.complete = not broken
        state.memory = {"stamp": stamp, "keys": keys, "rejected": rejected, "complete": not broken}

    def _stamp(self) -> list[int]:
        try:
            stat = self._path.stat()
            with self._path.open("rb"):
                return [stat.st_mtime_ns, stat.st_size]
        except OSError as e:
            raise SourceError(
                f"it cannot be read: {e.strerror}",
                where=str(self._path),
                remedy="Check the path and its permissions",
            ) from e

    def _site(self) -> _Site:
        """Read what posts refer to; a broken file yields what stands before its fault."""
        site = _Site()
        try:
            for element in iterate(self._path, ("{*}author", "{*}base_blog_url", "item")):
                if element.tag == "item":
                    _note(_fields(element), site)
                elif element.tag.endswith("}base_blog_url"):
                    site.url = clean_line(element.text or "")
                else:
                    told = _fields(element)
                    author = make_author(told.get("author_display_name") or told.get("author_login", ""))
                    if author:
                        site.authors[told.get("author_login", "")] = author
        except XmlError:
            pass  # said when the posts are read
        return site

    def _items(self, site: _Site, state: SourceState) -> Iterator[Post | Rejected]:
        left: Counter[str] = Counter()
        number = 0
        for element in iterate(self._path, ("item",)):
            told = _fields(element)
            reason = _left_out(told)
            if reason:
                left[reason] += 1
                continue
            number += 1
            where = f"{self._shown} post {told.get('post_id') or number}"
            if site.owners.get(told.get("guid", "")) != _number(told):
                told["guid"] = ""
            key = told.get("guid") or told.get("link") or where
            try:
                yield to_post(_entry(element, told, site, key, where), self._context)
            except InputError as e:
                yield self._rejected(key, where, e, told.get("title", ""), repr(sorted(told.items())))
        if left:
            told_of = (f"{left[what]} {what}{'s' if left[what] > 1 else ''}" for what in sorted(left))
            state.notes.append(f"left out: {', '.join(told_of)}")
        if not number:
            state.notes.append(f"{self._shown} holds no posts")

    def _rejected(
        self, key: str, where: str, error: InputError, excerpt: str = "", content: str = ""
    ) -> Rejected:
        return Rejected(
            source=self._context.source.name,
            source_key=key,
            where=where,
            reason=error.what,
            remedy=error.remedy,
            excerpt=clean_line(excerpt)[:200],
            mark=mark_of(error.what, content),
        )


def _fields(element: Any) -> dict[str, str]:
    """Return the texts of an element's children by local name; the two `encoded` are told apart."""
    found: dict[str, str] = {}
    for child in element:
        if not isinstance(child.tag, str):
            continue
        name = child.tag.rpartition("}")[2]
        if name == "encoded":
            name = "content" if child.tag == _CONTENT else "excerpt"
        if name == "postmeta":
            meta = _fields(child)
            found.setdefault(f"meta {meta.get('meta_key', '')}", meta.get("meta_value", ""))
        elif name != "comment":
            text = "".join(child.itertext())
            found.setdefault(name, text if name == "content" else text.strip())
    return found


def _note(told: dict[str, str], site: _Site) -> None:
    """Remember whose guid it is, or an attachment that is a picture."""
    guid, url = told.get("guid", ""), web_url(site.url, told.get("attachment_url", ""))
    if not _left_out(told):
        site.owners[guid] = min(site.owners.get(guid, _number(told)), _number(told))
    elif told.get("post_type") == "attachment" and _PICTURE.search(url):
        image = Image(
            src=url,
            alt=clean_line(told.get("meta _wp_attachment_image_alt", "")),
            caption=clean_line(told.get("excerpt", "")),
        )
        site.pictures[told.get("post_id", "")] = _Attachment(image, told.get("post_parent", ""))


def _number(told: dict[str, str]) -> int:
    number = told.get("post_id", "")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 16 else 0


def _left_out(told: dict[str, str]) -> str:
    """Say what an item is that is not taken, empty for a post that is."""
    kind, status = told.get("post_type", "post"), told.get("status", "publish")
    if kind != "post":
        return _KINDS.get(kind, f"{kind[:40]} item")
    if status not in _TAKEN:
        return f"{status[:40]} post"
    return "password-protected post" if told.get("post_password") else ""


def _entry(element: Any, told: dict[str, str], site: _Site, key: str, where: str) -> Entry:
    number = told.get("post_id", "")
    html, dropped = prepare(told.get("content", ""), lambda ids: site.find(ids, number))
    login = told.get("creator", "")
    author = site.authors.get(login) or make_author(login)
    featured = site.pictures.get(told.get("meta _thumbnail_id", ""))
    return Entry(
        key=key,
        where=where,
        id=told.get("guid", ""),
        url=told.get("link", ""),
        base=told.get("link", "") or site.url,
        title=told.get("title", ""),
        title_is_html=True,
        published=_date(told, "post_date") or told.get("pubDate", ""),
        updated=_date(told, "post_modified"),
        html=html,
        summary=told.get("excerpt", ""),
        summary_is_html=True,
        authors=(author,) if author else (),
        tags=tuple(_tags(element)),
        images=(featured.image,) if featured else (),
        dropped=tuple(dropped),
    )


def _date(told: dict[str, str], name: str) -> str:
    """Return a date as WordPress keeps it: in UTC, else local; zeros mean none."""
    universal, local = told.get(f"{name}_gmt", ""), told.get(name, "")
    if universal and universal != _ZERO:
        return f"{universal}Z"
    return "" if local == _ZERO else local


def _tags(element: Any) -> Iterator[str]:
    for child in element.iterchildren("category"):
        named = child.get("domain") in ("category", "post_tag") and child.get("nicename") != "uncategorized"
        if named:
            yield unescape(child.text or "")  # WordPress keeps `R&amp;D`
