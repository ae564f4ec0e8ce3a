"""Read dates: RFC 3339, then RFC 2822 with an explicit table of zone names, or refuse; never guess "now".

A time without a zone is in the zone given. Where the clock is put forward, a time that does not exist is read
with the offset before the change (02:30 becomes 03:30); where it is put back, a time that occurs twice is the
first of the two. A date without a time is noon in that zone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from newsletter.errors import InputError

#: Zone names met in RFC 822 dates, in minutes east of UTC. Ambiguous names have one meaning here:
#: BST is British Summer Time (not Bangladesh), IST is India (not Ireland nor Israel), CST, EST, MST and PST are
#: North America's as in RFC 2822 §4.3 (Australia's are ACST and AEST), AST is Atlantic, SST is Samoa.
ZONE_NAMES: dict[str, int] = {
    **dict.fromkeys(("UT", "UTC", "GMT", "Z", "WET"), 0),
    **dict.fromkeys(("CET", "BST", "WEST", "MEZ", "WAT"), 60),
    **dict.fromkeys(("CEST", "EET", "MESZ", "SAST", "CAT"), 120),
    **dict.fromkeys(("EEST", "MSK", "TRT", "EAT"), 180),
    "GST": 240,
    "PKT": 300,
    "IST": 330,
    "NPT": 345,
    **dict.fromkeys(("ICT", "WIB"), 420),
    **dict.fromkeys(("AWST", "HKT", "SGT", "PHT", "MYT", "WITA"), 480),
    **dict.fromkeys(("JST", "KST", "WIT"), 540),
    "ACST": 570,
    "AEST": 600,
    "ACDT": 630,
    "AEDT": 660,
    "NZST": 720,
    "NZDT": 780,
    "NST": -210,
    "NDT": -150,
    "ADT": -180,
    **dict.fromkeys(("EDT", "AST"), -240),
    **dict.fromkeys(("EST", "CDT"), -300),
    **dict.fromkeys(("CST", "MDT"), -360),
    **dict.fromkeys(("MST", "PDT"), -420),
    **dict.fromkeys(("PST", "AKDT"), -480),
    "AKST": -540,
    "HST": -600,
    "SST": -660,
    "BRT": -180,
    "ART": -180,
}
_MONTHS = (
    "January February March April May June July August September October November December".lower().split()
)
_OFFSET = r"[Zz]|[+-]\d\d:?\d\d"
_RFC3339 = re.compile(
    rf"(\d{{4}})-(\d\d)-(\d\d)(?:[Tt ]\s*(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*({_OFFSET})?)?", re.ASCII
)
_RFC2822 = re.compile(
    r"(?:[A-Za-z]{3,9}\.?,?\s+)?(\d{1,2})[\s-]+([A-Za-z]{3,9})\.?[\s-]+(\d{2,4})"
    r"(?:\s+(\d{1,2}):(\d\d)(?::(\d\d))?\s*([A-Za-z]{1,5}|(?:GMT|UTC)?[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_COMMENT = re.compile(r"\s*\([^()]{0,80}\)\s*$")
_REMEDY = "Write it as 2026-09-14T07:30:00+02:00, 2026-09-14 07:30 or 2026-09-14"


def parse_date(text: str, zone: str) -> tuple[datetime, bool]:
    """Return the instant in UTC, and whether only a date was given (then it is noon in `zone`, an IANA name)."""
    written = text.strip()
    if len(written) > 100:
        raise InputError(f"the date {written[:40]!r}… is not a date", remedy=_REMEDY)
    match = _RFC3339.fullmatch(written)
    if match:
        year, month, day, hour, minute, second, fraction, offset = match.groups()
        numbers = (int(year), int(month), int(day))
    else:
        match = _RFC2822.fullmatch(_COMMENT.sub("", written))
        if not match:
            raise InputError(f"{written!r} is not a date", remedy=_REMEDY)
        day, month, year, hour, minute, second, offset = match.groups()
        fraction = None
        numbers = (_full_year(year), _month(month, written), int(day))
    try:
        if hour is None:
            return datetime(*numbers, 12, tzinfo=_zone(zone)).astimezone(UTC), True
        moment = _moment(numbers, (hour, minute, second), fraction)
        return moment.replace(tzinfo=_tz(offset, zone, written)).astimezone(UTC), False
    except (ValueError, OverflowError) as e:
        raise InputError(f"the date {written!r} does not exist: {e}", remedy=_REMEDY) from e


def _moment(date: tuple[int, int, int], clock: tuple[str, str, str | None], fraction: str | None) -> datetime:
    hour, minute, second = int(clock[0]), int(clock[1]), int(clock[2] or 0)
    leap = second == 60  # RFC 3339 §5.7 allows a leap second; it is read as the next second
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    moment = datetime(*date, hour, minute, 59 if leap else second, micro)  # noqa: DTZ001 - the zone comes next
    return moment + timedelta(seconds=1) if leap else moment


def _tz(offset: str | None, zone: str, written: str) -> tzinfo:
    if not offset:
        return _zone(zone)
    digits = re.search(r"([+-])(\d\d):?(\d\d)", offset)
    if digits:
        if int(digits[2]) > 23 or int(digits[3]) > 59:
            raise ValueError(f"the offset {offset} is out of range")
        minutes = int(digits[2]) * 60 + int(digits[3])
        return timezone(timedelta(minutes=-minutes if digits[1] == "-" else minutes))
    name = offset.upper()
    if name in ZONE_NAMES:
        return timezone(timedelta(minutes=ZONE_NAMES[name]))
    if len(name) == 1:
        return UTC  # RFC 2822 §4.3: the military letters were used in contradictory ways
    raise InputError(
        f"the time zone {offset!r} of the date {written!r} is not known",
        remedy="Write an offset such as +02:00",
    )


def _full_year(text: str) -> int:
    year = int(text)
    if len(text) == 4:
        return year
    return year + (2000 if len(text) == 2 and year < 50 else 1900)  # RFC 2822 §4.3


def _month_number(name: str) -> int:
    """Return the number of an English month, whole or cut after three letters or more; 0 for anything else.

    Three letters are not enough to go by: `marraskuu` is November.
    """
    found = (number for number, month in enumerate(_MONTHS, 1) if month.startswith(name.lower()))
    return next(found, 0) if len(name) >= 3 else 0


def _month(name: str, written: str) -> int:
    number = _month_number(name)
    if not number:
        raise InputError(f"{written!r} is not a date: {name!r} is not an English month", remedy=_REMEDY)
    return number


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as e:
        raise InputError(
            f"{name!r} is not an IANA time zone", remedy="Name one such as Europe/Brussels"
        ) from e


_MONTH_NAME = r"(?P<month>[A-Za-z]{3,9})\.?"
_DAY_NAME = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+)?"
_CLOCK = r"(?:,?\s*(?:at|-|–|\|)?\s*(?P<hour>\d{1,2})[:.](?P<minute>\d\d)\s*(?P<half>[ap]\.?m\.?)?)?"
_WRITTEN = tuple(
    re.compile(_DAY_NAME + form + _CLOCK, re.IGNORECASE | re.ASCII)
    for form in (
        rf"{_MONTH_NAME}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})",
        rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?{_MONTH_NAME},?\s+(?P<year>\d{{4}})",
        r"(?P<day>\d{1,2})[./](?P<month>\d{1,2})[./](?P<year>\d{4}|\d\d)",
        r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)",
    )
)


def find_written_date(text: str, zone: str) -> tuple[datetime, bool, str] | None:
    """Find the first date as people write it: `December 29th, 2011`, `29 December 2011`, `29.12.11`, `29/12/2011`.

    Numbers are day, month, year. Returns the instant, whether it is a date only, and the text that was read.
    """
    found = [match for form in _WRITTEN for match in form.finditer(text[:1000]) if _stands_alone(match, text)]
    for match in sorted(found, key=lambda match: (match.start(), -match.end())):
        moment = _written_moment(match.groupdict(), zone)
        if moment is not None:
            return *moment, match[0].strip()
    return None


def _stands_alone(match: re.Match[str], text: str) -> bool:
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    return not (before.isalnum() or after.isalnum())


def _written_moment(part: dict[str, str | None], zone: str) -> tuple[datetime, bool] | None:
    name = part["month"] or ""
    month = int(name) if name.isdigit() else _month_number(name)
    hour = int(part["hour"] or 12)
    half = (part["half"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    try:
        date = (_full_year(part["year"] or ""), month, int(part["day"] or 0))
        local = datetime(*date, hour, int(part["minute"] or 0), tzinfo=_zone(zone))
        return local.astimezone(UTC), part["hour"] is None
    except (ValueError, OverflowError):
        return None
