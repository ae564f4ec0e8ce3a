"""Quoted-printable (RFC 2045 §6.7) that no mail server has a reason to touch, and bodies compiled into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from operator import itemgetter

from newsletter.digest.slots import Slot

_COLUMNS = 73  # of an encoded line, before its first character is encoded (+2) and a soft break follows (+1)
_SPECIAL = re.compile(rb"[^\n -<>-~]")  # not printable ASCII, or `=`
_SPACES = re.compile(rb"^ |(?<= ) | $", re.M)  # at the start or end of a line, or behind another
_ESCAPED = tuple(b"=%02X" % byte for byte in range(256))
_AS_IT_IS = re.compile(r"(?!From )[!-\-/-<>-~](?:[!-<>-~]|(?<! ) (?! |\Z)){0,72}")
_SOFT = b"=\r\n"


def quoted_printable(text: str) -> bytes:
    """Encode a text in lines of at most 76 columns, CRLF, ending in one.

    Lines are encoded apart: the encoding of a text is that of its lines, one after the other. The result has no
    run of white space, no tab and no white space at the start or end of a line, so it is its own relaxed form
    for DKIM (RFC 6376 §3.4.4); no line begins with a dot or with `From `.
    """
    return _encode(text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")) + b"\r\n"


def _encode(text: str) -> bytes:
    """Encode a text that begins on a line of its own, without a line end behind it."""
    lines: list[bytes] = []
    encoded = _SPECIAL.sub(_escape, text.encode())
    if any(run in b"\n%b\n" % encoded for run in (b"  ", b" \n", b"\n ")):
        encoded = _SPACES.sub(_escape, encoded)
    for line in encoded.split(b"\n"):
        _encode_line(line, lines)
    return b"\r\n".join(lines)


def _escape(found: re.Match[bytes]) -> bytes:
    return _ESCAPED[found[0][0]]


def _encode_line(line: bytes, lines: list[bytes]) -> None:
    start = 0
    while len(line) - start > _COLUMNS:
        end = start + _COLUMNS
        cut = line.rfind(b"=", end - 2, end)
        end = cut if cut >= 0 else end
        lines.append(_safe_start(line[start:end]) + b"=")
        start = end
    lines.append(_safe_start(line[start:]))


def _safe_start(line: bytes) -> bytes:
    if line.startswith((b".", b" ", b"From ")):
        return b"=%02X" % line[0] + line[1:]
    return line


class Segments:
    """A body compiled into bytes that are the same for everybody, with slots between them.

    `slots` are the different ones, `count` is the number of places. A value stands on lines of its own, between soft
    line breaks, so it is encoded alone, once for each reader and kind of place, however often it occurs.
    """

    def __init__(self, pieces: Iterable[bytes | str | Slot]) -> None:
        """Compile what is encoded already (bytes), what is not yet (text, ending in a newline or at a slot), slots."""
        self.slots: list[Slot] = []
        self._fixed: list[bytes] = [b""]
        order: list[int] = [0]
        behind = False  # a slot
        for piece in pieces:
            if isinstance(piece, Slot):
                if behind:
                    self._fixed[-1] = _SOFT
                if piece not in self.slots:
                    self.slots.append(piece)
                order += [-1 - self.slots.index(piece), len(self._fixed)]
                self._fixed.append(b"")
                behind = True
            else:
                self._fixed[-1] += piece if isinstance(piece, bytes) else _between(piece, behind=behind)
                behind = False
        self.count = sum(one < 0 for one in order)
        kept = len(self._fixed)
        self._pick = itemgetter(0, *(one if one >= 0 else kept - 1 - one for one in order[1:]))

    def fill(self, values: Mapping[str, str]) -> bytes:
        """Return the body for one reader."""
        if not self.slots:
            return self._fixed[0]
        filled = [encode_value(slot.escape(values[slot.field])) for slot in self.slots]
        return b"".join(self._pick(self._fixed + filled))


def encode_value(value: str) -> bytes:
    """Encode a slot's value, which is one line."""
    return value.encode() if _AS_IT_IS.fullmatch(value) else _encode(value)


def _between(text: str, *, behind: bool) -> bytes:
    """Encode the text between slots: soft breaks lead to it and away from it, unless lines begin or end there."""
    head, tail = b"", b""
    if behind:
        head, text = (b"\r\n", text[1:]) if text.startswith("\n") else (_SOFT, text)
        if not text:
            return head
    if text.endswith("\n"):
        tail, text = b"\r\n", text[:-1]
    elif text:
        tail = _SOFT
    return head + _encode(text) + tail if text or tail else head
