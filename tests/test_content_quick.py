"""Where content takes a quick way, it gives what the long one gives."""

from __future__ import annotations

import re
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML

from newsletter.content import limits, markdown
from newsletter.errors import InputError

BEGINNINGS = (
    "",
    "",
    "",
    " ",
    "   ",
    "    ",
    "\t",
    "> ",
    ">",
    "- ",
    "  - ",
    "1. ",
    "> - ",
    "- > ",
    "[^a]: ",
    "# ",
)
RESTS = (
    *("", "", "word", "Élan *vital*", "a | b", "| a", "--- | ---", "---", "===", "1. one", "* two", "日本"),
    *(
        "# H",
        "> q",
        "```",
        "<div>",
        "[a]: /b",
        "    code",
        "[^a]",
        "-|-",
        "trailing  ",
        "“quoted”",
        "\\",
        "<b>",
    ),
)
LINES = st.lists(
    st.tuples(st.sampled_from(BEGINNINGS), st.sampled_from(RESTS)).map("".join), max_size=12
).map("\n".join)


@pytest.fixture(scope="module")
def long_way() -> MarkdownIt:
    """The renderer without the rule for plain prose and the quick writing of tags."""
    made = markdown._renderer.__wrapped__().disable("prose")
    assert isinstance(made.renderer, RendererHTML)
    made.renderer.__dict__["renderToken"] = partial(RendererHTML.renderToken, made.renderer)
    return made


@settings(max_examples=600, deadline=None)
@given(LINES)
@example("a | b\nc | d\n--- | ---\n1 | 2")
@example("> quoted\nlazy\n\n- item\nlazy\n\n  more\n===")
@example("word\n===\n\nword\n    far in\nword\n# H")
def test_paragraphs_of_prose_are_those_of_the_library(long_way: MarkdownIt, text: str) -> None:
    quick, long = markdown._renderer(), long_way
    assert quick.render(text) == long.render(text)
    assert [(one.type, one.map, one.level) for one in quick.parse(text)] == [
        (one.type, one.map, one.level) for one in long.parse(text)
    ]


NAMES = (
    *("<p>", "<P>", "<p-x>", "<b>", "</b>", "<br>", "<table>", "<ul>", "<li>", "</ul>", "<TD>", "<i:x>", "<"),
    *("<img>", "<imgs>", "<div", "</div>", "<ruby>", "text", "<1>", "<blockquote>"),
)
TAGS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(1, 40)).map(lambda one: one[0] * one[1]), max_size=8
).map("".join)


@settings(max_examples=400, deadline=None)
@given(TAGS, st.sampled_from([limits.MAX_DEPTH, 2000]))
def test_what_cannot_be_deep_is_not_walked(html: str, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "_OPENING", re.compile("()"))  # whatever it is, it may be deep
        patch.setattr(limits, "_WEIGHT", limits._WEIGHT | {"": 10_000})
        walked = _refusal(html, limit)
    assert _refusal(html, limit) == walked


def _refusal(html: str, limit: int) -> str:
    try:
        limits.check_depth(html, limit)
    except InputError as e:
        return str(e)
    return ""
