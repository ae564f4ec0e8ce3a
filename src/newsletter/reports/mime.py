"""A message taken apart: its notice, its machine-readable reports, and the headers of the message it returns.

Whatever the bytes, nothing is raised and the work is bounded: in size, in parts and in depth.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from typing import TypeGuard

LARGEST = 1 << 20  # octets that are looked at; a returned message behind them says nothing of the failure
_NOTICE = 20_000  # characters
_BOUNDARIES = 60  # the parser compares every line with every open boundary
_PARTS = 100
_BLOCKS = 200
_HEADER = 2_000  # characters of a field
_CHARSET = re.compile(
    r"(?:us-)?ascii|utf-?(?:8|16(?:[bl]e)?)|iso-?8859-?\d{1,2}|iso-2022-(?:jp(?:-\d)?|kr)|(?:windows-|cp)\d{3,4}"
    r"|shift_?jis|euc-?(?:jp|kr)|big5|gb(?:2312|k|18030)|koi8-[ru]",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(?:style|script)\b.{0,5000}?</(?:style|script)>|<[a-z!/][^<>]{0,1000}>", re.I | re.S)
_END_OF_NOTICE = re.compile(
    r"^[ >*=-]*(?:"
    r"(?:below|enclosed|included|this|here) (?:this line )?is a copy of .{0,40}(?:message|header)"
    r"|(?:the )?(?:header of the )?(?:original|returned|unsent|undelivered|non-?delivered)"
    r" (?:message|mail)(?: header\w*)?"
    r"(?: (?:follows?|is following|as follows))?(?: *-+| *[.:])? *$"
    r"|message headers? follow|original mail as follows|--- below this line"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
_FIELD = re.compile(r"^([A-Za-z][\w-]{0,60}):[ \t]*(.*(?:\r?\n[ \t]+\S.*)*)", re.MULTILINE)

#: What the parser is known to raise on broken input, or might.
_BROKEN = (ValueError, LookupError, RecursionError, TypeError, AttributeError, AssertionError, MessageError)

Fields = dict[str, str]  # by name in lower case; of several the first


@dataclass(slots=True)
class Letter:
    """What was found; `returned` are the fields of the message that came back."""

    fields: Fields = field(default_factory=dict)
    recipients: list[str] = field(default_factory=list)  # texts of fields that name whom it was delivered to
    kind: str = ""  # of a multipart/report
    notice: str = ""
    status: list[Fields] = field(default_factory=list)
    feedback: Fields | None = None
    disposition: bool = False
    returned: Fields = field(default_factory=dict)
    returns_message: bool = False


_DELIVERED = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "to", "cc")


def take_apart(raw: bytes) -> Letter:
    """Take a message apart, whatever its bytes."""
    raw = raw[:LARGEST]
    letter = Letter()
    try:
        message = _parsed(raw)
        letter.fields = _fields_of(message)
        letter.recipients = [
            _text(value)
            for name, value in message.items()
            if name.lower() in _DELIVERED
            for value in (value,)
        ][:50]
        letter.kind = str(message.get_param("report-type") or "").lower()
        notices = list(_walk(message, letter, _PARTS))
    except _BROKEN:
        letter.fields = letter.fields or _fields_in(_decoded(raw[:20_000], "utf-8"))
        notices = [("plain", _decoded(raw[:_NOTICE], "utf-8"))]
    plain = [text for subtype, text in notices if subtype != "html"]
    text = "\n\n".join(plain if any(one.strip() for one in plain) else [strip_tags(t) for _, t in notices])
    _cut(text[: 4 * _NOTICE].replace("\r\n", "\n"), letter)
    return letter


def strip_tags(html: str) -> str:
    """Return the words of a page."""
    return re.sub(r"&(?:nbsp|#160);", " ", _TAG.sub(" ", html)).replace("&lt;", "<").replace("&gt;", ">")


def _parsed(raw: bytes) -> Message:
    if raw.lower().count(b"boundary") > _BOUNDARIES:
        raise ValueError("too many parts")
    return BytesParser(policy=compat32).parsebytes(raw)


def _fields_of(message: Message) -> Fields:
    found: Fields = {}
    for name, value in message.items()[:500]:
        found.setdefault(name.lower(), _text(value))
    return found


def _fields_in(text: str) -> Fields:
    found: Fields = {}
    for one in _FIELD.finditer(text[:_NOTICE]):
        found.setdefault(one[1].lower(), " ".join(one[2].split())[:_HEADER])
    return found


def _text(value: object) -> str:
    """Return a field's value as one line of text."""
    text = str(value)[:_HEADER]
    if "=?" in text:
        try:
            pieces = decode_header(text)
            text = "".join(
                _decoded(one, charset or "ascii") if isinstance(one, bytes) else one
                for one, charset in pieces
            )
        except (ValueError, LookupError, binascii.Error, MessageError):
            pass
    return " ".join(text.encode("utf-8", "replace").decode("utf-8", "replace").split())


def _decoded(raw: bytes, charset: str) -> str:
    name = charset if _CHARSET.fullmatch(charset) else "utf-8"
    try:
        return raw.decode(name, "replace").replace("\0", " ")
    except (LookupError, ValueError):
        return raw.decode("latin-1").replace("\0", " ")


def _walk(message: Message, letter: Letter, budget: int) -> Iterator[tuple[str, str]]:
    """Give the texts of a message in their order, noting what else it holds."""
    waiting = [message]
    while waiting and budget:
        budget -= 1
        part = waiting.pop(0)
        kind, below = part.get_content_type(), part.get_payload()
        if kind in ("message/delivery-status", "message/global-delivery-status"):
            letter.status += _blocks(part)
        elif kind == "message/feedback-report":
            letter.feedback = next(iter(_blocks(part)), {})
        elif kind == "message/disposition-notification":
            letter.disposition = True
        elif kind in ("message/rfc822", "message/global"):
            if _is_report(below) and not letter.status:
                waiting = [*below, *waiting]  # a report that was passed on
                continue
            _note_returned(
                letter,
                _fields_of(below[0])
                if isinstance(below, list) and below and isinstance(below[0], Message)
                else _fields_in(_body(part)),
            )
        elif kind in ("text/rfc822-headers", "message/global-headers", "message/rfc822-headers"):
            _note_returned(letter, _fields_in(_body(part)))
        elif isinstance(below, list):
            waiting = [one for one in below if isinstance(one, Message)] + waiting
        elif part.get_content_maintype() in ("text", "multipart") and not letter.returns_message:
            yield part.get_content_subtype(), _body(part)  # a multipart whose parts were not found is text


def _is_report(below: object) -> TypeGuard[list[Message]]:
    return (
        isinstance(below, list)
        and bool(below)
        and isinstance(below[0], Message)
        and below[0].get_content_type() == "multipart/report"
    )


def _note_returned(letter: Letter, fields: Fields) -> None:
    letter.returns_message = True
    letter.returned = letter.returned or fields


def _blocks(part: Message) -> list[Fields]:
    """Return the groups of fields of a machine-readable report."""
    below = part.get_payload()
    if not isinstance(below, list):
        return [one for one in map(_fields_in, re.split(r"\n\s*\n", _body(part))) if one]
    blocks = [_fields_of(one) for one in below[:_BLOCKS] if isinstance(one, Message)]
    if not any(blocks):  # a report in base64, which is not allowed and happens
        text = "".join(str(one.get_payload()) for one in below[:_BLOCKS] if isinstance(one, Message))
        blocks = [_fields_in(one) for one in re.split(r"\r?\n\s*\r?\n", _from_base64(text))]
    return [one for one in blocks if one]


def _from_base64(text: str) -> str:
    compact = re.sub(r"[^A-Za-z0-9+/]", "", text[:LARGEST])
    compact = compact[: len(compact) - (len(compact) % 4 == 1)]
    return _decoded(b64decode(compact + "=" * (-len(compact) % 4)), "utf-8")


def _body(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        payload = "\n".join(str(one.get_payload()) for one in part.walk() if not one.is_multipart()).encode(
            "utf-8", "replace"
        )
    return _decoded(payload[: 4 * _NOTICE], str(part.get_param("charset") or "utf-8"))


def _cut(text: str, letter: Letter) -> None:
    """Keep of the text what stands before the returned message, and read that message's fields."""
    end = _END_OF_NOTICE.search(text)
    letter.notice = text[: end.start() if end else _NOTICE][:_NOTICE]
    if end and not letter.returned:
        letter.returned = _fields_in(text[end.end() :])
