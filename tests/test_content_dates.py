"""Dates are read as written or refused: zones by name, daylight saving, leap seconds, nonsense."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.content import parse_date
from newsletter.content.dates import ZONE_NAMES, find_written_date
from newsletter.errors import InputError

BRUSSELS = "Europe/Brussels"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-09-14T07:30:00+02:00", "2026-09-14T05:30:00"),
        ("2026-09-14T07:30:00Z", "2026-09-14T07:30:00"),
        ("2026-09-14t07:30:00z", "2026-09-14T07:30:00"),
        ("2026-09-14 07:30", "2026-09-14T05:30:00"),
        ("2026-09-14T07:30:00.123456789-05:00", "2026-09-14T12:30:00.123456"),
        ("2026-09-14T07:30:00-00:00", "2026-09-14T07:30:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00"),
        ("Mon, 03 Nov 2025 10:00:00 CET", "2025-11-03T09:00:00"),
        ("Mon, 3 Nov 2025 10:00 AEDT", "2025-11-02T23:00:00"),
        ("3 Nov 2025 10:00:00 +0530", "2025-11-03T04:30:00"),
        ("Mon, 03 Nov 2025 10:00:00 GMT (a comment)", "2025-11-03T10:00:00"),
        ("Mon, 03 Nov 2025 10:00:00 GMT+0200", "2025-11-03T08:00:00"),
        ("03 Nov 98 10:00:00 EST", "1998-11-03T15:00:00"),
        ("03 Nov 25 10:00:00 Z", "2025-11-03T10:00:00"),
        ("  Monday, 3 November 2025 10:00:00 UT  ", "2025-11-03T10:00:00"),
        ("Mon, 03 Nov 2025 10:00:00", "2025-11-03T09:00:00"),
    ],
)
def test_an_instant_is_read(text: str, expected: str) -> None:
    assert parse_date(text, BRUSSELS) == (datetime.fromisoformat(expected).replace(tzinfo=UTC), False)


TABLE = [
    line.split("\t")
    for line in (Path(__file__).parent / "fixtures" / "dates.tsv")
    .read_text(encoding="utf-8")
    .splitlines()[1:]
]


@pytest.mark.parametrize(("written", "expected"), TABLE)
def test_a_date_as_feeds_have_it_is_that_instant_or_refused(written: str, expected: str) -> None:
    text = written.replace("\\n", "\n").replace("\\t", "\t")
    kind, _, why = expected.partition(": ")
    if kind == "refused":
        with pytest.raises(InputError, match=re.escape(why)) as caught:
            parse_date(text, BRUSSELS)
        assert caught.value.remedy
        return
    instant, _, alone = expected.partition(" ")
    assert parse_date(text, BRUSSELS) == (datetime.fromisoformat(instant), alone == "date")


def test_the_table_of_dates_is_whole() -> None:
    assert len({written for written, _ in TABLE}) == len(TABLE) == 233


@pytest.mark.parametrize("text", ["2026-09-14", "14 Sep 2026", "Mon, 14 Sep 2026"])
def test_a_date_alone_is_noon_there(text: str) -> None:
    assert parse_date(text, "Australia/Sydney") == (datetime(2026, 9, 14, 2, tzinfo=UTC), True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-29 02:30", "2026-03-29T01:30:00"),  # does not exist: 03:30 summer time
        ("2026-10-25 02:30", "2026-10-25T00:30:00"),  # occurs twice: the first
    ],
)
def test_daylight_saving_has_one_reading(text: str, expected: str) -> None:
    assert parse_date(text, BRUSSELS)[0] == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "yesterday",
        "2026-13-01",
        "2026-02-30",
        "2026-09-14T25:00:00Z",
        "2026-09-14T07:30:00+24:00",
        "2026-09-14T07:30:00+02:75",
        "14.09.2026",
        "09/14/2026",
        "Mon, 03 Nov 2025 10:00:00 QXYZ",
        "Mon, 03 Foo 2025 10:00:00 GMT",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:60Z",
        "2026-09-14\n2026-09-15",
        "２０２６-09-14",
        "1" * 100_000,
    ],
)
def test_nonsense_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_date(text, BRUSSELS)
    assert caught.value.remedy
    assert len(str(caught.value)) < 400


def test_an_unknown_zone_is_the_configurations_fault() -> None:
    with pytest.raises(InputError, match="IANA"):
        parse_date("2026-09-14", "Mars/Olympus")


@pytest.mark.parametrize(("name", "zone", "month"), [
    ("CET", BRUSSELS, 1), ("CEST", BRUSSELS, 7), ("WET", "Europe/Lisbon", 1), ("WEST", "Europe/Lisbon", 7),
    ("EET", "Europe/Athens", 1), ("EEST", "Europe/Athens", 7), ("BST", "Europe/London", 7),
    ("AEST", "Australia/Sydney", 7), ("AEDT", "Australia/Sydney", 1), ("ACST", "Australia/Adelaide", 7),
    ("ACDT", "Australia/Adelaide", 1), ("AWST", "Australia/Perth", 1), ("NZST", "Pacific/Auckland", 7),
    ("NZDT", "Pacific/Auckland", 1), ("JST", "Asia/Tokyo", 1), ("IST", "Asia/Kolkata", 1),
    ("EST", "America/New_York", 1), ("EDT", "America/New_York", 7), ("CST", "America/Chicago", 1),
    ("PDT", "America/Los_Angeles", 7), ("AKST", "America/Anchorage", 1), ("HST", "Pacific/Honolulu", 1),
])  # fmt: skip
def test_zone_names_agree_with_the_zones_that_use_them(name: str, zone: str, month: int) -> None:
    offset = datetime(2025, month, 15, tzinfo=ZoneInfo(zone)).utcoffset()
    assert offset == timedelta(minutes=ZONE_NAMES[name])


@given(
    st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30)),
    st.integers(-14 * 60, 14 * 60),
)
def test_what_others_write_comes_back(moment: datetime, minutes: int) -> None:
    aware = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_date(aware.isoformat(), BRUSSELS) == (aware, False)
    assert parse_date(format_datetime(aware), BRUSSELS) == (aware, False)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        instant, _ = parse_date(text, BRUSSELS)
    except InputError:
        return
    assert instant.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "expected", "date_only"),
    [
        ("December 29th, 2011", "2011-12-29T11:00", True),
        ("Posted by hvdb on Thursday, December 29, 2011 at 9:15 pm", "2011-12-29T20:15", False),
        ("29 December 2011", "2011-12-29T11:00", True),
        ("the 1st of May, 2012", "2012-05-01T10:00", True),
        ("29.12.11", "2011-12-29T11:00", True),
        ("29/12/2011 14:30", "2011-12-29T13:30", False),
        ("on 2011-12-29.", "2011-12-29T11:00", True),
    ],
)
def test_dates_as_people_write_them(text: str, expected: str, date_only: bool) -> None:
    found = find_written_date(text, BRUSSELS)
    assert found is not None
    assert found[:2] == (datetime.fromisoformat(expected).replace(tzinfo=UTC), date_only)
    assert found[2] in text


@pytest.mark.parametrize(
    "text", ["", "Room 29.12.113", "99.99.11", "version 1.2.3456789", "31 February 2011"]
)
def test_numbers_that_are_no_dates(text: str) -> None:
    assert find_written_date(text, BRUSSELS) is None


@given(st.text(max_size=200))
def test_looking_for_a_date_never_fails(text: str) -> None:
    found = find_written_date(text, "UTC")
    assert found is None or found[2] in text


@pytest.mark.parametrize("text", ["Posted by Mary 12, 2011", "marraskuu 3, 2011", "Decker 12, 2010"])
def test_what_begins_like_a_month_is_none(text: str) -> None:
    assert find_written_date(text, BRUSSELS) is None
