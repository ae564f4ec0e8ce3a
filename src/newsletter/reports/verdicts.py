"""What a bounce says of an address: a pure function of the enhanced code (RFC 3463) and the server's words.

The words count where they are clearer than the code: many servers put their policies under the codes of mailboxes.
Addresses and URLs are left out first, for they hold any word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from newsletter.model import BounceKind

ADDRESS = re.compile(r"[^\s<>()\[\]:;,\"'@=|]{1,64}@[\w.-]{1,255}")
_URL = re.compile(r"\bhttps?://\S+|\bwww\.\S+", re.IGNORECASE)
_CODE_AFTER_REPLY = re.compile(r"(?<![\d.])[45]\d\d[ -]+#?([45]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_CODE = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_REPLY = re.compile(r"(?<![\d.:])([45])[0-5]\d(?=[\s-]|$)")
_CODES = re.compile(r"(?<![\d.])[245]\d\d[ -](?:[245]\.\d{1,3}\.\d{1,3})?")

#: Nobody is there. 5.2.1 (disabled) is too, but only its second report suppresses.
HARD = {
    "5.1.1": "there is no such mailbox",
    "5.1.2": "there is no such domain",
    "5.1.3": "the address is malformed",
    "5.1.6": "the mailbox has moved",
    "5.1.10": "there is no such address",
}
DISABLED = "5.2.1"
UNKNOWN = "the server's words are not understood"


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_FULL = _words(
    r"\b(?:over|exceed\w*|out of)\b.{0,30}\b(?:quota|storage|space)\b",
    r"\bquota\b.{0,30}\b(?:exceed|reached|full|over)",
    r"\b(?:mailbox|folder|inbox|box)\b.{0,30}\bfull\b|\b(?:mailbox|folder|inbox) (?:is |was )?(?:exceed|over)",
    r"\bmailbox.{0,60}\bexceed\w*\b.{0,20}\b(?:limit|size)",
    r"\bfull mailbox|\bover\s?quota|\bquota (?:violation|exceeded)|\bnot enough storage|\bdisk full",
    r"\b(?:insufficient|not enough) (?:\w+ )?(?:storage|space)\b",
)
_BIG = _words(
    r"\b(?:message|mail|size)\b.{0,40}\b(?:too (?:big|large)|exceeds?)\b.{0,60}",
    r"\bmessage size\b.{0,20}\b(?:limit|exceed)|\btoo large\b|\bfile too big",
)
_OURS = _words(
    r"\bspam\w*|\bunsolicited|\bjunk|\bbulk (?:e-?)?mail|\bcontent (?:filter|reject|restrict)",
    r"\b(?:black|block|deny|rbl|grey|gray)[- ]?list\w*|(?<!not )\blisted (?:at|by|in|on)\b|\bdnsbl",
    r"\brbl\b|\bspamhaus",
    r"\bblocked\b(?! account)|\bbanned\b|\bblock (?:for|from)|\babus(?:e|ive)\b",
    r"\bpolic(?:y|ies)\b|\bprohibited|\bviolat(?:es?|ion)|\bdmarc\b|\bdkim\b|\bspf\b|\bsender id\b|\barc\b",
    r"\breputation|\bsender\b.{0,20}\b(?:reject|denied|refused|not allowed|verif)|\bunauthenticated",
    r"\bnot (?:been )?authenticat\w*|\bauthenticat\w* (?:is )?(?:required|failed)|\bnot authori[sz]ed",
    r"\b(?:reverse|forward)[- ](?:dns|confirm)|\bptr\b|\bno reverse|\brdns\b|\bhostname\b.{0,30}\bip address",
    r"\brelay(?:ing)?\b.{0,40}\b(?:denied|prohibited|not|refus|deny)|\b(?:no|not|unable to|cannot) relay",
    r"\baccess denied|\bpermission denied|\bip frequency|\btoo many (?:connection|message|recipient|mail)",
    r"\brate[- ]?(?:limit|control)|\bthrottl",
    r"\b(?:receiving|sent|sending)\b.{0,40}\b(?:rate|too fast|too quickly)",
    r"\bhas (?:sent to too many|exceeded)|\bvirus\b|\bmalware|\bmalicious|\binfected|\bphish",
    r"\bfrom:? (?:header|domain)|\bheader (?:error|is)\b|\bnot (?:rfc|compliant)|\brfc[ -]?[2579][38]\d\d",
    r"\bfirewall|\bsuspicious|\bmail reject[eé]|\bsecurity (?:reason|polic)|\bcomplain|\bgreylist",
    r"\bprotocol (?:violation|error)|\bnot (?:allowed|permitted) to send",
    r"\bnot accept(?:ing|ed)? (?:mail|messages?) from",
    r"\bsmtp server of your isp|\bsender\b.{0,30}\b(?:unknown|invalid|does not exist)|\binvalid sender",
)
_NO_USER = _words(
    r"\b(?:user|recipient|account|mailbox|address(?:ee)?|alias|userid)\b.{0,12}\b(?:is |was )?(?:unknown|invalid)\b",
    r"\b(?:unknown|invalid|illegal|bad|non-?existent)\b.{0,20}\b(?:user|recipient|account|mailbox|alias|local.?part|userid|login|destination)",
    r"\bunknown address|\baddress (?:is )?unknown",
    r"\bno such (?:user|recipient|mailbox|address|person|account|local|domain user|name|customer)",
    r"\bno (?:mailbox|valid recipients?|user)\b",
    r"\b(?:user|recipient|mailbox|address|account|e-?mail|person|name|id)\b.{0,60}(?:\bnot|n't) exist",
    r"\b(?:user|recipient|mailbox|address|account|name|person|customer)\b.{0,40}"
    r"\b(?:not (?:found|recogni[sz]ed|known|listed|registered)|undeliverable"
    r"|no longer (?:exist|available|valid|in use|works|here))",
    r"\b(?:not|n't) (?:a |our |one of our )?(?:known|valid|local|customer|user)\b.{0,20}",
    r"\bnobody (?:here )?by that name|\brecipientnotfound|\bunrouteable address|\bnot our (?:user|customer)",
    r"\bdeactivated mailbox|\bmailbox (?:is )?(?:not available|unavailable or not local)",
)
_CERTAIN = _words(r"\b(?:doesn't|does not) have an?\b.{0,40}\baccount", r"\brecipientnotfound")
_NO_HOST = _words(
    r"\b(?:host|domain)\b(?: or \w+ name| name)?(?: \S+)?"
    r" (?:is )?(?:unknown|not found|not exist|does not exist|cannot be resolved)",
    r"\bunknown (?:host|domain)|\b(?:no|find any) (?:such )?(?:host|domain)\b|\bnxdomain\b",
    r"\bbad destination system",
    r"\bdomain (?:is )?not reachable|\bcouldn't find (?:any host|a mail exchanger)|\billegal host",
    r"\bno mx (?:record|host)|\bnull mx|\bhost lookup .{0,40}not exist",
    r"\bdoes not accept (?:e-?)?mail\b|\bno smtp service\b|\bunrouteable (?:mail )?domain",
    r"\bmx .{0,30}\bpoint\w* to nowhere",
    r"\bname (?:service error|server)\b.{0,80}\bhost not found",
)
_DISABLED = _words(
    r"\b(?:account|mailbox|user|address|recipient|compte)\b.{0,40}\b(?:disabled|suspended|inactive|deactivated|locked|frozen|blocked|bloque|closed|expired)",
    r"\b(?:disabled|suspended|inactive|deactivated) (?:account|mailbox|user|address|recipient)",
)
_EXPIRED = _words(
    r"\b(?:message|envelope|queue|delivery time)\b.{0,30}\bexpired|\btime[d]?[ -]?out\b",
    r"\bretry (?:timeout|time not)",
    r"\b(?:in|on) the queue (?:too|for too) long|\bconnection (?:refused|reset|lost|timed|dropped)",
    r"\bsocket error",
    r"\b(?:could|can|was)(?: ?not|n't)(?: \w+)* (?:connect|establish|reach)|\bunable to connect",
    r"\bhost (?:is )?not reachable",
    r"\bhost unreachable|\bno route to host|\bnetwork is unreachable|\btry again later|\btoo old\b",
    r"\bdid not accept our requests to connect",
    r"\bgiving up\b.{0,20}\bdays|\btemporar(?:y|ily)\b|\bcould not be delivered for\b|\bretry limit",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said of one recipient; `recipient` is as the report writes it, and may be empty."""

    kind: BounceKind
    status: str = ""
    recipient: str = ""
    reason: str = ""


def code_in(text: str) -> str:
    """Return the enhanced code in a server's words; of a bare reply code its class; empty without either."""
    found = _CODE_AFTER_REPLY.search(text) or _CODE.search(text)
    if found:
        return found[1]
    reply = _REPLY.search(text)
    return f"{reply[1]}.0.0" if reply else ""


def speaks_of_room(text: str) -> bool:
    """Tell whether words say that a mailbox is full."""
    return bool(_FULL.search(text))


def is_said(status: str) -> bool:
    """Tell whether a code says more than its class."""
    return bool(status) and not status.endswith(".0.0")


class Stage(StrEnum):
    """To what a server said its words, as far as a report tells."""

    BEFORE = "before"  # a connection, a greeting or MAIL: before the recipient was named
    RCPT = "rcpt"
    DATA = "data"  # or its end
    UNTOLD = ""


def judge(status: str, text: str, stage: Stage = Stage.UNTOLD) -> tuple[BounceKind, str]:
    """Return kind and reason in words.

    A server that took the address and calls it unknown after DATA speaks of the message: many filters do that. So a
    bare `550 user unknown`, with no code that says it too, is believed only when it was said to RCPT.
    """
    said = Said(
        status,
        " ".join(_CODES.sub(" ", ADDRESS.sub(" ", _URL.sub(" ", text))).split()),
        bool(_REPLY.search(text)),
        stage,
    )
    for decide in (_by_room, _by_policy, _by_address, _by_time):
        if found := decide(said):
            return found
    return BounceKind.UNCLASSIFIED, UNKNOWN


Found = tuple[BounceKind, str] | None


@dataclass(frozen=True, slots=True)
class Said:
    """What is judged: words without addresses and codes, and whether a reply of SMTP is among them."""

    status: str
    words: str
    is_reply: bool
    stage: Stage


def _by_room(said: Said) -> Found:
    status, words = said.status, said.words
    if status[1:] == ".2.2" or _FULL.search(words):
        return BounceKind.SOFT, "the mailbox is full"
    if status[1:] in (".3.4", ".2.3") or _BIG.search(words):
        return BounceKind.SOFT, "the message is too big"
    return None


def _by_policy(said: Said) -> Found:
    status, words = said.status, said.words
    if status[1:4] == ".7." and not (status == "5.7.27" and _NO_HOST.search(words)):
        return BounceKind.OURS, "a policy of the recipient's server"
    if status in ("5.1.7", "5.1.8"):
        return BounceKind.OURS, "our sender's address is refused"
    if _DISABLED.search(words):
        return None  # "the account is blocked" speaks of the account
    if _OURS.search(words):
        return BounceKind.OURS, "a block, filter or policy of the recipient's server"
    if said.stage is Stage.BEFORE:
        return BounceKind.OURS, "refused before the recipient was named"
    if status[1:4] == ".6.":
        return BounceKind.OURS, "our message's content is refused"
    return None


def _by_address(said: Said) -> Found:
    status, words = said.status, said.words
    if status in HARD:
        return BounceKind.HARD, HARD[status]
    if status == DISABLED:
        return BounceKind.HARD, "the mailbox is disabled"
    if status == "4.1.1" and said.stage is Stage.RCPT and _NO_USER.search(words):
        return BounceKind.HARD, "there is no such mailbox, said until the server gave up"
    if status.startswith("4."):
        return None
    if _NO_HOST.search(words):
        return BounceKind.HARD, HARD["5.1.2"]
    if _DISABLED.search(words):
        return BounceKind.SOFT, "the account is disabled"
    if _CERTAIN.search(words) or _NO_USER.search(words):
        bare = said.is_reply and said.stage is not Stage.RCPT and not is_said(status)
        if (bare or said.stage is Stage.DATA) and not _CERTAIN.search(words):
            return (
                BounceKind.UNCLASSIFIED,
                "called unknown, perhaps by a filter: not to RCPT, and without a code",
            )
        return BounceKind.HARD, HARD["5.1.1"]
    return None


def _by_time(said: Said) -> Found:
    status, words = said.status, said.words
    if status.startswith("4.") or status[1:4] == ".4." or _EXPIRED.search(words):
        return BounceKind.SOFT, "it could not be delivered in time"
    return None
