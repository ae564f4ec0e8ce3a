"""A reader of feeds against the expectations that a well-known test suite writes into its own files."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from conftest import PublicationFactory
from feeding import NOW
from newsletter.content import clean_line, parse_date
from newsletter.errors import InputError
from newsletter.model import Author, Post
from newsletter.sources import SourceContext
from newsletter.sources.entries import to_post
from newsletter.sources.feed_formats import read_feed

BASE = "http://127.0.0.1:8097/x.xml"
DATE = "2026-11-02T09:00:00Z"  # most files have no dates; then this is told to the reader


@pytest.fixture
def context(publication: PublicationFactory) -> SourceContext:
    config = publication({"sources": [{"name": "feed", "kind": "feed", "path": "feed.xml"}]})
    return SourceContext(config=config, source=config.sources[0], now=NOW)


def expectation(data: bytes) -> list[tuple[str, Any]]:
    """Return what a file expects, as (path, value): `entries[0]['title'] == 'x'` is ("title", "x")."""
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    found = re.search(r"Expect:\s*(.+?)\s*\n", text)
    assert found, "the file says nothing of what it expects"
    said = ast.parse(found[1], mode="eval").body
    parts = said.values if isinstance(said, ast.BoolOp) else [said]
    return [pair for part in parts if (pair := comparison(part)) is not None]


def comparison(part: ast.expr) -> tuple[str, Any] | None:
    if not isinstance(part, ast.Compare):
        return None
    path = ast.unparse(part.left)
    if not path.startswith("entries[0]") or ".source" in path or "['source']" in path:
        return None
    name = path.removeprefix("entries[0]").replace("']['", ".").strip("[]'").replace("'][", "[")
    return name, eval(compile(ast.Expression(part.comparators[-1]), "", "eval"), {})


class _Markup(HTMLParser):
    """Takes a fragment apart: its text, and its elements and attributes in order."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.marks: list[tuple[str, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.marks.append((tag,))
        self.marks += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def markup(html: str) -> _Markup:
    found = _Markup()
    found.feed(html)
    found.close()
    return found


def less(more: str, stored: str) -> str:
    """Say what of a fragment is not in another: an element, an attribute, a text; empty when all of it is.

    The paragraphs and figures that we put around text and pictures do not count, nor an empty alt.
    """
    told, found = markup(more), markup(stored)
    missing = Counter(told.marks) - Counter(found.marks)
    for ours in (("p",), ("figure",), ("img", "alt", "")):
        missing.pop(ours, None)
    text = clean_line(told.text)
    if text not in clean_line(found.text):
        return repr(text)
    return "".join(map(repr, list(missing)[:1]))


def of_body(post: Post, value: str) -> tuple[str, str]:
    """Say what of the body is not in what is expected, and the other way round."""
    body = post.summary if post.summary == value else post.body_html
    return less(body, value), less(value, body)


def plain(told: object, expected: object) -> tuple[str, str]:
    """Say of two values that they differ."""
    return ("", "") if told == expected else (repr(told), repr(expected))


def of_title(post: Post, value: str) -> tuple[str, str]:
    """Compare a title, which is plain text here, with what may be HTML."""
    return ("", "") if post.title == value else (less(post.title, value), less(value, post.title))


def author(post: Post) -> Author:
    return post.authors[0] if post.authors else Author(name="")


#: What an expectation compares, and where it stands in a post. What is not here is nothing we keep.
COMPARED: dict[str, Callable[[Post, Any], tuple[str, str]]] = {
    **dict.fromkeys(("content[0].value", "summary", "description", "summary_detail.value"), of_body),
    "title": of_title,
    "id": lambda post, value: plain(post.id or post.source_key, value),
    **dict.fromkeys(("link", "links[0].href"), lambda post, value: plain(post.url, value)),
    **dict.fromkeys(("author", "author_detail.name"), lambda post, value: plain(author(post).name, value)),
    **dict.fromkeys(
        ("author_detail.url", "authors[0].url"), lambda post, value: plain(author(post).uri, value)
    ),
    "authors[1].url": lambda post, value: plain(post.authors[-1].uri, value),
    "author_detail.email": lambda post, value: plain(author(post).email, value),
    **dict.fromkeys(
        ("published", "created"), lambda post, value: plain(post.published, parse_date(value, "UTC")[0])
    ),
    "published_parsed": lambda post, value: plain(post.published.timetuple()[:6], value[:6]),
    **dict.fromkeys(
        ("content[0].language", "summary_detail.language", "title_detail.language"),
        lambda post, value: plain(post.language, value),
    ),
    **dict.fromkeys(
        ("category", "tags[0].term"), lambda post, value: plain(post.tags[0], value or post.tags[0])
    ),
    "enclosures[0].type": lambda post, value: plain(post.enclosures[0].media_type, value),
}
#: Where we keep less than the suite's sanitiser: why, and in which files.
STRICTER: dict[str, str] = {
    "an empty element without a name of its own says nothing": """
        acceptable_attribute_abbr acceptable_attribute_accesskey acceptable_attribute_alt
        acceptable_attribute_autoplay acceptable_attribute_balance acceptable_attribute_border
        acceptable_attribute_bordercolorlight acceptable_attribute_cellspacing acceptable_attribute_char
        acceptable_attribute_checked acceptable_attribute_class acceptable_attribute_cols
        acceptable_attribute_contenteditable acceptable_attribute_datafld acceptable_attribute_datetime
        acceptable_attribute_dir acceptable_attribute_dynsrc acceptable_attribute_face
        acceptable_attribute_frame acceptable_attribute_headers acceptable_attribute_hidefocus
        acceptable_attribute_hreflang acceptable_attribute_id acceptable_attribute_keytype
        acceptable_attribute_leftspacing acceptable_attribute_loop acceptable_attribute_loopstart
        acceptable_attribute_max acceptable_attribute_method acceptable_attribute_name
        acceptable_attribute_nowrap acceptable_attribute_pattern acceptable_attribute_poster
        acceptable_attribute_prompt acceptable_attribute_rel acceptable_attribute_replace
        acceptable_attribute_rightspacing acceptable_attribute_rules acceptable_attribute_shape
        acceptable_attribute_src acceptable_attribute_summary acceptable_attribute_target
        acceptable_attribute_toppadding acceptable_attribute_urn acceptable_attribute_value
        acceptable_attribute_vrml acceptable_attribute_wrap
    """,
    "an empty element says nothing; of forms, players and unknown elements only the content is kept": """
        acceptable_element_acronym acceptable_element_article acceptable_element_b acceptable_element_br
        acceptable_element_caption acceptable_element_code acceptable_element_command acceptable_element_dd
        acceptable_element_dfn acceptable_element_div acceptable_element_em acceptable_element_form
        acceptable_element_h3 acceptable_element_h6 acceptable_element_i acceptable_element_ins
        acceptable_element_label acceptable_element_m acceptable_element_meter acceptable_element_nextid
        acceptable_element_optgroup acceptable_element_q acceptable_element_section acceptable_element_sound
        acceptable_element_span acceptable_element_sub acceptable_element_tbody acceptable_element_tfoot
        acceptable_element_time acceptable_element_u acceptable_element_video
    """,
    "a post has no style of its own": """
        entry_summary_style item_content_encoded_style style_background_repeat_repeat_x style_border_0
        style_border_bottom_0pt style_border_collapse_collapse style_border_none_important style_border_top_0pt
        style_color_008 style_color_maroon style_color_teal style_float_left style_font_family_arial_sans_serif
        style_font_size_0_9em style_font_size_smaller style_height_100px style_line_height_normal
        style_margin_0px_important style_margin_bottom_0pt style_margin_right_0px
        style_moz_background_clip_initial style_mso_highlight_yellow style_mso_no_proof_yes style_overflow_auto
        style_padding_2ex style_padding_right_0in style_text_align_center style_text_decoration_underline
        style_vertical_align_top style_width_300px
    """,
    "a title is one line of plain text": """
        entry_title_inline_markup http_entry_title_base64_base_docuri http_entry_title_inline_base_content_location
        entry_title_onchange entry_title_onerror entry_title_onkeypress entry_title_onmousedown entry_title_onmouseup
        entry_title_onsubmit
    """,
    "a division around everything is none": """
        http_entry_summary_base64_base_docuri http_entry_summary_inline_base_content_location
    """,
    "a line break before an end breaks no line": "item_description_br_shorttag",
    "what HTML reads as a document type is no text": "item_description_not_a_doctype2",
    "a page's head and what may be a script are not for readers": "entry_title_crazy",
}
#: Where we keep something else, which no reader can be hurt by.
OTHERWISE: dict[str, str] = {
    "a player becomes a link to what it plays, so that it is not lost": """
        entry_summary_embed item_content_encoded_embed item_fullitem_embed item_description_iframe
        item_xhtml_body_iframe
    """,
    "the first level of headings is the title's": "item_description_crazy",
    "a post has one language, its text's": "entry_title_xml_lang_inherit_4",
    "a header says for whom an answer is, not in which language its parts are (RFC 9110 §8.5)": """
        http_content_language_entry_title_inherit_2
    """,
}


def named(why: dict[str, str]) -> dict[str, str]:
    return {name: reason for reason, names in why.items() for name in names.split()}


@pytest.fixture(scope="session")
def corpus() -> list[Path]:
    """Find the files, which stand beside the project and are not part of it."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "shared" / "data" / "feeds").is_dir():
            return sorted((folder / "shared" / "data" / "feeds").rglob("*.xml"))
    pytest.skip("the folder of foreign feeds (shared/data/feeds) is not on this machine")


def differences(data: bytes, context: SourceContext) -> tuple[str, str] | None:
    """Say what we keep that a file does not expect, and what it expects that we do not keep; None: not about us."""
    wanted = [(name, value) for name, value in expectation(data) if name in COMPARED]
    if not wanted:
        return None
    header = re.search(rb"Content-Location: (\S+)", data)
    base = header[1].decode() if header else BASE
    entry = read_feed(data, where="f", base=base)[0]
    if "title" not in dict(wanted) and not entry.title:
        entry = replace(entry, title="A title", title_is_html=False)
    try:
        post = to_post(replace(entry, published=entry.published or DATE), context)
    except InputError as e:
        return "", e.what
    found = [COMPARED[name](post, value) for name, value in wanted]
    return "".join(more for more, _ in found), "".join(lacking for _, lacking in found)


def test_every_file_says_what_we_keep_or_is_named_here(corpus: list[Path], context: SourceContext) -> None:
    stricter, otherwise = named(STRICTER), named(OTHERWISE)
    counts: Counter[str] = Counter()
    wrong = []
    for path in corpus:
        found = differences(path.read_bytes(), context)
        verdict = judge(found, path.stem in stricter, path.stem in otherwise)
        counts[verdict or "wrong"] += 1
        if not verdict:
            wrong.append((path.name, found))
    assert not wrong
    assert counts == COUNTS


def judge(found: tuple[str, str] | None, stricter: bool, otherwise: bool) -> str:
    """Name the verdict, empty when a file differs in another way than is said of it, or no longer does."""
    if found is None:
        return "" if stricter or otherwise else "not about us"
    more, lacking = found
    if not (more or lacking):
        return "" if stricter or otherwise else "agree"
    if otherwise:
        return "otherwise"
    return "stricter" if stricter and lacking and not more else ""


COUNTS = {"agree": 96, "stricter": 122, "otherwise": 8, "not about us": 238}


def test_every_file_is_read_or_refused_with_a_place(corpus: list[Path]) -> None:
    read = refused = 0
    for path in corpus:
        try:
            read_feed(path.read_bytes(), where=path.name, base=BASE)
            read += 1
        except InputError as e:
            refused += "line" in e.what or "no feed" in e.what
    assert read + refused == len(corpus) == 464
