"""Gathering: real folders, real feeds in files, a real store."""

from __future__ import annotations

import datetime as dt
import os
import shutil

import pytest

from conftest import PublicationFactory
from gathering import DAY, HOUR, live, once, one, write
from newsletter.errors import ConfigError, OutsideError
from newsletter.gather import gather
from newsletter.store import Store, sources


def test_a_new_post_is_stored_whole(store: Store, publication: PublicationFactory, now: dt.datetime) -> None:
    config = publication()
    write(config, "a.md", "First", tags="[x, y]", author="Ada", text="A *text*.\n\n> Said.\n> — Someone")
    assert once(store, config, now).new == ("First",)
    post = one(store)
    assert (post.title, post.tags, post.seq, post.slug) == ("First", ("x", "y"), 1, "a")
    assert post.id == "tag:harbour.example.org,2026-01-01:posts/a"
    assert post.published == post.updated == dt.datetime(2026, 11, 1, 9, tzinfo=dt.UTC)
    assert "<blockquote" in post.body_html
    report = once(store, config, now + HOUR)
    assert (report.new, report.changed, report.unchanged) == ((), (), 1)


def test_a_significant_change_moves_updated_and_nothing_else(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md")
    once(store, config, now)
    before = one(store)
    write(config, "a.md", text="Another text.")
    assert once(store, config, now + HOUR).changed == ("A title",)
    after = one(store)
    assert "Another text." in after.body_html
    assert after.updated == now + HOUR
    assert (after.id, after.seq, after.published) == (before.id, before.seq, before.published)


@pytest.mark.parametrize(
    "change", [{"tags": "[new]"}, {"text": "Text  of\n**A title**."}, {"minor": "true", "text": "Other."}]
)
def test_a_minor_change_is_stored_and_keeps_updated(
    store: Store, publication: PublicationFactory, now: dt.datetime, change: dict[str, str]
) -> None:
    config = publication()
    write(config, "a.md")
    once(store, config, now)
    before = one(store)
    write(config, "a.md", **change)
    assert once(store, config, now + HOUR).changed == ("A title",)
    after = one(store)
    assert after != before
    assert after.updated == before.updated


def test_the_authors_own_updated_counts(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md", updated="2026-11-02 10:00")
    once(store, config, now)
    assert one(store).updated == dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC)
    write(config, "a.md", updated="2026-11-03 10:00")
    once(store, config, now + HOUR)
    assert one(store).updated == dt.datetime(2026, 11, 3, 9, tzinfo=dt.UTC)
    write(config, "a.md", updated="2026-11-03 10:00", text="Changed and not said so.")
    once(store, config, now + 2 * HOUR)
    assert one(store).updated == now + 2 * HOUR
    write(config, "a.md", updated="2099-01-01 10:00", text="Said of a day that is not yet.")
    once(store, config, now + 3 * HOUR)
    assert one(store).updated == now + 3 * HOUR


def test_a_changed_date_is_noted_and_the_first_one_stays(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md")
    once(store, config, now)
    first = one(store).published
    for date in ("2026-10-01 10:00", "2030-01-01 10:00"):
        write(config, "a.md", date=date)
        report = once(store, config, now)
        assert any("its date is now" in note for note in report.notes)
        assert one(store).published == first


def test_a_future_post_waits_and_goes_live_though_its_file_is_untouched(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md", "Later", date="2026-11-24 13:00")  # 12:00 UTC
    write(config, "b.md", "Present")
    report = once(store, config, now)
    assert (report.new, report.held) == (("Present",), ("Later",))
    assert [post.title for post in live(store)] == ["Present"]
    report = once(store, config, now + HOUR)
    assert (report.new, report.held, report.unchanged) == ((), ("Later",), 1)
    report = once(store, config, now + DAY)
    assert (report.new, report.held, report.unchanged) == (("Later",), (), 2)
    assert [(post.title, post.seq) for post in live(store)] == [("Later", 1), ("Present", 2)]
    assert live(store)[0].updated == now + DAY


def test_a_held_post_can_be_dated_anew(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md", date="2026-12-24 13:00")
    once(store, config, now)
    write(config, "a.md", date="2026-12-26 13:00", text="Better.")
    assert once(store, config, now).held == ("A title",)
    write(config, "a.md", date="2026-11-23 12:30", text="Better.")
    assert once(store, config, now).new == ("A title",)
    assert one(store).published == dt.datetime(2026, 11, 23, 11, 30, tzinfo=dt.UTC)


def test_a_held_post_goes_live_without_its_source(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md", date="2026-11-24 13:00")
    once(store, config, now)
    shutil.rmtree(config.folder / "posts")
    report = once(store, config, now + DAY)
    assert report.failed
    assert report.new == ("A title",)
    assert one(store).title == "A title"


def test_a_held_post_goes_live_after_its_source_was_removed(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md", date="2026-11-24 13:00")
    once(store, config, now)
    assert gather(store, publication({"sources": []}), now=now + DAY) == []
    assert one(store).title == "A title"


def test_a_bad_item_waits_in_quarantine_and_leaves_it_when_mended(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "good.md", "Good")
    write(config, "bad.md", "Bad", date="yesterday")
    for _ in range(2):
        report = once(store, config, now)
        (rejected,) = report.quarantined
        assert "yesterday" in f"{rejected.reason} {rejected.excerpt}"
        assert "bad.md:3" in rejected.where
    with store.read() as tx:
        assert sources.quarantined(tx, "posts") == [rejected]
    write(config, "bad.md", "Mended")
    report = once(store, config, now)
    assert (report.new, report.quarantined) == (("Mended",), ())
    write(config, "worse.md", date="never")
    assert once(store, config, now).quarantined
    (config.folder / "posts" / "worse.md").unlink()
    assert once(store, config, now).quarantined == ()
    with store.read() as tx:
        assert sources.quarantined(tx) == []


def test_a_published_post_whose_file_turns_bad_stays(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md")
    once(store, config, now)
    before = one(store)
    write(config, "a.md", date="broken")
    report = once(store, config, now)
    assert len(report.quarantined) == 1
    assert report.notes == ()
    assert one(store) == before


def test_a_file_whose_name_is_no_text_stops_nothing(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    good = write(config, "good.md", "Good")
    odd = os.fsencode(good.parent) + b"/caf\xe9.md"
    shutil.copy(os.fsencode(good), odd)
    for _ in range(2):
        report = once(store, config, now)
        (rejected,) = report.quarantined
        assert rejected.where == "caf\ufffd.md"
        assert "Rename it" in rejected.remedy
        str(report).encode()
    assert one(store).title == "Good"


def test_references_learn_the_id_of_posts_seen_later(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md", "Answer", references="[the-question]", text="See [it](the-question.md).")
    once(store, config, now)
    assert [reference.post_id for reference in one(store).references] == [""]
    write(config, "the-question.md", "Question")
    once(store, config, now)
    answer = next(post for post in live(store) if post.title == "Answer")
    assert [reference.post_id for reference in answer.references] == [
        "tag:harbour.example.org,2026-01-01:posts/the-question"
    ]


def test_a_dry_run_reports_and_changes_nothing(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    config = publication()
    write(config, "a.md")
    write(config, "bad.md", date="never")
    for _ in range(2):
        (report,) = gather(store, config, now=now, dry_run=True)
        assert report.new == ("A title",)
        assert len(report.quarantined) == 1
    assert live(store) == []
    with store.read() as tx:
        assert sources.memory(tx, "posts") == {}
        assert sources.quarantined(tx) == []
    assert once(store, config, now).new == ("A title",)


def test_a_source_that_is_not_there_is_named(
    sqlite_store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    with pytest.raises(ConfigError, match=r"no source 'other'\. Known: posts"):
        gather(sqlite_store, publication(), now=now, only="other")


def test_two_gatherings_at_once_are_refused(
    store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    with store.lock("gather"), pytest.raises(OutsideError, match="another process is gathering"):
        gather(store, publication(), now=now)


def test_other_settings_have_everything_read_anew(
    sqlite_store: Store, publication: PublicationFactory, now: dt.datetime
) -> None:
    write(publication(), "a.md")
    once(sqlite_store, publication(), now)
    moved = publication({"publication": {"url": "https://moved.example.org/"}})
    assert once(sqlite_store, moved, now).changed == ("A title",)
    post = one(sqlite_store)
    assert post.id == "tag:harbour.example.org,2026-01-01:posts/a"
    assert post.url == "https://moved.example.org/posts/a/"
    assert post.updated == post.published
