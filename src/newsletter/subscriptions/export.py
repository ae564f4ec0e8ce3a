"""Export: every subscription as a row that an import reads back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from newsletter.errors import InputError
from newsletter.model import Consent, Standing
from newsletter.store import Store, Tx, subscribers, suppressions
from newsletter.subscriptions import table
from newsletter.subscriptions.table import AGREED, Row


def export_csv(store: Store, file: Path, *, newsletter: str | None = None) -> int:
    """Write every subscription into a file (mode 0600, whole or not at all); return how many rows.

    Suppressed addresses without a subscription are written too, unless only one newsletter is asked for.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.new")
    count = -1  # the header
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with store.read() as tx, os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            for line in table.write(_rows(tx, newsletter)):
                stream.write(line)
                count += 1
        temporary.replace(file)
    except OSError as e:
        raise InputError(f"it cannot be written: {e.strerror}", where=str(file), remedy="Check it") from e
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _rows(tx: Tx, newsletter: str | None) -> Iterator[Row]:
    for one, consent in subscribers.every(tx, newsletter):
        at, source = _agreement(consent)
        yield Row(
            line=0,
            address=one.subscriber.address,
            newsletters=(one.newsletter,),
            standing=one.standing,
            consent_at=at,
            consent_source=source,
            paused_until=one.paused_until,
            name=one.subscriber.name,
            language=one.subscriber.language,
            timezone=one.subscriber.timezone,
        )
    if newsletter is None:
        for gone in suppressions.every(tx):
            if subscribers.find(tx, gone.address) is None:
                yield Row(line=0, address=gone.address, standing=Standing.SUPPRESSED)


def _agreement(consent: Consent | None) -> tuple[datetime | None, str]:
    """Return when and how somebody agreed, out of the consent ledger's line."""
    if consent is None:
        return None, ""
    when, separator, source = consent.detail.removeprefix(AGREED).partition(": ")
    if consent.detail.startswith(AGREED) and separator:
        return datetime.fromisoformat(when), source
    return consent.at, consent.channel
