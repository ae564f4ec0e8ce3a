"""Characters that may not travel: what XML 1.0 refuses, lone surrogates, and what breaks a single line."""

from __future__ import annotations

import re

# XML 1.0 §2.2 refuses the C0 controls but tab, LF and CR, the surrogates, U+FFFE and U+FFFF. The C1 controls are
# allowed there and shown by nobody; they only come from bytes read in a wrong encoding.
_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_BREAKS = re.compile("\r\n?|\x85")
_LINE_NOISE = re.compile("[\u202a-\u202e\u2066-\u2069\ufeff]")


def strip_controls(text: str) -> str:
    """Remove what XML 1.0 refuses and write every line break as LF."""
    if text.replace("\n", "").isprintable():  # nothing of it is: told at a tenth of the cost
        return text
    text = _REFUSED.sub("", text)
    return _BREAKS.sub("\n", text) if "\r" in text or "\x85" in text else text


def clean_line(text: str) -> str:
    """Return one line of plain text: no controls, no bidirectional overrides, white space collapsed."""
    if text.isprintable() and "  " not in text and text[:1] != " " != text[-1:]:
        return text  # the only printable white space is U+0020, and none of the noise is printable
    # str.split() also splits at U+2028, U+2029 and the no-break spaces.
    return " ".join(_LINE_NOISE.sub("", strip_controls(text)).split())
