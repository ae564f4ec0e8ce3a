"""What each source remembers between gatherings, and the items that wait in quarantine."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.model import Quarantined, Rejected
from newsletter.store import schema
from newsletter.store.engine import Tx

_SOURCES = schema.sources
_QUARANTINE = schema.quarantine
_OLDEST = (_QUARANTINE.c.first_seen, _QUARANTINE.c.source, _QUARANTINE.c.source_key)


def memory(tx: Tx, name: str) -> dict[str, Any]:
    """Return what was last remembered of a source, empty when it was never gathered."""
    return dict(tx.scalar(select(_SOURCES.c.state).where(_SOURCES.c.name == name)) or {})


def remember(tx: Tx, name: str, state: dict[str, Any], *, now: datetime, failure: str = "") -> None:
    """Keep what a source remembers; `failure` says why it could not be read at `now`, empty when it could."""
    values = {"state": state, "checked_at": now, "failure": failure}
    statement = _dialect(tx).insert(_SOURCES).values(name=name, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def standing(tx: Tx) -> dict[str, tuple[dict[str, Any], datetime | None, str]]:
    """Return of each source that was ever tried what it remembers, when it was tried, and why that failed."""
    rows = tx.execute(select(_SOURCES.c.name, _SOURCES.c.state, _SOURCES.c.checked_at, _SOURCES.c.failure))
    return {str(row.name): (dict(row.state or {}), row.checked_at, str(row.failure)) for row in rows}


def failures(tx: Tx) -> dict[str, str]:
    """Return the sources that could not be read last time, with the reason."""
    rows = tx.execute(select(_SOURCES.c.name, _SOURCES.c.failure).where(_SOURCES.c.failure != ""))
    return {str(row.name): str(row.failure) for row in rows}


def quarantine(tx: Tx, rejected: Iterable[Rejected], *, now: datetime) -> None:
    """Put items in quarantine, or say anew why they are there; since when they wait stays."""
    rows = [
        {
            "source": one.source,
            "source_key": one.source_key,
            "where": one.where,
            "reason": one.reason,
            "remedy": one.remedy,
            "excerpt": one.excerpt,
            "mark": one.mark,
            "first_seen": now,
            "last_seen": now,
        }
        for one in rejected
    ]
    if rows:
        statement = _dialect(tx).insert(_QUARANTINE)
        told = ("where", "reason", "remedy", "excerpt", "mark", "last_seen")
        changes = {name: statement.excluded[name] for name in told}
        tx.execute(
            statement.on_conflict_do_update(index_elements=["source", "source_key"], set_=changes), rows
        )


def quarantined(tx: Tx, source: str | None = None) -> list[Rejected]:
    """Return the items in quarantine, of one source or of all, those waiting longest first."""
    names = ("source", "source_key", "where", "reason", "remedy", "excerpt", "mark")
    wanted = select(*(_QUARANTINE.c[name] for name in names)).order_by(*_OLDEST)
    if source is not None:
        wanted = wanted.where(_QUARANTINE.c.source == source)
    return [Rejected(**dict(zip(names, row, strict=True))) for row in tx.execute(wanted)]


def discharge(tx: Tx, source: str, keys: Iterable[str]) -> None:
    """Take items out of quarantine: they were gathered, or are no more."""
    for key in keys:
        where = (_QUARANTINE.c.source == source, _QUARANTINE.c.source_key == key)
        tx.execute(delete(_QUARANTINE).where(*where))


def ignored(tx: Tx, source: str) -> dict[str, str]:
    """Return the items of a source that the editor said to ignore, each with its mark at that time."""
    columns = (_QUARANTINE.c.source_key, _QUARANTINE.c.ignored)
    rows = tx.execute(select(*columns).where(_QUARANTINE.c.source == source, _QUARANTINE.c.ignored != ""))
    return {row.source_key: row.ignored for row in rows}


def in_quarantine(tx: Tx) -> list[Quarantined]:
    """Return all that is in quarantine as an editor sees it, the items waiting longest first."""
    names = (
        "source",
        "source_key",
        "where",
        "reason",
        "remedy",
        "excerpt",
        "first_seen",
        "last_seen",
        "note",
    )
    columns = (_QUARANTINE.c[name] for name in (*names, "mark", "ignored"))
    found = []
    for *row, mark, ignored_mark in tx.execute(select(*columns).order_by(*_OLDEST)):
        told: dict[str, Any] = dict(zip(names, row, strict=True))
        whole = f"{told['source']}\0{told['source_key']}".encode()
        short = blake2b(whole, digest_size=5).hexdigest()
        found.append(Quarantined(id=short, ignored=mark != "" and mark == ignored_mark, **told))
    return found


def ignore(tx: Tx, source: str, key: str, *, note: str) -> bool:
    """Ignore an item until it changes; False when it is not known what it is now, or it is not there."""
    here = (_QUARANTINE.c.source == source, _QUARANTINE.c.source_key == key, _QUARANTINE.c.mark != "")
    done = tx.execute(update(_QUARANTINE).where(*here).values(ignored=_QUARANTINE.c.mark, note=note))
    return bool(done.rowcount)


def look_again(tx: Tx, source: str, keys: Iterable[str]) -> None:
    """Have items of a source read again that it would not look at while nothing changed; nothing is ignored then."""
    keys = set(keys)
    state = memory(tx, source)
    own = state.get("memory", {})
    if isinstance(own.get("rejected"), list):
        own["rejected"] = [one for one in own["rejected"] if one not in keys]
        tx.execute(update(_SOURCES).where(_SOURCES.c.name == source).values(state=state))
    for key in keys:
        here = (_QUARANTINE.c.source == source, _QUARANTINE.c.source_key == key)
        tx.execute(update(_QUARANTINE).where(*here).values(ignored="", note=""))


def _dialect(tx: Tx) -> Any:
    return postgresql if tx.dialect.name == "postgresql" else sqlite
