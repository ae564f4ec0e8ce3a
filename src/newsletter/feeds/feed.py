"""What a feed is, and which of its entries it carries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Protocol, TypeVar

from newsletter.feeds.entry import Entry
from newsletter.model import Author, Deleted

#: No document is larger while it holds more than one entry, in bytes.
LARGEST = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What a syndication document says of itself, in whatever format.

    `site` is the publication's URL with a final slash, `page` the page that the feed is about; `atom`, `rss`
    and `json` are its own addresses. `began` is its `updated` while there is nothing in it. `generator` is
    the version that is told, empty to tell nothing. `previous` is the address of the newest archive, and
    `archived` says that the document is an archive itself (RFC 5005 §4).
    """

    id: str
    title: str
    site: str
    page: str
    atom: str
    rss: str
    json: str
    author: Author
    began: datetime
    subtitle: str = ""
    language: str = "en"
    timezone: str = "UTC"
    rights: str = ""
    icon: str = ""
    logo: str = ""
    hubs: tuple[str, ...] = ()
    generator: str = ""
    publish_addresses: bool = False
    deleted: tuple[Deleted, ...] = ()
    previous: str = ""
    archived: bool = False


class Changed(Protocol):
    """What changed at some instant: an entry, a post, a line about one."""

    @property
    def updated(self) -> datetime: ...


class Dated(Changed, Protocol):
    """What `newest` decides by: a post, or a line about one."""

    @property
    def seq(self) -> int: ...
    @property
    def published(self) -> datetime: ...


_P = TypeVar("_P", bound=Dated)


def updated(feed: Feed, entries: Sequence[Changed]) -> datetime:
    """Return the instant of the newest entry change or deletion."""
    instants = [*(entry.updated for entry in entries), *(gone.when for gone in feed.deleted)]
    return max(instants, default=feed.began)


def newest(posts: Sequence[_P], limit: int) -> list[_P]:
    """Return the posts that belong in a feed, newest published first.

    An older post that changed after the feed's oldest was published comes back (RFC 5005 §4.1), but those
    never take more than a third of the places: a mass edit must not push the news out.
    """
    as_published = attrgetter("published", "seq")
    ranked = sorted(posts, key=as_published, reverse=True)
    head, rest = ranked[:limit], ranked[limit:]
    if not rest:
        return head
    oldest = head[-1].published
    back = [post for post in rest if post.updated > oldest and post.updated > post.published]
    back.sort(key=attrgetter("updated", "seq"), reverse=True)
    back = back[: limit // 3]
    kept = head[: limit - len(back)] + back
    return sorted(kept, key=as_published, reverse=True)


def fit(build: Callable[[Sequence[Entry]], bytes], entries: Sequence[Entry], largest: int = LARGEST) -> bytes:
    """Build with as many of the first entries as `largest` bytes hold, with one at least."""
    document = build(entries)
    if len(document) <= largest or len(entries) < 2:
        return document
    low, high, high_size = 1, len(entries), len(document)  # the answer is at least one and less than all
    document = build(entries[:1])
    low_size, by_share = len(document), True
    while high - low > 1:  # guess from the sizes, and halve in turn in case they mislead
        share = (largest - low_size) / max(1, high_size - low_size) if by_share else 0.5
        middle = min(max(low + int((high - low) * share), low + 1), high - 1)
        attempt = build(entries[:middle])
        if len(attempt) <= largest:
            low, low_size, document = middle, len(attempt), attempt
        else:
            high, high_size = middle, len(attempt)
        by_share = not by_share
    return document
