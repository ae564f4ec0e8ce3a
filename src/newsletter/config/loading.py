"""Read the file, lay the environment over it, and say in one line what is wrong and what is allowed."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from newsletter.config.schema import Config
from newsletter.errors import ConfigError

FILE_NAME = "newsletter.toml"
ENV_PREFIX = "NEWSLETTER_"
_LONGEST_SHOWN = 60  # characters of a wrong value

Place = tuple[int | str, ...]


def load(folder: Path, environment: dict[str, str] | None = None) -> Config:
    """Read `FOLDER/newsletter.toml` with `NEWSLETTER_SECTION__KEY` of the environment over it.

    Raises ConfigError naming file (or variable), key, value and what is allowed.
    """
    path = folder / FILE_NAME
    raw = _read(path)
    variables = _overlay(raw, dict(os.environ) if environment is None else environment)
    if "folder" in raw:  # ours: never a key of the file
        raise ConfigError("this key is not known", where=f"{path}: folder", remedy=_known(Config, "folder"))
    try:
        return Config(**raw, folder=folder.resolve())
    except ValidationError as e:
        raise _explain(e, path, variables) from None  # pydantic's own error carries the values


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as e:
        raise ConfigError(
            "there is no publication here",
            where=str(path),
            remedy="Make one with: newsletter init DIR, or name its folder with -p DIR",
        ) from e
    except OSError as e:
        raise ConfigError(
            f"it cannot be read: {e.strerror}", where=str(path), remedy="Check its permissions"
        ) from e
    except UnicodeDecodeError:
        raise ConfigError("it is not UTF-8 text", where=str(path), remedy="Save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as e:
        what = _one_line(f"it is not valid TOML: {e}")
        raise ConfigError(what, where=str(path), remedy="Mend that line") from None


def _overlay(raw: dict[str, Any], environment: dict[str, str]) -> dict[Place, str]:
    """Lay single values of the environment over the tables; return which variable each came from."""
    variables: dict[Place, str] = {}
    for variable in sorted(environment):
        section, separator, name = variable.removeprefix(ENV_PREFIX).lower().partition("__")
        if not variable.startswith(ENV_PREFIX) or not separator:
            continue
        tables = [key for key in _keys(Config) if _model(Config, key) is not None and not _many(Config, key)]
        if section not in tables:
            remedy = _nearest(section, tables)
            raise ConfigError("the environment cannot set that section", where=variable, remedy=remedy)
        table = raw.setdefault(section, {})
        if isinstance(table, dict):
            table[name] = environment[variable]
            variables[(section, name)] = variable
    return variables


# Saying what is wrong


def _explain(error: ValidationError, path: Path, variables: dict[Place, str]) -> ConfigError:
    """Turn pydantic's first finding into one line: the key, its value (never a secret's), what is allowed."""
    findings = error.errors(include_url=False)
    # A misspelt key is told before the key that is missing for it.
    first = min(findings, key=lambda one: one["type"] != "extra_forbidden")
    place, model = _place(first["loc"])
    what = _one_line(first["msg"].removeprefix("Value error, "))
    remedy = "Change it there"
    if first["type"] == "extra_forbidden":
        what, remedy = "this key is not known", _known(model, str(place[-1]))
    elif first["type"] == "missing":
        what, remedy = "this key is needed and missing", "Add it"
    elif len(place) > 1 and not _secret(model, place) and isinstance(first["input"], str | int | float):
        what = f"{_shown(first['input'])} is not allowed: {what}"
    if len(findings) > 1:
        remedy += f" ({len(findings) - 1} more to mend)"
    where = variables.get(place) or f"{path}: {_dotted(place)}".removesuffix(": ")
    return ConfigError(what, where=where, remedy=remedy)


def _place(location: Place) -> tuple[Place, type[BaseModel]]:
    """Leave out what pydantic adds to a location; return the key's place and the table it stands in."""
    owner: type[BaseModel] = Config
    table: type[BaseModel] | None = Config
    place: list[int | str] = []
    for part in location:
        if isinstance(part, str):
            if table is None and place[0] != "transports":
                break  # the kind that a value was tried as: `since.date`
            owner, table = table or owner, _model(table or owner, part)
        place.append(part)
    return tuple(place), owner


def _model(table: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Return the table that stands under a key, also in an array of tables; None for a value."""
    field = table.model_fields.get(key)
    if field is None:
        return None
    kinds = (field.annotation, *getattr(field.annotation, "__args__", ()))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _many(table: type[BaseModel], key: str) -> bool:
    return getattr(table.model_fields[key].annotation, "__origin__", None) is tuple


def _keys(table: type[BaseModel]) -> list[str]:
    return [key for key in table.model_fields if key != "folder"]


def _dotted(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _secret(table: type[BaseModel], place: Place) -> bool:
    """Tell whether a value may be shown: a secret's never, nor that of a key we do not know."""
    field = table.model_fields.get(next(str(part) for part in reversed(place) if isinstance(part, str)))
    return field is None or SecretStr in (field.annotation, *getattr(field.annotation, "__args__", ()))


def _shown(value: object) -> str:
    """Write a wrong value on one line, short, without the credentials of a URL."""
    written = repr(re.sub(r"//\S*@", "//***@", value) if isinstance(value, str) else value)
    return written if len(written) <= _LONGEST_SHOWN else written[:_LONGEST_SHOWN] + "…"


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _known(table: type[BaseModel], key: str) -> str:
    return _nearest(key, _keys(table))


def _nearest(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(known)}"
