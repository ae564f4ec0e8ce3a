"""What one line of a file says of one person, and how each of its cells is read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeVar
from zoneinfo import ZoneInfo

from newsletter.errors import InputError
from newsletter.model import Standing, SuppressionReason
from newsletter.subscriptions.address import unseen

#: What other programs call a standing, and why an address is suppressed.
_STATUSES = {one.value: one for one in Standing} | {
    "": Standing.ACTIVE,
    "subscribed": Standing.ACTIVE,
    "cleaned": Standing.SUPPRESSED,
    "bounced": Standing.SUPPRESSED,
    "complained": Standing.SUPPRESSED,
}
_REASONS = {
    "cleaned": SuppressionReason.BOUNCE,
    "bounced": SuppressionReason.BOUNCE,
    "complained": SuppressionReason.COMPLAINT,
}
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
Word = TypeVar("Word", Standing, SuppressionReason)
LONGEST_WORDING = 8000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one line says of one person. An empty value says nothing.

    `told` is what another program's export says of the consent, in its own words; `note` is what of the line was
    left out, and why.
    """

    line: int
    address: str
    name: str = ""
    newsletters: tuple[str, ...] = ()
    language: str = ""
    timezone: str = ""
    standing: Standing = Standing.ACTIVE
    since: datetime | None = None
    reason: SuppressionReason = SuppressionReason.REQUEST
    consent_at: datetime | None = None
    consent_source: str = ""
    consent_wording: str = ""
    consent_language: str = ""
    paused_until: datetime | None = None
    tags: tuple[str, ...] = ()
    told: str = ""
    note: str = ""
    ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A line that is not a row, and why."""

    line: int
    address: str
    why: str


@lru_cache(maxsize=1024)
def newsletters_of(cell: str) -> tuple[str, ...]:
    """Return the newsletters that a cell names, each once."""
    return tuple(dict.fromkeys(re.findall(r"[^\s,;|]+", cell)))


@lru_cache(maxsize=64)
def standing_of(word: str) -> Standing:
    """Return the standing that a word means, or raise InputError."""
    return _known(word, _STATUSES, "status", [*Standing])


@lru_cache(maxsize=64)
def reason_of(word: str, status: str) -> SuppressionReason:
    """Return why an address is suppressed: what the word says, or else what the status implies."""
    if not word:
        return _REASONS.get(status.lower(), SuppressionReason.REQUEST)
    words: dict[str, SuppressionReason] = {
        one.value: one for one in SuppressionReason if one is not SuppressionReason.ERASURE
    }
    return _known(word, words, "reason", [*words])


def _known(word: str, words: Mapping[str, Word], what: str, shown: list[str]) -> Word:
    found = words.get(word.lower())
    if found is None:
        near = difflib.get_close_matches(word.lower(), shown, 1)
        remedy = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(shown)}"
        raise InputError(f"the {what} {word[:40]!r} is not known", remedy=remedy)
    return found


@lru_cache(maxsize=1024)
def language_of(tag: str) -> str:
    """Return a language tag (BCP 47), or raise InputError."""
    if tag and not _LANGUAGE.fullmatch(tag):
        raise InputError(f"{tag[:40]!r} is not a language tag", remedy="Write one such as en-AU")
    return tag


@lru_cache(maxsize=1024)
def timezone_of(name: str) -> str:
    """Return the name of a time zone, or raise InputError."""
    try:
        return name and ZoneInfo(name).key
    except (KeyError, ValueError, OSError) as e:
        raise InputError(
            f"{name[:40]!r} is not an IANA time zone", remedy="Write one such as Europe/Brussels"
        ) from e


def instant_of(text: str, column: str) -> datetime | None:
    """Return an instant in UTC, None for an empty text, or raise InputError."""
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise InputError(
            f"{column} {text[:40]!r} is not a date", remedy="Write 2026-11-23 or 2026-11-23T09:30:00+01:00"
        ) from e


@lru_cache(maxsize=1024)
def said(text: str, column: str = "consent_source") -> str:
    """Return a short line of text as it stands, or raise InputError."""
    if len(text) > 1000 or unseen(text):
        raise InputError(f"{column} is not one short line of text", remedy="Shorten it")
    return text


@lru_cache(maxsize=256)
def wording_of(text: str) -> str:
    """Return a wording as it was shown, line breaks and all, or raise InputError."""
    if len(text) > LONGEST_WORDING or unseen(text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")):
        raise InputError(
            "consent_wording is longer than a form's text or holds a character that cannot be seen",
            remedy="Write the words as they were shown",
        )
    return text
