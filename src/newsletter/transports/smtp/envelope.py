"""What may stand on the wire: addresses and contents that need no repair, because none is ever made."""

from __future__ import annotations

import re
import unicodedata

from newsletter.model import Message, Outcome, Stage
from newsletter.transports import Capabilities
from newsletter.transports.replies import Reply

_LOCAL_PART = re.compile(r"[^\s<>()\[\]:;,\\\"@]+")
_DOMAIN = re.compile(r"[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)*")
_LITERAL = re.compile(r"\[[0-9A-Za-z.:]{2,60}\]")
_LINE_LIMIT = 998  # octets without CRLF (RFC 5321 §4.5.3.1.6)
_PRINTABLE = re.compile(r"[ -~]+")
_SIMPLE = re.compile(r"[!-~]+")  # nothing that needs a closer look
_USUAL = re.compile(
    r"[a-z0-9.+_-]+@[a-z0-9]+(?:[.-][a-z0-9]+)*"
)  # short and without letters to look at twice
_PLAIN = re.compile(r"[a-z0-9.@_-]+")  # lower case only: what most addresses are, and needs no closer look
_IN_XTEXT = re.compile(r"[^!-*,-<>-~]")  # what xtext cannot hold as it is (RFC 3461 §4)
_IN_UTF8_XTEXT = re.compile(r"[^!-*,-<>-\[\]-~]")  # likewise of an address outside ASCII (RFC 6533 §3)


def address_fault(address: str) -> str:
    """Say what keeps an address from going into an envelope exactly as it is; empty when nothing does."""
    if len(address) <= 65 and _USUAL.fullmatch(address):
        return ""
    if not _SIMPLE.fullmatch(address) and (odd := next(filter(_is_odd, address), "")):
        return f"holds the character U+{ord(odd):04X}, which no envelope can carry"
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL_PART.fullmatch(local) or len(local.encode()) > 64:
        return "has no well-formed part before the @"
    if not (_DOMAIN.fullmatch(domain) or _LITERAL.fullmatch(domain)) or len(address.encode()) > 254:
        return "has no well-formed domain"
    return ""


def _is_odd(character: str) -> bool:
    return not character.isprintable() or unicodedata.category(character)[0] in "CZ"


def content_fault(content: bytes) -> str:
    """Say what in the bytes of a message would change on the wire; empty when nothing would."""
    ends = content.count(b"\r\n")
    if content.count(b"\n") != ends or content.count(b"\r") != ends:
        return "has a bare CR or LF"
    if b"\0" in content:
        return "has a NUL"
    if not content.endswith(b"\r\n"):
        return "does not end with CRLF"
    start, reach = 0, _LINE_LIMIT + 2
    while len(content) - start > reach:  # from one end of a line to the last that a short enough line allows
        start = content.rfind(b"\n", start, start + reach) + 1
        if not start:
            return f"has a line of more than {_LINE_LIMIT} octets"
    return ""


def stuff(content: bytes) -> bytes:
    """Double the dot at the start of a line (RFC 5321 §4.5.2)."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def is_ascii(message: Message) -> bool:
    """Tell whether the content is ASCII."""
    return message.canonical or message.content.isascii()


def needs_smtputf8(message: Message) -> bool:
    """Tell whether address or headers are outside ASCII (RFC 6531)."""
    if not (message.recipient.isascii() and message.sender.isascii()):
        return True
    return (
        not (message.canonical or message.content.isascii())
        and not message.content.partition(b"\r\n\r\n")[0].isascii()
    )


def objection(message: Message, offered: Capabilities) -> tuple[Outcome, Stage, Reply] | None:
    """Say, before a word goes to the server, why a message cannot be carried unchanged; None when it can.

    What would be so for every reader is said as the server would have said it to MAIL: our own fault.
    """
    content = message.content
    if message.sender and (fault := address_fault(message.sender)):
        return Outcome.NOT_SENT, Stage.MAIL, Reply(553, "5.1.7", f"the sender's address {fault}")
    if 0 < offered.max_size < len(content):
        text = f"the server takes {offered.max_size} octets at most, the message has {len(content)}"
        return Outcome.NOT_SENT, Stage.MAIL, Reply(552, "5.3.4", text)
    text = ""
    if fault := address_fault(message.recipient):
        text = f"the address {fault}"
    elif not message.canonical and (fault := content_fault(content)):
        text = f"the message {fault}"
    elif not offered.smtputf8 and needs_smtputf8(message):
        text = "the address or a header is not ASCII and the server does not offer SMTPUTF8"
    elif not is_ascii(message) and not offered.eight_bit:
        text = "the message is not ASCII and the server does not offer 8BITMIME"
    return (Outcome.REFUSED, Stage.LOCAL, Reply(0, "", text)) if text else None


def mail_command(message: Message, offered: Capabilities, *, sized: bool) -> bytes:
    """Return MAIL with the parameters that the server understands."""
    words = [f"MAIL FROM:<{message.sender}>"]
    if sized:
        words.append(f"SIZE={len(message.content)}")  # RFC 1870
    if not is_ascii(message) and offered.eight_bit:
        words.append("BODY=8BITMIME")  # RFC 6152
    if needs_smtputf8(message):
        words.append("SMTPUTF8")
    if offered.dsn:
        mark = message.sender.partition("@")[0] or str(message.key)
        words.append(f"RET=HDRS ENVID={_xtext(mark)}")
    return command(" ".join(words), utf8=offered.smtputf8)


def rcpt_command(message: Message, offered: Capabilities) -> bytes:
    """Return RCPT; with DSN (RFC 3461) a failure alone is reported, and names the address as we know it."""
    line = f"RCPT TO:<{message.recipient}>"
    if offered.dsn:
        kind = "rfc822" if message.recipient.isascii() else "utf-8"
        line += f" NOTIFY=FAILURE ORCPT={kind};{_xtext(message.recipient)}"
    return command(line, utf8=offered.smtputf8)


def command(line: str, *, utf8: bool = False) -> bytes:
    """Return a command as it goes on the wire; whatever was checked before, it is one printable line."""
    if not (_PRINTABLE.fullmatch(line) or (utf8 and line.isprintable())):
        raise ValueError(f"a command that is not one printable line: {line!r}")
    return line.encode() + b"\r\n"


def _xtext(text: str) -> str:
    """Encode what xtext cannot hold (RFC 3461 §4, RFC 6533 §3); the result is printable ASCII."""
    if _PLAIN.fullmatch(text):
        return text
    if text.isascii():
        return _IN_XTEXT.sub(lambda found: f"+{ord(found[0]):02X}", text)
    return _IN_UTF8_XTEXT.sub(lambda found: f"\\x{{{ord(found[0]):X}}}", text)
