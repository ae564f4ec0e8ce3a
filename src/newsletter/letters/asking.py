"""Asking for a letter: who may be sent one, and how often."""

from __future__ import annotations

from datetime import datetime, timedelta

from newsletter.model import Letter, NoticeKind, Subscriber
from newsletter.store import Tx, suppressions
from newsletter.store import letters as stored

#: How long a letter is worth sending: what it leads to is stale by then.
LIFETIME = timedelta(days=7)
#: The kinds that anybody may have sent to any address, by typing it.
ASKED_FOR = frozenset({NoticeKind.CONFIRMATION, NoticeKind.LINK, NoticeKind.ADDRESS})


def request(
    tx: Tx,
    kind: NoticeKind,
    subscriber: Subscriber,
    newsletter: str,
    *,
    now: datetime,
    language: str = "",
    address: str = "",
) -> bool:
    """Queue one letter in this transaction; False when it is withheld.

    `address` is the new one that an ADDRESS letter goes to, and belongs to no other kind. Withheld is whatever would
    go to a suppressed address, a letter that waits already, and one of a kind that anybody may ask for while the
    last to that address is not 10 minutes old, then 20, 40, … up to a day. Whether what it tells still holds is looked
    at when it is sent: a confirmation goes to who is not subscribed, a welcome to who is, a goodbye to who has left.
    """
    if (kind is NoticeKind.ADDRESS) != bool(address):
        raise ValueError(
            f"a letter of the kind {kind} {'has no' if address else 'needs an'} address of its own"
        )
    to = address or subscriber.address
    key = suppressions.key_of(to)
    if suppressions.find(tx, [key]):
        return False
    hashed = suppressions.hash_of(tx, to)
    if stored.is_queued(tx, subscriber.id, newsletter, kind, hashed):
        return False
    if kind in ASKED_FOR and not stored.grant(tx, hashed, kind, now=now):
        return False
    letter = Letter(
        id=0,
        newsletter=newsletter,
        subscriber_id=subscriber.id,
        kind=kind,
        address=to,
        address_hash=hashed,
        language=language,
        asked_at=now,
        expires_at=now + LIFETIME,
    )
    stored.add(tx, letter, own=not address)
    return True
