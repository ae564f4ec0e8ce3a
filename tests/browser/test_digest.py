"""The digest in Chromium: at the widths, in the schemes and under the losses that readers' programs bring."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from letters import ANN, CRANES, HARBOUR, LOOKS, POSTS, mailer, post
from newsletter.digest import Design
from newsletter.model import Image

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no Chromium at {CHROMIUM}"),
]
HTML = mailer(posts=(*POSTS,), full_text=True).fill(ANN)[0]
SMALL = post(34, "Pilots settle the dispute over their nights", tags=("ports",), images=(HARBOUR,))
MARK = Image(src="https://herald.example.org/media/mark.png", alt="A lighthouse", width=600, height=240)
FRONT = mailer(
    posts=(*POSTS, SMALL), design=Design.FRONT, sections=("ports",), looks=replace(LOOKS, logo=MARK)
).fill(ANN)[0]
DESIGNS = pytest.mark.parametrize("page", [HTML, FRONT], ids=["letter", "front"])
PICTURE = (Path(__file__).parents[2] / "posts" / "pictures" / "harbour-dusk.jpg").read_bytes()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield opened
        opened.close()


def show(browser: Browser, page: str, *, width: int, dark: bool = False, pictures: bool = True) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
    )
    tab = context.new_page()
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if pictures:
            route.fulfill(body=PICTURE, content_type="image/jpeg")
        else:
            route.abort()

    tab.route("**/*", answer)
    tab.set_content(page, wait_until="load")
    assert all(url.startswith("https://herald.example.org/media/") for url in asked)
    return tab


def box(tab: Page, selector: str) -> dict[str, float]:
    found = tab.locator(selector).first.bounding_box()
    assert found is not None
    return {"x": found["x"], "width": found["width"], "height": found["height"]}


def bared(page: str) -> str:
    """Take the styles of the head away."""
    return re.sub(r"<style.*?</style>", "", page, flags=re.S)


@pytest.mark.parametrize("bare", [False, True])
@DESIGNS
def test_no_width_scrolls_sideways_with_and_without_styles(browser: Browser, page: str, bare: bool) -> None:
    page = bared(page) if bare else page
    tab = show(browser, page, width=600)
    for width in (320, 375, 600, 1200):
        tab.set_viewport_size({"width": width, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        paper = box(tab, ".paper")
        assert paper["width"] == min(600, width)
        assert abs(paper["x"] - (width - paper["width"]) / 2) <= 1
        assert box(tab, ".picture")["width"] <= 536
    tab.context.close()


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize(("width", "least", "most"), [(600, 146, 148), (375, 80, 115), (320, 68, 95)])
def test_a_thumbnail_stands_beside_its_text_at_every_width(
    browser: Browser, bare: bool, width: int, least: int, most: int
) -> None:
    tab = show(browser, bared(FRONT) if bare else FRONT, width=width)
    text, thumb = box(tab, ".brief-text:has(+ .gutter)"), box(tab, ".thumb")
    assert least <= thumb["width"] <= most
    assert thumb["height"] == pytest.approx(thumb["width"] * 675 / 1200, abs=2)
    assert text["x"] + text["width"] < thumb["x"]
    assert text["width"] > 1.8 * thumb["width"]
    assert box(tab, ".logo")["width"] <= 240
    tab.context.close()


def test_long_words_and_wide_tables_do_not_scroll_but_short_words_stay_whole(browser: Browser) -> None:
    wide, word = range(10), "Donaudampfschifffahrt" * 12
    rows = "".join(f"<tr>{''.join(f'<td>value{n}</td>' for n in wide)}</tr>" for _ in range(2))
    small = f"<table><tr><th>Country</th><th>What</th></tr><tr><td>Belgium</td><td>{'it pays ' * 90}</td></tr></table>"
    body = f"<p>https://example.com/{'path/' * 80}</p><p><code>{'c' * 300}</code></p><table>{rows}</table>{small}"
    story = replace(CRANES, title=word, body_html=body, images=())
    page = mailer(posts=(story,), full_text=True).fill(ANN)[0]
    for text in (page, re.sub(r"<style.*?</style>", "", page, flags=re.S)):
        tab = show(browser, text, width=320)
        for width in (320, 600):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert box(tab, "td:text-is('Belgium')")["height"] > 0
        script = "e => { const r = document.createRange(); r.selectNodeContents(e); return r.getClientRects().length }"
        assert tab.locator("td:text-is('Belgium')").evaluate(script) == 1
        tab.context.close()


def test_a_picture_keeps_its_shape_when_it_shrinks(browser: Browser) -> None:
    tab = show(browser, HTML, width=375)
    found = box(tab, ".picture")
    assert found["width"] == 375 - 40
    assert found["height"] == pytest.approx(found["width"] * 675 / 1200, abs=2)
    tab.context.close()


def test_everything_reads_with_pictures_off(browser: Browser) -> None:
    tab = show(browser, HTML, width=600, pictures=False)
    text = tab.inner_text("body")
    for words in (CRANES.title, "We do not sell speed", "In figures", "The end.", "Unsubscribe from"):
        assert words in text
    assert tab.locator(".picture").first.get_attribute("alt") == CRANES.images[0].alt
    tab.context.close()


@pytest.mark.parametrize("dark", [False, True])
def test_the_scheme_s_colours_are_those_of_the_theme(browser: Browser, dark: bool) -> None:
    tab = show(browser, HTML, width=600, dark=dark)
    style = "(s) => [getComputedStyle(s).color, getComputedStyle(s).backgroundColor]"
    paper = tab.eval_on_selector(".paper", style)[1]
    title = tab.eval_on_selector(".title-link", style)[0]
    words = tab.eval_on_selector(".story .text", style)[0]
    assert (paper, title, words) == (
        ("rgb(29, 35, 41)", "rgb(230, 232, 234)", "rgb(230, 232, 234)")
        if dark
        else ("rgb(253, 252, 250)", "rgb(29, 35, 41)", "rgb(29, 35, 41)")
    )
    tab.context.close()


@DESIGNS
def test_nothing_is_invisible(browser: Browser, page: str) -> None:
    tab = show(browser, page, width=600)
    hidden = tab.evaluate(
        """() => [...document.body.querySelectorAll('p, h1, h2, h3, h4, li, a, img, td')].filter(e =>
            (e.textContent.trim() || e.tagName == 'IMG') &&
            !e.checkVisibility({opacityProperty: true, visibilityProperty: true})).map(e => e.outerHTML)"""
    )
    assert hidden == []
    first = tab.locator(".preview").bounding_box()
    assert first is not None
    assert first["y"] < 40
    tab.context.close()


def test_the_accessibility_tree_has_one_article_and_its_headings(browser: Browser) -> None:
    tab = show(browser, HTML, width=600)
    assert tab.get_by_role("article").count() == 1
    assert tab.get_by_role("heading", level=1).all_inner_texts() == ["The Herald Weekly"]
    assert tab.get_by_role("heading", level=2, name=CRANES.title).count() == 1
    assert tab.get_by_role("table").count() == 1  # the post's own; layout tables are none
    assert tab.get_by_role("link", name=f"Read “{CRANES.title}” on the web").count() == 1
    tab.context.close()
