"""Quoted-printable (RFC 2045 §6.7) that no mail server has a reason to touch."""

from __future__ import annotations

import re

_COLUMNS = 73  # of an encoded line, before its first character is encoded (+2) and a soft break follows (+1)
_SPECIAL = re.compile(rb"[^\n -<>-~]")  # not printable ASCII, or `=`
_SPACES = re.compile(rb"^ |(?<= ) | $", re.M)  # at the start or end of a line, or behind another
_ESCAPED = tuple(b"=%02X" % byte for byte in range(256))


def quoted_printable(text: str) -> bytes:
    """Encode a text in lines of at most 76 columns, CRLF, ending in one.

    Lines are encoded apart: the encoding of a text is that of its lines, one after the other. The result has no
    run of white space, no tab and no white space at the start or end of a line, so it is its own relaxed form
    for DKIM (RFC 6376 §3.4.4); no line begins with a dot or with `From `.
    """
    lines: list[bytes] = []
    plain = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").encode()
    encoded = _SPECIAL.sub(_escape, plain)
    if any(run in b"\n%b\n" % encoded for run in (b"  ", b" \n", b"\n ")):
        encoded = _SPACES.sub(_escape, encoded)
    for line in encoded.split(b"\n"):
        _encode_line(line, lines)
    return b"\r\n".join(lines) + b"\r\n"


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
