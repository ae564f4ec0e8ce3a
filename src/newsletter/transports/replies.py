"""What an SMTP reply means: whom it blames and what becomes of the message.

Pure: a function of the stage and the reply alone (RFC 5321 §4.2, RFC 3463). Only what blames the recipient is
ever charged to the recipient.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from newsletter.model import Outcome, Receipt, Stage

#: The longest line of a reply (RFC 5321 §4.5.3.1.5), with its CRLF, and the most lines we read of one.
LINE_LIMIT = 512
LINES_LIMIT = 128

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_POLICY = re.compile(
    r"\b(spam\w*|black\s?-?list\w*|block(ed|\s?list\w*)?|listed|polic(y|ies)|dmarc|dkim|spf|reputation"
    r"|junk|unsolicited|relay\w*|banned|not authori[sz]ed|rejected for content)\b",
    re.IGNORECASE,
)
_NO_SUCH_USER = re.compile(
    r"user unknown|unknown user|no such (user|recipient|mailbox|address|person)"
    r"|(user|recipient|mailbox|address|account) (\S+ )?(does not|doesn't|not) (exist|found)"
    r"|unknown (recipient|mailbox|address|local part)|no mailbox|invalid (recipient|mailbox)"
    r"|mailbox unavailable or not local",
    re.IGNORECASE,
)
_FULL = re.compile(r"quota|mailbox.{0,20}\bfull\b|over\s?limit|storage limit", re.IGNORECASE)
_GREYLIST = re.compile(r"grey-?\s?list|gray-?\s?list", re.IGNORECASE)
_OUT_OF_STEP = frozenset({"5.5.1", "5.5.2", "5.5.5"})  # not 5.5.0, which large providers say of a mailbox
_POSITIVE = {Stage.MAIL: 2, Stage.RCPT: 2, Stage.DATA: 3, Stage.END_OF_DATA: 2}
_BAD_ADDRESS = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})


class Blame(StrEnum):
    """Whom a reply blames."""

    RECIPIENT = "recipient"
    CONNECTION = "connection"
    SERVER = "server"
    DOMAIN = "domain"  # the recipient's domain does not want us: a policy, a block list
    CONTENT = "content"  # the message itself, perhaps
    ISSUE = "issue"  # our sender, our size: no other recipient would fare better


class Schedule(StrEnum):
    """How long to wait before the next try of this recipient."""

    NONE = "none"
    PLAIN = "plain"
    GREYLISTED = "greylisted"
    FULL = "full"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply: its code, its enhanced code (`5.1.1` or empty) and its text on one line."""

    code: int
    enhanced: str = ""
    text: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.enhanced, self.text)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What we make of a reply."""

    blame: Blame
    outcome: Outcome
    schedule: Schedule = Schedule.NONE
    suppress: bool = False


TAKEN = Verdict(Blame.RECIPIENT, Outcome.ACCEPTED)
BAD_ADDRESS = Verdict(Blame.RECIPIENT, Outcome.REFUSED, suppress=True)
REJECTED = Verdict(Blame.RECIPIENT, Outcome.REFUSED)
LATER = Verdict(Blame.RECIPIENT, Outcome.DEFERRED, Schedule.PLAIN)
GREYLISTED = Verdict(Blame.RECIPIENT, Outcome.DEFERRED, Schedule.GREYLISTED)
FULL = Verdict(Blame.RECIPIENT, Outcome.DEFERRED, Schedule.FULL)
DISABLED = Verdict(Blame.RECIPIENT, Outcome.DEFERRED, Schedule.DISABLED)
DOUBT = Verdict(Blame.CONNECTION, Outcome.UNKNOWN)
LOST_CONNECTION = Verdict(Blame.CONNECTION, Outcome.NOT_SENT)
BUSY_SERVER = Verdict(Blame.SERVER, Outcome.NOT_SENT)
UNWANTED = Verdict(Blame.DOMAIN, Outcome.NOT_SENT)
ODD_CONTENT = Verdict(Blame.CONTENT, Outcome.NOT_SENT)
OUR_FAULT = Verdict(Blame.ISSUE, Outcome.NOT_SENT)


@lru_cache(512)  # a server says the same few lines all day
def parse_line(line: bytes) -> tuple[int, bool, str] | None:
    """Read one line of a reply as (code, whether more lines follow, text); None when it is malformed."""
    if len(line) > LINE_LIMIT or not line.endswith(b"\r\n"):
        return None
    body = line[:-2]
    if not re.fullmatch(rb"[2-5][0-9][0-9](?:[ -][^\r\n\x00]*)?", body):
        return None
    return int(body[:3]), body[3:4] == b"-", one_line(body[4:])


def one_line(raw: bytes) -> str:
    """Make a server's words safe to keep and to show: one line without control or bidi characters."""
    text = raw.decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def compose_reply(code: int, lines: list[str]) -> Reply:
    """Put the lines of a reply together, its enhanced code apart when it agrees with the code."""
    return _compose(code, tuple(lines))


@lru_cache(512)
def _compose(code: int, lines: tuple[str, ...]) -> Reply:
    found = _ENHANCED.match(lines[0]) if lines else None
    enhanced = found[1] if found and found[1][0] == str(code)[0] else ""
    if enhanced:
        lines = tuple(line.removeprefix(enhanced).strip() for line in lines)
    return Reply(code, enhanced, " ".join(filter(None, lines))[:500])


def judge(stage: Stage, reply: Reply) -> Verdict:
    """Say what a reply to MAIL, RCPT, DATA or the end of data means; see docs on delivery for the table."""
    kind = reply.code // 100
    if reply.code == 421:
        return LOST_CONNECTION
    if kind == _POSITIVE.get(stage):
        return TAKEN
    if kind in (2, 3):  # out of place
        return DOUBT if stage is Stage.END_OF_DATA else LOST_CONNECTION
    if stage is Stage.MAIL:
        return OUR_FAULT if kind == 5 else BUSY_SERVER
    if reply.code in (500, 502, 503) or reply.enhanced in _OUT_OF_STEP:
        return LOST_CONNECTION  # the two sides no longer speak of the same thing
    if kind == 4:
        return _judge_temporary(stage, reply)
    return _judge_permanent(stage, reply)


def _judge_temporary(stage: Stage, reply: Reply) -> Verdict:
    if reply.enhanced == "4.2.2" or _FULL.search(reply.text):
        return FULL
    if reply.enhanced == "4.5.3":
        return LOST_CONNECTION  # too many recipients: the next transaction will do
    greylisting = reply.code in (450, 451) and reply.enhanced in ("", "4.2.0", "4.7.0", "4.7.1")
    if greylisting and (stage is Stage.RCPT or _GREYLIST.search(reply.text)):
        return GREYLISTED
    if reply.enhanced in ("4.3.1", "4.3.2") and stage is not Stage.END_OF_DATA:
        return BUSY_SERVER
    return LATER


def _judge_permanent(stage: Stage, reply: Reply) -> Verdict:
    enhanced = reply.enhanced
    if enhanced.startswith("5.7."):
        return UNWANTED
    if enhanced in _BAD_ADDRESS:
        return BAD_ADDRESS
    if enhanced == "5.2.1":
        return DISABLED
    if enhanced == "5.2.2" or _FULL.search(reply.text):
        return FULL
    if enhanced == "5.3.4" or enhanced.startswith("5.6."):
        return ODD_CONTENT if stage is Stage.END_OF_DATA else REJECTED
    if reply.code in (550, 551, 553) and _NO_SUCH_USER.search(reply.text):
        return BAD_ADDRESS
    if _POLICY.search(reply.text):
        return UNWANTED
    if stage is Stage.END_OF_DATA and reply.code in (552, 554) and enhanced in ("", "5.0.0", "5.3.0"):
        return ODD_CONTENT
    return REJECTED


def verdict_of(receipt: Receipt) -> Verdict:
    """Say again, of a receipt from any transport, whom it blames and when to try next."""
    if receipt.code and receipt.outcome in (Outcome.DEFERRED, Outcome.NOT_SENT):
        judged = judge(receipt.stage, Reply(receipt.code, receipt.enhanced, receipt.text))
        if judged.outcome is receipt.outcome:
            return judged
    if receipt.outcome is Outcome.REFUSED and receipt.suppress:
        return BAD_ADDRESS
    return _VERDICTS[receipt.outcome]


_VERDICTS = {
    Outcome.ACCEPTED: TAKEN,
    Outcome.DEFERRED: LATER,
    Outcome.REFUSED: REJECTED,
    Outcome.UNKNOWN: DOUBT,
    Outcome.NOT_SENT: LOST_CONNECTION,
}
