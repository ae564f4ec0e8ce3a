"""How long a failure rests, and for how long something is tried."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import random

FIRST_REST = timedelta(seconds=30)
LONGEST_REST = timedelta(hours=1)
GIVE_UP = timedelta(days=1)

Jitter = Callable[[], float]  # of 0 to 1


def next_try(
    since: datetime,
    attempts: int,
    *,
    now: datetime,
    retry_after: float | None = None,
    jitter: Jitter = random,
) -> datetime | None:
    """Return when to try again after so many attempts before this one; None when it has been a day.

    The rest doubles, and half of it is chance, so that those who failed together do not come back together.
    What the other side asked for is kept where it is longer.
    """
    if now - since >= GIVE_UP:
        return None
    rest = min(FIRST_REST * (1 << min(attempts, 20)), LONGEST_REST) * (0.5 + jitter() / 2)
    asked = timedelta(seconds=min(retry_after or 0.0, GIVE_UP.total_seconds()))
    return min(now + max(rest, asked), since + GIVE_UP)  # the last try is at the end of the day
