"""Find whom of ours a report is about: by its token, the envelope id, the recipient, the Message-ID, in this order.

A token is made by our keys and stands only in the envelope of the message it belongs to, so who sends it back was
given that message: it may act. Everything else can be written by anybody who knows an address: it is shown, no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from newsletter import digest
from newsletter.errors import TokenError
from newsletter.reports import Report
from newsletter.store import Tx, bounces, subscribers
from newsletter.tokens import LONGEST, Keys, Purpose
from newsletter.tokens import read as read_token

_MADE = r"([a-z0-9]{1,8}\.[a-z0-9_.-]{1,120}\.[a-z2-7]{26})(?![a-z0-9_-])"
_BEFORE = r"(?<![a-z0-9._+-])"
_BOUNCE = re.compile(rf"{_BEFORE}b(?:\+|\+2b|=2b|-){_MADE}", re.IGNORECASE)
_UNSUBSCRIBE = re.compile(rf"{_BEFORE}u(?:\+|-){_MADE}", re.IGNORECASE)
_UNSUBSCRIBE_ALONE = re.compile(rf"{_BEFORE}u@", re.IGNORECASE)
_ALONE = re.compile(rf"{_BEFORE}{_MADE}", re.IGNORECASE)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_MESSAGE_ID = re.compile(r"<?\s*(\d{1,9})\.([0-9a-f]{24})@([^\s<>@]{1,253})>?")
_MOST = 20  # tokens of one message that are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterhead:
    """What the Message-IDs of a newsletter are made of."""

    list_id: str
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Whom a report is about; `by` is empty when nobody was found. `forged`: it bore a token that is not ours."""

    by: str = ""
    issue_id: int | None = None
    subscriber_id: int | None = None
    forged: bool = False

    @property
    def may_act(self) -> bool:
        """Whether only who was given the message can have sent this."""
        return self.by in ("token", "envelope id")


def match(tx: Tx, keys: Keys, report: Report, heads: Mapping[str, Letterhead]) -> Match:
    """Match a report; `heads` by newsletter."""
    forged = False
    undone = _XTEXT.sub(lambda found: chr(int(found[1], 16)), report.envelope_id)
    for by, texts in (("token", report.addresses), ("envelope id", (report.envelope_id, undone))):
        for token in _tokens(_BOUNCE, texts):
            try:
                issue, _, subscriber = read_token(keys, Purpose.BOUNCE, token).partition(".")
            except TokenError:
                forged = True
                continue
            if issue.isdecimal() and subscriber.isdecimal() and len(issue + subscriber) < 30:
                return Match(by=by, issue_id=int(issue), subscriber_id=int(subscriber), forged=forged)
    return replace(_by_name(tx, report, heads), forged=forged)


def unsubscribing(report: Report) -> list[str]:
    """Return the tokens of a message to `u+TOKEN@…`, or to `u@…` with the token as its subject; good or not."""
    tokens = list(_tokens(_UNSUBSCRIBE, report.addresses))
    if not tokens and any(_UNSUBSCRIBE_ALONE.search(one) for one in report.addresses):
        tokens = list(_tokens(_ALONE, (report.subject,)))
    return tokens


def _tokens(pattern: re.Pattern[str], texts: tuple[str, ...]) -> Iterator[str]:
    found = [one[1] for text in texts for one in pattern.finditer(text) if len(one[1]) <= LONGEST]
    yield from list(dict.fromkeys(found))[:_MOST]


def _by_name(tx: Tx, report: Report, heads: Mapping[str, Letterhead]) -> Match:
    """Match by what anybody could write: whose address it is, and which of our messages came back."""
    recipient = report.verdict.recipient
    person = subscribers.find(tx, recipient) if recipient else None
    found = Match(by="recipient", subscriber_id=person.id) if person else Match()
    parts = _MESSAGE_ID.search(report.message_id)
    if parts is None:
        return found
    number, unique, domain = int(parts[1]), parts[2], parts[3].lower()
    for newsletter, head in heads.items():
        issue = bounces.numbered(tx, newsletter, number) if head.domain.lower() == domain else None
        if issue is None:
            continue
        seeds = [digest.seed(head.list_id, number, one) for one in issue[1]]
        readers = [person.id] if person else bounces.readers(tx, issue[0])
        for reader in readers:
            if any(digest.unique_part(one, reader) == unique for one in seeds):
                by = found.by or "message-id"
                return Match(by=by, issue_id=issue[0], subscriber_id=reader)
    return found
