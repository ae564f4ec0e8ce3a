"""Gathering: which item is which post, within one source and over several."""

from __future__ import annotations

import datetime as dt

import pytest

from conftest import PublicationFactory
from gathering import FOLDER_AND_FEED, HOUR, TWO_FOLDERS, entry, feed_file, live, once, one, write
from newsletter.gather import gather
from newsletter.identity import PostState
from newsletter.store import Store, posts, sources


@pytest.mark.parametrize("to", ["folder/a.md", "2026-11-01-a.md"])
def test_a_moved_file_with_its_slug_is_the_same_post_even_if_edited(
    store: Store, publication: PublicationFactory, now: dt.datetime, to: str
) -> None:
    config = publication()
    old = write(config, "a.md")
    once(store, config, now)
    before = one(store)
    old.unlink()
    write(config, to, text="Edited on the way.")
    assert once(store, config, now + HOUR).changed == ("A title",)
    after = one(store)
    assert (after.id, after.seq, after.source_key) == (before.id, before.seq, to)


def test_a_renamed_file_is_the_same_post_and_keeps_its_id(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    old = write(config, "a.md")
    once(store, config, now)
    before = one(store)
    old.rename(old.with_name("better-name.md"))
    report = once(store, config, now + HOUR)
    assert (report.new, report.notes) == ((), ())
    after = one(store)
    assert (after.id, after.seq, after.updated) == (before.id, before.seq, before.updated)
    assert after.slug == "better-name"


def test_a_new_title_slug_and_date_keep_the_id(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md")
    once(store, config, now)
    write(config, "a.md", "Renamed", slug="other", date="2026-11-05 10:00", text="All new.")
    once(store, config, now + HOUR)
    post = one(store)
    assert (post.id, post.slug, post.title) == (
        "tag:harbour.example.org,2026-01-01:posts/a",
        "other",
        "Renamed",
    )
    write(config, "b.md", "Takes the slug that became free", slug="a", text="Something else.")
    once(store, config, now + HOUR)
    assert {post.id for post in live(store)} == {
        "tag:harbour.example.org,2026-01-01:posts/a",
        "tag:harbour.example.org,2026-01-01:posts/a-2",
    }


def test_a_copied_file_is_one_post_until_it_differs(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md")
    write(config, "b.md")
    once(store, config, now)
    assert one(store).source_key == "a.md"
    write(config, "b.md", "Another", text="Its own text now.")
    report = once(store, config, now + HOUR)
    assert (report.new, report.changed) == (("Another",), ())
    assert sorted(post.title for post in live(store)) == ["A title", "Another"]


def test_a_vanished_file_keeps_its_post_and_is_said_once(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    path = write(config, "a.md")
    once(store, config, now)
    path.unlink()
    assert any("a.md" in note and "stays" in note for note in once(store, config, now).notes)
    assert once(store, config, now).notes == ()
    assert one(store).title == "A title"
    write(config, "a.md", text="Back again.")
    report = once(store, config, now)
    assert (report.new, report.changed) == ((), ("A title",))


def test_two_posts_that_claim_one_slug_are_told_apart_by_name(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication(TWO_FOLDERS)
    write(config, "a.md", "Mine")
    other = write(config, "a.md", "Theirs", folder="more")
    first, second = gather(store, config, now=now)
    assert first.new == ("Mine",)
    (rejected,) = second.quarantined
    assert "'a'" in rejected.reason
    assert "a.md of source first" in rejected.reason
    assert rejected.source_key == "a.md"
    assert rejected.remedy
    (again,) = gather(store, config, now=now, only="second")
    assert again.quarantined == (rejected,)
    other.rename(other.with_name("b.md"))
    (settled,) = gather(store, config, now=now, only="second")
    assert (settled.new, settled.quarantined) == (("Theirs",), ())
    with store.read() as tx:
        assert sources.quarantined(tx) == []


def test_a_conflict_ends_when_the_other_gives_way_though_nothing_changed_here(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication(TWO_FOLDERS)
    write(config, "a.md", "Mine")
    write(config, "a.md", "Theirs", folder="more")
    gather(store, config, now=now)
    write(config, "a.md", "Mine", slug="elsewhere")
    assert [report.new for report in gather(store, config, now=now)] == [(), ("Theirs",)]


def test_the_source_of_higher_priority_gives_the_text(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication(FOLDER_AND_FEED)
    link = "https://harbour.example.org/posts/a/?utm_source=rss"
    feed_file(config, "feed.xml", entry("urn:x:1", link, text="As the feed has it."))
    gather(store, config, now=now)
    before = one(store)
    assert (before.id, before.url) == ("urn:x:1", "https://harbour.example.org/posts/a/")
    write(config, "a.md", text="As the file has it.")
    gather(store, config, now=now + HOUR)
    after = one(store)
    assert "As the file has it." in after.body_html
    assert (after.id, after.seq, after.published) == (before.id, before.seq, before.published)
    feed_file(config, "feed.xml", entry("urn:x:1", link, text="The feed again, and longer."))
    reports = gather(store, config, now=now + 2 * HOUR)
    assert [report.changed for report in reports] == [(), ()]
    assert one(store) == after


def test_the_same_text_from_two_sources_is_one_post(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication(FOLDER_AND_FEED)
    write(config, "a.md")
    feed_file(
        config,
        "feed.xml",
        entry("urn:x:1", "https://elsewhere.example.com/1"),
        entry("urn:x:2", "https://elsewhere.example.com/2", date="2026-10-01T09:00:00Z"),
    )
    gather(store, config, now=now)
    assert sorted(post.id for post in live(store)) == ["urn:x:1", "urn:x:2"]


def test_two_entries_of_one_feed_with_one_text_are_two_posts(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication({"sources": [{"name": "feed", "kind": "feed", "path": "feed.xml"}]})
    feed_file(
        config,
        "feed.xml",
        entry("urn:x:1", "https://elsewhere.example.com/1"),
        entry("urn:x:2", "https://elsewhere.example.com/2"),
        entry("urn:x:2", "https://elsewhere.example.com/2", text="Newer", date="2026-11-02T09:00:00Z"),
    )
    report = once(store, config, now)
    assert any("there twice" in note for note in report.notes)
    assert sorted(post.id for post in live(store)) == ["urn:x:1", "urn:x:2"]
    assert "Newer" in live(store)[0].body_html
    assert once(store, config, now).unchanged == 2


def test_an_entry_whose_id_changed_is_known_by_its_url(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication({"sources": [{"name": "feed", "kind": "feed", "path": "feed.xml"}]})
    feed_file(config, "feed.xml", entry("http://a.example.com/?p=1", "http://a.example.com/one"))
    once(store, config, now)
    moved = entry("https://a.example.com/?p=1", "https://A.example.com/one/?fbclid=z", text="Edited.")
    feed_file(config, "feed.xml", moved)
    assert once(store, config, now).changed == ("A title",)
    assert one(store).id == "http://a.example.com/?p=1"


def test_one_failing_source_does_not_stop_the_others(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication(FOLDER_AND_FEED)
    write(config, "a.md")
    failed, good = gather(store, config, now=now)
    assert "feed.xml" in failed.failed
    assert good.new == ("A title",)
    with store.read() as tx:
        assert list(sources.failures(tx)) == ["feed"]
    feed_file(config, "feed.xml")
    gather(store, config, now=now)
    with store.read() as tx:
        assert sources.failures(tx) == {}


def test_a_withdrawn_post_stays_withdrawn(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    path = write(config, "a.md")
    once(store, config, now)
    with store.write() as tx:
        posts.set_state(tx, 1, PostState.DELETED, now=now)
    path.rename(path.with_name("b.md"))
    assert any("withdrawn" in note for note in once(store, config, now).notes)
    write(config, "b.md", text="Changed.")
    assert once(store, config, now).new == ()
    assert live(store) == []
    with store.read() as tx:
        assert [deleted.title for deleted in posts.deleted(tx)] == ["A title"]
