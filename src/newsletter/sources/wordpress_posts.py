"""A post as the REST API of WordPress tells it, with what is embedded in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

from newsletter.content import clean_line, plain_text
from newsletter.content.wordpress import prepare
from newsletter.errors import InputError
from newsletter.model import Author, Image
from newsletter.sources.entries import Entry, make_author, web_url

FIELDS = (
    "id,date,date_gmt,modified,modified_gmt,guid,link,status,type,title,content,excerpt,"
    "_links.author,_links.wp:featuredmedia,_links.wp:term,_embedded"
)
EMBED = "author,wp:featuredmedia,wp:term"
_STAMP = re.compile(
    r"[12]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d", re.ASCII
)
_CUT = re.compile(r"\s*(?:\[\s*(?:…|\.\.\.)\s*\]|…|\.\.\.).*\Z", re.DOTALL)


def left_out(told: dict[str, Any]) -> str:
    """Say what an item is that is not taken, empty for a post that is."""
    status = told.get("status", "publish")
    if told.get("type", "post") != "post":
        return f"{str(told['type'])[:40]} item"
    if status != "publish":
        return f"{str(status)[:40]} post"
    return "password-protected post" if _member(told, "content").get("protected") is True else ""


def guid_of(told: dict[str, Any]) -> str:
    """Return the guid, as feeds and export files of the site have it."""
    return unescape(_rendered(told, "guid")).strip()


def link_of(told: dict[str, Any]) -> str:
    """Return the URL of a post's page."""
    link = told.get("link")
    return link.strip() if isinstance(link, str) else ""


def stamp_of(told: dict[str, Any]) -> str:
    """Return when a post was last changed, in UTC if the site tells that; empty when it does not say."""
    stamps = (told.get(name) for name in ("modified_gmt", "modified"))
    return next((one for one in stamps if isinstance(one, str) and _STAMP.fullmatch(one)), "")


def entry_of(told: dict[str, Any], *, key: str, where: str, known_as: str) -> Entry:
    """Return what a post tells; `known_as` is its guid, empty when that is another post's."""
    html, dropped = prepare(_rendered(told, "content"), rendered=True)
    link = link_of(told)
    picture = _picture(told, link)
    return Entry(
        key=key,
        where=where,
        id=known_as,
        url=link,
        base=link,
        title=_rendered(told, "title"),
        title_is_html=True,
        published=_date(told, "date"),
        updated=_date(told, "modified"),
        html=html,
        summary=_excerpt(told, html),
        authors=tuple(_authors(told)),
        tags=tuple(_tags(told)),
        images=(picture,) if picture else (),
        dropped=tuple(dropped),
    )


def _member(told: dict[str, Any], name: str) -> dict[str, Any]:
    value = told.get(name)
    return value if isinstance(value, dict) else {}


def _rendered(told: dict[str, Any], name: str) -> str:
    value = _member(told, name).get("rendered")
    return value if isinstance(value, str) else ""


def _date(told: dict[str, Any], name: str) -> str:
    """Return a date in UTC, else in the site's zone; zeros mean none."""
    universal, local = (str(told.get(one) or "") for one in (f"{name}_gmt", name))
    if universal and not universal.startswith("0000"):
        return f"{universal}Z"
    return "" if local.startswith("0000") else local


def _excerpt(told: dict[str, Any], html: str) -> str:
    """Return the excerpt that somebody wrote; the one that WordPress cuts from the text is none."""
    try:
        written = clean_line(plain_text(_rendered(told, "excerpt")))
        text = clean_line(plain_text(html))
    except InputError:
        return ""  # the text's own fault is told when it is read
    return "" if text.startswith(_CUT.sub("", written)) else written


def _embedded(told: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return what is embedded under a name; what the site refused to embed is left out."""
    found = _member(told, "_embedded").get(name)
    flat = [
        inner
        for one in (found if isinstance(found, list) else [])
        for inner in (one if isinstance(one, list) else [one])
    ]
    return [one for one in flat if isinstance(one, dict) and "code" not in one]


def _authors(told: dict[str, Any]) -> Iterator[Author]:
    for one in _embedded(told, "author"):
        author = make_author(unescape(str(one.get("name") or "")))
        if author:
            yield author


def _picture(told: dict[str, Any], base: str) -> Image | None:
    for one in _embedded(told, "wp:featuredmedia"):
        src = web_url(base, str(one.get("source_url") or ""))
        if src and one.get("media_type", "image") == "image":
            details = _member(one, "media_details")
            return Image(
                src=src,
                alt=clean_line(unescape(str(one.get("alt_text") or ""))),
                caption=_line(_rendered(one, "caption")),
                width=_pixels(details.get("width")),
                height=_pixels(details.get("height")),
            )
    return None


def _line(html: str) -> str:
    try:
        return clean_line(plain_text(html))
    except InputError:
        return ""


def _pixels(value: Any) -> int:
    return value if type(value) is int and 0 < value < 100_000 else 0


def _tags(told: dict[str, Any]) -> Iterator[str]:
    for one in _embedded(told, "wp:term"):
        if one.get("taxonomy") in ("category", "post_tag") and one.get("slug") != "uncategorized":
            yield unescape(str(one.get("name") or ""))
