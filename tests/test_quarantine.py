"""Quarantine as an editor meets it: the lines at fault, what leaves by itself, what is ignored until it changes."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import PublicationFactory
from gathering import HOUR, once, write
from newsletter import quarantine
from newsletter.cli import main
from newsletter.config import Config
from newsletter.errors import InputError
from newsletter.gather import gather
from newsletter.model import Rejected
from newsletter.store import Store, sources

NOW = dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC)


@pytest.fixture
def config(publication: PublicationFactory) -> Config:
    """A publication with a good post and a bad one, whose fourth line is at fault."""
    made = publication()
    write(made, "good.md", "Good")
    write(made, "bad.md", "Bad", sumary="A typing mistake", text="First line.\nSecond line.")
    return made


def test_it_shows_the_line_at_fault_and_two_around_it(config: Config, store: Store) -> None:
    once(store, config, NOW)
    (item,) = quarantine.listed(store)
    assert (item.source_key, item.first_seen, item.ignored) == ("bad.md", NOW, False)
    assert item.where.endswith("bad.md:4")
    assert "sumary" in item.reason
    assert item.remedy
    lines = quarantine.context(config, item)
    assert [(line.number, line.text, line.at_fault) for line in lines] == [
        (2, "title: Bad", False),
        (3, "date: 2026-11-01 10:00", False),
        (4, "sumary: A typing mistake", True),
        (5, "---", False),
        (6, "First line.", False),
    ]
    (config.folder / "posts" / "bad.md").write_text("short")
    assert quarantine.context(config, item) == []
    (config.folder / "posts" / "bad.md").unlink()
    assert quarantine.context(config, item) == []


@pytest.mark.parametrize(
    "where", ["/etc/passwd:1", "posts/../newsletter.toml:1", "posts:1", "\0:1", "x" * 5000 + ":1"]
)
def test_a_path_that_a_foreign_text_names_is_not_read(config: Config, store: Store, where: str) -> None:
    once(store, config, NOW)
    (item,) = quarantine.listed(store)
    assert quarantine.context(config, replace(item, where=where)) == []
    assert quarantine.context(config, replace(item, where=where, source="no such source")) == []


def test_what_is_mended_leaves_by_itself_and_what_is_removed_as_well(config: Config, store: Store) -> None:
    write(config, "also.md", "Also", color="blue")
    assert len(once(store, config, NOW).quarantined) == 2
    write(config, "bad.md", "Mended")
    (config.folder / "posts" / "also.md").unlink()
    report = once(store, config, NOW + HOUR)
    assert (report.new, report.quarantined, report.ignored) == (("Mended",), (), 0)
    assert quarantine.listed(store) == []


def test_what_is_ignored_is_not_reported_until_it_changes(config: Config, store: Store) -> None:
    once(store, config, NOW)
    (item,) = quarantine.listed(store)
    (done,) = quarantine.ignore(store, [item.id[:4]], note="the author is away")
    assert (done.ignored, done.note) == (True, "the author is away")
    for hours in (1, 2):  # also when it is looked at again
        report = once(store, config, NOW + hours * HOUR)
        assert (report.quarantined, report.ignored) == ((), 1)
    write(config, "bad.md", "Bad", sumary="A typing mistake", text="Another text.")
    report = once(store, config, NOW + 3 * HOUR)
    assert ([one.source_key for one in report.quarantined], report.ignored) == (["bad.md"], 0)
    (item,) = quarantine.listed(store)
    assert not item.ignored
    assert item.first_seen == NOW
    quarantine.ignore(store, ["bad.md"], note="")
    assert once(store, config, NOW + 4 * HOUR).ignored == 1
    quarantine.look_again(store, ["bad.md"])
    assert once(store, config, NOW + 5 * HOUR).ignored == 0


def test_a_failing_source_keeps_what_is_ignored(config: Config, store: Store) -> None:
    once(store, config, NOW)
    quarantine.ignore(store, ["bad.md"], note="")
    posts = config.folder / "posts"
    posts.rename(config.folder / "away")
    report = once(store, config, NOW + HOUR)
    assert report.failed
    assert (report.quarantined, report.ignored) == ((), 1)
    (config.folder / "away").rename(posts)
    assert once(store, config, NOW + 2 * HOUR).ignored == 1


def test_names_that_name_none_or_several_are_said(config: Config, store: Store) -> None:
    rejected = [Rejected(source="posts", source_key=f"k{n}", where="w", reason="r") for n in range(400)]
    with store.write() as tx:
        sources.quarantine(tx, rejected, now=NOW)
    with pytest.raises(InputError, match="nothing in quarantine is 'nonsense'"):
        quarantine.find(store, ["nonsense"])
    with pytest.raises(InputError, match="names 400 items"):
        quarantine.find(store, ["w"])
    first = quarantine.listed(store)[0]
    assert quarantine.find(store, [first.id, first.source_key, first.id]) == [first]
    with pytest.raises(InputError, match="not looked at since"):
        quarantine.ignore(store, [first.id], note="")


def test_items_of_a_feed_are_read_again_on_the_editors_word(
    store: Store, publication: PublicationFactory
) -> None:
    config = publication({"sources": [{"name": "feed", "kind": "feed", "path": "feed.xml"}]})
    path = config.folder / "feed.xml"
    path.write_text(
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>F</title><id>urn:f</id>'
        "<updated>2026-01-01T00:00:00Z</updated><entry><id>urn:a</id><title>No date</title></entry></feed>"
    )
    (rejected,) = once(store, config, NOW).quarantined
    quarantine.ignore(store, ["urn:a"], note="")
    assert once(store, config, NOW + HOUR).ignored == 1
    assert [one.source_key for one in quarantine.look_again(store, [])] == [rejected.source_key]
    assert len(once(store, config, NOW + HOUR).quarantined) == 1
    (item,) = quarantine.listed(store)
    assert item.last_seen == NOW + HOUR


@pytest.mark.parametrize("kind", ["feed", "wordpress-export"])
def test_what_is_ignored_of_a_foreign_site_is_told_again_when_its_text_changes(
    store: Store, publication: PublicationFactory, kind: str
) -> None:
    config = publication({"sources": [{"name": "site", "kind": kind, "path": "site.xml"}]})
    write_site = _write_feed if kind == "feed" else _write_export
    write_site(config.folder / "site.xml", "One text.")
    (item,) = once(store, config, NOW).quarantined
    quarantine.ignore(store, [item.source_key], note="")
    write_site(config.folder / "site.xml", "One text.", before=True)
    report = once(store, config, NOW + HOUR)
    assert (report.new, report.quarantined, report.ignored) == (("Good",), (), 1)
    write_site(config.folder / "site.xml", "Another text.", before=True)
    report = once(store, config, NOW + 2 * HOUR)
    assert ([one.source_key for one in report.quarantined], report.ignored) == ([item.source_key], 0)


def _write_feed(path: Path, text: str, *, before: bool = False) -> None:
    good = "<entry><id>urn:b</id><title>Good</title><updated>2026-11-01T09:00:00Z</updated></entry>"
    path.write_text(
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>F</title><id>urn:f</id>'
        f"<updated>2026-01-01T00:00:00Z</updated>{good if before else ''}"
        f"<entry><id>urn:a</id><title>No date</title><content>{text}</content></entry></feed>"
    )


def _write_export(path: Path, text: str, *, before: bool = False) -> None:
    def item(number: int, title: str, date: str) -> str:
        return (
            f"<item><title>{title}</title><guid>https://a.example.org/?p={number}</guid>"
            f"<content:encoded>{text}</content:encoded><wp:post_id>{number}</wp:post_id>"
            f"<wp:post_type>post</wp:post_type><wp:status>publish</wp:status>{date}</item>"
        )

    good = item(1, "Good", "<wp:post_date_gmt>2026-11-01 09:00:00</wp:post_date_gmt>")
    path.write_text(
        '<rss xmlns:content="http://purl.org/rss/1.0/modules/content/"'
        ' xmlns:wp="http://wordpress.org/export/1.2/">'
        f"<channel>{good if before else ''}{item(2, 'No date', '')}</channel></rss>"
    )


def test_what_a_source_left_that_is_no_longer_configured_is_let_go(
    config: Config, store: Store, publication: PublicationFactory
) -> None:
    left = [Rejected(source="old", source_key=key, where="w", reason="r") for key in ("a", "b")]
    with store.write() as tx:
        sources.quarantine(tx, left, now=NOW)
    gather(store, config, now=NOW, dry_run=True)
    gather(store, config, now=NOW, only="posts")
    assert len(quarantine.listed(store)) == 3
    mine, old = gather(store, config, now=NOW + HOUR)
    assert (old.source, old.notes) == ("old", ("it is no longer configured: 2 items left quarantine",))
    assert [one.source for one in quarantine.listed(store)] == [mine.source]
    assert len(gather(store, config, now=NOW + HOUR)) == 1


def run(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["-p", str(folder), *arguments])
    said = capsys.readouterr()
    return stopped.value.code, said.out + said.err


def test_at_the_command_line(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    folder = config.folder
    assert run(folder, capsys, "quarantine", "list") == (0, "Nothing is in quarantine.\n")
    assert run(folder, capsys, "quarantine", "retry") == (0, "Nothing is in quarantine.\n")
    run(folder, capsys, "gather")
    (told,) = json.loads(run(folder, capsys, "quarantine", "list", "--json")[1])
    status, said = run(folder, capsys, "quarantine", "show", told["id"])
    assert status == 0
    assert "> 4 | sumary: A typing mistake\n" in said
    assert "  2 | title: Bad\n" in said
    assert "What to do: " in said
    shown = json.loads(run(folder, capsys, "quarantine", "show", told["id"], "--json")[1])
    assert [line["number"] for line in shown["lines"]] == [2, 3, 4, 5, 6]
    status, said = run(folder, capsys, "quarantine", "ignore", told["id"], "--note", "later")
    assert (status, told["id"] in said) == (0, True)
    assert "1 ignored" in run(folder, capsys, "quarantine", "list")[1]
    assert "(ignored: later)" in run(folder, capsys, "quarantine", "list", "--ignored")[1]
    assert "0 quarantined (1 ignored)" in run(folder, capsys, "gather")[1]
    status, said = run(folder, capsys, "quarantine", "retry", "bad.md")
    assert (status, "stays: " in said) == (1, True)
    write(config, "bad.md", "Mended")
    status, said = run(folder, capsys, "quarantine", "retry")
    assert (status, "left quarantine: " in said) == (0, True)
    status, said = run(folder, capsys, "quarantine", "show", "nonsense")
    assert (status, said.count("\n")) == (2, 1)
