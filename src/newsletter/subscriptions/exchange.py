"""Import: rows are read, decided on in batches, and written a batch a transaction."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TypedDict, Unpack

from newsletter.errors import InputError
from newsletter.model import Consent, Standing
from newsletter.store import Store, Tx, bulk, consents, subscribers, suppressions
from newsletter.store.suppressions import Suppression
from newsletter.subscriptions import table
from newsletter.subscriptions.address import name_of, normalise
from newsletter.subscriptions.deciding import Batch, LineOutcome, Terms, decide, unknown
from newsletter.subscriptions.row import Refused, Row, language_of, timezone_of, wording_of

LINES_KEPT = 10_000  # of a report, in memory; `on_line` is told of all
_BATCH = 10_000  # rows a transaction: on SQLite fewer would write the index of addresses over and over


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

    format: str = table.OWN
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


class Told(TypedDict, total=False):
    """What may be told for all rows, as in Terms."""

    wording: str
    wording_language: str
    tags: Mapping[str, str]
    standing: Standing | None
    keep_ip: timedelta


class Options(Told, total=False):
    """What else an import may be told."""

    to: Sequence[str]
    consent: str
    program: str
    dry_run: bool
    on_line: Callable[[ImportLine], None] | None


class _DryRun(Exception):
    """Takes back what a dry run wrote."""


def import_csv(
    store: Store,
    file: Path,
    *,
    newsletters: Sequence[str],
    now: datetime,
    to: Sequence[str] = (),
    consent: str = "",
    program: str = "",
    dry_run: bool = False,
    on_line: Callable[[ImportLine], None] | None = None,
    **more: Unpack[Told],
) -> ImportReport:
    """Import a CSV file; a line that is wrong is refused and stops no other.

    `newsletters` are those that exist; `to` are meant by rows that name none (the only one, when there is only
    one). `consent` tells how and when people agreed of whom the file does not say it. `program` names the one
    that exported the file; without it the header tells. What `more` may hold: `wording` and `wording_language`,
    `tags`, `standing`, `keep_ip`, as in Terms. A dry run does everything in one transaction and takes it back, so
    its report is exact; the store has no other writer meanwhile. Raises InputError when the file cannot be read
    or its header is not known.
    """
    terms = terms_of(newsletters, to, consent, now, **more)
    report = ImportReport(dry_run=dry_run)

    def tell(line: ImportLine) -> None:
        report.note(line)
        if on_line is not None:
            on_line(line)

    try:
        with file.open("rb") as stream, _uncollected():
            header, rows = table.read_with(table.lines_of(stream), where=str(file), program=program)
            if header.format is not None:
                report.format = header.format.name
                terms = _by_name(terms, report.format, file)
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
        language=language_of(language),
        timezone=timezone_of(timezone),
    )
    terms = Terms(newsletters=row.newsletters, default=(), consent=consent.strip(), channel=channel, now=now)
    told: list[ImportLine] = []
    with store.write() as tx:
        _import(tx, [row], terms, told.append)
    return told[0]


def _import(tx: Tx, rows: Sequence[Row | Refused], terms: Terms, tell: Callable[[ImportLine], None]) -> None:
    keys = {suppressions.key_of(row.address) for row in rows if isinstance(row, Row)}
    if len(rows) > 1:
        bulk.make_room(tx)
    people = subscribers.by_keys(tx, keys)
    mine = subscribers.subscriptions_of(tx, people.values())
    batch = Batch(
        people=people,
        standings={key: mine.get(person.id, {}) for key, person in people.items()},
        gone={key: one.reason for key, one in suppressions.find(tx, keys).items()},
    )
    for row in rows:
        outcome, why = LineOutcome.REFUSED, ""
        if isinstance(row, Refused):
            why = row.why
        else:
            try:
                outcome, why = decide(batch, row, terms)
            except InputError as e:
                why = str(e)
        tell(ImportLine(line=row.line, address=row.address, outcome=outcome, why=why))
    _write(tx, batch, terms)


def _write(tx: Tx, batch: Batch, terms: Terms) -> None:
    ids = {key: person.id for key, person in batch.people.items()}
    ids |= subscribers.add(tx, list(batch.new.values()), now=terms.now)
    subscribers.change(tx, list(batch.changed.values()))
    subscribers.begin(tx, batch.begun.values(), ids)
    subscribers.put(tx, batch.put.values(), ids)
    at, channel = terms.now, terms.channel
    lines = (
        Consent(subscriber_id=ids[key], at=at, act=act, newsletter=newsletter, channel=channel, **said)
        for key, act, newsletter, said in batch.consents
    )
    consents.append(tx, lines)
    for key, name in batch.ended:
        subscribers.stop_waiting(tx, ids[key], newsletter=name, reason="unsubscribed", now=terms.now)
    strangers = []
    for key, (address, reason) in batch.suppress.items():
        standings = {one.standing for one in batch.standings.get(key, {}).values()}
        if key in batch.people and (key not in batch.new or standings - {Standing.SUPPRESSED}):
            subscribers.suppress(tx, address, reason, now=terms.now, note="import", channel=terms.channel)
        else:
            strangers.append(Suppression(address=address, reason=reason, at=terms.now, note="import"))
    suppressions.put_many(tx, strangers)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Collect cycles once a batch only: rows make none, and looking for some all the time takes a tenth."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _batches(rows: Iterator[Row | Refused]) -> Iterator[list[Row | Refused]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch
        batch.clear()
        gc.collect()


def terms_of(
    newsletters: Sequence[str],
    to: Sequence[str],
    consent: str,
    now: datetime,
    *,
    wording: str = "",
    wording_language: str = "",
    tags: Mapping[str, str] | None = None,
    standing: Standing | None = None,
    keep_ip: timedelta = timedelta(),
) -> Terms:
    """Return the terms of an import; raises InputError for a newsletter that is not there."""
    for name in (*to, *(tags or {}).values()):
        if name not in newsletters:
            raise unknown(name, newsletters)
    default = tuple(to) or (tuple(newsletters) if len(newsletters) == 1 else ())
    return Terms(
        newsletters=tuple(newsletters),
        default=default,
        consent=consent.strip(),
        channel="import",
        now=now,
        wording=wording_of(wording),
        wording_language=language_of(wording_language),
        tags=dict(tags or {}),
        standing=standing,
        keep_ip=keep_ip,
    )


def _by_name(terms: Terms, program: str, file: Path) -> Terms:
    """Heed what the name of a Mailchimp file says, whose columns may not: who left, and who never agreed."""
    if program != "mailchimp" or terms.standing is not None:
        return terms
    if file.name.startswith("nonsubscribed"):
        raise InputError(
            "non-subscribed contacts of Mailchimp's never agreed",
            where=str(file),
            remedy="Leave the file out",
        )
    standing = next((one for word, one in _NAMED.items() if file.name.startswith(word)), None)
    return replace(terms, standing=standing)


_NAMED = {"unsubscribed": Standing.UNSUBSCRIBED, "cleaned": Standing.SUPPRESSED}
