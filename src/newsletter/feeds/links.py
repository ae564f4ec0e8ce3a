"""Where things stand in the published tree: the one home of its addresses."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Protocol
from urllib.parse import quote

from newsletter.feeds.text import web_link
from newsletter.model import Issue

_SEPARATORS = re.compile(r"[\s_-]+")
_LIMIT = 80  # bytes of a slug, so that no file system refuses it


@lru_cache(maxsize=4096)
def word_slug(word: str) -> str:
    """Return the folder name of a tag or an author: lower-case letters and digits of any script, hyphens.

    Words that differ only in what is lost get different slugs by a short hash.
    """
    word = unicodedata.normalize("NFKC", word.encode("utf-8", "replace").decode()).casefold().lstrip("@# ")
    word = unicodedata.normalize("NFC", word).strip()
    plain = _SEPARATORS.sub("-", word).strip("-")
    kept = "".join(c if c == "-" or unicodedata.category(c)[0] in "LNM" else "-" for c in plain)
    kept = _SEPARATORS.sub("-", kept).strip("-")
    if kept == plain and 0 < len(kept.encode()) <= _LIMIT:
        return kept
    head = kept.encode()[:_LIMIT].decode("utf-8", "ignore").strip("-")
    return f"{head}-{sha256(word.encode()).hexdigest()[:6]}".lstrip("-")


def unique_tags(tags: Sequence[str]) -> list[str]:
    """Return one spelling of each tag."""
    return list({word_slug(tag): tag for tag in reversed(tags)}.values())[::-1]


class Addressed(Protocol):
    """What has a page of its own, here or elsewhere: a post, or a line about it."""

    @property
    def url(self) -> str: ...
    @property
    def slug(self) -> str: ...


def post_page(site: str, post: Addressed) -> str:
    """Return a post's canonical page."""
    return web_link(post.url) or f"{site}posts/{quote(post.slug)}/"


def tag_page(site: str, tag: str) -> str:
    """Return the page of a tag."""
    return f"{site}tags/{quote(word_slug(tag))}/"


def author_page(site: str, name: str) -> str:
    """Return the page of an author."""
    return f"{site}authors/{quote(word_slug(name))}/"


def issue_page(site: str, issue: Issue) -> str:
    """Return the web archive of an issue."""
    return f"{site}issues/{issue.newsletter}/{issue.number}/"


def media_url(site: str, name: str) -> str:
    """Return the address of a published picture."""
    return f"{site}media/{quote(name)}"
