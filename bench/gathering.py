"""Gathering a folder of posts, and a feed."""

from __future__ import annotations

import importlib
import io
import tempfile
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from bench.harness import Figure, cpu, median, paired, seconds
from newsletter.config import load
from newsletter.model import Post
from newsletter.publisher import Publisher
from newsletter.sources import SourceContext, SourceState
from newsletter.sources.feed import FeedSource

COUNT = 10_000
ENTRIES = 1000
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TOML = """
[publication]
title = "Bench"
url = "https://bench.example.org/"
id_authority = "bench.example.org"
id_date = 2026-01-01
contact = "editor@bench.example.org"
[[sources]]
name = "posts"
kind = "markdown"
path = "posts"
"""
TEXT = """---
title: "Post {n}: café & “quotes”"
date: 2026-01-01 09:00
tags: [trade, law]
---

A first paragraph with *emphasis* and a [link](https://example.org/{n}), long enough to be read by somebody.

> A quotation of a sentence or two, with its attribution below.
>
> — Somebody, of somewhere

## A heading

- one
- two [three](https://example.org/three)

{more}
"""


def write(folder: Path) -> None:
    """Write the publication."""
    (folder / "posts").mkdir()
    (folder / "newsletter.toml").write_text(TOML, encoding="utf-8")
    more = "\n\n".join(f"Paragraph {k} goes on for a line or so about ports and tariffs." for k in range(6))
    for n in range(COUNT):
        (folder / "posts" / f"post-{n}.md").write_text(TEXT.format(n=n, more=more), encoding="utf-8")


def figures() -> list[Figure]:
    """Measure the folder and the feed."""
    return [*_folder(), *_feed()]


def _folder() -> list[Figure]:
    """Measure a first gathering and one of unchanged files, beside others on the same texts, in CPU seconds."""
    from markdown_it import MarkdownIt

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        texts = [p.read_text("utf-8").split("---\n", 2)[2] for p in (folder / "posts").iterdir()]
        bare = MarkdownIt("commonmark").enable("table")
        peer = seconds(lambda: [bare.render(text) for text in texts], cpu)
        with Publisher.open(load(folder, {})) as publisher:
            first = seconds(lambda: publisher.gather(now=NOW), cpu)
            again = median(lambda: publisher.gather(now=NOW))
        other = _pelican(folder)
    each = f"{first:.1f} s of CPU ({first / COUNT * 1000:.2f} ms a post)"
    return [
        Figure(
            f"first gathering of {COUNT:,} posts, against markdown-it rendering them",
            each,
            f"{peer:.1f} s",
            f"{first / peer:.1f}× its time",
            "10 s",
        ),
        Figure(
            f"first gathering of {COUNT:,} posts, against Pelican reading them",
            each,
            "not measured: not installed" if other is None else f"{other:.1f} s",
            "" if other is None else f"{first / other:.2f}× its time",
        ),
        Figure(f"gathering {COUNT:,} unchanged posts", f"{again * 1000:.0f} ms", "", "", "1 s"),
    ]


def _pelican(folder: Path) -> float | None:
    """Return the CPU seconds of Pelican's readers over the folder, or None where it is not installed."""
    try:
        readers = importlib.import_module("pelican.readers")
        settings = importlib.import_module("pelican.settings")
    except ImportError:
        return None
    reader = readers.Readers({**settings.DEFAULT_CONFIG, "CACHE_CONTENT": False})
    names = sorted(path.name for path in (folder / "posts").iterdir())
    return seconds(
        lambda: [reader.read_file(base_path=str(folder), path=f"posts/{name}") for name in names], cpu
    )


def feed() -> bytes:
    """Write an Atom feed of a thousand entries."""
    body = "".join(
        f"<p>Paragraph {k} with <em>emphasis</em> and <a href='/{k}'>a link</a>.</p>" for k in range(8)
    )
    entries = "".join(
        f"<entry><id>tag:bench.example.org,2026:{n}</id><title>Post {n}</title><link href='/{n}'/>"
        f"<updated>2026-01-01T09:00:00Z</updated><author><name>Ada</name></author>"
        f"<content type='html'>{escape(body)}</content></entry>"
        for n in range(ENTRIES)
    )
    head = "<title>F</title><id>urn:f</id><updated>2026-01-01T00:00:00Z</updated>"
    return f"<feed xmlns='http://www.w3.org/2005/Atom'>{head}{entries}</feed>".encode()


def _feed() -> list[Figure]:
    """Measure the reading of a feed up to finished posts, against feedparser parsing (and sanitising) it."""
    import feedparser

    data = feed()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "feed.xml").write_bytes(data)
        toml = TOML.replace('"markdown"', '"feed"').replace(
            'path = "posts"', 'path = "feed.xml"\nurl = "https://a.example.org/feed"'
        )
        (folder / "newsletter.toml").write_text(toml, encoding="utf-8")
        config = load(folder, {})
        source = FeedSource(SourceContext(config=config, source=config.sources[0], now=NOW))

        def ours() -> None:
            found = list(source.posts(SourceState()))
            assert len(found) == ENTRIES
            assert all(isinstance(one, Post) for one in found)

        mine, peer, ratio = paired(ours, lambda: feedparser.parse(io.BytesIO(data)), 3, cpu)
    return [
        Figure(
            f"a feed of {ENTRIES:,} entries to posts, against feedparser alone",
            f"{mine:.2f} s of CPU",
            f"{peer:.2f} s",
            f"{1 / ratio:.2f}× its time",
        )
    ]
