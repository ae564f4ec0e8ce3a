"""The tables that revisions make are the tables that the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from newsletter.store import Store, migrations, open_store
from newsletter.store.schema import METADATA

POSTGRES_CATALOGUE = """
SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' '
       || coalesce(regexp_replace(column_default, '''[^'']*seq''', 'seq'), '-')
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
"""


def catalogue(connection: Connection) -> set[str]:
    """Describe every table, column, constraint and index, whatever the order they were declared in."""
    if connection.dialect.name == "postgresql":
        rows = connection.execute(text(POSTGRES_CATALOGUE)).scalars()
        return {row for row in rows if "alembic_version" not in row}
    statements = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")).scalars()
    found = set()
    for statement in statements:
        if "alembic_version" in statement or "sqlite_sequence" in statement:
            continue
        name, _, rest = statement.strip().partition("(")
        body, _, end = rest.rpartition(")")
        found |= {f"{' '.join(name.split())} {part}" for part in [*parts(body), f"){end.strip()}"]}
    return found


def parts(body: str) -> set[str]:
    """Split what stands between a statement's parentheses at its own commas: a column added later stands elsewhere."""
    depth, split = 0, [""]
    for sign in body:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and not depth:
            split.append("")
        else:
            split[-1] += sign
    return {" ".join(one.split()) for one in split}


def test_revisions_make_the_declared_tables_on_sqlite(sqlite_store: Store, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/declared.db")
    with engine.begin() as connection:
        METADATA.create_all(connection)
        declared = catalogue(connection)
    engine.dispose()
    with sqlite_store.read() as tx:
        assert catalogue(tx) == declared


@pytest.mark.postgres
def test_revisions_make_the_declared_tables_on_postgresql(postgres_url: str, empty_postgres_url: str) -> None:
    engine = create_engine(empty_postgres_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        METADATA.create_all(connection)
        declared = catalogue(connection)
    engine.dispose()
    with open_store(postgres_url) as store, store.read() as tx:
        assert catalogue(tx) == declared


def test_every_table_is_strict_and_ids_never_come_back(sqlite_store: Store) -> None:
    with sqlite_store.read() as tx:
        strict = set(tx.execute(text("SELECT name FROM pragma_table_list WHERE strict = 1")).scalars())
        numbered = set(
            tx.execute(text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")).scalars()
        )
    assert strict == set(METADATA.tables)
    hub = {"websub_requests", "websub_subscriptions"}
    api = {"api_keys", "webhook_events"}
    assert numbered == {"posts", "issues", "subscribers", "consents", "letters", "bounces"} | hub | api


def test_the_partial_index_keeps_its_predicate(store: Store) -> None:
    query = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE name = 'ix_deliveries_open'",
        "postgresql": "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_deliveries_open'",
    }
    with store.read() as tx:
        definition = tx.execute(text(query[store.dialect])).scalar_one()
    assert "waiting" in definition.partition("WHERE")[2]


def test_there_is_one_line_of_revisions_and_head_is_its_end() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [migrations.HEAD]
    assert len(scripts.get_bases()) == 1


def test_an_upgrade_of_what_is_new_changes_nothing(store: Store) -> None:
    with store.write() as tx:
        before = catalogue(tx)
        migrations.upgrade(tx)
        assert catalogue(tx) == before
        assert tx.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1
