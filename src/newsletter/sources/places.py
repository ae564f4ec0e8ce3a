"""Where in a file stands what is reported of its pictures, and whether an item at fault is still the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_PICTURE = re.compile(r"the picture '([^']+)' ")


def placed(told: Iterable[str], text: str) -> tuple[str, ...]:
    """Begin what is told of a picture with the line of the text that names it first; the rest stays as it is."""
    return tuple(_line(one, text) + one for one in told)


def _line(told: str, text: str) -> str:
    match = _PICTURE.match(told)
    place = text.find(match[1]) if match else -1
    return "" if place < 0 else f"line {text.count(chr(10), 0, place) + 1}: "


def mark_of(reason: str, content: str) -> str:
    """Return what changes with an item at fault or with what is wrong with it; empty without content."""
    whole = f"{reason}\n{content}".encode("utf-8", "backslashreplace")
    return content and hashlib.sha256(whole).hexdigest()[:24]
