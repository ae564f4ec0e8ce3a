"""Slots: the places of a compiled digest that are filled for each reader.

While a digest is rendered a slot is an ASCII word that contains a hash over everything that goes into the digest,
so no text in it can contain the word. Once rendered, a slot is its field's name between U+FDD0 and U+FDD1, which are
noncharacters: every other one is removed from the result first, so no text can form a slot either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from newsletter.digest.tracing import FIELDS, LINKS

OPEN, CLOSE = "\ufdd0", "\ufdd1"
NONCHARACTERS = re.compile("[\ufdd0-\ufdef\ufffe\uffff]")
_MARK = re.compile(f"{OPEN}([a-z]+){CLOSE}")
_TOKEN = re.compile(
    r"<!--.*?-->|<(?P<raw>style|title)\b.*?</(?P=raw)>|</?[a-zA-Z](?:\"[^\"]*\"|'[^']*'|[^\"'>])*>|<!\w[^>]*>",
    re.S,
)
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


class Misplaced(ValueError):
    """A field of the reader stands where none may."""

    def __init__(self, field: str, what: str, remedy: str) -> None:
        super().__init__(what)
        self.field = field
        self.remedy = remedy


class Place(Enum):
    """Where a slot stands, which decides how its value is escaped."""

    PLAIN = "text part"
    TEXT = "HTML text"
    ATTRIBUTE = "attribute"


@dataclass(frozen=True, slots=True)
class Slot:
    """A field of the reader, escaped for its place."""

    field: str
    place: Place

    def escape(self, value: str) -> str:
        """Write a value as the serialiser of HTML writes it there."""
        if self.place is Place.PLAIN:
            return value
        text = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return text.replace('"', "&quot;") if self.place is Place.ATTRIBUTE else text


def words(seed: str) -> dict[str, str]:
    """Return the word of each field while rendering; `seed` is a hash (hex) over all that is rendered."""
    return {name: f"slot{name}{seed}" for name in FIELDS}


def mark(rendered: str, while_rendering: Mapping[str, str]) -> str:
    """Return a rendered text with its slots marked."""
    text = NONCHARACTERS.sub("", rendered)
    for name, word in while_rendering.items():
        text = text.replace(word, f"{OPEN}{name}{CLOSE}")
    return text


def split_text(marked: str) -> list[str | Slot]:
    """Split a text part into texts and slots."""
    return list(_split(marked, lambda _: Place.PLAIN))


def split_html(marked: str) -> list[str | Slot]:
    """Split a page into texts and slots; Misplaced where one may not stand (comment, style, tag)."""
    found: dict[int, Place] = {}
    for token in _TOKEN.finditer(marked):
        if OPEN in token[0]:
            found |= {token.start() + at: place for at, place in _in_tag(token[0])}
    return list(_split(marked, lambda at: found.get(at, Place.TEXT)))


def _split(marked: str, place: Callable[[int], Place]) -> Iterator[str | Slot]:
    start = 0
    for found in _MARK.finditer(marked):
        yield marked[start : found.start()]
        yield Slot(found[1], place(found.start()))
        start = found.end()
    yield marked[start:]


def _in_tag(token: str) -> Iterator[tuple[int, Place]]:
    """Yield the slots of a tag by their offset in it."""
    if token.startswith(("<!", "<style", "<title")):
        what = "what differs between readers may not stand in a comment, a style or the title"
        raise Misplaced(_MARK.findall(token)[0], what, "Take it out of there")
    inside = {
        found.start(group) + mark.start(): (found[1].lower(), found[group], mark[1])
        for found in _ATTRIBUTE.finditer(token)
        for group in (2, 3)
        if found[group]
        for mark in _MARK.finditer(found[group])
    }
    for mark in _MARK.finditer(token):
        attribute, value, field = inside.get(mark.start(), ("", "", ""))
        if not attribute or attribute in ("style", "class", "id") or attribute.startswith("on"):
            raise Misplaced(mark[1], f"reader.{mark[1]} may not stand there in a tag", "Put it between tags")
        alone = field in LINKS and value == mark[0]
        if attribute in ("href", "src", "action", "cite") and not alone:
            only = f"There only one of these may stand, alone: {', '.join(sorted(LINKS))}"
            raise Misplaced(field, f"reader.{field} may not stand in {attribute}", only)
        yield mark.start(), Place.ATTRIBUTE
