"""The tables, once for SQLite (STRICT) and PostgreSQL.

A change here needs the same change as a revision in `migrations/versions`: a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)

from newsletter.model import (
    BounceDeed,
    BounceKind,
    ConsentAct,
    DeliveryState,
    IssueState,
    NoticeKind,
    Outcome,
    Placement,
    PushMode,
    SlotState,
    Stage,
    Standing,
    SuppressionReason,
)
from newsletter.store.addresstables import (
    address_changes as address_changes,
)
from newsletter.store.addresstables import (
    former_addresses as former_addresses,
)
from newsletter.store.addresstables import (
    limits as limits,
)
from newsletter.store.apitables import (
    api_failures as api_failures,
)
from newsletter.store.apitables import (
    api_idempotency as api_idempotency,
)
from newsletter.store.apitables import (
    api_keys as api_keys,
)
from newsletter.store.apitables import (
    webhook_events as webhook_events,
)
from newsletter.store.apitables import (
    webhooks as webhooks,
)
from newsletter.store.columns import BIG, Instant, Json
from newsletter.store.columns import METADATA as METADATA
from newsletter.store.columns import count as _count
from newsletter.store.columns import first as _first
from newsletter.store.columns import flag as _flag
from newsletter.store.columns import numbered as _numbered
from newsletter.store.columns import table as _table
from newsletter.store.columns import text as _text
from newsletter.store.columns import word as _word
from newsletter.store.posttables import (
    former_words as former_words,
)
from newsletter.store.posttables import (
    pictures as pictures,
)
from newsletter.store.posttables import (
    post_authors as post_authors,
)
from newsletter.store.posttables import (
    post_citations as post_citations,
)
from newsletter.store.posttables import (
    post_corrections as post_corrections,
)
from newsletter.store.posttables import (
    post_enclosures as post_enclosures,
)
from newsletter.store.posttables import (
    post_images as post_images,
)
from newsletter.store.posttables import (
    post_origins as post_origins,
)
from newsletter.store.posttables import (
    post_references as post_references,
)
from newsletter.store.posttables import (
    post_tags as post_tags,
)
from newsletter.store.posttables import (
    posts as posts,
)
from newsletter.store.posttables import (
    quarantine as quarantine,
)
from newsletter.store.posttables import (
    sources as sources,
)

#: Facts of this store itself: `instance` (random id), `machine` (where it lies), `restored_from`, …
meta = _table("meta", Column("key", Text, primary_key=True), _text("value"))


# Newsletters, slots, issues, and the (newsletter, post) ledger

newsletters = _table(
    "newsletters",
    Column("name", Text, primary_key=True),
    Column("began", Instant, nullable=False),  # slots before this instant are not ours
    _count("last_number"),
)
slots = _table(
    "slots",
    _text("newsletter", None),
    Column("due", Instant, nullable=False),
    *_word("state", SlotState),
    Column("claimed_at", Instant, nullable=False),
    Column("issue_id", BIG),
    _text("note"),
    PrimaryKeyConstraint("newsletter", "due"),
)
issues = _numbered(
    "issues",
    Column("id", BIG, primary_key=True, autoincrement=True),
    _text("newsletter", None),
    Column(
        "number", Integer, nullable=False
    ),  # from 1; below 0 it is a batch of letters, which no list shows
    Column("due", Instant, nullable=False),
    *_word("state", IssueState),
    _text("subject"),
    Column("dated", Instant, nullable=False),
    _text("html"),
    _text("frozen"),
    _text("intro_html"),
    _text("sha256"),
    Column("composed_at", Instant, nullable=False),
    Column("approved_at", Instant),
    Column("released_at", Instant),
    Column("finished_at", Instant),
    _count("audience"),
    Column("epoch", BIG, nullable=False, server_default="0"),
    _text("owner"),
    _text("reason"),
    _count("wave"),  # the newest that is open
    Column("opens_at", Instant),  # when the next one opens by itself
    _first("revision"),  # of the rendering; raised by a correction
    Column("corrected_at", Instant),
    Column("held_until", Instant),  # when a pause ends by itself
    UniqueConstraint("newsletter", "number"),
    Index("ix_issues_state", "state"),
)
#: Renderings that a correction replaced, for messages in doubt that are sent again. `note` says what the next changed.
issue_revisions = _table(
    "issue_revisions",
    Column("issue_id", BIG, ForeignKey("issues.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    _text("subject"),
    _text("html"),
    _text("frozen"),
    _text("intro_html"),
    _text("sha256"),
    Column("made_at", Instant, nullable=False),
    _text("note"),
    PrimaryKeyConstraint("issue_id", "revision"),
)
issue_posts = _table(
    "issue_posts",
    Column("issue_id", BIG, ForeignKey("issues.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("post_seq", BIG, ForeignKey("posts.seq"), nullable=False),
    *_word("placement", Placement),
    Column("post_updated", Instant, nullable=False),  # the version that was sent
    PrimaryKeyConstraint("issue_id", "position"),
    UniqueConstraint("issue_id", "post_seq"),
)
newsletter_posts = _table(
    "newsletter_posts",
    _text("newsletter", None),
    Column("post_seq", BIG, ForeignKey("posts.seq"), nullable=False),
    *_word("placement", Placement),
    Column("issue_id", BIG),
    Column("told_updated", Instant, nullable=False),  # the newest version a reader has been told of
    Column("at", Instant, nullable=False),
    _text("reason"),
    PrimaryKeyConstraint("newsletter", "post_seq"),
)

#: What aggregators tell in their User-Agents: the newest number for each feed.
feed_readers = _table(
    "feed_readers",
    _text("feed", None),
    _text("agent", None),
    Column("subscribers", BIG, nullable=False),
    Column("seen_at", Instant, nullable=False),
    PrimaryKeyConstraint("feed", "agent"),
)

# Subscribers

subscribers = _numbered(
    "subscribers",
    Column("id", BIG, primary_key=True, autoincrement=True),
    _text("address"),
    Column("address_key", Text, nullable=False, unique=True),  # case-folded: two spellings are one person
    _text("name"),
    _text("language"),
    _text("timezone"),
    Column("created", Instant, nullable=False),
    _first("feed_generation"),  # of the address of their own feed; raised to revoke the one before
)
subscriptions = _table(
    "subscriptions",
    Column("subscriber_id", BIG, ForeignKey("subscribers.id", ondelete="CASCADE"), nullable=False),
    _text("newsletter", None),
    *_word("standing", Standing),
    Column("since", Instant, nullable=False),
    Column("paused_until", Instant),
    PrimaryKeyConstraint("subscriber_id", "newsletter"),
    Index("ix_subscriptions_newsletter", "newsletter", "standing", "subscriber_id"),
)
consents = _numbered(
    "consents",
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("subscriber_id", BIG),
    Column("at", Instant, nullable=False),
    *_word("act", ConsentAct),
    _text("newsletter"),
    _text("channel"),  # page, one-click, mailto, import, command line, …
    _text("detail"),
    _text("wording"),  # hash of the exact words shown
    _text("previous"),
    _text("hash"),
    *(_text(name) for name in ("language", "form", "token", "ip_seal")),
    Index("ix_consents_subscriber_id", "subscriber_id"),
)
wordings = _table("wordings", Column("hash", Text, primary_key=True), _text("text"))
#: Addresses of computers, which expire; the ledger's line seals one by a salted hash.
consent_ips = _table(
    "consent_ips",
    Column("consent_id", BIG, primary_key=True, autoincrement=False),
    _text("ip"),
    _text("salt"),
    Column("until", Instant, nullable=False),
)
suppressions = _table(
    "suppressions",
    Column("address_hash", Text, primary_key=True),  # keyed: erasing a person leaves only this
    Column("address", Text),
    *_word("reason", SuppressionReason),
    Column("at", Instant, nullable=False),
    _text("note"),
)

# Deliveries: the ledger. No foreign key to subscribers: erasing a person keeps the count.

deliveries = _table(
    "deliveries",
    Column("issue_id", BIG, ForeignKey("issues.id"), nullable=False),
    Column("subscriber_id", BIG, nullable=False),
    _text("address"),
    _text("name"),
    _text("language"),
    _text("timezone"),
    Column("since", Instant),
    *_word("state", DeliveryState, DeliveryState.WAITING.value),
    _text("reason"),
    _flag("presumed"),
    Column("epoch", BIG, nullable=False, server_default="0"),
    _count("attempts"),
    Column("not_before", Instant),
    _count("wave"),  # 0 the canary, or everybody; due when its issue's wave has come to it
    Column("due_at", Instant),  # when this reader's turn comes; from the release on when there is none
    Column("changed_at", Instant, nullable=False),
    _first("revision"),  # of the issue's rendering that this reader gets, or got
    PrimaryKeyConstraint("issue_id", "subscriber_id"),
    Index(
        "ix_deliveries_open",
        "issue_id",
        "subscriber_id",
        sqlite_where=text("state IN ('waiting', 'attempting')"),
        postgresql_where=text("state IN ('waiting', 'attempting')"),
    ),
    Index("ix_deliveries_subscriber_id", "subscriber_id"),
)
attempts = _table(
    "attempts",
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("issue_id", BIG, nullable=False),
    Column("subscriber_id", BIG, nullable=False),
    Column("epoch", BIG, nullable=False),
    Column("at", Instant, nullable=False),
    _text("transport"),
    _text("server"),
    *_word("stage", Stage),
    *_word("outcome", Outcome),
    _count("code"),
    _text("enhanced"),
    _text("text"),
    Index("ix_attempts_issue_id", "issue_id", "subscriber_id"),
)

#: Letters, queued and sent: an `issue_id` is the batch, an issue with a number below 0, that one was put into.
letters = _numbered(
    "letters",
    Column("id", BIG, primary_key=True, autoincrement=True),
    _text("newsletter", None),
    Column("subscriber_id", BIG, nullable=False),
    *_word("kind", NoticeKind),
    _text("address"),  # a new one; otherwise it goes to the subscriber's own
    _text("address_hash"),  # of where it goes, by the key of the suppressions
    _text("language"),
    *(Column(name, Instant, nullable=False) for name in ("asked_at", "expires_at")),
    Column("issue_id", BIG),
    Index("ix_letters_issue_id", "issue_id", "subscriber_id"),
    *(Index(f"ix_letters_{name}", name) for name in ("subscriber_id", "address_hash")),
)
#: How many letters an address asked for, of each kind, and when the next may go.
letter_limits = _table(
    "letter_limits",
    _text("address_hash", None),
    *_word("kind", NoticeKind),
    _count("asked"),
    Column("next_at", Instant, nullable=False),
    PrimaryKeyConstraint("address_hash", "kind"),
)

# WebSub: what was last announced of each feed, what hubs are still to be told, and our own hub's subscribers

websub_topics = _table(
    "websub_topics",
    Column("topic", Text, primary_key=True),
    *(Column(name, BIG, nullable=False) for name in ("size", "modified")),  # modified: nanoseconds
    _text("sha256"),
)
websub_notices = _table(
    "websub_notices",
    *(_text(name, None) for name in ("hub", "topic", "sha256")),
    Column("since", Instant, nullable=False),
    Column("next_at", Instant),  # none: given up
    _count("attempts"),
    _text("failure"),
    PrimaryKeyConstraint("hub", "topic"),
)
websub_requests = _numbered(
    "websub_requests",
    Column("id", BIG, primary_key=True, autoincrement=True),
    *_word("mode", PushMode),
    *(_text(name) for name in ("topic", "callback", "host", "secret")),
    Column("lease", Integer, nullable=False),  # seconds
    *(Column(name, Instant, nullable=False) for name in ("since", "next_at")),
    _count("attempts"),
    Index("ix_websub_requests_host", "host"),
)
websub_subscriptions = _numbered(
    "websub_subscriptions",
    Column("id", BIG, primary_key=True, autoincrement=True),
    *(_text(name) for name in ("topic", "callback", "host", "secret", "sha256")),  # of what was last taken
    *(Column(name, Instant, nullable=False) for name in ("created", "expires_at")),
    *(Column(name, Instant) for name in ("since", "next_at", "served_at")),  # since: what waits, if anything
    _count("attempts"),
    _text("failure"),
    UniqueConstraint("callback", "topic"),
    *(Index(f"ix_websub_subscriptions_{name}", name) for name in ("host", "topic", "next_at")),
)
#: What came back. No address, and of a server's words none that names anybody; `digest` knows a report again.
bounces = _numbered(
    "bounces",
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    *_word("kind", BounceKind),
    *[_text(name) for name in ("status", "reason", "said", "matched")],
    _flag("forged"),
    Column("issue_id", BIG),
    Column("subscriber_id", BIG),
    *_word("deed", BounceDeed),
    _text("note"),
    Column("before", Json, nullable=False, server_default="{}"),  # standings, for the editor's undo
    Index("ix_bounces_subscriber_id", "subscriber_id"),
)
