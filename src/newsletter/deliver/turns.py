"""Whose turn comes when: written once, at the release; then a canary, and waves that open one after the other.

The next wave opens by the editor's word, or at an instant that is planned only when the open ones are done. Both
are in the ledger, so that a crash between them opens nothing and forgets nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from newsletter.config import NewsletterConfig
from newsletter.errors import InputError
from newsletter.model import DeliveryState
from newsletter.schedule import Schedule, local_instant
from newsletter.store import Tx, deliveries
from newsletter.store import turns as stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """How an issue goes to its readers.

    `serve` says of a zone when its readers are served, None: at once. The first `canary` readers, or those of
    `canary_to`, go before the others, and the others in waves of `wave` (0: all together).
    """

    serve: Callable[[str], datetime] | None = None
    canary: int = 0
    canary_to: tuple[str, ...] = ()
    wave: int = 0


def turns_of(newsletter: NewsletterConfig, rule: Schedule, due: datetime, *, now: datetime) -> Turns:
    """Take from the configuration how an issue of this slot goes to its readers when it is released now."""
    latest = max(now, due + newsletter.local_spread)
    return Turns(
        serve=partial(local_instant, rule, due, earliest=now, latest=latest)
        if newsletter.local_time
        else None,
        canary=newsletter.canary,
        canary_to=newsletter.canary_to,
        wave=newsletter.wave,
    )


def write_turns(tx: Tx, issue_id: int, turns: Turns, *, now: datetime) -> None:
    """Write whose turn comes when, in the transaction that froze the audience."""
    if turns.serve is not None:
        _write_hours(tx, issue_id, turns.serve, now)
    canary = bool(turns.canary or turns.canary_to)
    if canary and not stored.put_canary_first(tx, issue_id, count=turns.canary, to=turns.canary_to):
        raise InputError(
            "nobody of canary_to gets this issue, so the others would wait for nobody",
            where="newsletter.toml: newsletters.canary_to",
            remedy="Subscribe one of them, or change the key",
        )
    if turns.wave:
        stored.put_into_waves(tx, issue_id, turns.wave, canary=canary)


def _write_hours(tx: Tx, issue_id: int, serve: Callable[[str], datetime], now: datetime) -> None:
    usual = serve("")
    zones: dict[datetime, set[str]] = defaultdict(set)
    for zone in stored.zones(tx, issue_id):
        zones[serve(zone)].add(zone)
    if usual > now:
        stored.serve_at(tx, issue_id, usual)
    for at, names in zones.items():
        if at != usual:  # zones that are not known are no part of these: they may be many
            stored.serve_at(tx, issue_id, at if at > now else None, zones=names)


def open_when_due(tx: Tx, issue_id: int, *, now: datetime) -> None:
    """Open the next wave if it was planned and its instant has come."""
    stand = stored.stand(tx, issue_id)
    if stand.closed and stand.opens_at is not None and stand.opens_at <= now:
        stored.open_to(tx, issue_id, stand.wave + 1, now=now)


def plan_next(
    tx: Tx, issue_id: int, *, canary_wait: timedelta | None, wave_pause: timedelta, now: datetime
) -> None:
    """Plan when the next wave opens, once the open ones are done.

    Waves: when everybody had a try. A canary: when each has the server's own word, and one at least was accepted.
    """
    stand = stored.stand(tx, issue_id)
    if not stand.closed or stand.opens_at is not None:
        return
    if not stand.canary:
        if not deliveries.due(tx, issue_id, after=0, now=now, limit=1):
            stored.plan(tx, issue_id, now + wave_pause)
        return
    counts = stored.counts(tx, issue_id)
    doubtful = (DeliveryState.WAITING, DeliveryState.ATTEMPTING, DeliveryState.UNKNOWN)
    well = counts.get(DeliveryState.ACCEPTED, 0) and not any(counts.get(state) for state in doubtful)
    if well and canary_wait is not None:
        stored.plan(tx, issue_id, now + canary_wait)
