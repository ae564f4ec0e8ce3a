"""Tables of the API and of webhooks."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, Text

from newsletter.model import EventKind
from newsletter.store.columns import BIG, Instant, Json, count, numbered, table, text, word

#: `hash` is SHA-256 over the whole token, which is stored nowhere; `last_used` is a day.
api_keys = numbered(
    "api_keys",
    Column("id", BIG, primary_key=True, autoincrement=True),
    *(Column(name, Text, nullable=False, unique=True) for name in ("name", "prefix")),
    text("hash", None),
    Column("scopes", Json, nullable=False),
    Column("created", Instant, nullable=False),
    *(Column(name, Instant) for name in ("expires_at", "revoked_at", "last_used")),
)
#: Tokens that were wrong, by their prefix.
api_failures = table(
    "api_failures",
    Column("prefix", Text, primary_key=True),
    count("failures"),
    Column("at", Instant, nullable=False),
)
#: Answers that were given, to be given again. One that tells of a person goes with the person.
api_idempotency = table(
    "api_idempotency",
    Column("key_id", BIG, ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
    *(text(name, None) for name in ("word", "request")),  # request: a hash over it
    Column("status", Integer, nullable=False),
    Column("headers", Json, nullable=False),
    text("body"),
    Column("subscriber_id", BIG),
    Column("expires_at", Instant, nullable=False),
    PrimaryKeyConstraint("key_id", "word"),
    *(Index(f"ix_api_idempotency_{name}", name) for name in ("expires_at", "subscriber_id")),
)
#: The configured ones, so that whoever changes something knows whom to tell.
webhooks = table(
    "webhooks",
    Column("url", Text, primary_key=True),
    Column("events", Json, nullable=False),
    count("told"),
    Column("told_at", Instant),
)
webhook_events = numbered(
    "webhook_events",
    Column("id", BIG, primary_key=True, autoincrement=True),
    *(text(name, None) for name in ("event", "url")),
    *word("kind", EventKind),
    Column("at", Instant, nullable=False),
    text("body", None),
    Column("next_at", Instant),  # none: given up
    count("attempts"),
    text("failure"),
    Index("ix_webhook_events_url", "url", "next_at"),
)
