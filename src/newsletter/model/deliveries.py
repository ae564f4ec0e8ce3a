"""Deliveries, messages, and what transports say of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DeliveryState(StrEnum):
    """The true state of one (issue, subscriber)."""

    WAITING = "waiting"
    ATTEMPTING = "attempting"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    SUPPRESSED = "suppressed"
    UNKNOWN = "unknown"


#: The only edges along which a delivery may move.
DELIVERY_EDGES: frozenset[tuple[DeliveryState, DeliveryState]] = frozenset(
    {
        (DeliveryState.WAITING, DeliveryState.ATTEMPTING),
        (DeliveryState.WAITING, DeliveryState.SUPPRESSED),
        (DeliveryState.WAITING, DeliveryState.REFUSED),  # expired, quarantined: never attempted again
        (DeliveryState.ATTEMPTING, DeliveryState.ACCEPTED),
        (DeliveryState.ATTEMPTING, DeliveryState.REFUSED),
        (DeliveryState.ATTEMPTING, DeliveryState.WAITING),
        (DeliveryState.ATTEMPTING, DeliveryState.UNKNOWN),
        (DeliveryState.ACCEPTED, DeliveryState.WAITING),  # presumed only, by the editor's explicit retry
        (DeliveryState.UNKNOWN, DeliveryState.ACCEPTED),
        (DeliveryState.UNKNOWN, DeliveryState.WAITING),
        (DeliveryState.REFUSED, DeliveryState.WAITING),  # the editor's explicit retry
        (DeliveryState.SUPPRESSED, DeliveryState.WAITING),  # likewise, after a mistake was repaired
    }
)


class RefusalReason(StrEnum):
    """Why a delivery is refused for good."""

    REJECTED = "rejected"
    EXPIRED = "expired"
    QUARANTINED = "quarantined"


class Stage(StrEnum):
    """The stage of an SMTP transaction (RFC 5321) in which something happened."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"  # before the final dot was written
    END_OF_DATA = "end-of-data"  # the dot was written, or its reply
    LOCAL = "local"  # not a network transport


class Outcome(StrEnum):
    """What a transport can say of one message; the first four also of every e-mail service we know."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"  # not taken, may be tried again
    REFUSED = "refused"  # never try this recipient again with this message
    UNKNOWN = "unknown"  # the end of data was written and no answer understood
    NOT_SENT = "not-sent"  # certainly not taken, and the recipient is not to blame


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What a digest may know of the person it is rendered for, frozen when the issue is released.

    `revision` says which of the issue's renderings is theirs.
    """

    subscriber_id: int
    address: str
    name: str = ""
    language: str = ""
    timezone: str = ""
    since: datetime | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One (issue, subscriber) row of the ledger."""

    issue_id: int
    reader: Reader
    state: DeliveryState
    attempts: int = 0
    not_before: datetime | None = None
    reason: str = ""
    presumed: bool = False
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The exact bytes of one e-mail and its envelope; `key` names the delivery it belongs to.

    `canonical` is the maker's word that the content is ASCII without NUL, in lines of at most 998 octets that end in
    CRLF and none of which begins with a dot: nothing in it needs a look, or a second dot, on its way.
    """

    key: int
    sender: str
    recipient: str
    content: bytes
    canonical: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a transport said of one message.

    `code` is the SMTP reply code (0 when there was none), `enhanced` the RFC 3463 code (`5.1.1`), `text` the
    reply's text on one line. `suppress` asks that the address never be written to again.
    """

    key: int
    outcome: Outcome
    stage: Stage = Stage.LOCAL
    server: str = ""
    code: int = 0
    enhanced: str = ""
    text: str = ""
    suppress: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One line of a delivery's history: what was tried, or settled, and what was said.

    `stage` is local and `code` 0 where no server spoke (a crash settled, an editor's retry).
    """

    at: datetime
    epoch: int
    outcome: Outcome
    stage: Stage = Stage.LOCAL
    transport: str = ""
    server: str = ""
    code: int = 0
    enhanced: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to deliver one issue, or one batch of `letters`, until somebody raises its epoch."""

    issue_id: int
    newsletter: str
    epoch: int
    letters: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What becomes of one delivery; `attempt` is its new line of history.

    `before` is where it stands now. `charged` is false when the try does not count against the reader. There is no
    `attempt` when it was taken back before anything was tried.
    """

    subscriber_id: int
    state: DeliveryState
    attempt: Attempt | None
    reason: str = ""
    presumed: bool = False
    not_before: datetime | None = None
    charged: bool = True
    before: DeliveryState = DeliveryState.ATTEMPTING

    def __post_init__(self) -> None:
        if (self.before, self.state) not in DELIVERY_EDGES:
            raise ValueError(f"a delivery never goes from {self.before} to {self.state}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The balancing sum of one issue: audience = accepted + refused + suppressed + unknown + waiting.

    `presumed` counts those accepted without the server's own word; `attempting` is zero when nobody delivers.
    `next_at` is the earliest instant before which some who wait may not be tried, None when nobody was put off.
    `per_second` is the present rate, in messages answered, and `deferred` counts tries put off in this run, while
    somebody delivers.
    """

    audience: int
    accepted: int = 0
    presumed: int = 0
    refused: int = 0
    suppressed: int = 0
    unknown: int = 0
    waiting: int = 0
    attempting: int = 0
    next_at: datetime | None = None
    per_second: float = 0.0
    deferred: int = 0

    @property
    def balances(self) -> bool:
        """Whether every member of the audience is in exactly one state."""
        return self.audience == (
            self.accepted + self.refused + self.suppressed + self.unknown + self.waiting + self.attempting
        )
