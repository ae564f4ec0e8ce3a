"""Building feeds, and publishing ten thousand posts."""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from feedgen.feed import FeedGenerator
from lxml import etree

from bench.gathering import TOML
from bench.harness import ROOT, Figure, seconds
from newsletter import feeds
from newsletter.config import load
from newsletter.feeds import Feed, atom, entry, entry_of_post, repaired
from newsletter.identity import PostState
from newsletter.model import Author, Image, Post
from newsletter.publish import publish
from newsletter.store import open_store, posts

START = datetime(2026, 11, 20, 8, tzinfo=UTC)
APART = timedelta(hours=6)
LIMIT = 30  # entries of the subscription document
BODY = '<figure><img src="https://x.example.org/i.jpg" alt="x"><figcaption>Caption</figcaption></figure>' + (
    "<p>" + "text " * 300 + "</p>"
)
FEED = Feed(
    id="tag:x.example.org,2026:feed",
    title="Bench",
    site="https://x.example.org/",
    page="https://x.example.org/",
    atom="https://x.example.org/feeds/atom.xml",
    rss="https://x.example.org/feeds/rss.xml",
    json="https://x.example.org/feeds/feed.json",
    author=Author(name="The Editor"),
    began=START,
)


def one(n: int) -> Post:
    """Make the n-th newest post, with what a post usually carries."""
    return Post(
        source="bench",
        source_key=str(n),
        seq=n + 1,
        id=f"tag:x.example.org,2026:{n}",
        title=f"Post {n}: café & “quotes”",
        published=START - APART * n,
        updated=START - APART * n,
        body_html=BODY,
        summary="A short plain summary.",
        url=f"https://x.example.org/p/{n}",
        slug=f"p{n}",
        authors=(Author(name="The Editor"),),
        tags=("trade", "law"),
        images=(Image(src="https://x.example.org/i.jpg", alt="x", width=640, height=480),),
    )


def make(count: int) -> list[Post]:
    """Make posts, newest first."""
    return [one(n) for n in range(count)]


# The documents of a feed


def subscription(some: list[Post]) -> bytes:
    """Build the document that readers subscribe to."""
    return atom(FEED, [entry_of_post(FEED, post) for post in some[:LIMIT]])


def everything(some: Iterable[Post]) -> Iterator[bytes]:
    """Build the document that readers subscribe to and the archives of all months, one after the other."""
    first: list[Post] = []
    for month, group in groupby(some, key=lambda post: feeds.month_of(post.published)):
        posts_of = list(group)
        first += posts_of[: LIMIT - len(first)]
        url = feeds.archive_url(FEED, month)
        yield feeds.archive(
            FEED, feeds.Archive(month=month, url=url), [entry_of_post(FEED, post) for post in posts_of]
        )
    yield subscription(first)


def afresh(some: list[Post]) -> None:
    """Build everything with nothing kept from before."""
    repaired._fragment.cache_clear()
    entry._entry_of_post.cache_clear()
    for _ in everything(some):
        pass


def plain(some: list[Post]) -> bytes:
    """Build what feedgen alone makes of the same posts."""
    feed: Any = FeedGenerator()
    feed.id("tag:x.example.org,2026:feed")
    feed.title("Bench")
    feed.author(name="The Editor")
    feed.link(href="https://x.example.org/")
    feed.updated(START)
    for post in some:
        entry = feed.add_entry(order="append")
        entry.id(post.id)
        entry.title(post.title)
        entry.link(href=post.url)
        entry.published(post.published)
        entry.updated(post.updated)
        entry.summary(post.summary)
        entry.content(post.body_html, type="html")
        for tag in post.tags:
            entry.category(term=tag)
    made: bytes = feed.atom_str()
    return made


def by_hand(some: list[Post]) -> bytes:
    """Build the same elements as ours with lxml alone, in one document."""
    media = repaired.MEDIA
    root = etree.Element("feed", {"xmlns": repaired.ATOM}, nsmap={"media": media})
    for name, text in (("id", FEED.id), ("title", FEED.title), ("updated", feeds_instant(START))):
        etree.SubElement(root, name).text = text
    etree.SubElement(root, "link", rel="self", href=FEED.atom)
    for post in some:
        entry = etree.SubElement(root, "entry", {f"{{{repaired.XML}}}lang": "en"})
        told = (
            ("id", post.id),
            ("title", post.title),
            ("updated", feeds_instant(post.updated)),
            ("published", feeds_instant(post.published)),
            ("summary", post.summary),
        )
        for name, text in told:
            etree.SubElement(entry, name).text = text
        etree.SubElement(entry, "content", type="html").text = post.body_html
        for author in post.authors:
            etree.SubElement(etree.SubElement(entry, "author"), "name").text = author.name
        for tag in post.tags:
            etree.SubElement(entry, "category", term=tag, scheme=f"{FEED.site}tags/", label=tag)
        etree.SubElement(entry, "link", rel="alternate", type="text/html", href=post.url, hreflang="en")
        for image in post.images:
            size = {"width": str(image.width), "height": str(image.height)}
            etree.SubElement(entry, f"{{{media}}}content", {"url": image.src, "medium": "image", **size})
    written: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return written


def feeds_instant(instant: datetime) -> str:
    """Write an instant as Atom has it."""
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def interleaved(works: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Run all in turn; return the CPU seconds of each, a list a round."""
    for work in works:
        work()
    return [[seconds(work, time.process_time) for work in works] for _ in range(rounds)]


def documents() -> list[Figure]:
    """Measure the documents of feeds of four sizes, against lxml by hand and feedgen alone."""
    rows = []
    for count in (20, 100, 1_000, 10_000):
        some = make(count)
        newer = [
            replace(some[0], seq=count + 1, id="tag:x.example.org,2026:new", published=START + APART),
            *some,
        ]
        works = [
            lambda some=some: afresh(some),
            lambda newer=newer: subscription(newer),
            lambda some=some: by_hand(some),
            lambda some=some: plain(some),
        ]
        measured = interleaved(works, 3 if count > 1_000 else 9)  # type: ignore[arg-type]  # mypy knows no defaults
        first, after, hand, feedgen = (statistics.median(times) for times in zip(*measured, strict=True))
        for what, ours, at, goal in (
            ("all of it for the first time", first, 0, "≤ 1.2×"),
            ("after one new post", after, 1, "≤ 0.5×"),
        ):
            ratio = statistics.median(times[at] / times[2] for times in measured)
            name = f"Atom of {count:,} posts, {what}, against one document by lxml by hand (feedgen alone)"
            peers = f"{hand * 1000:.1f} ms ({feedgen * 1000:.1f} ms)"
            rows.append(Figure(name, f"{ours * 1000:.1f} ms CPU", peers, f"{ratio:.2f}× its CPU", goal))
    small, large = (int(child("documents", str(count))) for count in (1_000, 10_000))
    rows.append(
        Figure(
            "memory of 10,000 posts' documents, against 1,000", f"{large} MB", f"{small} MB", "", "the same"
        )
    )
    return rows


# A publication


def lay_out(folder: Path, count: int, waiting: int) -> None:
    """Write a publication of that many posts, the newest of them held back."""
    (folder / "newsletter.toml").write_text(TOML, encoding="utf-8")
    config = load(folder, {})
    config.state.mkdir()
    with open_store(config.store_url) as store:
        for begin in range(0, count + waiting, 1_000):
            numbers = range(begin, min(begin + 1_000, count + waiting))
            some = [(n, replace(one(n), url="", own_page=True, images=())) for n in numbers]
            filed = [
                posts.Filed(
                    replace(post, tags=("trade" if n % 3 else "law", f"topic {n % 40}")),
                    PostState.HELD if n < waiting else PostState.LIVE,
                    "",
                )
                for n, post in some
            ]
            with store.write() as tx:
                posts.add(tx, filed, now=START)


def one_more(folder: Path, seq: int) -> None:
    """Let a post that was held appear."""
    with open_store(load(folder, {}).store_url) as store, store.write() as tx:
        posts.set_state(tx, seq, PostState.LIVE, now=START)


def publishing(folder: Path, *seqs: int) -> dict[str, float]:
    """Publish in this process, after each of some posts appeared; return what the last publishing took."""
    config = load(folder, {})
    told: dict[str, float] = {}
    for seq in seqs or (0,):
        if seq:
            one_more(folder, seq)
        with open_store(config.store_url) as store:
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            report = publish(store, config, now=START)
            told = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        told |= {"written": len(report.written), "all": time.process_time()}
    return told | {"memory": peak()}


def peak() -> int:
    """Return the most memory this process had, in MB; getrusage would tell of its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def child(*arguments: str) -> str:
    """Run a part of this benchmark in a process of its own and return what it says."""
    command = [sys.executable, "-m", "bench.feeds", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def publication() -> list[Figure]:
    """Measure a full build of 10,000 posts and what one more takes."""
    with tempfile.TemporaryDirectory() as name:
        lay_out(Path(name), 1_000, 0)
        small = json.loads(child("publish", name))
    with tempfile.TemporaryDirectory() as name:
        lay_out(Path(name), 10_000, 4)
        full = json.loads(child("publish", name))
        again = json.loads(child("publish", name))
        one_more(Path(name), 4)
        cold = json.loads(child("publish", name))
        warm = json.loads(child("publish", name, "3", "2"))
    rows = [
        Figure(
            f"publishing 10,000 posts for the first time ({full['written']:,} files)",
            f"{full['cpu']:.1f} s CPU, {full['wall']:.1f} s, {full['memory']} MB",
            goal="≤ 20 s, ≤ 300 MB",
        ),
        Figure(
            f"most memory while 10,000 posts are published, against 1,000 ({small['written']:,} files)",
            f"{full['memory']} MB",
            f"{small['memory']} MB",
            f"{full['memory'] / small['memory']:.2f}×",
        ),
    ]
    told = (
        ("again, nothing changed", again, ""),
        ("one new post, a process of its own", cold, ""),
        ("one new post, the process having published before", warm, "≤ 300 ms CPU"),
    )
    for what, took, goal in told:
        cpu = f"{took['cpu'] * 1000:.0f} ms CPU, {took['wall'] * 1000:.0f} ms, {took['memory']} MB"
        start = f"; {took['all'] * 1000:.0f} ms CPU with its start" if took is not warm else ""
        rows.append(Figure(f"{what} ({took['written']} files)", cpu + start, goal=goal))
    return rows


def figures() -> list[Figure]:
    """Measure documents alone, then a whole publication."""
    return [*documents(), *publication()]


if __name__ == "__main__":
    if sys.argv[1] == "documents":
        for _ in everything(map(one, range(int(sys.argv[2])))):
            pass
        print(peak())
    else:
        print(json.dumps(publishing(Path(sys.argv[2]), *map(int, sys.argv[3:]))))
