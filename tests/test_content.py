"""Any text becomes safe, regular HTML: hostile fragments, structure, figures, quotations, limits."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import feedparser
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree
from markdown_it import MarkdownIt
from mdit_py_plugins.footnote import footnote_plugin

from newsletter.content import (
    Surroundings,
    clean_line,
    from_html,
    from_markdown,
    from_plain_text,
    opens_with,
    plain_text,
    shorten,
    unsaid,
)
from newsletter.content.sanitise import BLOCK, INLINE
from newsletter.errors import InputError
from newsletter.model import Citation, Image, Reference

HERE = Surroundings("https://news.example.org/posts/here/", id_prefix="here")

_TAGS = [
    "a",
    "abbr",
    "address",
    "annotation-xml",
    "article",
    "b",
    "big",
    "blockquote",
    "br",
    "button",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "dd",
    "del",
    "div",
    "dl",
    "dt",
    "em",
    "embed",
    "figcaption",
    "figure",
    "font",
    "footer",
    "foreignObject",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "hr",
    "i",
    "iframe",
    "img",
    "input",
    "ins",
    "li",
    "link",
    "main",
    "marquee",
    "math",
    "meta",
    "mi",
    "nobr",
    "noscript",
    "object",
    "ol",
    "option",
    "p",
    "pre",
    "q",
    "rb",
    "rp",
    "rt",
    "ruby",
    "script",
    "section",
    "select",
    "small",
    "span",
    "strong",
    "style",
    "sub",
    "sup",
    "svg",
    "table",
    "tbody",
    "td",
    "template",
    "textarea",
    "tfoot",
    "th",
    "thead",
    "time",
    "title",
    "tr",
    "tt",
    "ul",
    "video",
    "xmp",
]
_ATTRIBUTES = [
    "",
    " href='#a'",
    " href=x",
    " href='javascript:alert(1)'",
    " href='java\tscript:alert(1)'",
    " href=' &#106;avascript:alert(1)'",
    " href='data:text/html,<script>alert(1)</script>'",
    " href='//evil.example/x'",
    " href='http://[::1'",
    " id=a",
    " name=a",
    " src=p.jpg",
    " src='data:image/png;base64,aa'",
    " src='vbscript:x'",
    " data-src=z.jpg",
    " onclick=alert(1)",
    " onerror='alert(1)'",
    " style='background:url(javascript:x)'",
    " class=credit",
    " class='x' ",
    " cite=q",
    " lang=de",
    " lang='\"x'",
    " dir=rtl",
    " title='&lt;a\n\"'",
    " alt='x<y'",
    " width=1 height=100000000",
    " colspan=99999999",
    " srcdoc='<script>alert(1)</script>'",
    " action=x formaction='javascript:x'",
    " xlink:href='javascript:x'",
]
_TEXTS = [
    "x", " ", "\n", "y z", "— Name, role", "&nbsp;", "&#1;", "&#13;", "&amp;lt;script&amp;gt;", "Photo: X",
    "(Photo: Me)", "<", ">", "\x00", "]]>", "<!--", "-->", "--!>", "-- q", "Source: a", "\u200b", "\ud800", "\ufffe",
    "<![CDATA[", "a\n— b", "<?php x ?>", "<!DOCTYPE x>", "\r", "\u2028", "é", "漢字", "</", "<a", "'\">",
]  # fmt: skip
_FRAGMENTS = st.one_of(
    st.builds(
        lambda tag, attribute: f"<{tag}{attribute}>", st.sampled_from(_TAGS), st.sampled_from(_ATTRIBUTES)
    ),
    st.sampled_from(_TAGS).map(lambda tag: f"</{tag}>"),
    st.sampled_from(_TEXTS),
)
HOSTILE = st.lists(_FRAGMENTS, max_size=25).map("".join)
_SAFE_URL = re.compile(r"(https?://[^\s]|mailto:|tel:)")
_ATTRIBUTE_NAMES = frozenset(
    [
        "abbr",
        "alt",
        "cite",
        "class",
        "colspan",
        "datetime",
        "dir",
        "height",
        "href",
        "hreflang",
        "id",
        "lang",
        "reversed",
        "rowspan",
        "scope",
        "span",
        "src",
        "start",
        "title",
        "type",
        "value",
        "width",
    ]
)


def body(html: str, surroundings: Surroundings = HERE) -> str:
    return from_html(html, surroundings).html


def tree(html: str) -> Any:
    return etree.fromstring(f"<div>{html}</div>")


def assert_safe(html: str) -> None:
    """Read the output as XML and as a browser's parser would, and look at everything in it."""
    for element in tree(html).iterdescendants():
        assert element.tag in (INLINE | BLOCK) - {"h1"}
        for name, value in element.attrib.items():
            assert name in _ATTRIBUTE_NAMES
            if name in ("href", "src", "cite"):
                assert _SAFE_URL.match(value), value
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", html)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example("<figure lang=de>x")
@example("<h1><h2>x")
@example("<address lang='\"x'>x<address>")
@example("x<span> <br>")
@example("<abbr><h2><a><h1><br>")
@example("<svg><style><img src=x onerror=alert(1)></style></svg>")
@example("<math><mtext><table><mglyph><style><!--</style><img title='--&gt;<img src=1 onerror=alert(1)>'>")
@example("<noscript><p title='</noscript><img src=x onerror=alert(1)>'>")
@example("<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>")
@given(HOSTILE)
def test_nothing_hostile_survives_and_a_second_pass_changes_nothing(html: str) -> None:
    once = body(html)
    assert_safe(once)
    assert body(once) == once


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_taken(text: str) -> None:
    for make in (from_html, from_markdown, from_plain_text):
        content = make(text, HERE)
        assert_safe(content.html)
        assert len(content.summary) <= 300
        assert body(content.html) == content.html


@settings(max_examples=100, deadline=None)
@given(HOSTILE)
def test_hostile_html_inside_markdown_is_no_better(text: str) -> None:
    assert_safe(from_markdown(text, HERE).html)


def test_the_sanitiser_corpus(shared_data: Path) -> None:
    """Every entry of the feeds that once got script through some reader."""
    files = sorted((shared_data / "feeds" / "wellformed" / "sanitize").glob("*.xml"))
    assert len(files) > 50
    for file in files:
        parsed = feedparser.parse(file.read_bytes(), sanitize_html=False, resolve_relative_uris=False)
        for entry in [*parsed.entries, parsed.feed]:
            texts = [part.get("value", "") for part in entry.get("content", [])]
            for text in filter(None, [*texts, entry.get("summary", ""), entry.get("title", "")]):
                assert_safe(body(text))
                assert (
                    "alert" not in plain_text(body(f"<p>{text}"))
                    or "&lt;script" in text
                    or "<script" not in text
                )


class TestStructure:
    @pytest.mark.parametrize(
        ("html", "expected"),
        [
            ("text", "<p>text</p>"),
            ("a<p>b</p>c", "<p>a</p>\n<p>b</p>\n<p>c</p>"),
            ("<p></p><p>&nbsp;</p><p> x </p><div><br></div>", "<p>x</p>"),
            ("<div>one<div>two</div></div>", "<p>one</p>\n<p>two</p>"),
            ("<p>one<br><br>two<br>three</p>", "<p>one</p>\n<p>two<br/>three</p>"),
            ("<h1>A</h1><h3>B</h3><h2>C</h2>", "<h2>A</h2>\n<h3>B</h3>\n<h3>C</h3>"),
            ("<h4>A</h4><h6>B</h6><h4>C</h4>", "<h2>A</h2>\n<h3>B</h3>\n<h2>C</h2>"),
            ("<ul>x<li>a</li><ul><li>b</li></ul></ul>", "<ul><li>x</li><li>a<ul><li>b</li></ul></li></ul>"),
            ("<li>alone</li>", "<p>alone</p>"),
            ("<b><p>x</p><h3>y</h3></b>", "<p><b>x</b></p>\n<h2><b>y</b></h2>"),
            ("<a href='https://e.example/'><h2>T</h2></a>", '<h2><a href="https://e.example/">T</a></h2>'),
            ("<table><tr><td>x</table>", "<table><tbody><tr><td>x</td></tr></tbody></table>"),
            ("<table></table>", ""),
            ("<pre>\n\n  x\n</pre>", "<pre>  x\n</pre>"),
            ("<font color=red>x</font> <tt>y</tt> <strike>z</strike>", "<p>x <code>y</code> <s>z</s></p>"),
            ("<section><p>a</section><article>b</article>", "<p>a</p>\n<p>b</p>"),
            ("<div lang=fr><p>à</div>", '<div lang="fr"><p>à</p></div>'),
            ("<p>x<hr><p>y", "<p>x</p>\n<hr/>\n<p>y</p>"),
            ("<ruby>漢<rp>(</rp><rt>kan</rt></ruby>", "<p><ruby>漢<rp>(</rp><rt>kan</rt></ruby></p>"),
            ("<dl><dt>a<dd>b</dl>", "<dl><dt>a</dt><dd>b</dd></dl>"),
            ("a &lt;b&gt; &amp; c", "<p>a &lt;b&gt; &amp; c</p>"),
            ("<td>cell</td>", "<p>cell</p>"),
        ],
    )
    def test_blocks(self, html: str, expected: str) -> None:
        assert body(html) == expected

    def test_what_is_meant_is_kept(self) -> None:
        kept = (
            '<table><caption>T</caption><thead><tr><th scope="col">a</th></tr></thead>'
            '<tbody><tr><td colspan="2" rowspan="2">b</td></tr></tbody></table>\n'
            '<p>H<sub>2</sub>O <abbr title="x">y</abbr> <time datetime="2026-01-01">1 Jan</time> '
            '<q cite="https://e.example/">q</q> '
            '<del>d</del> <ins>i</ins> <span lang="ar" dir="rtl">ع</span> <mark>m</mark> <kbd>k</kbd></p>\n'
            '<ol start="3"><li value="5">x</li></ol>'
        )
        assert body(kept) == kept

    def test_control_characters_go_first(self) -> None:
        content = from_html("a\x00b\x0b\ud800\ufffec&#1;&#x1f;d\r\ne", HERE)
        assert content.html == "<p>abcd\ne</p>"

    def test_players_become_links_and_are_reported(self) -> None:
        content = from_html(
            '<p>See</p><iframe width="5" src="https://video.example/embed/1?a=1&amp;b=2"></iframe>'
            '<video><source src="/film.mp4"></video><embed src="javascript:x">',
            HERE,
        )
        assert '<a href="https://video.example/embed/1?a=1&amp;b=2">video.example/embed/1</a>' in content.html
        assert '<a href="https://news.example.org/film.mp4">' in content.html
        assert len(content.dropped) == 3
        assert "iframe" not in content.html

    def test_what_is_removed_is_said(self) -> None:
        dropped = from_html(
            "<script>x</script><form>f</form><a href='javascript:x'>y</a><svg></svg>", HERE
        ).dropped
        assert {"a script was removed", "a form was removed", "an SVG drawing was removed"} <= set(dropped)


class TestLinks:
    def test_links_are_absolute(self) -> None:
        assert 'href="https://news.example.org/a?b=c&amp;d"' in body("<a href='/a?b=c&amp;d'>x</a>")
        assert 'href="https://news.example.org/posts/there/"' in body("<a href='../there/'>x</a>")
        assert 'href="mailto:a@example.org"' in body("<a href='mailto:a@example.org'>x</a>")
        assert "href" not in body("<a href='ftp://example.org/'>x</a>")

    def test_a_relative_link_without_a_page_is_opened_and_said(self) -> None:
        content = from_html("<p><a href='x'>word</a></p>", Surroundings())
        assert content.html == "<p>word</p>"
        assert "'x'" in content.dropped[0]

    def test_own_posts_are_references(self) -> None:
        here = replace(HERE, is_own_post=lambda url: "/posts/" in url)
        content = from_html(
            "<a href='../there/#x'>the story</a> <a href='/about'>us</a> <a href='#x'>up</a>", here
        )
        assert content.references == (
            Reference(url="https://news.example.org/posts/there/", title="the story"),
        )

    def test_ids_live_only_where_a_link_points_and_under_a_prefix(self) -> None:
        html = body(
            "<p><a href='#n1' id='r1'>1</a><a href='#none'>2</a></p><p id='n1'>note <a href='#r1'>up</a></p><p id=q>z"
        )
        assert '<p id="here-n1">' in html
        assert 'id="here-r1"' in html
        assert 'href="https://news.example.org/posts/here/#here-n1"' in html
        assert 'id="q"' not in html
        assert "here-q" not in html


class TestFigures:
    def test_markdown_figure(self) -> None:
        content = from_markdown('![An *alt*](p.jpg "The caption | Photo: Me")', HERE)
        assert content.html == (
            '<figure><img src="https://news.example.org/posts/here/p.jpg" alt="An alt"/>'
            '<figcaption>The caption <small class="credit">Photo: Me</small></figcaption></figure>'
        )
        assert content.images == (
            Image(
                src="https://news.example.org/posts/here/p.jpg",
                alt="An alt",
                caption="The caption",
                credit="Photo: Me",
            ),
        )
        assert content.dropped == ()

    @pytest.mark.parametrize(
        ("html", "caption", "credit"),
        [
            ("<figure><img src=p.jpg alt=a><figcaption>C</figcaption></figure>", "C", ""),
            ("<figure><figcaption>C</figcaption><img src=p.jpg alt=a></figure>", "C", ""),
            (
                "<figure><img src=p.jpg alt=a><figcaption>C (Photo: N. N.)</figcaption></figure>",
                "C",
                "Photo: N. N.",
            ),
            ("<figure><img src=p.jpg alt=a><figcaption>© N. N.</figcaption></figure>", "", "© N. N."),
            (
                "<figure><img src=p.jpg alt=a><figcaption><span class='photo-credit'>N</span> C</figcaption></figure>",
                "C",
                "N",
            ),
            (
                "<figure><div><a href=p.jpg><img src=p.jpg alt=a></a></div><figcaption><p>C</p></figcaption></figure>",
                "C",
                "",
            ),
            ("<p><img src=p.jpg alt=a></p>", "", ""),
        ],
    )
    def test_captions_and_credits(self, html: str, caption: str, credit: str) -> None:
        content = from_html(html, HERE)
        assert [(i.alt, i.caption, i.credit) for i in content.images] == [("a", caption, credit)]
        root = tree(content.html)
        assert root[0].tag == "figure"
        if caption or credit:
            assert root[0][-1].tag == "figcaption"
        assert content.summary == ""

    def test_a_resolver_gives_dimensions_or_refuses(self) -> None:
        def resolve(image: Image) -> Image | None:
            if image.src == "gone.jpg":
                raise InputError("no such file")
            return (
                replace(image, src="https://m.example/p.jpg", width=600, height=400)
                if image.src == "p.jpg"
                else None
            )

        here = replace(HERE, resolve_image=resolve)
        content = from_html(
            "<img src=p.jpg alt=a><figure><img src=gone.jpg><figcaption>Lost</figcaption></figure><img src=no.jpg>",
            here,
        )
        assert content.html == (
            '<figure><img src="https://m.example/p.jpg" alt="a" width="600" height="400"/></figure>'
        )
        assert "no such file" in content.dropped[0]
        assert "'Lost'" in content.dropped[0]
        assert "no.jpg" in content.dropped[1]

    def test_a_picture_that_loads_late_is_found(self) -> None:
        html = body("<p>t <img src='data:image/gif;base64,x' data-src='/real.jpg' alt='a'></p>")
        assert 'src="https://news.example.org/real.jpg"' in html

    def test_a_missing_alt_is_said(self) -> None:
        assert "no alternative text" in from_html("<img src=p.jpg>", HERE).dropped[0]

    def test_a_gallery_is_opened(self) -> None:
        html = body(
            "<figure><ul><li><figure><img src=a.jpg alt=a><figcaption>A</figcaption></figure></li>"
            "<li><figure><img src=b.jpg alt=b></figure></li></ul><figcaption>Both</figcaption></figure>"
        )
        assert [child.tag for child in tree(html)] == ["figure", "figure", "p"]


class TestQuotations:
    @pytest.mark.parametrize(
        "text",
        [
            "> Words.\n>\n> — Name, role",
            "> Words.  \n> — Name, role",
            "> Words.\n> — Name, role",
            "> Words.\n>\n> -- Name, role",
            "<blockquote><p>Words.</p><cite>Name, role</cite></blockquote>",
            "<blockquote><p>Words.</p><footer>Name, role</footer></blockquote>",
            "<blockquote>Words.<br>— <cite>Name, role</cite></blockquote>",
        ],
    )
    def test_an_attribution_becomes_a_footer(self, text: str) -> None:
        assert from_markdown(text, HERE).html == (
            "<blockquote><p>Words.</p><footer>— <cite>Name, role</cite></footer></blockquote>"
        )

    def test_the_first_link_is_the_work_cited(self) -> None:
        content = from_markdown("> Words.\n>\n> — Name, [report](https://e.example/r)", HERE)
        assert tree(content.html)[0].get("cite") == "https://e.example/r"
        assert content.citations == (Citation(text="Name, report", url="https://e.example/r"),)
        assert unsaid(content.citations, content.html) == ()

    def test_a_dash_inside_a_quotation_is_no_attribution(self) -> None:
        assert "footer" not in from_markdown("> — Who is there?", HERE).html
        assert "footer" not in from_markdown("> One — two.\n>\n> Three - four.", HERE).html

    def test_a_source_line_is_a_citation(self) -> None:
        content = from_html(
            "<p>Text.</p><p>Source: Office, <a href='https://o.example/1'>Note 1</a></p>", HERE
        )
        assert content.citations == (Citation(text="Office, Note 1", url="https://o.example/1"),)
        assert unsaid((Citation(text="Another"),), content.html) == (Citation(text="Another"),)


class TestReading:
    def test_footnotes_work_and_stay_out_of_the_summary(self) -> None:
        content = from_markdown("Said[^1] so.\n\n[^1]: The note.", HERE)
        assert content.summary == "Said so."
        assert 'id="here-fn1"' in content.html
        assert "The note." in content.html

    @pytest.mark.parametrize(
        ("summary", "opens"),
        [
            ("One. Two two.", True),
            ("One. Two […]", True),
            ("One. Tw...", True),
            ("A quotation… ", False),
            ("One. Two three.", False),
            ("", False),
        ],
    )
    def test_a_text_opens_with_its_summary(self, summary: str, opens: bool) -> None:
        body = "<p>One.</p><p>Tw<b>o</b> two.<sup><a href='#x'>1</a></sup></p><blockquote>A quotation.</blockquote>"
        assert opens_with(body, summary) is opens

    def test_a_summary_is_running_text(self) -> None:
        content = from_markdown(
            '![a](p.jpg "A caption")\n\n> A quotation.\n\n- item\n\nFirst. ' + "word " * 100, HERE
        )
        assert content.summary.startswith("First. word")
        assert content.summary.endswith("word…")
        assert len(content.summary) <= 300

    def test_short_paragraphs_are_joined(self) -> None:
        assert from_markdown("One.\n\nTwo.", HERE).summary == "One. Two."

    @given(st.text(max_size=400), st.integers(10, 300))
    def test_shortening(self, text: str, limit: int) -> None:
        line = clean_line(text)
        short = shorten(line, limit)
        assert len(short) <= limit
        assert short == line or (short.endswith("…") and line.startswith(short[:-1]))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("One two-three don't 3.5 x", 5),
            ("漢字とかな", 5),
            ("한국어 문장", 2),
            ("R&D <b>b</b>old", 3),
            ("", 0),
        ],
    )
    def test_words(self, text: str, words: int) -> None:
        assert from_html(f"<p>{text}</p>", HERE).word_count == words

    def test_plain_text(self) -> None:
        text = plain_text(
            "<p>One &amp;\n two<br>three</p><ul><li>a<li>b</ul><script>no</script><h2>H</h2>tail"
        )
        assert text == "One & two\nthree\n\n- a\n- b\n\nH\n\ntail"

    @given(HOSTILE)
    @settings(deadline=None, max_examples=100)
    def test_plain_text_of_anything(self, html: str) -> None:
        assert "\x00" not in plain_text(html)

    @given(st.text())
    def test_a_clean_line_is_one_line(self, text: str) -> None:
        line = clean_line(text)
        assert len(line.splitlines()) <= 1
        assert clean_line(line) == line
        assert line == line.strip()
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", line)


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                " ",
                "*",
                "_",
                "\n",
                "`",
                "[",
                "](x)",
                "!",
                "&amp;",
                "<b>",
                "\\",
                "  ",
                "|",
                "- ",
                "~",
                "^[",
            ]
        ),
        max_size=20,
    ).map("".join)
)
def test_the_short_cuts_of_markdown_change_nothing(text: str) -> None:
    plain = MarkdownIt("commonmark", {"html": True}).enable("table").use(footnote_plugin)
    assert from_markdown(text, HERE).html == body(plain.render(text))


class TestLimits:
    @pytest.mark.parametrize(
        "bomb",
        [
            "<b>" * 200_000,
            "<div>" * 200_000 + "x",
            "<table><tr><td>" * 50_000,
            "<ul><li>" * 100_000,
            "<b></x>" * 100_000,
            "".join(f"<font id=a{n}>" for n in range(90)) + "<p>x" * 200_000,
            "<blockquote>" * 200_000,
        ],
        ids=["b", "div", "table", "list", "stray end tags", "formatting copied", "blockquote"],
    )
    def test_nesting_is_refused_before_it_costs(self, bomb: str) -> None:
        start = time.process_time()
        for take in (
            lambda: from_html(bomb, HERE),
            lambda: from_markdown(bomb, HERE),
            lambda: plain_text(bomb),
        ):
            with pytest.raises(InputError, match=r"nested|characters"):
                take()
        assert time.process_time() - start < 10

    def test_a_hundred_levels_are_read(self) -> None:
        html = body("<blockquote>" * 95 + "x" + "</blockquote>" * 95)
        assert html.count("<blockquote>") == 95

    @pytest.mark.parametrize("make", [from_html, from_markdown, from_plain_text])
    def test_too_much_text_is_refused(self, make: Callable[[str, Surroundings], Any]) -> None:
        with pytest.raises(InputError, match="characters"):
            make("x" * 10_000_001, HERE)

    def test_a_long_text_takes_seconds(self) -> None:
        start = time.process_time()
        content = from_html("<p>A paragraph of some words &amp; no more.</p>\n" * 40_000, HERE)
        assert content.word_count == 280_000
        assert time.process_time() - start < 20

    @pytest.mark.parametrize(
        "text",
        [
            "[" * 20_000,
            "![" * 10_000,
            "> " * 20_000,
            "* " * 10_000,
            "`" * 20_001,
            "_a" * 10_000,
            "[a](" * 5_000,
            "<" * 50_000,
            "&" * 50_000,
            "<iframe" * 20_000,
            "<video src='" * 20_000,
        ],
    )
    def test_markdown_made_to_be_slow(self, text: str) -> None:
        start = time.process_time()
        with suppress(InputError):
            from_markdown(text, HERE)
        assert time.process_time() - start < 10
