"""The consent ledger: append-only, each line hashed over its own words and the hash of the line before.

Erasing a person empties their lines; a later line of the chain names them, so an emptied line is either named
or a break. Who can rewrite the whole table can rewrite the chain as well: keep its head elsewhere to notice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from newsletter.model import Consent, ConsentAct
from newsletter.store.engine import Tx
from newsletter.store.schema import consents

_START = "0" * 64  # what the first line has before it
_FIELDS = ("subscriber_id", "at", "act", "newsletter", "channel", "detail", "wording")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What verifying found: `broken` are ids of lines that are not what was written, with the reason."""

    lines: int
    head: str
    erased: int
    broken: tuple[tuple[int, str], ...]


def append(tx: Tx, lines: Iterable[Consent]) -> None:
    """Write lines at the end of the chain."""
    query = select(consents.c.hash).order_by(consents.c.id.desc()).limit(1)
    previous = tx.execute(query).scalar_one_or_none() or _START
    rows = []
    for line in lines:
        after = _hash(previous, line)
        rows.append(
            {
                "subscriber_id": line.subscriber_id,
                "at": line.at,
                "act": line.act,
                "newsletter": line.newsletter,
                "channel": line.channel,
                "detail": line.detail,
                "wording": line.wording,
                "previous": previous,
                "hash": after,
            }
        )
        previous = after
    if rows:
        tx.execute(insert(consents), rows)


def of(tx: Tx, subscriber_id: int) -> list[Consent]:
    """Return one person's lines, the oldest first."""
    query = select(consents).where(consents.c.subscriber_id == subscriber_id).order_by(consents.c.id)
    return [_consent(row) for row in tx.execute(query)]


def empty(tx: Tx, subscriber_id: int, *, now: datetime, channel: str) -> None:
    """Take a person out of their lines and write the line that names those."""
    mine = consents.c.subscriber_id == subscriber_id
    ids = tx.execute(select(consents.c.id).where(mine).order_by(consents.c.id)).scalars().all()
    tx.execute(update(consents).where(mine).values(subscriber_id=None, detail="", wording=""))
    named = json.dumps(list(ids))
    append(tx, [Consent(subscriber_id=None, at=now, act=ConsentAct.ERASED, channel=channel, detail=named)])


def verify(tx: Tx) -> Chain:
    """Read the whole chain and compare every hash."""
    previous, lines = _START, 0
    changed: dict[int, str] = {}
    emptied: set[int] = set()
    named: set[int] = set()
    query = select(consents).order_by(consents.c.id).execution_options(yield_per=1000)
    for row in tx.execute(query):
        lines += 1
        if row.previous != previous:
            changed[row.id] = "the line before it is missing or was changed"
        elif row.hash != _hash(row.previous, row):
            if row.subscriber_id is None and not row.detail and not row.wording:
                emptied.add(row.id)
            else:
                changed[row.id] = "its words are not those that were written"
        elif row.act is ConsentAct.ERASED:
            named.update(json.loads(row.detail))
        previous = row.hash
    changed.update(dict.fromkeys(emptied - named, "it was emptied, and no erasure names it"))
    return Chain(
        lines=lines, head=previous, erased=len(emptied & named), broken=tuple(sorted(changed.items()))
    )


def _hash(previous: str, line: Consent | Row[Any]) -> str:
    at = line.at.astimezone(UTC).isoformat(timespec="microseconds")
    words = (line.act, line.newsletter, line.channel, line.detail, line.wording)
    return hashlib.sha256(json.dumps([previous, line.subscriber_id, at, *words]).encode()).hexdigest()


def _consent(row: Row[Any]) -> Consent:
    return Consent(id=row.id, **{name: getattr(row, name) for name in _FIELDS})
