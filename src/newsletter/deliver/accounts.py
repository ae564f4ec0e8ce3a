"""What an editor sees of a delivery: its account by domain and by reply, and its history line by line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from newsletter.model import Outcome, Stage
from newsletter.store import Store, Tx
from newsletter.store import accounts as stored

_OWN_NUMBER = re.compile(r"\b(?=\w*\d)[0-9A-Za-z]{8,}(?:[-.][0-9A-Za-z]+)*\b")  # a queue's, differs each time


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainAccount:
    """The sum of one domain's readers, with the names of an issue's sum."""

    domain: str
    audience: int
    states: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A reply that was no acceptance, and how often it came; `text` without queues' numbers."""

    outcome: Outcome
    stage: Stage
    code: int
    enhanced: str
    text: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One attempt; `address` is empty where it was not asked for."""

    at: datetime
    subscriber: int
    address: str
    transport: str
    server: str
    stage: Stage
    code: int
    enhanced: str
    outcome: Outcome
    text: str


def domains(tx: Tx, issue_id: int, *, limit: int) -> tuple[DomainAccount, ...]:
    """Sum an issue up by domain, the largest first."""
    found: dict[str, Counter[str]] = {}
    for domain, state, count in stored.by_domain(tx, issue_id):
        found.setdefault(domain, Counter())[state] += count
    sums = [DomainAccount(domain=one, audience=c.total(), states=dict(c)) for one, c in found.items()]
    return tuple(sorted(sums, key=lambda one: (-one.audience, one.domain))[:limit])


def troubles(tx: Tx, issue_id: int, *, limit: int) -> tuple[Trouble, ...]:
    """Return the replies that were no acceptance, the most frequent first; those that differ in numbers are one."""
    found: Counter[tuple[Outcome, Stage, int, str, str]] = Counter()
    for said, times in stored.troubles(tx, issue_id):
        text = _OWN_NUMBER.sub("…", said.text)
        found[said.outcome, said.stage, said.code, said.enhanced, text] += times
    order = sorted(found.items(), key=lambda one: (-one[1], one[0]))[:limit]
    return tuple(
        Trouble(outcome=outcome, stage=stage, code=code, enhanced=enhanced, text=text, count=count)
        for (outcome, stage, code, enhanced, text), count in order
    )


def log(store: Store, issue_id: int, *, addresses: bool) -> Iterator[LogLine]:
    """Give every attempt in its order; without `addresses` no reader's address stands in it; replies name nobody."""
    with store.read() as tx:
        for reader, said in stored.lines(tx, issue_id):
            yield LogLine(
                at=said.at,
                subscriber=reader.subscriber_id,
                address=reader.address if addresses else "",
                transport=said.transport,
                server=said.server,
                stage=said.stage,
                code=said.code,
                enhanced=said.enhanced,
                outcome=said.outcome,
                text=said.text,
            )
