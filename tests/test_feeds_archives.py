"""Archives of closed months (RFC 5005 §4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from awkward import DELETED, FEED, POSTS, SITE, post
from newsletter.checks.feeds import check_atom
from newsletter.feeds import archive, archive_url, archives, atom, entry_of_post, month_of
from newsletter.feeds.archives import Archive

A = "{http://www.w3.org/2005/Atom}"
ARCHIVED = "{http://purl.org/syndication/history/1.0}archive"
ROOT = f"{SITE}feeds/archive/"
NOVEMBER = datetime(2026, 11, 3, tzinfo=UTC)


def links(root: Any) -> dict[str, str]:
    return {link.get("rel"): link.get("href") for link in root.findall(f"{A}link")}


def test_a_month_is_counted_in_utc() -> None:
    assert month_of(datetime(2026, 11, 1, 5, tzinfo=timezone(timedelta(hours=10)))) == "2026-10"
    assert month_of(datetime(999, 1, 1, tzinfo=UTC)) == "0999-01"


def test_only_closed_months_are_archived_and_each_knows_its_neighbours() -> None:
    index = archives(FEED, ["2026-11", "2026-08", "2026-10", "2026-08"], NOVEMBER)
    assert index == [
        Archive(month="2026-08", url=f"{ROOT}2026-08.xml", following=f"{ROOT}2026-10.xml"),
        Archive(month="2026-10", url=f"{ROOT}2026-10.xml", previous=f"{ROOT}2026-08.xml"),
    ]
    assert archives(FEED, ["2026-11"], NOVEMBER) == archives(FEED, [], NOVEMBER) == []
    part = replace(FEED, atom=f"{SITE}feeds/tags/trade/atom.xml")
    assert archive_url(part, "2026-10") == f"{SITE}feeds/tags/trade/archive/2026-10.xml"


def test_an_archive_says_that_it_is_one_and_where_the_others_are() -> None:
    index = archives(FEED, ["2026-07", "2026-08", "2026-10"], NOVEMBER)
    root = etree.fromstring(archive(replace(FEED, deleted=DELETED), index[1], []))
    assert root.find(ARCHIVED) is not None
    assert links(root) == {
        "self": f"{ROOT}2026-08.xml",
        "alternate": SITE,
        "current": FEED.atom,
        "prev-archive": f"{ROOT}2026-07.xml",
        "next-archive": f"{ROOT}2026-10.xml",
    }
    assert root.findtext(f"{A}id") == FEED.id, "it is the same feed"
    assert b"tombstones" not in archive(replace(FEED, deleted=DELETED), index[1], [])
    first, last = (links(etree.fromstring(archive(FEED, one, []))) for one in (index[0], index[-1]))
    assert "prev-archive" not in first
    assert "next-archive" not in last


def test_the_subscription_document_leads_to_the_newest_archive() -> None:
    told = etree.fromstring(atom(replace(FEED, previous=f"{ROOT}2026-10.xml"), []))
    assert links(told)["prev-archive"] == f"{ROOT}2026-10.xml"
    assert told.find(ARCHIVED) is None
    assert "prev-archive" not in links(etree.fromstring(atom(FEED, [])))


def test_an_archive_holds_all_its_posts_whatever_its_size(shared_data: Path) -> None:
    long = [post(n, f"{n}", body_html=f"<p>{'word ' * 4000}</p>") for n in range(1, 29)]
    one = Archive(month="2026-11", url=archive_url(FEED, "2026-11"))
    for posts in (long, POSTS):
        document = archive(FEED, one, [entry_of_post(FEED, each) for each in posts])
        root = etree.fromstring(document)
        assert len(root.findall(f"{A}entry")) == len(posts)
        assert check_atom(document) == []
        grammar = etree.RelaxNG(etree.parse(shared_data / "atom.rng"))
        assert grammar.validate(root), grammar.error_log


WHEN = st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))


@given(st.lists(WHEN, min_size=1, max_size=30))
def test_walking_back_meets_every_closed_month_once(instants: list[datetime]) -> None:
    months = [month_of(one) for one in instants]
    index = archives(FEED, months, max(instants))
    by_url = {one.url: one for one in index}
    here, met = index[-1].url if index else "", []
    while here:
        met.append(by_url[here].month)
        here = by_url[here].previous
    assert met == sorted(set(months) - {max(months)}, reverse=True)
    assert all(not one.following or by_url[one.following].previous == one.url for one in index)
