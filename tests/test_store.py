"""Opening a store: files and their modes, versions, and one clear line for everything that goes wrong."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text

from newsletter.errors import StoreError
from newsletter.store import Store, meta, open_store
from newsletter.store.schema import METADATA, quarantine
from private_postgres import PrivatePostgres


def refusal(url: str, *, patience: float = 1.0) -> str:
    """Return the one line with which opening this store is refused."""
    with pytest.raises(StoreError) as caught:
        open_store(url, patience=patience).close()
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


# SQLite's files


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "var"
    before = os.umask(0)
    try:
        with open_store(f"sqlite:///{folder}/n.db") as store, store.write() as tx:
            meta.put(tx, "colour", "blue")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    assert {"n.db", "n.db-wal", "n.db-shm"} <= set(modes)


def test_a_relative_path_is_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite:///var/n.db") as store:
        monkeypatch.chdir("/")
        with store.write() as tx:
            meta.put(tx, "colour", "blue")
    assert (tmp_path / "var" / "n.db").exists()


def test_awkward_paths(tmp_path: Path) -> None:
    for name in ("a b.db", "é.db", "100%.db", "#1.db"):
        open_store(f"sqlite:///{tmp_path}/{name}").close()
        assert (tmp_path / name).exists()


def test_every_connection_is_durable_and_checks_keys(sqlite_store: Store) -> None:
    settings = ("journal_mode", "synchronous", "foreign_keys", "application_id")
    with sqlite_store.read() as tx:
        reader = [tx.execute(text(f"PRAGMA {name}")).scalar() for name in settings]
    with sqlite_store.write() as tx:
        writer = [tx.execute(text(f"PRAGMA {name}")).scalar() for name in settings]
    assert reader == writer == ["wal", 2, 1, 0x6E6C7472]


def test_closing_leaves_one_whole_file(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store, store.write() as tx:
        meta.put(tx, "colour", "blue")
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    assert not path.with_name(path.name + "-wal").exists()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT value FROM meta WHERE key = 'colour'").fetchone() == ("blue",)
    connection.close()


def test_what_was_deleted_is_not_left_in_the_file(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with open_store(sqlite_url) as store:
        with store.write() as tx:
            for number in range(200):
                meta.put(tx, f"reader{number}@example.org", f"reader{number}@example.org" * (number + 1))
        with store.write() as tx:
            assert (
                tx.execute(delete(METADATA.tables["meta"]).where(text("key LIKE 'reader%'"))).rowcount == 200
            )
    assert b"@example.org" not in path.read_bytes()


def test_two_stores_of_one_file_in_one_process_keep_their_locks(sqlite_url: str) -> None:
    """Opening and closing a second store must not drop the locks of the first (POSIX locks are per process)."""
    with open_store(sqlite_url) as first, first.read() as reader:
        assert meta.get(reader, "colour") == ""
        with first.write() as tx:
            open_store(sqlite_url).close()
            other = [
                sys.executable,
                "-c",
                "import sqlite3, sys\n"
                "c = sqlite3.connect(sys.argv[1], timeout=0)\n"
                "try: c.execute('BEGIN IMMEDIATE'); print('free')\n"
                "except sqlite3.OperationalError as e: print(e)",
                sqlite_url.removeprefix("sqlite:///"),
            ]
            assert subprocess.run(other, capture_output=True, text=True, check=True).stdout.strip() == (
                "database is locked"
            )
            meta.put(tx, "colour", "blue")


def test_a_copied_file_does_not_deliver_by_itself(sqlite_url: str, tmp_path: Path) -> None:
    with open_store(sqlite_url) as store:
        instance = store.instance
    copy = tmp_path / "copy.db"
    copy.write_bytes(Path(sqlite_url.removeprefix("sqlite:///")).read_bytes())
    with open_store(f"sqlite:///{copy}") as store, store.read() as tx:
        assert store.instance == instance
        assert "copy" in meta.pause_reason(tx)


def test_a_moved_folder_delivers_on(sqlite_url: str, tmp_path: Path) -> None:
    open_store(sqlite_url).close()
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    moved = path.parent.rename(tmp_path / "moved")
    with open_store(f"sqlite:///{moved / path.name}") as store, store.read() as tx:
        assert meta.pause_reason(tx) == ""


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://host/n.db",
        "sqlite:///n.db?mode=ro",
        "mysql://u:hunter2@h/d",
        "postgresql://u:hunter2@h:hunter2/d",
    ],
)
def test_a_url_of_no_store(url: str) -> None:
    said = refusal(url)
    assert "sqlite:///PATH" in said
    assert "hunter2" not in said


@given(st.text(min_size=1, max_size=30))
def test_no_text_as_a_url_breaks_anything(rest: str) -> None:
    said = refusal(f"mysql+{rest}://u:hunter2@h/d")
    assert "hunter2" not in said


# What goes wrong on SQLite


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    said = refusal(f"sqlite:///{tmp_path}/file/n.db")
    assert str(tmp_path / "file") in said
    assert "permissions" in said


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    assert "unable to open" in refusal(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("content", [b"# posts\n" * 500, b"SQLite format 3\0" + b"\xff" * 4080])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "n.db").write_bytes(content)
    said = refusal(f"sqlite:///{tmp_path}/n.db")
    assert f"{tmp_path}/n.db: file is not a database" in said
    assert (tmp_path / "n.db").read_bytes() == content


def test_another_programs_database(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "n.db")
    connection.execute("CREATE TABLE wp_posts (id)")
    connection.close()
    assert "another program's tables (wp_posts)" in refusal(f"sqlite:///{tmp_path}/n.db")


def test_a_locked_file(sqlite_url: str) -> None:
    open_store(sqlite_url).close()
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with open_store(sqlite_url, patience=0.05) as store:
        with (
            pytest.raises(StoreError, match=r"database is locked\. Wait for the other process"),
            store.write(),
        ):
            pass
        connection.execute("ROLLBACK")
        connection.close()
        with store.write() as tx:
            meta.put(tx, "colour", "blue")


def test_a_writer_that_holds_on_too_long(sqlite_url: str) -> None:
    with open_store(sqlite_url) as first, open_store(sqlite_url, patience=0.05) as second:
        with (
            first.write(),
            pytest.raises(StoreError, match=r"another writer held the store for more than 0\.05 s"),
        ):
            with second.write():
                pass
        with second.write() as tx:
            meta.put(tx, "colour", "blue")


def test_a_full_disk_loses_nothing_and_is_survived(sqlite_store: Store) -> None:
    with sqlite_store.write() as tx:
        meta.put(tx, "colour", "blue")
        pages = tx.execute(text("PRAGMA page_count")).scalar_one()
        tx.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match=r"full\. Make room"), sqlite_store.write() as tx:
        meta.put(tx, "colour", "x" * 1_000_000)
    with sqlite_store.write() as tx:
        assert meta.get(tx, "colour") == "blue"
        tx.exec_driver_sql("PRAGMA max_page_count = 1000000")
        meta.put(tx, "colour", "red")


# What goes wrong on PostgreSQL


def test_a_server_that_is_not_there() -> None:
    said = refusal("postgresql://editor:hunter2@127.0.0.1:1/news?password=hunter3")
    assert "postgresql://editor:***@127.0.0.1:1/news" in said
    assert "refused" in said
    assert "hunter" not in said


@pytest.mark.postgres
def test_a_database_that_is_not_there(postgres_server: PrivatePostgres) -> None:
    assert 'database "nowhere" does not exist' in refusal(postgres_server.url("nowhere"))


@pytest.mark.postgres
def test_a_backend_that_dies_in_a_transaction(postgres_url: str) -> None:
    with open_store(postgres_url) as store:

        def write_until_killed() -> None:
            with store.write() as tx:
                meta.put(tx, "colour", "blue")
                pid = tx.execute(text("SELECT pg_backend_pid()")).scalar_one()
                with store.read() as other:
                    other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
                meta.put(tx, "colour", "red")

        with pytest.raises(StoreError, match="terminat"):
            write_until_killed()
        with store.write() as tx:
            assert meta.get(tx, "colour") == ""


@pytest.mark.postgres
def test_a_lock_whose_connection_dies_is_free_again(postgres_url: str) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    with open_store(postgres_url) as store:
        with store.lock("deliver-1") as held:
            assert held
            with store.read() as tx:
                tx.execute(text(others))
        with store.lock("deliver-1") as held:
            assert held


@pytest.mark.postgres
def test_a_session_is_in_utc_and_every_wait_ends(postgres_url: str) -> None:
    url = postgres_url + "&options=-c%20work_mem%3D1234kB"
    with open_store(url, patience=7) as store, store.read() as tx:
        shown = {
            name: tx.execute(text(f"SHOW {name}")).scalar()
            for name in ("timezone", "lock_timeout", "work_mem", "transaction_isolation")
        }
    assert shown == {
        "timezone": "UTC",
        "lock_timeout": "7s",
        "work_mem": "1234kB",
        "transaction_isolation": "repeatable read",
    }


@pytest.mark.postgres
def test_a_writer_elsewhere_that_holds_on_too_long(postgres_url: str) -> None:
    with open_store(postgres_url) as first, open_store(postgres_url, patience=0.05) as second:
        with first.write(), pytest.raises(StoreError, match="lock timeout"), second.write():
            pass
        with second.write() as tx:
            meta.put(tx, "colour", "blue")


@pytest.mark.postgres
def test_a_database_in_another_encoding(postgres_server: PrivatePostgres) -> None:
    postgres_server.run("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'")
    try:
        assert "LATIN1" in refusal(postgres_server.url("latin"))
    finally:
        postgres_server.drop("latin")


@pytest.mark.postgres
def test_two_publications_in_two_schemas_of_one_database(empty_postgres_url: str) -> None:
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA one")
        connection.execute("CREATE SCHEMA two")
    urls = [f"{empty_postgres_url}&options=-csearch_path%3D{name}" for name in ("one", "two")]
    with open_store(urls[0]) as one, open_store(urls[1]) as two:
        assert one.instance != two.instance
        with one.lock("deliver-1") as first, two.lock("deliver-1") as second, one.write(), two.write():
            assert first
            assert second


# Versions


def test_a_store_of_a_newer_version(empty_store_url: str) -> None:
    with open_store(empty_store_url) as store, store.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    said = refusal(empty_store_url)
    assert "9999" in said
    assert "newer version" in said
    assert "hide" not in said


def test_what_is_new_opens_without_alembic(store_url: str) -> None:
    open_store(store_url).close()
    program = (
        "import sys; from newsletter.store import open_store; open_store(sys.argv[1]).close();"
        "print([name for name in sys.modules if name.startswith(('alembic', 'mako'))])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, store_url], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


# Mistakes of our own


def test_mistakes_in_sql_pass_through_and_show_no_ones_address(store: Store) -> None:
    with pytest.raises(Exception, match="no_such_table") as caught, store.write() as tx:
        tx.execute(text("SELECT * FROM no_such_table WHERE address = :a"), {"a": "reader@example.org"})
    assert not isinstance(caught.value, StoreError)
    assert "reader@example.org" not in str(caught.value)


def test_a_broken_constraint_passes_through(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)null") as caught, store.write() as tx:
        tx.execute(insert(quarantine).values(source="s", source_key="k"))
    assert not isinstance(caught.value, StoreError)
    with store.read() as tx:
        assert tx.execute(select(quarantine)).first() is None
