"""One entry, the same for every format: made once from a post or an issue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from html import escape
from typing import NamedTuple, Protocol, TypeVar

from newsletter.content import unsaid
from newsletter.digest.wording import day, wording
from newsletter.feeds.links import issue_page, media_url, post_page
from newsletter.feeds.text import legal, line, paragraph, rfc3339, shorten, strip_tags, web_link
from newsletter.model import Author, Citation, Enclosure, Image, Issue, Post, Reference, Relation

_T = TypeVar("_T")
_SMALL, _LARGE = 600, 1200  # CSS pixels: the widths of the resized copies


class Site(Protocol):
    """What an entry must know of where it is published (a Feed, or the pages' site)."""

    @property
    def site(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def timezone(self) -> str: ...


class _Place(NamedTuple):
    site: str
    language: str
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture as feed readers get it: its file, its measures (0 when unknown), its words."""

    url: str
    width: int = 0
    height: int = 0
    media_type: str = ""
    size: int = 0
    alt: str = ""
    caption: str = ""
    credit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What stands in a feed. Texts are one line of plain text, `html` is whole and has absolute URLs.

    `pictures` and `thumbnail` are empty when a content note stands before the entry; `via` are cited works
    and `related` earlier posts that have an address, each address once.
    """

    id: str
    url: str
    title: str
    summary: str
    html: str
    published: datetime
    updated: datetime
    language: str = ""
    authors: tuple[Author, ...] = ()
    tags: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    thumbnail: Picture | None = None
    via: tuple[Citation, ...] = ()
    related: tuple[Reference, ...] = ()
    enclosures: tuple[Enclosure, ...] = ()


def entry_of_post(site: Site, post: Post) -> Entry:
    """Return the entry of a post; those of the last few hundred are kept."""
    return _entry_of_post(_Place(site.site, site.language, site.timezone), post)


@lru_cache(maxsize=512)
def _entry_of_post(site: _Place, post: Post) -> Entry:
    lead = next((image for image in post.images if image.lead), None)
    noted = post.content_note is not None
    return Entry(
        id=legal(post.id).strip(),
        url=post_page(site.site, post),
        title=entry_title(post),
        summary=entry_summary(post),
        html=entry_html(site, post),
        published=post.published,
        updated=post.updated,
        language=post.language or site.language,
        authors=tuple(author for author in post.authors if line(author.name)),
        tags=tuple(dict.fromkeys(filter(None, map(line, post.tags)))),
        pictures=() if noted else tuple(filter(None, (large_picture(site, i) for i in post.images))),
        thumbnail=None if noted or lead is None else small_picture(site, lead),
        via=_once(post.citations, lambda citation: citation.url),
        related=_once(post.references, lambda reference: reference.url),
        enclosures=tuple(e for e in post.enclosures if _attachable(e, noted)),
    )


def entitled(posts: Sequence[Post], site: Site, told: Sequence[Post]) -> list[Post]:
    """Give each reference the title of the post it leads to, or what a listing says when that is hidden.

    A reference to a post that is not among those `told` keeps the words it was written with.
    """
    known = {post_page(site.site, post): post for post in told} | {post.id: post for post in told}
    return [
        replace(
            post,
            references=tuple(
                _entitled(one, known, post.language or site.language) for one in post.references
            ),
        )
        if post.references
        else post
        for post in posts
    ]


def _entitled(reference: Reference, known: Mapping[str, Post], language: str) -> Reference:
    told = known.get(reference.post_id) or known.get(web_link(reference.url))
    if told is None:
        return reference
    hidden = told.content_note is not None and not told.content_note.show_title
    return replace(reference, title=wording(language).noted_earlier if hidden else entry_title(told))


def entry_of_issue(site: Site, identity: str, issue: Issue, posts: Sequence[Post]) -> Entry:
    """Return the entry of a sent issue: its introduction, then its posts in their order."""
    items = [legal(issue.intro_html)] if issue.intro_html else []
    for post in posts:
        address = escape(post_page(site.site, post))
        items.append(f'<h2><a href="{address}">{escape(listed_title(post))}</a></h2>')
        items.append(f"<p>{escape(entry_summary(post))}</p>")
    return Entry(
        id=identity,
        url=issue_page(site.site, issue),
        title=line(issue.subject) or f"{issue.newsletter} {issue.number}",
        summary=shorten("; ".join(map(listed_title, posts))) or line(issue.subject),
        html="\n".join(items),
        published=issue.dated,
        updated=issue.corrected_at or issue.dated,
        language=site.language,
    )


def entry_title(post: Post) -> str:
    """Return the title that may be shown anywhere: the content note's words when it hides the title."""
    if post.content_note is not None and not post.content_note.show_title:
        return _note_line(post)
    return line(post.title) or shorten(post.summary, 80) or rfc3339(post.published)[:10]


def listed_title(post: Post) -> str:
    """Return the title for a listing that says the content note beside it."""
    if post.content_note is not None and not post.content_note.show_title:
        return wording(post.language).noted_title
    return entry_title(post)


def entry_summary(post: Post) -> str:
    """Return the plain summary, a content note first (and alone when it hides even the title)."""
    summary = line(post.summary) or shorten(strip_tags(post.body_html)) or entry_title(post)
    if post.content_note is None:
        return summary
    return f"{_note_line(post)} — {summary}" if post.content_note.show_title else _note_line(post)


def entry_html(site: Site, post: Post) -> str:
    """Return the full text: content note, lead picture, body, corrections, sources, references."""
    language = post.language or site.language
    parts = [f"<p><strong>{escape(_note_line(post))}</strong></p>"] if post.content_note else []
    parts += [figure(site, image) for image in post.images if image.lead and not stands_in(image, post)]
    parts.append(legal(post.body_html))
    for correction in post.corrections:
        when = escape(day(correction.when, site.timezone, language))
        parts.append(f"<p><strong>Correction, {when}:</strong> {paragraph(correction.text)}</p>")
    source = escape(wording(language).source[0])
    parts += [f"<p>{source}: {_cited(citation)}</p>" for citation in unsaid(post.citations, post.body_html)]
    for reference in unsaid_references(post):
        title = paragraph(reference.title) or escape(web_link(reference.url))
        link = f'<a href="{escape(web_link(reference.url))}">{title}</a>'
        parts.append(f"<p>{escape(relation_words(language, reference.relation)).format(title=link)}</p>")
    return "\n".join(filter(None, parts))


def relation_words(language: str, relation: Relation) -> str:
    """Return how a language says that a post refers to an earlier one, with `{title}` for its title."""
    words = wording(language)
    kinds = {Relation.FOLLOW_UP: words.follows, Relation.CORRECTION: words.corrects}
    return kinds.get(relation, words.related)


def unsaid_references(post: Post) -> list[Reference]:
    """Return the references that the body does not link already."""
    addressed = [(one, web_link(one.url)) for one in post.references]
    return [one for one, url in addressed if url and f'"{escape(url)}"' not in post.body_html]


def stands_in(image: Image, post: Post) -> bool:
    """Tell whether the body shows a picture itself."""
    return bool(image.src) and f'"{escape(image.src)}"' in post.body_html


def figure(site: Site, image: Image) -> str:
    """Return a picture as HTML, its caption and credit under it."""
    picture = large_picture(site, image)
    if picture is None:
        return ""
    measures = f' width="{picture.width}" height="{picture.height}"' if picture.width else ""
    words = " ".join(filter(None, (paragraph(image.caption), f"<small>{paragraph(image.credit)}</small>")))
    words = words.replace("<small></small>", "").strip()
    caption = f"<figcaption>{words}</figcaption>" if words else ""
    return (
        f'<figure><img src="{escape(picture.url)}" alt="{paragraph(image.alt)}"{measures}>{caption}</figure>'
    )


def large_picture(site: Site, image: Image) -> Picture | None:
    """Return the large copy of a picture, or the original where there is none."""
    return _picture(site, image, image.large, _LARGE)


def small_picture(site: Site, image: Image) -> Picture | None:
    """Return the small copy of a picture, or the original where there is none."""
    return _picture(site, image, image.small, _SMALL)


def _picture(site: Site, image: Image, name: str, widest: int) -> Picture | None:
    url = media_url(site.site, name) if name else web_link(image.src)
    if not url:
        return None
    width, height = image.width, image.height
    if name and width > widest:
        width, height = widest, max(1, round(height * widest / width))
    return Picture(
        url=url,
        width=width,
        height=height,
        media_type=image.media_type,
        size=image.size if name == image.large else 0,
        alt=line(image.alt),
        caption=line(image.caption),
        credit=line(image.credit),
    )


def _note_line(post: Post) -> str:
    if post.content_note is None:
        return ""
    label, text = wording(post.language).content_note, line(post.content_note.text)
    return f"{label}: {text}" if text else label


def _cited(citation: Citation) -> str:
    url, text = web_link(citation.url), paragraph(citation.text)
    return f'<cite><a href="{escape(url)}">{text}</a></cite>' if url else f"<cite>{text}</cite>"


def _attachable(enclosure: Enclosure, noted: bool) -> bool:
    """Tell whether a file may be attached: a noted post's pictures would be shown as thumbnails."""
    hidden = noted and enclosure.media_type.casefold().startswith("image/")
    return bool(web_link(enclosure.url)) and not hidden


def _once(items: Iterable[_T], address: Callable[[_T], str]) -> tuple[_T, ...]:
    seen: dict[str, _T] = {}
    for item in items:
        url = web_link(address(item))
        if url:
            seen.setdefault(url, item)
    return tuple(seen.values())
