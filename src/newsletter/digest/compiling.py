"""Compile an issue once: choose how much of each post fits, render both parts, inline, mark the slots."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from newsletter.digest import plain, slots, wording
from newsletter.digest.encoding import quoted_printable
from newsletter.digest.inlining import inline_styles
from newsletter.digest.markup import LOGO, WIDTH, show_small
from newsletter.digest.material import Digest, Material, Render, shorten, title_of
from newsletter.digest.plain import Notes
from newsletter.digest.sections import tell_posts
from newsletter.digest.stories import EXCERPT, Tellings, lines_of, pieces_of, tell_correction
from newsletter.digest.wording import Wording
from newsletter.errors import InputError
from newsletter.model import Post

LIMIT = 90_000  # bytes of a whole message; Gmail cuts off near 102,000
_AROUND = 7_000  # bytes: headers, signatures, boundaries, and what the slots' values add
_ROOMS = (EXCERPT, 480, 300, 0)  # characters of text a post may have, in order of preference
_CONTENTS_FROM = 6  # posts, from which on there is a table of contents


@dataclass(frozen=True, slots=True)
class _Plan:
    """How much to show: so many posts, the first `full` of them whole, the others in `room` characters."""

    posts: int
    full: int
    room: int


def compile_digest(material: Material, render: Render) -> Digest:
    """Render an issue into a digest that makes messages of at most LIMIT bytes.

    When it is too large, first fewer posts are shown in full, then excerpts are shorter, then posts are left out,
    always at the end of a block and said in the digest's notes. Raises InputError when not even one post fits.
    """
    made: dict[_Plan, Digest] = {}

    def fits(plan: _Plan) -> bool:
        if plan not in made:
            made[plan] = _render(material, plan, render)
        return _weight(made[plan]) <= LIMIT

    plan = _choose(material, fits)
    digest = made[plan]
    return replace(digest, left_out=material.posts[plan.posts :], notes=tuple(_notes(material, plan)))


def _choose(material: Material, fits: Callable[[_Plan], bool]) -> _Plan:
    count = len(material.posts)
    if material.full_text:
        full = _most(count, lambda n: fits(_Plan(count, n, EXCERPT)))
        if full is not None:
            return _Plan(count, full, EXCERPT)
    for room in _ROOMS:
        if fits(_Plan(count, 0, room)):
            return _Plan(count, 0, room)
    posts = _most(count, lambda n: fits(_Plan(n, 0, 0)))
    if not posts:
        raise InputError(
            f"not even one post fits into a message of {LIMIT:,} bytes",
            where=f"issue {material.number} of {material.newsletter}",
            remedy="Shorten the introduction, or the summary of the newest post",
        )
    return _Plan(posts, 0, 0)


def _most(highest: int, fits: Callable[[int], bool]) -> int | None:
    """Return the highest count that fits, None when not even 0 does."""
    if fits(highest):
        return highest
    low, high = -1, highest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low if low >= 0 else None


def _notes(material: Material, plan: _Plan) -> Iterator[str]:
    if material.full_text and plan.full < plan.posts:
        yield f"{plan.posts - plan.full} of {plan.posts} posts are shortened: a message may have {LIMIT:,} bytes"
    elif plan.room != EXCERPT and not material.full_text:
        yield f"excerpts are cut at {plan.room} characters: a message may have {LIMIT:,} bytes"
    if plan.posts < len(material.posts):
        yield f"{len(material.posts) - plan.posts} posts are left out: a message may have {LIMIT:,} bytes"


def _weight(digest: Digest) -> int:
    return len(quoted_printable(digest.html)) + len(quoted_printable(digest.text)) + _AROUND


def _render(material: Material, plan: _Plan, render: Render) -> Digest:
    words = slots.words(hashlib.sha256(repr((material, plan)).encode()).hexdigest()[:32])
    looks, said = material.looks, wording.wording(material.looks.language)
    shared = Tellings(looks=looks, words=said, titles=material.titles, notes=Notes())
    intro_lines = lines_of(material.intro_html, looks, said, shared.notes)
    posts = material.posts[: plan.posts]
    told = tell_posts(material, posts, plan.full, plan.room, shared)
    view = {
        "issue": material,
        "subject": material.subject,
        "looks": looks,
        "theme": looks.theme,
        "words": said,
        "slot": words,
        "column": WIDTH,
        "direction": wording.direction(looks.language),
        "when": wording.day(material.due, looks.timezone, looks.language, style="full"),
        "preview": _preview(material, posts, said),
        "intro": pieces_of(material.intro_html, looks),
        "intro_lines": intro_lines,
        "logo": None if looks.logo is None else show_small(looks.logo, looks.media, LOGO),
        "contents": told.listed if len(posts) >= _CONTENTS_FROM else (),
        "lead": told.lead,
        "sections": told.sections,
        "stories": told.stories,
        "corrections": [tell_correction(one, material.newsletter, shared) for one in material.corrections],
    }
    page = inline_styles(render(f"digest/{material.design}/digest.html.j2", **view))
    text = render(f"digest/{material.design}/digest.txt.j2", **view, **plain.SHAPES)
    return Digest(
        html=slots.mark(page, words),
        text=slots.mark(plain.settle(text), words),
        depths=told.depths,
    )


def _preview(material: Material, posts: tuple[Post, ...], words: Wording) -> str:
    """Return the visible first line, which mail programs show beside the subject; never of a noted post."""
    free = next((post for post in posts if post.content_note is None), None)
    if free is None:
        return words.fallback_subject.format(title=material.title, number=material.number)
    line = _first_sentence(free.summary or title_of(free))
    others = len(posts) - 1
    if not others:
        return line
    more = words.and_more[others > 1].format(count=others)
    return f"{line if line[-1] in '.!?…' else line + '.'} {more}"


def _first_sentence(text: str) -> str:
    """Return a text of at most 150 characters: whole, up to a clause's end, or cut at a word."""
    text = " ".join(text.split())
    if len(text) <= 150:
        return text
    end = max(text.rfind(sign, 60, 150) for sign in (". ", "; ", ": "))
    return f"{text[:end]}." if end > 0 else shorten(text, 150)
