"""Import: what a row changes is decided on a batch in memory, then written in one transaction."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path

from newsletter.errors import InputError
from newsletter.model import Consent, ConsentAct, Standing, Subscriber, Subscription, SuppressionReason
from newsletter.store import Store, Tx, consents, subscribers, suppressions
from newsletter.subscriptions import table
from newsletter.subscriptions.address import name_of, normalise
from newsletter.subscriptions.table import AGREED, Refused, Row

LINES_KEPT = 10_000  # of a report, in memory; `on_line` is told of all
_BATCH = 1000  # rows a transaction
_TOLD = ("name", "language", "timezone")


class LineOutcome(StrEnum):
    """What a line of a file, or one adding, did."""

    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLine:
    """What became of one line; `why` is empty where nothing needs saying."""

    line: int
    address: str
    outcome: LineOutcome
    why: str = ""


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """What an import did, or would do; `lines` are those that need saying, `more` counts what did not fit."""

    dry_run: bool = False
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    lines: list[ImportLine] = field(default_factory=list)
    more: int = 0

    def note(self, line: ImportLine) -> None:
        """Count a line, and keep it when it says why."""
        setattr(self, line.outcome.value, getattr(self, line.outcome.value) + 1)
        if line.why and len(self.lines) < LINES_KEPT:
            self.lines.append(line)
        elif line.why:
            self.more += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for every row: the known newsletters, what rows without one or without consent fall back on."""

    newsletters: tuple[str, ...]
    default: tuple[str, ...]
    consent: str
    channel: str
    now: datetime


class _DryRun(Exception):
    """Takes back what a dry run wrote."""


def import_csv(
    store: Store,
    file: Path,
    *,
    newsletters: Sequence[str],
    now: datetime,
    newsletter: str | None = None,
    consent: str = "",
    dry_run: bool = False,
    on_line: Callable[[ImportLine], None] | None = None,
) -> ImportReport:
    """Import a CSV file; a line that is wrong is refused and stops no other.

    `newsletters` are those that exist; `newsletter` is meant by rows that name none (the only one, when there
    is only one). `consent` tells how and when people agreed of whom the file does not say it. A dry run does
    everything in one transaction and takes it back, so its report is exact; the store has no other writer
    meanwhile. Raises InputError when the file cannot be read or its header is not ours.
    """
    terms = _terms(newsletters, newsletter, consent, now)
    report = ImportReport(dry_run=dry_run)

    def tell(line: ImportLine) -> None:
        report.note(line)
        if on_line is not None:
            on_line(line)

    try:
        with file.open("rb") as stream:
            rows = table.read(table.lines_of(stream), where=str(file))
            if dry_run:
                with suppress(_DryRun), store.write() as tx:
                    for batch in _batches(rows):
                        _import(tx, batch, terms, tell)
                    raise _DryRun
            else:
                for batch in _batches(rows):
                    with store.write() as tx:
                        _import(tx, batch, terms, tell)
    except OSError as e:
        raise InputError(f"it cannot be read: {e.strerror}", where=str(file), remedy="Check the path") from e
    return report


def add(
    store: Store,
    address: str,
    newsletters: Sequence[str],
    *,
    consent: str,
    now: datetime,
    name: str = "",
    language: str = "",
    timezone: str = "",
    channel: str = "command line",
) -> ImportLine:
    """Add one person who agreed, as `consent` tells; raises InputError for a wrong address."""
    if not consent.strip():
        raise InputError(
            "how and when the person agreed must be said", where=address, remedy="Say it; it is kept"
        )
    row = Row(
        line=0,
        address=normalise(address),
        name=name_of(name),
        newsletters=tuple(newsletters),
        language=table.language_of(language),
        timezone=table.timezone_of(timezone),
    )
    terms = Terms(newsletters=row.newsletters, default=(), consent=consent.strip(), channel=channel, now=now)
    told: list[ImportLine] = []
    with store.write() as tx:
        _import(tx, [row], terms, told.append)
    return told[0]


# Deciding over a batch


@dataclass(slots=True, kw_only=True)
class _Batch:
    """What is known of the people of some rows, by the keys of their addresses, and what is to be written."""

    people: dict[str, Subscriber]
    standings: dict[str, dict[str, Subscription]]
    suppressed: set[str]
    new: dict[str, Subscriber] = field(default_factory=dict)
    changed: dict[str, Subscriber] = field(default_factory=dict)
    put: dict[tuple[str, str], Subscription] = field(default_factory=dict)
    consents: list[tuple[str, str, ConsentAct, str]] = field(
        default_factory=list
    )  # key, newsletter, act, detail
    ended: list[tuple[str, str]] = field(default_factory=list)
    suppress: dict[str, str] = field(default_factory=dict)


def _import(tx: Tx, rows: Sequence[Row | Refused], terms: Terms, tell: Callable[[ImportLine], None]) -> None:
    keys = {suppressions.key_of(row.address) for row in rows if isinstance(row, Row)}
    people = subscribers.by_keys(tx, keys)
    mine = subscribers.subscriptions_of(tx, people.values())
    batch = _Batch(
        people=people,
        standings={key: mine.get(person.id, {}) for key, person in people.items()},
        suppressed=set(suppressions.find(tx, keys)),
    )
    for row in rows:
        outcome, why = LineOutcome.REFUSED, ""
        try:
            if isinstance(row, Refused):
                why = row.why
            else:
                outcome, why = _take(batch, row, terms)
        except InputError as e:
            why = str(e)
        tell(ImportLine(line=row.line, address=row.address, outcome=outcome, why=why))
    _write(tx, batch, terms)


def _take(batch: _Batch, row: Row, terms: Terms) -> tuple[LineOutcome, str]:
    """Decide what a row changes, note it in the batch, and say it."""
    key = suppressions.key_of(row.address)
    if key in batch.suppressed:
        return LineOutcome.UNCHANGED, "suppressed: never written to again"
    if row.standing is Standing.SUPPRESSED:
        batch.suppressed.add(key)
        batch.suppress[key] = row.address
        known = key in batch.people
        return (LineOutcome.UPDATED if known else LineOutcome.ADDED), "suppressed from now on"
    names = row.newsletters or terms.default
    _check_newsletters(names, terms)
    had = batch.standings.setdefault(key, {})
    decided = [(name, *_decide(had.get(name), row.standing)) for name in names]
    granting = any(new in (Standing.ACTIVE, Standing.PAUSED) for _, new, _ in decided)
    agreed = _agreed(row, terms) if granting else ""  # refuses before anything is noted
    outcomes = {_person(batch, key, row, terms.now)}
    for name, standing, _ in decided:
        if standing is not None:
            outcomes.add(LineOutcome.UPDATED if name in had else LineOutcome.ADDED)
            line = _consent_line(had.get(name), standing, agreed)
            until = row.paused_until if standing is Standing.PAUSED else None
            _stand(
                batch,
                key,
                Subscription(
                    subscriber=batch.people[key],
                    newsletter=name,
                    standing=standing,
                    since=terms.now,
                    paused_until=until,
                ),
                line,
            )
    why = "; ".join(dict.fromkeys(said for _, _, said in decided if said))
    order = (LineOutcome.ADDED, LineOutcome.UPDATED, LineOutcome.UNCHANGED)
    return next(outcome for outcome in order if outcome in outcomes), why


def _stand(batch: _Batch, key: str, one: Subscription, said: tuple[ConsentAct, str] | None) -> None:
    """Note a subscription's new standing with the line of the consent ledger it rests on."""
    batch.standings[key][one.newsletter] = batch.put[key, one.newsletter] = one
    if one.standing is Standing.UNSUBSCRIBED:
        batch.ended.append((key, one.newsletter))
    if said is not None:
        batch.consents.append((key, one.newsletter, *said))


def _consent_line(
    before: Subscription | None, standing: Standing, agreed: str
) -> tuple[ConsentAct, str] | None:
    if standing is Standing.PENDING:
        return None
    if standing is Standing.UNSUBSCRIBED:
        return ConsentAct.WITHDRAWN, "the imported file says so"
    if before is not None and before.standing is Standing.ACTIVE:
        return ConsentAct.CHANGED, agreed
    return ConsentAct.IMPORTED, agreed


def _decide(before: Subscription | None, wanted: Standing) -> tuple[Standing | None, str]:
    """Return the standing that a row leads to, None when it changes nothing, and what must be said."""
    if before is None:
        return wanted, ""
    stands = before.standing
    if stands is Standing.UNSUBSCRIBED and wanted is not Standing.UNSUBSCRIBED:
        return None, f"unsubscribed from {before.newsletter}: only they can come back"
    if stands is Standing.SUPPRESSED:
        return None, "suppressed: never written to again"
    if stands is wanted:
        return None, ""
    if stands is Standing.PAUSED and wanted is Standing.ACTIVE:
        return None, f"paused {before.newsletter}: only they can end it"
    if wanted is Standing.PENDING:
        return None, ""
    return wanted, ""


def _person(batch: _Batch, key: str, row: Row, now: datetime) -> LineOutcome:
    """Note a new person, or what the row tells anew of a known one."""
    told = {column: getattr(row, column) for column in _TOLD if getattr(row, column)}
    known = batch.people.get(key)
    if known is None:
        batch.people[key] = batch.new[key] = Subscriber(address=row.address, created=now, **told)
        return LineOutcome.ADDED
    person = replace(known, **told)
    if person == known:
        return LineOutcome.UNCHANGED
    batch.people[key] = person
    (batch.new if key in batch.new else batch.changed)[key] = person
    return LineOutcome.UPDATED


def _agreed(row: Row, terms: Terms) -> str:
    """Return the consent that a row or the caller tells, or refuse."""
    if row.consent_at is not None and row.consent_source:
        if row.consent_at > terms.now + timedelta(days=1):
            raise InputError("consent_at lies in the future", remedy="Correct it")
        return f"{AGREED}{row.consent_at.isoformat()}: {row.consent_source}"
    if terms.consent:
        return f"{AGREED}{terms.now.isoformat()}: {terms.consent}"
    raise InputError(
        "no consent is told", remedy="Fill consent_at and consent_source, or say it for all with --consent"
    )


def _check_newsletters(names: Sequence[str], terms: Terms) -> None:
    if not names:
        raise InputError("the line names no newsletter", remedy=f"Known: {', '.join(terms.newsletters)}")
    for name in names:
        if name not in terms.newsletters:
            near = difflib.get_close_matches(name, terms.newsletters, 1)
            remedy = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(terms.newsletters)}"
            raise InputError(f"there is no newsletter {name[:40]!r}", remedy=remedy)


# Writing


def _write(tx: Tx, batch: _Batch, terms: Terms) -> None:
    ids = {key: person.id for key, person in batch.people.items()}
    ids |= subscribers.add(tx, list(batch.new.values()), now=terms.now)
    subscribers.change(tx, list(batch.changed.values()))
    subscribers.put(tx, batch.put.values(), ids)
    consents.append(
        tx,
        (
            Consent(
                subscriber_id=ids[key],
                at=terms.now,
                act=act,
                newsletter=newsletter,
                channel=terms.channel,
                detail=detail,
            )
            for key, newsletter, act, detail in batch.consents
        ),
    )
    for key, name in batch.ended:
        subscribers.stop_waiting(tx, ids[key], newsletter=name, reason="unsubscribed", now=terms.now)
    for address in batch.suppress.values():
        reason = SuppressionReason.REQUEST
        subscribers.suppress(tx, address, reason, now=terms.now, note="import", channel=terms.channel)


def _batches(rows: Iterator[Row | Refused]) -> Iterator[list[Row | Refused]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _terms(newsletters: Sequence[str], newsletter: str | None, consent: str, now: datetime) -> Terms:
    default = (newsletter,) if newsletter else tuple(newsletters) if len(newsletters) == 1 else ()
    terms = Terms(
        newsletters=tuple(newsletters), default=default, consent=consent.strip(), channel="import", now=now
    )
    if default:
        _check_newsletters(default, terms)
    return terms
