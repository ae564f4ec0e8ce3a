"""A post's own page, and how a post looks in a listing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape

from newsletter.content import opens_with, unsaid
from newsletter.digest.wording import day, direction, names, wording
from newsletter.feeds.entry import (
    Picture,
    entry_summary,
    entry_title,
    figure,
    large_picture,
    listed_title,
    relation_words,
    small_picture,
    stands_in,
)
from newsletter.feeds.links import post_page as address_of
from newsletter.feeds.links import tag_page as address_of_tag
from newsletter.feeds.links import unique_tags, word_slug
from newsletter.feeds.text import legal, line, paragraph, rfc3339, web_link
from newsletter.model import Post
from newsletter.pages.site import Page, Site, frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A post in a listing.

    `hidden` when its content note stands even before its title. `picture` is None when there is none or a
    content note stands before it.
    """

    title: str
    hidden: bool
    href: str
    summary: str
    byline: str
    date: str
    instant: str
    year: int
    language: str
    direction: str
    external: bool
    note: str
    tags: tuple[tuple[str, str], ...]
    picture: Picture | None
    wide: Picture | None


def card(site: Site, up: str, post: Post) -> Card:
    """Return how a post looks in a listing."""
    language = post.language or site.language
    lead = None if post.content_note else next((image for image in post.images if image.lead), None)
    hidden = post.content_note is not None and not post.content_note.show_title
    return Card(
        title=listed_title(post),
        hidden=hidden,
        href=site.href(up, address_of(site.site, post)),
        summary="" if hidden else entry_summary(post) if post.content_note is None else line(post.summary),
        byline=byline(post),
        date=day(post.published, site.timezone, language),
        instant=rfc3339(post.published),
        year=post.published.year,
        language=language,
        direction=direction(language),
        external=not address_of(site.site, post).startswith(site.site),
        note=line(post.content_note.text) if post.content_note else "",
        tags=tag_links(site, up, post),
        picture=_near(site, up, small_picture(site, lead) if lead else None),
        wide=_near(site, up, large_picture(site, lead) if lead else None),
    )


def byline(post: Post) -> str:
    """Return the authors' names, joined as the language does."""
    people = list(filter(None, (line(author.name) for author in post.authors)))
    return names(people, wording(post.language))


def tag_links(site: Site, up: str, post: Post) -> tuple[tuple[str, str], ...]:
    """Return a post's tags with their pages."""
    return tuple(
        (tag, site.href(up, address_of_tag(site.site, tag)))
        for tag in unique_tags(tuple(filter(None, map(line, post.tags))))
        if word_slug(tag)
    )


def post_page(site: Site, post: Post, *, newer: Post | None = None, older: Post | None = None) -> Page:
    """Return the page of a post; `newer` and `older` are its neighbours in time."""
    path = f"posts/{post.slug}/"
    values = frame(site, path, entry_title(post), language=post.language, description=entry_summary(post))
    up, language = values["up"], values["language"]
    lead = next((image for image in post.images if image.lead), None)
    shown = None if post.content_note or lead is None else large_picture(site, lead)
    values |= {
        "canonical": address_of(site.site, post),
        "kind": "article",
        "picture": shown,
        "card": card(site, up, post),
        "heading": line(post.title) or entry_title(post),
        "standfirst": "" if opens_with(post.body_html, post.summary) else line(post.summary),
        "note": line(post.content_note.text) if post.content_note else "",
        "authors": [(line(a.name), web_link(a.uri)) for a in post.authors if line(a.name)],
        "updated": _updated(site, post, language),
        "lead_html": site.local(up, figure(site, lead)) if lead and not stands_in(lead, post) else "",
        "body_html": site.local(up, legal(post.body_html)),
        "corrections": [
            (day(one.when, site.timezone, language), rfc3339(one.when), line(one.text))
            for one in post.corrections
        ],
        "citations": [(line(one.text), web_link(one.url)) for one in unsaid(post.citations, post.body_html)],
        "references": _references(site, up, post, language),
        "enclosures": [
            (line(one.title) or web_link(one.url).rpartition("/")[2], web_link(one.url), line(one.media_type))
            for one in post.enclosures
            if web_link(one.url)
        ],
        "newer": _neighbour(site, up, newer),
        "older": _neighbour(site, up, older),
    }
    return Page(path=f"{path}index.html", template="web/post.html.j2", values=values)


def _neighbour(site: Site, up: str, post: Post | None) -> dict[str, str] | None:
    if post is None:
        return None
    language = post.language or site.language
    return {
        "title": listed_title(post),
        "href": site.href(up, address_of(site.site, post)),
        "language": language,
        "direction": direction(language),
    }


def _references(site: Site, up: str, post: Post, language: str) -> list[str]:
    """Return the references as HTML lines in the words of the language."""
    lines = []
    for one in post.references:
        url = site.href(up, web_link(one.url))
        if web_link(one.url):
            title = paragraph(one.title) or escape(web_link(one.url))
            words = escape(relation_words(language, one.relation))
            lines.append(words.format(title=f'<a href="{escape(url)}">{title}</a>'))
    return lines


def _updated(site: Site, post: Post, language: str) -> tuple[str, str] | None:
    """Return when the post last changed, if that was on another day."""
    first, last = (day(one, site.timezone, language) for one in (post.published, post.updated))
    return None if first == last or post.updated < post.published else (last, rfc3339(post.updated))


def _near(site: Site, up: str, picture: Picture | None) -> Picture | None:
    return replace(picture, url=site.href(up, picture.url)) if picture else None
