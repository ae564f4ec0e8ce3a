"""What WordPress stores beside HTML: every caption is found again, every shortcode kept, turned or reported."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from newsletter.content import Content, Surroundings, from_html, plain_text
from newsletter.content.wordpress import prepare
from newsletter.model import Image

HERE = Surroundings("https://wp.example.org/post/")
PICTURE = '<img src="p.jpg" alt="a" width="640" height="480" />'


def content(text: str) -> Content:
    return from_html(prepare(text)[0], HERE)


@pytest.mark.parametrize(
    "text",
    [
        f'[caption id="attachment_6" align="alignnone" width="640"]{PICTURE} The caption.[/caption]',
        f'[caption width="640" caption="The caption."]{PICTURE}[/caption]',
        f'[caption id="x"]<a href="p.jpg">{PICTURE}</a> The caption.[/caption]',
        f'[wp_caption id="x"]{PICTURE}\n\nThe caption.[/wp_caption]',
        f'<div id="attachment_6" style="width: 650px" class="wp-caption alignnone">{PICTURE}'
        '<p class="wp-caption-text">The caption.</p></div>',
        f'<!-- wp:image {{"id":6}} -->\n<figure class="wp-block-image">{PICTURE}<figcaption>The caption.</figcaption>'
        "</figure>\n<!-- /wp:image -->",
    ],
)
def test_a_caption_is_a_figure(text: str) -> None:
    found = content(f"Before.\n\n{text}\n\nAfter.")
    assert [(image.alt, image.caption) for image in found.images] == [("a", "The caption.")]
    assert plain_text(found.html) == "Before.\n\nThe caption.\n\nAfter."
    assert "wp:" not in found.html


def test_a_caption_keeps_its_markup_and_the_picture_its_link() -> None:
    html = content(
        f'[caption id="x"]<a href="/big.jpg">{PICTURE}</a> By <em>N. N.</em>, <a href="/n">more</a>[/caption]'
    ).html
    assert '<figure><a href="https://wp.example.org/big.jpg"><img' in html
    assert '<figcaption>By <em>N. N.</em>, <a href="https://wp.example.org/n">more</a></figcaption>' in html


def test_a_gallery_shows_its_pictures() -> None:
    asked: list[tuple[str, ...]] = []

    def find(ids: tuple[str, ...]) -> Sequence[Image]:
        asked.append(ids)
        return [
            Image(src=f"https://wp.example.org/{one}.jpg", alt="a", caption=f"<{one}>") for one in ids[:2]
        ]

    html, dropped = prepare('A [gallery ids="7,8,9" columns="2"] B', find)
    assert asked == [("7", "8", "9")]
    assert [image.caption for image in from_html(html, HERE).images] == ["<7>", "<8>"]
    assert dropped == ["1 of the 3 pictures of a gallery are not known"]


def test_an_unknown_gallery_is_reported() -> None:
    assert prepare("A [gallery] B")[1] == ["a gallery was removed: its pictures are not known"]


@pytest.mark.parametrize(
    ("text", "kept", "reports"),
    [
        ("He said [sic] and [1] and [see note].", "He said [sic] and [1] and [see note].", 0),
        ("Use [[gallery]] here.", "Use [gallery] here.", 0),
        ('A [contact-form-7 id="3" title="x"] B', "A B", 1),
        ("A [box]inner[/box] B", "A inner B", 1),
        ('A [su_note note_color="#fff"]inner[/su_note] B', "A inner B", 1),
    ],
)
def test_shortcodes(text: str, kept: str, reports: int) -> None:
    html, dropped = prepare(text)
    assert plain_text(from_html(html, HERE).html) == kept
    assert len(dropped) == reports


@pytest.mark.parametrize(
    "text",
    [
        "[embed]https://video.example/1[/embed]",
        '[video src="https://video.example/1"]',
        '[audio mp3="https://video.example/1"][/audio]',
        "[youtube https://video.example/1]",
        "Before\n\nhttps://video.example/1\n\nAfter",
        '<figure class="wp-block-embed"><div class="wp-block-embed__wrapper">\nhttps://video.example/1\n</div></figure>',
    ],
)
def test_embeds_become_links(text: str) -> None:
    assert '<a href="https://video.example/1">https://video.example/1</a>' in content(text).html


def test_blank_lines_part_paragraphs_but_not_in_code() -> None:
    html = content("One\ntwo\n\n<h2>Head</h2>\nThree\n\n<pre>a\n\nb</pre>\nFour").html
    assert html.startswith("<p>One<br/>\ntwo</p>\n<h2>Head</h2>")
    assert "<pre>a\n\nb</pre>\n<p>Four</p>" in html


def test_every_caption_of_the_theme_unit_test_is_found_again(shared_data: Path) -> None:
    export = etree.parse(shared_data / "wordpress" / "theme-unit-test.xml")
    name = "{http://purl.org/rss/1.0/modules/content/}encoded"
    captions = 0
    for item in export.iter("item"):
        text = item.findtext(name) or ""
        found = content(text)
        assert from_html(found.html, HERE).html == found.html
        shown = [f"{image.caption} {image.credit}".strip() for image in found.images]
        for caption in _captions(text):
            captions += 1
            assert caption in " ".join(plain_text(found.html).split()), item.findtext("title")
            if caption in _picture_captions(text):
                assert caption in shown, item.findtext("title")
        assert not re.search(r"\[/?(caption|gallery|embed|video|audio)\b", found.html)
    assert captions > 40


def _captions(text: str) -> list[str]:
    inner = re.findall(r"\[caption[^\]]*\](.*?)\[/caption\]", text, re.DOTALL)
    lines = [
        *(_line(re.sub(r"<img[^>]*>", "", one)) for one in inner),
        *map(_line, re.findall(r"<figcaption[^>]*>(.*?)</figcaption>", text, re.DOTALL)),
        *re.findall(r'\[caption[^\]]* caption="([^"]*)"', text),
    ]
    return list(filter(None, lines))


def _picture_captions(text: str) -> list[str]:
    """Return the captions that stand right behind a picture."""
    found = re.findall(r"<img[^>]*>(?:\s*</a>)?\s*<figcaption[^>]*>(.*?)</figcaption>", text, re.DOTALL)
    found += re.findall(
        r"\[caption[^\]]*\]\s*(?:<a[^>]*>)?\s*<img[^>]*>(?:\s*</a>)?(.*?)\[/caption\]", text, re.DOTALL
    )
    return [_line(one) for one in found]


def _line(html: str) -> str:
    return " ".join(plain_text(html).split())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["[caption", "[/caption]", "]", "[", "[[", PICTURE, "<div class=wp-caption>", "</div>", "x", " ", "\n\n",
             "<p class=wp-caption-text>", "<pre>", "</pre>", "[gallery ids='1'", "[embed]", "https://e.example/", "<a",
             "<script>alert(1)</script>", '"', "[video src='javascript:x']", "<!-- wp:x -->", "[/", "&quot;"]
        ),
        max_size=20,
    ).map("".join)
)  # fmt: skip
def test_any_mixture_stays_safe_and_stable(text: str) -> None:
    found = content(text)
    assert not re.search(r"<script|javascript:[^<]*\"|\son\w+=", found.html)
    assert from_html(found.html, HERE).html == found.html


@pytest.mark.parametrize(
    "text", ["[caption]", "<pre>", "[a ", "<div class=wp-caption>", "[[", "[caption][/caption", "https://"]
)
def test_repetition_is_read_in_time(text: str) -> None:
    start = time.process_time()
    prepare(text * (1_000_000 // len(text)))
    assert time.process_time() - start < 8


def test_a_block_that_holds_no_text_is_reported() -> None:
    html, dropped = prepare(
        '<!-- wp:paragraph --><p>A</p><!-- /wp:paragraph -->\n<!-- wp:search {"label":"x"} /-->\n<!-- wp:search /-->\n'
        '<!-- wp:social-link {"url":"https://a.example.org/","service":"x"} /-->'
    )
    assert "<p>A</p>" in html
    assert dropped == [
        "the block search was removed: it holds no text",
        "the block social-link was removed: it holds no text, only https://a.example.org/",
    ]
