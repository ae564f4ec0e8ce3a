"""When a newsletter is due, and what becomes of its slots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from newsletter import schedule
from newsletter.config import Config, NewsletterConfig, parse_duration
from newsletter.content import parse_date
from newsletter.model import IssueState, Slot, SlotState
from newsletter.store import Store, Tx, deliveries, turns
from newsletter.store import issues as stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A slot that passed some time ago and whose issue did not go."""

    slot: Slot
    why: str


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


def overdue(store: Store, config: Config, newsletter: NewsletterConfig, *, now: datetime) -> Overdue | None:
    """Return the newest slot older than `alarm_after` if its issue did not go, with the reason.

    An empty slot had nothing to say, and a missed one was passed over by the configuration: neither is overdue.
    """
    due = schedule.latest_slot(schedule_of(config, newsletter), now - newsletter.alarm_after)
    slot = Slot(newsletter=newsletter.name, due=due)
    with store.read() as tx:
        began = stored.began(tx, newsletter.name)
        if began is None or due <= began:
            return None
        why = _why_it_did_not_go(tx, slot, released_before=now - newsletter.alarm_after)
    return Overdue(slot=slot, why=why) if why else None


def _why_it_did_not_go(tx: Tx, slot: Slot, *, released_before: datetime) -> str:
    known = stored.slot_of(tx, slot)
    if known is None:
        return "nothing was composed for it: does `newsletter run` run?"
    state, issue_id, note = known
    issue = stored.by_id(tx, issue_id) if issue_id is not None else None
    if state in (SlotState.EMPTY, SlotState.MISSED):
        return ""
    if issue is None:
        return f"it is {state}{note and f': {note}'}"
    name = f"{issue.newsletter} {issue.number}"
    if issue.state is not IssueState.RELEASED:
        until = f" until {issue.held_until:%Y-%m-%d %H:%M}Z" if issue.held_until else ""
        return (
            ""
            if issue.state is IssueState.FINISHED
            else f"{name} is {issue.state}{until}: see newsletter issues show"
        )
    if issue.released_at is None or issue.released_at > released_before:
        return ""
    stand = turns.stand(tx, issue.id)
    if stand.canary:
        return f"{name} waits for the word on its canary, and {stand.closed} readers with it"
    account = deliveries.account(tx, issue.id)
    stuck = account.waiting and not account.accepted
    return f"no message of {name} was accepted yet, and {account.waiting} readers wait" if stuck else ""


def instant_of(config: Config, newsletter: str, text: str, *, now: datetime) -> datetime:
    """Read a date and time in the newsletter's zone (a date alone is noon), or a duration from now such as `2h`.

    Raises InputError for anything else.
    """
    known = {one.name: zone_of(config, one) for one in config.newsletters}
    try:
        return now + parse_duration(text)
    except ValueError:
        return parse_date(text, known.get(newsletter, config.publication.timezone))[0]


def zone_of(config: Config, newsletter: NewsletterConfig) -> str:
    """Return the zone of a newsletter's schedule and dates."""
    return newsletter.schedule.timezone or config.publication.timezone
