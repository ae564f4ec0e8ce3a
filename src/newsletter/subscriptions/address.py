"""Addresses and names of people: refused when they could be read as anything else, never repaired."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from newsletter.errors import InputError

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_PLAIN = re.compile(rf"((?=.{{1,64}}@){_ATEXT}+(?:\.{_ATEXT}+)*)@([A-Za-z0-9.-]+)")  # RFC 5321 Dot-string
LONGEST_NAME = 200  # characters
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # control, bidi and zero-width, surrogates, …
_HOST = re.compile(  # letters, digits and hyphens alone, nothing that IDNA would read as its own
    r"(?:(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"(?!..--)[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z])?"
)
_JOINERS = "\u200c\u200d"  # needed to write names in Persian, Hindi and others


def normalise(address: str) -> str:
    """Return the address in one spelling: NFC, the domain in lower case and IDNA where the rest is ASCII.

    Raises InputError, which says what is wrong with it.
    """
    if unseen(address):
        raise InputError("the address holds a character that cannot be seen", remedy="Type it anew")
    plain = _PLAIN.fullmatch(address)
    if plain is None or len(address) > 254:
        return _validated(address)
    return f"{plain[1]}@{_domain(plain[2])}"


def _validated(address: str) -> str:
    from email_validator import EmailNotValidError, validate_email

    try:
        valid = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError as e:
        raise InputError(f"not an e-mail address: {str(e).rstrip('.')}", remedy="Correct it") from e
    return valid.ascii_email or valid.normalized


@lru_cache(maxsize=16_384)
def _domain(domain: str) -> str:
    """Validate a domain once for all who have their mailbox there; plain ones need no library."""
    plain = domain.lower()
    if _HOST.fullmatch(domain) and not f".{plain}".endswith(_special()):
        return plain
    return _validated(f"postmaster@{domain}").partition("@")[2]


@lru_cache(maxsize=1)
def _special() -> tuple[str, ...]:
    """Return the ends of domains that no mail can be sent to, such as .invalid."""
    from email_validator import SPECIAL_USE_DOMAIN_NAMES

    return tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES if name != "test")


def name_of(text: str) -> str:
    """Return a person's name as it was given, or raise InputError."""
    if not text.isprintable() and unseen(text.translate(dict.fromkeys(map(ord, _JOINERS)))):
        raise InputError("the name holds a character that cannot be seen", remedy="Type it anew")
    if len(text) > LONGEST_NAME:
        raise InputError(f"the name is longer than {LONGEST_NAME} characters", remedy="Shorten it")
    return text


def unseen(text: str) -> bool:
    """Tell whether a text holds control, bidi or other invisible characters."""
    return not text.isprintable() and any(unicodedata.category(character) in _UNSEEN for character in text)
