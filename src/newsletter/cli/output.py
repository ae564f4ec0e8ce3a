"""How commands speak: tables on a terminal, plain lines otherwise, JSON on request."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Add `--json` to a command that reports."""
    return click.option("--json", "as_json", is_flag=True, help="Report as JSON.")(command)


def jsonable(value: Any) -> Any:
    """Return nouns as JSON values: instants in RFC 3339, enumerations as their word."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(v) for v in value]
    return value


def say_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(jsonable(value), ensure_ascii=False, indent=2))


def say(line: str = "") -> None:
    """Print one line, control characters of data made visible."""
    click.echo("".join(c if c.isprintable() or c in "\t " else "�" for c in line))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table: drawn on a terminal, tab-separated otherwise; nothing when it has no rows."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return
    if not sys.stdout.isatty():
        if title:
            say(title)
        for row in [list(columns), *cells]:
            say("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        drawn.add_column(column)
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}Z"
    text = value.value if isinstance(value, Enum) else value
    return " ".join(str(text).split())
