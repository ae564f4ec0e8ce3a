"""How a letter is asked for, in the transaction of what it tells of."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from newsletter.model import NoticeKind, Standing, Subscriber
from newsletter.store import Tx, subscribers


class Send(Protocol):
    """Queues a letter, to `address` when that is another than the person's own.

    False when it is withheld: one of its kind went to the address too short a time ago, or it is suppressed.
    """

    def __call__(
        self,
        tx: Tx,
        kind: NoticeKind,
        subscriber: Subscriber,
        newsletter: str,
        *,
        now: datetime,
        language: str,
        address: str = "",
    ) -> bool: ...


def voice_of(tx: Tx, person: Subscriber) -> str:
    """Return in whose name a letter about all newsletters is written: one that the person knows, empty for none."""
    mine = subscribers.subscriptions_of(tx, [person]).get(person.id, {})
    order = (Standing.ACTIVE, Standing.PAUSED, Standing.PENDING)
    known = [name for wanted in order for name, one in mine.items() if one.standing is wanted]
    return next(iter([*known, *mine]), "")
