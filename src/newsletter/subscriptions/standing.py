"""What a person does by a signed link: leave, come back, pause. Each wish is one transaction, and idempotent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NotRequired, TypedDict, Unpack

from newsletter.errors import InputError
from newsletter.model import Consent, ConsentAct, Standing, Subscriber, Subscription
from newsletter.store import Store, Tx, consents, subscribers, suppressions
from newsletter.tokens import Keys, Purpose, read

PAUSE = timedelta(weeks=4)


class Wish(StrEnum):
    """What a person may want of one newsletter."""

    UNSUBSCRIBE = "unsubscribe"
    SUBSCRIBE = "subscribe"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a subscription stood before and stands now; both None when the person is no longer stored."""

    newsletter: str
    before: Standing | None
    after: Standing | None

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return self.before is not self.after


class _Said(TypedDict):
    channel: str
    wording: NotRequired[str]  # that the person was shown
    language: NotRequired[str]  # of the wording


def subject(keys: Keys, token: str, purpose: Purpose = Purpose.UNSUBSCRIBE) -> tuple[int, str]:
    """Return the subscriber id and newsletter of a token; the newsletter may be empty.

    Raises TokenError.
    """
    number, _, newsletter = read(keys, purpose, token).partition(".")
    return int(number) if number.isdecimal() else 0, newsletter


def look(store: Store, keys: Keys, token: str) -> Change:
    """Return how the subscription of an unsubscribing token stands; changes nothing."""
    subscriber_id, newsletter = subject(keys, token)
    with store.read() as tx:
        stands = _standing(tx, subscriber_id, newsletter)
    return Change(newsletter=newsletter, before=stands, after=stands)


def unsubscribe(store: Store, keys: Keys, token: str, *, channel: str, now: datetime) -> Change:
    """End the subscription that a token names, and what waits of it, before returning. Raises TokenError."""
    subscriber_id, newsletter = subject(keys, token)
    with store.write() as tx:
        return _wish(tx, subscriber_id, newsletter, Wish.UNSUBSCRIBE, now=now, channel=channel)


def leave(store: Store, subscriber_id: int, newsletter: str, *, channel: str, now: datetime) -> Change:
    """End a subscription by somebody's word who needs no token, and what waits of it."""
    with store.write() as tx:
        return _wish(tx, subscriber_id, newsletter, Wish.UNSUBSCRIBE, channel=channel, now=now)


def resubscribe(
    store: Store,
    keys: Keys,
    token: str,
    *,
    channel: str,
    now: datetime,
    wording: str = "",
    language: str = "",
) -> Change:
    """Undo unsubscribing, by the same token; a suppressed address stays so. Raises TokenError."""
    subscriber_id, newsletter = subject(keys, token)
    with store.write() as tx:
        said: _Said = {"channel": channel, "wording": wording, "language": language}
        return _wish(tx, subscriber_id, newsletter, Wish.SUBSCRIBE, now=now, **said)


def preferences(
    store: Store, keys: Keys, token: str
) -> tuple[Subscriber | None, dict[str, Subscription], bool]:
    """Return whose preferences a token opens, their subscriptions by newsletter, and whether suppressed.

    Raises TokenError. The person is None when they are no longer stored.
    """
    subscriber_id, _ = subject(keys, token, Purpose.PREFERENCES)
    with store.read() as tx:
        person = subscribers.by_id(tx, subscriber_id)
        if person is None:
            return None, {}, False
        mine = subscribers.subscriptions_of(tx, [person]).get(person.id, {})
        return person, mine, _suppressed(tx, person)


def ask(
    store: Store,
    keys: Keys,
    token: str,
    newsletter: str,
    wish: Wish,
    *,
    now: datetime,
    wording: str = "",
    language: str = "",
    until: datetime | None = None,
) -> Change:
    """Do what a person asks on their page of preferences; `until` is of a pause. Raises TokenError."""
    subscriber_id, _ = subject(keys, token, Purpose.PREFERENCES)
    said: _Said = {"channel": "preferences", "wording": wording, "language": language}
    with store.write() as tx:
        return _wish(tx, subscriber_id, newsletter, wish, now=now, until=until, **said)


def _wish(
    tx: Tx,
    subscriber_id: int,
    newsletter: str,
    wish: Wish,
    *,
    now: datetime,
    until: datetime | None = None,
    **said: Unpack[_Said],
) -> Change:
    person = subscribers.by_id(tx, subscriber_id)
    before = _standing(tx, subscriber_id, newsletter, now=now)
    if person is None or before is Standing.SUPPRESSED or _suppressed(tx, person):
        return Change(newsletter=newsletter, before=before, after=before)
    after, act = {
        Wish.UNSUBSCRIBE: (Standing.UNSUBSCRIBED, ConsentAct.WITHDRAWN),
        Wish.SUBSCRIBE: (Standing.ACTIVE, ConsentAct.CONFIRMED),
        Wish.PAUSE: (Standing.PAUSED, ConsentAct.CHANGED),
    }[wish]
    if wish is Wish.PAUSE and before not in (Standing.ACTIVE, Standing.PAUSED):
        raise InputError("only an active subscription can be paused", remedy="Subscribe first")
    if wish is Wish.UNSUBSCRIBE:
        subscribers.stop_waiting(tx, person.id, newsletter=newsletter, reason="unsubscribed", now=now)
    if before is after and until is None:
        return Change(newsletter=newsletter, before=before, after=after)
    until = until or now + PAUSE if after is Standing.PAUSED else None
    subscribers.put(
        tx,
        [
            Subscription(
                subscriber=person, newsletter=newsletter, standing=after, since=now, paused_until=until
            )
        ],
    )
    line = Consent(
        subscriber_id=person.id,
        at=now,
        act=act,
        newsletter=newsletter,
        detail=f"{before or 'not subscribed'} to {after}",
        **said,
    )
    consents.append(tx, [line])
    return Change(newsletter=newsletter, before=before, after=after)


def _standing(tx: Tx, subscriber_id: int, newsletter: str, *, now: datetime | None = None) -> Standing | None:
    """Return how a subscription stands; at an instant, a pause that has passed by then is over."""
    person = Subscriber(address="", id=subscriber_id)
    one = subscribers.subscriptions_of(tx, [person]).get(subscriber_id, {}).get(newsletter)
    if one is None:
        return None
    over = now is not None and one.paused_until is not None and one.paused_until <= now
    return Standing.ACTIVE if over and one.standing is Standing.PAUSED else one.standing


def _suppressed(tx: Tx, person: Subscriber) -> bool:
    return bool(suppressions.find(tx, [suppressions.key_of(person.address)]))
