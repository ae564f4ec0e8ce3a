"""The first tables. Its functions are long: a list of tables reads best as a list."""

from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0001"
down_revision = None

BIG = BigInteger().with_variant(Integer, "sqlite")
INSTANT = Text().with_variant(TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Create everything."""
    of_posts()
    of_sources()
    of_issues()
    of_subscribers()
    of_deliveries()


def table(name: str, *items: Any, numbered: bool = False) -> None:
    """Create a table; the ids of a numbered one never come back."""
    op.create_table(name, *items, sqlite_strict=True, sqlite_autoincrement=numbered)


def text(name: str, default: str | None = "") -> Column[str]:
    """Return a column of text that is never NULL."""
    return Column(name, Text, nullable=False, server_default=default)


def number(name: str) -> Column[int]:
    """Return a column of a count or a flag, 0 by default."""
    return Column(name, Integer, nullable=False, server_default="0")


def words(name: str, allowed: str) -> CheckConstraint:
    """Return the check that a column holds one of these words."""
    return CheckConstraint(f"{name} IN ({', '.join(repr(word) for word in allowed.split())})", name=name)


def of_posts() -> None:
    """The store's own facts, posts and what hangs on them."""
    table(
        "meta",
        Column("key", Text, primary_key=True),
        text("value"),
    )
    table(
        "posts",
        Column("seq", BIG, primary_key=True, autoincrement=True),
        text("id", None),
        text("source"),
        text("source_key"),
        text("title"),
        Column("published", INSTANT, nullable=False),
        Column("updated", INSTANT, nullable=False),
        text("body_html"),
        text("summary"),
        text("url"),
        text("slug"),
        number("own_page"),
        text("language"),
        Column("content_note", Text),
        number("note_shows_title"),
        number("minor"),
        number("word_count"),
        number("date_only"),
        text("dropped", "[]"),
        text("fingerprint"),
        text("state", "live"),
        Column("first_seen", INSTANT, nullable=False),
        Column("deleted_at", INSTANT),
        UniqueConstraint("id"),
        words("state", "live held hidden deleted"),
        numbered=True,
    )
    op.create_index("ix_posts_fingerprint", "posts", ["fingerprint"])
    op.create_index("ix_posts_published", "posts", ["published", "seq"])
    op.create_index("ix_posts_url", "posts", ["url"])
    table(
        "post_origins",
        Column("source", Text, nullable=False),
        Column("source_key", Text, nullable=False),
        Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
        text("digest"),
        Column("seen_at", INSTANT, nullable=False),
        PrimaryKeyConstraint("source", "source_key"),
    )
    op.create_index("ix_post_origins_post_seq", "post_origins", ["post_seq"])
    table(
        "post_authors",
        Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
        Column("position", Integer, nullable=False),
        text("name"),
        text("uri"),
        text("email"),
        PrimaryKeyConstraint("post_seq", "position"),
    )
    table(
        "post_tags",
        Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
        Column("position", Integer, nullable=False),
        text("tag"),
        PrimaryKeyConstraint("post_seq", "position"),
    )
    table(
        "post_images",
        Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
        Column("position", Integer, nullable=False),
        text("src"),
        text("alt"),
        text("caption"),
        text("credit"),
        number("width"),
        number("height"),
        text("media_type"),
        text("small"),
        text("large"),
        text("sha256"),
        number("size"),
        number("lead"),
        PrimaryKeyConstraint("post_seq", "position"),
    )
    table(
        "post_citations",
        Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
        Column("position", Integer, nullable=False),
        text("text"),
        text("url"),
        text("title"),
        text("author"),
        text("publisher"),
        text("place"),
        text("kind"),
        text("date"),
        PrimaryKeyConstraint("post_seq", "position"),
    )
    table(
        "post_references",
        Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
        Column("position", Integer, nullable=False),
        text("url"),
        text("title"),
        text("relation"),
        text("post_id"),
        PrimaryKeyConstraint("post_seq", "position"),
    )
    table(
        "post_enclosures",
        Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
        Column("position", Integer, nullable=False),
        text("url"),
        text("media_type"),
        Column("length", BIG, nullable=False),
        text("title"),
        PrimaryKeyConstraint("post_seq", "position"),
    )
    table(
        "post_corrections",
        Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
        Column("position", Integer, nullable=False),
        Column("when", INSTANT, nullable=False),
        text("text"),
        PrimaryKeyConstraint("post_seq", "position"),
    )


def of_sources() -> None:
    """Sources and their quarantine."""
    table(
        "sources",
        Column("name", Text, primary_key=True),
        text("state", "{}"),
        Column("checked_at", INSTANT),
        text("failure"),
    )
    table(
        "quarantine",
        Column("source", Text, nullable=False),
        Column("source_key", Text, nullable=False),
        text("where"),
        text("reason"),
        text("remedy"),
        text("excerpt"),
        Column("first_seen", INSTANT, nullable=False),
        Column("last_seen", INSTANT, nullable=False),
        PrimaryKeyConstraint("source", "source_key"),
    )


def of_issues() -> None:
    """Newsletters, slots, issues and the (newsletter, post) ledger."""
    table(
        "newsletters",
        Column("name", Text, primary_key=True),
        Column("began", INSTANT, nullable=False),
        number("last_number"),
    )
    table(
        "slots",
        Column("newsletter", Text, nullable=False),
        Column("due", INSTANT, nullable=False),
        text("state", None),
        Column("claimed_at", INSTANT, nullable=False),
        Column("issue_id", BIG),
        text("note"),
        PrimaryKeyConstraint("newsletter", "due"),
        words("state", "claimed composed empty held missed"),
    )
    table(
        "issues",
        Column("id", BIG, primary_key=True, autoincrement=True),
        text("newsletter", None),
        Column("number", Integer, nullable=False),
        Column("due", INSTANT, nullable=False),
        text("state", None),
        text("subject"),
        Column("dated", INSTANT, nullable=False),
        text("html"),
        text("frozen"),
        text("intro_html"),
        text("sha256"),
        Column("composed_at", INSTANT, nullable=False),
        Column("approved_at", INSTANT),
        Column("released_at", INSTANT),
        Column("finished_at", INSTANT),
        number("audience"),
        Column("epoch", BIG, nullable=False, server_default="0"),
        text("owner"),
        text("reason"),
        number("wave"),
        Column("opens_at", INSTANT),
        UniqueConstraint("newsletter", "number"),
        words("state", "composed approved released held finished"),
        numbered=True,
    )
    op.create_index("ix_issues_state", "issues", ["state"])
    table(
        "issue_posts",
        Column("issue_id", BIG, ForeignKey("issues.id"), nullable=False),
        Column("position", Integer, nullable=False),
        Column("post_seq", BIG, ForeignKey("posts.seq"), nullable=False),
        text("placement", None),
        Column("post_updated", INSTANT, nullable=False),
        PrimaryKeyConstraint("issue_id", "position"),
        UniqueConstraint("issue_id", "post_seq"),
        words("placement", "included correction skipped"),
    )
    table(
        "newsletter_posts",
        Column("newsletter", Text, nullable=False),
        Column("post_seq", BIG, ForeignKey("posts.seq"), nullable=False),
        text("placement", None),
        Column("issue_id", BIG),
        Column("told_updated", INSTANT, nullable=False),
        Column("at", INSTANT, nullable=False),
        text("reason"),
        PrimaryKeyConstraint("newsletter", "post_seq"),
        words("placement", "included correction skipped"),
    )


def of_subscribers() -> None:
    """Subscribers, their consent and what must never be written to."""
    table(
        "subscribers",
        Column("id", BIG, primary_key=True, autoincrement=True),
        text("address"),
        text("address_key", None),
        text("name"),
        text("language"),
        text("timezone"),
        Column("created", INSTANT, nullable=False),
        UniqueConstraint("address_key"),
        numbered=True,
    )
    table(
        "subscriptions",
        Column("subscriber_id", BIG, ForeignKey("subscribers.id", ondelete="CASCADE"), nullable=False),
        Column("newsletter", Text, nullable=False),
        text("standing", None),
        Column("since", INSTANT, nullable=False),
        Column("paused_until", INSTANT),
        PrimaryKeyConstraint("subscriber_id", "newsletter"),
        words("standing", "pending active paused unsubscribed suppressed"),
    )
    op.create_index(
        "ix_subscriptions_newsletter", "subscriptions", ["newsletter", "standing", "subscriber_id"]
    )
    table(
        "consents",
        Column("id", BIG, primary_key=True, autoincrement=True),
        Column("subscriber_id", BIG),
        Column("at", INSTANT, nullable=False),
        text("act", None),
        text("newsletter"),
        text("channel"),
        text("detail"),
        text("wording"),
        text("previous"),
        text("hash"),
        words("act", "requested confirmed imported changed withdrawn erased"),
        numbered=True,
    )
    op.create_index("ix_consents_subscriber_id", "consents", ["subscriber_id"])
    table(
        "suppressions",
        Column("address_hash", Text, primary_key=True),
        Column("address", Text),
        text("reason", None),
        Column("at", INSTANT, nullable=False),
        text("note"),
        words("reason", "bounce complaint request erasure"),
    )


def of_deliveries() -> None:
    """The ledger of deliveries."""
    table(
        "deliveries",
        Column("issue_id", BIG, ForeignKey("issues.id"), nullable=False),
        Column("subscriber_id", BIG, nullable=False),
        text("address"),
        text("name"),
        text("language"),
        text("timezone"),
        Column("since", INSTANT),
        text("state", "waiting"),
        text("reason"),
        number("presumed"),
        Column("epoch", BIG, nullable=False, server_default="0"),
        number("attempts"),
        Column("not_before", INSTANT),
        number("wave"),
        Column("due_at", INSTANT),
        Column("changed_at", INSTANT, nullable=False),
        PrimaryKeyConstraint("issue_id", "subscriber_id"),
        words("state", "waiting attempting accepted refused suppressed unknown"),
    )
    predicate = sql("state IN ('waiting', 'attempting')")
    op.create_index(
        "ix_deliveries_open",
        "deliveries",
        ["issue_id", "subscriber_id"],
        sqlite_where=predicate,
        postgresql_where=predicate,
    )
    op.create_index("ix_deliveries_subscriber_id", "deliveries", ["subscriber_id"])
    table(
        "attempts",
        Column("id", BIG, primary_key=True, autoincrement=True),
        Column("issue_id", BIG, nullable=False),
        Column("subscriber_id", BIG, nullable=False),
        Column("epoch", BIG, nullable=False),
        Column("at", INSTANT, nullable=False),
        text("transport"),
        text("server"),
        text("stage", None),
        text("outcome", None),
        number("code"),
        text("enhanced"),
        text("text"),
        words("outcome", "accepted deferred refused unknown not-sent"),
        words("stage", "connect greeting ehlo starttls auth mail rcpt data body end-of-data local"),
    )
    op.create_index("ix_attempts_issue_id", "attempts", ["issue_id", "subscriber_id"])
