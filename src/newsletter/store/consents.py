"""The consent ledger: append-only, each line hashed over its own words and the hash of the line before.

A wording is stored once, by its hash; the chain is over the words themselves. Of an address of a computer the chain
holds only a salted hash, so that the address can expire. Erasing a person empties their lines; a later line of the
chain names them, so an emptied line is either named or a break. Who can rewrite the whole table can rewrite the
chain as well: keep its head elsewhere to notice.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, delete, func, select, update

from newsletter.model import Consent, ConsentAct
from newsletter.store import bulk, webhooks
from newsletter.store.engine import Tx
from newsletter.store.schema import consent_ips, consents, wordings

_START = "0" * 64  # what the first line has before it
_FIRST = ("subscriber_id", "at", "act", "newsletter", "channel", "detail", "wording")
_LATER = ("language", "form", "token", "ip_seal")  # hashed only where one of them says something
_COLUMNS = ("id", *_FIRST, *_LATER, "previous", "hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What verifying found: `broken` are ids of lines that are not what was written, with the reason, in order."""

    lines: int
    head: str
    erased: int
    broken: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line as the chain holds it, for whoever wants to compute its hash."""

    id: int
    previous: str
    hash: str
    ip_seal: str
    ip_salt: str
    consent: Consent


# Writing


def append(tx: Tx, lines: Iterable[Consent], *, tell: bool = True) -> None:
    """Write lines at the end of the chain, drop what has expired by then, and tell webhooks unless `tell` is false."""
    given = list(lines)
    if not given:
        return
    query = select(consents.c.hash).order_by(consents.c.id.desc()).limit(1)
    previous = tx.execute(query).scalar_one_or_none() or _START
    instant, texts = bulk.binder(tx), {one: _hash_of(one) for one in {line.wording for line in given}}
    rows, ips = [], []
    for number, line in zip(bulk.next_ids(tx, consents, len(given)), given, strict=True):
        seal = ""
        if line.ip and line.ip_until is not None:
            salt = secrets.token_hex(16)
            seal = seal_of(line.ip, salt)
            ips.append((number, line.ip, salt, instant(line.ip_until)))
        after = chain_hash(previous, line, seal)
        first = (number, line.subscriber_id, instant(line.at), line.act.value, line.newsletter, line.channel)
        words = (line.detail, texts[line.wording], line.language, line.form, line.token, seal)
        rows.append((*first, *words, previous, after))
        previous = after
    _keep_wordings(tx, texts)
    bulk.insert(tx, consents, _COLUMNS, rows)
    expire(tx, now=max(line.at for line in given))
    bulk.insert(tx, consent_ips, ("consent_id", "ip", "salt", "until"), ips)
    if tell:
        webhooks.tell_consents(tx, given)


def expire(tx: Tx, *, now: datetime) -> int:
    """Drop the addresses of computers whose time is over; return how many."""
    return tx.execute(delete(consent_ips).where(consent_ips.c.until <= now)).rowcount


def empty(tx: Tx, subscriber_id: int, *, now: datetime, channel: str) -> None:
    """Take a person out of their lines, with words that only they were shown, and write the line that names those."""
    mine = consents.c.subscriber_id == subscriber_id
    theirs = tx.execute(select(consents.c.id, consents.c.wording).where(mine).order_by(consents.c.id)).all()
    ids, words = [row.id for row in theirs], {row.wording for row in theirs}
    tx.execute(delete(consent_ips).where(consent_ips.c.consent_id.in_(select(consents.c.id).where(mine))))
    nothing = dict.fromkeys(("detail", "wording", *_LATER), "")
    tx.execute(update(consents).where(mine).values(subscriber_id=None, **nothing))
    still = select(consents.c.id).where(consents.c.wording == wordings.c.hash).exists()
    tx.execute(delete(wordings).where(wordings.c.hash.in_(words), ~still))
    named = json.dumps(ids)
    append(tx, [Consent(subscriber_id=None, at=now, act=ConsentAct.ERASED, channel=channel, detail=named)])


def _keep_wordings(tx: Tx, texts: dict[str, str]) -> None:
    new = {digest: text for text, digest in texts.items() if digest}
    if new:
        known = tx.execute(select(wordings.c.hash).where(wordings.c.hash.in_(list(new)))).scalars().all()
        bulk.insert(tx, wordings, ("hash", "text"), [one for one in new.items() if one[0] not in known])


# Reading


def of(tx: Tx, subscriber_id: int) -> list[Consent]:
    """Return one person's lines, the oldest first."""
    return [line.consent for line in lines_of(tx, subscriber_id)]


def lines_of(tx: Tx, subscriber_id: int) -> list[Line]:
    """Return one person's lines as the chain holds them, the oldest first."""
    query = (
        select(consents, wordings.c.text, consent_ips.c.ip, consent_ips.c.salt, consent_ips.c.until)
        .outerjoin(wordings, wordings.c.hash == consents.c.wording)
        .outerjoin(consent_ips, consent_ips.c.consent_id == consents.c.id)
        .where(consents.c.subscriber_id == subscriber_id)
        .order_by(consents.c.id)
    )
    return [
        Line(
            id=row.id,
            previous=row.previous,
            hash=row.hash,
            ip_seal=row.ip_seal,
            ip_salt=row.salt or "",
            consent=replace(_consent(row, row.text or ""), ip=row.ip or "", ip_until=row.until),
        )
        for row in tx.execute(query)
    ]


def head(tx: Tx) -> tuple[int, str]:
    """Return how many lines there are, and the hash of the last."""
    count = tx.execute(select(func.count()).select_from(consents)).scalar_one()
    query = select(consents.c.hash).order_by(consents.c.id.desc()).limit(1)
    return count, tx.execute(query).scalar_one_or_none() or _START


def verify(tx: Tx) -> Chain:
    """Read the whole chain and compare every hash."""
    previous, lines = _START, 0
    changed: dict[int, str] = {}
    emptied: set[int] = set()
    named: set[int] = set()
    texts: dict[str, str] = {row.hash: row.text for row in tx.execute(select(wordings))}
    query = select(consents).order_by(consents.c.id).execution_options(yield_per=1000)
    for row in tx.execute(query):
        lines += 1
        if row.previous != previous:
            changed[row.id] = "the line before it is missing or was changed"
        elif row.hash != chain_hash(row.previous, _consent(row, texts.get(row.wording, "")), row.ip_seal):
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


def _consent(row: Row[Any], wording: str) -> Consent:
    return Consent(
        id=row.id,
        subscriber_id=row.subscriber_id,
        at=row.at,
        act=row.act,
        newsletter=row.newsletter,
        channel=row.channel,
        detail=row.detail,
        wording=wording,
        language=row.language,
        form=row.form,
        token=row.token,
    )


# Hashes


def chain_hash(previous: str, line: Consent, ip_seal: str = "") -> str:
    """Return a line's hash: SHA-256 over a JSON list, in ASCII, as `json.dumps` writes it.

    The list is [previous, subscriber_id, at, act, newsletter, channel, detail, wording]; where the line tells
    language, form, token or ip_seal, an object of those that it tells comes last.
    """
    at = line.at.astimezone(UTC).isoformat(timespec="microseconds")
    words: list[Any] = [previous, line.subscriber_id, at, line.act, line.newsletter, line.channel]
    words += (line.detail, line.wording)
    if line.language or line.form or line.token or ip_seal:
        told = zip(_LATER, (line.language, line.form, line.token, ip_seal), strict=True)
        words.append({name: value for name, value in told if value})
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def seal_of(ip: str, salt: str) -> str:
    """Return what the chain holds of the address of a computer."""
    return hashlib.sha256(f"{salt} {ip}".encode()).hexdigest()


def _hash_of(wording: str) -> str:
    return hashlib.sha256(wording.encode()).hexdigest() if wording else ""
