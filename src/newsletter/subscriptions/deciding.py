"""What a row changes, decided over a batch in memory; nothing is read or written here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from newsletter.errors import InputError
from newsletter.model import ConsentAct, Standing, Subscriber, Subscription, SuppressionReason
from newsletter.store import suppressions
from newsletter.subscriptions.row import Row

AGREED = "agreed "  # how the consent ledger tells an imported consent: `agreed INSTANT: SOURCE`
_TOLD = ("name", "language", "timezone")
_GONE = "suppressed: never written to again"


class LineOutcome(StrEnum):
    """What a line of a file, or one adding, did."""

    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for every row: the known newsletters, and what rows fall back on that do not say it themselves.

    `tags` tells which newsletter a tag of another program stands for; `standing` is that of every row when the
    file cannot say it; `keep_ip` is how long the address of a computer is kept, nothing when it is not.
    """

    newsletters: tuple[str, ...]
    default: tuple[str, ...]
    consent: str
    channel: str
    now: datetime
    wording: str = ""
    wording_language: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    standing: Standing | None = None
    keep_ip: timedelta = timedelta()


#: What a line of the consent ledger says beside whose it is, of what, and what they did.
Said = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Batch:
    """What is known of the people of some rows, by the keys of their addresses, and what is to be written."""

    people: dict[str, Subscriber]
    standings: dict[str, dict[str, Subscription]]
    gone: dict[str, SuppressionReason]
    new: dict[str, Subscriber] = field(default_factory=dict)
    changed: dict[str, Subscriber] = field(default_factory=dict)
    begun: dict[tuple[str, str], Subscription] = field(default_factory=dict)
    put: dict[tuple[str, str], Subscription] = field(default_factory=dict)
    consents: list[tuple[str, ConsentAct, str, Said]] = field(default_factory=list)  # key, act, newsletter
    ended: list[tuple[str, str]] = field(default_factory=list)
    suppress: dict[str, tuple[str, SuppressionReason]] = field(default_factory=dict)


def decide(batch: Batch, row: Row, terms: Terms) -> tuple[LineOutcome, str]:
    """Decide what a row changes, note it in the batch, and say it. Raises InputError for a row to refuse."""
    key = suppressions.key_of(row.address)
    wanted = row.standing if row.standing is Standing.SUPPRESSED else terms.standing or row.standing
    names = _newsletters(row, terms)
    gone = batch.gone.get(key)
    if gone is not None and (wanted is not Standing.SUPPRESSED or gone is SuppressionReason.ERASURE):
        return LineOutcome.UNCHANGED, _GONE
    if wanted is Standing.SUPPRESSED:
        names = row.newsletters  # the address is meant, whatever it was subscribed to
    elif not names:
        raise InputError("the line names no newsletter", remedy=f"Known: {', '.join(terms.newsletters)}")
    _check(names, terms)
    had = batch.standings.setdefault(key, {})
    if wanted is Standing.SUPPRESSED:
        names = tuple(name for name in names if name not in had)  # the others end with the address
    decided = [(name, *_step(had.get(name), wanted)) for name in names]
    granting = any(new is Standing.ACTIVE or new is Standing.PAUSED for _, new, _ in decided)
    agreed = _agreed(row, terms, needed=granting)  # refuses before anything is noted
    outcomes = {_person(batch, key, row, terms.now)} if names else set()
    if wanted is Standing.SUPPRESSED:
        outcomes.add(_suppress(batch, key, row))
    for name, standing, _ in decided:
        if standing is not None:
            outcomes.add(LineOutcome.UPDATED if name in had else LineOutcome.ADDED)
            _note(batch, key, name, standing, row, terms, agreed)
    why = [said for _, _, said in decided if said] + ([row.note] if row.note else [])
    if key in batch.suppress and gone is None:
        why.append("suppressed from now on")
    order = (LineOutcome.ADDED, LineOutcome.UPDATED, LineOutcome.UNCHANGED)
    return next((one for one in order if one in outcomes), LineOutcome.UNCHANGED), "; ".join(
        dict.fromkeys(why)
    )


def _newsletters(row: Row, terms: Terms) -> tuple[str, ...]:
    """Return the newsletters that a row is about: those it names, those its tags stand for, or the default."""
    if row.newsletters:
        return row.newsletters
    if terms.tags and row.tags:
        meant = tuple(dict.fromkeys(terms.tags[tag] for tag in row.tags if tag in terms.tags))
        return meant or terms.default
    return terms.default


def _suppress(batch: Batch, key: str, row: Row) -> LineOutcome:
    if key in batch.gone:
        return LineOutcome.UNCHANGED
    batch.gone[key] = row.reason
    batch.suppress[key] = (row.address, row.reason)
    return LineOutcome.UPDATED if key in batch.people and key not in batch.new else LineOutcome.ADDED


def _note(
    batch: Batch, key: str, name: str, standing: Standing, row: Row, terms: Terms, agreed: Said | None
) -> None:
    """Note a subscription's new standing with the lines of the consent ledger that it rests on."""
    before = batch.standings[key].get(name)
    one = Subscription(
        subscriber=batch.people[key],
        newsletter=name,
        standing=standing,
        since=row.since if row.since is not None and row.since <= terms.now else terms.now,
        paused_until=row.paused_until if standing is Standing.PAUSED else None,
    )
    batch.standings[key][name] = one
    (batch.begun if before is None or (key, name) in batch.begun else batch.put)[key, name] = one
    if agreed is not None and (before is None or standing in (Standing.ACTIVE, Standing.PAUSED)):
        known = before is not None and before.standing is Standing.ACTIVE
        act = ConsentAct.CHANGED if known else ConsentAct.IMPORTED
        batch.consents.append((key, act, name, agreed))
    if standing is Standing.UNSUBSCRIBED:
        if key not in batch.new:
            batch.ended.append((key, name))
        when = f"left {row.since.isoformat()}: " if row.since is not None else ""
        left: Said = {"detail": f"{when}the imported file says so"}
        batch.consents.append((key, ConsentAct.WITHDRAWN, name, left))


def _step(before: Subscription | None, wanted: Standing) -> tuple[Standing | None, str]:
    """Return the standing that a row leads to, None when it changes nothing, and what must be said."""
    if before is None:
        return wanted, ""
    stands = before.standing
    if stands is wanted:
        return None, ""
    if stands is Standing.UNSUBSCRIBED and wanted is not Standing.SUPPRESSED:
        return None, f"unsubscribed from {before.newsletter}: only they can come back"
    if stands is Standing.SUPPRESSED:
        return None, _GONE
    if stands is Standing.PAUSED and wanted is Standing.ACTIVE:
        return None, f"paused {before.newsletter}: only they can end it"
    if wanted is Standing.PENDING:
        return None, ""
    return wanted, ""


def _person(batch: Batch, key: str, row: Row, now: datetime) -> LineOutcome:
    """Note a new person, or what the row tells anew of a known one."""
    known = batch.people.get(key)
    if known is None:
        batch.people[key] = batch.new[key] = Subscriber(
            address=row.address, created=now, name=row.name, language=row.language, timezone=row.timezone
        )
        return LineOutcome.ADDED
    person = replace(known, **{column: told for column in _TOLD if (told := getattr(row, column))})
    if person == known:
        return LineOutcome.UNCHANGED
    batch.people[key] = person
    (batch.new if key in batch.new else batch.changed)[key] = person
    return LineOutcome.UPDATED


def _agreed(row: Row, terms: Terms, *, needed: bool) -> Said | None:
    """Return the consent that a row or the caller tells; refuse when one is needed and none is told."""
    at, source = row.consent_at, row.consent_source or terms.consent
    if at is not None and at > terms.now + timedelta(days=1):
        raise InputError("consent_at lies in the future", remedy="Correct it")
    if at is None:
        at, source = terms.now, terms.consent
    if not source or not (needed or row.consent_source):
        if needed:
            remedy = "Fill consent_at and consent_source, or say it for all with --consent"
            raise InputError("no consent is told", remedy=remedy)
        return None
    agreed: Said = {
        "detail": f"{AGREED}{at.isoformat()}: {source}{f' ({row.told})' if row.told else ''}",
        "wording": row.consent_wording or terms.wording,
        "language": row.consent_language or terms.wording_language,
    }
    if row.ip and terms.keep_ip:
        agreed |= {"ip": row.ip, "ip_until": terms.now + terms.keep_ip}
    return agreed


def _check(names: Sequence[str], terms: Terms) -> None:
    for name in names:
        if name not in terms.newsletters:
            raise unknown(name, terms.newsletters)


def unknown(name: str, newsletters: Sequence[str]) -> InputError:
    """Return the error that says which newsletter may have been meant."""
    near = difflib.get_close_matches(name, newsletters, 1)
    remedy = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(newsletters)}"
    return InputError(f"there is no newsletter {name[:40]!r}", remedy=remedy)
