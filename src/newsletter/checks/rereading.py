"""A second reading of our own feeds, by feedparser: what it sees must be what is written.

It is by far the dearest part of the gate, and the same entries stand in many feeds and in the next version of each.
So an entry that was read rightly is cut out of the bytes that are read again, as long as nothing around it differs.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

from newsletter.checks.reading import Passed, Told, Written, as_reread

_ENTRY = re.compile(rb"<(entry|item)[\s>].*?</\1>", re.DOTALL)
_ROOT = re.compile(rb"<[A-Za-z][^>]*>")

_right = Passed()


def read_again(document: bytes, written: Sequence[Written]) -> Iterator[Told]:
    """Read the document as a feed reader does and compare; `written` are its entries in their order."""
    marks = _marks(document)
    if len(marks) != len(written):  # CDATA, or entries inside of entries
        yield from _compare(document, written)
        return
    left = [(mark, one) for (mark, _), one in zip(marks, written, strict=True) if mark not in _right]
    known = [span for mark, span in marks if mark in _right]
    told = list(_compare(_without(document, known), [one for _, one in left]))
    yield from told
    if not told:
        _right.add(mark for mark, _ in left)


def _marks(document: bytes) -> list[tuple[bytes, tuple[int, int]]]:
    """Return of each entry a hash over it and the root's opening, and where it stands."""
    root = _ROOT.search(document)
    if root is None or b"<![CDATA[" in document or b"<!--" in document:
        return []
    around = blake2b(document[: root.end()], digest_size=16)
    marks = []
    for entry in _ENTRY.finditer(document):
        mark = around.copy()
        mark.update(entry[0])
        marks.append((mark.digest(), entry.span()))
    return marks


def _without(document: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    parts, end = [], 0
    for begin, after in spans:
        parts.append(document[end:begin])
        end = after
    return b"".join([*parts, document[end:]])


def _compare(document: bytes, written: Sequence[Written]) -> Iterator[Told]:
    import feedparser

    read = feedparser.parse(document, sanitize_html=False, resolve_relative_uris=False)
    if read.bozo:
        rule = f"feedparser reads it without complaint: {read.get('bozo_exception')}"
        yield Told("", rule, "Mend the document")
        return
    if len(read.entries) != len(written):
        rule = f"feedparser finds {len(written)} entries, not {len(read.entries)}"
        yield Told("", rule, "Mend the document")
        return
    for entry, one in zip(read.entries, written, strict=True):
        for name, seen, meant in (
            ("id", entry.get("id", ""), one.id),
            ("title", entry.get("title", ""), one.title),
            ("link", entry.get("link", ""), one.link),
        ):
            if meant and seen not in (meant, as_reread(meant)):
                rule = f"feedparser reads the same {name}: {seen!r} for {meant!r}"
                yield Told(f"entry ({one.id})", rule, f"Mend its {name}")
        for name, parsed, instant in (
            ("published", entry.get("published_parsed"), one.published),
            ("updated", entry.get("updated_parsed"), one.updated),
        ):
            if instant is not None and _seconds(parsed) != int(instant.timestamp()):
                rule = f"feedparser reads the same {name}: {parsed!r} for {instant.isoformat()}"
                yield Told(f"entry ({one.id})", rule, f"Mend its {name}")


def _seconds(parsed: Any) -> int | None:
    return None if parsed is None else timegm(parsed)
