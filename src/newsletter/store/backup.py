"""Back up a store into one file, and restore it into an empty store of either kind.

The file is a zip: `manifest.json` (format, version, revision, dialect, instance, when, and for each table its
count, SHA-256 and next id) and one `TABLE.jsonl` a table, one JSON object a row. It is read by fixed names and
nothing of it is ever unpacked, so no name in it leads anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.exc import StatementError

from newsletter import __version__
from newsletter.errors import InputError, StoreError
from newsletter.store import meta as facts
from newsletter.store import migrations
from newsletter.store.columns import Instant
from newsletter.store.engine import Store, Tx, open_store
from newsletter.store.schema import METADATA, meta

FORMAT = "newsletter-backup-1"
_BATCH = 500  # rows held in memory at once
_LONGEST_ROW = 64 * 1024 * 1024  # bytes
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
)  # all that reading a zip raises

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What a backup holds: `created` is when its snapshot was taken."""

    file: Path
    created: datetime
    instance: str
    rows: dict[str, int]


def backup(store: Store, file: Path) -> BackupReport:
    """Write one snapshot of the whole store into a new file (mode 0600), whole or not at all.

    Raises InputError when the file exists already, StoreError when it cannot be written.
    """
    if file.exists():
        raise InputError("there is a file of that name", where=str(file), remedy="Choose another name")
    temporary = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w+b") as out:
                report = _write(store, file, out)
                out.flush()
                os.fsync(out.fileno())
            temporary.rename(file)
            _sync_folder(file.parent)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
    except OSError as e:
        raise StoreError(
            f"the backup cannot be written: {e.strerror}",
            where=str(file),
            remedy="Check the folder and its space",
        ) from e
    return report


def _write(store: Store, file: Path, out: IO[bytes]) -> BackupReport:
    created = datetime.now(UTC).replace(microsecond=0)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive, store.read() as tx:
        tables = {table.name: _write_table(tx, table, archive) for table in METADATA.sorted_tables}
        manifest = {
            "format": FORMAT,
            "version": __version__,
            "revision": migrations.HEAD,
            "dialect": store.dialect,
            "instance": store.instance,
            "created": created.isoformat(),
            "tables": tables,
        }
        archive.writestr("manifest.json", json.dumps(manifest, indent=1))
    rows = {name: table["rows"] for name, table in tables.items()}
    return BackupReport(file=file, created=created, instance=store.instance, rows=rows)


def _write_table(tx: Tx, table: Table, archive: zipfile.ZipFile) -> dict[str, Any]:
    digest, count, names = hashlib.sha256(), 0, table.c.keys()
    encode = json.JSONEncoder(ensure_ascii=False, default=datetime.isoformat).encode
    rows = tx.execute(select(table).order_by(*table.primary_key), execution_options={"yield_per": _BATCH})
    with archive.open(f"{table.name}.jsonl", "w", force_zip64=True) as member:
        for batch in rows.partitions():
            lines = "".join(encode(dict(zip(names, row, strict=True))) + "\n" for row in batch).encode()
            digest.update(lines)
            member.write(lines)
            count += len(batch)
    return {"rows": count, "sha256": digest.hexdigest(), "next_id": _next_id(tx, table)}


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# Restoring


def restore(file: Path, url: str) -> BackupReport:
    """Fill an empty store from a backup of either kind of database; delivery stays paused until resumed.

    Raises InputError when the file is not a whole backup of this version, StoreError when the store is not empty.
    Everything is checked inside the transaction that writes it: a damaged file leaves the store empty.
    """
    with _opened(file) as archive:
        manifest = _manifest(archive, file)
        with open_store(url) as store:
            try:
                with store.write() as tx:
                    _check_empty(tx, store)
                    tx.execute(meta.delete())
                    for table in METADATA.sorted_tables:
                        _restore_table(tx, table, _rows(archive, table, manifest, file))
                        _set_next_id(tx, table, manifest["tables"][table.name]["next_id"])
                    facts.put(tx, "machine", facts.place(tx))
                    facts.put(tx, "restored_from", f"{file.name} of {manifest['created']}")
            except StatementError as e:  # a row that the tables refuse
                raise _damaged(file, str(e.orig)) from e
    return BackupReport(
        file=file,
        created=datetime.fromisoformat(manifest["created"]),
        instance=manifest["instance"],
        rows={name: table["rows"] for name, table in manifest["tables"].items()},
    )


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except OSError as e:
        raise InputError(
            f"it cannot be read: {e.strerror}", where=str(file), remedy="Name a backup file"
        ) from e
    except (zipfile.BadZipFile, ValueError) as e:
        raise _damaged(file, str(e)) from e


def _damaged(file: Path, reason: str) -> InputError:
    return InputError(
        f"the file is not a whole backup: {reason.splitlines()[0] if reason else 'it ends too early'}",
        where=str(file),
        remedy="Take another backup file; nothing was restored",
    )


def _manifest(archive: zipfile.ZipFile, file: Path) -> Manifest:
    """Read the manifest and refuse what is not a backup of this very revision."""
    try:
        manifest: Manifest = json.loads(_read(archive, "manifest.json"))
        if manifest["format"] != FORMAT:
            raise ValueError("it has another format")
        datetime.fromisoformat(manifest["created"])
        revision, tables = str(manifest["revision"]), manifest["tables"]
        members = sorted(["manifest.json", *(f"{name}.jsonl" for name in tables)])
        if sorted(archive.namelist()) != members:
            raise ValueError("it holds other files")
        if revision == migrations.HEAD and set(tables) != set(METADATA.tables):
            raise ValueError("it has other tables")
    except (KeyError, TypeError, ValueError, *_UNREADABLE) as e:
        raise _damaged(file, str(e)) from e
    if revision != migrations.HEAD:
        raise InputError(
            f"the backup is of revision {revision}, this version restores {migrations.HEAD}",
            where=str(file),
            remedy=f"Restore it with version {manifest.get('version')}, then open the store with this one",
        )
    return manifest


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as member:
        content = member.read(_LONGEST_ROW + 1)
    if len(content) > _LONGEST_ROW:
        raise ValueError(f"{name} is too long")
    return content


def _check_empty(tx: Tx, store: Store) -> None:
    for table in METADATA.sorted_tables:
        if table is not meta and tx.execute(select(1).select_from(table).limit(1)).first() is not None:
            raise StoreError(
                f"the store is not empty: it has {table.name}",
                where=store.url,
                remedy="Restore into a new store; a backup is never mixed with what is there",
            )


def _restore_table(tx: Tx, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    while batch := list(islice(rows, _BATCH)):
        tx.execute(insert(table), batch)


def _rows(archive: zipfile.ZipFile, table: Table, manifest: Manifest, file: Path) -> Iterator[dict[str, Any]]:
    """Yield a table's rows; raises InputError when they are not the rows that the manifest tells of."""
    digest, count, told = hashlib.sha256(), 0, manifest["tables"][table.name]
    names = set(table.c.keys())
    instants = [column.name for column in table.c if isinstance(column.type, Instant)]
    try:
        with archive.open(f"{table.name}.jsonl") as member:
            while line := member.readline(_LONGEST_ROW):
                digest.update(line)
                count += 1
                row = json.loads(line)
                if set(row) != names:
                    raise ValueError(f"{table.name} has other columns")
                yield row | {name: datetime.fromisoformat(row[name]) for name in instants if row[name]}
        if (count, digest.hexdigest()) != (told["rows"], told["sha256"]):
            raise ValueError(f"{table.name} was changed")
    except (KeyError, TypeError, ValueError, *_UNREADABLE) as e:
        raise _damaged(file, str(e)) from e


# Ids are given once, also after the highest one was erased: a backup carries the next id of each table.


def _next_id(tx: Tx, table: Table) -> int:
    """Return the id that the next row would get, 0 for a table whose rows have no id."""
    column = table.autoincrement_column
    if column is None:
        return 0
    if tx.dialect.name == "postgresql":
        sequence = tx.execute(_SEQUENCE, {"table": table.name, "column": column.name}).scalar_one()
        last_given = text("SELECT coalesce(pg_sequence_last_value(CAST(:sequence AS regclass)), 0)")
        return int(tx.execute(last_given, {"sequence": sequence}).scalar_one()) + 1
    last = tx.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
    given = tx.execute(
        text("SELECT seq FROM sqlite_sequence WHERE name = :table"), {"table": table.name}
    ).scalar()
    return max(last, given or 0) + 1


def _set_next_id(tx: Tx, table: Table, next_id: int) -> None:
    column = table.autoincrement_column
    if column is None:
        return
    if tx.dialect.name == "postgresql":
        sequence = tx.execute(_SEQUENCE, {"table": table.name, "column": column.name}).scalar_one()
        tx.execute(
            text("SELECT setval(CAST(:sequence AS regclass), :next, false)"),
            {"sequence": sequence, "next": next_id},
        )
    elif table.dialect_options["sqlite"]["autoincrement"]:
        tx.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), {"table": table.name})
        tx.execute(
            text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :last)"),
            {"table": table.name, "last": next_id - 1},
        )


_SEQUENCE = text("SELECT pg_get_serial_sequence(quote_ident(:table), :column)")
