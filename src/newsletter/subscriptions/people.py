"""One person, or all of them: show, list, erase, suppress, and verify the consent ledger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from newsletter.errors import InputError
from newsletter.model import Bounce, Consent, Delivery, Subscriber, Subscription, SuppressionReason
from newsletter.store import Store, Tx, bounces, consents, subscribers, suppressions
from newsletter.subscriptions.address import name_of, normalise
from newsletter.subscriptions.row import language_of, timezone_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All that is stored about one person; `subscriber.id` is 0 for an address that is only suppressed."""

    subscriber: Subscriber
    subscriptions: tuple[Subscription, ...]
    consents: tuple[Consent, ...]
    deliveries: tuple[Delivery, ...]
    suppression: suppressions.Suppression | None
    bounces: tuple[Bounce, ...] = ()


def show(store: Store, address: str) -> Record | None:
    """Return what is stored about an address, None when that is nothing."""
    key = suppressions.key_of(normalise(address))
    with store.read() as tx:
        person = subscribers.by_keys(tx, [key]).get(key)
        gone = suppressions.find(tx, [key]).get(key)
        if person is None:
            if gone is None:
                return None
            person = Subscriber(address=gone.address)
        mine = subscribers.subscriptions_of(tx, [person]).get(person.id, {})
        return Record(
            subscriber=person,
            subscriptions=tuple(mine.values()),
            consents=tuple(consents.of(tx, person.id)),
            deliveries=tuple(subscribers.deliveries_of(tx, person.id)),
            suppression=gone,
            bounces=tuple(bounces.about(tx, person.id)),
        )


def listed(store: Store, newsletter: str | None = None) -> list[Subscription]:
    """Return every subscription, or one newsletter's, by address."""
    with store.read() as tx:
        return [one for one, _ in subscribers.every(tx, newsletter)]


def forget(store: Store, address: str, *, now: datetime, channel: str = "command line") -> bool:
    """Erase a person everywhere but in the sums; a keyed hash keeps any import from bringing them back.

    Returns False when nothing was stored under the address. Backups made before still hold it.
    """
    with store.write() as tx:
        erased = subscribers.erase(tx, normalise(address), now=now, channel=channel)
    if erased:
        store.scrub()
    return erased


def amend(
    store: Store,
    subscriber_id: int,
    *,
    name: str | None = None,
    language: str | None = None,
    timezone: str | None = None,
) -> Subscriber:
    """Write what a person told us anew; None stays as it is. InputError when there is nobody."""
    with store.write() as tx:
        person = subscribers.by_id(tx, subscriber_id)
        if person is None:
            remedy = "See: newsletter subscribers list"
            raise InputError(f"there is no subscriber {subscriber_id}", remedy=remedy)
        person = replace(
            person,
            name=person.name if name is None else name_of(name),
            language=person.language if language is None else language_of(language),
            timezone=person.timezone if timezone is None else timezone_of(timezone),
        )
        subscribers.change(tx, [person])
    return person


def suppress(tx: Tx, address: str, reason: SuppressionReason, *, now: datetime, note: str = "") -> bool:
    """Never write to an address again, effective in the given transaction; False when it was so already."""
    return subscribers.suppress(tx, normalise(address), reason, now=now, note=note)


def verify(store: Store) -> consents.Chain:
    """Compare every line of the consent ledger with its hash."""
    with store.read() as tx:
        return consents.verify(tx)
