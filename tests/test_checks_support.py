"""What mail programs support: each entry of the table by itself, and the table against measured data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html as lxml_html

from letters import ANN, THEME, mailer, material, rewritten, templates
from newsletter.checks import support
from newsletter.checks.digest import check_message
from newsletter.checks.page import parse
from newsletter.checks.stylesheet import Rule, declarations_of, rules_of
from newsletter.content.sanitise import BLOCK, INLINE

MAILER = mailer(full_text=True)
GOOD = MAILER(ANN).content
PAGE = MAILER.fill(ANN)[0]


def found_with(old: str, new: str) -> list[tuple[str, str, str]]:
    found = check_message(rewritten(GOOD, "html", old, new, count=1))
    return [(one.place, one.rule, one.remedy) for one in found]


def test_the_packaged_digest_uses_nothing_that_breaks() -> None:
    assert list(support.unsupported(parse(PAGE))) == []


@pytest.mark.parametrize(
    ("style", "rule", "remedy"),
    [
        ("display: flex", "display: flex breaks", "table"),
        ("display: inline-grid", "display: inline-grid breaks", "table"),
        ("display: run-in", "display: run-in breaks", "table"),
        ("gap: 8px", "gap breaks", "table"),
        ("float: left", "float breaks", "table"),
        ("position: relative", "position breaks", "order"),
        ("transform: rotate(9deg)", "transform breaks", "order"),
        ("background-image: none", "background-image breaks", "img"),
        ("background: url(https://x.example/a.png)", "a picture in a style breaks", "img"),
        (
            "background: linear-gradient(#fdfcfa, #f3f1ec); color: #1d2329; background-color: #fdfcfa",
            "a picture in a style breaks",
            "img",
        ),
        ("width: calc(100% - 8px)", "calc() breaks", "percent"),
        ("width: min(9px, 1em)", "min() breaks", "percent"),
        ("border-color: var(--x)", "a CSS variable breaks", "value itself"),
        ("--x: 1px", "a CSS variable breaks", "value"),
        ("margin: -8px 0", "a negative margin breaks", "padding"),
        ("margin-top: -.5em", "a negative margin breaks", "padding"),
        ("width: 4rem", "the unit rem breaks", "px"),
        ("width: 50vw", "the unit vw breaks", "px"),
        ("border: 1px solid rgba(9, 9, 9, 0.5)", "rgba() breaks", "#rrggbb"),
        ("color: gray", "color: gray is not six hexadecimal digits", "#rrggbb"),
        ("overflow: auto", "overflow breaks", "wrap"),
        ("opacity: 0.5", "opacity breaks", "colour"),
        ("margin-inline: 4px", "margin-inline breaks", "sides"),
        ("object-fit: cover", "object-fit breaks", "file"),
        ("frobnicate: 3px", "frobnicate breaks", "Do without"),
    ],
)
def test_a_style_that_breaks_somewhere_is_one_finding(style: str, rule: str, remedy: str) -> None:
    ((place, said, what),) = found_with("</h1>", f'</h1><p style="{style}">Words</p>')
    assert place == "p “Words”"
    assert rule in said
    assert remedy in what


@pytest.mark.parametrize(
    "style",
    [
        *("border-radius: 4px", "width: 50%", "margin: 0 auto", "font-family: 'Calc(2rem) Gray', serif"),
        *(
            "color: inherit",
            "background: none",
            "mso-line-height-rule: exactly",
            "max-width: 9em; height: auto",
        ),
        *(
            "background-color: #FDFCFA !important; color: #1D2329",
            "text-decoration: none",
            "margin-left: 1px",
        ),
    ],
)
def test_a_style_that_works_or_degrades_is_none(style: str) -> None:
    assert found_with("</h1>", f'</h1><p style="{style}">Words</p>') == []


@pytest.mark.parametrize("tag", sorted(support.BROKEN_ELEMENTS))
def test_an_element_that_is_not_for_mail_is_one_finding(tag: str) -> None:
    ((_, rule, remedy),) = found_with("</h1>", f"</h1><div><{tag}></{tag}></div>")
    assert rule == f"a {tag} element is not for mail"
    assert remedy == support.BROKEN_ELEMENTS[tag]


def test_an_element_nobody_knows_is_found() -> None:
    ((place, rule, remedy),) = found_with("</h1>", "</h1><x-card>Words</x-card>")
    assert (place, rule) == ("x-card “Words”", "a x-card element is not for mail")
    assert "div" in remedy


@pytest.mark.parametrize("name", sorted(support.BROKEN_ATTRIBUTES))
def test_an_attribute_that_is_not_for_mail_is_one_finding(name: str) -> None:
    ((_, rule, remedy),) = found_with("</h1>", f'</h1><p {name}="#x">Words</p>')
    assert (rule, remedy) == (f"the attribute {name} is not for mail", support.BROKEN_ATTRIBUTES[name])


@pytest.mark.parametrize(
    ("css", "place", "rule"),
    [
        ("@import 'https://x.example/a.css';", "@import", "@import breaks"),
        ("@font-face { font-family: X; src: url(https://x.example/x.woff2) }", "@font-face", "@font-face breaks"),
        ("@container (min-width: 9px) { p { margin: 0 } }", "@container", "@container breaks"),
        ("@media (min-aspect-ratio: 1/1) { p { margin: 0 } }", "@media", "min-aspect-ratio breaks"),
        ("p[title] { margin: 0 }", "p[title]", "[title] breaks"),
        ("p::before { margin: 0 }", "p::before", ":before breaks"),
        ("p, td:nth-child(2) { margin: 0 }", "td:nth-child(2)", ":nth-child breaks"),
        ("@media screen { .x { display: grid } }", ".x", "display: grid breaks"),
    ],
)  # fmt: skip
def test_a_rule_that_breaks_somewhere_is_one_finding(css: str, place: str, rule: str) -> None:
    ((where, said, remedy),) = found_with("u + .body", f"{css} u + .body")
    assert where.startswith(f"style, {place}")
    assert rule in said
    assert remedy


@pytest.mark.parametrize(
    "css",
    [
        "a:hover { color: #0b5c7a }",
        "@supports (color: red) { p { margin: 0 } }",
        "@keyframes x { from { margin: 0 } 50% { margin: 1px } }",
        "@media only screen and (min-width: 9px) and (orientation: landscape) { p > a + b { margin: 0 } }",
    ],
)
def test_a_rule_that_degrades_is_none(css: str) -> None:
    assert found_with("u + .body", f"{css} u + .body") == []


def test_one_finding_a_rule_and_story() -> None:
    twice = "".join(f'<p style="float: left">{word}</p>' for word in ("One", "Two"))
    assert [place for place, _, _ in found_with("</h1>", f"</h1>{twice}")] == ["p “One”"]


def test_what_the_content_lets_through_is_for_mail() -> None:
    assert {*INLINE, *BLOCK} <= support.ELEMENTS | support.PLAIN_ELEMENTS


# Reading style sheets


def test_a_sheet_is_read_with_its_at_rules() -> None:
    css = """/* @x { */ @import url(a;b); p , a[href="};"] { margin : 0 ; color:#123456 !important }
    @media (max-width: 9px) { .x { font: "a;b" } @supports (y) { b {} } } @font-face { src: url(x) } i { width: 1px"""
    assert list(rules_of(css)) == [
        Rule(("@import url(a;b)",)),
        Rule((), 'p , a[href="};"]', (("margin", "0"), ("color", "#123456 !important"))),
        Rule(("@media (max-width: 9px)",)),
        Rule(("@media (max-width: 9px)",), ".x", (("font", '"a;b"'),)),
        Rule(("@media (max-width: 9px)", "@supports (y)")),
        Rule(("@media (max-width: 9px)", "@supports (y)"), "b", ()),
        Rule(("@font-face",), "", (("src", "url(x)"),)),
        Rule((), "i", (("width", "1px"),)),
    ]


@given(st.text(alphabet="@ab:;{}()'\"/*\\ url\n", max_size=80))
def test_any_text_is_read(css: str) -> None:
    for rule in rules_of(css):
        assert rule.at or rule.selectors is not None
    list(declarations_of(css))


def test_what_stands_deep_in_others_is_read() -> None:
    assert list(rules_of("@media x {" * 5000))


# The oracle

ORACLE = Path(__file__).parents[1] / ".venv" / "oracles" / "caniemail.json"
MAJOR = (
    *(("gmail", "desktop-webmail"), ("gmail", "ios"), ("gmail", "android")),
    *(("apple-mail", "macos"), ("apple-mail", "ios")),
    *(("outlook", "outlook-com"), ("outlook", "windows")),
    *(("yahoo", "desktop-webmail"), ("yahoo", "ios"), ("yahoo", "android")),
)
#: What the data call by another name.
NAMES = {
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "html-h1-h6"),
    **dict.fromkeys(("ul", "ol", "li", "dl", "dt", "dd"), "html-lists"),
    **dict.fromkeys(("table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption", "col", "colgroup"), "html-table"),
    **dict.fromkeys(
        ("article", "aside", "footer", "header", "main", "nav", "section", "figure", "figcaption"), "html-semantics"
    ),
    **dict.fromkeys(("s", "strike"), "html-strike"),
    **dict.fromkeys(("font-family", "font-style", "font-variant"), "css-font"),
    **dict.fromkeys(("top", "right", "bottom", "left"), "css-left-right-top-bottom"),
    **dict.fromkeys(("columns", "column-count"), "css-column-count"),
    **dict.fromkeys(("grid", *(f"grid-{part}" for part in ("template-columns", "column", "row"))), "css-display-grid"),
    **dict.fromkeys(("overflow-x", "overflow-y"), "css-overflow"),
    "flex": "css-display-flex",
    "-webkit-min-device-pixel-ratio": "css-at-media-device-pixel-ratio",
}  # fmt: skip
#: Older than the data, which do not measure them: HTML 3.2 and CSS 1, the frame of every page, additions.
UNMEASURED = {
    *("html", "head", "title", "meta", "br", "a", "b", "em", "i", "u", "ins", "sub", "sup", "cite", "q", "kbd", "samp"),
    *("var", "center", "font", "mark", "time", "data", "bdo"),
    *("color", "unicode-bidi", "supported-color-schemes"),
    *("text-size-adjust", "-webkit-text-size-adjust", "-ms-text-size-adjust", "-ms-interpolation-mode"),
}  # fmt: skip
#: What is allowed although some major program does not support it, and why.
ALLOWED = {
    "body": "Yahoo's apps put their own body around it: what matters stands on the wrapper and the tables",
}


@cache
def measured() -> dict[str, Any]:
    """Return the data by their names."""
    if not ORACLE.is_file():
        pytest.skip(
            f"{ORACLE.name} is not in .venv/oracles: `sh tests/prepare.sh` fetches it where there is npm"
        )
    return {one["slug"]: one for one in json.loads(ORACLE.read_text(encoding="utf-8"))["data"]}


def slug_of(kind: str, name: str) -> str | None:
    """Return what the data call an element ("html") or a property ("css"); None when they have no word for it."""
    data = measured()
    short = re.sub(r"^(margin|padding|border)-(top|right|bottom|left|width|style|color)(-\w+)?$", r"\1", name)
    short = "border-radius" if name.endswith("-radius") else short
    for slug in (NAMES.get(name), f"{kind}-{name}", f"{kind}-{short}"):
        if slug in data:
            return slug
    return None


def without(slug: str) -> list[str]:
    """Return the major programs whose last measured version does not support something."""
    missing = []
    for program, platform in MAJOR:
        versions = list(measured()[slug]["stats"].get(program, {}).get(platform, {}).values())
        if versions and versions[-1].startswith("n"):
            missing.append(f"{program} {platform}")
    return missing


def works() -> Iterator[tuple[str, str]]:
    yield from (("html", name) for name in support.ELEMENTS)
    yield from (("css", name) for name in support.PROPERTIES)


def degrades() -> Iterator[tuple[str, str]]:
    yield from (("html", name) for name in support.PLAIN_ELEMENTS)
    yield from (("css", name) for name in support.DEGRADING)
    yield from (("css-at-media", name) for name in support.MEDIA if not name.endswith(("width", "height")))
    yield from (("css-pseudo-class", name) for name in support.PSEUDO - {"root"})
    yield from (("css-at", name.lstrip("@")) for name in support.DEGRADING_AT_RULES if "-webkit" not in name)


def test_what_the_data_do_not_measure_is_known() -> None:
    unknown = {name for kind, name in (*works(), *degrades()) if slug_of(kind, name) is None}
    assert unknown == UNMEASURED


def test_what_works_does_so_in_every_major_program() -> None:
    missing = {
        name: without(slug) for kind, name in works() if (slug := slug_of(kind, name)) and without(slug)
    }
    assert missing.keys() == ALLOWED.keys(), missing


def test_what_degrades_is_known_to_some_and_not_to_all() -> None:
    for kind, name in degrades():
        slug = slug_of(kind, name)
        if slug is not None:
            assert 0 < len(without(slug)) < len(MAJOR), f"{name}: {without(slug)}"


def test_what_breaks_does_so_somewhere() -> None:
    broken = [("css", name) for name in support.BROKEN] + [("html", name) for name in support.BROKEN_ELEMENTS]
    broken += [("css-at", name.lstrip("@")) for name in support.BROKEN_AT_RULES]
    for kind, name in broken:
        if name == "base":  # it is known, but tells the text part nothing
            continue
        slug = slug_of(kind, name)
        assert slug is None or without(slug), name


@pytest.mark.parametrize(
    ("slug", "style"),
    [
        *(
            (f"css-unit-{unit}", f"width: 3{unit}")
            for unit in ("px", "em", "pt", "ex", "cm", "mm", "in", "pc")
        ),
        *((f"css-unit-{unit}", f"width: 3{unit}") for unit in ("rem", "ch", "vw", "vh", "vmin", "vmax")),
        *((f"css-function-{name}", f"width: {name}(1px, 2px)") for name in ("min", "max", "clamp")),
        *(("css-unit-percent", "width: 9%"), ("css-unit-calc", "width: calc(1px + 1%)")),
        *(("css-variables", "width: var(--x)"), ("css-rgba", "border: 1px solid rgba(1, 2, 3, 0.5)")),
        *(("css-display-flex", "display: flex"), ("css-display-grid", "display: grid")),
        *(
            (f"css-{kind}-gradient", f"background: {kind}-gradient(red, blue)")
            for kind in ("linear", "radial")
        ),
    ],
)
def test_values_break_where_the_data_say_so(slug: str, style: str) -> None:
    ((name, value),) = declarations_of(style)
    assert bool(list(support.judged(name, value))) == bool(without(slug))


def test_the_packaged_templates_use_only_what_the_data_allow() -> None:
    """Judge the rendered digest by the data alone, apart from our table."""
    root = lxml_html.document_fromstring(PAGE)
    used = {("html", one.tag) for one in root.iter() if isinstance(one.tag, str)}
    styles = [one.get("style") or "" for one in root.iter()]
    used |= {("css", name) for style in styles for name, _ in declarations_of(style)}
    css = templates(material()).render("digest/parts/style.css", theme=THEME, direction="ltr")
    used |= {("css", name) for rule in rules_of(css) for name, _ in rule.declarations}
    slugs = {name: slug_of(kind, name) for kind, name in used}
    missing = {name: without(slug) for name, slug in slugs.items() if slug is not None and without(slug)}
    assert missing.keys() <= ALLOWED.keys() | support.DEGRADING.keys() | support.PLAIN_ELEMENTS, missing
