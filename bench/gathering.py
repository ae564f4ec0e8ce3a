"""Gathering a folder of posts."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench.harness import Figure, median, seconds
from newsletter.config import load
from newsletter.publisher import Publisher

COUNT = 2000
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
    """Measure a first gathering and one of unchanged files, beside markdown-it alone on the same texts."""
    from markdown_it import MarkdownIt

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        texts = [p.read_text("utf-8").split("---\n", 2)[2] for p in (folder / "posts").iterdir()]
        bare = MarkdownIt("commonmark").enable("table")
        peer = seconds(lambda: [bare.render(text) for text in texts])
        with Publisher.open(load(folder, {})) as publisher:
            first = seconds(lambda: publisher.gather(now=NOW))
            again = median(lambda: publisher.gather(now=NOW))
    each = f"{first / COUNT * 1000:.1f} ms a post"
    return [
        Figure(
            f"first gathering of {COUNT:,} posts, against markdown-it rendering them",
            f"{first:.1f} s ({each})",
            f"{peer:.1f} s",
            f"{first / peer:.1f}× its time",
            "1 ms a post",
        ),
        Figure(f"gathering {COUNT:,} unchanged posts", f"{again * 1000:.0f} ms", "", "", "0.1 ms a post"),
    ]
