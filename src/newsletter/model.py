"""The nouns: frozen values that every other module speaks in.

Instants are aware datetimes in UTC. Texts are plain text unless the field's name ends in `html`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who wrote a post: a name or handle, perhaps with a home page. `email` is never published by default."""

    name: str
    uri: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture in a post.

    `src` is the absolute URL that appears in the body. `width` and `height` are CSS pixels, 0 when unknown.
    `small` and `large` are file names under `media/` of the resized copies (at most 600 and 1,200 px wide),
    empty for a picture that was not copied. `sha256` is the original's, in hex;
    `size` is the large copy's, in bytes.
    """

    src: str
    alt: str = ""
    caption: str = ""
    credit: str = ""
    width: int = 0
    height: int = 0
    media_type: str = ""
    small: str = ""
    large: str = ""
    sha256: str = ""
    size: int = 0
    lead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A quoted or cited work; `text` is the whole citation as the reader sees it."""

    text: str
    url: str = ""
    title: str = ""
    author: str = ""
    publisher: str = ""
    place: str = ""
    kind: str = ""
    date: str = ""


class Relation(StrEnum):
    """How a post refers to an earlier own post; the last two become `thr:in-reply-to` (RFC 4685)."""

    RELATED = "related"
    FOLLOW_UP = "follow-up"
    CORRECTION = "correction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A link to an earlier own post, by its canonical URL; `post_id` is filled when the store knows it."""

    url: str
    title: str = ""
    relation: Relation = Relation.RELATED
    post_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosure:
    """A file attached to a post; `length` in bytes, 0 when unknown."""

    url: str
    media_type: str
    length: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What was put right in a post after it was published."""

    when: datetime
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentNote:
    """A warning said before anything else of a post; the title is shown only when the note allows it."""

    text: str
    show_title: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One article, the same in every feed, digest and page.

    `source` and `source_key` say where it came from and how that source names it (path, entry id, guid).
    `id` is the Atom id: a source fills it only with a valid absolute id of the post's own, else it is empty
    and minted once at first sight. `seq` is the order of first sight, 0 before the store has seen the post.
    `body_html` is sanitised, with absolute URLs. `url` is the canonical page, empty when only `slug` is
    known (the page is then ours, at `posts/SLUG/`). `own_page` is true when publishing must write that page.
    `date_only` is true when the source gave no time of day.
    """

    source: str
    source_key: str
    title: str
    published: datetime
    updated: datetime
    body_html: str
    summary: str
    id: str = ""
    seq: int = 0
    url: str = ""
    slug: str = ""
    own_page: bool = False
    language: str = ""
    authors: tuple[Author, ...] = ()
    tags: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()
    citations: tuple[Citation, ...] = ()
    references: tuple[Reference, ...] = ()
    enclosures: tuple[Enclosure, ...] = ()
    corrections: tuple[Correction, ...] = ()
    content_note: ContentNote | None = None
    minor: bool = False
    word_count: int = 0
    date_only: bool = False
    dropped: tuple[str, ...] = ()  # what the pipeline could not keep, in words an editor understands


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An item a source could not turn into a post; it waits in quarantine with its reason.

    `where` is the file or URL, with `:LINE` behind it where there is one; `excerpt` the offending line.
    """

    source: str
    source_key: str
    where: str
    reason: str
    remedy: str = ""
    excerpt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """A post that was withdrawn: what a tombstone (RFC 6721) needs."""

    id: str
    when: datetime
    url: str = ""
    title: str = ""


# Newsletters, slots, issues


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One instant at which a newsletter is due."""

    newsletter: str
    due: datetime


class SlotState(StrEnum):
    """What became of a slot."""

    CLAIMED = "claimed"  # taken by one process, its issue not yet composed
    COMPOSED = "composed"
    EMPTY = "empty"  # nothing to send: said, and settled
    HELD = "held"  # later than its maximum lateness: waits for the editor
    MISSED = "missed"  # passed over by the catch-up policy


class IssueState(StrEnum):
    """Where an issue stands; FINISHED only when nothing waits and the sum balances."""

    COMPOSED = "composed"  # frozen, its audience not yet fixed
    APPROVED = "approved"  # may be released
    RELEASED = "released"  # audience frozen, being delivered
    HELD = "held"  # stopped by the editor or by a fault, resumable
    FINISHED = "finished"


class Placement(StrEnum):
    """Why a post stands in the (newsletter, post) ledger."""

    INCLUDED = "included"
    CORRECTION = "correction"  # sent before, corrected since: in the Corrections section
    SKIPPED = "skipped"  # explicitly never to be sent (backlog before the newsletter began, editor's word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One numbered sending of a newsletter, frozen when composed.

    `html` and `text` are the compiled digest with its slots unfilled, `sha256` the hash over everything that
    was frozen. `dated` is the Date of every message. `intro_html` is the pinned introduction.
    """

    newsletter: str
    number: int
    due: datetime
    state: IssueState
    subject: str
    dated: datetime
    html: str
    text: str
    sha256: str
    id: int = 0
    intro_html: str = ""
    post_ids: tuple[str, ...] = ()
    correction_ids: tuple[str, ...] = ()
    composed_at: datetime | None = None
    released_at: datetime | None = None
    finished_at: datetime | None = None
    epoch: int = 0
    reason: str = ""  # why it is held


# Subscribers


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

    `detail` tells the circumstances, `wording` the exact words the person was shown. `subscriber_id` is None
    once the person was erased.
    """

    subscriber_id: int | None
    at: datetime
    act: ConsentAct
    newsletter: str = ""
    channel: str = ""  # page, one-click, import, command line, bounce, complaint, …
    detail: str = ""
    wording: str = ""
    id: int = 0


class SuppressionReason(StrEnum):
    """Why an address must never be written to again."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    REQUEST = "request"
    ERASURE = "erasure"


# Deliveries


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
    """What a digest may know of the person it is rendered for, frozen when the issue is released."""

    subscriber_id: int
    address: str
    name: str = ""
    language: str = ""
    timezone: str = ""
    since: datetime | None = None


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
    """The exact bytes of one e-mail and its envelope; `key` names the delivery it belongs to."""

    key: int
    sender: str
    recipient: str
    content: bytes


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
class Account:
    """The balancing sum of one issue: audience = accepted + refused + suppressed + unknown + waiting.

    `presumed` counts those accepted without the server's own word; `attempting` is zero when nobody delivers.
    `next_at` is the earliest instant before which some who wait may not be tried, None when nobody was put off.
    `per_second` is the present rate, in messages answered, while somebody delivers.
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

    @property
    def balances(self) -> bool:
        """Whether every member of the audience is in exactly one state."""
        return self.audience == (
            self.accepted + self.refused + self.suppressed + self.unknown + self.waiting + self.attempting
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found: in which document, where in it, by which rule, and what to do."""

    where: str
    place: str
    rule: str
    remedy: str
    error: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherReport:
    """What one gathering of one source did; `held` are posts dated in the future."""

    source: str
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: int = 0
    held: tuple[str, ...] = ()
    quarantined: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = field(default=())
    failed: str = ""  # the source as a whole could not be read
