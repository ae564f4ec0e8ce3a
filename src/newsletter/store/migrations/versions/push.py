"""Push of feeds: what hubs are to be told, and the subscriptions at the built-in hub."""

from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0004"
down_revision = "0003"

BIG = BigInteger().with_variant(Integer, "sqlite")
INSTANT = Text().with_variant(TIMESTAMP(timezone=True), "postgresql")
NUMBERED = {"sqlite_strict": True, "sqlite_autoincrement": True}


def texts(*names: str, default: str | None = "") -> list[Any]:
    """Return columns of text that are never NULL."""
    return [Column(name, Text, nullable=False, server_default=default) for name in names]


def attempts() -> Column[int]:
    """Return a count, 0 by default."""
    return Column("attempts", Integer, nullable=False, server_default="0")


def upgrade() -> None:
    """Remember what was announced, whom to tell, and who subscribed."""
    op.create_table(
        "websub_topics",
        Column("topic", Text, primary_key=True),
        Column("size", BIG, nullable=False),
        Column("modified", BIG, nullable=False),
        *texts("sha256"),
        sqlite_strict=True,
    )
    op.create_table(
        "websub_notices",
        *texts("hub", "topic", "sha256", default=None),
        Column("since", INSTANT, nullable=False),
        Column("next_at", INSTANT),
        attempts(),
        *texts("failure"),
        PrimaryKeyConstraint("hub", "topic"),
        sqlite_strict=True,
    )
    of_subscribers()


def of_subscribers() -> None:
    """Make the tables of the built-in hub."""
    op.create_table(
        "websub_requests",
        Column("id", BIG, primary_key=True, autoincrement=True),
        *texts("mode", default=None),
        *texts("topic", "callback", "host", "secret"),
        Column("lease", Integer, nullable=False),
        Column("since", INSTANT, nullable=False),
        Column("next_at", INSTANT, nullable=False),
        attempts(),
        CheckConstraint("mode IN ('subscribe', 'unsubscribe', 'denied')", name="mode"),
        **NUMBERED,
    )
    op.create_table(
        "websub_subscriptions",
        Column("id", BIG, primary_key=True, autoincrement=True),
        *texts("topic", "callback", "host", "secret", "sha256"),
        Column("created", INSTANT, nullable=False),
        Column("expires_at", INSTANT, nullable=False),
        Column("since", INSTANT),
        Column("next_at", INSTANT),
        attempts(),
        *texts("failure"),
        Column("served_at", INSTANT),
        UniqueConstraint("callback", "topic"),
        **NUMBERED,
    )
    op.create_index("ix_websub_requests_host", "websub_requests", ["host"])
    for column in ("host", "topic", "next_at"):
        op.create_index(f"ix_websub_subscriptions_{column}", "websub_subscriptions", [column])
