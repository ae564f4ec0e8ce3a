"""Header fields as bytes, each folded so that every mail server passes it on unchanged.

Written here and not by `email.policy`, which turns a long List-* URI, Feedback-ID or Message-ID into an encoded
word (that breaks one-click unsubscribing) and has folded quoted names so that another address appeared. A value
with a line break, a control character or a bidirectional override is refused, never repaired.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

import idna

from newsletter.errors import InputError

WIDTH = 76  # columns a line should have; a token that is longer stands alone on its line
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+( [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LOCAL = re.compile(r"[^\s@\"(),:;<>\[\\\]]+")
_LINE_LIMIT = 998  # octets (RFC 5321 §4.5.3.1.6)
_AROUND = 12  # characters of an encoded word around its base64


def checked(value: str, where: str) -> str:
    """Return a value that may stand in a header, or raise InputError."""
    found = _FORBIDDEN.search(value)
    if found is not None:
        raise InputError(
            f"a header may not contain the character U+{ord(found[0]):04X}",
            where=where,
            remedy="Remove it where the value comes from",
        )
    return value


def ascii_address(address: str, where: str) -> str:
    """Return an address with its domain in IDNA form (UTS 46); a non-ASCII local part stays as it is."""
    local, _, domain = checked(address, where).rpartition("@")
    encoded = _ascii_domain(domain)
    plain = _LOCAL.fullmatch(local) and ".." not in local and local[0] != "." and local[-1] != "."
    if not encoded or not plain or len(local.encode()) > 64 or len(encoded) > 253:
        raise InputError(
            f"{address[:80]!r} is not an e-mail address", where=where, remedy="Correct it where it comes from"
        )
    return f"{local}@{encoded}"


@lru_cache(maxsize=4096)
def _ascii_domain(domain: str) -> str:
    """Return a domain in IDNA form, nothing for what is none."""
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return ""


def text(name: str, value: str) -> bytes:
    """Write an unstructured field (RFC 5322 §3.6.5); what is not plain ASCII becomes encoded words (RFC 2047)."""
    value = " ".join(checked(value, name).split())
    if value.isascii() and "=?" not in value and all(len(word) <= WIDTH for word in value.split(" ")):
        return _fold(name, value.split(" "))
    return _fold(name, _encoded_words(value, name))


def mailbox(name: str, address: str, display: str = "") -> bytes:
    """Write an address field with one mailbox; the address is one of `ascii_address`."""
    bare = f"<{address}>" if display else address
    return _fold(name, [*_phrase(" ".join(checked(display, name).split()), name), bare])


def tokens(name: str, *values: str) -> bytes:
    """Write a field of tokens that are never encoded nor broken: URIs in angle brackets, ids."""
    for value in values:
        checked(value, name)
        if not value.isascii() or " " in value:
            raise InputError(f"{value[:80]!r} must be ASCII without spaces", where=name, remedy="Correct it")
    return _fold(name, [f"{value}," for value in values[:-1]] + [values[-1]])


def date(name: str, when: datetime) -> bytes:
    """Write a date field in UTC (RFC 5322 §3.3)."""
    return f"{name}: {format_datetime(when.astimezone(UTC))}\r\n".encode()


def are_canonical(fields: Sequence[bytes]) -> bool:
    """Tell whether fields of ours are ASCII in lines that no mail server would have to break.

    They have no control character (`checked`), and their lines begin with a name or a space.
    """
    return all(len(field) <= _LINE_LIMIT and field.isascii() for field in fields)


def _phrase(display: str, name: str) -> list[str]:
    """Return a display name as atoms, a quoted string or encoded words (RFC 5322 §3.2.5)."""
    if not display:
        return []
    if not display.isascii() or "=?" in display or len(display) > 400:
        return _encoded_words(display, name)
    if _ATOMS.fullmatch(display):
        return display.split(" ")
    escaped = display.replace("\\", "\\\\").replace('"', '\\"')
    return [
        f'"{escaped}"'
    ]  # on one line, however long: spam filters read neither several nor an encoded one well


def _encoded_words(value: str, name: str) -> list[str]:
    """Return encoded words (RFC 2047) that fit on their lines, the first beside the field's name."""
    room, later = (3 * ((WIDTH - before - _AROUND) // 4) for before in (len(name) + 2, 1))
    words: list[str] = []
    piece = b""
    for character in value:
        encoded = character.encode()
        if len(piece) + len(encoded) > room:
            words.append(_word(piece))
            piece, room = b"", later
        piece += encoded
    return [*words, _word(piece)]


def _word(piece: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(piece).decode()}?="


def _fold(name: str, words: list[str]) -> bytes:
    lines = [f"{name}:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > WIDTH and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    return ("\r\n".join(lines) + "\r\n").encode()
