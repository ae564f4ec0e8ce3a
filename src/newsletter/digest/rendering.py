"""Render an issue's two parts: what templates see, and what is done to what they say."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime

from newsletter.digest import plain, wording
from newsletter.digest.inlining import inline_styles
from newsletter.digest.markup import LOGO, WIDTH, Shown, show_small
from newsletter.digest.material import Depth, Design, Looks, Material, shorten, title_of
from newsletter.digest.plain import Notes
from newsletter.digest.sections import Section, tell_posts
from newsletter.digest.stories import (
    CorrectionTold,
    Piece,
    Story,
    Tellings,
    lines_of,
    pieces_of,
    shape_of,
    tell_correction,
)
from newsletter.digest.templates import TemplateSet
from newsletter.digest.wording import Wording
from newsletter.model import Post

CONTENTS_FROM = 6  # posts, from which on there is a table of contents


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to show: so many posts, the first `full` of them whole, the others in `room` characters."""

    posts: int
    full: int
    room: int


@dataclass(frozen=True, slots=True)
class Tongue:
    """In which language the digest itself speaks, and in which zone its days are."""

    language: str
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What templates see, beside `reader`, `wrap` and `underlined`."""

    issue: Material
    subject: str
    looks: Looks
    theme: Mapping[str, str]
    words: Wording
    column: int
    direction: str
    shape: str
    when: str
    corrected: str
    preview: str
    intro: tuple[Piece, ...]
    intro_lines: tuple[str, ...]
    logo: Shown | None
    contents: tuple[Story, ...]
    lead: Story | None
    sections: tuple[Section, ...]
    stories: tuple[Story, ...]
    corrections: tuple[CorrectionTold, ...]
    depths: Mapping[int, Depth]


#: The names that templates may use, with their types.
NAMES: Mapping[str, object] = {**typing.get_type_hints(View), **dict.fromkeys(plain.SHAPES)}


def tongue_of(looks: Looks, language: str = "", timezone: str = "") -> Tongue:
    """Return how the digest speaks to a reader of this language and zone: the newsletter's own where it cannot."""
    spoken = language if wording.speaks(language) else looks.language
    return Tongue(spoken, timezone if wording.is_zone(timezone) else looks.timezone)


def days(material: Material, plan: Plan, timezone: str) -> tuple[int, ...]:
    """Return the days on which what an issue tells of falls in a zone: zones with the same days read the same."""
    instants = (material.due, material.corrected, *(post.published for post in material.posts[: plan.posts]))
    return tuple(wording.local_day(one, timezone).toordinal() for one in instants if one is not None)


def view(material: Material, plan: Plan, tongue: Tongue) -> View:
    """Tell an issue's posts as a plan says and in a tongue."""
    looks, said = replace(material.looks, language=tongue.language), wording.wording(tongue.language)
    shared = Tellings(
        looks=looks, words=said, titles=material.titles, notes=Notes(), timezone=tongue.timezone
    )
    intro_lines = lines_of(material.intro_html, looks, said, shared.notes)
    posts = material.posts[: plan.posts]
    told = tell_posts(material, posts, plan.full, plan.room, shared)
    return View(
        issue=material,
        subject=material.subject,
        looks=looks,
        theme=looks.theme,
        words=said,
        column=WIDTH,
        direction=wording.direction(looks.language),
        shape=shape_of(looks.language, looks.language),
        when=_when(material.due, tongue),
        corrected=wording.day(material.corrected, tongue.timezone, tongue.language)
        if material.corrected
        else "",
        preview=preview(material, posts, said),
        intro=pieces_of(material.intro_html, looks),
        intro_lines=tuple(intro_lines),
        logo=None if looks.logo is None else show_small(looks.logo, looks.media, LOGO),
        contents=told.listed if len(posts) >= CONTENTS_FROM else (),
        lead=told.lead,
        sections=told.sections,
        stories=told.stories,
        corrections=tuple(tell_correction(one, material.newsletter, shared) for one in material.corrections),
        depths=told.depths,
    )


def _when(due: datetime, tongue: Tongue) -> str:
    return wording.day(due, tongue.timezone, tongue.language, style="full")


def template_names(design: Design) -> tuple[str, str]:
    """Return the names of the templates of both parts, HTML first."""
    return f"digest/{design}/digest.html.j2", f"digest/{design}/digest.txt.j2"


def render_html(view: View, reader: object, templates: TemplateSet) -> str:
    """Render the HTML for a reader, styles inlined."""
    return inline_styles(draw_html(view, reader, templates))


def draw_html(view: View, reader: object, templates: TemplateSet) -> str:
    """Render the HTML for a reader as the template says it, styles apart."""
    return templates.render(template_names(view.issue.design)[0], **_names(view), reader=reader)


def render_text(view: View, reader: object, templates: TemplateSet) -> str:
    """Render the text part for a reader."""
    name = template_names(view.issue.design)[1]
    return plain.settle(templates.render(name, **_names(view), **plain.SHAPES, reader=reader))


def _names(view: View) -> dict[str, object]:
    return {one.name: getattr(view, one.name) for one in fields(view)}


def preview(material: Material, posts: tuple[Post, ...], words: Wording) -> str:
    """Return the visible first line, which mail programs show beside the subject; never of a noted post."""
    free = next((post for post in posts if post.content_note is None), None)
    if free is None:
        return words.fallback_subject.format(title=material.title, number=material.number)
    line = _first_sentence(free.summary or title_of(free))
    others = len(posts) - 1
    if not others:
        return line
    more = words.and_more[others > 1].format(count=others)
    return f"{wording.ended(line)} {more}"


def _first_sentence(text: str) -> str:
    """Return a text of at most 150 characters: whole, up to a clause's end, or cut at a word."""
    text = " ".join(text.split())
    if len(text) <= 150:
        return text
    end = max(text.rfind(sign, 60, 150) for sign in (". ", "; ", ": "))
    return f"{text[:end]}." if end > 0 else shorten(text, 150)
