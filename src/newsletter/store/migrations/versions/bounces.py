"""What came back: bounces, complaints, automatic replies."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0006"
down_revision = "0005"

BIG = BigInteger().with_variant(Integer, "sqlite")
INSTANT = Text().with_variant(TIMESTAMP(timezone=True), "postgresql")
KINDS = "'hard', 'soft', 'ours', 'complaint', 'auto-reply', 'unclassified'"
DEEDS = "'nothing', 'counted', 'suppressed', 'unsubscribed', 'undone'"


def upgrade() -> None:
    """Make the table of reports."""
    op.create_table(
        "bounces",
        Column("id", BIG, nullable=False, autoincrement=True),
        Column("at", INSTANT, nullable=False),
        Column("digest", Text, nullable=False),
        Column("kind", Text, nullable=False),
        *(
            Column(name, Text, nullable=False, server_default="")
            for name in ("status", "reason", "said", "matched")
        ),
        Column("forged", Integer, nullable=False, server_default="0"),
        Column("issue_id", BIG),
        Column("subscriber_id", BIG),
        Column("deed", Text, nullable=False),
        Column("note", Text, nullable=False, server_default=""),
        Column("before", Text, nullable=False, server_default="{}"),
        CheckConstraint(f"kind IN ({KINDS})", name="kind"),
        CheckConstraint(f"deed IN ({DEEDS})", name="deed"),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("digest"),
        Index("ix_bounces_subscriber_id", "subscriber_id"),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
