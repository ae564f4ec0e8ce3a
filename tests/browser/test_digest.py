"""The digest in Chromium: at the widths, in the schemes and under the losses that readers' programs bring."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Page

from letters import ANN, CRANES, HARBOUR, LOOKS, POSTS, mailer, post
from newsletter.digest import Design
from newsletter.model import Image

from .conftest import Tab

pytestmark = pytest.mark.browser
HTML = mailer(posts=(*POSTS,), full_text=True).fill(ANN)[0]
SMALL = post(34, "Pilots settle the dispute over their nights", tags=("ports",), images=(HARBOUR,))
MARK = Image(src="https://herald.example.org/media/mark.png", alt="A lighthouse", width=600, height=240)
FRONT = mailer(
    posts=(*POSTS, SMALL), design=Design.FRONT, sections=("ports",), looks=replace(LOOKS, logo=MARK)
).fill(ANN)[0]


def box(page: Page, selector: str) -> dict[str, float]:
    found = page.locator(selector).first.bounding_box()
    assert found is not None
    return {"x": found["x"], "width": found["width"], "height": found["height"]}


@pytest.mark.parametrize("bare", [False, True])
def test_the_paper_is_as_wide_as_the_window_up_to_600_pixels(tab: Tab, bare: bool) -> None:
    tab.show(HTML, bare=bare)
    for width in (320, 375, 600, 1200):
        tab.turn(width=width)
        paper = box(tab.page, ".paper")
        assert paper["width"] == min(600, width)
        assert abs(paper["x"] - (width - paper["width"]) / 2) <= 1
        assert box(tab.page, ".picture")["width"] <= 536


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize(("width", "least", "most"), [(600, 146, 148), (375, 80, 115), (320, 68, 95)])
def test_a_thumbnail_stands_beside_its_text_at_every_width(
    tab: Tab, bare: bool, width: int, least: int, most: int
) -> None:
    tab.turn(width=width)
    tab.show(FRONT, bare=bare)
    text, thumb = box(tab.page, ".brief-text:has(+ .gutter)"), box(tab.page, ".thumb")
    assert least <= thumb["width"] <= most
    assert thumb["height"] == pytest.approx(thumb["width"] * 675 / 1200, abs=2)
    assert text["x"] + text["width"] < thumb["x"]
    assert text["width"] > 1.8 * thumb["width"]
    assert box(tab.page, ".logo")["width"] <= 240


LINES = "e => { const r = document.createRange(); r.selectNodeContents(e); return r.getClientRects().length }"


@pytest.mark.parametrize("neighbour", ["it pays " * 90, "Donaudampfschifffahrt" * 20])
def test_short_words_in_a_table_stay_whole(tab: Tab, neighbour: str) -> None:
    rows = f"<tr><th>Country</th><th>What</th></tr><tr><td>Belgium</td><td>{neighbour}</td></tr>"
    story = replace(CRANES, body_html=f"<table>{rows}</table>", images=())
    page = mailer(posts=(story,), full_text=True).fill(ANN)[0]
    for bare in (False, True):
        tab.show(page, bare=bare)
        for width in (320, 600):
            tab.turn(width=width)
            assert tab.page.locator("td:text-is('Belgium')").evaluate(LINES) == 1


def test_a_table_of_many_columns_does_not_scroll(tab: Tab) -> None:
    rows = f"<tr>{''.join(f'<td>value{n}</td>' for n in range(10))}</tr>" * 2
    story = replace(CRANES, body_html=f"<table>{rows}</table>", images=())
    tab.show(mailer(posts=(story,), full_text=True).fill(ANN)[0])
    for width in (320, 600):
        tab.turn(width=width)
        assert tab.run("document.documentElement.scrollWidth") <= width


def test_quotations_lists_and_tables_follow_the_direction_of_their_story(tab: Tab) -> None:
    body = "<blockquote><p>א</p></blockquote><ul><li>ב</li></ul><table><tr><th>ג</th></tr></table>"
    stories = tuple(
        replace(CRANES, language=one, seq=n, body_html=body) for n, one in enumerate(("he", "en"))
    )
    tab.show(mailer(posts=stories, full_text=True, corrections=(), intro_html="").fill(ANN)[0], bare=True)
    styles = """(names) => [...document.querySelectorAll(names[0])].map(
        e => names.slice(1).map(name => getComputedStyle(e)[name]))"""
    assert tab.run(styles, [".quote-cell", "borderRightWidth", "borderLeftWidth"]) == [
        ["3px", "0px"],
        ["0px", "3px"],
    ]
    assert tab.run(styles, [".list", "paddingRight", "paddingLeft"]) == [["26px", "0px"], ["0px", "26px"]]
    assert tab.run(styles, [".cell", "textAlign"]) == [["right"], ["left"]]


def test_a_picture_keeps_its_shape_when_it_shrinks(tab: Tab) -> None:
    tab.turn(width=375)
    tab.show(HTML)
    found = box(tab.page, ".picture")
    assert found["width"] == 375 - 40
    assert found["height"] == pytest.approx(found["width"] * 675 / 1200, abs=2)


def test_everything_reads_with_pictures_off(plain_tab: Tab) -> None:
    plain_tab.show(HTML)
    text = plain_tab.page.inner_text("body")
    for words in (CRANES.title, "We do not sell speed", "In figures", "The end.", "Unsubscribe from"):
        assert words in text
    assert plain_tab.page.locator(".picture").first.get_attribute("alt") == CRANES.images[0].alt


@pytest.mark.parametrize("dark", [False, True])
def test_the_scheme_s_colours_are_those_of_the_theme(tab: Tab, dark: bool) -> None:
    tab.turn(width=600, dark=dark)
    tab.show(HTML)
    style = "(s) => [getComputedStyle(s).color, getComputedStyle(s).backgroundColor]"
    paper = tab.page.eval_on_selector(".paper", style)[1]
    title = tab.page.eval_on_selector(".title-link", style)[0]
    words = tab.page.eval_on_selector(".story .text", style)[0]
    assert (paper, title, words) == (
        ("rgb(29, 35, 41)", "rgb(230, 232, 234)", "rgb(230, 232, 234)")
        if dark
        else ("rgb(253, 252, 250)", "rgb(29, 35, 41)", "rgb(29, 35, 41)")
    )


def test_the_preview_is_the_first_line_to_be_seen(tab: Tab) -> None:
    tab.turn(width=600)
    tab.show(HTML)
    first = tab.page.locator(".preview").bounding_box()
    assert first is not None
    assert first["y"] < 40


def test_the_accessibility_tree_has_one_article_and_its_headings(tab: Tab) -> None:
    tab.show(HTML)
    assert tab.page.get_by_role("article").count() == 1
    assert tab.page.get_by_role("heading", level=1).all_inner_texts() == ["The Herald Weekly"]
    assert tab.page.get_by_role("heading", level=2, name=CRANES.title).count() == 1
    assert tab.page.get_by_role("table").count() == 1  # the post's own; layout tables are none
    assert tab.page.get_by_role("link", name=f"Read “{CRANES.title}” on the web").count() == 1
