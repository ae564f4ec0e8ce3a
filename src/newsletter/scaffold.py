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
    value is not allowed.
    """
    if (folder / FILE_NAME).exists():
        raise InputError(
            "there is a publication already",
            where=str(folder),
            remedy="Change its newsletter.toml, or name another DIR",
        )
    authority = urlsplit(url).hostname or "example.org"
    local = now.astimezone(ZoneInfo(zone))
    quoted = {
        "title": title,
        "url": url,
        "language": "en",
        "timezone": zone,
        "contact": contact,
        "authority": authority,
        "newsletter_title": f"{title} Weekly",
        "sender": f"weekly@{authority}",
    }
    toml = {key: json.dumps(value, ensure_ascii=False) for key, value in quoted.items()}
    markdown = {"title": json.dumps(f"Welcome to {title}", ensure_ascii=False), "author": json.dumps(title)}
    env = templating.environment()
    written: list[Path] = []
    try:
        for name, template in FILES.items():
            path = folder / name
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            values = toml if name == FILE_NAME else markdown
            moment, since = f"{local:%Y-%m-%d %H:%M}", f"{local - timedelta(days=7):%Y-%m-%d}"
            path.write_text(
                templating.render(
                    env, template, **values, today=f"{local:%Y-%m-%d}", since=since, moment=moment
                ),
                encoding="utf-8",
            )
            written.append(path)
    except OSError as e:
        raise OutsideError(
            f"it cannot be written: {e.strerror}",
            where=str(e.filename or folder),
            remedy="Check the folder's permissions",
        ) from e
    try:
        return load(folder, environment={})
    except InputError:
        for path in written:  # a value was refused: leave nothing half made
            path.unlink()
        raise
