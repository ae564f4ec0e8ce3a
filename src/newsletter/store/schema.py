"""The tables, once for SQLite (STRICT) and PostgreSQL.

A change here needs the same change as a revision in `migrations/versions`: a test compares the two.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from newsletter.model import (
    ConsentAct,
    DeliveryState,
    IssueState,
    Outcome,
    Placement,
    SlotState,
    Stage,
    Standing,
    SuppressionReason,
)
from newsletter.store.columns import BIG, Flag, Instant, Json, Word

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, *items: Any) -> Table:
    return Table(name, METADATA, *items, sqlite_strict=True)


def _numbered(name: str, *items: Any) -> Table:
    """Declare a table whose ids are given once: a deleted row's id never comes back, on SQLite either."""
    return Table(name, METADATA, *items, sqlite_strict=True, sqlite_autoincrement=True)


def _text(name: str, default: str | None = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _word(name: str, enumeration: type[StrEnum], default: str | None = None) -> list[Any]:
    allowed = ", ".join(f"'{member.value}'" for member in enumeration)
    return [
        Column(name, Word(enumeration), nullable=False, server_default=default),
        CheckConstraint(f"{name} IN ({allowed})", name=name),
    ]


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _first(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="1")


def _flag(name: str) -> Column[bool]:
    return Column(name, Flag, nullable=False, server_default="0")


#: Facts of this store itself: `instance` (random id), `machine` (where it lies), `restored_from`, …
meta = _table("meta", Column("key", Text, primary_key=True), _text("value"))

# Posts and what hangs on them. `state`: live, held (published in the future), hidden, deleted.
posts = _numbered(
    "posts",
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    _text("source"),
    _text("source_key"),
    _text("title"),
    Column("published", Instant, nullable=False),
    Column("updated", Instant, nullable=False),
    _text("body_html"),
    _text("summary"),
    _text("url"),
    _text("slug"),
    _flag("own_page"),
    _text("language"),
    Column("content_note", Text),
    _flag("note_shows_title"),
    _flag("minor"),
    _count("word_count"),
    _flag("date_only"),
    Column("dropped", Json, nullable=False, server_default="[]"),
    _text("fingerprint"),  # of the text that makes a change significant
    Column("state", Text, nullable=False, server_default="live"),
    Column("first_seen", Instant, nullable=False),
    Column("deleted_at", Instant),
    CheckConstraint("state IN ('live', 'held', 'hidden', 'deleted')", name="state"),
    Index("ix_posts_url", "url"),
    Index("ix_posts_fingerprint", "fingerprint"),
    Index("ix_posts_published", "published", "seq"),
)

#: Every (source, key) that ever named a post: several sources may tell of one. `digest` is of the whole item.
post_origins = _table(
    "post_origins",
    _text("source", None),
    _text("source_key", None),
    Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
    _text("digest"),
    Column("seen_at", Instant, nullable=False),
    PrimaryKeyConstraint("source", "source_key"),
    Index("ix_post_origins_post_seq", "post_seq"),
)


def _hanging(name: str, *columns: Column[Any]) -> Table:
    return _table(
        name,
        Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
        Column("position", Integer, nullable=False),
        *columns,
        PrimaryKeyConstraint("post_seq", "position"),
    )


post_authors = _hanging("post_authors", _text("name"), _text("uri"), _text("email"))
post_tags = _hanging("post_tags", _text("tag"))
post_images = _hanging(
    "post_images",
    _text("src"),
    _text("alt"),
    _text("caption"),
    _text("credit"),
    _count("width"),
    _count("height"),
    _text("media_type"),
    _text("small"),
    _text("large"),
    _text("sha256"),
    _count("size"),
    _flag("lead"),
)
post_citations = _hanging(
    "post_citations",
    _text("text"),
    _text("url"),
    _text("title"),
    _text("author"),
    _text("publisher"),
    _text("place"),
    _text("kind"),
    _text("date"),
)
post_references = _hanging(
    "post_references", _text("url"), _text("title"), _text("relation"), _text("post_id")
)
post_enclosures = _hanging(
    "post_enclosures",
    _text("url"),
    _text("media_type"),
    Column("length", BIG, nullable=False),
    _text("title"),
)
post_corrections = _hanging("post_corrections", Column("when", Instant, nullable=False), _text("text"))

# Sources

sources = _table(
    "sources",
    Column("name", Text, primary_key=True),
    Column("state", Json, nullable=False, server_default="{}"),  # ETag, Last-Modified, seen folder times, …
    Column("checked_at", Instant),
    _text("failure"),
)
quarantine = _table(
    "quarantine",
    _text("source", None),
    _text("source_key", None),
    _text("where"),
    _text("reason"),
    _text("remedy"),
    _text("excerpt"),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    PrimaryKeyConstraint("source", "source_key"),
)

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
    Column("number", Integer, nullable=False),
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
