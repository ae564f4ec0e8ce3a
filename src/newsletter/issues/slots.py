"""When a newsletter is due, and what becomes of its slots."""

from __future__ import annotations

from datetime import datetime

from newsletter import schedule
from newsletter.config import Config, NewsletterConfig
from newsletter.model import Slot, SlotState
from newsletter.store import Store
from newsletter.store import issues as stored


def schedule_of(config: Config, newsletter: NewsletterConfig) -> schedule.Schedule:
    """Return when a newsletter is due, in its zone."""
    rule = newsletter.schedule
    return schedule.Schedule(
        every=rule.every, on=rule.on, day=rule.day, at=rule.at, timezone=zone_of(config, newsletter)
    )


def slot_decision(
    store: Store, config: Config, newsletter: NewsletterConfig, *, now: datetime
) -> schedule.Decision:
    """Say what is to be done with the slots that are due; the newsletter begins when it is first asked for."""
    with store.read() as tx:
        began = stored.began(tx, newsletter.name)
        settled = frozenset(stored.slot_states(tx, newsletter.name))
    if began is None or began > now:  # in the future by a clock that was wrong and was set back
        with store.write() as tx:
            began = stored.ensure_newsletter(tx, newsletter.name, now)
    return schedule.decide(
        schedule_of(config, newsletter),
        began=began,
        latest=None,
        now=now,
        catch_up=schedule.CatchUp(newsletter.catch_up),
        max_lateness=newsletter.max_lateness,
        settled=settled,
    )


def settle_slot(store: Store, slot: Slot, state: SlotState, *, note: str, now: datetime) -> bool:
    """Record a slot as missed or held; False when it is settled already."""
    with store.write() as tx:
        stored.ensure_newsletter(tx, slot.newsletter, now)
        if not stored.claim_slot(tx, slot, now):
            return False
        stored.settle_slot(tx, slot, state, note=note)
        return True


def zone_of(config: Config, newsletter: NewsletterConfig) -> str:
    """Return the zone of a newsletter's schedule and dates."""
    return newsletter.schedule.timezone or config.publication.timezone
