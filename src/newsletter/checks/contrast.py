"""Contrast of a letter's text in the light and the dark scheme (WCAG 2.2 §1.4.3), from its own styles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

Element: TypeAlias = Any  # lxml ships no types

LEAST = 4.5
_COLOUR = re.compile(r"#([0-9a-f]{6}|[0-9a-f]{3})", re.I)
_DECLARATION = re.compile(r"(?:^|;)\s*(color|background-color|background)\s*:\s*([^;]+)", re.I)
_DARK = re.compile(r"@media[^{]*prefers-color-scheme\s*:\s*dark[^{]*\{((?:[^{}]*\{[^{}]*\})*[^{}]*)\}", re.I)
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_SILENT = frozenset({"head", "style", "script", "title"})


@dataclass(frozen=True, slots=True)
class Pair:
    """The colours in force at a place: text and ground, as six hexadecimal digits."""

    text: str = "000000"
    ground: str = "ffffff"


def ratio(one: str, other: str) -> float:
    """Return the contrast ratio of two colours of six hexadecimal digits, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (0, 2, 4))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def dark_rules(css: str) -> dict[str, Pair]:
    """Return what each class becomes in the dark scheme; an empty colour is one that the rule leaves alone."""
    found: dict[str, Pair] = {}
    for block in _DARK.findall(css):
        for selectors, body in _RULE.findall(block):
            new = _declared(body)
            for selector in selectors.split(","):
                name = selector.strip()
                if re.fullmatch(r"\.[\w-]+", name):
                    old = found.get(name[1:], Pair("", ""))
                    found[name[1:]] = Pair(new.text or old.text, new.ground or old.ground)
    return found


def poor(root: Element, css: str) -> Iterator[tuple[str, str, float, Element]]:
    """Yield (scheme, words, ratio, element) of each text that is too faint, each pair of colours once a scheme."""
    dark = dark_rules(css)
    seen: set[tuple[str, Pair]] = set()
    for scheme, rules in (("light", {}), ("dark", dark)):
        for words, pair, element in _texts(root, Pair(), rules):
            found = ratio(pair.text, pair.ground)
            if found < LEAST and (scheme, pair) not in seen:
                seen.add((scheme, pair))
                yield scheme, words, found, element


def _texts(element: Element, above: Pair, rules: dict[str, Pair]) -> Iterator[tuple[str, Pair, Element]]:
    if not isinstance(element.tag, str) or element.tag in _SILENT:
        return
    here = _declared(element.get("style") or "")
    text, ground = here.text or above.text, here.ground or _hex(element.get("bgcolor") or "") or above.ground
    for name in (element.get("class") or "").split():
        rule = rules.get(name)
        if rule is not None:
            text, ground = rule.text or text, rule.ground or ground
    pair = Pair(text, ground)
    if element.text and element.text.strip():
        yield element.text.strip()[:40], pair, element
    for child in element:
        yield from _texts(child, pair, rules)
        if child.tail and child.tail.strip():
            yield child.tail.strip()[:40], pair, element


def _declared(style: str) -> Pair:
    colours = {"color": "", "background-color": ""}
    for name, value in _DECLARATION.findall(style):
        colours["color" if name.lower() == "color" else "background-color"] = _hex(value)
    return Pair(colours["color"], colours["background-color"])


def _hex(value: str) -> str:
    found = _COLOUR.search(value)
    if found is None:
        return ""
    digits = found[1].lower()
    return digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
