"""Schedules: from a rule in local time to slots, and what to do with slots that are due.

Pure functions of instants. A slot is one local date's local time in an IANA zone, so it stays at the same
hour for the reader through every change of the clocks, and there is exactly one a date:

- a local time that the clocks jump over falls due at the first instant after the gap;
- a local time that the clocks show twice falls due the first time;
- a local date that a zone left out (Apia had no 30 December 2011) falls due at the first instant after it,
  and where that would be the next date's instant as well, the two are one slot.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import takewhile
from zoneinfo import ZoneInfo

from newsletter.errors import InputError

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
GRACE = timedelta(minutes=30)  # a slot this late is still on time: a restart, a slow gathering
CALENDAR_END = date(9000, 1, 1)  # far from where datetime's arithmetic overflows


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a newsletter is due: `every` day, week (`on` weekdays) or month (on the `day`), `at` a local time.

    `day` is 1 to 31; a shorter month uses its last day.
    """

    every: str
    at: time
    timezone: str
    on: tuple[str, ...] = ("monday",)
    day: int = 1

    def __post_init__(self) -> None:
        for wrong, what, remedy in (
            (self.every not in ("day", "week", "month"), f"every {self.every!r}", "Write day, week or month"),
            (self.every == "week" and not self.on, "no weekday", "Name at least one, such as monday"),
            (bool(set(self.on) - set(WEEKDAYS)), f"weekdays {self.on!r}", f"Known: {', '.join(WEEKDAYS)}"),
            (not 1 <= self.day <= 31, f"day {self.day} of the month", "Write 1 to 31"),
            (self.at.tzinfo is not None, f"at {self.at}", "Write a local time; the zone is a key of its own"),
        ):
            if wrong:
                raise InputError(f"a schedule cannot be due {what}", where="schedule", remedy=remedy)
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as e:
            what = f"{self.timezone!r} is not an IANA time zone"
            raise InputError(what, where="schedule", remedy="Write one such as Europe/Brussels") from e


def slots(schedule: Schedule, after: datetime, until: datetime) -> Iterator[datetime]:
    """Give every slot with `after` < slot <= `until`, in UTC, strictly increasing."""
    return takewhile(lambda due: due <= until, _slots_after(schedule, after))


def next_slot(schedule: Schedule, after: datetime) -> datetime:
    """Return the first slot later than `after`."""
    return next(_slots_after(schedule, after))


def latest_slot(schedule: Schedule, now: datetime) -> datetime:
    """Return the newest slot that is not later than `now`."""
    *_, last = slots(schedule, now - timedelta(days=70), now)  # two months are never without one
    return last


def _slots_after(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    zone = ZoneInfo(schedule.timezone)
    day = after.astimezone(zone).date() - timedelta(days=2)  # zones have skipped a whole date
    falls_on = _rule(schedule)
    last = after.astimezone(UTC)
    while day < CALENDAR_END:
        if falls_on(day):
            due = instant(day, schedule.at, zone)
            if due > last:
                last = due
                yield due
        day += timedelta(days=1)


def _rule(schedule: Schedule) -> Callable[[date], bool]:
    """Return whether a local date has a slot."""
    if schedule.every == "day":
        return lambda day: True
    if schedule.every == "week":
        weekdays = {WEEKDAYS.index(name) for name in schedule.on}
        return lambda day: day.weekday() in weekdays
    return lambda day: day.day == min(schedule.day, calendar.monthrange(day.year, day.month)[1])


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return the first instant at which a clock in this zone shows this local time or has passed it."""
    first = datetime.combine(day, at.replace(fold=0), zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == datetime.combine(day, at.replace(fold=0)):
        return first
    return _end_of_gap(datetime.combine(day, at), zone)


def local_instant(
    schedule: Schedule, due: datetime, timezone: str, *, earliest: datetime, latest: datetime
) -> datetime:
    """Return when a reader in a zone is served: at the slot's local time there, if that lies between two instants.

    The first such instant counts, of whichever date: west of a zone, today's hour is still to come; far east of
    it tomorrow's is near. Where none lies between, the slot's own date decides on which side. A zone that is
    not known is the schedule's.
    """
    home = ZoneInfo(schedule.timezone)
    day = due.astimezone(home).date()
    zone = _zone(timezone) or home
    walls = {n: instant(day + timedelta(days=n), schedule.at, zone) for n in range(-1, 3)}
    inside = [wall for wall in walls.values() if earliest <= wall <= latest]
    return min(inside) if inside else min(max(walls[0], earliest), latest)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


def _end_of_gap(local: datetime, zone: ZoneInfo) -> datetime:
    """Find by bisection, to the second, the instant at which the clocks jumped over a local time (PEP 495)."""
    later = local.replace(tzinfo=zone, fold=0).astimezone(UTC)  # the offset before the gap: behind it
    earlier = local.replace(tzinfo=zone, fold=1).astimezone(UTC)  # the offset after it: before it
    later, earlier = later.replace(microsecond=0) + timedelta(seconds=1), earlier.replace(microsecond=0)
    while later - earlier > timedelta(seconds=1):
        middle = (earlier + (later - earlier) / 2).replace(microsecond=0)
        if middle.astimezone(zone).replace(tzinfo=None) >= local:
            later = middle
        else:
            earlier = middle
    return later


class CatchUp(StrEnum):
    """What becomes of slots that fell due while nothing ran."""

    RUN_LATEST = "run_latest"  # the newest one fires, the ones before it are missed
    SKIP = "skip"  # all of them are missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with the slots that are due and not yet settled.

    `missed` are passed over for good, `held` wait for the editor, `fire` is composed now; `why` says so of
    every slot that does not fire.
    """

    fire: datetime | None = None
    missed: tuple[datetime, ...] = ()
    held: tuple[datetime, ...] = ()
    why: str = ""


def decide(
    schedule: Schedule,
    *,
    began: datetime,
    latest: datetime | None,
    now: datetime,
    catch_up: CatchUp = CatchUp.RUN_LATEST,
    max_lateness: timedelta = timedelta(days=2),
    settled: Set[datetime] = frozenset(),
) -> Decision:
    """Decide over the slots after `began` and after `latest`, the newest slot already settled.

    A slot from before the newsletter began is nobody's; one later than `max_lateness` never fires by
    itself. At most one slot fires, the newest. With `settled` slots named one by one, those among them are
    left alone, and those that are older than one of them are missed.
    """
    after = began if latest is None else max(began, latest)
    due = [slot for slot in slots(schedule, after, now) if slot not in settled]
    if not due:
        return Decision()
    *older, newest = due
    if any(slot > newest for slot in settled):
        return Decision(missed=tuple(due), why="a newer slot of the newsletter is settled")
    late = now - newest
    if late > GRACE and catch_up is CatchUp.SKIP:
        return Decision(missed=tuple(due), why=f"{_span(late)} late, and catch_up is skip")
    if late > max_lateness:
        why = f"{_span(late)} late, more than max_lateness {_span(max_lateness)}: it waits for the editor"
        return Decision(missed=tuple(older), held=(newest,), why=why)
    why = "a newer slot of the newsletter is due" if older else ""
    return Decision(fire=newest, missed=tuple(older), why=why)


def _span(span: timedelta) -> str:
    """Write a time span in its two largest units: `2 d 3 h`."""
    seconds = int(span.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
