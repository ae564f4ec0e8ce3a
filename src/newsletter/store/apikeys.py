"""Keys of the API, tokens that were wrong, and answers that are kept to be given again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from newsletter.store.engine import Tx
from newsletter.store.schema import api_failures, api_idempotency, api_keys

FORGIVEN = timedelta(days=1)  # after which wrong tokens are forgotten

_K, _F, _A = api_keys, api_failures, api_idempotency


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it is kept: the token itself is not. `last_used` is a day."""

    id: int
    name: str
    prefix: str
    hash: str
    scopes: tuple[str, ...]
    created: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer that was given; `request` is a hash over what was asked, `subscriber_id` whom it tells of."""

    request: str
    status: int
    headers: dict[str, str]
    body: str
    subscriber_id: int | None = None


# Keys


def add(
    tx: Tx,
    *,
    name: str,
    prefix: str,
    digest: str,
    scopes: tuple[str, ...],
    now: datetime,
    until: datetime | None,
) -> bool:
    """Keep a key; False when there is one of that name."""
    if tx.execute(select(_K.c.id).where(_K.c.name == name)).first() is not None:
        return False
    values = {"name": name, "prefix": prefix, "hash": digest, "scopes": list(scopes)}
    tx.execute(insert(_K).values(**values, created=now, expires_at=until))
    return True


def by_prefix(tx: Tx, prefix: str) -> ApiKey | None:
    """Return the key of a prefix, also one that holds no longer."""
    row = tx.execute(select(_K).where(_K.c.prefix == prefix)).one_or_none()
    return None if row is None else _key(row)


def every(tx: Tx) -> list[ApiKey]:
    """Return every key, by name."""
    return [_key(row) for row in tx.execute(select(_K).order_by(_K.c.name))]


def revoke(tx: Tx, name: str, *, now: datetime) -> bool:
    """Let a key hold no longer; False when none of that name holds."""
    mine = (_K.c.name == name, _K.c.revoked_at.is_(None))
    return tx.execute(update(_K).where(*mine).values(revoked_at=now)).rowcount == 1


def used(tx: Tx, key_id: int, day: datetime) -> None:
    """Note the day on which a key was used."""
    tx.execute(update(_K).where(_K.c.id == key_id).values(last_used=day))


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(**{**row._mapping, "scopes": tuple(row.scopes)})


# Wrong tokens


def failures(tx: Tx, prefix: str) -> tuple[int, datetime | None]:
    """Return how many wrong tokens of a prefix came on end, and when the last one."""
    row = tx.execute(select(_F).where(_F.c.prefix == prefix)).one_or_none()
    return (0, None) if row is None else (row.failures, row.at)


def failed(tx: Tx, prefix: str, *, now: datetime) -> None:
    """Count a wrong token."""
    tx.execute(delete(_F).where(_F.c.at <= now - FORGIVEN))
    statement = _insert(tx, _F).values(prefix=prefix, failures=1, at=now)
    again = {"failures": _F.c.failures + 1, "at": now}
    tx.execute(statement.on_conflict_do_update(index_elements=["prefix"], set_=again))


def forgive(tx: Tx, prefix: str) -> None:
    """Forget the wrong tokens of a prefix."""
    tx.execute(delete(_F).where(_F.c.prefix == prefix))


# Answers


def answered(tx: Tx, key_id: int, word: str, *, now: datetime) -> Kept | None:
    """Return the answer that was given under an idempotency key; those that expired are dropped."""
    expire(tx, now=now)
    row = tx.execute(select(_A).where(_A.c.key_id == key_id, _A.c.word == word)).one_or_none()
    if row is None:
        return None
    return Kept(
        request=row.request,
        status=row.status,
        headers=row.headers,
        body=row.body,
        subscriber_id=row.subscriber_id,
    )


def keep(tx: Tx, key_id: int, word: str, kept: Kept, *, until: datetime) -> None:
    """Keep an answer until an instant."""
    values = {"request": kept.request, "status": kept.status, "headers": kept.headers, "body": kept.body}
    whose = {"key_id": key_id, "word": word, "subscriber_id": kept.subscriber_id}
    tx.execute(insert(_A).values(**values, **whose, expires_at=until))


def expire(tx: Tx, *, now: datetime) -> None:
    """Drop the answers whose time is over."""
    tx.execute(delete(_A).where(_A.c.expires_at <= now))


def forget(tx: Tx, subscriber_id: int) -> None:
    """Drop every answer that tells of a person."""
    tx.execute(delete(_A).where(_A.c.subscriber_id == subscriber_id))


def _insert(tx: Tx, table: Any) -> Any:
    return (pg_insert if tx.dialect.name == "postgresql" else sqlite_insert)(table)
