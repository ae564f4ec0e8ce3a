"""The types of columns: one meaning on both databases.

STRICT tables of SQLite know integers and texts only, so instants are ISO text of fixed width there (it sorts as
time does) and `timestamptz` on PostgreSQL.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

BIG = BigInteger().with_variant(Integer, "sqlite")  # SQLite's INTEGER has 64 bits


def bind_instant(value: datetime, dialect: str) -> Any:
    """Return an instant in UTC as the driver of this dialect takes it."""
    if value.tzinfo is None:
        raise ValueError(f"naive instant {value!r}")
    value = value.astimezone(UTC)
    if dialect == "postgresql":
        return value
    return value.replace(tzinfo=None).isoformat("T", "microseconds") + "Z"  # strftime leaves years unpadded


class Instant(TypeDecorator[datetime]):
    """An aware instant; a naive one is a programming error."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use the server's own type where there is one."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Bind an instant as UTC."""
        return None if value is None else bind_instant(value, dialect.name)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read an instant back, aware."""
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return None if value is None else datetime.fromisoformat(value)


class Flag(TypeDecorator[bool]):
    """A boolean kept as 0 or 1 (STRICT tables have no boolean)."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> int | None:
        """Bind as an integer."""
        return None if value is None else int(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> bool | None:
        """Read as a boolean."""
        return None if value is None else bool(value)


class Json(TypeDecorator[Any]):
    """A JSON document kept as text, keys sorted so that equal values are equal bytes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write compact, sorted JSON."""
        return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Parse it."""
        return None if value is None else json.loads(value)


class Word(TypeDecorator[str]):
    """One word of an enumeration, read back as its member."""

    impl = Text
    cache_ok = True

    def __init__(self, enumeration: type[StrEnum]) -> None:
        super().__init__()
        self.enumeration = enumeration

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Refuse a word that is not of the enumeration."""
        return None if value is None else self.enumeration(value).value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the member."""
        return None if value is None else self.enumeration(value)


def text(name: str, default: str | None = "") -> Column[str]:
    """Declare a text that is never NULL."""
    return Column(name, Text, nullable=False, server_default=default)


def word(name: str, enumeration: type[StrEnum], default: str | None = None) -> list[Any]:
    """Declare a word of an enumeration, with its check."""
    allowed = ", ".join(f"'{member.value}'" for member in enumeration)
    return [
        Column(name, Word(enumeration), nullable=False, server_default=default),
        CheckConstraint(f"{name} IN ({allowed})", name=name),
    ]


def count(name: str) -> Column[int]:
    """Declare a number that begins at 0."""
    return Column(name, Integer, nullable=False, server_default="0")


def first(name: str) -> Column[int]:
    """Declare a number that begins at 1."""
    return Column(name, Integer, nullable=False, server_default="1")


def flag(name: str) -> Column[bool]:
    """Declare a boolean, false by default."""
    return Column(name, Flag, nullable=False, server_default="0")


METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def table(name: str, *items: Any) -> Table:
    """Declare a table."""
    return Table(name, METADATA, *items, sqlite_strict=True)


def numbered(name: str, *items: Any) -> Table:
    """Declare a table whose ids are given once: a deleted row's id never comes back, on SQLite either."""
    return Table(name, METADATA, *items, sqlite_strict=True, sqlite_autoincrement=True)
