"""Pictures of other sites by their URL; what an editor said of an item in quarantine."""

from alembic import op
from sqlalchemy import Column, Integer, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0008"
down_revision = "0007"

INSTANT = Text().with_variant(TIMESTAMP(timezone=True), "postgresql")


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def upgrade() -> None:
    """Add the marks of quarantine and the table of pictures."""
    for name in ("mark", "ignored", "note"):
        op.add_column("quarantine", _text(name))
    op.create_table(
        "pictures",
        Column("url", Text, primary_key=True),
        _text("etag"),
        _text("last_modified"),
        Column("copy", Text, nullable=False, server_default="{}"),
        Column("checked_at", INSTANT, nullable=False),
        Column("retry_at", INSTANT),
        Column("failures", Integer, nullable=False, server_default="0"),
        _text("failure"),
        sqlite_strict=True,
    )
