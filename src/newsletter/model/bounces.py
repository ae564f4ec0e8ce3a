"""Bounces and complaints: what came back, and what we make of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BounceKind(StrEnum):
    """What a report says of an address."""

    HARD = "hard"  # nobody can be reached there
    SOFT = "soft"  # not this time: full, too big, expired
    OURS = "ours"  # our server, sender or content is not wanted: never the reader's fault
    COMPLAINT = "complaint"
    AUTO_REPLY = "auto-reply"
    UNCLASSIFIED = "unclassified"  # not understood: shown, and never acts


class BounceDeed(StrEnum):
    """What followed from a report."""

    NOTHING = "nothing"
    COUNTED = "counted"  # towards the second or third that suppresses
    SUPPRESSED = "suppressed"
    UNSUBSCRIBED = "unsubscribed"
    UNDONE = "undone"  # by the editor's word


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """One report as it is kept: no address and no text of a message, only whom of ours it is about.

    `matched` says by what it was matched (token, envelope id, recipient, message-id, unsubscribe), `forged` that it
    bore a token which is not ours. `recorded` is false when the same report had come before.
    """

    id: int
    at: datetime
    kind: BounceKind
    status: str = ""
    reason: str = ""
    matched: str = ""
    forged: bool = False
    issue_id: int | None = None
    subscriber_id: int | None = None
    deed: BounceDeed = BounceDeed.NOTHING
    note: str = ""
    said: str = ""
    recorded: bool = True
