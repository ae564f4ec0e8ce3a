"""Refuse what would cost too much, before anything parses it."""

from __future__ import annotations

import re
from collections import Counter

from newsletter.errors import InputError

MAX_HTML = 10_000_000  # characters
MAX_MARKDOWN = 2_000_000
MAX_DEPTH = 100
MAX_WORK = 4_000_000  # sum over all start tags of the elements open around them
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9:-]*)")
_VOID = frozenset(
    {
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
        "keygen",
        "frame",
    }
)
# Elements whose end tag may be left out: a second one closes the first, so they nest only inside those below.
_IMPLIED = frozenset(
    {
        "p",
        "li",
        "dt",
        "dd",
        "tr",
        "td",
        "th",
        "thead",
        "tbody",
        "tfoot",
        "colgroup",
        "option",
        "optgroup",
        "rt",
        "rp",
        "rb",
        "rtc",
    }
)
# A start tag of any other; one of those written in capitals is counted as well, which does no harm.
_OPENING = re.compile(
    rf"<(?!(?:{'|'.join(sorted(_VOID | _IMPLIED))})(?![A-Za-z0-9:-]))([A-Za-z][A-Za-z0-9:-]*)"
)
_WEIGHT = {"table": 4, "ul": 2, "ol": 2, "dl": 2, "menu": 2, "dir": 2, "ruby": 2, "select": 2}


def check_size(text: str, limit: int) -> None:
    """Raise InputError when the text is longer than `limit` characters."""
    if len(text) > limit:
        raise InputError(
            f"the text has {len(text):,} characters, more than {limit:,}",
            remedy="Split it into several posts",
        )


def check_depth(html: str, limit: int = MAX_DEPTH) -> None:
    """Raise InputError when elements nest deeper than `limit`, or so that an HTML parser would copy without end.

    Counts start and end tags by name, which never underestimates the depth a parser would reach.
    """
    if html.count("<") <= MAX_WORK // MAX_DEPTH:
        most = sum(_WEIGHT.get(name.lower(), 1) for name in _OPENING.findall(html))
        if most <= min(limit, MAX_DEPTH):  # not deep even if nothing was ever closed
            return
    open_: Counter[str] = Counter()
    depth = work = 0
    for match in _TAG.finditer(html):
        name = match[2].lower()
        if name in _VOID:
            continue
        work += depth
        if name in _IMPLIED:
            pass
        elif not match[1]:
            open_[name] += 1
            depth += _WEIGHT.get(name, 1)
        elif open_[name]:
            open_[name] -= 1
            depth -= _WEIGHT.get(name, 1)
        if depth > limit or work > MAX_WORK:
            raise InputError(
                f"elements are nested too deeply (more than {limit}) near "
                f"{html[match.start() : match.start() + 40]!r}",
                remedy="Close the elements that were left open",
            )
