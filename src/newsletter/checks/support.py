"""What mail programs support, in our judgement, and what of it a message uses.

Three verdicts: it works nearly everywhere; it degrades harmlessly (the words beside it say what is seen elsewhere);
it breaks somewhere, which is an error. What stands in no table is not known to work, and an error too. The programs
that count are Gmail, Apple Mail, Outlook and Yahoo; `tests/test_checks_support.py` compares with measured data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from newsletter.checks.page import Element, Found, found_in, place_of
from newsletter.checks.stylesheet import declarations_of, rules_of, without_strings

_SIDES = ("top", "right", "bottom", "left")


def _of(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _each(*names: str, **parts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(names) | {f"{name}-{part}" for name, some in parts.items() for part in some}


# Elements and attributes

ELEMENTS = _of(
    "html head title meta style body div span p br hr h1 h2 h3 h4 h5 h6 a img ul ol li dl dt dd blockquote pre code "
    "table thead tbody tfoot tr th td col colgroup caption strong b em i u s strike del ins small sub sup cite q "
    "dfn kbd samp var address center font"
)
#: The words stay; what the element adds to them is lost in some programs.
PLAIN_ELEMENTS = _of(
    "abbr bdi bdo mark time data wbr ruby rt rp article aside footer header main nav section figure figcaption"
)
BROKEN_ELEMENTS: Mapping[str, str] = {
    "script": "Remove it: no mail program runs scripts",
    **dict.fromkeys(
        ("form", "input", "button", "select", "textarea", "label", "fieldset"), "Link to a page with the form"
    ),
    **dict.fromkeys(("video", "audio", "iframe", "object", "embed"), "Show a picture that links to it"),
    **dict.fromkeys(("svg", "picture", "source", "canvas", "math"), "Use an img with a JPEG, PNG or GIF"),
    **dict.fromkeys(
        ("details", "summary", "dialog", "marquee", "meter", "progress"), "Say it in a paragraph"
    ),
    "link": "Write the style into the head",
    "base": "Write whole addresses",
}
BROKEN_ATTRIBUTES: Mapping[str, str] = {
    "background": "Use bgcolor: words over a picture vanish or cannot be read",
    "usemap": "Use one picture a link",
    "popover": "Show it",
    "contenteditable": "Remove it",
    "autoplay": "Remove it",
    "formaction": "Remove it",
}

# Properties

PROPERTIES = _each(
    *("background", "background-color", "border", "border-collapse", "color", "direction", "display", "font"),
    *("font-family", "font-size", "font-style", "font-variant", "font-weight", "letter-spacing", "line-height"),
    *("list-style", "list-style-type", "margin", "padding", "text-align", "text-decoration", "text-indent"),
    *("text-transform", "vertical-align", "width", "max-width", "unicode-bidi"),
    margin=_SIDES,
    padding=_SIDES,
    border=(*_SIDES, "width", "style", "color", *(f"{s}-{p}" for s in _SIDES for p in ("width", "style", "color"))),
)  # fmt: skip
#: What is seen where it is not known.
DEGRADING: Mapping[str, str] = {
    "height": "the height of what it holds",
    **dict.fromkeys(("max-height", "min-height", "min-width", "box-sizing"), "another size, everything in it"),
    **dict.fromkeys(("border-spacing", "caption-side", "table-layout", "empty-cells"), "a table a little different"),
    **dict.fromkeys(
        ("border-radius", *(f"border-{v}-{h}-radius" for v in ("top", "bottom") for h in ("left", "right"))), "square"
    ),
    **dict.fromkeys(("box-shadow", "text-shadow", "outline", "cursor", "transition", "animation"), "no ornament"),
    **dict.fromkeys(
        ("word-break", "word-wrap", "overflow-wrap", "white-space", "hyphens", "orphans", "widows", "tab-size"),
        "lines that break elsewhere",
    ),
    **dict.fromkeys(("word-spacing", "font-kerning", "font-stretch", "list-style-position"), "other spaces"),
    **dict.fromkeys(
        (
            *(f"text-decoration-{part}" for part in ("color", "line", "style", "thickness", "skip-ink")),
            *("text-underline-offset", "text-underline-position"),
        ),
        "another line below the words, or none",
    ),
    **dict.fromkeys(("color-scheme", "supported-color-schemes"), "the light scheme"),
    **dict.fromkeys(
        ("text-size-adjust", "-webkit-text-size-adjust", "-ms-text-size-adjust", "-ms-interpolation-mode"),
        "the program's own size",
    ),
}  # fmt: skip
_TABLE, _STILL = (
    "Lay it out with a table (role=presentation)",
    "Write it in the order in which it is to be read",
)
BROKEN: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("flex", "flex-basis", "flex-direction", "flex-flow", "flex-grow", "flex-shrink", "flex-wrap", "order"),
            *("grid", "grid-template", "grid-template-columns", "grid-template-rows", "grid-column", "grid-row"),
            *("gap", "align-items", "align-content", "align-self", "justify-content", "float", "clear"),
            *("column-count", "columns", "inset", "aspect-ratio"),
        ),
        _TABLE,
    ),
    **dict.fromkeys(("position", *_SIDES, "z-index", "transform", "writing-mode"), _STILL),
    **dict.fromkeys(
        (f"background-{part}" for part in ("image", "size", "position", "repeat", "clip", "origin", "blend-mode")),
        "Use background-color, and an img for the picture",
    ),
    **dict.fromkeys(("list-style-image", "border-image", "mask-image"), "Do without the picture"),
    **dict.fromkeys(("overflow", "overflow-x", "overflow-y", "text-overflow", "clip-path"), "Let the words wrap"),
    **dict.fromkeys(("filter", "backdrop-filter", "mix-blend-mode", "object-fit"), "Change the picture's file"),
    **dict.fromkeys(("opacity", "visibility"), "Show it, in a colour of its own"),
    **dict.fromkeys(
        (f"{what}-{axis}" for what in ("margin", "padding", "border") for axis in ("inline", "block")),
        "Name the sides: top, right, bottom, left",
    ),
    **dict.fromkeys(("inline-size", "block-size", "max-inline-size"), "Use width"),
    "content": "Write the words into the message",
}  # fmt: skip

# At-rules, media features, selectors

#: Ignored as a whole where it is not known.
DEGRADING_AT_RULES = frozenset({"@supports", "@keyframes", "@-webkit-keyframes"})
BROKEN_AT_RULES: Mapping[str, str] = {
    "@import": "Write the style into the head",
    "@font-face": "Name fonts that readers have, and a generic family",
}
#: Gmail drops a query that it does not know: what stands there is an addition.
MEDIA = _of(
    "min-width max-width min-device-width max-device-width prefers-color-scheme prefers-reduced-motion orientation "
    "hover -webkit-min-device-pixel-ratio"
)
#: The rule is ignored where they are not known; styles that matter stand on the elements.
PSEUDO = frozenset({"hover", "focus", "active", "visited", "link", "root"})
#: Attributes by which mail programs let themselves be recognised.
HOOKS = frozenset({"data-ogsc", "data-ogsb", "data-outlook-cycle", "x-apple-data-detectors", "owa"})

_DISPLAYS = _of(
    "block inline inline-block list-item none table table-cell table-row table-header-group inherit"
)
_COLOURS = ("color", "background", "background-color")
_COLOUR = re.compile(
    r"#(?:[0-9a-f]{3}|[0-9a-f]{6})(?![0-9a-f])|\b(?:inherit|transparent|currentcolor|none)\b", re.I
)
#: Pattern of the property, pattern of the value, what it is ({} is what was met), remedy.
_VALUES: tuple[tuple[str, str, str, str], ...] = (
    (r"display", r"\b(?:inline-)?(?:flex|grid)\b", "display: {}", _TABLE),
    (r"margin.*", r"(?<![\w.])-\.?\d", "a negative margin", "Use less padding above it instead"),
    (r".*", r"\bvar\(", "a CSS variable", "Write the value itself, or {{ theme.… }} in the template"),
    (r".*", r"\b(?:calc|min|max|clamp|env)\(", "{}()", "Write a width in pixels or percent"),
    (r".*", r"\b(?:url|image-set|[a-z-]*gradient)\(", "a picture in a style", "Use an img, and background-color"),
    (r".*", r"\b(?:rgba?|hsla?|hwb|lab|lch|oklab|oklch|color|light-dark|color-mix)\(", "{}()", "Write #rrggbb"),
    (r".*", r"(?<=\d)(?:r?ch|rem|rex|r?lh|[sld]?v(?:w|h|min|max|i|b)|cq\w+)\b", "the unit {}", "Use px, em or %"),
)  # fmt: skip


def unsupported(root: Element) -> Iterator[Found]:
    """Yield what a page uses and some mail program does not know, once a rule and story."""
    seen: set[tuple[str, str]] = set()
    for one in _everything(root):
        if (one.rule, one.post) not in seen:
            seen.add((one.rule, one.post))
            yield one


def _everything(root: Element) -> Iterator[Found]:
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        yield from _element(element)
        for name, value in declarations_of(element.get("style") or ""):
            for rule, remedy in judged(name, value):
                yield found_in(element, place_of(element), rule, remedy)
    for style in root.iter("style"):
        yield from _sheet(style.text or "")


def _element(element: Element) -> Iterator[Found]:
    tag = element.tag
    if tag not in ELEMENTS and tag not in PLAIN_ELEMENTS:
        remedy = BROKEN_ELEMENTS.get(tag, "Use a div, span, p or table")
        yield found_in(element, place_of(element), f"a {tag} element is not for mail", remedy)
    for name in sorted(element.attrib.keys() & BROKEN_ATTRIBUTES.keys()):
        yield found_in(
            element, place_of(element), f"the attribute {name} is not for mail", BROKEN_ATTRIBUTES[name]
        )


def judged(name: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield (rule, remedy) of one declaration that breaks somewhere."""
    if name.startswith("--"):
        yield "a CSS variable breaks in some mail programs", "Write the value where it is used"
        return
    plain = without_strings(value.lower())
    if name in BROKEN or not (name in PROPERTIES or name in DEGRADING or name.startswith("mso-")):
        yield f"{name} breaks in some mail programs", BROKEN.get(name, "Do without it")
        return
    broken = False
    for names, values, said, remedy in _VALUES:
        hit = re.search(values, plain) if re.fullmatch(names, name) else None
        if hit is not None:
            broken = True
            yield f"{said.format(hit[0].strip('('))} breaks in some mail programs", remedy
    if broken:
        return
    word = plain.replace("!important", "").strip()
    if name == "display" and word not in _DISPLAYS:
        yield f"display: {word[:30]} breaks in some mail programs", _TABLE
    if name in _COLOURS and not _COLOUR.search(plain):
        yield (
            f"{name}: {word[:30]} is not six hexadecimal digits: no contrast can be measured",
            "Write #rrggbb",
        )


def _sheet(css: str) -> Iterator[Found]:
    for rule in rules_of(css):
        for at in rule.at[-1:]:
            yield from _at_rule(at) if not rule.selectors else ()
        if rule.at and rule.at[-1].lower().startswith(("@font-face", "@import")):
            continue
        inside = any("keyframes" in at.lower() for at in rule.at)
        for selector in () if inside else filter(None, map(str.strip, rule.selectors.split(","))):
            for said, remedy in judged_selector(selector):
                yield Found(f"style, {selector[:60]}", said, remedy)
        for name, value in rule.declarations:
            for said, remedy in judged(name, value):
                yield Found(f"style, {(rule.selectors or rule.at[-1])[:60]}", said, remedy)


def _at_rule(at: str) -> Iterator[Found]:
    name = at.split(None, 1)[0].partition("(")[0].lower()
    place = f"style, {at[:60]}"
    if name in BROKEN_AT_RULES:
        yield Found(place, f"{name} breaks in some mail programs", BROKEN_AT_RULES[name])
    elif name == "@media":
        for feature in re.findall(r"\(\s*([a-z-]+)", at.lower()):
            if feature not in MEDIA:
                yield Found(
                    place, f"the media feature {feature} breaks in some mail programs", "Ask for max-width"
                )
    elif name not in DEGRADING_AT_RULES:
        yield Found(place, f"{name} breaks in some mail programs", "Do without it")


def judged_selector(selector: str) -> Iterator[tuple[str, str]]:
    """Yield (rule, remedy) of what one selector asks that some mail program does not know."""
    for name in re.findall(r"\[\s*([\w-]+)", selector):
        if name not in HOOKS:
            yield f"the selector [{name}] breaks in some mail programs", "Give the element a class"
    for name in re.findall(r"::?([a-z-]+)", re.sub(r"\[[^\]]*\]", "", selector.lower())):
        if name not in PSEUDO:
            yield f"the selector :{name} breaks in some mail programs", "Give the element a class"
