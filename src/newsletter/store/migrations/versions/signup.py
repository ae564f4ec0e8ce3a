"""New addresses that wait for a confirmation, those of before, and limits that outlive a restart."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, PrimaryKeyConstraint, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0012"
down_revision = "0011"

BIG = BigInteger().with_variant(Integer, "sqlite")
INSTANT = Text().with_variant(TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "address_changes",
        Column(
            "subscriber_id",
            BIG,
            ForeignKey("subscribers.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        Column("address", Text, nullable=False),
        Column("asked_at", INSTANT, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "former_addresses",
        Column("subscriber_id", BIG, ForeignKey("subscribers.id", ondelete="CASCADE"), nullable=False),
        Column("address", Text, nullable=False),
        PrimaryKeyConstraint("subscriber_id", "address"),
        sqlite_strict=True,
    )
    op.create_table(
        "limits",
        Column("bucket", Text, primary_key=True),
        Column("empty_at", INSTANT, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("ix_limits_empty_at", "limits", ["empty_at"])
