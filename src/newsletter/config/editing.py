"""Changes that the program makes to newsletter.toml by the editor's word; comments and order stay."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from newsletter.config.loading import FILE_NAME
from newsletter.errors import ConfigError


def add_source(folder: Path, table: dict[str, Any]) -> None:
    """Write one more source at the end of the sources; nothing else of the file changes.

    Raises ConfigError when the file cannot be read or written, or was written in a way that leaves no place for it.
    """
    import tomlkit

    path = (folder / FILE_NAME).resolve()
    try:
        before = path.read_bytes()
        text = before.decode("utf-8-sig")
        document = tomlkit.parse(text)
        sources = document.get("sources")
        if sources is None:
            sources = document["sources"] = tomlkit.aot()
        made: Any = tomlkit.inline_table() if isinstance(sources, tomlkit.items.Array) else tomlkit.table()
        made.update(table)
        sources.append(made)
        after = tomlkit.dumps(document)
        _check(text, after, table)
        _write(path, before[: 3 * before.startswith(b"\xef\xbb\xbf")] + after.encode())
    except OSError as e:
        raise ConfigError(
            f"it cannot be changed: {e.strerror}", where=str(path), remedy="Check its permissions"
        ) from e
    except (ValueError, KeyError, TypeError, AttributeError, tomlkit.exceptions.TOMLKitError) as e:
        lines = "\n".join(f"{key} = {value!r}" for key, value in table.items())
        raise ConfigError(
            "the source could not be added to it",
            where=str(path),
            remedy=f"Add it yourself:\n\n[[sources]]\n{lines}",
        ) from e


def _check(before: str, after: str, table: dict[str, Any]) -> None:
    """Raise ValueError unless the source is all that was added."""
    old, new = tomllib.loads(before), tomllib.loads(after)
    old["sources"] = [*old.get("sources", []), table]
    if old != new:
        raise ValueError("the file would not say the same any more")


def _write(path: Path, data: bytes) -> None:
    """Put a file in the place of another, with its mode, whole or not at all."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
