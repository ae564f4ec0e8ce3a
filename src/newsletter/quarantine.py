"""Quarantine as an editor works with it: what waits there, the lines at fault, and what is ignored until it changes.

An item that is mended leaves by itself at the next gathering.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from newsletter.config import Config
from newsletter.errors import InputError
from newsletter.model import Quarantined
from newsletter.store import Store, sources

AROUND = 2  # lines shown before and behind the one at fault
_LONGEST = 200  # characters of a line
_LARGEST = 10_000_000  # bytes of a file
_LINE = re.compile(r"(.+):(\d{1,9})", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a file as it is now; `at_fault` is the one that an item was rejected for."""

    number: int
    text: str
    at_fault: bool


def listed(store: Store) -> list[Quarantined]:
    """Return all that is in quarantine, what waits longest first."""
    with store.read() as tx:
        return sources.in_quarantine(tx)


def find(store: Store, names: Iterable[str]) -> list[Quarantined]:
    """Return items by id, beginning of an id, or the file or key that a source names; each once.

    Raises InputError for one that names none, or more than one.
    """
    known = listed(store)
    return list({one.id: one for one in (_named(name, known) for name in names)}.values())


def _named(name: str, known: Sequence[Quarantined]) -> Quarantined:
    exact = [one for one in known if name in (one.id, one.source_key, one.where)]
    found = exact or [one for one in known if len(name) >= 2 and one.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    what = (
        f"{name!r} names {len(found)} items in quarantine" if found else f"nothing in quarantine is {name!r}"
    )
    remedy = (
        f"Name one of: {', '.join(one.id for one in found)}" if found else "See: newsletter quarantine list"
    )
    raise InputError(what, where="quarantine", remedy=remedy)


def context(config: Config, item: Quarantined) -> list[Line]:
    """Return the line at fault with two lines on either side; none when it is not in a file of the source's own."""
    match = _LINE.fullmatch(item.where)
    path = _own_file(config, item, match[1]) if match else None
    if match is None or path is None:
        return []
    try:
        if path.stat().st_size > _LARGEST:
            return []
        lines = path.read_bytes().decode("utf-8-sig", "replace").split("\n")
    except OSError:
        return []
    fault = int(match[2])
    if not 0 < fault <= len(lines):
        return []
    first, last = max(1, fault - AROUND), min(len(lines), fault + AROUND)
    return [
        Line(number=number, text=lines[number - 1].rstrip("\r")[:_LONGEST], at_fault=number == fault)
        for number in range(first, last + 1)
    ]


def _own_file(config: Config, item: Quarantined, written: str) -> Path | None:
    """Return the file that an item is in; a path that another site's text names is not followed."""
    own = next((one.path for one in config.sources if one.name == item.source), None)
    if own is None:
        return None
    try:
        root, path = config.path(own), config.path(written)
    except (OSError, ValueError):
        return None
    return path if path.is_relative_to(root) and path.is_file() else None


def ignore(store: Store, names: Iterable[str], *, note: str) -> list[Quarantined]:
    """Report items no more until they change; raises InputError for one that is not there."""
    chosen = find(store, names)
    with store.write() as tx:
        for one in chosen:
            if not sources.ignore(tx, one.source, one.source_key, note=note):
                raise InputError(
                    "it was not looked at since the program was upgraded",
                    where=one.where,
                    remedy="Gather first: newsletter gather",
                )
    ids = {one.id for one in chosen}
    return [one for one in listed(store) if one.id in ids]


def look_again(store: Store, names: Iterable[str]) -> list[Quarantined]:
    """Have items, or with no name all of them, read again by the next gathering; return them."""
    wanted = list(names)
    chosen = find(store, wanted) if wanted else listed(store)
    with store.write() as tx:
        for source in {one.source for one in chosen}:
            sources.look_again(tx, source, [one.source_key for one in chosen if one.source == source])
    return chosen
