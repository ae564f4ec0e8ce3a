"""Gathering: posts that their source no longer has, and posts that several sources have."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import DEFAULT as PUBLICATION
from conftest import PublicationFactory, write_toml
from gathering import HOUR, entry, feed_file, live, once, one, write
from newsletter.config import FILE_NAME, Config, load
from newsletter.gather import gather
from newsletter.identity import PostState
from newsletter.sources.feed_formats import read_tombstones
from newsletter.store import Store, open_store, posts


def folder(deleted: str) -> dict[str, Any]:
    return {"sources": [{"name": "posts", "kind": "markdown", "path": "posts", "deleted": deleted}]}


def feed(deleted: str) -> dict[str, Any]:
    return {"sources": [{"name": "feed", "kind": "feed", "path": "feed.xml", "deleted": deleted}]}


def state(store: Store, seq: int = 1) -> PostState | None:
    with store.read() as tx:
        return posts.state_of(tx, seq)


@pytest.mark.parametrize(
    ("deleted", "expected"),
    [("keep", PostState.LIVE), ("hide", PostState.HIDDEN), ("delete", PostState.DELETED)],
)
def test_a_post_whose_file_is_gone_is_treated_as_configured_and_said_once(
    store: Store, publication: PublicationFactory, now: dt.datetime, deleted: str, expected: PostState
) -> None:
    config = publication(folder(deleted))
    write(config, "b.md", "Another")
    gone = write(config, "a.md")
    once(store, config, now)
    seq = next(post.seq for post in live(store) if post.title == "A title")
    gone.unlink()
    (tried,) = gather(store, config, now=now, dry_run=True)
    assert state(store, seq) is PostState.LIVE
    report = once(store, config, now)
    assert report == tried
    assert state(store, seq) is expected
    assert report.withdrawn == (() if deleted == "keep" else ("A title",))
    assert [note for note in report.notes if note.startswith("a.md: ")]
    again = once(store, config, now)
    assert (again.notes, again.withdrawn) == ((), ())
    assert state(store, seq) is expected


def test_a_hidden_post_is_shown_when_its_source_has_it_again(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication(folder("hide"))
    write(config, "b.md", "Another")
    path = write(config, "a.md")
    once(store, config, now)
    before = {post.seq: post for post in live(store)}
    kept = path.rename(config.folder / "a.md")
    once(store, config, now)
    assert [post.title for post in live(store)] == ["Another"]
    kept.rename(path)
    report = once(store, config, now + HOUR)
    assert any("shown" in note for note in report.notes)
    assert {post.seq: post for post in live(store)} == before
    path.unlink()
    assert once(store, config, now + HOUR).withdrawn == ("A title",)
    write(config, "renamed.md", text="Text of A title.")
    once(store, config, now + HOUR)
    assert {post.seq: post.id for post in live(store)} == {seq: post.id for seq, post in before.items()}


def test_a_post_that_the_editor_hid_is_not_shown_by_its_source(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication(folder("hide"))
    write(config, "a.md")
    once(store, config, now)
    with store.write() as tx:
        posts.set_state(tx, 1, PostState.HIDDEN, now=now)
    write(config, "a.md", text="Changed.")
    once(store, config, now)
    assert state(store) is PostState.HIDDEN


@pytest.mark.parametrize("deleted", ["hide", "delete"])
def test_a_folder_that_is_empty_withdraws_nothing(
    store: Store, publication: PublicationFactory, now: dt.datetime, deleted: str
) -> None:
    config = publication(folder(deleted))
    path = write(config, "a.md")
    once(store, config, now)
    path.unlink()
    for _ in range(2):
        assert any("nothing any more" in note for note in once(store, config, now).notes)
        assert state(store) is PostState.LIVE
    write(config, "b.md", "Another")
    assert once(store, config, now).withdrawn == ("A title",)


def test_a_scheduled_post_whose_file_is_gone_leaves_no_tombstone(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication(folder("delete"))
    write(config, "b.md", "Another")
    once(store, config, now)
    path = write(config, "a.md", date="2026-12-24 10:00")
    assert once(store, config, now).held == ("A title",)
    path.unlink()
    report = once(store, config, now)
    assert (report.held, report.withdrawn) == ((), ("A title",))
    assert state(store, 2) is PostState.HIDDEN
    once(store, config, now + 60 * 24 * HOUR)
    assert state(store, 2) is PostState.HIDDEN


def test_another_setting_is_applied_to_what_was_gone_before(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication(folder("keep"))
    write(config, "b.md", "Another")
    path = write(config, "a.md")
    once(store, config, now)
    path.unlink()
    once(store, config, now)
    assert once(store, publication(folder("hide")), now).withdrawn == ("A title",)


@pytest.mark.parametrize("deleted", ["keep", "hide", "delete"])
def test_an_entry_that_dropped_out_of_a_feed_stays(
    store: Store, publication: PublicationFactory, now: dt.datetime, deleted: str
) -> None:
    config = publication(feed(deleted))
    feed_file(config, "feed.xml", entry("urn:x:1", "https://a.example.com/1"))
    once(store, config, now)
    feed_file(config, "feed.xml", entry("urn:x:2", "https://a.example.com/2", "Two", "Other text."))
    report = once(store, config, now)
    assert (report.new, report.withdrawn, report.notes) == (("Two",), (), ())
    assert state(store) is PostState.LIVE


TOMBSTONE = '<at:deleted-entry xmlns:at="http://purl.org/atompub/tombstones/1.0" when="2026-11-20T00:00:00Z" ref="{}"/>'


def test_a_feed_tells_of_a_deletion(store: Store, publication: PublicationFactory, now: dt.datetime) -> None:
    config = publication(feed("delete"))
    first, second = (
        entry("urn:x:1", "https://a.example.com/1"),
        entry("urn:x:2", "https://a.example.com/2", "Two", "B."),
    )
    feed_file(config, "feed.xml", first, second)
    once(store, config, now)
    feed_file(config, "feed.xml", second, *map(TOMBSTONE.format, ("urn:x:1", "urn:x:2", "urn:x:3")))
    report = once(store, config, now)
    assert report.withdrawn == ("A title",)
    with store.read() as tx:
        assert [one.id for one in posts.deleted(tx)] == ["urn:x:1"], "an entry that is there is not deleted"
    feed_file(config, "feed.xml", second, TOMBSTONE.format("urn:x:1"))
    again = once(store, config, now)
    assert (again.withdrawn, again.notes) == ((), ())


def test_tombstones_are_read_as_they_are_written() -> None:
    told = "<feed><x:deleted-entry when='y' ref='urn:a?b=1&amp;c=2'/><!-- <at:deleted-entry ref='urn:no'/> --></feed>"
    assert read_tombstones(told.encode()) == {"urn:a?b=1&c=2"}
    assert read_tombstones(b"<feed>" + b"<at:deleted-entry " * 1000) == set()


def test_only_the_source_whose_text_is_shown_is_heard(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    both = {"sources": [*feed("delete")["sources"], {**folder("delete")["sources"][0], "priority": 10}]}
    config = publication(both)
    url = "https://harbour.example.org/posts/a/"
    write(config, "a.md")
    feed_file(config, "feed.xml", entry("urn:x:1", url))
    gather(store, config, now=now)
    feed_file(config, "feed.xml", TOMBSTONE.format("urn:x:1"))
    gather(store, config, now=now)
    assert [post.source for post in live(store)] == ["posts"]


def test_an_entry_edited_upstream_is_updated_once(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication(feed("keep"))
    feed_file(config, "feed.xml", entry("urn:x:1", "https://a.example.com/1", text="As it was."))
    once(store, config, now)
    before = one(store)
    feed_file(config, "feed.xml", entry("urn:x:1", "https://a.example.com/1", text="  As   it\n was. "))
    assert once(store, config, now + HOUR).changed in ((), ("A title",))
    assert one(store).updated == before.updated, "white space is no news"
    feed_file(config, "feed.xml", entry("urn:x:1", "https://a.example.com/1", text="As it is."))
    assert once(store, config, now + 2 * HOUR).changed == ("A title",)
    after = one(store)
    assert (after.id, after.published, after.updated) == (before.id, before.published, now + 2 * HOUR)
    for hours in (3, 4):
        feed_file(config, "feed.xml", entry("urn:x:1", "https://a.example.com/1", text="As it is."))
        assert once(store, config, now + hours * HOUR).changed == ()
    assert one(store) == after


# Any order

NAMES = ("first", "second", "third")
COPIES = st.fixed_dictionaries(
    {
        "id": st.booleans(),  # whether the id is the same everywhere, else the source's own
        "url": st.booleans(),
        "text": st.booleans(),
        "sources": st.sets(st.sampled_from(NAMES), min_size=1),
    }
).filter(lambda copy: copy["id"] or copy["url"] or copy["text"])
TRACKING = {"first": "", "second": "?utm_source=second", "third": "?fbclid=3&amp;utm_medium=x#top"}


def copies(name: str, told: list[dict[str, Any]]) -> list[str]:
    """Write a source's entries; what is not shared by all sources is its own."""
    return [
        entry(
            f"urn:x:{number}" if copy["id"] else f"urn:{name}:{number}",
            f"https://{'a' if copy['url'] else name}.example.com/{number}{TRACKING[name]}",
            f"Title {number}",
            f"Text {number}{'' if copy['text'] else f' of {name}'}.",
        )
        for number, copy in enumerate(told)
        if name in copy["sources"]
    ]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty store once; each example starts with a copy of its file."""
    path = tmp_path_factory.mktemp("pristine") / "store.db"
    open_store(f"sqlite:///{path}").close()
    return path


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    told=st.lists(COPIES, min_size=1, max_size=4),
    order=st.lists(st.sampled_from(NAMES), min_size=3, max_size=8),
    ranks=st.permutations([1, 2, 3]),
)
def test_whatever_the_order_of_sources_a_post_has_one_identity(
    pristine: Path, told: list[dict[str, Any]], order: list[str], ranks: list[int]
) -> None:
    sources = [
        {"name": name, "kind": "feed", "path": f"{name}.xml", "priority": rank}
        for name, rank in zip(NAMES, ranks, strict=True)
    ]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / FILE_NAME).write_text(write_toml({**PUBLICATION, "sources": sources}), encoding="utf-8")
        config = load(root, {})
        for source in NAMES:
            feed_file(config, f"{source}.xml", *copies(source, told))
        shutil.copy(pristine, root / "store.db")
        with open_store(f"sqlite:///{root}/store.db") as store:
            gather_in(order, store, config, told, dict(zip(NAMES, ranks, strict=True)))


def gather_in(
    order: list[str], store: Store, config: Config, told: list[dict[str, Any]], ranks: dict[str, int]
) -> None:
    ids: dict[int, str] = {}
    for source in (*order, *NAMES):
        gather(store, config, now=dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC), only=source)
        for post in live(store):
            assert ids.setdefault(post.seq, post.id) == post.id
    titles = sorted(post.title for post in live(store))
    assert titles == [f"Title {number}" for number in range(len(told))], "one post each"
    for post in live(store):
        best = min(told[int(post.title.split()[1])]["sources"], key=lambda name: ranks[name])
        assert post.source == best, "the source that counts most gives the text"
