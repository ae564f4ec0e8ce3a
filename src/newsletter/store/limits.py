"""Limits that outlive a restart: buckets that leak, each kept as the instant at which it is empty.

A bucket is named by a keyed hash, so that neither addresses nor networks can be read from the table, and it is gone
once it is empty.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from newsletter.store import meta
from newsletter.store.engine import Tx
from newsletter.store.schema import limits

_KEY = "limits_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A limit on what has one name: `burst` at once, and one more each `every`; one use takes `cost`."""

    name: str
    burst: int
    every: timedelta
    cost: int = 1


def take(tx: Tx, bucket: Bucket, *, now: datetime) -> timedelta:
    """Take a use into account; return zero, or after what time the next one has room, and then nothing is taken."""
    key = _hash(tx, bucket.name)
    stored: datetime | None = tx.execute(select(limits.c.empty_at).where(limits.c.bucket == key)).scalar()
    after = max(stored or now, now) + bucket.every * bucket.cost
    over = after - now - bucket.every * bucket.burst
    if over > timedelta():
        return over
    statement: Any = (pg_insert if tx.dialect.name == "postgresql" else sqlite_insert)(limits)
    values = {"bucket": key, "empty_at": after}
    put = statement.on_conflict_do_update(index_elements=["bucket"], set_={"empty_at": after})
    tx.execute(put, values)
    return timedelta()


def take_all(tx: Tx, buckets: Iterable[Bucket], *, now: datetime) -> timedelta:
    """Take a use of several limits into account, until one has no room; return as `take` does."""
    for bucket in buckets:
        wait = take(tx, bucket, now=now)
        if wait:
            return wait
    return timedelta()


def expire(tx: Tx, *, now: datetime) -> int:
    """Drop the buckets that are empty; return how many."""
    return tx.execute(delete(limits).where(limits.c.empty_at <= now)).rowcount


def _hash(tx: Tx, name: str) -> str:
    secret = meta.get(tx, _KEY)
    if not secret:
        secret = secrets.token_hex(32)
        meta.put(tx, _KEY, secret)
    return hmac.digest(bytes.fromhex(secret), name.encode("utf-8", "surrogatepass"), "sha256").hex()
