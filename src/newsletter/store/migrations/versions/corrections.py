"""Corrections of an issue that is being delivered, and pauses that end by themselves."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, PrimaryKeyConstraint, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0002"
down_revision = "0001"

BIG = BigInteger().with_variant(Integer, "sqlite")
INSTANT = Text().with_variant(TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Count the renderings of an issue, keep those that were replaced, and note who gets which."""
    for table in ("issues", "deliveries"):
        op.add_column(table, Column("revision", Integer, nullable=False, server_default="1"))
    op.add_column("issues", Column("corrected_at", INSTANT))
    op.add_column("issues", Column("held_until", INSTANT))
    op.create_table(
        "issue_revisions",
        Column("issue_id", BIG, ForeignKey("issues.id"), nullable=False),
        Column("revision", Integer, nullable=False),
        *(
            Column(name, Text, nullable=False, server_default="")
            for name in ("subject", "html", "frozen", "intro_html", "sha256")
        ),
        Column("made_at", INSTANT, nullable=False),
        Column("note", Text, nullable=False, server_default=""),
        PrimaryKeyConstraint("issue_id", "revision"),
        sqlite_strict=True,
    )
