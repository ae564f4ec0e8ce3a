"""Tokens: what a link or an envelope carries so that only we could have made it.

`KEYID.SUBJECT.MAC`: the MAC is HMAC-SHA256 over purpose, key id and subject, cut to 130 bits and written in
lower-case base32. Every character may stand in a URL's path and in the local part of an address; a token
that a mail server has put into upper case still reads. A token is 28 characters longer than its key id and
subject together, so at most 60 for ids of numbers.
"""

from __future__ import annotations

import hmac
import re
from enum import StrEnum

from newsletter.errors import TokenError

Keys = tuple[tuple[str, bytes], ...]  # (key id, key), newest first

LONGEST = 160  # characters; anything longer is refused unread
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [one + other for one in _BASE32 for other in _BASE32]
_SHIFTS = range(120, -1, -10)  # of the 130 bits, two characters at a time
_SUBJECT = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_TOKEN = re.compile(r"([a-z0-9]{1,8})\.([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.([a-z2-7]{26})", re.ASCII)
_NO_KEY = b"\0" * 32  # compared against when the key id is not ours, so that the answer takes as long
_REMEDY = "Use the whole link as it stands in the message"


class Purpose(StrEnum):
    """What a token is good for, and nothing else."""

    UNSUBSCRIBE = "u"
    BOUNCE = "b"
    PREFERENCES = "p"
    CONFIRM = "c"
    FEED = "f"
    FORM = "s"  # when a form was shown


def make(keys: Keys, purpose: Purpose, subject: str) -> str:
    """Return the token for a subject of dotted words `[a-z0-9_-]`, made with the newest key."""
    if not _SUBJECT.fullmatch(subject):
        raise ValueError(f"not a token's subject: {subject!r}")
    key_id, key = keys[0]
    token = f"{key_id.lower()}.{subject}.{_mac(key, key_id, purpose, subject)}"
    if len(token) > LONGEST:
        raise ValueError(f"too long for a token: {subject!r}")
    return token


def read(keys: Keys, purpose: Purpose, token: str) -> str:
    """Return the subject of a token that any of the keys made for this purpose.

    Raises TokenError, which never repeats the token.
    """
    match = _TOKEN.fullmatch(token.lower()) if len(token) <= LONGEST else None
    if match is None:
        raise TokenError("the token is malformed", remedy=_REMEDY)
    key_id, subject, given = match.groups()
    ours = [(one, key) for one, key in keys if one.lower() == key_id] or [(key_id, _NO_KEY)]
    good = [hmac.compare_digest(_mac(key, one, purpose, subject), given) for one, key in ours]
    if not any(good) or ours[0][1] is _NO_KEY:
        raise TokenError("the token is not ours, or was made for another purpose", remedy=_REMEDY)
    return subject


def _mac(key: bytes, key_id: str, purpose: Purpose, subject: str) -> str:
    said = "\0".join(("newsletter token", purpose.value, key_id.lower(), subject))
    number = int.from_bytes(hmac.digest(key, said.encode(), "sha256")[:17], "big") >> 6
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
