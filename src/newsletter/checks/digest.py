"""Check the bytes of a digest message: wire form, headers, structure, the HTML, and that the text says the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import TypeAlias, cast
from urllib.parse import unquote

from lxml import html as lxml_html

from newsletter.checks.letter import advise_letter, check_letter
from newsletter.digest.markup import is_secure
from newsletter.model import Finding

Found: TypeAlias = tuple[str, str, str]

LIMIT = 90_000
_ONCE = (
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Language",
    "Auto-Submitted",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Archive",
    "List-Help",
    "List-Owner",
    "Feedback-ID",
)
_LITERAL = ("list-", "feedback-id", "message-id", "references", "in-reply-to")
_NAMES = re.compile(r'=\?[^?]*\?[^?]*\?[^?]*\?=|"(?:\\.|[^"\\])*"')  # encoded and quoted display names
_URL = re.compile(r"https?://[^\s<>\"]+")
_COLUMNS, _TEXT_COLUMNS = 76, 72


def check_message(data: bytes, *, where: str = "message") -> list[Finding]:
    """Return every broken rule of a message's bytes that a program can find; advice is no error."""
    message = BytesParser(policy=policy.default).parsebytes(data)
    parts = [cast(EmailMessage, part) for part in message.iter_parts()] if message.is_multipart() else []
    fields = _fields(data.partition(b"\r\n\r\n")[0])
    found = [*_wire(data), *_headers(fields), *_structure(message, parts)]
    advice: list[Found] = []
    bodies = {part.get_content_type(): str(part.get_content()).replace("\r\n", "\n") for part in parts}
    if {"text/html", "text/plain"} <= bodies.keys():
        page, text = bodies["text/html"], bodies["text/plain"]
        target = re.search(r"<(https?://[^>]+)>", "".join(fields.get("list-unsubscribe", ())))
        subject = str(message["Subject"] or "")
        found += check_letter(page, subject=subject, unsubscribe=target[1] if target else "")
        found += _parity(page, text)
        advice += [*advise_letter(page), *_layout(text)]
    return [
        Finding(where=where, place=place, rule=rule, remedy=remedy, error=kind is found)
        for kind in (found, advice)
        for place, rule, remedy in kind
    ]


def _fields(head: bytes) -> dict[str, list[str]]:
    """Return the unfolded values of each field, names in lower case."""
    fields: dict[str, list[str]] = {}
    for line in re.split(rb"\r\n(?![ \t])", head):
        name, _, value = line.partition(b":")
        unfolded = value.replace(b"\r\n", b"").decode("utf-8", "replace").strip()
        fields.setdefault(name.decode("ascii", "replace").lower(), []).append(unfolded)
    return fields


def _wire(data: bytes) -> Iterator[Found]:
    if len(data) > LIMIT:
        yield "message", f"it has {len(data):,} bytes, more than {LIMIT:,}", "Send less: Gmail cuts it off"
    if b"\n" in data.replace(b"\r\n", b"") or b"\r" in data.replace(b"\r\n", b""):
        yield "message", "a line does not end in CRLF", "Write CRLF everywhere"
    if not data.endswith(b"\r\n"):
        yield "message", "it does not end in CRLF", "End the last line"
    head, _, body = data.partition(b"\r\n\r\n")
    if any(len(line) > 998 for line in head.split(b"\r\n")):
        yield "headers", "a line has more than 998 characters", "Fold it"
    if any(len(line) > _COLUMNS for line in body.split(b"\r\n")):
        yield "body", f"a line has more than {_COLUMNS} columns", "Encode it as quoted-printable"
    if not body.isascii():
        yield "body", "there are bytes outside ASCII", "Encode them as quoted-printable"


def _headers(fields: dict[str, list[str]]) -> Iterator[Found]:
    counts = Counter({name: len(values) for name, values in fields.items()})
    for name in _ONCE:
        if counts[name.lower()] != 1:
            yield name, f"it stands {counts[name.lower()]} times", "Have it once"
    if counts["list-post"]:
        yield "List-Post", "a digest is not for posting to", "Remove it"
    for name, values in fields.items():
        if name.startswith(_LITERAL) and any("=?" in value for value in values):
            yield name, "a URI or id is an encoded word", "Write it as it is"
    first = {name: values[0] for name, values in fields.items()}
    if re.match(r"(re|fwd?|aw|tr)\s*:", first.get("subject", ""), re.I):
        yield "Subject", "it pretends to be an answer", "Say what the issue is about"
    for name in ("to", "from", "reply-to"):
        if _NAMES.sub("", first.get(name, "")).count("@") != 1:
            yield name.title(), "there is not exactly one address", "Write one"
    yield from _list_headers(first)


def _list_headers(first: dict[str, str]) -> Iterator[Found]:
    targets = re.findall(r"<([^<>]*)>", first.get("list-unsubscribe", ""))
    if len(targets) != 2 or not is_secure(targets[0]) or not targets[1].startswith("mailto:"):
        yield "List-Unsubscribe", "not one https and one mailto URI", "Write both, https first (RFC 8058)"
    if first.get("list-unsubscribe-post") != "List-Unsubscribe=One-Click":
        yield "List-Unsubscribe-Post", "it is not List-Unsubscribe=One-Click", "Write it so (RFC 8058)"
    if not re.fullmatch(r"<[a-z0-9.-]+\.[a-z0-9-]+>", first.get("list-id", "")):
        yield "List-Id", "it is not one identifier in angle brackets", "Write <name.domain> (RFC 2919)"
    if len(first.get("feedback-id", "").split(":")) != 4:
        yield "Feedback-ID", "it has not four fields", "Write issue:newsletter:digest:sender"
    if first.get("auto-submitted") != "auto-generated":
        yield "Auto-Submitted", "it is not auto-generated", "Write it so (RFC 3834)"


def _structure(message: EmailMessage, parts: list[EmailMessage]) -> Iterator[Found]:
    if message.get_content_type() != "multipart/alternative":
        yield "MIME", f"the message is {message.get_content_type()}", "Make it multipart/alternative"
    if [part.get_content_type() for part in parts] != ["text/plain", "text/html"]:
        yield "MIME", "the parts are not text/plain, then text/html", "Put the text first"
    for part in parts:
        if part["MIME-Version"] is not None:
            yield "MIME", "a part has a MIME-Version of its own", "Remove it"
        if str(part["Content-Transfer-Encoding"]).lower() != "quoted-printable":
            yield "MIME", "a part is not quoted-printable", "Encode it so"
        if part.get_content_charset() != "utf-8":
            yield "MIME", "a part is not UTF-8", "Say charset=utf-8"


def _parity(page: str, text: str) -> Iterator[Found]:
    root = lxml_html.document_fromstring(page.encode(), parser=lxml_html.HTMLParser(encoding="utf-8"))
    said = _words(text)
    linked = set(_URL.findall(text))
    for link in root.iter("a"):
        href = link.get("href") or ""
        if href.startswith("http") and not {href, unquote(href)} & linked:
            yield "text part", f"the link {href[:80]} is missing", "Say the same in both parts"
    for heading in root.iter("h1", "h2", "h3", "h4", "h5", "h6"):
        words = _words("".join(heading.itertext()))
        if words not in said:
            yield "text part", f"the heading {words[:60]!r} is missing", "Say the same in both parts"
    for image in root.iter("img"):
        alt = _words(image.get("alt") or "")
        if alt and alt not in said:
            yield "text part", f"the picture {alt[:60]!r} is missing", "Say the same in both parts"


def _layout(text: str) -> Iterator[Found]:
    for line in text.splitlines():
        if len(line) > _TEXT_COLUMNS and not any(len(word) > 40 for word in line.split()):
            yield "text part", f"the line {line[:40]!r}… is longer than {_TEXT_COLUMNS}", "Wrap it"
        found = _URL.search(line)
        if found and line.strip() != found[0]:
            yield "text part", f"{found[0][:60]} is not alone on its line", "Give it a line of its own"


def _words(text: str) -> str:
    """Return a text's letters and digits only: wrapping, quoting and numbering do not count."""
    return re.sub(r"[\W_]+", "", re.sub(r"\[\d+\]", "", text)).casefold()
