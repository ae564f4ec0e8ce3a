"""The tables of posts, what hangs on them, and where they come from; part of `schema`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from newsletter.store.columns import BIG, Instant, Json
from newsletter.store.columns import count as _count
from newsletter.store.columns import flag as _flag
from newsletter.store.columns import numbered as _numbered
from newsletter.store.columns import table as _table
from newsletter.store.columns import text as _text

# Posts and what hangs on them. `state`: live, held (published in the future), hidden, deleted.
posts = _numbered(
    "posts",
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    _text("source"),
    _text("source_key"),
    _text("title"),
    Column("published", Instant, nullable=False),
    Column("updated", Instant, nullable=False),
    _text("body_html"),
    _text("summary"),
    _text("url"),
    _text("slug"),
    _flag("own_page"),
    _text("language"),
    Column("content_note", Text),
    _flag("note_shows_title"),
    _flag("minor"),
    _count("word_count"),
    _flag("date_only"),
    Column("dropped", Json, nullable=False, server_default="[]"),
    _text("fingerprint"),  # of the text that makes a change significant
    _text("digest"),  # of all that is stored of it; empty for what was stored before there were digests
    Column("state", Text, nullable=False, server_default="live"),
    Column("first_seen", Instant, nullable=False),
    Column("deleted_at", Instant),
    CheckConstraint("state IN ('live', 'held', 'hidden', 'deleted')", name="state"),
    Index("ix_posts_url", "url"),
    Index("ix_posts_fingerprint", "fingerprint"),
    Index("ix_posts_published", "published", "seq"),
)

#: Every (source, key) that ever named a post: several sources may tell of one. `digest` is of the whole item.
post_origins = _table(
    "post_origins",
    _text("source", None),
    _text("source_key", None),
    Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
    _text("digest"),
    Column("seen_at", Instant, nullable=False),
    PrimaryKeyConstraint("source", "source_key"),
    Index("ix_post_origins_post_seq", "post_seq"),
)


def _hanging(name: str, *columns: Column[Any]) -> Table:
    return _table(
        name,
        Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
        Column("position", Integer, nullable=False),
        *columns,
        PrimaryKeyConstraint("post_seq", "position"),
    )


post_authors = _hanging("post_authors", _text("name"), _text("uri"), _text("email"))
post_tags = _hanging("post_tags", _text("tag"))
post_images = _hanging(
    "post_images",
    _text("src"),
    _text("alt"),
    _text("caption"),
    _text("credit"),
    _count("width"),
    _count("height"),
    _text("media_type"),
    _text("small"),
    _text("large"),
    _text("sha256"),
    _count("size"),
    _flag("lead"),
)
post_citations = _hanging(
    "post_citations",
    _text("text"),
    _text("url"),
    _text("title"),
    _text("author"),
    _text("publisher"),
    _text("place"),
    _text("kind"),
    _text("date"),
)
post_references = _hanging(
    "post_references", _text("url"), _text("title"), _text("relation"), _text("post_id")
)
post_enclosures = _hanging(
    "post_enclosures",
    _text("url"),
    _text("media_type"),
    Column("length", BIG, nullable=False),
    _text("title"),
)
post_corrections = _hanging("post_corrections", Column("when", Instant, nullable=False), _text("text"))

#: What posts were called before they were changed; `kind`: slug (of a page of ours), tag, author.
former_words = _table(
    "former_words",
    Column("post_seq", BIG, ForeignKey("posts.seq", ondelete="CASCADE"), nullable=False),
    _text("kind", None),
    _text("word", None),
    PrimaryKeyConstraint("post_seq", "kind", "word"),
)

# Sources

sources = _table(
    "sources",
    Column("name", Text, primary_key=True),
    Column("state", Json, nullable=False, server_default="{}"),  # ETag, Last-Modified, seen folder times, …
    Column("checked_at", Instant),
    _text("failure"),
)
quarantine = _table(
    "quarantine",
    _text("source", None),
    _text("source_key", None),
    _text("where"),
    _text("reason"),
    _text("remedy"),
    _text("excerpt"),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    _text("mark"),  # of the item as it was last seen
    _text("ignored"),  # its mark when the editor said to ignore it
    _text("note"),
    PrimaryKeyConstraint("source", "source_key"),
)

#: Pictures of other sites, by their URL; `copy` (JSON of an Image) is empty until one was kept.
pictures = _table(
    "pictures",
    Column("url", Text, primary_key=True),
    _text("etag"),
    _text("last_modified"),
    Column("copy", Json, nullable=False, server_default="{}"),
    Column("checked_at", Instant, nullable=False),
    Column("retry_at", Instant),  # not before this, after a failure
    _count("failures"),
    _text("failure"),
)
