"""Pages of an old site: what stands in the text is recognised, and stays in the text."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.content import Surroundings, from_html, plain_text
from newsletter.content.recognition import Page, head_lines, recognise, repeated, title_of
from newsletter.errors import InputError
from newsletter.model import Citation, Reference

FIXTURES = Path(__file__).parent / "fixtures" / "content"
TEXT = (FIXTURES / "seizure.txt").read_text(encoding="utf-8")
HTML = (FIXTURES / "lorries.html").read_text(encoding="utf-8")
SITE = repeated([head_lines(TEXT, html=False), head_lines(HTML, html=True)])
HERE = Surroundings("https://news.example.org/posts/seizure/")


def read(text: str, *, html: bool = False) -> Page:
    return recognise(
        text,
        html=html,
        zone="Europe/Brussels",
        site_lines=SITE,
        has_picture=lambda name: name == "containers.jpg",
        find_post=lambda title: (
            "https://news.example.org/posts/lorries/" if title == "Forty lorries stopped" else ""
        ),
    )


def test_the_line_that_pages_share_is_the_sites() -> None:
    assert frozenset({"the harbour observer"}) == SITE


def test_a_text_page() -> None:
    page = read(TEXT)
    assert page.title == "Customs officers seize 40 containers at Antwerp"
    assert (page.published, page.date_only) == (datetime(2011, 12, 29, 11, tzinfo=UTC), True)
    assert page.author == "hvdb"
    assert page.summary.startswith("Customs officers seized forty containers on Wednesday")
    assert page.citations == (
        Citation(
            text='Port Authority, Antwerp, "Forty containers seized", press release, 28.12.11',
            publisher="Port Authority",
            place="Antwerp",
            title="Forty containers seized",
            kind="press release",
            date="28.12.11",
        ),
    )
    assert page.references == (
        Reference(url="https://news.example.org/posts/lorries/", title="Forty lorries stopped"),
    )
    assert "the text names the picture missing.jpg, which is not there" in page.notes


def test_its_picture_and_quotation() -> None:
    content = from_html(read(TEXT).html, HERE)
    assert [(image.src, image.credit) for image in content.images] == [
        ("https://news.example.org/posts/seizure/containers.jpg", "Photo: N. Example / Port Authority")
    ]
    assert (
        "<blockquote><p>“The containers were declared as empty. They were not.</p><p>“Each was weighed twice, and each "
        "weighed more than its papers said.”</p>"
        "<footer>— <cite>Anneke Voorbeeld, head of investigations</cite></footer>"
        "</blockquote>"
    ) in content.html
    assert "<p>“We have followed" in content.html  # a quotation inside a sentence stays one


def test_an_html_page() -> None:
    page = read(HTML, html=True)
    assert (page.title, page.author) == ("Forty lorries stopped", "hvdb")
    assert page.published == datetime(2011, 11, 3, 11, tzinfo=UTC)
    assert page.citations[0].publisher == "Office for Roads"
    assert page.citations[0].place == "Brussels"
    assert '<i>"Notice 12"</i>' in page.html
    assert title_of(HTML, html=True, site_lines=SITE) == page.title


@pytest.mark.parametrize(("text", "html"), [(TEXT, False), (HTML, True)], ids=["text", "html"])
def test_nothing_is_lost_from_the_text(text: str, html: bool) -> None:
    page = read(text, html=html)
    shown = f"{page.title} {plain_text(from_html(page.html, HERE).html)} {page.html}"
    for word in plain_text(text).split():
        assert word in shown, word


@pytest.mark.parametrize(
    ("line", "author"),
    [
        ("Posted by NAME", "NAME"),
        ("By Anna de Vries", "Anna de Vries"),
        ("Written by @hvdb on 3.11.11", "@hvdb"),
        ("Posted on 3 November 2011 by hvdb | 4 comments", "hvdb"),
        ("Author: N. N.", "N. N"),
    ],
)
def test_authors(line: str, author: str) -> None:
    page = read(f"A title\n\n3.11.11\n{line}\n\nSome text of the post. And more.")
    assert page.author == author
    assert line in plain_text(page.html)


def test_by_in_a_sentence_is_no_author() -> None:
    assert read("A title\n\n3.11.11\n\nBy the end of the day, all of them had gone home again.").author == ""


@pytest.mark.parametrize("text", ["", "Only a title", "3.11.11", "A title\n\nText without any date."])
def test_without_title_or_date_it_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"no (title|date)") as caught:
        read(text)
    assert caught.value.remedy


def test_a_caption_beside_the_name() -> None:
    page = read("T itle\n\n3.11.11\n\ncontainers.jpg: The port at night\n\nText.")
    assert from_html(page.html, HERE).images[0].caption == "The port at night"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*TEXT.split("\n"), *HTML.split("\n"), "", "“x”", "“x", "— y", "<p>", "<br>", "containers.jpg"]
        ),
        max_size=14,
    ).map("\n".join),
    st.booleans(),
)
def test_any_order_of_lines_loses_no_word(text: str, html: bool) -> None:
    try:
        page = read(text, html=html)
    except InputError:
        return
    shown = f"{page.title} {page.html} {plain_text(page.html)}"
    for word in plain_text(text).split() if html else text.replace("<p>", "").replace("<br>", "").split():
        if word not in ("-",) and "<" not in word and not word.startswith("|"):
            assert word in shown or word.replace("&amp;", "&") in shown or word.strip(":") in shown, word
