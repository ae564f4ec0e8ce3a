"""Publishing: whole files, only those that changed, nothing foreign touched, one bad post never in the way."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from awkward import ISSUE, POSTS, post
from conftest import PublicationFactory
from newsletter.checks.feeds import check_file
from newsletter.config import Config
from newsletter.errors import InputError, OutsideError
from newsletter.identity import PostState, weigh
from newsletter.model import ContentNote, IssueState, Placement, Post, Reference, Relation
from newsletter.publish import PublishReport, publish
from newsletter.publish.manifest import Manifest
from newsletter.publish.tree import Tree, is_safe
from newsletter.store import Store, issues, posts

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
A = "{http://www.w3.org/2005/Atom}"


def fill(store: Store, some: Iterable[Post]) -> None:
    """Store posts as gathering would."""
    with store.write() as tx:
        posts.add(tx, [posts.Filed(one, PostState.LIVE, weigh(one).fingerprint) for one in some], now=NOW)


def change(store: Store, one: Post) -> None:
    with store.write() as tx:
        posts.change(tx, [posts.Filed(one, PostState.LIVE, weigh(one).fingerprint)])


def send(store: Store, seqs: Iterable[int]) -> None:
    """Store a sent issue of these posts."""
    with store.write() as tx:
        issues.ensure_newsletter(tx, "weekly", NOW)
        placed = [(seq, Placement.INCLUDED, NOW) for seq in seqs]
        number = issues.add(tx, replace(ISSUE, id=0, composed_at=NOW), placed, frozen="{}")
        issues.set_state(tx, number, IssueState.RELEASED, now=NOW)


@pytest.fixture
def config(publication: PublicationFactory) -> Config:
    """Make a publication with the pictures of the awkward posts."""
    made = publication(
        {"publication": {"url": "https://herald.example.org/", "id_authority": "herald.example.org"}}
    )
    made.media.mkdir(parents=True)
    for name in ("aa-600.jpg", "aa-1200.jpg"):
        (made.media / name).write_bytes(name.encode())
    return made


def tree(config: Config) -> dict[str, tuple[bytes, int]]:
    """Return every published file with its bytes and modification time."""
    return {
        path.relative_to(config.public).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in config.public.rglob("*")
        if path.is_file()
    }


def ids(config: Config, path: str = "feeds/atom.xml") -> list[str | None]:
    root = etree.fromstring((config.public / path).read_bytes())
    return [one.text for one in root.iterfind(f"{A}entry/{A}id")]


def run(store: Store, config: Config) -> PublishReport:
    return publish(store, config, now=NOW)


def test_everything_is_published(store: Store, config: Config) -> None:
    fill(store, POSTS)
    send(store, [9, 8])
    report = run(store, config)
    assert report.refused == ()
    assert report.removed == ()
    files = tree(config)
    assert set(report.written) == set(files)
    for path in (
        "index.html",
        "404.html",
        "posts/index.html",
        "posts/post-9/index.html",
        "tags/trade/index.html",
        "tags/łódź/index.html",
        "authors/kj/index.html",
        "issues/weekly/index.html",
        "issues/weekly/3/index.html",
        "feeds/index.html",
        "feeds/atom.xml",
        "feeds/rss.xml",
        "feeds/feed.json",
        "feeds/feeds.opml",
        "feeds/tags/trade/atom.xml",
        "feeds/authors/kj/rss.xml",
        "feeds/issues/weekly/atom.xml",
        "media/aa-600.jpg",
        "media/aa-1200.jpg",
    ):
        assert path in files
    assert not [path for path in files if path.startswith("posts/post-5")], "it has its page elsewhere"
    assert b"https://elsewhere.example.com/2026/11/" in files["feeds/atom.xml"][0]
    assert ids(config, "feeds/issues/weekly/atom.xml") == [
        "tag:herald.example.org,2026-01-01:issues/weekly/3"
    ]
    for path, (data, _) in files.items():
        if path.startswith("feeds/") and path.endswith((".xml", ".json", ".opml")):
            assert [one for one in check_file(data, path) if one.error] == [], "advice apart"
        if path.endswith(".gz"):
            assert gzip.decompress(data) == files[path.removesuffix(".gz")][0]
    outline = etree.fromstring(files["feeds/feeds.opml"][0])
    for one in outline.iter("outline"):
        assert unquote(one.get("xmlUrl").removeprefix("https://herald.example.org/")) in files


def test_again_touches_nothing(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, POSTS)
    first = run(sqlite_store, config)
    before = tree(config)
    again = run(sqlite_store, config)
    assert again.written == again.removed == ()
    assert again.unchanged == len(first.written)
    assert tree(config) == before


def test_the_same_bytes_from_another_store(
    sqlite_store: Store, config: Config, publication: PublicationFactory
) -> None:
    fill(sqlite_store, POSTS)
    run(sqlite_store, config)
    other = config.model_copy(update={"folder": config.folder.parent / "other"})
    other.media.mkdir(parents=True)
    for file in config.media.iterdir():
        (other.media / file.name).write_bytes(file.read_bytes())
    run(sqlite_store, other)
    assert {k: v[0] for k, v in tree(config).items()} == {k: v[0] for k, v in tree(other).items()}


def test_only_what_changed_is_written(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, POSTS)
    run(sqlite_store, config)
    change(sqlite_store, replace(POSTS[3], body_html="<p>نص جديد.</p>"))
    report = run(sqlite_store, config)
    assert set(report.written) == {
        f"{path}{end}"
        for path in (
            "feeds/atom.xml",
            "feeds/rss.xml",
            "feeds/feed.json",
            "feeds/authors/يوسف-الحدّاد/atom.xml",
            "feeds/authors/يوسف-الحدّاد/rss.xml",
            "feeds/authors/يوسف-الحدّاد/feed.json",
        )
        for end in ("", ".gz", ".br")
    } | {"posts/post-6/index.html"}


def test_a_feeds_time_is_its_updated_and_never_goes_back(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, POSTS)
    run(sqlite_store, config)
    file = config.public / "feeds/atom.xml"
    first = file.stat().st_mtime
    assert datetime.fromtimestamp(first, UTC) == datetime(2026, 11, 9, 9, 30, tzinfo=UTC)
    change(sqlite_store, replace(POSTS[3], title="A smaller title"))  # minor: `updated` stays
    run(sqlite_store, config)
    assert file.stat().st_mtime == first + 1, "other bytes, another time"
    with sqlite_store.write() as tx:
        posts.set_state(tx, 9, PostState.HIDDEN, now=NOW)
    run(sqlite_store, config)
    assert file.stat().st_mtime == first + 2
    assert "title 9" not in file.read_text()


def test_a_deleted_post_leaves_a_tombstone_and_no_page(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, POSTS)
    run(sqlite_store, config)
    with sqlite_store.write() as tx:
        posts.set_state(tx, 4, PostState.DELETED, now=NOW)
    report = run(sqlite_store, config)
    assert report.removed == ("posts/post-4/index.html",)
    assert not (config.public / "posts/post-4").exists()
    assert b"deleted-entry" in (config.public / "feeds/atom.xml").read_bytes()
    assert f"{POSTS[5].id}" not in ids(config)


def test_what_is_not_ours_is_left_alone_and_said(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, POSTS)
    (config.public / "posts/post-9").mkdir(parents=True)
    (config.public / "robots.txt").write_text("mine")
    (config.public / "posts/post-9/index.html").write_text("mine too")
    for _ in range(2):
        report = run(sqlite_store, config)
        assert report.foreign == ("posts/post-9/index.html", "robots.txt")
        assert [one.where for one in report.refused] == ["posts/post-9/index.html"]
        assert (config.public / "posts/post-9/index.html").read_text() == "mine too"
    with sqlite_store.write() as tx:
        posts.set_state(tx, 9, PostState.DELETED, now=NOW)
    run(sqlite_store, config)
    assert (config.public / "posts/post-9/index.html").exists()
    assert (config.public / "robots.txt").read_text() == "mine"


def test_a_lost_manifest_adopts_what_is_the_same(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, POSTS)
    run(sqlite_store, config)
    (config.state / "published.json").unlink()
    report = run(sqlite_store, config)
    assert (report.refused, report.foreign, report.written) == ((), (), ())
    (config.state / "published.json").write_text("{")
    with pytest.raises(OutsideError, match=r"published\.json: the list of published files is damaged"):
        run(sqlite_store, config)


def test_a_crash_leaves_nothing_foreign(
    sqlite_store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sqlite_store, POSTS)
    real, count = os.utime, iter(range(1000))

    def fail(handle: int, times: tuple[float, float]) -> None:
        if next(count) == 20:
            raise OSError(28, "No space left on device")
        real(handle, times)

    monkeypatch.setattr(os, "utime", fail)
    with pytest.raises(OutsideError, match="No space left on device"):
        run(sqlite_store, config)
    monkeypatch.undo()
    (config.public / ".index.html.4711.new").write_text("half a")  # as kill -9 leaves it
    report = run(sqlite_store, config)
    assert (report.refused, report.foreign) == ((), ())
    assert not list(config.public.rglob("*.new"))
    assert len(tree(config)) == report.unchanged + len(report.written)


def test_a_reference_bears_the_title_of_its_post_and_never_a_hidden_one(
    sqlite_store: Store, config: Config
) -> None:
    note = ContentNote(text="describes violence", show_title=False)
    site = config.publication.url
    told = post(61, "Secret words", content_note=note), post(62, "The quay")
    references = (
        Reference(url=f"{site}posts/post-61/", title="Secret words"),
        Reference(url=f"{site}posts/post-62/", relation=Relation.FOLLOW_UP),
        Reference(url="http://old.example/quay", title="kept", post_id=told[1].id),
        Reference(url=f"{site}posts/unknown/", title="As written"),
    )
    fill(sqlite_store, (*told, post(63, "Later", references=references)))
    run(sqlite_store, config)
    for path, (data, _) in tree(config).items():
        if not path.endswith(".gz") and path != "posts/post-61/index.html":
            assert b"Secret words" not in data, path
    for path in ("feeds/feed.json", "posts/post-63/index.html", "feeds/atom.xml"):
        text = tree(config)[path][0].decode()
        assert "an earlier story with a content note" in text
        assert text.count("The quay") >= 3
        assert "As written" in text
        assert "kept" not in text


def test_one_bad_post_is_left_out_of_feeds_and_named(sqlite_store: Store, config: Config) -> None:
    bad = post(
        12, "Bad", body_html='<p onclick="x()">relative <a href="there">link</a></p>', source_key="bad.md"
    )
    twin = post(
        13, "Twin", id="urn:uuid:0", body_html="<p><img src='/x.png' alt=''></p>", source_key="twin.md"
    )
    fill(sqlite_store, [*POSTS, bad, twin])
    report = run(sqlite_store, config)
    assert {one.where for one in report.refused} == {"posts: bad.md", "posts: twin.md"}
    assert all("left out" in one.remedy for one in report.refused)
    assert ids(config) == [one.id for one in POSTS]
    again = run(sqlite_store, config)
    assert again.written == ()
    assert len(again.refused) == 2


def test_an_invalid_feed_is_never_published_and_the_old_one_stays(
    sqlite_store: Store, config: Config, publication: PublicationFactory
) -> None:
    fill(sqlite_store, POSTS)
    run(sqlite_store, config)
    before = tree(config)["feeds/atom.xml"]
    told = config.publication.model_copy(update={"title": " "})
    report = run(sqlite_store, config.model_copy(update={"publication": told}))
    assert any(one.where == "feeds/atom.xml" for one in report.refused)
    assert tree(config)["feeds/atom.xml"] == before


def test_a_bad_template_is_said_once_and_stops_only_its_pages(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, POSTS)
    run(sqlite_store, config)
    before = tree(config)
    (config.templates / "web").mkdir(parents=True)
    (config.templates / "web/post.html.j2").write_text("{{ nothing_of_that_name }}")
    report = run(sqlite_store, config)
    assert len(report.refused) == 1
    assert "web/post.html.j2:1" in report.refused[0].where
    assert tree(config) == before


def test_a_site_may_replace_a_template(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, POSTS)
    (config.templates / "web").mkdir(parents=True)
    (config.templates / "web/404.html.j2").write_text("<!DOCTYPE html><title>{{ site.title }}</title>")
    run(sqlite_store, config)
    assert (config.public / "404.html").read_text() == "<!DOCTYPE html><title>The Harbour Post</title>"


def test_slugs_cannot_leave_the_folder(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, [post(1, "Up", slug="../../up"), post(2, "Long", slug="x" * 300), post(3, "Fine")])
    report = run(sqlite_store, config)
    assert len([one for one in report.refused if "slug" in one.remedy]) == 2
    assert not (config.folder / "up").exists()
    assert (config.public / "posts/post-3/index.html").exists()


@given(st.text(max_size=40))
@example(".")
@example("a/./b")
@example("./..")
def test_a_safe_path_stays_below_the_root(path: str) -> None:
    if is_safe(path):
        root = Path("/srv/public")
        resolved = Path(os.path.normpath(root / path))
        assert root in resolved.parents


def test_a_missing_picture_is_said(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, POSTS)
    (config.media / "aa-600.jpg").unlink()
    report = run(sqlite_store, config)
    assert [one.where for one in report.refused] == ["media/aa-600.jpg"]
    assert (config.public / "media/aa-1200.jpg").read_bytes() == b"aa-1200.jpg"


def test_logo_and_icon_are_published(sqlite_store: Store, publication: PublicationFactory) -> None:
    config = publication({"publication": {"logo": "art/logo.PNG", "icon": "art/icon.svg"}})
    with pytest.raises(InputError, match=r"\[publication\] logo"):
        run(sqlite_store, config)
    (config.folder / "art").mkdir()
    (config.folder / "art/logo.PNG").write_bytes(b"logo")
    (config.folder / "art/icon.svg").write_bytes(b"icon")
    run(sqlite_store, config)
    assert (config.public / "logo.png").read_bytes() == b"logo"
    assert (
        b"<logo>https://harbour.example.org/logo.png</logo>"
        in (config.public / "feeds/atom.xml").read_bytes()
    )
    assert 'href="./icon.svg"' in (config.public / "index.html").read_text()


def test_tag_feeds_can_be_switched_off(sqlite_store: Store, publication: PublicationFactory) -> None:
    config = publication({"feeds": {"tags": False, "entries": 2}})
    fill(sqlite_store, [replace(one, images=()) for one in POSTS])
    run(sqlite_store, config)
    assert not (config.public / "feeds/tags").exists()
    assert (config.public / "tags/trade/index.html").exists()
    assert len(ids(config)) == 2


def test_an_unwritable_folder_is_one_clear_line(sqlite_store: Store, config: Config) -> None:
    config.public.write_text("a file in its place")
    with pytest.raises(OutsideError) as caught:
        run(sqlite_store, config)
    assert str(config.public) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_published_files_can_be_read_by_a_web_server(sqlite_store: Store, config: Config) -> None:
    fill(sqlite_store, POSTS)
    old = os.umask(0o022)
    try:
        run(sqlite_store, config)
    finally:
        os.umask(old)
    assert stat.S_IMODE((config.public / "index.html").stat().st_mode) == 0o644


def test_two_at_once_are_safe(store: Store, config: Config) -> None:
    fill(store, POSTS)
    with store.lock("publish") as mine:
        assert mine
        if store.dialect == "sqlite":  # the lock belongs to a process: ask from another one
            code = (
                "import sys; from newsletter.store import open_store\n"
                "with open_store(sys.argv[1]) as s, s.lock('publish') as mine: print(mine)"
            )
            done = subprocess.run(
                [sys.executable, "-c", code, store.url],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            assert done.stdout.strip() == "False"
        with pytest.raises(OutsideError, match="being published already"):
            run(store, config)
    assert run(store, config).refused == ()


def test_an_empty_publication_is_published(sqlite_store: Store, config: Config) -> None:
    report = run(sqlite_store, config)
    assert report.refused == ()
    assert "Nothing has been published yet" in (config.public / "index.html").read_text()
    assert ids(config) == []


def test_what_is_written_is_noted_before(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "var/published.json")
    tree = Tree(public=tmp_path / "public", manifest=manifest)
    tree.open()
    tree.begin(["a/b.txt"])
    assert tree.foreign == set()
    assert manifest.begun.read_text() == "a/b.txt\n"
    tree.put("a/b.txt", b"1", "one", NOW)
    tree.flush()
    tree.put("a/b.txt", b"2", "two", NOW - timedelta(days=1))
    assert tree.finish({"a/b.txt"}, everywhere=True) == []
    assert (tmp_path / "public/a/b.txt").stat().st_mtime == NOW.timestamp() + 1
    assert tree.intact("a/b.txt", "two")
    assert not tree.intact("a/b.txt", "tw")
    assert not manifest.begun.exists()
    assert json.loads(manifest.file.read_text()) == {"files": {"a/b.txt": "two 1"}, "notes": {}}
