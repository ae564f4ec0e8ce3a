"""Fixtures that several test modules share: real stores, a publication's folder, a fixed instant."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from sqlalchemy import delete

from configurations import DEFAULT as DEFAULT
from configurations import merge
from configurations import write_toml as write_toml
from newsletter.config import FILE_NAME, Config, load
from newsletter.store import Store, meta, open_store
from newsletter.store.schema import METADATA
from private_postgres import PrivatePostgres, find_programs, start

# How long an example takes says nothing on a machine that is shared; figures are taken in bench/.
settings.register_profile("newsletter", deadline=None)
settings.load_profile("newsletter")

#: Makes a publication's folder and returns its configuration.
PublicationFactory = Callable[..., Config]

SHARED = "newsletter"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PrivatePostgres]:
    """Run a private PostgreSQL for the whole session, with one migrated database."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no initdb of PostgreSQL found (PGBIN, PATH, /usr/lib/postgresql, pgserver)")
    with start(programs) as server:
        server.create(SHARED)
        open_store(server.url(SHARED)).close()
        yield server


@pytest.fixture
def postgres_url(postgres_server: PrivatePostgres) -> str:
    """Give the URL of the migrated database, emptied of what an earlier test left: rows, ids, connections.

    A test that changes tables takes `empty_postgres_url`: a database of its own costs 0.3 s, emptying this 0.02.
    """
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    first_ids = "FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace"
    postgres_server.run(
        f"SELECT pg_terminate_backend(pid) {others}",
        "; ".join(f"DELETE FROM {table.name}" for table in reversed(METADATA.sorted_tables)),
        f"SELECT setval(oid::regclass, 1, false) {first_ids}",
        database=SHARED,
    )
    with open_store(postgres_server.url(SHARED)) as store, store.write() as tx:
        meta.begin(tx)
    return postgres_server.url(SHARED)


@pytest.fixture
def empty_postgres_url(postgres_server: PrivatePostgres) -> Iterator[str]:
    """Give the URL of an empty database of this test's own."""
    name = f"empty_{next(_numbers)}"
    postgres_server.create(name)
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Give the URL of a SQLite store that does not exist yet."""
    return f"sqlite:///{tmp_path}/store/newsletter.db"


@pytest.fixture(scope="session")
def sqlite_pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one empty store to copy: making the tables costs 0.1 s."""
    path = tmp_path_factory.mktemp("pattern") / "newsletter.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def made_sqlite_url(sqlite_url: str, sqlite_pattern: Path) -> str:
    """Give the URL of an empty SQLite store with its tables, an instance of its own."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    path.parent.mkdir(mode=0o700)
    shutil.copy(sqlite_pattern, path)
    with open_store(sqlite_url) as store, store.write() as tx:
        tx.execute(delete(METADATA.tables["meta"]))
        meta.begin(tx)
    return sqlite_url


@pytest.fixture
def sqlite_store(made_sqlite_url: str) -> Iterator[Store]:
    """Open an empty store on SQLite."""
    with open_store(made_sqlite_url) as store:
        yield store


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty store, once on each database."""
    url: str = request.getfixturevalue("made_sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty_store_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a store that nobody has opened yet, once on each database."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "empty_postgres_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Open an empty store, once on each database."""
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Find the folder of real input, which stands beside the project and is not part of it."""
    for folder in Path(__file__).resolve().parents:
        data = folder / "shared" / "data"
        if data.is_dir():
            return data
    pytest.skip("the folder of real input (shared/data) is not on this machine")


@pytest.fixture
def now() -> datetime:
    """Give a fixed instant, a Monday."""
    return datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def publication(tmp_path: Path) -> PublicationFactory:
    """Make publications: `publication({"feeds": {"entries": 5}}, folder="other", environment={…})`.

    A table given is laid over the default one, an array of tables replaces it.
    """

    def make(
        changes: dict[str, Any] | None = None,
        *,
        folder: str = "publication",
        environment: dict[str, str] | None = None,
    ) -> Config:
        site = tmp_path / folder
        (site / "posts").mkdir(parents=True, exist_ok=True)
        (site / FILE_NAME).write_text(write_toml(merge(DEFAULT, changes or {})), encoding="utf-8")
        return load(site, environment or {})

    return make
