"""Events that webhooks tell of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    """What a webhook may be told of."""

    SUBSCRIBER_CONFIRMED = "subscriber.confirmed"
    SUBSCRIBER_UNSUBSCRIBED = "subscriber.unsubscribed"
    SUBSCRIBER_SUPPRESSED = "subscriber.suppressed"
    SUBSCRIBER_ERASED = "subscriber.erased"
    ISSUE_COMPOSED = "issue.composed"
    ISSUE_RELEASED = "issue.released"
    ISSUE_FINISHED = "issue.finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """One event for one webhook; `event` is the same for all webhooks, `body` the exact text that is sent.

    `next_at` is None once it was given up.
    """

    id: int
    event: str
    url: str
    kind: EventKind
    at: datetime
    body: str
    next_at: datetime | None
    attempts: int
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookState:
    """How a webhook stands: `waiting` counts events that are still to be told, `given_up` those that are not."""

    url: str
    events: tuple[EventKind, ...]
    told: int
    told_at: datetime | None
    waiting: int
    given_up: int
    failure: str
