"""Incremental publishing: after a change exactly its files are made, and the tree is that of a full build."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awkward import POSTS, post
from newsletter import pages
from newsletter.config import Config
from newsletter.identity import PostState
from newsletter.model import Post, Reference
from newsletter.publish import publish
from newsletter.store import Store, open_store, posts
from test_publish import change, config, fill, run, send, tree

__all__ = ["config"]

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ENDINGS = ("", ".gz", ".br")


def feed(folder: str = "") -> set[str]:
    """Return the files of a feed."""
    forms = ("atom.xml", "rss.xml", "feed.json")
    return {f"feeds/{folder}{form}{ending}" for form in forms for ending in ENDINGS}


def archive(month: str) -> set[str]:
    return {f"feeds/archive/{month}.xml{ending}" for ending in ENDINGS}


def dated(seq: int, month: int, **values: object) -> Post:
    """Return a post of a month of 2026, its number the day."""
    when = datetime(2026, month, seq, 9, tzinfo=UTC)
    return post(seq, f"Title {seq}", **({"published": when, "updated": when} | values))


OLD = [
    dated(1, 9, tags=("ships",)),
    dated(2, 10, tags=("ships",)),
    dated(3, 10, tags=("law",)),
    dated(4, 11, tags=("law",)),
    dated(5, 11, tags=("trade",)),
]


@pytest.fixture
def published(sqlite_store: Store, config: Config) -> Store:
    """Give a store of five posts of three months that are published."""
    fill(sqlite_store, OLD)
    assert run(sqlite_store, config).refused == ()
    return sqlite_store


def bytes_of(folder: Config) -> dict[str, bytes]:
    return {path: data for path, (data, _) in tree(folder).items()}


def fresh(store: Store, config: Config) -> dict[str, bytes]:
    """Build everything into another folder and return it."""
    with tempfile.TemporaryDirectory() as name:
        folders = config.folders.model_copy(
            update={"public": Path(name) / "public", "state": Path(name) / "var"}
        )
        other = config.model_copy(update={"folders": folders})
        if config.media.is_dir():
            shutil.copytree(config.media, other.media)
        publish(store, other, now=NOW)
        return bytes_of(other)


def test_a_new_post_makes_exactly_its_files(published: Store, config: Config) -> None:
    fill(published, [dated(6, 11, tags=("trade",))])
    report = run(published, config)
    assert set(report.written) == {
        "index.html",
        "posts/index.html",
        "posts/post-6/index.html",
        "posts/post-5/index.html",  # it links to the next one
        "tags/trade/index.html",
        "feeds/feeds.opml",
        *feed(),
        *feed("tags/trade/"),
    }
    assert report.removed == ()
    assert bytes_of(config) == fresh(published, config)


def test_a_post_of_a_new_month_closes_the_one_before(published: Store, config: Config) -> None:
    assert set(bytes_of(config)) >= archive("2026-09") | archive("2026-10")
    assert not set(bytes_of(config)) & archive("2026-11")
    fill(published, [dated(6, 12)])
    report = run(published, config)
    assert set(report.written) == {
        "index.html",
        "posts/index.html",
        "posts/post-6/index.html",
        "posts/post-5/index.html",
        "feeds/feeds.opml",
        *feed(),
        *archive("2026-11"),
        *archive("2026-10"),  # it leads on to it
    }
    assert bytes_of(config) == fresh(published, config)


def test_an_edit_makes_exactly_its_files(published: Store, config: Config) -> None:
    change(published, replace(OLD[1], body_html="<p>Other words.</p>"))
    report = run(published, config)
    assert set(report.written) == {
        "posts/post-2/index.html",
        *feed(),
        *feed("tags/ships/"),
        *archive("2026-10"),
    }
    assert bytes_of(config) == fresh(published, config)


def test_a_deletion_makes_exactly_its_files(published: Store, config: Config) -> None:
    with published.write() as tx:
        posts.set_state(tx, 2, PostState.DELETED, now=NOW)
    report = run(published, config)
    assert report.removed == ("posts/post-2/index.html",)
    assert set(report.written) == {
        "index.html",
        "posts/index.html",
        "posts/post-1/index.html",
        "posts/post-3/index.html",
        "tags/ships/index.html",
        "feeds/feeds.opml",
        *feed(),
        *feed("tags/ships/"),
        *(
            path for tag in ("law", "trade") for path in feed(f"tags/{tag}/") if "json" not in path
        ),  # the tombstone
        *archive("2026-10"),
    }
    assert bytes_of(config) == fresh(published, config)


def test_a_new_tag_makes_exactly_its_files(published: Store, config: Config) -> None:
    change(published, replace(OLD[4], tags=("trade", "ports")))
    report = run(published, config)
    assert set(report.written) == {
        "posts/post-5/index.html",
        "tags/ports/index.html",
        "feeds/index.html",
        "feeds/feeds.opml",
        *feed(),
        *feed("tags/ports/"),
        *feed("tags/trade/"),
    }
    assert bytes_of(config) == fresh(published, config)


def test_a_moved_post_makes_exactly_its_files(published: Store, config: Config) -> None:
    change(published, replace(OLD[4], slug="moved"))
    report = run(published, config)
    assert report.removed == ("posts/post-5/index.html",)
    assert set(report.written) == {
        "index.html",
        "posts/index.html",
        "posts/moved/index.html",
        "posts/post-4/index.html",
        "tags/trade/index.html",
        *feed(),
        *feed("tags/trade/"),
    }
    assert bytes_of(config) == fresh(published, config)


def test_a_setting_of_feeds_leaves_pages_alone(published: Store, config: Config) -> None:
    told = config.feeds.model_copy(update={"entries": 2})
    fewer = config.model_copy(update={"feeds": told})
    report = run(published, fewer)
    assert set(report.written) == feed()
    assert bytes_of(fewer) == fresh(published, fewer)


def test_a_changed_title_makes_what_bears_it(published: Store, config: Config) -> None:
    told = config.publication.model_copy(update={"title": "Another Herald"})
    other = config.model_copy(update={"publication": told})
    before = set(bytes_of(config))
    report = run(published, other)
    left = before - set(report.written)
    assert {path for path in left if not path.endswith(".css")} == feed("issues/weekly/")  # it has its own
    assert bytes_of(other) == fresh(published, other)


def test_a_setting_of_delivery_makes_nothing(published: Store, config: Config) -> None:
    smtp = config.smtp.model_copy(update={"host": "relay.example.org"})
    assert not opened(published, config.model_copy(update={"smtp": smtp}))


def test_a_template_makes_its_pages(published: Store, config: Config) -> None:
    (config.templates / "web").mkdir(parents=True)
    (config.templates / "web/post.html.j2").write_text("<!DOCTYPE html><title>{{ heading }}</title>")
    report = run(published, config)
    assert set(report.written) == {f"posts/post-{seq}/index.html" for seq in range(1, 6)}
    assert bytes_of(config) == fresh(published, config)


def test_a_changed_title_reaches_those_that_refer_to_it(published: Store, config: Config) -> None:
    reference = Reference(url=f"{config.publication.url}posts/post-1/", title="as written")
    change(published, replace(OLD[2], references=(reference,)))
    run(published, config)
    change(published, replace(OLD[0], title="A new title"))
    report = run(published, config)
    assert {"posts/post-1/index.html", "posts/post-3/index.html", *archive("2026-10")} <= set(report.written)
    assert b"A new title" in (config.public / "posts/post-3/index.html").read_bytes()
    with published.write() as tx:
        posts.set_state(tx, 1, PostState.HIDDEN, now=NOW)
    run(published, config)
    assert b"as written" in (config.public / "posts/post-3/index.html").read_bytes()
    assert bytes_of(config) == fresh(published, config)


def test_a_sent_issue_makes_exactly_its_files(published: Store, config: Config) -> None:
    send(published, [5, 4])
    report = run(published, config)
    assert set(report.written) == {
        "index.html",
        "issues/weekly/index.html",
        "issues/weekly/3/index.html",
        "feeds/feeds.opml",
        *feed("issues/weekly/"),
    }
    change(published, replace(OLD[4], summary="Said otherwise."))
    assert set(run(published, config).written) >= feed("issues/weekly/") | feed()
    assert bytes_of(config) == fresh(published, config)


def test_a_long_listing_has_pages_of_months(sqlite_store: Store, config: Config) -> None:
    start = datetime(2026, 11, 20, 9, tzinfo=UTC)
    many = [
        post(
            n,
            f"T{n}",
            published=start - timedelta(days=n),
            updated=start - timedelta(days=n),
            tags=("a", "b")[: n % 2 + 1],
        )
        for n in range(1, pages.LISTED + 31)
    ]
    fill(sqlite_store, many)
    run(sqlite_store, config)
    names = set(bytes_of(config))
    months = {f"2026/{month:02}" for month in (8, 9, 10, 11)}
    assert {f"{folder}/{month}/index.html" for folder in ("posts", "tags/a") for month in months} <= names
    assert not [path for path in names if path.startswith("tags/b/2026")], "a short listing is one page"
    listing = (config.public / "posts/index.html").read_text()
    assert 'href="2026/10/"' in listing
    assert f">T{pages.LISTED}<" in listing
    assert f">T{pages.LISTED + 1}<" not in listing
    assert ">T90<" in (config.public / "posts/2026/08/index.html").read_text()
    fill(sqlite_store, [post(200, "New", published=start, updated=start)])
    written = run(sqlite_store, config).written
    assert [path for path in written if path.startswith("posts/20")] == ["posts/2026/11/index.html"]
    assert bytes_of(config) == fresh(sqlite_store, config)


# Nothing is read that need not be


_SEEN: list[str] = []
_WATCHING: list[str] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if _WATCHING and event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        path = os.fspath(arguments[0])
        if path.startswith(_WATCHING[0]):
            _SEEN.append(path)


sys.addaudithook(_note)


def opened(store: Store, config: Config) -> list[str]:
    """Publish and return what files of the tree, or pictures, were opened."""
    _SEEN.clear()
    _WATCHING.append(str(config.folder))
    try:
        report = run(store, config)
    finally:
        _WATCHING.clear()
    assert report.written == report.removed == ()
    roots = (str(config.public), str(config.media))
    return [path for path in _SEEN if path.startswith(roots) and Path(path) != config.public]


def test_what_is_unchanged_is_not_even_read(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, POSTS)
    send(sqlite_store, [9, 8])
    run(sqlite_store, config)
    assert opened(sqlite_store, config) == []


# Damage


def test_what_is_missing_or_cut_short_is_made_again(published: Store, config: Config) -> None:
    before = bytes_of(config)
    shutil.rmtree(config.public / "posts/post-3")
    (config.public / "feeds/rss.xml.br").unlink()
    (config.public / "index.html").write_text("cut")
    report = run(published, config)
    assert set(report.written) == {"posts/post-3/index.html", "feeds/rss.xml.br", "index.html"}
    assert bytes_of(config) == before
    shutil.rmtree(config.public)
    assert len(run(published, config).written) == len(before)
    assert bytes_of(config) == before


def test_a_file_of_the_same_size_is_found_by_all(published: Store, config: Config) -> None:
    before = bytes_of(config)
    page = config.public / "posts/post-3/index.html"
    page.write_bytes(b"x" * len(before["posts/post-3/index.html"]))
    (config.public / "posts/post-4/stray.txt").write_text("mine")
    assert run(published, config).written == ()
    report = publish(published, config, now=NOW, every=True)
    assert report.written == ("posts/post-3/index.html",)
    assert report.unchanged == len(before) - 1
    assert report.foreign == ("posts/post-4/stray.txt",)


def test_a_record_of_the_former_kind_is_read(published: Store, config: Config) -> None:
    files = ", ".join(f'"{path}"' for path in [*bytes_of(config), "gone.html"])
    (config.state / "published.json").write_text(f'{{"files": [{files}]}}')
    (config.public / "gone.html").write_text("ours of old")
    report = run(published, config)
    assert (report.written, report.removed, report.foreign) == ((), ("gone.html",), ())


def test_a_refused_post_is_remembered_until_it_changes(published: Store, config: Config) -> None:
    bad = dated(6, 11, body_html='<p onclick="x()">words</p>')
    fill(published, [bad])
    assert [one.where for one in run(published, config).refused] == ["posts: 6.md"]
    again = run(published, config)
    assert again.written == ()
    assert [one.where for one in again.refused] == ["posts: 6.md"]
    assert bytes_of(config) == fresh(published, config)
    change(published, replace(bad, body_html="<p>words</p>"))
    assert run(published, config).refused == ()
    assert b"Title 6" in bytes_of(config)["feeds/atom.xml"]
    assert bytes_of(config) == fresh(published, config)


# Any sequence of changes


SEQS = st.integers(1, 12)
TEXTS = st.sampled_from(
    ["<p>One.</p>", "<p>Two.</p>", "", '<p onclick="x()">bad</p>', '<p>See <a href="/x">there</a></p>']
)
WORDS = st.lists(st.sampled_from(["Ships", "ships", "law", "łódź", "C++"]), max_size=2, unique=True)
MOVES = st.one_of(
    st.tuples(st.just("put"), SEQS, TEXTS, WORDS, st.integers(0, 80), st.integers(0, 12)),
    st.tuples(st.just("state"), SEQS, st.sampled_from(list(PostState))),
    st.tuples(st.just("entries"), st.integers(1, 4)),
    st.tuples(st.just("title"), st.sampled_from(["A", "B"])),
    st.tuples(st.just("template"), st.sampled_from(["<p>{{ title }}", "{{ unknown }}", ""])),
    st.tuples(st.just("lose"), st.integers(0, 1000)),
    st.tuples(st.just("send"), SEQS),
    st.tuples(st.just("publish")),
)


class Player:
    """Plays moves on one publication."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store, self.config = store, config
        self.stored: set[int] = set()

    def play(self, move: tuple[object, ...]) -> None:
        getattr(self, f"do_{move[0]}")(*move[1:])

    def do_put(self, seq: int, text: str, tags: list[str], day: int, told: int) -> None:
        when = datetime(2026, 9, 1, 9, tzinfo=UTC) + timedelta(days=day)
        reference = (Reference(url=f"{self.config.publication.url}posts/post-{told}/", title="it"),)
        one = post(
            seq,
            f"Title {len(text)}",
            body_html=text,
            tags=tuple(tags),
            published=when,
            updated=when + timedelta(hours=len(text)),
            references=reference if told else (),
        )
        if seq in self.stored:
            change(self.store, one)
        else:
            fill(self.store, [one])
        self.stored.add(seq)

    def do_state(self, seq: int, state: PostState) -> None:
        with self.store.write() as tx:
            posts.set_state(tx, seq, state, now=NOW)

    def do_entries(self, count: int) -> None:
        told = self.config.feeds.model_copy(update={"entries": count})
        self.config = self.config.model_copy(update={"feeds": told})

    def do_title(self, title: str) -> None:
        told = self.config.publication.model_copy(update={"title": title})
        self.config = self.config.model_copy(update={"publication": told})

    def do_template(self, text: str) -> None:
        file = self.config.templates / "web/404.html.j2"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text) if text else file.unlink(missing_ok=True)

    def do_lose(self, which: int) -> None:
        files = sorted(path for path in self.config.public.rglob("*") if path.is_file())
        if files:
            files[which % len(files)].unlink()

    def do_send(self, seq: int) -> None:
        if seq in self.stored:
            with contextlib.suppress(Exception):  # its number was sent before
                send(self.store, [seq])

    def do_publish(self) -> None:
        run(self.store, self.config)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MOVES, min_size=1, max_size=14))
def test_any_sequence_ends_as_a_full_build(moves: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as name, publication_in(Path(name)) as (store, config):
        player = Player(store, config)
        for move in moves:
            player.play(move)
        run(store, player.config)
        assert run(store, player.config).written == ()
        expected = fresh(store, player.config)
        found = bytes_of(player.config)
        if (player.config.templates / "web/404.html.j2").exists():  # one that fails leaves the old page
            found.pop("404.html", None), expected.pop("404.html", None)
        assert found == expected


TOML = """
[publication]
title = "The Herald"
url = "https://herald.example.org/"
id_authority = "herald.example.org"
id_date = 2026-01-01
contact = "editor@herald.example.org"
postal_address = "The Herald, 1 Quay, 2000 Antwerp"
[[newsletters]]
name = "weekly"
title = "Weekly"
schedule = { every = "week", on = ["monday"], at = "07:00", timezone = "UTC" }
sender = "weekly@herald.example.org"
"""


@contextlib.contextmanager
def publication_in(folder: Path) -> Iterator[tuple[Store, Config]]:
    """Lay out a publication and open its store."""
    from newsletter.config import load

    (folder / "newsletter.toml").write_text(TOML, encoding="utf-8")
    config = load(folder, {})
    config.state.mkdir(parents=True)
    with open_store(config.store_url) as store:
        yield store, config


# Killed at any instant


def many(text: str) -> list[Post]:
    start = datetime(2026, 11, 20, 9, tzinfo=UTC)
    return [
        post(
            n,
            f"Title {n}",
            body_html=f"<p>{text} {n}</p>",
            tags=("a", "b", "c")[: n % 4],
            published=start - timedelta(days=n),
            updated=start - timedelta(days=n),
        )
        for n in range(1, 151)
    ]


def publishing(folder: Path) -> subprocess.Popen[bytes]:
    """Publish in a process of its own."""
    command = [sys.executable, "-m", "newsletter", "-p", str(folder), "publish"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_killed_at_any_instant_the_next_run_completes(tmp_path: Path) -> None:
    chance = random.Random(20261123)  # the instants at which to kill
    with publication_in(tmp_path) as (store, config):
        fill(store, many("First"))
    began = time.monotonic()
    done = publishing(tmp_path)
    assert done.communicate(timeout=300)[1] == b""
    whole = time.monotonic() - began
    killed = 0
    for round_ in range(8):
        with open_store(config.store_url) as store:
            for one in many(f"Round {round_}"):
                change(store, one)
            if round_ % 3 == 2:
                shutil.rmtree(config.public)
        process = publishing(tmp_path)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=chance.uniform(0.3, 1.0) * whole)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate(timeout=60)
        with open_store(config.store_url) as store:
            if round_ % 2:  # what was changed is changed back before the tree is completed
                for one in many("First"):
                    change(store, one)
            report = publish(store, config, now=NOW)
            assert (report.refused, report.foreign) == ((), ())
            assert bytes_of(config) == fresh(store, config)
    assert killed >= 2


def test_the_command_makes_everything_anew(tmp_path: Path) -> None:
    with publication_in(tmp_path) as (store, config):
        fill(store, OLD)
        run(store, config)
    page = config.public / "posts/post-3/index.html"
    before = page.read_bytes()
    page.write_bytes(b"x" * len(before))
    command = [sys.executable, "-m", "newsletter", "-p", str(tmp_path), "publish"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "0 written" in told.stdout
    told = subprocess.run([*command, "--all"], capture_output=True, text=True, timeout=120, check=True)
    assert "1 written" in told.stdout
    assert page.read_bytes() == before
