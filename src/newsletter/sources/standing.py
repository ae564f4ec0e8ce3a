"""How each source stands: when it was gathered, when it comes next, what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from newsletter.config import Config
from newsletter.errors import ConfigError, OutsideError
from newsletter.store import Store
from newsletter.store import sources as stored

_OBSTACLES = ("gone", "not_before", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStanding:
    """One source; `failures` in a row since it was last gathered, `disabled` says why it is not asked any more."""

    name: str
    kind: str
    place: str
    tried: datetime | None = None
    gathered: datetime | None = None
    next: datetime | None = None
    failures: int = 0
    failure: str = ""
    disabled: str = ""
    quarantined: int = 0
    etag: str = ""
    last_modified: str = ""


def standings(store: Store, config: Config) -> list[SourceStanding]:
    """Return how each configured source stands, in the order of the configuration."""
    with store.read() as tx:
        rows = stored.standing(tx)
        waiting = Counter(one.source for one in stored.quarantined(tx))
    found = []
    for source in config.sources:
        envelope, tried, failure = rows.get(source.name, ({}, None, ""))
        memory = envelope.get("memory", {})
        due = [_instant(memory.get("not_before"))] + ([tried + config.gather.every] if tried else [])
        gone = "it is gone for good (410)" if memory.get("gone") else ""
        found.append(
            SourceStanding(
                name=source.name,
                kind=source.kind,
                place=str(source.path or source.url or ""),
                tried=tried,
                gathered=_instant(envelope.get("gathered_at")),
                next=None if gone else max(filter(None, due), default=None),
                failures=int(envelope.get("failures", 0)),
                failure=failure,
                disabled=gone,
                quarantined=waiting[source.name],
                etag=str(memory.get("etag", "")),
                last_modified=str(memory.get("last_modified", "")),
            )
        )
    return found


def enable(store: Store, config: Config, name: str) -> bool:
    """Let a source be asked at the next gathering, whatever it said; return whether something stood against it."""
    if name not in {source.name for source in config.sources}:
        known = ", ".join(source.name for source in config.sources) or "none is configured"
        raise ConfigError(f"there is no source {name!r}", remedy=f"Known: {known}")
    with store.lock("gather") as alone:
        if not alone:
            raise OutsideError("another process is gathering", remedy="Wait for it to end")
        with store.write() as tx:
            envelope, tried, failure = stored.standing(tx).get(name, ({}, None, ""))
            memory: dict[str, Any] = envelope.get("memory", {})
            stood = any(memory.get(one) for one in _OBSTACLES)
            kept = {key: value for key, value in memory.items() if key not in _OBSTACLES}
            if stood and tried is not None:
                stored.remember(tx, name, {**envelope, "memory": kept}, now=tried, failure=failure)
    return stood


def _instant(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
