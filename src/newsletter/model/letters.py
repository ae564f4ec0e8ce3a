"""Letters: the short mails about a subscription itself, one person's each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from newsletter.model.deliveries import DeliveryState


class NoticeKind(StrEnum):
    """What a notice, or the letter that carries it, is for."""

    CONFIRMATION = "confirmation"
    WELCOME = "welcome"
    GOODBYE = "goodbye"
    LINK = "link"  # to the page of preferences, asked for without an old issue at hand
    ADDRESS = "address"  # to a new address, which confirms itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One letter, as it was asked for and as it stands in the ledger.

    `address` is where it goes, `address_hash` that under the store's key. `issue_id` is the batch that it was put
    into: 0, and no `state`, while it is queued.
    """

    id: int
    newsletter: str
    subscriber_id: int
    kind: NoticeKind
    address: str
    address_hash: str
    asked_at: datetime
    expires_at: datetime
    language: str = ""
    issue_id: int = 0
    state: DeliveryState | None = None
    reason: str = ""
    not_before: datetime | None = None
