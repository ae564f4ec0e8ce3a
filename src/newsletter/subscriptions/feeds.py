"""Who reads the feeds: a subscriber by an address of their own, and those whom aggregators count."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from newsletter.checks.reading import parse_xml
from newsletter.errors import InputError
from newsletter.model import FeedReaders
from newsletter.store import Store, readers, suppressions
from newsletter.store import subscribers as stored
from newsletter.subscriptions.address import normalise
from newsletter.tokens import Keys, Purpose, make, read

_ATOM = "{http://www.w3.org/2005/Atom}"
_PLACE = "https://feed.invalid/own"


def feed_address(store: Store, keys: Keys, root: str, address: str, *, renew: bool = False) -> str:
    """Return the address of a person's own feed; with `renew` a new one, and the one before is gone.

    Raises InputError for who has none.
    """
    key = suppressions.key_of(normalise(address))
    with store.write() if renew else store.read() as tx:
        person = stored.by_keys(tx, [key]).get(key)
        if person is not None and renew:
            stored.renew_feed(tx, person.id)
        generation = stored.feed_generation(tx, person.id) if person is not None else 0
    if person is None or not generation:
        raise InputError(
            f"{address} has no feed: only those have one with a subscription that is active or paused",
            remedy="See: newsletter subscribers list",
        )
    return f"{root}f/{make(keys, Purpose.FEED, f'{person.id}.{generation}')}/atom.xml"


def feed_holds(store: Store, keys: Keys, token: str) -> bool:
    """Tell whether a feed's token still holds. Raises TokenError for one that is not ours."""
    number, _, generation = read(keys, Purpose.FEED, token).partition(".")
    with store.read() as tx:
        return stored.feed_generation(tx, int(number)) == int(generation)


def feed_readers(store: Store, *, now: datetime, days: int) -> list[FeedReaders]:
    """Return how many subscribers aggregators told of in the last days, by feed."""
    with store.read() as tx:
        return readers.since(tx, now - timedelta(days=days))


def own_feed(published: bytes) -> tuple[bytes, bytes]:
    """Return a published Atom feed cut where its own address goes: that of one reader, whom no hub may tell."""
    from lxml import etree

    root: Any = parse_xml(published)
    for link in root.findall(f"{_ATOM}link"):
        if link.get("rel") == "self":
            link.set("href", _PLACE)
        elif link.get("rel") == "hub":
            root.remove(link)
    made: bytes = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    before, _, after = made.partition(_PLACE.encode())
    return before, after
