"""The tables of addresses that change, and of how often one may be typed."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, PrimaryKeyConstraint, Text

from newsletter.store.columns import BIG, Instant, table, text

#: New addresses that wait for a confirmation.
address_changes = table(
    "address_changes",
    Column(
        "subscriber_id",
        BIG,
        ForeignKey("subscribers.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    text("address", None),
    Column("asked_at", Instant, nullable=False),
)
#: Where a person was written to before, so that erasing them closes these as well.
former_addresses = table(
    "former_addresses",
    Column("subscriber_id", BIG, ForeignKey("subscribers.id", ondelete="CASCADE"), nullable=False),
    text("address", None),
    PrimaryKeyConstraint("subscriber_id", "address"),
)
#: How full each limit is: buckets that leak, each by the instant at which it is empty, under a keyed hash.
limits = table(
    "limits",
    Column("bucket", Text, primary_key=True),
    Column("empty_at", Instant, nullable=False),
    Index("ix_limits_empty_at", "empty_at"),
)
