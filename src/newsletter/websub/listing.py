"""What an editor sees and does: notices that wait, subscriptions without their secrets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from newsletter.errors import InputError
from newsletter.model import HubNotice
from newsletter.store import Store
from newsletter.store import websub as stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One subscription at our hub; `waiting_since` is when the document changed that it has not taken yet."""

    id: int
    topic: str
    callback: str
    signed: bool
    created: datetime
    expires_at: datetime
    served_at: datetime | None
    waiting_since: datetime | None
    next_at: datetime | None
    attempts: int
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What hubs are still to be told, and who is subscribed at our own; `requests` wait to be verified."""

    notices: tuple[HubNotice, ...]
    subscriptions: tuple[Line, ...]
    requests: int


def overview(store: Store) -> Overview:
    """Return what there is."""
    with store.read() as tx:
        found = stored.subscriptions(tx)
        _, requests = stored.waiting(tx, "")
        notices = stored.notices(tx)
    lines = [
        Line(
            id=one.id,
            topic=one.topic,
            callback=one.callback,
            signed=bool(one.secret),
            created=one.created,
            expires_at=one.expires_at,
            served_at=one.served_at,
            waiting_since=one.since,
            next_at=one.next_at,
            attempts=one.attempts,
            failure=one.failure,
        )
        for one in found
    ]
    return Overview(notices=tuple(notices), subscriptions=tuple(lines), requests=requests)


def try_again(store: Store, *, now: datetime) -> None:
    """Let all that waits, or was given up, be tried at once."""
    with store.write() as tx:
        stored.tell_again(tx, now=now)


def remove(store: Store, subscription_id: int) -> None:
    """End a subscription; raises InputError when there is none."""
    with store.write() as tx:
        if not stored.remove(tx, subscription_id):
            raise InputError(
                f"there is no subscription {subscription_id}", remedy="See: newsletter websub list"
            )
