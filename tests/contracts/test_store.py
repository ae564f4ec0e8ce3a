"""The contract of the store: the same meaning on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

import rows
from newsletter.model import SuppressionReason
from newsletter.store import Store, meta, open_store
from newsletter.store.columns import Word
from newsletter.store.schema import METADATA, deliveries, sources, subscribers, suppressions
from processes import child, line

ON_ONE_STORE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


# Transactions


def test_a_transaction_commits_when_its_block_ends(store: Store) -> None:
    with store.write() as tx:
        meta.put(tx, "colour", "blue")
    with store.read() as tx:
        assert meta.get(tx, "colour") == "blue"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_a_transaction_rolls_back_on_any_error(store: Store, error: type[BaseException]) -> None:
    def fail() -> None:
        with store.write() as tx:
            meta.put(tx, "colour", "blue")
            raise error

    with pytest.raises(error):
        fail()
    with store.write() as tx:  # and the next one may begin
        assert meta.get(tx, "colour") == ""


def test_reading_never_writes(store: Store) -> None:
    with pytest.raises(DBAPIError), store.read() as tx:
        meta.put(tx, "colour", "blue")
    with store.write() as tx:
        assert meta.get(tx, "colour") == ""
        meta.put(tx, "colour", "red")  # the connection is not left read-only


def test_readers_see_one_snapshot(store: Store) -> None:
    with store.write() as tx:
        meta.put(tx, "colour", "blue")
    with store.read() as reader:
        assert meta.get(reader, "colour") == "blue"
        with store.write() as tx:
            meta.put(tx, "colour", "red")
            assert meta.get(reader, "colour") == "blue"
        assert meta.get(reader, "colour") == "blue"
    with store.read() as reader:
        assert meta.get(reader, "colour") == "red"


def test_a_writing_transaction_inside_another_is_refused_at_once(store: Store) -> None:
    with store.write():
        with pytest.raises(RuntimeError, match="inside"), store.write():
            pass
    with store.write() as tx:
        meta.put(tx, "colour", "red")


def add_one(store: Store) -> None:
    """Read a number and write the next: only one writer at a time makes this right."""
    with store.write() as tx:
        meta.put(tx, "count", str(int(meta.get(tx, "count", "0")) + 1))


def test_writers_in_threads_take_turns(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(add_one, store) for _ in range(120)]:
            done.result()
    with store.read() as tx:
        assert meta.get(tx, "count") == "120"


def test_writers_in_processes_take_turns(store: Store, store_url: str) -> None:
    program = """
        import sys
        from newsletter.store import meta, open_store
        with open_store(sys.argv[1]) as store:
            print("ready", flush=True)
            sys.stdin.readline()
            for _ in range(60):
                with store.write() as tx:
                    meta.put(tx, "count", str(int(meta.get(tx, "count", "0")) + 1))
            print("done", flush=True)
    """
    with child(program, store_url) as first, child(program, store_url) as second:
        assert (line(first), line(second)) == ("ready", "ready")
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for _ in range(30):
            add_one(store)
        assert (line(first), line(second)) == ("done", "done")
    with store.read() as tx:
        assert meta.get(tx, "count") == "150"


def test_many_readers_beside_a_writer(store: Store) -> None:
    """Two rows are always written together: no reader may ever see one of them alone."""
    stop = threading.Event()

    def watch() -> int:
        seen = 0
        while not stop.is_set():
            with store.read() as tx:
                left, right = meta.get(tx, "left"), meta.get(tx, "right")
            assert left == right
            seen += 1
        return seen

    with ThreadPoolExecutor(6) as pool:
        watchers = [pool.submit(watch) for _ in range(6)]
        try:
            for number in range(40):
                with store.write() as tx:
                    meta.put(tx, "left", str(number))
                    meta.put(tx, "right", str(number))
        finally:
            stop.set()
        assert all(watcher.result() > 0 for watcher in watchers)


def test_two_processes_open_an_empty_store_at_once(empty_store_url: str) -> None:
    program = """
        import sys
        import sqlalchemy.dialects, newsletter.store, alembic.command
        print("ready", flush=True)
        sys.stdin.readline()
        with newsletter.store.open_store(sys.argv[1]) as store:
            print(store.instance, flush=True)
    """
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(child(program, empty_store_url)) for _ in range(2)]
        assert {line(process) for process in processes} == {"ready"}
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        instances = {line(process) for process in processes}
    assert len(instances) == 1
    with open_store(empty_store_url) as store:
        assert instances == {store.instance}
        with store.read() as tx:
            assert meta.pause_reason(tx) == ""


# Locks


def test_a_lock_excludes_and_is_given_back(store: Store) -> None:
    with (
        store.lock("deliver-1") as first,
        store.lock("deliver-1") as second,
        store.lock("deliver-2") as other,
    ):
        assert (first, second, other) == (True, False, True)
    with store.lock("deliver-1") as again:
        assert again is True


def test_a_lock_is_independent_of_transactions(store: Store) -> None:
    with store.lock("deliver-1") as held, store.write() as tx:
        assert held
        meta.put(tx, "colour", "blue")


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "a\n", "a" * 80])
def test_a_lock_has_a_plain_name(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="lock"), store.lock(name):
        pass


def test_a_lock_dies_with_its_process(store: Store, store_url: str) -> None:
    program = """
        import sys
        from newsletter.store import open_store
        with open_store(sys.argv[1]) as store, store.lock("deliver-1") as held, store.write():
            print(held, flush=True)
            sys.stdin.readline()
    """
    with child(program, store_url) as process:
        assert line(process) == "True"
        with store.lock("deliver-1") as held:
            assert held is False
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        with store.write() as tx:  # its open transaction died as well
            meta.put(tx, "colour", "blue")
            backend_gone(store)
        with store.lock("deliver-1") as held:
            assert held is True


def backend_gone(store: Store) -> None:
    """Wait until PostgreSQL has noticed a dead client; a file's lock is free at once."""
    if store.dialect == "postgresql":
        query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted")
        while True:
            with store.read() as tx:
                if tx.execute(query).scalar_one() <= 1:  # the caller's own
                    return


# Values


aware = st.datetimes(
    datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.sampled_from([UTC, timezone(timedelta(hours=11))])
)
no_nul = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | no_nul,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(no_nul, inner, max_size=3),
    max_leaves=8,
)


@ON_ONE_STORE
@given(instant=st.none() | aware, document=st.dictionaries(no_nul, documents, max_size=3), failure=no_nul)
def test_instants_documents_and_texts_come_back(
    store: Store, instant: datetime | None, document: Any, failure: str
) -> None:
    given_row = {"name": "n", "state": document, "checked_at": instant, "failure": failure}
    with store.write() as tx:
        tx.execute(delete(sources))
        tx.execute(insert(sources).values(given_row))
        found = tx.execute(select(sources)).mappings().one()
    assert dict(found) == given_row
    assert found["checked_at"] is None or found["checked_at"].utcoffset() == timedelta(0)


@ON_ONE_STORE
@given(a=aware, b=aware)
def test_instants_sort_as_time_does(store: Store, a: datetime, b: datetime) -> None:
    with store.write() as tx:
        tx.execute(delete(sources))
        tx.execute(insert(sources), [{"name": "a", "checked_at": a}, {"name": "b", "checked_at": b}])
        earlier = tx.execute(select(sources.c.name).where(sources.c.checked_at < max(a, b))).scalars().all()
        first = (
            tx.execute(select(sources.c.name).order_by(sources.c.checked_at, sources.c.name))
            .scalars()
            .first()
        )
    assert len(earlier) == (a != b)
    assert first == ("a" if a <= b else "b")


def test_a_naive_instant_is_a_mistake(store: Store) -> None:
    with store.write() as tx, pytest.raises(StatementError, match="naive"):
        tx.execute(insert(sources).values(name="n", checked_at=datetime(2026, 1, 1)))


def test_words_and_flags_come_back_as_what_they_are(store: Store) -> None:
    with store.write() as tx:
        rows.fill(tx, 6)
    with store.read() as tx:
        reason = tx.execute(select(suppressions.c.reason)).scalars().first()
        flags = set(tx.execute(select(deliveries.c.presumed)).scalars())
    assert isinstance(reason, SuppressionReason)
    assert flags == {True, False}
    assert all(type(flag) is bool for flag in flags)


def test_a_word_that_is_not_of_its_enumeration_is_refused_by_the_code(store: Store) -> None:
    with store.write() as tx, pytest.raises(StatementError, match="'bounced'"):
        tx.execute(insert(suppressions).values(address_hash="h", reason="bounced", at=rows.START))


CHECKED = [
    f"{table.name}.{column.name}"
    for table in METADATA.sorted_tables
    for column in table.c
    if isinstance(column.type, Word) or f"{table.name}.{column.name}" in rows.WORDS
]


def test_bad_words_are_refused_by_the_database(store: Store) -> None:
    assert len(CHECKED) >= 11
    with store.write() as tx:
        rows.fill(tx, 1)
        for name in CHECKED:
            table, column = name.split(".")
            with pytest.raises(IntegrityError), tx.begin_nested():
                tx.execute(text(f'UPDATE "{table}" SET "{column}" = \'no such word\''))


def test_children_need_their_parent(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as tx:
        tx.execute(insert(METADATA.tables["post_tags"]).values(post_seq=99, position=0, tag="x"))


def test_ids_are_given_once(store: Store) -> None:
    """A person erased leaves an id in old ledgers and tokens: the next person must not get it."""

    def subscribe(address: str) -> int:
        values = {"address": address, "address_key": address, "created": rows.START}
        with store.write() as tx:
            return int(
                tx.execute(insert(subscribers).values(values).returning(subscribers.c.id)).scalar_one()
            )

    first = subscribe("a@example.org")
    with store.write() as tx:
        tx.execute(delete(subscribers))
    assert subscribe("b@example.org") > first


# Copies


def test_a_store_that_stays_where_it_is_may_deliver(store: Store, store_url: str) -> None:
    for _ in range(2):
        with open_store(store_url) as again, again.read() as tx:
            assert meta.pause_reason(tx) == ""
            assert again.instance == store.instance


def test_an_editor_resumes_a_copy(store: Store) -> None:
    with store.write() as tx:
        meta.put(tx, "machine", "elsewhere")
        assert "copy" in meta.pause_reason(tx)
        meta.put(tx, "restored_from", "a.zip")
        assert "a.zip" in meta.pause_reason(tx)
        meta.resume(tx)
        assert meta.pause_reason(tx) == ""
