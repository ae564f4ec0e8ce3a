"""Open the store and give transactions, on SQLite or PostgreSQL, with the same meaning on both.

- `write` is one transaction and there is one writer at a time, whatever the process or host: readers of a
  row may rely on it until they commit. `read` is one snapshot and refuses to write.
- SQLite: WAL, `synchronous=FULL`. Releases before 3.51.3 can lose committed pages when one connection resets
  the log while another checkpoints (the WAL-reset bug; Debian 12 ships 3.40). So one connection a process
  writes and checkpoints, under a lock file that processes share; readers can do neither.
- PostgreSQL: an advisory lock held to the end of each writing transaction. A pooler in between must keep
  sessions (no transaction pooling).
- A store is opened after a fork, never carried over one.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from newsletter.errors import StoreError
from newsletter.store import meta, migrations

Tx = Connection

PATIENCE = 60.0  # seconds that a writer waits for another
_APPLICATION = 0x6E6C7472  # SQLite's application_id of our files: "nltr"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_PG_LOCK = "hashtextextended('newsletter:' || current_schema() || :name, 0)"


class Store:
    """An open store; safe to use from several threads, closed once."""

    def __init__(self, url: URL, *, patience: float) -> None:
        self.url = _shown(url)
        self.dialect = url.get_backend_name()
        self.instance = ""
        self._url = url
        self._patience = patience
        self._writing = threading.Lock()
        self._writer_thread = 0
        self._lock_file = -1
        if self.dialect == "sqlite":
            self._path = Path(url.database or "")
            self._reader = _sqlite_engine(url, read_only=True, patience=patience)
            self._writer = _sqlite_engine(url, read_only=False, patience=patience)
        else:
            self._reader = self._writer = _postgresql_engine(url, patience=patience)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Give one snapshot of the store; what is written in it is refused."""
        with self._clear_errors(writing=False), self._reader.connect() as connection:
            if self.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN")
            else:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """Give the one writing transaction; it commits when the block ends, and rolls back on an error.

        Raises StoreError when another writer holds on for longer than the store's patience.
        """
        with self._clear_errors(), self._alone(), self._writer.connect() as connection, connection.begin():
            if self.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_PG_LOCK})"), {"name": ":write"})
            yield connection

    def lock(self, name: str) -> AbstractContextManager[bool]:
        """Hold the lock of this name while the block runs: True, or False at once when another holds it.

        It belongs to this process and dies with it, and is independent of transactions.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a lock's name: {name!r}")
        return self._file_lock(name) if self.dialect == "sqlite" else self._session_lock(name)

    def close(self) -> None:
        """Close every connection; SQLite's log is folded into the database."""
        self._reader.dispose()
        self._writer.dispose()
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def scrub(self) -> None:
        """Fold SQLite's log into the database and empty it: deleted text is then in no file of the store.

        Readers in the midst of a snapshot may delay a part of it to the next time. PostgreSQL does it itself.
        """
        if self.dialect == "sqlite":
            with self._clear_errors(), self._alone(), self._writer.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").close()

    # Opening

    def prepare(self) -> None:
        """Make what is missing, upgrade the tables when they are older, and learn the instance."""
        if self.dialect == "sqlite":
            self._make_files()
        with self._clear_errors():
            with self._reader.connect() as connection:
                if (
                    self.dialect == "sqlite"
                    and connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal"
                ):
                    self._turn_to_wal()
                revision = migrations.stored_revision(connection)
            if revision != migrations.HEAD:
                self._upgrade()
            with self.read() as tx:
                self.instance = meta.get(tx, "instance")

    def _upgrade(self) -> None:
        with self._unchecked_keys(), self.write() as tx:
            if migrations.stored_revision(tx) == migrations.HEAD:  # another process was first
                return
            if self.dialect == "sqlite":
                tx.exec_driver_sql(f"PRAGMA application_id = {_APPLICATION}")
            elif (encoding := tx.exec_driver_sql("SHOW server_encoding").scalar()) != "UTF8":
                raise StoreError(f"the database is in {encoding}", remedy="Make one with ENCODING 'UTF8'")
            migrations.upgrade(tx)
            meta.begin(tx)

    @contextmanager
    def _unchecked_keys(self) -> Iterator[None]:
        """Let SQLite rebuild tables: dropping the old one would delete the rows that refer to it."""
        if self.dialect == "sqlite":
            with self._writer.connect() as only:
                only.exec_driver_sql("PRAGMA foreign_keys = OFF")
        try:
            yield
        finally:
            self._writer.dispose()

    def _make_files(self) -> None:
        """Make folder, database and lock file.

        A database that exists is not opened here: closing a second handle on it would drop, by POSIX's rule,
        the locks that SQLite holds on it elsewhere in this process.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            lock = self._path.with_name(f"{self._path.name}.writing.lock")
            self._lock_file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise StoreError(
                f"the database file cannot be made: {e.strerror}",
                where=str(e.filename or self._path),
                remedy="Check the folder and its permissions",
            ) from e

    def _turn_to_wal(self) -> None:
        with self._alone(), self._writer.connect():
            pass  # connecting the writer does it

    # Locks

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only writer of this process and, on SQLite, of this machine."""
        if self._writer_thread == threading.get_ident():
            raise RuntimeError("a writing transaction inside a writing transaction")
        deadline = time.monotonic() + self._patience
        if not self._writing.acquire(timeout=self._patience):
            raise self._locked()
        try:
            self._writer_thread = threading.get_ident()
            if self.dialect == "sqlite":
                with self._locked_file(deadline):
                    yield
            else:
                yield
        finally:
            self._writer_thread = 0
            self._writing.release()

    @contextmanager
    def _locked_file(self, deadline: float) -> Iterator[None]:
        while not _try_lock(self._lock_file):
            if time.monotonic() > deadline:
                raise self._locked()
            time.sleep(0.002)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    @contextmanager
    def _file_lock(self, name: str) -> Iterator[bool]:
        handle = os.open(
            self._path.with_name(f"{self._path.name}.{name}.lock"),
            os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
            0o600,
        )
        try:
            yield _try_lock(handle)
        finally:
            os.close(handle)

    @contextmanager
    def _session_lock(self, name: str) -> Iterator[bool]:
        engine = create_engine(self._writer.url, connect_args=_pg_options(self._url), poolclass=NullPool)
        with self._clear_errors():
            connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                query = text(f"SELECT pg_try_advisory_lock({_PG_LOCK})")
                held = connection.execute(query, {"name": f":lock:{name}"}).scalar_one()
                yield bool(held)
                if held:  # at once: a backend takes a moment to see that its client has gone
                    unlock = text(f"SELECT pg_advisory_unlock({_PG_LOCK})")
                    with suppress(DBAPIError):  # with the connection the lock has gone as well
                        connection.execute(unlock, {"name": f":lock:{name}"})
            finally:
                connection.close()

    # Errors

    @contextmanager
    def _clear_errors(self, *, writing: bool = True) -> Iterator[None]:
        """Turn what the disk, the server or a lock did into one StoreError; our own mistakes pass through."""
        try:
            yield
        except PoolTimeout as e:
            raise StoreError(
                "no connection became free", where=self.url, remedy="Try again with less at once"
            ) from e
        except DBAPIError as e:
            if not _outside(e, writing=writing):
                raise
            reason = (str(e.orig).strip().splitlines() or ["no reason given"])[0]
            for secret in _secrets(self._url):
                reason = reason.replace(secret, "***")
            raise StoreError(reason, where=self.url, remedy=_remedy(reason)) from e

    def _locked(self) -> StoreError:
        return StoreError(
            f"another writer held the store for more than {self._patience:g} s",
            where=self.url,
            remedy="Wait for the other process or stop it",
        )


def open_store(url: str, *, patience: float = PATIENCE) -> Store:
    """Open the store at a `sqlite:///PATH` or `postgresql://…` URL, making and upgrading it as needed.

    Raises StoreError with one line that never shows the URL's password.
    """
    store = Store(_parse(url), patience=patience)
    try:
        store.prepare()
    except StoreError as e:
        store.close()
        e.where = e.where or store.url
        raise
    except BaseException:
        store.close()
        raise
    return store


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(
            "the store's URL is malformed", remedy=_URL_REMEDY
        ) from None  # it may hold a password
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise StoreError(f"there is no store of kind {parsed.drivername!r}", remedy=_URL_REMEDY)
    if not parsed.database or ":memory:" in parsed.database or parsed.query or parsed.host:
        raise StoreError("a SQLite store needs the path of a file", remedy=_URL_REMEDY)
    path = Path(parsed.database).expanduser().absolute()
    return parsed.set(drivername="sqlite+pysqlite", database=str(path))


_URL_REMEDY = "Write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"


def _sqlite_engine(url: URL, *, read_only: bool, patience: float) -> Engine:
    """Make an engine of many readers, or of the one writer."""
    size: dict[str, Any] = (
        {"pool_size": 4, "max_overflow": -1} if read_only else {"pool_size": 1, "max_overflow": 0}
    )
    engine = create_engine(
        url,
        connect_args={"timeout": patience, "isolation_level": None},
        hide_parameters=True,  # they are people's addresses
        **size,
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _record: object) -> None:
        mode = "query_only = ON" if read_only else "journal_mode = WAL"
        # secure_delete: a person who was erased is not left behind in free pages
        for pragma in (mode, "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


def _postgresql_engine(url: URL, *, patience: float) -> Engine:
    return create_engine(
        url,
        connect_args=_pg_options(url, patience=patience),
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=25,
        pool_timeout=patience,
    )


def _pg_options(url: URL, *, patience: float = PATIENCE) -> dict[str, Any]:
    """Return what psycopg is told beyond the URL: UTC, and an end to every wait."""
    given = url.query.get("options", "")
    options = (
        f"-c timezone=UTC -c lock_timeout={int(patience * 1000)} -c idle_in_transaction_session_timeout=300s "
    )
    return {
        "options": options + (given if isinstance(given, str) else " ".join(given)),
        "application_name": "newsletter",
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _outside(error: DBAPIError, *, writing: bool) -> bool:
    """Tell a failure of disk, server or lock from a mistake in our own SQL."""
    if not isinstance(error.orig, sqlite3.Error):
        return isinstance(error, OperationalError)
    ours = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE}
    if not writing:
        ours.add(sqlite3.SQLITE_READONLY)
    return getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in ours


def _secrets(url: URL) -> list[str]:
    given = [str(url.password or ""), *(str(url.query.get(key, "")) for key in ("password", "sslpassword"))]
    return [secret for secret in given if secret]


def _shown(url: URL) -> str:
    """Write a URL for people: no password, no options, no driver."""
    host = {key: value for key, value in url.query.items() if key in ("host", "port")}
    shown = url.set(drivername=url.get_backend_name(), query=host)
    return shown.render_as_string(hide_password=True)


def _remedy(reason: str) -> str:
    if "not a database" in reason:
        return "Name another file"
    if "lock" in reason:
        return "Wait for the other process or stop it"
    if "full" in reason or "space" in reason:
        return "Make room on the disk; nothing is lost"
    return "Check that the store is there and may be written to"
