"""A digest of each stored post: publishing reads it instead of the post."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; it stays empty for a post until that is stored again."""
    op.add_column("posts", Column("digest", Text, nullable=False, server_default=""))
