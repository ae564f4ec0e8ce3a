"""The generation of a subscriber's own feed, and how many subscribers aggregators tell of."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0005"
down_revision = "0004"

BIG = BigInteger().with_variant(Integer, "sqlite")
INSTANT = Text().with_variant(TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Number the addresses of subscribers' own feeds; make the table of aggregators' numbers."""
    op.add_column("subscribers", Column("feed_generation", Integer, nullable=False, server_default="1"))
    op.create_table(
        "feed_readers",
        Column("feed", Text, nullable=False),
        Column("agent", Text, nullable=False),
        Column("subscribers", BIG, nullable=False),
        Column("seen_at", INSTANT, nullable=False),
        PrimaryKeyConstraint("feed", "agent"),
        sqlite_strict=True,
    )
