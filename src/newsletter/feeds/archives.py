"""The archives of a feed (RFC 5005 §4): one permanent document a closed month, linked from newest to oldest.

A month is counted in UTC, whatever the publication's zone is or becomes, so no post ever changes its archive.
It is closed when anything of a later month is known: no clock is asked. An archive tells its posts as they are
now. Whoever has read it before learns of a correction or a withdrawal from the subscription document.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from newsletter.feeds.atom import document
from newsletter.feeds.entry import Entry
from newsletter.feeds.feed import Feed


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One archive: its month as YYYY-MM, its address, those of the months before and after, if there are any."""

    month: str
    url: str
    previous: str = ""
    following: str = ""


def month_of(instant: datetime) -> str:
    """Return the month of an instant in UTC, as YYYY-MM."""
    return instant.astimezone(UTC).date().isoformat()[:7]


def archive_url(feed: Feed, month: str) -> str:
    """Return the permanent address of a month's archive, beside the feed's Atom form."""
    return f"{feed.atom.rpartition('/')[0]}/archive/{month}.xml"


def archives(feed: Feed, months: Iterable[str], last: datetime) -> list[Archive]:
    """Return the archives of a feed, oldest first: of the `months` that hold posts, those that are closed.

    `last` is the newest instant the whole feed knows of, that of a post, a change or a deletion.
    """
    closed = sorted(month for month in set(months) if month < month_of(last))
    urls = ["", *(archive_url(feed, month) for month in closed), ""]
    return [
        Archive(month=month, url=urls[at], previous=urls[at - 1], following=urls[at + 1])
        for at, month in enumerate(closed, 1)
    ]


def archive(feed: Feed, one: Archive, entries: Sequence[Entry]) -> bytes:
    """Return the archive of a month over all of the entries, in their order; nothing is left out for size."""
    links = [
        {"rel": "self", "type": "application/atom+xml", "href": one.url},
        {"rel": "alternate", "type": "text/html", "href": feed.page, "hreflang": feed.language},
        {"rel": "current", "type": "application/atom+xml", "href": feed.atom},
        {"rel": "prev-archive", "type": "application/atom+xml", "href": one.previous},
        {"rel": "next-archive", "type": "application/atom+xml", "href": one.following},
    ]
    told = replace(feed, deleted=(), archived=True)
    return document(told, entries, [link for link in links if link["href"]])
