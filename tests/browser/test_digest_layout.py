"""Each awkward issue in Chromium: narrow and wide, light and dark, without pictures, without styles."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from awkward_letters import AWKWARD, DESIGNS, page
from newsletter.digest import Design

from .conftest import OURS, Tab
from .contrast import BOXES, poor

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
SCREENS = ROOT / "var" / "screens"
#: All screenshots, and not only the two that contrast is measured on.
EVERY_SCREEN = os.environ.get("NEWSLETTER_SCREENS") == "all"
WIDTHS = (320, 375, 600, 1000)
LAYOUT = (Path(__file__).parent / "layout.js").read_text(encoding="utf-8")
AXE = ROOT / ".venv" / "oracles" / "axe.min.js"
STANDARDS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
#: A letter stands inside the page of a mail program, which has the landmarks: it must not bring its own.
NOT_FOR_LETTERS = ("landmark-one-main", "region")
each_issue = pytest.mark.parametrize(("design", "name"), tuple(product(DESIGNS, AWKWARD)))


def keep_screen(tab: Tab, design: Design, name: str) -> bytes:
    """Keep a screenshot of the whole letter where somebody can look at it."""
    SCREENS.joinpath(design).mkdir(parents=True, exist_ok=True)
    return tab.screen(SCREENS / design / f"{name}.png")


@each_issue
def test_nothing_scrolls_overlaps_or_is_clipped(tab: Tab, plain_tab: Tab, design: Design, name: str) -> None:
    found: dict[str, list[str]] = {}
    letter = page(design, name)
    for one, bare in product((tab, plain_tab), (False, True)):
        one.show(letter, bare=bare)
        for width, dark in product(WIDTHS, (False, True)):
            one.turn(width=width, dark=dark)
            losses = f"{'' if one.pictures else '-no-pictures'}{'-no-styles' if bare else ''}"
            key = f"{name}-{width}-{'dark' if dark else 'light'}{losses}"
            found[key] = one.run(LAYOUT)
            if found[key] or EVERY_SCREEN:
                keep_screen(one, design, key)
    assert {key: wrong for key, wrong in found.items() if wrong} == {}


@each_issue
def test_every_word_stands_out_from_its_ground(tab: Tab, design: Design, name: str) -> None:
    tab.show(page(design, name))
    for width, dark in ((600, False), (375, True)):
        tab.turn(width=width, dark=dark)
        screen = keep_screen(tab, design, f"{name}-{width}-{'dark' if dark else 'light'}")
        assert list(poor(screen, tab.run(BOXES))) == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("scroll", '<div style="width: 900px">wide</div>'),
        ("overlap", '<p>The first.</p><p style="margin-top: -30px">The second.</p>'),
        ("overlap", f'<p style="font-size: 30px; line-height: 12px">{"words " * 20}</p>'),
        ("overlap", '<p>Words <span style="position: relative; left: -20px">moved</span></p>'),
        ("overlap", f'<p>Words</p><img src="{OURS}a.jpg" alt="" style="margin-top: -40px; height: 90px">'),
        ("clipped", '<div style="height: 10px; overflow: hidden"><p>more<br>words<br>follow</p></div>'),
        ("clipped", '<div style="width: 60px"><p>Donaudampfschifffahrt</p></div>'),
        ("clipped", '<p style="margin-left: -40px">words</p>'),
        ("clipped", '<ul style="padding: 0"><li>words</li></ul>'),
        ("clipped", '<ol dir="rtl" style="padding: 0 0 0 40px"><li>words</li></ol>'),
        ("hidden", '<p style="opacity: 0">words</p>'),
        ("hidden", '<p style="display: none">words</p>'),
    ],
)
def test_a_bad_layout_is_seen(tab: Tab, kind: str, body: str) -> None:
    tab.turn(width=320)
    tab.show(f"<!DOCTYPE html><title>Bad</title>{body}")
    assert kind in {one.partition(":")[0] for one in tab.run(LAYOUT)}


def test_clipped_words_of_a_missing_picture_are_seen(plain_tab: Tab) -> None:
    plain_tab.turn(width=320)
    words, style = "many words that need room " * 3, "display: block; width: 60px; height: 20px"
    plain_tab.show(f'<!DOCTYPE html><img src="{OURS}a.jpg" alt="{words}" style="{style}">')
    assert [one.partition(":")[0] for one in plain_tab.run(LAYOUT)] == ["clipped"]


def test_a_good_layout_is_left_alone(tab: Tab) -> None:
    tab.turn(width=320)
    tab.show("<!DOCTYPE html><h1>Good</h1><p>Words, <b>bold</b><sup>1</sup>.</p><ul><li>One</li></ul>")
    assert tab.run(LAYOUT) == []


def test_faint_words_are_seen(tab: Tab) -> None:
    tab.turn(width=320)
    tab.show('<!DOCTYPE html><p>Dark words.</p><p style="color: #999; font-weight: bold">Faint words.</p>')
    (found,) = poor(tab.screen(), tab.run(BOXES))
    assert "Faint words" in found


# Accessibility, as axe-core sees it


def violations(tab: Tab) -> list[tuple[str, str]]:
    """Return the rules of axe-core that the page breaks, each with its first place."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed (tests/prepare.sh installs it where npm is)")
    if not tab.run("() => typeof axe === 'object'"):
        tab.page.add_script_tag(path=AXE)
    options = {
        "runOnly": {"type": "tag", "values": STANDARDS},
        "rules": {rule: {"enabled": False} for rule in NOT_FOR_LETTERS},
        "resultTypes": ["violations"],
    }
    made: dict[str, Any] = tab.run("options => axe.run(document, options)", options)
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in made["violations"]]


@each_issue
def test_axe_finds_nothing(tab: Tab, design: Design, name: str) -> None:
    tab.show(page(design, name))
    for width, dark in ((320, False), (600, True)):
        tab.turn(width=width, dark=dark)
        assert violations(tab) == []


def test_axe_finds_what_is_wrong(tab: Tab) -> None:
    tab.turn(width=320)
    tab.show('<!DOCTYPE html><html><body><h3 style="color: #aaa">Faint</h3><img src="">')
    assert {rule for rule, _ in violations(tab)} >= {
        "html-has-lang",
        "image-alt",
        "color-contrast",
        "document-title",
    }
