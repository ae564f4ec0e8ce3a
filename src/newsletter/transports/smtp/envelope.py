"""What may stand on the wire: addresses and contents that need no repair, because none is ever made."""

from __future__ import annotations

import re
import unicodedata

from newsletter.model import Message

_LOCAL_PART = re.compile(r"[^\s<>()\[\]:;,\\\"@]+")
_DOMAIN = re.compile(r"[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)*")
_LITERAL = re.compile(r"\[[0-9A-Za-z.:]{2,60}\]")
_LINE_LIMIT = 998  # octets without CRLF (RFC 5321 §4.5.3.1.6)


def address_fault(address: str) -> str:
    """Say what keeps an address from going into an envelope exactly as it is; empty when nothing does."""
    odd = next((c for c in address if not c.isprintable() or unicodedata.category(c)[0] in "CZ"), "")
    if odd:
        return f"holds the character U+{ord(odd):04X}, which no envelope can carry"
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL_PART.fullmatch(local) or len(local.encode()) > 64:
        return "has no well-formed part before the @"
    if not (_DOMAIN.fullmatch(domain) or _LITERAL.fullmatch(domain)) or len(address.encode()) > 254:
        return "has no well-formed domain"
    return ""


def content_fault(content: bytes) -> str:
    """Say what in the bytes of a message would change on the wire; empty when nothing would."""
    ends = content.count(b"\r\n")
    if content.count(b"\n") != ends or content.count(b"\r") != ends:
        return "has a bare CR or LF"
    if b"\0" in content:
        return "has a NUL"
    if not content.endswith(b"\r\n"):
        return "does not end with CRLF"
    if max(map(len, content.split(b"\r\n"))) > _LINE_LIMIT:
        return f"has a line of more than {_LINE_LIMIT} octets"
    return ""


def stuff(content: bytes) -> bytes:
    """Double the dot at the start of a line (RFC 5321 §4.5.2)."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def needs_smtputf8(message: Message) -> bool:
    """Tell whether address or headers are outside ASCII (RFC 6531)."""
    if not (message.recipient.isascii() and message.sender.isascii()):
        return True
    return not message.content.isascii() and not message.content.partition(b"\r\n\r\n")[0].isascii()
