"""A backup from one database restores into the other, whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select, text

import rows
from newsletter.errors import InputError, StoreError
from newsletter.store import Store, meta, open_store
from newsletter.store.backup import FORMAT, backup, restore
from newsletter.store.schema import METADATA, subscribers


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Give a backup of a small store."""
    with open_store(f"sqlite:///{tmp_path}/archived/n.db") as store:
        with store.write() as tx:
            rows.fill(tx)
        return backup(store, tmp_path / "backup.zip").file


def refusal(file: Path, url: str) -> str:
    """Return the one line with which restoring is refused; the store it was meant for stays empty."""
    with pytest.raises(InputError) as caught:
        restore(file, url)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    with open_store(url) as store, store.read() as tx:
        assert not any(rows.everything(tx).values())
        assert meta.pause_reason(tx) == ""
    return str(caught.value)


# The way there and back


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_everything_comes_back_on_either_database(
    store: Store, target: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/target/n.db"
    if target == "postgresql":
        url = request.getfixturevalue("empty_postgres_url")
    with store.write() as tx:
        rows.fill(tx)
        before = rows.everything(tx)
    written = backup(store, tmp_path / "backup.zip")
    read = restore(written.file, url)
    assert read == written
    with open_store(url) as restored, restored.read() as tx:
        assert rows.everything(tx) == before
        assert restored.instance == store.instance
        assert meta.pause_reason(tx) == (
            f"the store was restored from a backup (backup.zip of {written.created.isoformat()})"
        )


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_an_erased_persons_id_does_not_come_back(
    store: Store, target: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/target/n.db"
    if target == "postgresql":
        url = request.getfixturevalue("empty_postgres_url")

    def subscribe(into: Store, address: str) -> int:
        values = {"address": address, "address_key": address, "created": rows.START}
        with into.write() as tx:
            return int(
                tx.execute(insert(subscribers).values(values).returning(subscribers.c.id)).scalar_one()
            )

    subscribe(store, "a@example.org")
    erased = subscribe(store, "b@example.org")
    with store.write() as tx:
        tx.execute(delete(subscribers).where(subscribers.c.id == erased))
    restore(backup(store, tmp_path / "backup.zip").file, url)
    with open_store(url) as restored:
        assert subscribe(restored, "c@example.org") == erased + 1


def test_an_empty_store_comes_back(store: Store, tmp_path: Path) -> None:
    written = backup(store, tmp_path / "backup.zip")
    assert set(written.rows) == set(METADATA.tables)
    assert restore(written.file, f"sqlite:///{tmp_path}/target/n.db").rows["subscribers"] == 0
    with open_store(f"sqlite:///{tmp_path}/target/n.db") as restored, restored.write() as tx:
        rows.fill(tx)


def test_a_backup_is_one_snapshot(store: Store, tmp_path: Path) -> None:
    """Two rows are always written together, in the first and the last table: a backup holds both or neither."""
    first, last = METADATA.tables["attempts"], METADATA.tables["sources"]
    stop = threading.Event()

    def write() -> int:
        number = 0
        while not stop.is_set():
            number += 1
            with store.write() as tx:
                tx.execute(insert(first).values(rows.row(first, number)))
                tx.execute(insert(last).values(rows.row(last, number)))
        return number

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            reports = [backup(store, tmp_path / f"{number}.zip") for number in range(6)]
        finally:
            stop.set()
        assert writing.result() > 1
    assert all(report.rows["attempts"] == report.rows["sources"] for report in reports)
    assert reports[-1].rows["attempts"] > 0


# The file


def test_a_backup_is_for_its_owner_alone_and_leaves_nothing_beside_it(store: Store, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = backup(store, tmp_path / "backups" / "backup.zip").file
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_a_backup_tells_what_it_is(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        manifest = json.loads(opened.read("manifest.json"))
        lines = opened.read("subscribers.jsonl").decode().rstrip("\n").split("\n")
    assert manifest["format"] == FORMAT
    assert manifest["dialect"] == "sqlite"
    assert manifest["tables"]["subscribers"]["rows"] == len(lines) == len(rows.AWKWARD)
    assert set(json.loads(lines[0])) == set(subscribers.c.keys())


def test_a_backup_never_replaces_a_file(sqlite_store: Store, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    file.write_text("precious")
    with pytest.raises(InputError, match="Choose another name"):
        backup(sqlite_store, file)
    assert file.read_text() == "precious"


def test_a_folder_that_takes_no_backup(sqlite_store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="Check the folder"):
        backup(sqlite_store, tmp_path / "file" / "backup.zip")


def test_a_full_disk_leaves_no_half_backup(sqlite_store: Store, tmp_path: Path) -> None:
    with sqlite_store.write() as tx:
        rows.fill(tx)
    program = (
        "import resource, signal, sys; from pathlib import Path; from newsletter.errors import StoreError\n"
        "from newsletter.store import open_store; from newsletter.store.backup import backup\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store = open_store(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: backup(store, Path(sys.argv[2]))\n"
        "except StoreError as e: print(e)\n"
    )
    target = tmp_path / "backups" / "backup.zip"
    url = f"sqlite:///{tmp_path}/store/newsletter.db"
    said = subprocess.run(
        [sys.executable, "-c", program, url, str(target)], capture_output=True, text=True, check=True
    )
    assert "cannot be written: File too large" in said.stdout
    assert list(target.parent.iterdir()) == []


# What is refused


def test_a_store_with_something_in_it(store: Store, store_url: str, archive: Path) -> None:
    with store.write() as tx:
        tx.execute(insert(subscribers).values(address="a", address_key="a", created=rows.START))
    with pytest.raises(StoreError, match="not empty: it has subscribers"):
        restore(archive, store_url)
    with store.read() as tx:
        assert rows.count(tx, subscribers) == 1
        assert rows.count(tx, METADATA.tables["posts"]) == 0


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "none.zip", f"sqlite:///{tmp_path}/t/n.db")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_backup(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.zip").write_bytes(content)
    assert "not a whole backup" in refusal(tmp_path / "b.zip", f"sqlite:///{tmp_path}/t/n.db")


Members = dict[str, bytes]


def rewrite(file: Path, change: Callable[[Members], object]) -> Path:
    """Write a changed copy of an archive."""
    with zipfile.ZipFile(file) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    change(members)
    changed = file.with_name("changed.zip")
    with zipfile.ZipFile(changed, "w") as out:
        for name, content in members.items():
            out.writestr(name, content)
    return changed


def manifest_with(**values: object) -> Callable[[Members], object]:
    """Change keys of the manifest."""

    def change(members: Members) -> None:
        members["manifest.json"] = json.dumps({**json.loads(members["manifest.json"]), **values}).encode()

    return change


CHANGES: dict[str, Callable[[Members], object]] = {
    "no manifest": lambda m: m.pop("manifest.json"),
    "manifest of a list": lambda m: m.update({"manifest.json": b"[]"}),
    "deep manifest": lambda m: m.update({"manifest.json": b"[" * 100_000}),
    "another format": manifest_with(format="another"),
    "no date": manifest_with(created="yesterday"),
    "no tables": manifest_with(tables={}),
    "tables of a list": manifest_with(tables=["posts"]),
    "a table too few": lambda m: m.pop("subscribers.jsonl"),
    "a file too many": lambda m: m.update({"../../evil.txt": b"evil"}),
    "an absolute name": lambda m: m.update({"/tmp/evil.txt": b"evil"}),
    "a row too few": lambda m: m.update({"attempts.jsonl": m["attempts.jsonl"].split(b"\n", 1)[1]}),
    "a row twice": lambda m: m.update({"attempts.jsonl": m["attempts.jsonl"] + m["attempts.jsonl"]}),
    "a changed word": lambda m: m.update(
        {"suppressions.jsonl": m["suppressions.jsonl"].replace(b'"bounce"', b'"bonuce"')}
    ),
    "a changed address": lambda m: m.update(
        {"subscribers.jsonl": m["subscribers.jsonl"].replace(b"plain", b"plane")}
    ),
    "a row of a list": lambda m: m.update({"meta.jsonl": b"[1]\n"}),
    "a column too many": lambda m: m.update({"meta.jsonl": b'{"key": "a", "value": "b", "more": 1}\n'}),
    "bytes that are no text": lambda m: m.update({"meta.jsonl": b"\xff\xfe\n"}),
    "a lone surrogate": lambda m: m.update({"meta.jsonl": b'{"key": "\\ud800", "value": "b"}\n'}),
    "a number too big": lambda m: m.update(
        {"posts.jsonl": m["posts.jsonl"].replace(b'"word_count": 1,', b'"word_count": 1' + b"0" * 30 + b",")}
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_changed_backup(archive: Path, tmp_path: Path, change: Callable[[Members], object]) -> None:
    assert "not a whole backup" in refusal(rewrite(archive, change), f"sqlite:///{tmp_path}/t/n.db")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.postgres
@pytest.mark.parametrize("name", ["a changed word", "a lone surrogate", "a number too big", "a row twice"])
def test_a_changed_backup_on_postgresql(archive: Path, postgres_url: str, name: str) -> None:
    assert "not a whole backup" in refusal(rewrite(archive, CHANGES[name]), postgres_url)


def test_a_backup_of_another_revision(archive: Path, tmp_path: Path) -> None:
    changed = rewrite(archive, manifest_with(revision="0000", version="0.0.1"))
    assert "Restore it with version 0.0.1" in refusal(changed, f"sqlite:///{tmp_path}/t/n.db")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
@example(where=0.999, bit=0, cut=True)
def test_a_damaged_backup_restores_wholly_or_not_at_all(
    archive: Path, where: float, bit: int, cut: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(archive.read_bytes())
    place = int(where * len(content))
    content[place] ^= 1 << bit
    damaged = archive.with_name("damaged.zip")
    damaged.write_bytes(content[:place] if cut else content)
    url = f"sqlite:///{tmp_path_factory.mktemp('target')}/n.db"
    try:
        report = restore(damaged, url)
    except InputError:
        with open_store(url) as store, store.read() as tx:
            assert not any(rows.everything(tx).values())
    else:  # the bit was in something that says nothing, such as a member's date
        assert report.rows["attempts"] == len(rows.AWKWARD)


# Size


def test_memory_stays_flat_over_100_000_rows(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from sqlalchemy import text
from newsletter.store import open_store
from newsletter.store.backup import backup, restore

def resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

folder = Path(sys.argv[1])
with open_store(f"sqlite:///{folder}/a.db") as store:
    backup(store, folder / "warm.zip")
    restore(folder / "warm.zip", f"sqlite:///{folder}/warm.db")
    with store.write() as tx:
        tx.execute(text(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
            "INSERT INTO subscribers (address, address_key, name, created) SELECT 'reader' || i || '@example.org', "
            "'reader' || i || '@example.org', printf('%.200c', 'x'), '2026-11-23T12:00:00.000000Z' FROM n"
        ))
    before = resident()
    backup(store, folder / "big.zip")
    restored = restore(folder / "big.zip", f"sqlite:///{folder}/b.db")
    print(restored.rows["subscribers"], resident() - before)
"""
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    count, grown = map(int, said.stdout.split())
    assert count == 100_000
    assert grown < 16  # MB; the rows are 30 MB
    with open_store(f"sqlite:///{tmp_path}/b.db") as store, store.read() as tx:
        assert tx.execute(select(func.count()).select_from(subscribers)).scalar() == 100_000
        assert tx.execute(text("PRAGMA integrity_check")).scalar() == "ok"
