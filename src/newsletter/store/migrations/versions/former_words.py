"""What posts were called before: slugs, tags and authors' names that their pages and feeds had."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, PrimaryKeyConstraint, Text

revision = "0011"
down_revision = "0010"

BIG = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the table of former words."""
    op.create_table(
        "former_words",
        Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
        Column("kind", Text, nullable=False),
        Column("word", Text, nullable=False),
        PrimaryKeyConstraint("post_seq", "kind", "word"),
        sqlite_strict=True,
    )
