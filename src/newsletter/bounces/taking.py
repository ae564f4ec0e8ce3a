"""Take a report: judge it, match it, act on it and record it, in one transaction; twice is once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from newsletter import reports
from newsletter.bounces.mailboxes import Taken, read_maildir, read_mbox
from newsletter.bounces.matching import Letterhead, Match, match, unsubscribing
from newsletter.config import Config
from newsletter.errors import InputError, TokenError
from newsletter.model import (
    Bounce,
    BounceDeed,
    BounceKind,
    Delivery,
    DeliveryState,
    Subscriber,
    SuppressionReason,
)
from newsletter.store import Store, Tx, bounces, meta, subscribers, suppressions
from newsletter.tokens import Keys

ISSUES = 3  # that a mailbox may miss in a row, over
DAYS = timedelta(days=15)
_LOOK_BACK = 60  # issues
_SEE = "See: newsletter bounces list"
_SWEPT = "bounces_swept"
_ADDRESS = re.compile(r"[^\s<>()\"',;:@]+@[^\s<>()\"',;:]+")
_REPORTS = (BounceKind.HARD, BounceKind.SOFT, BounceKind.OURS, BounceKind.COMPLAINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Where reports are taken. `unsubscribe` ends what an unsubscribing token names, and raises TokenError."""

    store: Store
    keys: Keys = field(repr=False)
    heads: Mapping[str, Letterhead]
    unsubscribe: Callable[[str, datetime], object]
    maildir: Path | None = None
    mbox: Path | None = None

    def take(self, raw: bytes, *, now: datetime, envelope: Sequence[str] = ()) -> Bounce:
        """Take one message, whatever it is; `envelope` are the recipients it came for.

        Raises StoreError when it could not be recorded: then nothing was done.
        """
        report = reports.read(raw, envelope=envelope)
        if report.verdict.kind not in _REPORTS and (tokens := unsubscribing(report)):
            return self._unsubscribe(report, tokens, now)
        with self.store.write() as tx:
            if before := bounces.known(tx, report.digest):
                return before
            found = match(tx, self.keys, report, self.heads)
            address, name = _whose(tx, found)
            verdict = report.about(address)
            kept = bounces.add(
                tx,
                Bounce(
                    id=0,
                    at=now,
                    kind=verdict.kind,
                    status=verdict.status,
                    reason=verdict.reason,
                    said=_nameless(report.said, name) if verdict.kind in _SAYING else "",
                    matched=found.by,
                    forged=found.forged,
                    issue_id=found.issue_id,
                    subscriber_id=found.subscriber_id,
                ),
                report.digest,
            )
            return _act(tx, kept, found, now)

    def read(self, *, now: datetime, stop: Callable[[], bool] = lambda: False) -> Taken:
        """Read the configured mailboxes. Raises OutsideError when one cannot be read."""
        taken, take = Taken(), partial(self.take, now=now)
        if self.maildir is not None:
            taken.add(read_maildir(self.maildir, take, stop=stop))
        if self.mbox is not None:
            taken.add(read_mbox(self.store, self.mbox, take, stop=stop))
        return taken

    def listed(self, *, kind: BounceKind | None = None, limit: int = 100) -> list[Bounce]:
        """Return reports, the newest first."""
        with self.store.read() as tx:
            return bounces.listed(tx, kind=kind, limit=limit)

    def show(self, bounce_id: int) -> Bounce:
        """Return one report."""
        with self.store.read() as tx:
            found = bounces.find(tx, bounce_id)
        if found is None:
            raise InputError(f"there is no report {bounce_id}", where="bounces", remedy=_SEE)
        return found

    def undo(self, bounce_id: int, *, now: datetime, reason: str = "") -> Subscriber:
        """Lift the suppression that a report led to, by the editor's word; return whose it was."""
        note = f"undone by the editor: {reason}" if reason else "undone by the editor"
        with self.store.write() as tx:
            person = bounces.undo(tx, bounce_id, now=now, note=note)
        if person is None:
            raise InputError(f"report {bounce_id} suppresses nobody", where="bounces", remedy=_SEE)
        return person

    def _unsubscribe(self, report: reports.Report, tokens: Sequence[str], now: datetime) -> Bounce:
        """Do what a message to `u+TOKEN@…` asks, then record it: done twice, it changes nothing."""
        done, forged = False, False
        for token in tokens:
            try:
                self.unsubscribe(token, now)
                done = True
            except TokenError:
                forged = True
        with self.store.write() as tx:
            if before := bounces.known(tx, report.digest):
                return before
            deed = BounceDeed.UNSUBSCRIBED if done else BounceDeed.NOTHING
            kept = Bounce(
                id=0,
                at=now,
                kind=report.verdict.kind,
                reason="a message that unsubscribes",
                matched="unsubscribe" if done else "",
                forged=forged,
                deed=deed,
            )
            return bounces.add(tx, kept, report.digest)

    def sweep(self, *, now: datetime) -> list[Bounce]:
        """Count what the ledger itself gave up for full mailboxes since the last time; return what that led to."""
        with self.store.write() as tx:
            since = meta.get(tx, _SWEPT)
            meta.put(tx, _SWEPT, now.isoformat())
            if not since:
                return []
            newest = {
                one.reader.subscriber_id: one
                for one in bounces.given_up(tx, since=datetime.fromisoformat(since))
                if _was_full(one)
            }
            return [found for one in newest.values() if (found := _sweep_one(tx, one, now))]


def office(store: Store, config: Config, unsubscribe: Callable[[str, datetime], object]) -> Office:
    """Return where a publication's reports are taken."""
    heads = {
        one.name: Letterhead(list_id=config.list_id(one), domain=one.sender.rpartition("@")[2])
        for one in config.newsletters
    }
    maildir, mbox = (
        None if path is None else config.path(path) for path in (config.bounces.maildir, config.bounces.mbox)
    )
    return Office(
        store=store,
        keys=config.token_keys(),
        heads=heads,
        unsubscribe=unsubscribe,
        maildir=maildir,
        mbox=mbox,
    )


_SAYING = (BounceKind.HARD, BounceKind.SOFT, BounceKind.OURS, BounceKind.UNCLASSIFIED)


def _nameless(text: str, name: str) -> str:
    if len(name) > 2:
        text = re.sub(re.escape(name), "…", text, flags=re.IGNORECASE)
    return _ADDRESS.sub("…", text)[:300]


def _whose(tx: Tx, found: Match) -> tuple[str, str]:
    """Return the address and name to which a matched message went, empty when that is not known."""
    delivery = bounces.delivery(tx, found.issue_id or 0, found.subscriber_id or 0)
    return (delivery.reader.address, delivery.reader.name) if delivery is not None else ("", "")


def _sweep_one(tx: Tx, delivery: Delivery, now: datetime) -> Bounce | None:
    digest = f"ledger {delivery.issue_id} {delivery.reader.subscriber_id}"
    person = subscribers.by_id(tx, delivery.reader.subscriber_id)
    if person is None or bounces.known(tx, digest) or not _same(delivery, person):
        return None
    if not _missed_enough(tx, person, delivery.issue_id, now):
        return None
    reason = "the mailbox is full"
    kept = Bounce(
        id=0, at=now, kind=BounceKind.SOFT, reason=reason, matched="ledger", issue_id=delivery.issue_id
    )
    kept = bounces.add(tx, replace(kept, subscriber_id=person.id), digest)
    return _suppress(tx, kept, person, SuppressionReason.BOUNCE, f"{ISSUES} issues: {reason}", now)


# Acting


def _act(tx: Tx, kept: Bounce, found: Match, now: datetime) -> Bounce:
    """Do what follows; what only names an address is shown and acts on nothing."""
    if kept.kind not in _REPORTS:
        return kept
    if not found.may_act:
        return _noted(tx, kept, "not matched by a token of ours: nothing follows" if found.by else "")
    issue_id, subscriber_id = found.issue_id or 0, found.subscriber_id or 0
    delivery = bounces.delivery(tx, issue_id, subscriber_id)
    if delivery is None:
        return _noted(tx, kept, "there is no such delivery")
    settled = bounces.settle_doubt(tx, delivery, f"a report came back ({kept.status or kept.kind})", now=now)
    person = subscribers.by_id(tx, subscriber_id)
    if person is None:
        return _noted(tx, kept, "the person is no longer stored")
    if not _same(delivery, person):
        return _noted(tx, kept, "the address has changed since")
    done = _follow(tx, kept, person, issue_id, now)
    if settled:
        done = _noted(tx, done, "; ".join(filter(None, (done.note, "settled a delivery in doubt"))))
    return done


def _follow(tx: Tx, kept: Bounce, person: Subscriber, issue_id: int, now: datetime) -> Bounce:
    reason = " ".join(filter(None, (kept.status, kept.reason)))
    match kept.kind:
        case BounceKind.COMPLAINT:
            return _suppress(tx, kept, person, SuppressionReason.COMPLAINT, reason, now)
        case BounceKind.HARD if kept.status != reports.DISABLED:
            return _suppress(tx, kept, person, SuppressionReason.BOUNCE, reason, now)
        case BounceKind.HARD:
            disabled = [one for one in bounces.of(tx, person.id) if one.kind is kept.kind and _counts(one)]
            if len({one.issue_id for one in disabled if one.status == reports.DISABLED}) >= 2:
                return _suppress(tx, kept, person, SuppressionReason.BOUNCE, f"twice {reason}", now)
            return _noted(tx, kept, "the second suppresses", BounceDeed.COUNTED)
        case BounceKind.SOFT:
            if _missed_enough(tx, person, issue_id, now):
                return _suppress(
                    tx, kept, person, SuppressionReason.BOUNCE, f"{ISSUES} issues: {reason}", now
                )
            return _noted(tx, kept, f"{ISSUES} issues over {DAYS.days} days suppress", BounceDeed.COUNTED)
    return kept


def _suppress(
    tx: Tx, kept: Bounce, person: Subscriber, why: SuppressionReason, reason: str, now: datetime
) -> Bounce:
    before = bounces.standings(tx, person)
    note = f"{reason} (bounces show {kept.id})"
    if not subscribers.suppress(tx, person.address, why, now=now, note=note):
        return _noted(tx, kept, "was suppressed before")
    done = replace(kept, deed=BounceDeed.SUPPRESSED, note=reason)
    bounces.note(tx, done, before)
    return done


def _noted(tx: Tx, kept: Bounce, note: str, deed: BounceDeed | None = None) -> Bounce:
    done = replace(kept, note=note, deed=deed or kept.deed)
    if done != kept:
        bounces.note(tx, done)
    return done


def _same(delivery: Delivery, person: Subscriber) -> bool:
    return suppressions.key_of(delivery.reader.address) == suppressions.key_of(person.address)


def _counts(one: Bounce) -> bool:
    return one.matched in ("token", "envelope id", "ledger")


# The soft-bounce score


def _missed_enough(tx: Tx, person: Subscriber, issue_id: int, now: datetime) -> bool:
    """Tell whether the last issues that went to a person were missed in a row: enough of them, over enough days.

    An issue that was delivered and did not come back ends the row; one that never went out says nothing. What came
    before an editor's undo is not counted.
    """
    of_person = [one for one in bounces.of(tx, person.id) if _counts(one)]
    soft = {one.issue_id: one.at for one in of_person if one.kind is BounceKind.SOFT}
    fresh = bounces.undone_issue(tx, person.id)
    missed: list[datetime] = []
    for delivery, changed in bounces.deliveries_before(tx, person.id, issue_id, limit=_LOOK_BACK):
        if delivery.issue_id <= fresh:
            break
        if delivery.issue_id in soft:
            missed.append(soft[delivery.issue_id])
        elif _was_full(delivery):
            missed.append(changed)
        elif delivery.state is DeliveryState.ACCEPTED and delivery.issue_id != issue_id:
            break
    return len(missed) >= ISSUES and max(missed) - min(missed) >= DAYS


def _was_full(delivery: Delivery) -> bool:
    given_up = delivery.state is DeliveryState.REFUSED and delivery.reason.startswith("expired")
    return given_up and (reports.speaks_of_room(delivery.reason) or bool(_FULL_CODE.search(delivery.reason)))


_FULL_CODE = re.compile(r"(?<![\d.])[45]\.2\.2(?!\.?\d)")
