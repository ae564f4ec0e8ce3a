"""Compile an issue once: choose how much of each post fits, draw the archive's page, freeze all that mails need."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from newsletter.digest import slots, templates
from newsletter.digest.frozen import Frozen, freeze, seed_of
from newsletter.digest.material import Digest, Material
from newsletter.digest.rendering import (
    NAMES,
    Plan,
    draw_html,
    render_html,
    render_text,
    tongue_of,
    view,
)
from newsletter.digest.stories import EXCERPT
from newsletter.digest.templates import TemplateSet
from newsletter.digest.tracing import FIELDS, LINKS, Nobody, Test, Trace, plain, traced
from newsletter.digest.variants import Variants
from newsletter.errors import InputError, TemplateError

LIMIT = 90_000  # bytes of a whole message; Gmail cuts off near 102,000
_AROUND = 4_000  # bytes: headers and signatures
_ROOMS = (EXCERPT, 480, 300, 0)  # characters of text a post may have, in order of preference
#: A reader of whom everything is known and whose values are the longest there can be.
_LONGEST = {
    **dict.fromkeys(FIELDS, "x"),
    **dict.fromkeys(LINKS, "x" * 130),
    "name": "\U00020000" * 200,
    "address": "&" * 64 + "@" + "x" * 189,
    "since": "30 September 2026",
}


def compile_digest(material: Material, chosen: TemplateSet) -> Digest:
    """Compile an issue into a digest that makes messages of at most LIMIT bytes.

    When it is too large, first fewer posts are shown in full, then excerpts are shorter, then posts are left out,
    always at the end of a block and said in the digest's notes. Raises InputError when not even one post fits, and
    TemplateError for templates that name what does not exist or put a reader's field where it may not stand.
    """
    notes = check_templates(chosen)
    weights: dict[Plan, int] = {}

    def fits(plan: Plan) -> bool:
        if plan not in weights:
            weights[plan] = _weigh(Frozen(material=material, plan=plan, templates=chosen.sources), chosen)
        return weights[plan] <= LIMIT

    try:
        plan = _choose(material, fits)
        frozen = Frozen(material=material, plan=plan, templates=chosen.sources)
        _try(frozen, chosen)
    except slots.Misplaced as e:
        where = ", ".join(templates.places(chosen.trees, e.field))
        raise TemplateError(str(e), where=where, remedy=e.remedy) from e
    seen = view(material, plan, tongue_of(material.looks))
    return Digest(
        html=render_html(seen, Nobody(), chosen),
        frozen=freeze(frozen),
        depths=seen.depths,
        left_out=material.posts[plan.posts :],
        notes=(*_notes(material, plan), *notes),
    )


def check_templates(chosen: TemplateSet) -> list[str]:
    """Return what an editor should know of templates; TemplateError when they name what does not exist."""
    templates.check(chosen.trees, NAMES)
    return list(_of_templates(chosen))


def _choose(material: Material, fits: Callable[[Plan], bool]) -> Plan:
    count = len(material.posts)
    if material.full_text:
        full = _most(count, lambda n: fits(Plan(count, n, EXCERPT)))
        if full is not None:
            return Plan(count, full, EXCERPT)
    for room in _ROOMS:
        if fits(Plan(count, 0, room)):
            return Plan(count, 0, room)
    posts = _most(count, lambda n: fits(Plan(n, 0, 0)))
    if not posts:
        raise InputError(
            f"not even one post fits into a message of {LIMIT:,} bytes",
            where=f"issue {material.number} of {material.newsletter}",
            remedy="Shorten the introduction, or the summary of the newest post",
        )
    return Plan(posts, 0, 0)


def _most(highest: int, fits: Callable[[int], bool]) -> int | None:
    """Return the highest count that fits, None when not even 0 does."""
    if fits(highest):
        return highest
    low, high = -1, highest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low if low >= 0 else None


def _weigh(frozen: Frozen, chosen: TemplateSet) -> int:
    """Return how many bytes a message has at most."""
    return len(Variants(frozen, chosen, (b"", b"", b"")).body(_LONGEST)) + _AROUND


def _try(frozen: Frozen, chosen: TemplateSet) -> None:
    """Render for readers who answer each question of the templates in either way: no branch is first met at sending."""
    seen = view(frozen.material, frozen.plan, tongue_of(frozen.material.looks))
    words, asked = slots.words(seed_of(frozen)), set[Test]()
    waiting = [_LONGEST, dict.fromkeys(FIELDS, "")]
    follow = not any(templates.untraceable(chosen.trees))
    while waiting:
        values = waiting.pop()
        trace = Trace(values, words)
        reader = traced(trace) if follow else plain(values)
        page = slots.mark(draw_html(seen, reader, chosen), words)
        slots.split_html(page)
        render_text(seen, reader, chosen)
        for test, outcome in trace.tests.items():
            if test not in asked:
                asked.add(test)
                other = "" if outcome else test.constant or "x"
                waiting.append({**values, test.field: other})


def _notes(material: Material, plan: Plan) -> Iterator[str]:
    if material.full_text and plan.full < plan.posts:
        yield f"{plan.posts - plan.full} of {plan.posts} posts are shortened: a message may have {LIMIT:,} bytes"
    elif plan.room != EXCERPT and not material.full_text:
        yield f"excerpts are cut at {plan.room} characters: a message may have {LIMIT:,} bytes"
    if plan.posts < len(material.posts):
        yield f"{len(material.posts) - plan.posts} posts are left out: a message may have {LIMIT:,} bytes"


def _of_templates(chosen: TemplateSet) -> Iterator[str]:
    places = list(templates.untraceable(chosen.trees))
    if places:
        yield (
            f"each reader's message is rendered alone, which is slow, because of {', '.join(places[:3])}"
            f"{' and others' if places[3:] else ''}: there more is done with the reader than print and compare"
        )
