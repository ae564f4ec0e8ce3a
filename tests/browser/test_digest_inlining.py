"""Inlining changes no element's look: the browser's own cascade, premailer and css-inline come to the same styles."""

from __future__ import annotations

import re
from itertools import product

import css_inline
import pytest

from awkward_letters import AWKWARD, DESIGNS, told
from letters import uninlined
from newsletter.digest import Design
from newsletter.digest.inlining import inline_styles

from .conftest import Tab

pytestmark = pytest.mark.browser
CLIENTS = re.compile(r'<style data-premailer="ignore">.*?</style>', re.S)
#: The properties that any rule or element of the page sets, in their longest form.
PROPERTIES = """() => {
  const names = new Set();
  const take = (rules) => {
    for (const rule of rules) {
      if (rule.style) for (const name of rule.style) names.add(name);
      if (rule.cssRules) take(rule.cssRules);
    }
  };
  for (const sheet of document.styleSheets) take(sheet.cssRules);
  for (const one of document.querySelectorAll("[style]")) for (const name of one.style) names.add(name);
  return [...names].sort();
}"""
STYLES = """(names) => [...document.querySelectorAll("html, body, body *")].map((one) => {
  const style = getComputedStyle(one);
  const values = names.map((name) => `${name}: ${style.getPropertyValue(name)}`);
  return [`${one.tagName}.${one.className}`, values.join("; ")];
})"""


def by_css_inline(page: str) -> str:
    """Inline with another inliner; it never sees the block for mail programs, which stays as it is."""
    (clients,) = CLIENTS.findall(page)
    inlined: str = css_inline.inline(
        CLIENTS.sub("", page), load_remote_stylesheets=False, keep_style_tags=False
    )
    return inlined.replace("</head>", f"{clients}</head>", 1)


def differences(one: list[list[str]], other: list[list[str]]) -> list[str]:
    """Return what elements look like that do not look the same in both."""
    assert [name for name, _ in one] == [name for name, _ in other]
    return [
        f"{name}: {sorted(set(mine.split('; ')) ^ set(theirs.split('; ')))}"
        for (name, mine), (_, theirs) in zip(one, other, strict=True)
        if mine != theirs
    ]


@pytest.mark.parametrize(("design", "name"), tuple(product(DESIGNS, AWKWARD)))
def test_two_inliners_and_the_browser_agree_on_every_computed_style(
    tab: Tab, design: Design, name: str
) -> None:
    page = uninlined(**told(design, name))
    tab.turn(width=320 if name == "everything" else 600, dark=name == "everything")
    tab.show(page)
    names = tab.run(PROPERTIES)
    assert {"color", "padding-left", "font-style", "word-break"} <= set(names)
    plainly = tab.run(STYLES, names)
    assert len(plainly) > 30
    for inlined in (inline_styles(page), by_css_inline(page)):
        assert ' style="' in inlined
        tab.show(inlined)
        assert differences(plainly, tab.run(STYLES, names)) == []


def test_a_lost_style_is_seen(tab: Tab) -> None:
    tab.turn(width=600)
    page = uninlined()
    tab.show(page)
    names = tab.run(PROPERTIES)
    plainly = tab.run(STYLES, names)
    tab.show(inline_styles(page).replace("font-style:italic", ""))
    assert any("font-style" in one for one in differences(plainly, tab.run(STYLES, names)))
