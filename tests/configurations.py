"""Configurations for tests: a right one, changes to it, and how a wrong one is refused."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from newsletter.config import load
from newsletter.errors import ConfigError

SECRET = "hunter2-correct-horse"

DEFAULT: dict[str, Any] = {
    "publication": {
        "title": "The Harbour Post",
        "url": "https://harbour.example.org/",
        "language": "en-AU",
        "timezone": "Europe/Brussels",
        "author": "Ada Verstraete",
        "id_authority": "harbour.example.org",
        "id_date": "2026-01-01",
        "contact": "editor@harbour.example.org",
        "postal_address": "The Harbour Post, 1 Quay Street, Antwerp",
    },
    "sources": [{"name": "posts", "kind": "markdown", "path": "posts"}],
    "newsletters": [
        {
            "name": "weekly",
            "title": "The Harbour Weekly",
            "schedule": {"every": "week", "on": ["monday"], "at": "07:00", "timezone": "Australia/Sydney"},
            "sender": "weekly@harbour.example.org",
            "sender_name": "The Harbour Post",
        }
    ],
    "smtp": {"host": "127.0.0.1", "port": 2525, "security": "none"},
}


def merge(default: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Lay changes over a configuration."""
    merged = dict(default)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def write_toml(tables: dict[str, Any]) -> str:
    """Write a configuration as TOML, each section as one inline table."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in tables.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


WEEKLY: dict[str, Any] = DEFAULT["newsletters"][0]


def write(folder: Path, toml: str) -> Path:
    """Write a configuration as it stands."""
    (folder / "newsletter.toml").write_text(toml, encoding="utf-8")
    return folder


def refusal(folder: Path, environment: dict[str, str] | None = None) -> str:
    """Return the one line with which a configuration is refused; not even its trace shows a secret."""
    with pytest.raises(ConfigError) as caught:
        load(folder, environment or {})
    said = str(caught.value)
    assert "\n" not in said
    assert caught.value.remedy
    assert caught.value.exit_code == 2
    assert SECRET not in said
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return said.replace(str(folder), "DIR")


def mistake(tmp_path: Path, changes: dict[str, Any]) -> str:
    """Return the line about a configuration with these changes."""
    return refusal(write(tmp_path, write_toml(merge(DEFAULT, changes))))


def weekly(**changes: Any) -> dict[str, Any]:
    """Change the newsletter."""
    return {"newsletters": [{**WEEKLY, **changes}]}
