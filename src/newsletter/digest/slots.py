"""Slots: the places of a compiled digest that are filled for each reader.

While a digest is rendered a slot is an ASCII word that contains a hash over everything that goes into the digest,
so no text in it can contain the word. Once compiled, a slot is its name between U+FDD0 and U+FDD1, which are
noncharacters: every other one is removed from the result first, so no text can form a slot either.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping

OPEN, CLOSE = "\ufdd0", "\ufdd1"
#: `unsubscribe` and `preferences` are URLs; `address` and `since` stand in a sentence. What stands between
#: `personal` and `/personal` is for one reader only, and replaced in the archive.
NAMES = ("unsubscribe", "preferences", "address", "since")
REGION = ("personal", "endpersonal")
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef\ufffe\uffff]")
_MARK = re.compile(f"{OPEN}([a-z]+){CLOSE}")
_REGION = re.compile(f"{OPEN}{REGION[0]}{CLOSE}.*?{OPEN}{REGION[1]}{CLOSE}", re.S)


def words(seed: str) -> dict[str, str]:
    """Return the word of each slot while rendering; `seed` is a hash (hex) over all that is rendered."""
    return {name: f"slot{name}{seed}" for name in (*NAMES, *REGION)}


def mark(rendered: str, while_rendering: Mapping[str, str]) -> str:
    """Return a rendered text with its slots marked."""
    text = _NONCHARACTERS.sub("", rendered)
    for name, word in while_rendering.items():
        text = text.replace(word, f"{OPEN}{name}{CLOSE}")
    return text


def fill(compiled: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    """Fill every slot with its value, escaped for where it stands; the marks of the region vanish."""
    escaped = {name: escape(values[name]) for name in NAMES} | dict.fromkeys(REGION, "")
    return _MARK.sub(lambda found: escaped[found[1]], compiled)


def for_html(value: str) -> str:
    """Escape for HTML text and for a quoted attribute."""
    return html.escape(value)


def for_text(value: str) -> str:
    """Return a value for the text part, where nothing needs escaping: values are single lines."""
    return value


def impersonal(compiled: str, instead: str) -> str:
    """Return a compiled text for nobody: `instead` stands where one reader was spoken to."""
    text = _REGION.sub(lambda _: instead, compiled)
    return _MARK.sub("", text)
