"""Read a report: DSNs (RFC 3464, RFC 6533), complaints (RFC 5965), notices in prose, and automatic replies.

bytes > mime (parts) > statements about recipients > verdicts (kind, status, reason) > Report
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from newsletter.model import BounceKind
from newsletter.reports.mime import Fields, Letter, take_apart
from newsletter.reports.verdicts import (
    ADDRESS,
    UNKNOWN,
    Stage,
    Verdict,
    code_in,
    is_said,
    judge,
    speaks_of_room,
)

_SENDER = re.compile(
    r"mailer[-_ .]?daemon|post-?master|mail[-_. ]?delivery|mail administrator|^\s*<>\s*$|delivery.{0,12}system",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"undeliver\w*|(?:un)?deliver\w* (?:status|fail\w*|report|notif\w*|delay\w*|problem|has failed)"
    r"|returned? (?:mail|to sender)|fail\w* (?:notice|delivery|to deliver)|non[- ]?deliver"
    r"|(?:mail|message) (?:system error|delivery|could not)|could not send"
    r"|warning: (?:message|could not)|error sending your mail|delivery (?:error|to)\b",
    re.IGNORECASE,
)
_AUTO_SUBJECT = re.compile(
    r"^(?:auto(?:matic)?[- ]?(?:reply|response|antwort)|autoreply|out of (?:the )?office|vacation|away from"
    r"|on (?:holiday|leave|vacation)|abwesen\w*|automatische antwort|r[ée]ponse automatique|absence|afwezig\w*"
    r"|automatisch antwoord|respuesta autom\w*|risposta automatica)",
    re.IGNORECASE,
)
_COMPLAINT = re.compile(r"^complaint about message from\b", re.IGNORECASE)
_LINE = re.compile(
    r"^[ \t]*(?:[-*•]+[ \t]*|[45]\d\d[ -])?"
    r"(?:recipient(?: address)?:|to:?|rcpt to:|could not be delivered to:?|unable to deliver message to:?)?"
    r"[ \t]*[<\"']{0,2}"
    rf"({ADDRESS.pattern})[>\"']{{0,2}}[ \t]*(?=$|[:.,;\[( ])",
    re.IGNORECASE | re.MULTILINE,
)
_AFTER_DATA = re.compile(
    r"in reply to (?:the )?(?:end of )?data|after (?:end of data|i sent the message|data)"
    r"|did not like our (?:final )?data"
    r"|>>> data\s+<<< [45]|smtp command\s+data\b|response to (?:end of )?data|for text command",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"in reply to (?:mail from|ehlo|helo|end of)|after (?:mail from|initial connection|ehlo|helo)|\[mail_from\]"
    r"|sender was rejected|refused to talk to me|did not like our (?:mail from|ehlo|helo)",
    re.IGNORECASE,
)
_AT_RCPT = re.compile(
    r"in reply to rcpt|\brcpt[ _]to\b|\brcpt command|smtp:rcpt|does not like recipient|\bto rcpt\b",
    re.IGNORECASE,
)
_DELAY_SUBJECT = re.compile(r"\bdelay(?:ed)?\b|^warning: (?:message|could not send)", re.IGNORECASE)
_DELAY = re.compile(
    r"\bwarning message only|\bnot yet been delivered|\b(?:will be retried|attempts will continue)"
    r"|\bwill (?:keep|continue) trying",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"\b(?:could ?n[o']t be|not be|unable to be|wasn't) (?:sent|delivered)|undeliver|unable to deliver",
    re.IGNORECASE,
)
_FUNCTION = re.compile(r"^(?:mailer-daemon|postmaster|abuse|support|info|help|no-?reply)@", re.IGNORECASE)
DELAYED = "only delayed: the server still tries"
_LOCAL_TYPES = ("x-unix", "unix")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a message says, and by what it may be matched with a delivery.

    `said` are the words of the server that refused, `addresses` texts in which the address may stand to which it
    came (so the token), `digest` is the same however often and by whatever way a report comes.
    """

    verdicts: tuple[Verdict, ...]
    said: str = ""
    addresses: tuple[str, ...] = ()
    envelope_id: str = ""
    message_id: str = ""
    subject: str = ""
    digest: str = ""

    @property
    def verdict(self) -> Verdict:
        """The verdict that weighs most: a report of our own messages has one recipient."""
        return self.about("")

    def about(self, address: str) -> Verdict:
        """Return the verdict on an address; on all of them when none is of that address."""
        order = list(BounceKind)
        of_it = [one for one in self.verdicts if address and one.recipient.casefold() == address.casefold()]
        return min(of_it or self.verdicts, key=lambda one: order.index(one.kind))


def read(raw: bytes, *, envelope: Sequence[str] = ()) -> Report:
    """Read a message as a report, whatever its bytes; `envelope` are the recipients it came for."""
    letter = take_apart(raw)
    verdicts, said = _judged(letter)
    returned, status = letter.returned, letter.status[0] if letter.status else {}
    feedback = letter.feedback or {}
    return Report(
        verdicts=verdicts,
        said=" ".join(said.split())[:500],
        addresses=tuple(
            one
            for one in (
                *envelope,
                *letter.recipients,
                feedback.get("original-mail-from", ""),
                returned.get("return-path", ""),
            )
            if one
        ),
        envelope_id=status.get("original-envelope-id", ""),
        message_id=returned.get("message-id", "")[:300],
        subject=letter.fields.get("subject", ""),
        digest=_digest(raw, letter.fields),
    )


def _digest(raw: bytes, fields: Fields) -> str:
    """Hash what no further hop changes: who, when, what; not the trace on top."""
    body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[2].rstrip()
    head = json.dumps([fields.get(name, "") for name in ("message-id", "date", "from", "subject", "to")])
    return hashlib.sha256(head.encode() + b"\0" + body).hexdigest()


def _judged(letter: Letter) -> tuple[tuple[Verdict, ...], str]:
    if letter.feedback is not None or letter.kind == "feedback-report":
        return (_complaint(letter),), ""
    blocks = [one for one in letter.status if "action" in one or "status" in one or "final-recipient" in one]
    if blocks:
        found = [_by_status(one, letter, alone=len(blocks) == 1) for one in blocks]
        return tuple(verdict for verdict, _ in found), found[0][1]
    if _COMPLAINT.match(letter.fields.get("subject", "")) and letter.returns_message:
        return (_of(BounceKind.COMPLAINT, letter, "the reader called it spam"),), ""
    if (notified := _notification(letter.notice)) is not None:
        return (notified,), ""
    if _is_auto_reply(letter):
        return (_of(BounceKind.AUTO_REPLY, letter, "an automatic reply"),), ""
    if _is_notice(letter):
        return _by_notice(letter)
    return (_of(BounceKind.UNCLASSIFIED, letter, "not a report"),), ""


def _of(kind: BounceKind, letter: Letter, reason: str, recipient: str = "") -> Verdict:
    return Verdict(kind=kind, recipient=recipient, reason=reason)


def _complaint(letter: Letter) -> Verdict:
    feedback = letter.feedback or {}
    kind = feedback.get("feedback-type", "abuse").lower()
    recipient = address_in(feedback.get("original-rcpt-to", "") or letter.returned.get("to", ""))
    if kind == "not-spam":
        return _of(BounceKind.UNCLASSIFIED, letter, "the reader called it no spam", recipient)
    if kind.startswith(("auth-failure", "dkim", "dmarc")):
        return _of(BounceKind.OURS, letter, "a report of failed authentication", recipient)
    if kind.startswith("opt-out"):
        return _of(BounceKind.COMPLAINT, letter, "the reader wants no more of it", recipient)
    return _of(BounceKind.COMPLAINT, letter, f"the reader complained ({kind[:20]})", recipient)


# Delivery status notifications


def _by_status(block: Fields, letter: Letter, *, alone: bool) -> tuple[Verdict, str]:
    """Judge one recipient's fields; what they leave open is looked up in the notice.

    What contradicts itself is taken for the milder: a mailbox that the notice calls full is not gone.
    """
    final = address_in(block.get("final-recipient", ""))
    recipient = address_in(block.get("original-recipient", "")) or final
    recipient = recipient or address_in(block.get("x-actual-recipient", ""))
    status = code_in(block.get("status", ""))
    action = block.get("action", "failed").lower().strip()
    if action.startswith(("delayed", "delivered", "relayed", "expanded")):
        reason = DELAYED if action.startswith("delayed") else f"no failure: {action[:20]}"
        return Verdict(kind=BounceKind.UNCLASSIFIED, status=status, recipient=recipient, reason=reason), ""
    local, words = _diagnostic(block)
    excerpt = _about(letter.notice, [one for one in (final, recipient) if one], alone=alone)
    words = words or block.get("status", "").partition("(")[2] or excerpt
    said = "" if local else code_in(words)
    status = said if is_said(said) else status or said
    stage = _stage(excerpt)
    if stage is Stage.UNTOLD and words is not excerpt:
        stage = Stage.RCPT  # a standard report of a server's own words, and nothing says otherwise
    expired = " delivery time expired" if action == "expired" else ""
    kind, reason = judge(status, words + expired, stage)
    if reason == UNKNOWN and alone and excerpt != words:
        kind, reason = judge(status, f"{words} {excerpt}")
    if kind is BounceKind.HARD and speaks_of_room(excerpt):
        kind, reason = BounceKind.SOFT, "the mailbox is full"
    if kind is BounceKind.HARD and local:
        kind, reason = BounceKind.UNCLASSIFIED, "a program at the recipient's failed"
    return Verdict(kind=kind, status=status, recipient=recipient, reason=reason), words


def _diagnostic(block: Fields) -> tuple[bool, str]:
    """Return whether a local program said it, and the words; empty when they are a bare number."""
    kind, _, words = block.get("diagnostic-code", "").partition(";")
    if not words:
        kind, words = "", kind
    if not is_said(code_in(words)) and len(words.split()) < 2:
        words = ""
    return kind.strip().lower() in _LOCAL_TYPES, words


def _stage(text: str) -> Stage:
    if _AFTER_DATA.search(text):
        return Stage.DATA
    if _BEFORE.search(text):
        return Stage.BEFORE
    return Stage.RCPT if _AT_RCPT.search(text) else Stage.UNTOLD


def _about(notice: str, names: Sequence[str], *, alone: bool) -> str:
    """Return what a notice says of an address: from its name to the next empty line; all of it when it is alone."""
    if alone:
        return notice
    found = []
    for name in dict.fromkeys(names):
        for one in re.finditer(re.escape(name), notice, re.IGNORECASE):
            end = notice.find("\n\n", one.end())
            piece = notice[one.start() : end if end >= 0 else len(notice)]
            other = _LINE.search(piece, len(name) + 1)
            found.append(piece[: other.start()] if other else piece)
    return "\n".join(found[:20])


# Notices in prose


def _is_notice(letter: Letter) -> bool:
    fields = letter.fields
    return bool(
        _SENDER.search(fields.get("from", ""))
        or fields.get("return-path", "").strip() == "<>"
        or "x-failed-recipients" in fields
        or _SUBJECT.search(fields.get("subject", ""))
        or letter.kind == "delivery-status"
        or (letter.returns_message and _FAILED.search(letter.notice))
    )


def _is_auto_reply(letter: Letter) -> bool:
    fields = letter.fields
    submitted = fields.get("auto-submitted", "").lower()
    if letter.disposition:
        return True
    if _SENDER.search(fields.get("from", "")) or "x-failed-recipients" in fields:
        return False
    return (
        submitted.startswith("auto-replied")
        or bool({"x-autoreply", "x-autorespond", "x-autoresponder"} & fields.keys())
        or fields.get("precedence", "").lower() in ("auto_reply", "auto-reply")
        or bool(_AUTO_SUBJECT.match(fields.get("subject", "")))
    )


def _by_notice(letter: Letter) -> tuple[tuple[Verdict, ...], str]:
    notice = letter.notice
    listed = [one.strip() for one in letter.fields.get("x-failed-recipients", "").split(",") if "@" in one]
    sections = list(_sections(notice))
    if _is_delay(letter):
        name = (listed or [one for one, _ in sections] or [address_in(notice)])[0]
        return (Verdict(kind=BounceKind.UNCLASSIFIED, recipient=name, reason=DELAYED),), ""
    found = [_by_words(name, text, notice) for name, text in sections]
    clear = [one for one in found if one.kind is not BounceKind.UNCLASSIFIED]
    if clear:
        return tuple(clear), sections[0][1]
    name = (listed or [one for one, _ in sections] or [address_in(notice)])[0]
    return (_by_words(name, notice, notice),), notice


def _is_delay(letter: Letter) -> bool:
    return bool(_DELAY_SUBJECT.search(letter.fields.get("subject", "")) or _DELAY.search(letter.notice))


def _sections(notice: str) -> Iterator[tuple[str, str]]:
    """Give the lines that begin with an address, each with what follows up to the next."""
    starts: list[re.Match[str]] = []
    for one in _LINE.finditer(notice):
        if not _FUNCTION.match(one[1]) and not (starts and starts[-1][1] == one[1]) and len(starts) < 200:
            starts.append(one)
    for number, one in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(notice)
        yield one[1].rstrip("."), notice[one.start() : end]


def _by_words(name: str, text: str, notice: str) -> Verdict:
    status = code_in(text)
    kind, reason = judge(status, text, _stage(text) or _stage(notice))
    return Verdict(kind=kind, status=status, recipient=name, reason=reason)


def address_in(text: str) -> str:
    """Return the first address in a text, without a type before it; empty when there is none."""
    found = ADDRESS.search(text.partition(";")[2] if ";" in text else text)
    return found[0].strip(".") if found else ""


# Notifications of a large service, as JSON


def _notification(notice: str) -> Verdict | None:
    """Read the JSON by which a service tells of bounces and complaints; None when it is none."""
    start = notice.find("{")
    if start < 0 or notice[:start].strip() or '"notificationType"' not in notice:
        return None
    text = re.sub(r"\n ?", "", notice[start:])
    kind = re.search(r'"notificationType" ?: ?"(\w+)"', text)
    address = re.search(r'"emailAddress" ?: ?"([^"\\]{3,300})"', text)
    recipient = address_in(address[1]) if address else ""
    if kind and kind[1] == "Complaint":
        return Verdict(kind=BounceKind.COMPLAINT, recipient=recipient, reason="the reader complained")
    if not kind or kind[1] != "Bounce":
        return None
    status, words = (
        found[1] if (found := re.search(rf'"{name}" ?: ?"([^"\\]{{1,500}})', text)) else ""
        for name in ("status", "diagnosticCode")
    )
    judged, reason = judge(code_in(words) or code_in(status), words)
    return Verdict(kind=judged, status=code_in(words) or code_in(status), recipient=recipient, reason=reason)
