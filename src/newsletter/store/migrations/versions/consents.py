"""Wordings are stored once by their hash; consents tell language, form and token; addresses of computers expire."""

import hashlib

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0007"
down_revision = "0006"

BIG = BigInteger().with_variant(Integer, "sqlite")
INSTANT = Text().with_variant(TIMESTAMP(timezone=True), "postgresql")


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def upgrade() -> None:
    """Move each wording into its table; the hashes of the chain are over the words and stay."""
    for name in ("language", "form", "token", "ip_seal"):
        op.add_column("consents", _text(name))
    op.create_table("wordings", Column("hash", Text, primary_key=True), _text("text"), sqlite_strict=True)
    op.create_table(
        "consent_ips",
        Column("consent_id", BIG, primary_key=True, autoincrement=False),
        _text("ip"),
        _text("salt"),
        Column("until", INSTANT, nullable=False),
        sqlite_strict=True,
    )
    connection = op.get_bind()
    for words in connection.execute(text("SELECT DISTINCT wording FROM consents WHERE wording <> ''")).all():
        both = {"hash": hashlib.sha256(words[0].encode()).hexdigest(), "words": words[0]}
        connection.execute(text("INSERT INTO wordings (hash, text) VALUES (:hash, :words)"), both)
        connection.execute(text("UPDATE consents SET wording = :hash WHERE wording = :words"), both)
