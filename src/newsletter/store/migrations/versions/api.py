"""Keys of the API, answers kept to be given again, and the outbox of webhooks."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0010"
down_revision = "0009"

BIG = BigInteger().with_variant(Integer, "sqlite")
INSTANT = Text().with_variant(TIMESTAMP(timezone=True), "postgresql")
NUMBERED = {"sqlite_strict": True, "sqlite_autoincrement": True}
KINDS = (
    "'subscriber.confirmed', 'subscriber.unsubscribed', 'subscriber.suppressed', 'subscriber.erased', "
    "'issue.composed', 'issue.released', 'issue.finished'"
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "api_keys",
        Column("id", BIG, primary_key=True, autoincrement=True),
        *(Column(name, Text, nullable=False) for name in ("name", "prefix", "hash", "scopes")),
        Column("created", INSTANT, nullable=False),
        *(Column(name, INSTANT) for name in ("expires_at", "revoked_at", "last_used")),
        UniqueConstraint("name"),
        UniqueConstraint("prefix"),
        **NUMBERED,
    )
    op.create_table(
        "api_failures",
        Column("prefix", Text, primary_key=True),
        Column("failures", Integer, nullable=False, server_default="0"),
        Column("at", INSTANT, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "api_idempotency",
        Column("key_id", BIG, ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
        *(Column(name, Text, nullable=False) for name in ("word", "request")),
        Column("status", Integer, nullable=False),
        Column("headers", Text, nullable=False),
        Column("body", Text, nullable=False, server_default=""),
        Column("subscriber_id", BIG),
        Column("expires_at", INSTANT, nullable=False),
        PrimaryKeyConstraint("key_id", "word"),
        *(Index(f"ix_api_idempotency_{name}", name) for name in ("expires_at", "subscriber_id")),
        sqlite_strict=True,
    )
    of_webhooks()


def of_webhooks() -> None:
    """Make the tables of webhooks."""
    op.create_table(
        "webhooks",
        Column("url", Text, primary_key=True),
        Column("events", Text, nullable=False),
        Column("told", Integer, nullable=False, server_default="0"),
        Column("told_at", INSTANT),
        sqlite_strict=True,
    )
    op.create_table(
        "webhook_events",
        Column("id", BIG, primary_key=True, autoincrement=True),
        *(Column(name, Text, nullable=False) for name in ("event", "url", "kind")),
        Column("at", INSTANT, nullable=False),
        Column("body", Text, nullable=False),
        Column("next_at", INSTANT),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("failure", Text, nullable=False, server_default=""),
        CheckConstraint(f"kind IN ({KINDS})", name="kind"),
        Index("ix_webhook_events_url", "url", "next_at"),
        **NUMBERED,
    )
