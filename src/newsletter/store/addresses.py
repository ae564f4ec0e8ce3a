"""New addresses of known people, which wait until they are confirmed from there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from newsletter.model import DeliveryState
from newsletter.store import suppressions
from newsletter.store.engine import Tx
from newsletter.store.schema import address_changes, deliveries, former_addresses, subscribers


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressChange:
    """The address that somebody wants to be written to; the link to it bears the hash of it."""

    subscriber_id: int
    address: str
    asked_at: datetime


def ask(tx: Tx, subscriber_id: int, address: str, *, now: datetime) -> AddressChange:
    """Let a new address wait in place of any before."""
    suppressions.hash_of(tx, address)  # makes the key where there is none: who opens the link only reads
    statement: Any = (pg_insert if tx.dialect.name == "postgresql" else sqlite_insert)(address_changes)
    again = {"address": address, "asked_at": now}
    put = statement.on_conflict_do_update(index_elements=["subscriber_id"], set_=again)
    tx.execute(put, {"subscriber_id": subscriber_id, "address": address, "asked_at": now})
    made = waiting(tx, subscriber_id)
    assert made is not None
    return made


def waiting(tx: Tx, subscriber_id: int) -> AddressChange | None:
    """Return the new address that waits for a person, if any."""
    mine = address_changes.c.subscriber_id == subscriber_id
    row = tx.execute(select(address_changes).where(mine)).one_or_none()
    if row is None:
        return None
    return AddressChange(
        subscriber_id=row.subscriber_id,
        address=row.address,
        asked_at=row.asked_at,
    )


def settle(tx: Tx, subscriber_id: int, *, address: str = "") -> None:
    """Let nothing wait any more; with an address, write to the person there from now on, also what waits."""
    mine = address_changes.c.subscriber_id == subscriber_id
    tx.execute(delete(address_changes).where(mine))
    if not address:
        return
    person = subscribers.c.id == subscriber_id
    old = select(subscribers.c.address).where(person)
    waits = (deliveries.c.subscriber_id == subscriber_id, deliveries.c.state == DeliveryState.WAITING)
    tx.execute(
        update(deliveries)
        .where(*waits, deliveries.c.address == old.scalar_subquery())
        .values(address=address)
    )
    left = {"subscriber_id": subscriber_id, "address": tx.execute(old).scalar_one()}
    keep: Any = (pg_insert if tx.dialect.name == "postgresql" else sqlite_insert)(former_addresses)
    tx.execute(keep.on_conflict_do_nothing(), left)
    moved = {"address": address, "address_key": suppressions.key_of(address)}
    tx.execute(update(subscribers).where(person).values(moved))


def former(tx: Tx, subscriber_id: int) -> list[str]:
    """Return the addresses that a person has left for another one."""
    mine = former_addresses.c.subscriber_id == subscriber_id
    query = select(former_addresses.c.address).where(mine).order_by(former_addresses.c.address)
    return list(tx.execute(query).scalars())


def drop(tx: Tx, *, before: datetime) -> int:
    """Forget the new addresses that nobody has confirmed; return how many."""
    return tx.execute(delete(address_changes).where(address_changes.c.asked_at < before)).rowcount
