"""The compiled digest: what it shows and hides, how it fits, that slots stay slots and texts stay texts."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html

import awkward
from letters import (
    ANN,
    CJK,
    CRANES,
    FRENCH_LOOKS,
    HARBOUR,
    NOTED,
    PLAIN,
    SITE,
    WARNED,
    compiled,
    mailer_of,
    material,
    post,
    text_of,
)
from newsletter import content
from newsletter.checks.digest import check_message
from newsletter.digest import (
    LIMIT,
    Depth,
    markup,
    plain,
    slots,
    subject_of,
    thaw,
    tracing,
    wording,
)
from newsletter.digest.inlining import inline_styles
from newsletter.digest.variants import Variants
from newsletter.errors import InputError
from newsletter.model import Image, Reference
from newsletter.templating import TemplateSet

DIGEST = compiled()


def tree(page: str) -> Any:
    return lxml_html.document_fromstring(page.encode(), parser=lxml_html.HTMLParser(encoding="utf-8"))


def french() -> Any:
    return compiled(
        looks=FRENCH_LOOKS, title="La Dépêche du lundi", subject="La Dépêche du lundi : les grues"
    )


# What is shown


def test_compiling_again_gives_the_same_bytes() -> None:
    assert compiled() == DIGEST


def test_a_story_has_picture_caption_quotation_sources_and_references() -> None:
    page = tree(DIGEST.html)
    text = " ".join(page.text_content().split())
    picture = page.find(".//img")
    assert (picture.get("width"), picture.get("height")) == ("536", "302")
    assert picture.get("alt") == HARBOUR.alt
    assert f"{HARBOUR.caption} (Photo: K. Example)" in text
    quote = page.find(".//blockquote")
    assert quote.get("cite") == "https://office.example.com/press"
    assert "A. Example, statement" in " ".join(quote.text_content().split())
    assert {a.text_content() for a in page.iter("a") if a.get("href") == f"{SITE}posts/post-40/"} == {
        CRANES.title,
        f"Read “{CRANES.title}”",
    }
    assert "Follows: The quay" in text
    assert "By @kj and Zoë Ström · 3 November 2026" in text
    assert "The quay is nine metres long, not ninety. (first sent in issue 2)" in text
    assert page.get("lang") == "en-AU"
    arabic = next(cell for cell in page.iter("td") if cell.get("lang") == "ar")
    assert arabic.get("dir") == "rtl"


def test_a_content_note_stands_for_everything_and_stays_out_of_subject_and_first_line() -> None:
    for body in (DIGEST.html, text_of(DIGEST)):
        assert "describes violence" in body
        assert "unasked" not in body
        assert NOTED.title not in body
        assert WARNED.title in body
        assert "mentions a death at work" in body
        assert "A title that must stay hidden" not in body
    first = compiled(posts=(NOTED, WARNED, PLAIN))
    assert text_of(first).startswith("What post 35 says, in short. And 2 more stories.")
    only = compiled(posts=(WARNED,))
    assert text_of(only).startswith("The Herald Weekly, No. 3\n")
    values = {"title": "T", "number": "3", "date": "today"}
    assert subject_of("{title}: {first}", (NOTED, WARNED, PLAIN), values, "en") == f"T: {PLAIN.title}"
    assert subject_of("{title}: {first}", (WARNED,), values, "en") == "T, No. 3"
    assert subject_of("{title} of {date} ({number})", (WARNED,), values, "en") == "T of today (3)"
    assert subject_of("{first}", (post(1, "{title} {x}"),), values, "en") == "{title} {x}"
    assert subject_of("{first}", (post(1, "a\u202eb\ufdd0c\u2028d"),), values, "en") == "abc d"


def test_a_correction_of_a_noted_post_says_only_that_there_is_one() -> None:
    told = replace(material().corrections[0], post=NOTED)
    made = compiled(corrections=(told,))
    assert "nine metres" not in made.html + text_of(made)
    assert "has been corrected" in made.html
    assert "has been corrected" in text_of(made).replace("\n", " ")


def test_full_text_shows_everything_and_headings_skip_no_level() -> None:
    made = compiled(posts=(CRANES,), full_text=True, intro_html="", corrections=())
    page = tree(made.html)
    assert made.depths == {40: Depth.FULL}
    assert [one.tag for one in page.iter("h1", "h2", "h3", "h4")] == ["h1", "h2", "h3", "h4"]
    logo = page.findall(".//img")[1]
    assert (logo.get("width"), logo.get("height")) == ("200", "80")
    assert "a  =  b" in page.find(".//pre").text
    assert "a  =  b" in text_of(made)
    assert "* Ships pay." in text_of(made)
    assert "Ship | Euro" in text_of(made)
    assert check_message(mailer_of(made)(ANN).content) == []


def test_a_summary_taken_from_several_paragraphs_is_not_said_twice() -> None:
    made = content.from_markdown("Short.\n\nSecond one.\n", content.Surroundings(base_url=SITE))
    assert made.summary == "Short. Second one."
    story = post(1, "Two", body_html=made.html, summary=made.summary)
    digest = compiled(posts=(story, PLAIN), corrections=(), intro_html="")
    for body in (digest.html, text_of(digest)):
        assert body.count("Second one.") == 1 + body.count("Short. Second one.")
    assert 'class="standfirst"' not in digest.html.partition(PLAIN.title)[0]


def test_footnotes_that_an_excerpt_holds_keep_their_signs() -> None:
    text = "Nine euros.[^1]\n\n[^1]: A metre.\n"
    page = content.Surroundings(base_url=f"{SITE}posts/post-1/")
    noted = post(1, "Quay", body_html=content.from_markdown(text, page).html)
    whole = compiled(posts=(noted,), corrections=(), intro_html="")
    longer = replace(noted, body_html=noted.body_html.replace("<hr", f"<p>{'long ' * 400}</p><hr"))
    cut = compiled(posts=(longer,), corrections=(), intro_html="")
    for body in (whole.html, text_of(whole)):
        assert "A metre." in body
        assert "[1]" in body
    assert "[1]" not in text_of(cut).partition("Read “Quay”")[0]


def test_the_title_of_an_earlier_post_is_found_by_its_id_as_well() -> None:
    told = Reference(url="http://elsewhere.example/1", title="Secret words", post_id="tag:x,2026:1")
    story = replace(PLAIN, references=(told,))
    made = compiled(posts=(story,), corrections=(), titles={"tag:x,2026:1": None})
    assert "an earlier story with a content note" in made.html
    assert "Secret words" not in made.html + text_of(made)


def test_a_picture_that_mail_cannot_show_is_told_in_words() -> None:
    webp = replace(HARBOUR, src="https://x.example/a.webp", large="", media_type="image/webp")
    made = compiled(posts=(replace(PLAIN, images=(webp,)),), corrections=())
    assert "<img" not in made.html
    assert "[Picture: A harbour" in made.html
    assert "[Picture: A harbour" in text_of(made)


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (Image(src="https://x.example/a.png", width=1200, height=600), (536, 268)),
        (Image(src="https://x.example/a.png", width=600, height=300), (536, 268)),
        (Image(src="https://x.example/a.png", width=400, height=160), (200, 80)),
        (Image(src="https://x.example/a.png", width=120, height=60), (120, 60)),
        (Image(src="https://x.example/a.png", width=1, height=1), None),
        (Image(src="https://x.example/a.png"), None),
        (Image(src="http://x.example/a.png", width=600, height=300), None),
        (Image(src="https://x.example/a.svg", width=600, height=300), None),
    ],
)
def test_pictures_are_shown_sharp_or_not_at_all(image: Image, size: tuple[int, int] | None) -> None:
    shown = markup.show(image, SITE)
    assert (shown and (shown.width, shown.height)) == size


def test_dates_and_wording_follow_the_language() -> None:
    made = french()
    for body in mailer_of(made).fill(ANN):
        assert "N° 3 · dimanche 22 novembre 2026" in body
        assert "Lire « Tariffs, again » sur le site" in body
        assert "Avertissement :" in body.replace("\u00a0", " ")
        assert "Se désabonner de La Dépêche du lundi" in body
    when = datetime(2026, 11, 1, 23, 30, tzinfo=UTC)
    assert wording.day(when, "Australia/Sydney", "en-AU") == "2 November 2026"
    assert wording.day(when, "UTC", "xx-unknown") == "November 1, 2026"
    assert wording.direction("ar-EG") == "rtl"


def test_names_and_titles_of_the_other_direction_keep_to_themselves() -> None:
    for body in (DIGEST.html, text_of(DIGEST)):
        assert "By \u2068يوسف الحدّاد\u2069 · 3 November 2026" in body
        assert "Read “\u2068أسعار القمح ترتفع في الإسكندرية\u2069” on the web" in body
    assert wording.isolate("Zoë", "en") == "Zoë"
    assert wording.isolate("Zoë", "ar") == "\u2068Zoë\u2069"


def test_each_language_fills_the_same_gaps() -> None:
    for name in wording.Wording.__slots__:
        english, other = getattr(wording.ENGLISH, name), getattr(wording.FRENCH, name)
        assert re.findall(r"\{\w+\}", str(english)) == re.findall(r"\{\w+\}", str(other)), name


@pytest.mark.parametrize("full", [False, True])
def test_awkward_posts_make_a_message_without_error(full: bool) -> None:
    made = compiled(posts=awkward.POSTS, full_text=full, titles={})
    findings = check_message(mailer_of(made)(ANN).content)
    assert [one for one in findings if one.error] == []
    assert "<script>alert" not in made.html


def test_footnotes_lose_their_links_and_signs_go_with_their_notes() -> None:
    body = (
        '<p>Eleven days.<sup><a href="#n1">1</a></sup></p><p>More words follow here.</p><hr>'
        '<ol><li id="n1"><p>By count. <a href="#r1">↩</a></p></li></ol>'
    )
    one = post(1, "t", body_html=body, summary="Something else.")
    cut = replace(one, body_html=body.replace("More words", "More words " * 200))
    assert "Eleven days.</p>" in compiled(posts=(cut,)).html
    full = compiled(posts=(one,), full_text=True)
    assert "Eleven days.<sup>1</sup>" in full.html
    assert "↩" not in full.html + text_of(full)


# Fitting


def test_a_large_issue_is_shortened_at_the_end_of_blocks_and_says_so() -> None:
    long = "".join(f"<p>Paragraph {n} ends like this: {'words ' * 60}end.</p>" for n in range(40))
    posts = tuple(post(n, f"Post {n}", body_html=long) for n in range(20, 8, -1))
    made = compiled(posts=posts, full_text=True)
    assert {made.depths[20], made.depths[9]} == {Depth.FULL, Depth.EXCERPT}
    assert any("shortened" in note for note in made.notes)
    message = mailer_of(made)(ANN)
    assert len(message.content) <= LIMIT
    assert check_message(message.content) == []
    for paragraph in tree(made.html).iterfind(".//p[@class='text']"):
        words = paragraph.text_content()
        assert not words.startswith("Paragraph") or words.endswith("end.")


def test_too_many_posts_are_left_out_from_the_end_and_said() -> None:
    posts = tuple(post(n, f"Post {n} {'title ' * 30}", summary="word " * 60) for n in range(60, 0, -1))
    made = compiled(posts=posts)
    assert made.left_out == posts[-len(made.left_out) :]
    assert made.left_out
    assert any("left out" in note for note in made.notes)
    assert len(mailer_of(made)(ANN).content) <= LIMIT


def test_an_introduction_that_leaves_no_room_is_an_error() -> None:
    with pytest.raises(InputError, match="not even one post"):
        compiled(intro_html=f"<p>{'word ' * 20_000}</p>")


# Slots and the archive


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [slots.OPEN, slots.CLOSE, "unsubscribe", "slotunsubscribe", "&#xfdd0;", "%EF%B7%90", "{{ slot }}"]
        )
        | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8),
        max_size=8,
    ).map("".join)
)
def test_no_text_of_a_post_can_form_a_slot(evil: str) -> None:
    safe = content.from_markdown(evil, content.Surroundings(base_url=SITE)).html
    one = post(
        1,
        f"T {evil}",
        summary=f"S {evil}",
        body_html=safe or "<p>x</p>",
        images=(replace(HARBOUR, alt=evil),),
    )
    frozen = thaw(compiled(posts=(one,), corrections=(), intro_html="").frozen)
    values = {name: f"value of {name}" for name in tracing.FIELDS}
    made = Variants(frozen, TemplateSet(frozen.templates), (b"", b"", b"")).render(values)
    for pieces, fields in (
        (made.html, ["address", "since", "unsubscribe", "preferences"]),
        (made.text, ["address", "since", "unsubscribe", "preferences"]),
    ):
        assert [one.field for one in pieces if isinstance(one, slots.Slot)] == fields
        assert not any(re.search("[\ufdd0-\ufdef]", one) for one in pieces if isinstance(one, str))


def test_the_archive_speaks_to_nobody() -> None:
    page = compiled(title="The <Weekly>").html
    assert "You are reading the archived issue 3 of The &lt;Weekly&gt;." in page
    assert "nsubscribe" not in page
    assert "preferences" not in page
    assert "subscribed" not in page
    assert not re.search("[\ufdd0-\ufdef]", page)
    assert CRANES.title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in page


FRAGMENTS = st.sampled_from(
    [
        "<p>",
        "</p>",
        "<div>",
        "<h1>T</h1>",
        "<h4>U</h4>",
        "<ul><li>",
        "</ul>",
        "<blockquote>",
        "</blockquote>",
        "<pre>",
        "<table><tr><td>",
        "</table>",
        "<figure>",
        "<figcaption>c<small>d</small></figcaption></figure>",
        "<hr>",
        "<br>",
        '<img src="https://example.org/a.png" alt="pic" width=600 height=300>',
        '<img src="x.jpg">',
        "— A. Name, role",
        '<a href="https://example.org/é?a=1&b=2">',
        '<a href="#x">',
        "</a>",
        "<em>",
        "<b",
        "&amp;",
        "word é中 ",
        "</pre>",
    ]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(FRAGMENTS, max_size=25).map("".join), st.booleans())
def test_whatever_the_content_pipeline_lets_through_breaks_no_rule(body: str, full: bool) -> None:
    made = content.from_html(body, content.Surroundings(base_url=f"{SITE}posts/post-1/"))
    one = post(
        1, "T", summary=made.summary, body_html=made.html, images=made.images, citations=made.citations
    )
    digest = compiled(posts=(one, PLAIN), full_text=full, intro_html=made.html, corrections=())
    findings = check_message(mailer_of(digest)(ANN).content)
    assert [finding for finding in findings if finding.error] == []


# Inlining


def test_imports_are_taken_out_and_nothing_is_fetched() -> None:
    page = '<!DOCTYPE html><html><head><style>@import url("http://127.0.0.1:9/x.css"); p { margin: 0 }</style></head>'
    made = inline_styles(page + "<body><p>x</p><pre>a\n   b</pre></body></html>")
    assert "127.0.0.1" not in made
    assert '<p style="margin:0">' in made
    assert "a\n   b" in made


def test_a_text_that_looks_like_a_style_is_not_touched() -> None:
    made = inline_styles('<html><body><p>say  style="a; b, c" &lt;p style="x; y"&gt;</p></body></html>')
    assert 'say  style="a; b, c" &lt;p style="x; y"&gt;' in made


# The text part


@settings(deadline=None)
@given(st.text(st.sampled_from("ab 中é"), max_size=300), st.integers(20, 72))
def test_wrapping_keeps_every_word_and_the_width(text: str, width: int) -> None:
    lines = plain.wrap(text, first="> ", rest="> ", width=width)
    assert "".join(line.removeprefix(">") for line in lines).replace(" ", "") == text.replace(" ", "")
    assert all(plain.columns(line) <= width or " " not in line.removeprefix("> ") for line in lines)


def test_links_in_code_and_captions_of_tables_are_in_the_text_too() -> None:
    body = (
        '<pre>a = <a href="https://example.org/code">b</a></pre>'
        "<table><caption>Ships, by size</caption><tr><th>Ship</th></tr></table>"
    )
    story = post(1, "t", body_html=body, summary="Other.")
    text = text_of(compiled(posts=(story,), intro_html="", corrections=()))
    assert "a = b\n[1]\n" in text
    assert "[1] b\n    https://example.org/code\n" in text
    assert "Ships, by size\nShip\n" in text


def test_a_long_url_stays_whole() -> None:
    url = "https://example.org/" + "x" * 100
    assert plain.wrap(f"see {url} now") == ["see", url, "now"]


def test_every_line_of_the_text_part_fits() -> None:
    for line in text_of(DIGEST).splitlines():
        assert plain.columns(line) <= 72 or line.strip().startswith("http")


def test_wide_text_is_wrapped_by_columns() -> None:
    (paragraph,) = list(markup.parse(CJK.body_html))
    assert max(plain.columns(line) for line in plain.block_lines(paragraph, plain.Notes())) == 72


def test_templates_are_trusted_but_texts_are_not(tmp_path: Path) -> None:
    evil = post(1, "{{ 7*7 }} {% for x in y %}", summary="{{ looks.publication }}")
    made = compiled(posts=(evil,))
    assert "{{ 7*7 }} {% for x in y %}" in made.html
    assert "{{ looks.publication }}" in text_of(made)
