"""Letters about a subscription itself, queued in the transaction of what they tell of."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from newsletter.model import Subscriber
from newsletter.store import Tx, meta

_WAIT = timedelta(minutes=10)
_KEY = "letters"  # the thinnest queue that there can be: one fact of the store


def request(
    tx: Tx,
    kind: str,
    subscriber: Subscriber,
    newsletter: str,
    *,
    now: datetime,
    language: str = "",
    address: str = "",
) -> bool:
    """Queue a letter, False when one of its kind went to the address too short a time ago."""
    queue, to = queued(tx), address or subscriber.address
    mine = [one for one in queue if (one["kind"], one["address"]) == (str(kind), to)]
    if mine and now < datetime.fromisoformat(mine[-1]["at"]) + _WAIT * 2 ** (len(mine) - 1):
        return False
    letter = {
        "kind": str(kind),
        "id": str(subscriber.id),
        "address": to,
        "newsletter": newsletter,
        "language": language,
        "at": now.isoformat(),
    }
    meta.put(tx, _KEY, json.dumps([*queue, letter]))
    return True


def queued(tx: Tx) -> list[dict[str, str]]:
    """Return what was queued, the oldest first."""
    told: list[dict[str, str]] = json.loads(meta.get(tx, _KEY, "[]"))
    return told
