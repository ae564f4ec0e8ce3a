"""Addresses that must never be written to again, found by a keyed hash so that an erased one is known as well.

The key lies in the store itself: it outlives every rotation of the token keys and travels with a backup. It
keeps the hashes from being compared with a list of addresses by who sees only this table; it is no defence
against who has the whole store.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from newsletter.model import SuppressionReason
from newsletter.store import bulk, meta
from newsletter.store.engine import Tx
from newsletter.store.schema import suppressions

_KEY = "suppression_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """An address that must never be written to again; `address` is empty when the person was erased."""

    address: str
    reason: SuppressionReason
    at: datetime
    note: str = ""


def key_of(address: str) -> str:
    """Return what two spellings of one address have in common."""
    return address.casefold()


def find(tx: Tx, keys: Collection[str]) -> dict[str, Suppression]:
    """Return the suppressions among addresses, by their keys."""
    secret = meta.get(tx, _KEY)
    if not secret or not keys:
        return {}
    hashes = {_hash(secret, key): key for key in keys}
    rows = tx.execute(select(suppressions).where(bulk.among(tx, suppressions.c.address_hash, hashes)))
    return {
        hashes[row.address_hash]: Suppression(
            address=row.address or "", reason=row.reason, at=row.at, note=row.note
        )
        for row in rows
    }


def put(tx: Tx, address: str, reason: SuppressionReason, *, now: datetime, note: str = "") -> bool:
    """Suppress an address; False when it was already, and then the first reason stays.

    Erasure is stronger: it empties the address and the note of what was there.
    """
    secret = _secret(tx)
    erasure = reason is SuppressionReason.ERASURE
    values: dict[str, Any] = {
        "address_hash": _hash(secret, key_of(address)),
        "address": None if erasure else address,
        "reason": reason,
        "at": now,
        "note": "" if erasure else note,
    }
    known = bool(find(tx, [key_of(address)]))
    statement: Any = (pg_insert if tx.dialect.name == "postgresql" else sqlite_insert)(suppressions)
    statement = statement.values(values)
    if erasure:
        emptied = {name: values[name] for name in ("address", "reason", "note")}
        tx.execute(statement.on_conflict_do_update(index_elements=["address_hash"], set_=emptied))
    else:
        tx.execute(statement.on_conflict_do_nothing())
    return not known


def lift(tx: Tx, address: str) -> bool:
    """Let an address that bounced or complained be written to again; False when it is not suppressed for that."""
    statement = delete(suppressions).where(
        suppressions.c.address_hash == _hash(meta.get(tx, _KEY), key_of(address)),
        suppressions.c.reason.in_([SuppressionReason.BOUNCE, SuppressionReason.COMPLAINT]),
    )
    return bool(tx.execute(statement).rowcount)


def put_many(tx: Tx, given: Iterable[Suppression]) -> None:
    """Suppress addresses of which none is suppressed, and none belongs to anybody who is stored."""
    many = list(given)
    if not many:
        return
    secret, instant = _secret(tx), bulk.binder(tx)
    rows = (
        (_hash(secret, key_of(one.address)), one.address, one.reason.value, instant(one.at), one.note)
        for one in many
    )
    bulk.insert(tx, suppressions, ("address_hash", "address", "reason", "at", "note"), rows)


def every(tx: Tx) -> Iterator[Suppression]:
    """Give every suppression whose address is still known, in the order of time."""
    query = (
        select(suppressions)
        .where(suppressions.c.address.is_not(None))
        .order_by(suppressions.c.at, suppressions.c.address_hash)
        .execution_options(yield_per=1000)
    )
    for row in tx.execute(query):
        yield Suppression(address=row.address, reason=row.reason, at=row.at, note=row.note)


def hash_of(tx: Tx, address: str) -> str:
    """Return what an address is known by where it may not be kept: its hash under the store's own key."""
    return _hash(_secret(tx), key_of(address))


def _secret(tx: Tx) -> str:
    secret = meta.get(tx, _KEY)
    if not secret:
        secret = secrets.token_hex(32)
        meta.put(tx, _KEY, secret)
    return secret


def _hash(secret: str, key: str) -> str:
    return hmac.digest(bytes.fromhex(secret), key.encode(), "sha256").hex()
