"""Subscribers, their subscriptions and what they agreed to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Standing(StrEnum):
    """A subscription's state."""

    PENDING = "pending"
    ACTIVE = "active"
    PAUSED = "paused"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A person's address and what they told us; `address` is normalised, `id` 0 before it is stored."""

    address: str
    id: int = 0
    name: str = ""
    language: str = ""
    timezone: str = ""
    created: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscriber's standing with one newsletter."""

    subscriber: Subscriber
    newsletter: str
    standing: Standing
    since: datetime
    paused_until: datetime | None = None


class ConsentAct(StrEnum):
    """What a person did about their consent."""

    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    IMPORTED = "imported"
    CHANGED = "changed"
    WITHDRAWN = "withdrawn"
    ERASED = "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One line of the consent ledger: what a person did, when and through which channel it was noted.

    `detail` tells the circumstances, `wording` the exact words the person was shown, `form` which form or page
    showed them and in which version. `subscriber_id` is None once the person was erased. `ip` is stored only
    together with `ip_until`, the instant from which it is gone.
    """

    subscriber_id: int | None
    at: datetime
    act: ConsentAct
    newsletter: str = ""
    channel: str = ""  # page, one-click, import, command line, bounce, complaint, …
    detail: str = ""
    wording: str = ""
    language: str = ""  # of the wording
    form: str = ""
    token: str = ""  # id of the token that confirmed it
    ip: str = ""
    ip_until: datetime | None = None
    id: int = 0


class SuppressionReason(StrEnum):
    """Why an address must never be written to again."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    REQUEST = "request"
    ERASURE = "erasure"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedReaders:
    """How many subscribers an aggregator says it fetches a feed for."""

    feed: str
    agent: str
    subscribers: int
    seen_at: datetime
