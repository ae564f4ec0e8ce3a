"""Push of feeds (WebSub): what hubs are to be told, and who subscribed at our own."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class PushMode(StrEnum):
    """What a callback is asked, or told."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    DENIED = "denied"  # there is no such topic here


@dataclass(frozen=True, slots=True, kw_only=True)
class HubNotice:
    """A feed whose change a hub has not been told of; `next_at` is none when that was given up."""

    hub: str
    topic: str
    sha256: str
    since: datetime
    next_at: datetime | None
    attempts: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    """A wish of somebody who named a callback, which has yet to say that it is its own; `lease` in seconds."""

    id: int
    mode: PushMode
    topic: str
    callback: str
    host: str
    lease: int
    since: datetime
    next_at: datetime
    secret: str = field(default="", repr=False)
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSubscription:
    """A callback that is sent a topic's document whenever it changes, until the lease ends.

    `since` and `next_at` are set while something waits for it; `sha256` is of what it took last.
    """

    id: int
    topic: str
    callback: str
    host: str
    created: datetime
    expires_at: datetime
    secret: str = field(default="", repr=False)
    sha256: str = ""
    since: datetime | None = None
    next_at: datetime | None = None
    attempts: int = 0
    failure: str = ""
    served_at: datetime | None = None
