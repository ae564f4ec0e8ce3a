"""Topics: the URLs of the feeds that this publication has published, and their documents."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from newsletter.config import Config

TYPES = {
    "atom.xml": "application/atom+xml; charset=utf-8",
    "rss.xml": "application/rss+xml; charset=utf-8",
    "feed.json": "application/feed+json; charset=utf-8",
}
_FOLDER = "feeds"
_FEED = re.compile(rf"{_FOLDER}(?:/(?!\.)[^/\x00-\x1f\x7f\\]+)*/({'|'.join(map(re.escape, TYPES))})")


def topic_of(config: Config, path: str) -> str:
    """Return the topic of a path below the public folder, empty when no feed lies there."""
    return config.publication.url + quote(path) if _FEED.fullmatch(path) else ""


def path_of(config: Config, topic: str) -> str:
    """Return the path of a topic of ours, spelt as its document spells it, empty for any other."""
    path = unquote(topic.removeprefix(config.publication.url))
    return path if topic_of(config, path) == topic else ""


def content_type(topic: str) -> str:
    """Return what a topic's document is served as."""
    return TYPES[topic.rpartition("/")[2]]


def read(config: Config, topic: str) -> bytes | None:
    """Return a topic's document as it is published now, None when it is not ours or not there."""
    file = _file(config, topic)
    try:
        return file.read_bytes() if file is not None else None
    except OSError:
        return None


def is_published(config: Config, topic: str) -> bool:
    """Tell whether a topic is a feed that is published."""
    file = _file(config, topic)
    return file is not None and file.is_file()


def published(config: Config) -> Iterator[tuple[str, Path]]:
    """Give every feed that is published, with its file."""
    for folder, _, names in os.walk(config.public / _FOLDER):
        for name in sorted(TYPES.keys() & set(names)):
            file = Path(folder, name)
            topic = topic_of(config, file.relative_to(config.public).as_posix())
            if topic:
                yield topic, file


def links(config: Config, topic: str, hubs: tuple[str, ...]) -> str:
    """Return the Link header of a feed (RFC 8288): its hubs, and itself."""
    return ", ".join([*(f'<{hub}>; rel="hub"' for hub in hubs), f'<{topic}>; rel="self"'])


def _file(config: Config, topic: str) -> Path | None:
    path = path_of(config, topic)
    if not path:
        return None
    file = (config.public / path).resolve()
    return file if file.is_relative_to(config.public) else None
