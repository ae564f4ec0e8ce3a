"""What becomes of a delivery: pure decisions over a receipt, the time and the history of this run.

Only the reader's own refusals are charged to the reader. What blames us opens a breaker that stops the issue.
"""

from __future__ import annotations

import re
import zlib
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from newsletter.crew.blackbox import Fate
from newsletter.model import (
    Attempt,
    Delivery,
    DeliveryState,
    Outcome,
    Reader,
    Receipt,
    RefusalReason,
    Settlement,
    Stage,
)
from newsletter.store.deliveries import DOUBTFUL
from newsletter.transports.replies import Blame, Reply, Schedule, Verdict, verdict_of

Doubt = Literal["presume", "resend", "hold"]

_MINUTE = 60.0
_HOUR = 3600.0
_FIRST: dict[Schedule, tuple[float, ...]] = {
    Schedule.PLAIN: (),
    Schedule.GREYLISTED: (5 * _MINUTE, 10 * _MINUTE, 20 * _MINUTE, 40 * _MINUTE),
    Schedule.FULL: (_HOUR, 4 * _HOUR, 12 * _HOUR),
    Schedule.DISABLED: (12 * _HOUR,),
}
_LONGEST = {Schedule.FULL: 12 * _HOUR, Schedule.DISABLED: 12 * _HOUR}
_BEHIND = timedelta(minutes=5)
_AT_ONCE = 2  # tries within one run that a lost connection costs before its message is put off
_DISABLED = re.compile(r"(?<![\d.])5\.2\.1(?!\.?\d)")
_FUNCTIONS = r"(?:abuse|hostmaster|noc|postmaster|security|support|help\w*|feedback|unblock\w*|deliver\w*)@"
_ADDRESS = re.compile(
    rf"(?<![^\s<>()\"',;:])(?!{_FUNCTIONS})[^\s<>()\"',;:@]+@[^\s<>()\"',;:]+", re.IGNORECASE
)


def back_off(schedule: Schedule, attempt: int, salt: int) -> timedelta:
    """Return how long to wait after the nth charged attempt (from 1), spread by up to a tenth by the salt.

    From 30 minutes, or from a schedule's own first steps, doubling up to 4 hours.
    """
    first = _FIRST.get(schedule, ())
    if attempt <= len(first):
        seconds = first[attempt - 1]
    else:
        doublings = attempt - 1 - max(0, len(first) - 1)
        seconds = min(30 * _MINUTE * 2.0 ** min(doublings, 10), 4 * _HOUR)
        seconds = max(seconds, _LONGEST.get(schedule, 0.0))
    spread = zlib.crc32(f"{salt}.{attempt}".encode()) / 2**32
    return timedelta(seconds=round(seconds * (1 + 0.1 * spread), 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A settlement, and what else follows from a receipt."""

    settlement: Settlement
    verdict: Verdict
    suppress: bool = False
    put_off_domain: datetime | None = None


def decide(
    delivery: Delivery,
    receipt: Receipt,
    *,
    now: datetime,
    attempt: Attempt,
    on_silence: Doubt,
    unsent: int,
) -> Decision:
    """Say what a receipt makes of a delivery; `unsent` counts its lost connections in this run, from 0.

    What is kept of the server's words names nobody.
    """
    verdict = verdict_of(receipt)
    said = hide(receipt.text, delivery.reader)
    if said != receipt.text:
        receipt = replace(receipt, text=said)
    if said != attempt.text:
        attempt = replace(attempt, text=said)
    if receipt.outcome is Outcome.ACCEPTED:
        return Decision(settlement=_to(delivery, DeliveryState.ACCEPTED, attempt), verdict=verdict)
    words = words_of(receipt)
    match receipt.outcome:
        case Outcome.REFUSED:
            return _refuse(delivery, attempt, words, verdict, suppress=receipt.suppress)
        case Outcome.DEFERRED:
            if verdict.schedule is Schedule.DISABLED and _DISABLED.search(delivery.reason):
                return _refuse(delivery, attempt, words, verdict, suppress=True)
            wait = back_off(verdict.schedule, delivery.attempts + 1, delivery.reader.subscriber_id)
            later = _to(delivery, DeliveryState.WAITING, attempt, reason=words, not_before=now + wait)
            return Decision(settlement=later, verdict=verdict)
        case Outcome.UNKNOWN:
            return Decision(
                settlement=_settle_doubt(delivery, attempt, words, on_silence, now), verdict=verdict
            )
        case Outcome.NOT_SENT:
            return _decide_unsent(delivery, attempt, words, verdict, now, unsent)


def _decide_unsent(
    delivery: Delivery, attempt: Attempt, words: str, verdict: Verdict, now: datetime, unsent: int
) -> Decision:
    salt = delivery.reader.subscriber_id
    until = {
        Blame.SERVER: now + timedelta(minutes=5),
        Blame.DOMAIN: now + back_off(Schedule.PLAIN, 2, salt),
        Blame.CONTENT: now + back_off(Schedule.PLAIN, 2, salt),
        Blame.CONNECTION: None if unsent < _AT_ONCE else now + timedelta(minutes=5),
    }.get(verdict.blame)
    domain = None
    if verdict.blame is Blame.DOMAIN and until is not None:
        domain, until = until, until + _BEHIND  # the domain's other readers get their turn first
    waiting = _to(
        delivery, DeliveryState.WAITING, attempt, reason=f"not sent: {words}", not_before=until, charged=False
    )
    return Decision(settlement=waiting, verdict=verdict, put_off_domain=domain)


def _settle_doubt(
    delivery: Delivery, attempt: Attempt, words: str, on_silence: Doubt, now: datetime
) -> Settlement:
    """Settle a message whose end of data was written and never answered; a second doubt is always held."""
    reason = f"{DOUBTFUL}: {words}"
    if on_silence == "presume":
        return _to(delivery, DeliveryState.ACCEPTED, attempt, reason=f"presumed: {words}", presumed=True)
    if on_silence == "resend" and not delivery.reason.startswith(DOUBTFUL):
        evidence = now + timedelta(minutes=10)  # a bounce or a report may still settle it
        return _to(delivery, DeliveryState.WAITING, attempt, reason=reason, not_before=evidence)
    return _to(delivery, DeliveryState.UNKNOWN, attempt, reason=reason)


def settle_crash(
    subscriber_id: int,
    on_crash: Doubt,
    fate: Fate | None,
    *,
    epoch: int,
    now: datetime,
    cause: str = "a crash",
) -> Settlement:
    """Settle what an owner that died left attempting: exactly where its black box knows, else as is configured."""
    if fate is Fate.NOT_ENDED:
        return _known(
            subscriber_id, DeliveryState.WAITING, "not sent: a crash came before its end", epoch, now
        )
    if fate is Fate.ACCEPTED:
        return _known(subscriber_id, DeliveryState.ACCEPTED, "accepted just before a crash", epoch, now)
    state, reason = {
        "presume": (DeliveryState.ACCEPTED, f"presumed: accepted, after {cause}"),
        "resend": (DeliveryState.WAITING, f"{DOUBTFUL}: sent again after {cause}"),
        "hold": (DeliveryState.UNKNOWN, f"{DOUBTFUL}: {cause} came while it was being sent"),
    }[on_crash]
    line = Attempt(at=now, epoch=epoch, outcome=Outcome.UNKNOWN, stage=Stage.LOCAL, text=reason)
    return Settlement(
        subscriber_id=subscriber_id,
        state=state,
        attempt=line,
        reason=reason,
        presumed=state is DeliveryState.ACCEPTED,
    )


def _known(subscriber_id: int, state: DeliveryState, reason: str, epoch: int, now: datetime) -> Settlement:
    accepted = state is DeliveryState.ACCEPTED
    outcome = Outcome.ACCEPTED if accepted else Outcome.NOT_SENT
    line = Attempt(at=now, epoch=epoch, outcome=outcome, stage=Stage.LOCAL, text=reason)
    return Settlement(subscriber_id=subscriber_id, state=state, attempt=line, reason=reason, charged=accepted)


def quarantine(delivery: Delivery, fault: str, *, epoch: int, now: datetime) -> Settlement:
    """Set aside a reader for whom the digest cannot be rendered."""
    what = hide(" ".join(fault.split())[:500], delivery.reader)
    reason = f"{RefusalReason.QUARANTINED}: {what}"
    line = Attempt(at=now, epoch=epoch, outcome=Outcome.NOT_SENT, stage=Stage.LOCAL, text=reason)
    return Settlement(
        subscriber_id=delivery.reader.subscriber_id,
        state=DeliveryState.REFUSED,
        attempt=line,
        reason=reason,
        before=DeliveryState.WAITING,
        charged=True,
    )


def _refuse(
    delivery: Delivery, attempt: Attempt, words: str, verdict: Verdict, *, suppress: bool
) -> Decision:
    reason = f"{RefusalReason.REJECTED}: {words}"
    settlement = _to(delivery, DeliveryState.REFUSED, attempt, reason=reason)
    return Decision(settlement=settlement, verdict=verdict, suppress=suppress)


def _to(
    delivery: Delivery,
    state: DeliveryState,
    attempt: Attempt,
    *,
    reason: str = "",
    not_before: datetime | None = None,
    presumed: bool = False,
    charged: bool = True,
) -> Settlement:
    if state is DeliveryState.WAITING and _DISABLED.search(delivery.reason) and not _DISABLED.search(reason):
        reason = f"{reason}; 5.2.1 before"  # twice is twice, whatever came between
    if state is DeliveryState.WAITING and delivery.reason.startswith(DOUBTFUL):
        reason = f"{DOUBTFUL} before; {reason}"  # one doubt a reader: it is not forgotten for a greylisting
    return Settlement(
        subscriber_id=delivery.reader.subscriber_id,
        state=state,
        attempt=attempt,
        reason=reason,
        not_before=not_before,
        presumed=presumed,
        charged=charged,
    )


def words_of(receipt: Receipt) -> str:
    """Say a receipt in one line."""
    if receipt.code:
        return str(Reply(receipt.code, receipt.enhanced, receipt.text))
    return " ".join(filter(None, (receipt.enhanced, receipt.text))) or receipt.outcome.value


def hide(text: str, reader: Reader) -> str:
    """Leave the reader's address and name, and other people's addresses, out of a text that outlives them.

    Addresses of functions stay (RFC 2142): `postmaster@` in a refusal is where an editor may ask.
    """
    folded = text.casefold()
    for word in (reader.address, reader.name):
        if (
            len(word) > 2 and word.casefold() in folded
        ):  # a pattern for each reader and reply would cost more than both
            text = re.sub(re.escape(word), "…", text, flags=re.IGNORECASE)
    return _ADDRESS.sub("…", text) if "@" in text else text


def domain_of(address: str) -> str:
    """Return the domain of an address, in lower case."""
    return address.rpartition("@")[2].lower()


@dataclass(slots=True, kw_only=True)
class Breaker:
    """Opens when what goes wrong is our own fault: on a rate, on a run over several domains, or on doubts."""

    doubts_allowed: int
    audience: int = 0  # of the issue; without it doubts are only counted over 10 minutes
    _window: deque[bool] = field(default_factory=lambda: deque(maxlen=200))
    _run: list[str] = field(default_factory=list)
    _doubts: deque[datetime] = field(default_factory=deque)
    _doubted: int = 0

    def note(
        self, receipt: Receipt, verdict: Verdict, domain: str, now: datetime, *, again: bool = False
    ) -> str:
        """Take note of a receipt; return why the issue must stop, or nothing.

        A message tried `again` was counted at its first try: those left over at the end are the odd ones anyhow.
        """
        if verdict.blame is Blame.ISSUE:
            return f"the server takes no message of this issue: {words_of(receipt)}"
        if receipt.outcome is Outcome.UNKNOWN:
            return self._note_doubt(now)
        if verdict.blame is Blame.RECIPIENT:
            self._run.clear()
            self._window.append(False)
            return ""
        if verdict.blame in (Blame.DOMAIN, Blame.CONTENT) and not again:
            self._run.append(domain)
            if len(self._run) >= 3 and len(set(self._run)) >= 2:
                return f"refused at several domains in a row for what we send: {words_of(receipt)}"
            return self._note_fault(f"refused for what we send: {words_of(receipt)}")
        return ""

    def note_quarantine(self, reason: str) -> str:
        """Take note of a reader for whom nothing could be rendered."""
        return self._note_fault(reason)

    def _note_fault(self, reason: str) -> str:
        self._window.append(True)
        faults = sum(self._window)
        if faults > 0.05 * max(len(self._window), 60):
            return f"{faults} of the last {len(self._window)} failed by our own fault; the last: {reason}"
        return ""

    def _note_doubt(self, now: datetime) -> str:
        self._doubted += 1
        self._doubts.append(now)
        while self._doubts[0] < now - timedelta(minutes=10):
            self._doubts.popleft()
        if len(self._doubts) > self.doubts_allowed:
            return f"{len(self._doubts)} messages in doubt within 10 minutes: the server answers none"
        if self.audience and self._doubted > max(self.doubts_allowed, self.audience / 1000):
            return f"{self._doubted} of {self.audience} messages in doubt: more than one in a thousand"
        return ""
