"""Facts of the store itself, and whether it is a copy that must not deliver by itself.

A store remembers where it lies: the machine and the file, or the PostgreSQL cluster and database. A copied or
restored store lies elsewhere; were both to deliver, every subscriber would be written to twice.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select, text

from newsletter.store.schema import meta

_MACHINE_ID = Path("/etc/machine-id")  # absent in some containers: then the file alone tells


def get(tx: Connection, key: str, default: str = "") -> str:
    """Return a fact."""
    value: str | None = tx.execute(select(meta.c.value).where(meta.c.key == key)).scalar()
    return default if value is None else value


def put(tx: Connection, key: str, value: str) -> None:
    """Write a fact; an empty value removes it."""
    tx.execute(delete(meta).where(meta.c.key == key))
    if value:
        tx.execute(insert(meta).values(key=key, value=value))


def begin(tx: Connection) -> None:
    """Give a new store its instance and remember where it lies; an older store keeps what it has."""
    if not get(tx, "instance"):
        put(tx, "instance", secrets.token_hex(16))
        put(tx, "machine", place(tx))


def place(tx: Connection) -> str:
    """Tell where this store lies, as a hash: equal after a restart or a move of its folder, not after a copy."""
    if tx.dialect.name == "sqlite":
        machine = _MACHINE_ID.read_text(encoding="ascii").strip() if _MACHINE_ID.exists() else ""
        where = f"{machine}:{Path(tx.engine.url.database or '').stat().st_ino}"
    else:
        query = "SELECT system_identifier || ':' || d.oid || ':' || current_schema()"
        query += " FROM pg_control_system(), pg_database d WHERE d.datname = current_database()"
        where = tx.execute(text(query)).scalar_one()
    return hashlib.sha256(f"newsletter:{where}".encode()).hexdigest()


def pause_reason(tx: Connection) -> str:
    """Say why nothing may be delivered from this store until the editor resumes it; empty when it may."""
    restored = get(tx, "restored_from")
    if restored:
        return f"the store was restored from a backup ({restored})"
    if get(tx, "machine") != place(tx):
        return "the store is a copy, or was moved to another machine"
    if _read_mark(tx) > int(get(tx, "leases", "0")):
        return "the store was put back to an earlier state"
    return ""


def count_lease(tx: Connection) -> None:
    """Count that an issue is about to be delivered."""
    put(tx, "leases", str(int(get(tx, "leases", "0")) + 1))


def write_mark(tx: Connection) -> None:
    """Write that count, once it is committed, beside a SQLite file too: a file put back to an earlier state has less.

    Without room for it, or leave to write it, deliveries go on without that guard.
    """
    path = _mark_path(tx)
    if path is None:
        return
    with suppress(OSError), open(path, "w", opener=partial(os.open, mode=0o600)) as file:
        file.write(f"{int(get(tx, 'leases', '0'))}\n")
        file.flush()
        os.fsync(file.fileno())


def _read_mark(tx: Connection) -> int:
    path = _mark_path(tx)
    try:
        return int(path.read_bytes()) if path is not None else 0
    except (FileNotFoundError, ValueError):
        return 0


def _mark_path(tx: Connection) -> Path | None:
    return Path(f"{tx.engine.url.database}.mark") if tx.dialect.name == "sqlite" else None


def resume(tx: Connection) -> None:
    """Let this store deliver, on the editor's word that no other copy of it does."""
    put(tx, "restored_from", "")
    put(tx, "machine", place(tx))
    put(tx, "leases", str(max(int(get(tx, "leases", "0")), _read_mark(tx))))
