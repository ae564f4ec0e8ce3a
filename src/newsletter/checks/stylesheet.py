"""Read a style sheet as mail programs get it: rules with the at-rules around them, and their declarations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_COMMENT = re.compile(r"/\*.*?(?:\*/|$)|<!--|-->", re.S)
_OPAQUE = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|url\([^)\"']*\)"
_SIGN = re.compile(rf"{_OPAQUE}|[;{{}}]", re.S | re.I)
_STRING = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.S)
_GROUPS = ("@media", "@supports", "@layer", "@container", "@scope", "@document", "@-moz-document")
_DEEPEST = 8  # at-rules in each other; nobody writes three


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its selectors (empty for an at-rule by itself), its declarations, the at-rules around it."""

    at: tuple[str, ...]
    selectors: str = ""
    declarations: tuple[tuple[str, str], ...] = ()


def rules_of(css: str, at: tuple[str, ...] = ()) -> Iterator[Rule]:
    """Yield every rule of a style sheet, also of a damaged one: what is not closed ends with the text."""
    text = _COMMENT.sub(" ", css)
    begun = 0
    while (sign := _next(text, begun)) is not None:
        prelude = " ".join(text[begun : sign.start()].split())
        if sign[0] != "{":
            begun = sign.end()
            if prelude.startswith("@"):
                yield Rule((*at, prelude))
            continue
        end = _closing(text, sign.end())
        body, begun = text[sign.end() : end], end + 1
        if prelude.lower().startswith(_GROUPS) and len(at) < _DEEPEST:
            yield Rule((*at, prelude))
            yield from rules_of(body, (*at, prelude))
        elif prelude.startswith("@"):
            yield Rule((*at, prelude), "", tuple(declarations_of(body)))
        else:
            yield Rule(at, prelude, tuple(declarations_of(body)))


def declarations_of(style: str) -> Iterator[tuple[str, str]]:
    """Yield (property, value) of each declaration of a style attribute or a rule's body."""
    text, begun = _COMMENT.sub(" ", style), 0
    while begun <= len(text):
        sign = _next(text, begun)
        end = sign.start() if sign is not None else len(text)
        name, colon, value = text[begun:end].partition(":")
        if colon and name.strip():
            yield name.strip().lower(), " ".join(value.split())
        begun = end + 1


def without_strings(value: str) -> str:
    """Return a value with its quoted strings emptied, so that no word of theirs is taken for CSS."""
    return _STRING.sub("''", value)


def _next(text: str, begun: int) -> re.Match[str] | None:
    return next((one for one in _SIGN.finditer(text, begun) if len(one[0]) == 1), None)


def _closing(text: str, begun: int) -> int:
    """Return where the block that begins here ends."""
    depth = 1
    for one in _SIGN.finditer(text, begun):
        depth += {"{": 1, "}": -1}.get(one[0], 0)
        if not depth:
            return one.start()
    return len(text)
