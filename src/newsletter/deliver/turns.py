"""Whose turn comes when: decided once, at the release."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from newsletter.config import NewsletterConfig
from newsletter.schedule import Schedule, local_instant
from newsletter.store import Tx
from newsletter.store import turns as stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """How an issue goes to its readers; `serve` says of a zone when its readers are served, None: at once."""

    serve: Callable[[str], datetime] | None = None


def turns_of(newsletter: NewsletterConfig, rule: Schedule, due: datetime, *, now: datetime) -> Turns:
    """Take from the configuration how an issue of this slot goes to its readers when it is released now."""
    if not newsletter.local_time:
        return Turns()
    latest = max(now, due + newsletter.local_spread)
    return Turns(serve=partial(local_instant, rule, due, earliest=now, latest=latest))


def write_turns(tx: Tx, issue_id: int, turns: Turns, *, now: datetime) -> None:
    """Write whose turn comes when, in the transaction that froze the audience."""
    if turns.serve is None:
        return
    usual = turns.serve("")
    zones: dict[datetime, set[str]] = defaultdict(set)
    for zone in stored.zones(tx, issue_id):
        zones[turns.serve(zone)].add(zone)
    unusual = {
        at: names for at, names in zones.items() if at != usual
    }  # names of no zone are never many here
    if usual > now:
        stored.serve_at(tx, issue_id, usual)
    for at, names in unusual.items():
        stored.serve_at(tx, issue_id, at if at > now else None, zones=names)
