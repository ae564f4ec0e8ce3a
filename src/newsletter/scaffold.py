"""A new publication's first files: they work at once."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from newsletter import templating
from newsletter.config import FILE_NAME, Config, load
from newsletter.errors import InputError, OutsideError

FILES = {
    FILE_NAME: "init/newsletter.toml.j2",
    "posts/welcome.md": "init/welcome.md.j2",
    "intro.md": "init/intro.md.j2",
    ".gitignore": "init/gitignore.j2",
}


def create(folder: Path, *, title: str, url: str, contact: str, zone: str, now: datetime) -> Config:
    """Write the files of a new publication and return its configuration, read back.

    An existing file is never overwritten. Raises InputError when there is a publication already or when a
    value is not allowed; then nothing is left half made.
    """
    if (folder / FILE_NAME).exists():
        raise InputError(
            "there is a publication already",
            where=str(folder),
            remedy="Change its newsletter.toml, or name another DIR",
        )
    written = _write(folder, _texts(title, url, contact, zone, now.astimezone(ZoneInfo(zone))))
    try:
        return load(folder, environment={})
    except InputError:
        for path in written:
            path.unlink()
        raise


def _texts(title: str, url: str, contact: str, zone: str, local: datetime) -> dict[str, str]:
    authority = urlsplit(url).hostname or "example.org"
    plain = {
        "title": title,
        "url": url,
        "language": "en",
        "timezone": zone,
        "contact": contact,
        "authority": authority,
        "newsletter_title": f"{title} Weekly",
        "sender": f"weekly@{authority}",
        "welcome": f"Welcome to {title}",
    }
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in plain.items()}
    dates = {
        "today": f"{local:%Y-%m-%d}",
        "since": f"{local - timedelta(days=7):%Y-%m-%d}",
        "moment": f"{local:%Y-%m-%d %H:%M}",
    }
    env = templating.environment()
    return {name: templating.render(env, template, **quoted, **dates) for name, template in FILES.items()}


def _write(folder: Path, texts: dict[str, str]) -> list[Path]:
    written: list[Path] = []
    try:
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(text, encoding="utf-8")
                written.append(path)
    except OSError as e:
        raise OutsideError(
            f"it cannot be written: {e.strerror}",
            where=str(e.filename or folder),
            remedy="Check the folder's permissions",
        ) from e
    return written
