"""Many rows at once, past the statement compiler: values are given as the driver takes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Table, Text, any_, bindparam, func, select, text

from newsletter.store.columns import bind_instant
from newsletter.store.engine import Tx


def insert(tx: Tx, table: Table, names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows: by COPY on PostgreSQL, by one prepared statement on SQLite. Instants come from `binder`."""
    columns = ", ".join(names)
    if tx.dialect.name == "postgresql":
        copying = f"COPY {table.name} ({columns}) FROM STDIN"
        with tx.connection.cursor() as cursor, cursor.copy(copying) as copy:  # type: ignore[attr-defined]  # psycopg's
            for row in rows:
                copy.write_row(row)
    elif many := list(rows):
        marks = ", ".join("?" * len(names))
        statement = f"INSERT INTO {table.name} ({columns}) VALUES ({marks})"  # noqa: S608  # our own names
        tx.exec_driver_sql(statement, many)


def make_room(tx: Tx) -> None:
    """Let SQLite hold 32 MB of pages on this connection: rows by address lie all over the file."""
    if tx.dialect.name == "sqlite":
        tx.exec_driver_sql("PRAGMA cache_size = -32000").close()


def next_ids(tx: Tx, table: Table, count: int) -> Sequence[int]:
    """Take as many ids of a table whose ids are given once; they are used in this transaction or lost."""
    column = table.autoincrement_column
    if column is None:
        raise ValueError(f"{table.name} has no ids of its own")
    given: dict[str, Any] = {"table": table.name, "column": column.name, "count": count}
    if tx.dialect.name == "postgresql":
        return tx.execute(_NEXT, given).scalars().all()
    last = tx.execute(_LAST, {"table": table.name}).scalar() or 0
    return range(last + 1, last + count + 1)


_NEXT = text(
    "SELECT nextval(pg_get_serial_sequence(quote_ident(:table), :column)) FROM generate_series(1, :count)"
)
_LAST = text("SELECT seq FROM sqlite_sequence WHERE name = :table")


def among(tx: Tx, column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Compare a column with many values as one parameter: no limit on how many, and nothing compiled for each."""
    if tx.dialect.name == "postgresql":
        return column == any_(bindparam(None, list(values), type_=ARRAY(column.type)))
    listed = func.json_each(bindparam(None, json.dumps(list(values)), type_=Text())).table_valued("value")
    return column.in_(select(listed.c.value))


def binder(tx: Tx) -> Callable[[datetime], Any]:
    """Return what makes the driver's value of an instant; it remembers those that come often."""
    return lru_cache(maxsize=1024)(partial(bind_instant, dialect=tx.dialect.name))
