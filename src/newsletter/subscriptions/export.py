"""Export: every subscription as a row that an import reads back, or as another program's import wants it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

from newsletter.errors import InputError
from newsletter.model import Consent, Standing, Subscription, SuppressionReason
from newsletter.store import Store, Tx, bulk, subscribers, suppressions
from newsletter.store.suppressions import Suppression
from newsletter.subscriptions import table
from newsletter.subscriptions.deciding import AGREED
from newsletter.subscriptions.row import Row

_BATCH = 1000


def export_csv(
    store: Store,
    file: Path,
    *,
    newsletter: str | None = None,
    program: str = table.OWN,
    standing: Standing | None = None,
) -> int:
    """Write every subscription into a file (mode 0600, whole or not at all); return how many rows.

    Suppressed addresses without a subscription are written too, unless only one newsletter is asked for. Another
    program's file holds people of one `standing`: the active ones, if no other is asked for.
    """
    if program != table.OWN and standing is None:
        standing = Standing.ACTIVE
    temporary = file.with_name(f".{file.name}.{os.getpid()}.new")
    count = -1  # the header
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with store.read() as tx, os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            rows: Iterator[Row] = (row for row in _rows(tx, newsletter) if standing in (None, row.standing))
            if program != table.OWN:
                rows = _once(rows)
            for line in table.write(rows, program=program, standing=standing):
                stream.write(line)
                count += 1
        temporary.replace(file)
    except OSError as e:
        raise InputError(f"it cannot be written: {e.strerror}", where=str(file), remedy="Check it") from e
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _rows(tx: Tx, newsletter: str | None) -> Iterator[Row]:
    bulk.make_room(tx)
    subscribed = subscribers.every(tx, newsletter)
    while batch := list(islice(subscribed, _BATCH)):
        reasons = _reasons(tx, (one for one, _ in batch))
        for one, consent in batch:
            yield _row(one, consent, reasons)
    if newsletter is None:
        every = suppressions.every(tx)
        while gone := list(islice(every, _BATCH)):
            yield from _strangers(tx, gone)


def _row(one: Subscription, consent: Consent | None, reasons: dict[str, Suppression]) -> Row:
    at, source = _agreement(consent)
    person, reason = one.subscriber, SuppressionReason.REQUEST
    if one.standing is Standing.SUPPRESSED and (gone := reasons.get(suppressions.key_of(person.address))):
        reason = gone.reason
    return Row(
        line=0,
        address=person.address,
        newsletters=(one.newsletter,),
        standing=one.standing,
        since=one.since,
        reason=reason,
        consent_at=at,
        consent_source=source,
        consent_wording=consent.wording if consent is not None else "",
        consent_language=consent.language if consent is not None else "",
        paused_until=one.paused_until,
        name=person.name,
        language=person.language,
        timezone=person.timezone,
    )


def _reasons(tx: Tx, batch: Iterable[Subscription]) -> dict[str, Suppression]:
    suppressed = (one.subscriber.address for one in batch if one.standing is Standing.SUPPRESSED)
    return suppressions.find(tx, {suppressions.key_of(address) for address in suppressed})


def _strangers(tx: Tx, gone: list[Suppression]) -> Iterator[Row]:
    """Give the suppressed addresses of which no subscription tells."""
    people = subscribers.by_keys(tx, [suppressions.key_of(one.address) for one in gone])
    mine = subscribers.subscriptions_of(tx, people.values())
    for one in gone:
        person = people.get(suppressions.key_of(one.address))
        if person is None or person.id not in mine:
            yield Row(
                line=0, address=one.address, standing=Standing.SUPPRESSED, since=one.at, reason=one.reason
            )


def _once(rows: Iterable[Row]) -> Iterator[Row]:
    """Give each person once: rows come by address."""
    before = ""
    for row in rows:
        if row.address != before:
            yield row
        before = row.address


def _agreement(consent: Consent | None) -> tuple[datetime | None, str]:
    """Return when and how somebody agreed, out of the consent ledger's line."""
    if consent is None:
        return None, ""
    when, separator, source = consent.detail.removeprefix(AGREED).partition(": ")
    if consent.detail.startswith(AGREED) and separator:
        return datetime.fromisoformat(when), source
    return consent.at, consent.channel
