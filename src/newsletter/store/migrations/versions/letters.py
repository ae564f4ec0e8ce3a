"""Letters, and the limits that keep them from being many."""

from alembic import op
from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, PrimaryKeyConstraint, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0009"
down_revision = "0008"

BIG = BigInteger().with_variant(Integer, "sqlite")
INSTANT = Text().with_variant(TIMESTAMP(timezone=True), "postgresql")
KINDS = "'confirmation', 'welcome', 'goodbye', 'link', 'address'"


def upgrade() -> None:
    """Make the table of letters and that of their limits."""
    op.create_table(
        "letters",
        Column("id", BIG, nullable=False, autoincrement=True),
        Column("newsletter", Text, nullable=False),
        Column("subscriber_id", BIG, nullable=False),
        Column("kind", Text, nullable=False),
        *(
            Column(name, Text, nullable=False, server_default="")
            for name in ("address", "address_hash", "language")
        ),
        Column("asked_at", INSTANT, nullable=False),
        Column("expires_at", INSTANT, nullable=False),
        Column("issue_id", BIG),
        CheckConstraint(f"kind IN ({KINDS})", name="kind"),
        PrimaryKeyConstraint("id"),
        Index("ix_letters_issue_id", "issue_id", "subscriber_id"),
        Index("ix_letters_subscriber_id", "subscriber_id"),
        Index("ix_letters_address_hash", "address_hash"),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_table(
        "letter_limits",
        Column("address_hash", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("asked", Integer, nullable=False, server_default="0"),
        Column("next_at", INSTANT, nullable=False),
        CheckConstraint(f"kind IN ({KINDS})", name="kind"),
        PrimaryKeyConstraint("address_hash", "kind"),
        sqlite_strict=True,
    )
