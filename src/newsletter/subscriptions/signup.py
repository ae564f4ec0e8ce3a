"""Signing up, and confirming it by the link that was mailed: until then nothing is sent but that link.

    form > sign_up > letter > confirm > welcome

Whoever asks learns nothing of how an address stands. What somebody unproven asks changes nothing of a known person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from newsletter.model import Consent, ConsentAct, NoticeKind, Standing, Subscriber, Subscription
from newsletter.store import Store, Tx, addresses, consents, letters, limits, subscribers, suppressions
from newsletter.subscriptions.letters import Send, voice_of
from newsletter.subscriptions.standing import subject
from newsletter.tokens import Keys, Purpose

HOLDS = timedelta(days=30)  # what was asked for, and not confirmed
OF_ADDRESS = (6, timedelta(hours=4))  # how often an address may be typed at once, and one more after each


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """What somebody asks for; the address normalised, the newsletters known."""

    address: str
    newsletters: tuple[str, ...]
    name: str = ""
    language: str = ""
    timezone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a person saw when they agreed, and how that came here; `ip` only to be kept for a while."""

    channel: str
    wording: str = ""
    language: str = ""
    form: str = ""
    ip: str = ""
    keep_ip: timedelta = timedelta()


class Request(StrEnum):
    """How what a confirming link is for stands."""

    OPEN = "open"
    DONE = "done"
    OLD = "old"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A request that a link confirms; whose it is, when they are still stored."""

    newsletter: str
    request: Request
    subscriber: Subscriber | None = None


def sign_up(
    store: Store,
    asked: SignUp,
    shown: Shown,
    *,
    bounds: Sequence[limits.Bucket],
    now: datetime,
    send: Send,
) -> timedelta:
    """Note what somebody asks for and queue the letter that lets them confirm it.

    Returns zero whatever the address's standing, or after what time one of `bounds` has room again.
    """
    with store.write() as tx:
        wait = limits.take_all(tx, bounds, now=now)
        if not wait and not limits.take(tx, bound_of(asked.address), now=now):
            _begin(tx, asked, shown, now=now, send=send)
    return wait


def bound_of(address: str) -> limits.Bucket:
    """Return the limit on how often an address may be typed."""
    burst, every = OF_ADDRESS
    return limits.Bucket(name=f"address {suppressions.key_of(address)}", burst=burst, every=every)


def mail_link(
    store: Store,
    address: str,
    *,
    bounds: Sequence[limits.Bucket],
    now: datetime,
    send: Send,
    language: str,
) -> timedelta:
    """Queue the link to a person's preferences, if they are known; returns as `sign_up` does."""
    with store.write() as tx:
        wait = limits.take_all(tx, bounds, now=now)
        if not wait and not limits.take(tx, bound_of(address), now=now):
            person = subscribers.find(tx, address)
            if person is not None and not _suppressed(tx, person.address):
                said = person.language or language
                send(tx, NoticeKind.LINK, person, voice_of(tx, person), now=now, language=said)
    return wait


def _begin(tx: Tx, asked: SignUp, shown: Shown, *, now: datetime, send: Send) -> None:
    if _suppressed(tx, asked.address):
        return
    person = subscribers.find(tx, asked.address)
    if person is None:
        new = Subscriber(
            address=asked.address, name=asked.name, language=asked.language, timezone=asked.timezone
        )
        subscribers.add(tx, [new], now=now)
        person = subscribers.find(tx, asked.address)
        assert person is not None
    mine = subscribers.subscriptions_of(tx, [person]).get(person.id, {})
    language = person.language or asked.language or shown.language
    known = False
    for name in asked.newsletters:
        before = mine[name].standing if name in mine else None
        if before in (Standing.ACTIVE, Standing.PAUSED):
            known = True
            continue
        sent = send(tx, NoticeKind.CONFIRMATION, person, name, now=now, language=language)
        if sent or before is not Standing.PENDING:
            if before in (None, Standing.PENDING):  # who left stays so until they confirm
                pending = Subscription(
                    subscriber=person, newsletter=name, standing=Standing.PENDING, since=now
                )
                subscribers.put(tx, [pending])
            consents.append(tx, [_line(person, ConsentAct.REQUESTED, name, shown, now=now)])
    if known:
        send(tx, NoticeKind.LINK, person, voice_of(tx, person), now=now, language=language)


def look_up(store: Store, keys: Keys, token: str, *, now: datetime) -> Confirmation:
    """Return what a confirming link is for; changes nothing. Raises TokenError."""
    subscriber_id, newsletter = subject(keys, token, Purpose.CONFIRM)
    with store.read() as tx:
        return _request(tx, subscriber_id, newsletter, now=now)


def confirm(store: Store, keys: Keys, token: str, shown: Shown, *, now: datetime, send: Send) -> Confirmation:
    """Subscribe a person to what they asked for, and queue their welcome; again does nothing. Raises TokenError."""
    subscriber_id, newsletter = subject(keys, token, Purpose.CONFIRM)
    with store.write() as tx:
        found = _request(tx, subscriber_id, newsletter, now=now)
        person = found.subscriber
        if found.request is not Request.OPEN or person is None:
            return found
        active = Subscription(subscriber=person, newsletter=newsletter, standing=Standing.ACTIVE, since=now)
        subscribers.put(tx, [active])
        line = _line(person, ConsentAct.CONFIRMED, newsletter, shown, now=now, token=id_of(token))
        consents.append(tx, [line])
        language = person.language or shown.language
        send(tx, NoticeKind.WELCOME, person, newsletter, now=now, language=language)
    return Confirmation(newsletter=newsletter, request=Request.DONE, subscriber=person)


def say_goodbye(store: Store, keys: Keys, token: str, *, now: datetime, send: Send, language: str) -> None:
    """Queue the letter that confirms an unsubscribing, in a transaction of its own. Raises TokenError."""
    subscriber_id, newsletter = subject(keys, token)
    with store.write() as tx:
        person = subscribers.by_id(tx, subscriber_id)
        if person is not None and not _suppressed(tx, person.address):
            send(tx, NoticeKind.GOODBYE, person, newsletter, now=now, language=person.language or language)


def expire(tx: Tx, *, now: datetime) -> None:
    """Drop what is kept for a time only: addresses of computers, limits, and what nobody confirmed."""
    consents.expire(tx, now=now)
    limits.expire(tx, now=now)
    addresses.drop(tx, before=now - HOLDS)
    letters.drop_addresses(tx, before=now - HOLDS, now=now)
    subscribers.drop_unconfirmed(tx, before=now - HOLDS, now=now)


def id_of(token: str) -> str:
    """Return what the ledger calls a token: enough to know it again, nothing to use it by."""
    return hashlib.sha256(token.lower().encode()).hexdigest()[:16]


def _request(tx: Tx, subscriber_id: int, newsletter: str, *, now: datetime) -> Confirmation:
    person = subscribers.by_id(tx, subscriber_id)
    if person is None or _suppressed(tx, person.address):
        return Confirmation(newsletter=newsletter, request=Request.GONE)
    mine = subscribers.subscriptions_of(tx, [person]).get(person.id, {}).get(newsletter)
    acts = [line for line in consents.of(tx, person.id) if line.newsletter == newsletter]
    newest = acts[-1] if acts else None
    if mine is None:
        stands = Request.GONE
    elif mine.standing in (Standing.ACTIVE, Standing.PAUSED):
        stands = Request.DONE
    elif newest is not None and newest.act is ConsentAct.REQUESTED:
        stands = Request.OPEN if now < newest.at + HOLDS else Request.OLD
    else:  # one who was imported as pending may confirm; one who left must ask again
        stands = Request.OPEN if mine.standing is Standing.PENDING else Request.OLD
    return Confirmation(newsletter=newsletter, request=stands, subscriber=person)


def _line(
    person: Subscriber, act: ConsentAct, newsletter: str, shown: Shown, *, now: datetime, token: str = ""
) -> Consent:
    kept = shown.ip if shown.keep_ip else ""
    return Consent(
        subscriber_id=person.id,
        at=now,
        act=act,
        newsletter=newsletter,
        channel=shown.channel,
        wording=shown.wording,
        language=shown.language,
        form=shown.form,
        token=token,
        ip=kept,
        ip_until=now + shown.keep_ip if kept else None,
    )


def _suppressed(tx: Tx, address: str) -> bool:
    return bool(suppressions.find(tx, [suppressions.key_of(address)]))
