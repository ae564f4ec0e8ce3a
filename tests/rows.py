"""Rows for every table, made from the declared columns: awkward text, true instants, real words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, Table, func, insert, select

from newsletter.store import Tx
from newsletter.store.columns import Flag, Instant, Json, Word
from newsletter.store.schema import METADATA

AWKWARD = (
    "",
    "plain",
    "na\u00efve \U0001f4ec \U0001f468\u200d\U0001f469\u200d\U0001f467 \u202e",
    "line\nbreak\r\n\ttab \u2028 \x0b",
    "quotes ' \" \\ \\N \\. %s {x} ; --",
    "NULL",
    "\ufeff",
    "x" * 5000,
)
WORDS = {"posts.state": "hidden"}
START = datetime(2026, 11, 16, 7, 0, tzinfo=UTC)


def fill(tx: Tx, count: int = len(AWKWARD)) -> None:
    """Put rows into every table, each referring to the row of the same number in the tables above it."""
    for table in METADATA.sorted_tables:
        if table.name != "meta":
            tx.execute(insert(table), [row(table, number) for number in range(1, count + 1)])


def row(table: Table, number: int) -> dict[str, Any]:
    """Make row `number` of a table."""
    return {column.name: _value(column, number) for column in table.c}


def _value(column: Column[Any], number: int) -> Any:
    if f"{column.table.name}.{column.name}" in WORDS:
        return WORDS[f"{column.table.name}.{column.name}"]
    if isinstance(column.type, Instant):
        return (
            START + timedelta(days=number, microseconds=number) if number % 3 or not column.nullable else None
        )
    if isinstance(column.type, Flag):
        return bool(number % 2)
    if isinstance(column.type, Word):
        words = list(column.type.enumeration)
        return words[number % len(words)]
    if isinstance(column.type, Json):
        return {"number": number, "text": AWKWARD[number % len(AWKWARD)], "nested": [None, True, 1.5]}
    if isinstance(column.type, Integer | BigInteger):
        return number
    text = AWKWARD[number % len(AWKWARD)]
    keyed = column.primary_key or column.unique or column.table.name == "newsletters"
    return f"{number}-{text}"[:200] if keyed else text


def everything(tx: Tx) -> dict[str, list[tuple[Any, ...]]]:
    """Read every row of every table, the store's own facts aside."""
    return {
        table.name: sorted((tuple(found) for found in tx.execute(select(table))), key=repr)
        for table in METADATA.sorted_tables
        if table.name != "meta"
    }


def count(tx: Tx, table: Table) -> int:
    """Count a table's rows."""
    return tx.execute(select(func.count()).select_from(table)).scalar_one()
