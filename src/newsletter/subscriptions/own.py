"""What a person does with their own data by the link to their preferences: correct, move, take along, erase."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from newsletter.digest import HASH_SHOWN
from newsletter.model import Consent, ConsentAct, NoticeKind, Subscriber
from newsletter.store import Store, Tx, addresses, consents, limits, subscribers, suppressions
from newsletter.subscriptions.letters import Send, voice_of
from newsletter.subscriptions.people import forget, show
from newsletter.subscriptions.signup import HOLDS, bound_of, id_of
from newsletter.subscriptions.standing import subject
from newsletter.tokens import Keys, Purpose

_HASHED = "address-"
_TOLD = ("name", "language", "timezone")


class Move(StrEnum):
    """What came of confirming a new address."""

    OPEN = "open"
    DONE = "done"
    OLD = "old"
    TAKEN = "taken"


def person_of(store: Store, keys: Keys, token: str, purpose: Purpose) -> Subscriber | None:
    """Return whose token it is, None when they are no longer stored. Raises TokenError."""
    subscriber_id, _ = subject(keys, token, purpose)
    with store.read() as tx:
        return subscribers.by_id(tx, subscriber_id)


def tell(store: Store, keys: Keys, token: str, *, now: datetime, **told: str) -> None:
    """Write what a person tells of themselves: name, language, timezone. Raises TokenError."""
    values: dict[str, Any] = {name: told[name] for name in _TOLD if name in told}
    subscriber_id, _ = subject(keys, token, Purpose.PREFERENCES)
    with store.write() as tx:
        person = subscribers.by_id(tx, subscriber_id)
        if person is None:
            return
        changed = replace(person, **values)
        if changed == person:
            return
        subscribers.change(tx, [changed])
        differ = [name for name in _TOLD if getattr(changed, name) != getattr(person, name)]
        detail = f"told: {', '.join(differ)}"
        consents.append(tx, [_changed(person.id, detail, now=now)])


def move(
    store: Store, keys: Keys, token: str, address: str, *, now: datetime, send: Send, language: str
) -> None:
    """Let a new address wait for its confirmation, and ask for it there; the address normalised.

    Somebody else's address, and a suppressed one, is not written to. Raises TokenError.
    """
    subscriber_id, _ = subject(keys, token, Purpose.PREFERENCES)
    with store.write() as tx:
        person = subscribers.by_id(tx, subscriber_id)
        key = suppressions.key_of(address)
        if person is None or suppressions.find(tx, [key, suppressions.key_of(person.address)]):
            return
        mine = limits.Bucket(name=f"move {person.id}", burst=6, every=timedelta(hours=4))
        if limits.take_all(tx, [mine, bound_of(address)], now=now):
            return
        if subscribers.find(tx, address) is None:
            addresses.ask(tx, person.id, address, now=now)
            said = person.language or language
            send(
                tx, NoticeKind.ADDRESS, person, voice_of(tx, person), now=now, language=said, address=address
            )


def is_move(keys: Keys, token: str) -> bool:
    """Tell whether a confirming link is for a new address, of which it bears the hash. Raises TokenError."""
    return subject(keys, token, Purpose.CONFIRM)[1].startswith(_HASHED)


def look_at_move(store: Store, keys: Keys, token: str, *, now: datetime) -> tuple[Move, Subscriber | None]:
    """Return what a link to a new address would do, and whose it is; changes nothing. Raises TokenError."""
    subscriber_id, hashed = subject(keys, token, Purpose.CONFIRM)
    with store.read() as tx:
        person = subscribers.by_id(tx, subscriber_id)
        asked = _asked(tx, subscriber_id, hashed)
    return (Move.OLD if asked is None or now >= asked.asked_at + HOLDS else Move.OPEN), person


def _asked(tx: Tx, subscriber_id: int, hashed: str) -> addresses.AddressChange | None:
    """Return the new address that waits, when it is the one that a link bears the hash of."""
    asked = addresses.waiting(tx, subscriber_id)
    if asked is None or hashed != _HASHED + suppressions.hash_of(tx, asked.address)[:HASH_SHOWN]:
        return None
    return asked


def confirm_move(
    store: Store, keys: Keys, token: str, *, now: datetime, wording: str, language: str
) -> tuple[Move, Subscriber | None]:
    """Write to a person at their new address from now on. Raises TokenError."""
    stands, person = look_at_move(store, keys, token, now=now)
    if stands is not Move.OPEN or person is None:
        return stands, person
    _, hashed = subject(keys, token, Purpose.CONFIRM)
    with store.write() as tx:
        asked = _asked(tx, person.id, hashed)
        if asked is None:
            return Move.OLD, person
        keys_of_both = [suppressions.key_of(one) for one in (asked.address, person.address)]
        if subscribers.find(tx, asked.address) is not None or suppressions.find(tx, keys_of_both):
            addresses.settle(tx, person.id)
            return Move.TAKEN, person
        addresses.settle(tx, person.id, address=asked.address)
        line = replace(
            _changed(person.id, "a new address, confirmed there", now=now),
            wording=wording,
            language=language,
            form="address/1",
            token=id_of(token),
        )
        consents.append(tx, [line])
    return Move.DONE, replace(person, address=asked.address)


def own_data(store: Store, keys: Keys, token: str, *, now: datetime) -> dict[str, Any] | None:
    """Return all that is stored about a person, to be taken along; None when that is nothing. Raises TokenError."""
    person = person_of(store, keys, token, Purpose.PREFERENCES)
    record = show(store, person.address) if person is not None else None
    if person is None or record is None:
        return None
    with store.read() as tx:
        asked = addresses.waiting(tx, person.id)
        former = addresses.former(tx, person.id)
    return {
        "exported": now,
        "person": asdict(person),
        "subscriptions": [
            {
                "newsletter": one.newsletter,
                "standing": one.standing,
                "since": one.since,
                "paused_until": one.paused_until,
            }
            for one in record.subscriptions
        ],
        "consents": [asdict(one) for one in record.consents],
        "deliveries": [asdict(one) for one in record.deliveries],
        "returned": [asdict(one) for one in record.bounces],
        "suppression": asdict(record.suppression) if record.suppression else None,
        "former_addresses": former,
        "new_address": asdict(asked) if asked else None,
    }


def erase(store: Store, keys: Keys, token: str, *, now: datetime) -> bool:
    """Erase a person by their own word; False when nothing was stored. Raises TokenError."""
    person = person_of(store, keys, token, Purpose.PREFERENCES)
    return person is not None and forget(store, person.address, now=now, channel="preferences")


def _changed(subscriber_id: int, detail: str, *, now: datetime) -> Consent:
    return Consent(
        subscriber_id=subscriber_id,
        at=now,
        act=ConsentAct.CHANGED,
        channel="preferences",
        detail=detail,
    )
