"""Folders of posts and feed files for tests of gathering, and short ways to look at the store."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

from newsletter.config import Config
from newsletter.gather import gather
from newsletter.model import GatherReport, Post
from newsletter.store import Store, posts

HOUR = dt.timedelta(hours=1)


DAY = dt.timedelta(days=1)


def write(
    config: Config, name: str, title: str = "A title", date: str = "2026-11-01 10:00", **more: str
) -> Path:
    """Write a post; `text` is its body, `folder` another source's folder, the rest front matter."""
    text, folder = more.pop("text", f"Text of {title}."), more.pop("folder", "posts")
    path = config.folder / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{key}: {value}" for key, value in {"title": title, "date": date, **more}.items()]
    path.write_text("---\n" + "\n".join(lines) + f"\n---\n{text}\n", encoding="utf-8")
    changed = int(path.stat().st_mtime_ns) - next(_ages) * 10_000_000_000
    os.utime(path, ns=(changed, changed))
    return path


def _numbers() -> Iterator[int]:
    number = 10
    while True:
        yield number
        number += 1


_ages = _numbers()


def once(store: Store, config: Config, now: dt.datetime) -> GatherReport:
    """Gather the only source."""
    (report,) = gather(store, config, now=now)
    return report


def live(store: Store) -> list[Post]:
    with store.read() as tx:
        return posts.live_posts(tx)


def one(store: Store) -> Post:
    (post,) = live(store)
    return post


def feed_file(config: Config, name: str, *entries: str) -> Path:
    path = config.folder / name
    path.write_text(
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>F</title><id>urn:f</id>'
        f"<updated>2026-01-01T00:00:00Z</updated>{''.join(entries)}</feed>",
        encoding="utf-8",
    )
    return path


def entry(
    post_id: str,
    link: str,
    title: str = "A title",
    text: str = "Text of A title.",
    date: str = "2026-11-01T09:00:00Z",
) -> str:
    return (
        f"<entry><id>{post_id}</id><title>{title}</title><link href='{link}'/>"
        f"<published>{date}</published><updated>{date}</updated><content type='text'>{text}</content></entry>"
    )


TWO_FOLDERS = {
    "sources": [
        {"name": "first", "kind": "markdown", "path": "posts", "priority": 10},
        {"name": "second", "kind": "markdown", "path": "more", "priority": 20},
    ]
}


FOLDER_AND_FEED = {
    "sources": [
        {"name": "feed", "kind": "feed", "path": "feed.xml", "priority": 50},
        {"name": "posts", "kind": "markdown", "path": "posts", "priority": 10},
    ]
}
