"""How a letter is asked for, in the transaction of what it tells of."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from newsletter.model import Subscriber
from newsletter.store import Tx

LINK = "link"  # the link to a person's own preferences, by mail
ADDRESS = "address"  # asks at a new address whether it is theirs


class Send(Protocol):
    """Queues a letter, to `address` when that is another than the person's own.

    False when one of its kind went there too short a time ago.
    """

    def __call__(
        self,
        tx: Tx,
        kind: str,
        subscriber: Subscriber,
        newsletter: str,
        *,
        now: datetime,
        language: str,
        address: str = "",
    ) -> bool: ...
