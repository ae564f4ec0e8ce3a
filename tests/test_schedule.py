"""Schedules: exactly one slot a local date, whatever the clocks do, and what becomes of slots that are due."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.errors import InputError
from newsletter.schedule import (
    GRACE,
    WEEKDAYS,
    CatchUp,
    Decision,
    Schedule,
    decide,
    instant,
    latest_slot,
    local_instant,
    next_slot,
    slots,
)

ZONES = (
    "Europe/Brussels",
    "Australia/Sydney",
    "Australia/Lord_Howe",  # half an hour of summer time
    "America/New_York",
    "Asia/Kathmandu",  # +05:45
    "Pacific/Apia",  # crossed the date line in 2011
    "UTC",
)
DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    """Read `2026-03-29 01:00` as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def daily(zone: str, at: str) -> Schedule:
    return Schedule(every="day", at=time.fromisoformat(at), timezone=zone)


schedules = st.builds(
    Schedule,
    every=st.sampled_from(["day", "week", "month"]),
    at=st.times().map(lambda t: t.replace(microsecond=0)),
    timezone=st.sampled_from(ZONES),
    on=st.lists(st.sampled_from(WEEKDAYS), min_size=1, unique=True).map(tuple),
    day=st.integers(1, 31),
)
instants = st.datetimes(datetime(2009, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC))
spans = st.timedeltas(timedelta(0), timedelta(days=200))


@pytest.mark.parametrize(
    ("zone", "at", "day", "due", "why"),
    [
        ("Europe/Brussels", "02:30", "2026-03-29", "2026-03-29 01:00", "gap"),
        ("Europe/Brussels", "02:00", "2026-03-29", "2026-03-29 01:00", "the gap's first minute"),
        ("Europe/Brussels", "03:00", "2026-03-29", "2026-03-29 01:00", "the first minute after it"),
        ("Europe/Brussels", "02:30", "2026-10-25", "2026-10-25 00:30", "fold: the first time"),
        ("Europe/Brussels", "03:00", "2026-10-25", "2026-10-25 02:00", "after the fold"),
        ("Europe/Brussels", "02:30", "2027-03-28", "2027-03-28 01:00", "gap"),
        ("Europe/Brussels", "02:30", "2027-10-31", "2027-10-31 00:30", "fold"),
        ("Australia/Sydney", "02:30", "2026-04-05", "2026-04-04 15:30", "fold"),
        ("Australia/Sydney", "02:30", "2026-10-04", "2026-10-03 16:00", "gap"),
        ("Australia/Sydney", "02:30", "2027-04-04", "2027-04-03 15:30", "fold"),
        ("Australia/Sydney", "02:30", "2027-10-03", "2027-10-02 16:00", "gap"),
        ("Australia/Lord_Howe", "02:15", "2026-10-04", "2026-10-03 15:30", "a gap of half an hour"),
        ("Australia/Lord_Howe", "01:45", "2026-04-05", "2026-04-04 14:45", "a fold of half an hour"),
        ("America/New_York", "02:30", "2026-03-08", "2026-03-08 07:00", "gap"),
        ("America/New_York", "01:30", "2026-11-01", "2026-11-01 05:30", "fold"),
        ("Pacific/Apia", "07:00", "2011-12-30", "2011-12-30 10:00", "a date left out"),
        ("Asia/Kathmandu", "07:00", "2026-11-23", "2026-11-23 01:15", "a quarter of an hour"),
    ],
)
def test_a_local_time_at_a_change_of_clocks(zone: str, at: str, day: str, due: str, why: str) -> None:
    assert instant(date.fromisoformat(day), time.fromisoformat(at), ZoneInfo(zone)) == utc(due), why


@pytest.mark.parametrize(("zone", "year"), [(z, y) for z in ZONES[:4] for y in (2026, 2027)])
@pytest.mark.parametrize("at", ["00:00", "01:30", "02:00", "02:30", "03:00", "07:00", "23:59"])
def test_a_daily_schedule_fires_once_a_local_date_over_two_years(zone: str, year: int, at: str) -> None:
    found = list(slots(daily(zone, at), utc(f"{year - 1}-12-31 12:00") - DAY, utc(f"{year + 1}-01-02 12:00")))
    dates = [due.astimezone(ZoneInfo(zone)).date() for due in found]
    wanted = [date(year, 1, 1) + n * DAY for n in range((date(year + 1, 1, 1) - date(year, 1, 1)).days)]
    assert [d for d in dates if d.year == year] == wanted


def test_monday_seven_in_sydney_stays_at_seven_for_the_reader() -> None:
    weekly = Schedule(every="week", on=("monday",), at=time(7), timezone="Australia/Sydney")
    found = list(slots(weekly, utc("2026-09-20 00:00"), utc("2026-10-20 00:00")))
    assert found == [
        utc("2026-09-20 21:00"),
        utc("2026-09-27 21:00"),
        utc("2026-10-04 20:00"),  # summer time began that Sunday
        utc("2026-10-11 20:00"),
        utc("2026-10-18 20:00"),
    ]


def test_a_month_that_is_too_short_uses_its_last_day() -> None:
    monthly = Schedule(every="month", day=31, at=time(9), timezone="UTC")
    found = list(slots(monthly, utc("2027-12-31 12:00"), utc("2028-06-01 00:00")))
    assert [(due.month, due.day) for due in found] == [(1, 31), (2, 29), (3, 31), (4, 30), (5, 31)]


def test_a_date_left_out_is_one_slot_with_the_next_when_they_coincide() -> None:
    found = list(slots(daily("Pacific/Apia", "00:00"), utc("2011-12-28 12:00"), utc("2012-01-01 12:00")))
    assert found == [
        utc("2011-12-29 10:00"),  # the 29th at -10:00
        utc("2011-12-30 10:00"),  # the 31st at +14:00, and what would have been the 30th
        utc("2011-12-31 10:00"),
        utc("2012-01-01 10:00"),
    ]


@given(schedules, instants, spans, spans)
def test_slots_tile_time(schedule: Schedule, a: datetime, first: timedelta, second: timedelta) -> None:
    b, c = a + first, a + first + second
    whole = list(slots(schedule, a, c))
    assert list(slots(schedule, a, b)) + list(slots(schedule, b, c)) == whole
    assert all(earlier < later for earlier, later in pairwise(whole))
    assert all(a < due <= c and due.tzinfo is UTC for due in whole)


@given(schedules, instants)
def test_every_slot_is_the_first_instant_at_or_after_its_local_time(schedule: Schedule, a: datetime) -> None:
    zone = ZoneInfo(schedule.timezone)
    for due in slots(schedule, a, a + timedelta(days=40)):
        shown = due.astimezone(zone).replace(tzinfo=None)
        before = (due - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
        jumped = shown - before != timedelta(seconds=1)
        assert shown.time() == schedule.at or jumped


@given(schedules, instants)
def test_the_next_slot_and_the_latest_slot_meet(schedule: Schedule, now: datetime) -> None:
    last, following = latest_slot(schedule, now), next_slot(schedule, now)
    assert last <= now < following
    assert next_slot(schedule, last) == following
    assert latest_slot(schedule, last) == last


@given(schedules, instants)
def test_there_is_one_slot_a_week_or_month(schedule: Schedule, a: datetime) -> None:
    count = len(list(slots(schedule, a, a + timedelta(days=364))))
    if schedule.every == "month":
        assert count in (11, 12)
    elif schedule.every == "week":
        assert abs(count - 52 * len(schedule.on)) <= 1


# Deciding

WEEKLY = Schedule(every="week", on=("monday",), at=time(7), timezone="Europe/Brussels")
MONDAYS = [utc(f"2026-11-{day:02} 06:00") for day in (2, 9, 16, 23)]
BEGAN = utc("2026-11-01 00:00")


def test_a_slot_on_time_fires() -> None:
    got = decide(WEEKLY, began=BEGAN, latest=MONDAYS[2], now=MONDAYS[3])
    assert got == Decision(fire=MONDAYS[3])


def test_nothing_is_due_before_the_slot_or_twice() -> None:
    assert decide(WEEKLY, began=BEGAN, latest=MONDAYS[2], now=MONDAYS[3] - timedelta(seconds=1)) == Decision()
    assert decide(WEEKLY, began=BEGAN, latest=MONDAYS[3], now=MONDAYS[3]) == Decision()
    assert decide(WEEKLY, began=BEGAN, latest=None, now=MONDAYS[0], settled={MONDAYS[0]}) == Decision()


def test_a_slot_older_than_one_the_editor_composed_is_missed() -> None:
    got = decide(WEEKLY, began=BEGAN, latest=None, now=MONDAYS[3] + DAY, settled={MONDAYS[1], MONDAYS[3]})
    assert (got.fire, got.missed, got.held) == (None, (MONDAYS[0], MONDAYS[2]), ())
    assert "settled" in got.why


def test_a_newsletter_that_just_began_fires_no_earlier_slot() -> None:
    assert decide(WEEKLY, began=MONDAYS[3], latest=None, now=MONDAYS[3] + DAY) == Decision()


def test_after_weeks_of_silence_the_newest_slot_alone_fires() -> None:
    got = decide(WEEKLY, began=BEGAN, latest=None, now=MONDAYS[3] + timedelta(hours=5))
    assert (got.fire, got.missed, got.held) == (MONDAYS[3], tuple(MONDAYS[:3]), ())
    assert "newer slot" in got.why


def test_a_slot_later_than_its_maximum_lateness_is_held_and_says_so() -> None:
    got = decide(WEEKLY, began=BEGAN, latest=MONDAYS[1], now=MONDAYS[3] + 3 * DAY)
    assert (got.fire, got.missed, got.held) == (None, (MONDAYS[2],), (MONDAYS[3],))
    assert got.why == "3 d late, more than max_lateness 2 d: it waits for the editor"
    on_the_edge = decide(WEEKLY, began=BEGAN, latest=MONDAYS[2], now=MONDAYS[3] + 2 * DAY)
    assert on_the_edge.fire == MONDAYS[3]


def test_skip_passes_over_every_overdue_slot_beyond_the_grace() -> None:
    skip = CatchUp.SKIP
    late = decide(WEEKLY, began=BEGAN, latest=MONDAYS[1], now=MONDAYS[3] + timedelta(hours=2), catch_up=skip)
    assert (late.fire, late.missed, late.held) == (None, (MONDAYS[2], MONDAYS[3]), ())
    assert late.why == "2 h late, and catch_up is skip"
    soon = decide(WEEKLY, began=BEGAN, latest=MONDAYS[1], now=MONDAYS[3] + GRACE, catch_up=skip)
    assert (soon.fire, soon.missed) == (MONDAYS[3], (MONDAYS[2],))


@given(
    schedules,
    instants,
    st.lists(st.timedeltas(timedelta(minutes=1), timedelta(days=20)), max_size=12),
    st.sampled_from(CatchUp),
    st.timedeltas(timedelta(hours=1), timedelta(days=10)),
)
def test_every_slot_is_settled_once_whenever_the_daemon_wakes(
    schedule: Schedule, began: datetime, gaps: list[timedelta], catch_up: CatchUp, lateness: timedelta
) -> None:
    settled: list[datetime] = []
    now, latest = began, None
    for gap in gaps:
        now += gap
        got = decide(schedule, began=began, latest=latest, now=now, catch_up=catch_up, max_lateness=lateness)
        mine = [*got.missed, *got.held, *([got.fire] if got.fire else [])]
        settled += mine
        latest = max(mine, default=latest)
        assert len(got.held) + (got.fire is not None) <= 1
        assert got.fire is None or now - got.fire <= max(lateness, GRACE)
        assert bool(got.why) or not (got.missed or got.held), "what does not fire is explained"
    assert settled == list(slots(schedule, began, now))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"every": "fortnight"}, "fortnight"),
        ({"on": ("montag",)}, "montag"),
        ({"on": ()}, "no weekday"),
        ({"day": 32}, "day 32"),
        ({"timezone": "Europe/Bruxelles"}, "Bruxelles"),
        ({"timezone": "../etc/passwd"}, "IANA"),
        ({"at": time(7, tzinfo=UTC)}, "zone"),
    ],
)
def test_a_wrong_schedule_says_what_and_what_to_do(wrong: dict[str, object], said: str) -> None:
    right: dict[str, object] = {"every": "week", "at": time(7), "timezone": "UTC"}
    with pytest.raises(InputError, match=said):
        Schedule(**{**right, **wrong})  # type: ignore[arg-type]  # wrong values are the point


# A reader's own hour

SPREADS = st.timedeltas(timedelta(0), timedelta(hours=26))
READERS = st.sampled_from(
    [*sorted(available_timezones()), "", "Nowhere/Town", "../etc/passwd", "Europe", "\x00"]
)


@given(schedules, instants, READERS, SPREADS, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_a_reader_is_served_at_their_own_hour_between_the_release_and_the_limit(
    schedule: Schedule, after: datetime, name: str, spread: timedelta, late: timedelta
) -> None:
    due = next_slot(schedule, after)
    release = due + late
    latest = max(release, due + spread)
    served = local_instant(schedule, due, name, earliest=release, latest=latest)
    assert release <= served <= latest
    home = ZoneInfo(schedule.timezone)
    zone = ZoneInfo(name) if name in available_timezones() else home
    day = due.astimezone(home).date()
    hours = [instant(day + n * DAY, schedule.at, zone) for n in range(-3, 5)]
    inside = [hour for hour in hours if release <= hour <= latest]
    assert not inside or served == min(inside)
    if zone is home and not late:
        assert served == due


@pytest.mark.parametrize(
    ("zone", "served"),
    [
        ("Australia/Sydney", "2026-11-22 20:00"),
        ("Australia/Perth", "2026-11-22 23:00"),
        ("Europe/Brussels", "2026-11-23 06:00"),
        ("America/New_York", "2026-11-23 10:00"),  # its hour is at 12:00: at the limit
        ("Pacific/Auckland", "2026-11-22 20:00"),  # its hour of that day has passed: at once
        ("Nowhere/Town", "2026-11-22 20:00"),
    ],
)
def test_seven_in_the_morning_in_sydney_and_elsewhere(zone: str, served: str) -> None:
    rule = Schedule(every="week", at=time(7), timezone="Australia/Sydney")
    due = utc("2026-11-22 20:00")
    limit = due + timedelta(hours=14)
    assert local_instant(rule, due, zone, earliest=due, latest=limit) == utc(served)


def test_tomorrow_s_hour_counts_where_it_is_near() -> None:
    rule, due = daily("America/Los_Angeles", "07:00"), utc("2026-11-23 15:00")
    limit = due + timedelta(hours=14)
    assert local_instant(rule, due, "Pacific/Auckland", earliest=due, latest=limit) == utc("2026-11-23 18:00")
