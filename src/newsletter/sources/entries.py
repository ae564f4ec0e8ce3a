"""From an entry of a foreign format to a Post: dates read, text sanitised, URLs absolute."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from urllib.parse import urljoin, urlsplit

from newsletter.content import (
    Content,
    Surroundings,
    clean_line,
    from_html,
    parse_date,
    plain_text,
    shorten,
    strip_controls,
    unsaid,
)
from newsletter.content.plain import paragraphs
from newsletter.errors import InputError
from newsletter.identity import canonical_url, is_absolute_id
from newsletter.model import Author, Citation, Enclosure, Image, Post
from newsletter.sources import SourceContext

TITLE_LENGTH = 80  # characters of a title made from the text
_SOURCES = re.compile(r"<img\b[^<>]*?\bsrc\s*=\s*[\"']([^\"'<>]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a format tells of one item, as it is written there.

    `key` is how the source names it, `id` a global id of its own, if any. `html` or `text` is the body;
    `title` and `summary` may hold HTML when `title_is_html`, `summary_is_html` say so. `images` are
    pictures told beside the body: the first is shown before it unless it stands there already.
    """

    key: str
    where: str
    id: str = ""
    url: str = ""
    base: str = ""
    title: str = ""
    title_is_html: bool = False
    published: str = ""
    updated: str = ""
    html: str = ""
    text: str = ""
    summary: str = ""
    summary_is_html: bool = False
    language: str = ""
    authors: tuple[Author, ...] = ()
    tags: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()
    enclosures: tuple[Enclosure, ...] = ()
    citations: tuple[Citation, ...] = ()
    dropped: tuple[str, ...] = ()


def to_post(entry: Entry, context: SourceContext) -> Post:
    """Turn an entry into a post; raises InputError when it has no readable date or nothing to show."""
    published, updated, date_only = _dates(entry, context.timezone)
    url = web_url(entry.base, entry.url)
    content = _content(entry, url, context)
    title = _title(entry, content)
    summary = plain_text(entry.summary) if entry.summary_is_html else entry.summary
    return Post(
        source=context.source.name,
        source_key=entry.key,
        id=entry.id if is_absolute_id(entry.id) else "",
        url=url,
        title=title,
        published=published,
        updated=updated,
        date_only=date_only,
        body_html=content.html,
        summary=shorten(clean_line(summary)) or content.summary,
        language=entry.language or context.language,
        authors=entry.authors,
        tags=tuple(dict.fromkeys(filter(None, map(clean_line, entry.tags)))),
        images=content.images,
        citations=content.citations + unsaid(entry.citations, content.html),
        references=content.references,
        enclosures=entry.enclosures,
        word_count=content.word_count,
        dropped=(*entry.dropped, *content.dropped),
    )


def web_url(base: str, url: str) -> str:
    """Return a link as an absolute http or https URL without tracking, empty when it is none."""
    try:
        absolute = urljoin(base, clean_line(url))
        parts = urlsplit(absolute)
    except ValueError:
        return ""
    if not url or parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    return canonical_url(absolute).replace(" ", "%20")


def make_author(name: str, uri: str = "", email: str = "") -> Author | None:
    """Return an author, the e-mail address kept apart from the name (RSS writes `ada@example.org (Ada)`).

    One without a name is called by the address's first part, else by the host of the page.
    """
    name, email = clean_line(name), clean_line(email)
    match = re.fullmatch(
        r"<?([^\s@<>()]+@[^\s@<>()]+)>?(?:\s*\((.*)\))?|(.+?)\s*<([^\s@<>]+@[^\s@<>]+)>", name
    )
    if match:
        email = match[1] or match[4]
        name = match[2] or match[3] or ""
    page = web_url("", uri)
    name = name or email.partition("@")[0] or urlsplit(page).netloc
    return Author(name=name, uri=page, email=email) if name else None


def _dates(entry: Entry, zone: str) -> tuple[datetime, datetime, bool]:
    written = entry.published.strip() or entry.updated.strip()
    if not written:
        raise InputError("it has no date", remedy="Give it one at its source; until then it waits here")
    published, date_only = parse_date(written, zone)
    updated = parse_date(entry.updated, zone)[0] if entry.updated.strip() else published
    return published, max(published, updated), date_only


def _content(entry: Entry, url: str, context: SourceContext) -> Content:
    base = entry.base or url
    own = f"{context.config.publication.url}posts/"
    surroundings = Surroundings(
        base_url=url or base,
        resolve_link=lambda link: urljoin(base, link),
        resolve_image=lambda image: replace(image, src=urljoin(base, image.src)),
        is_own_post=lambda link: link.startswith(own),
        id_prefix=f"p{hashlib.blake2b(entry.key.encode('utf-8', 'replace'), digest_size=4).hexdigest()}",
    )
    before = _lead(entry)
    html = entry.html or paragraphs(strip_controls(entry.text))
    content = from_html(before + html, surroundings)
    if before and content.images:
        first, *others = content.images
        content = replace(content, images=(replace(first, lead=True), *others))
    return content


def _lead(entry: Entry) -> str:
    """Write the picture told beside the body as a figure, unless some size of it is in the body."""
    image = next((one for one in entry.images if one.src), None)
    if image is None or _stem(image.src) in {_stem(src) for src in _SOURCES.findall(entry.html)}:
        return ""
    caption = f"<figcaption>{escape(image.caption)}</figcaption>" if image.caption else ""
    size = f' width="{image.width}" height="{image.height}"' if image.width and image.height else ""
    return f'<figure><img src="{escape(image.src)}" alt="{escape(image.alt)}"{size}>{caption}</figure>\n'


def _stem(src: str) -> str:
    """Return a picture's file name without the size that WordPress writes into it."""
    name = src.partition("?")[0].rpartition("/")[2].rpartition(".")[0]
    return re.sub(r"-\d+x\d+$", "", name)


def _title(entry: Entry, content: Content) -> str:
    title = clean_line(plain_text(entry.title) if entry.title_is_html else entry.title)
    title = title or shorten(clean_line(plain_text(content.html)), TITLE_LENGTH)
    if not title:
        raise InputError("it has neither title nor text", remedy="Give it a title at its source")
    return title
