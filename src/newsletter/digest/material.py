"""What a digest is made of: everything that rendering may read, as plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from html import unescape
from urllib.parse import quote

from newsletter.compose import Corrected
from newsletter.content import clean_line
from newsletter.digest.wording import wording
from newsletter.model import Image, Post

_UNSAFE = re.compile(r'[\s"<>\\^`{|}\x00-\x1f]')
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """The publication as a digest shows it. `url` ends in a slash; `theme` is colours and fonts.

    Without a `logo` the masthead shows the publication's name.
    """

    publication: str
    url: str
    language: str = "en"
    timezone: str = "UTC"
    postal_address: str = ""
    contact: str = ""
    theme: Mapping[str, str] = field(default_factory=dict)
    logo: Image | None = None

    @property
    def media(self) -> str:
        """The URL below which resized pictures lie."""
        return f"{self.url}media/"


class Design(StrEnum):
    """Which set of templates an issue is rendered with; the value is the folder's name."""

    LETTER = "letter"
    FRONT = "front"


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One issue before it is rendered.

    `titles` knows the titles of own posts by URL and by id, None for one whose content note hides its title.
    `intro_html` is sanitised and absolute. `sections` are the tags under which a front page groups its posts.
    `corrected` is when this rendering took the place of one that somebody may have got.
    """

    newsletter: str
    title: str
    number: int
    due: datetime
    subject: str
    looks: Looks
    description: str = ""
    intro_html: str = ""
    posts: tuple[Post, ...] = ()
    corrections: tuple[Corrected, ...] = ()
    titles: Mapping[str, str | None] = field(default_factory=dict)
    full_text: bool = False
    design: Design = Design.LETTER
    sections: tuple[str, ...] = ()
    corrected: datetime | None = None

    @property
    def archive(self) -> str:
        """The URL of the issue in the web archive."""
        return issue_url(self.looks.url, self.newsletter, self.number)


class Depth(StrEnum):
    """How much of a post a digest holds."""

    FULL = "full text"
    EXCERPT = "excerpt"
    SUMMARY = "summary"
    NOTE = "content note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A compiled digest: the archive's page, spoken to nobody, and all that mails are made of, frozen.

    `depths` says by seq how much of each post it holds, `left_out` which posts had no room at all (they were the
    last), `notes` what else an editor should know.
    """

    html: str
    frozen: str
    depths: Mapping[int, Depth]
    left_out: tuple[Post, ...] = ()
    notes: tuple[str, ...] = ()


def post_url(base: str, post: Post) -> str:
    """Return the canonical page of a post."""
    return web_url(post.url or f"{base}posts/{post.slug}/")


def web_url(url: str) -> str:
    """Return a URL as every part can show it, nothing for what is none of the web."""
    whole = _UNSAFE.sub(lambda found: quote(found[0]), url)
    return whole if whole.startswith(("http://", "https://")) else ""


def title_of(post: Post) -> str:
    """Return a post's title, or the beginning of what it says."""
    said = post.title.strip() or post.summary.strip() or unescape(re.sub(r"<[^>]*>", " ", post.body_html))
    return post.title.strip() or shorten(said, 80) or f"{post.published:%Y-%m-%d}"


def issue_url(base: str, newsletter: str, number: int) -> str:
    """Return the page of an issue in the web archive."""
    return f"{base}issues/{newsletter}/{number}/"


def subject_of(template: str, posts: tuple[Post, ...], values: Mapping[str, str], language: str) -> str:
    """Return an issue's subject: `{title}`, `{number}`, `{date}` and `{first}`, the first title that may be shown.

    A post with a content note never gives its title to a subject: when no other is left, a template that asks for one
    gives way to the language's own. Titles are cut at a word, after 90 characters.
    """
    free = [title_of(post) for post in posts if post.content_note is None]
    if "{first}" in template and not free:
        fallback = wording(language).fallback_subject
        return _line(fallback.format(title=values["title"], number=values["number"]))
    subject = template
    for name, value in {**values, "first": shorten(free[0], 90) if free else ""}.items():
        subject = subject.replace(f"{{{name}}}", value.replace("{", "\x00"))
    return _line(subject.replace("\x00", "{"))


def _line(text: str) -> str:
    """Return one line that a header and the HTML's title hold alike."""
    return clean_line(_NONCHARACTERS.sub("", text))


def shorten(text: str, longest: int) -> str:
    """Cut a text at a word and say so with an ellipsis."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    head = text[: longest - 1]
    words = head.rpartition(" ")[0]
    return (words if len(words) > longest // 2 else head).rstrip(" ,;:–—-") + "…"
