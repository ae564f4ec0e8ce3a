"""Check the bytes of a digest message: wire form, headers, structure, the HTML, and that the text says the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import cast
from urllib.parse import unquote

from newsletter.checks.letter import advise_letter, check_letter
from newsletter.checks.links import Site, astray
from newsletter.checks.page import Element, Found, found_in, parse
from newsletter.digest.markup import is_secure
from newsletter.model import Finding

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
_FORMS = (
    (
        "List-Unsubscribe-Post",
        r"List-Unsubscribe=One-Click",
        "it is not List-Unsubscribe=One-Click",
        "Write it so (RFC 8058)",
    ),
    (
        "List-Id",
        r"<[a-z0-9.-]+\.[a-z0-9-]+>",
        "it is not one identifier in angle brackets",
        "Write <name.domain> (RFC 2919)",
    ),
    ("Feedback-ID", r"[^:]*(?::[^:]*){3}", "it has not four fields", "Write issue:newsletter:digest:sender"),
    ("Auto-Submitted", r"auto-generated", "it is not auto-generated", "Write it so (RFC 3834)"),
)
_LITERAL = ("list-", "feedback-id", "message-id", "references", "in-reply-to")
_NAMES = re.compile(r'=\?[^?]*\?[^?]*\?[^?]*\?=|"(?:\\.|[^"\\])*"')  # encoded and quoted display names
_URL = re.compile(r"https?://[^\s<>\"]+")
_COLUMNS, _TEXT_COLUMNS = 76, 72


def check_message(data: bytes, *, where: str = "message", site: Site | None = None) -> list[Finding]:
    """Return every broken rule of a message's bytes that a program can find; advice is no error.

    Links into our own `site` must lead to something that is published.
    """
    message = BytesParser(policy=policy.default).parsebytes(data)
    parts = _parts(message)
    fields = _fields(data.partition(b"\r\n\r\n")[0])
    found = [*_wire(data), *_headers(fields), *_structure(message, parts)]
    advice: list[Found] = []
    page, text = _body(parts, "text/html"), _body(parts, "text/plain")
    if page is not None and text is not None:
        root = parse(page)
        target = re.search(r"<(https?://[^>]+)>", "".join(fields.get("list-unsubscribe", ())))
        subject = str(message["Subject"] or "")
        found += check_letter(page, root, subject=subject, unsubscribe=target[1] if target else "")
        found += _parity(root, text)
        found += astray(root, site) if site is not None else ()
        advice += [*advise_letter(root), *_layout(text)]
    return [
        Finding(
            where=where, place=one.place, rule=one.rule, remedy=one.remedy, post=one.post, error=kind is found
        )
        for kind in (found, advice)
        for one in kind
    ]


def page_of(data: bytes) -> str | None:
    """Return the HTML of a message; None when it has none."""
    return _body(_parts(BytesParser(policy=policy.default).parsebytes(data)), "text/html")


def _parts(message: EmailMessage) -> list[EmailMessage]:
    return [cast(EmailMessage, part) for part in message.iter_parts()] if message.is_multipart() else []


def _body(parts: list[EmailMessage], kind: str) -> str | None:
    found = next((part for part in parts[::-1] if part.get_content_type() == kind), None)
    return None if found is None else str(found.get_content()).replace("\r\n", "\n")


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
        yield Found(
            "message", f"it has {len(data):,} bytes, more than {LIMIT:,}", "Send less: Gmail cuts it off"
        )
    if b"\n" in data.replace(b"\r\n", b"") or b"\r" in data.replace(b"\r\n", b""):
        yield Found("message", "a line does not end in CRLF", "Write CRLF everywhere")
    if not data.endswith(b"\r\n"):
        yield Found("message", "it does not end in CRLF", "End the last line")
    head, _, body = data.partition(b"\r\n\r\n")
    if any(len(line) > 998 for line in head.split(b"\r\n")):
        yield Found("headers", "a line has more than 998 characters", "Fold it")
    if any(len(line) > _COLUMNS for line in body.split(b"\r\n")):
        yield Found("body", f"a line has more than {_COLUMNS} columns", "Encode it as quoted-printable")
    if not body.isascii():
        yield Found("body", "there are bytes outside ASCII", "Encode them as quoted-printable")


def _headers(fields: dict[str, list[str]]) -> Iterator[Found]:
    counts = Counter({name: len(values) for name, values in fields.items()})
    for name in _ONCE:
        if counts[name.lower()] != 1:
            yield Found(name, f"it stands {counts[name.lower()]} times", "Have it once")
    if counts["list-post"]:
        yield Found("List-Post", "a digest is not for posting to", "Remove it")
    for name, values in fields.items():
        if name.startswith(_LITERAL) and any("=?" in value for value in values):
            yield Found(name, "a URI or id is an encoded word", "Write it as it is")
    first = {name: values[0] for name, values in fields.items()}
    if re.match(r"(re|fwd?|aw|tr)\s*:", first.get("subject", ""), re.I):
        yield Found("Subject", "it pretends to be an answer", "Say what the issue is about")
    for name in ("to", "from", "reply-to"):
        if name in first and _NAMES.sub("", first[name]).count("@") != 1:
            yield Found(name.title(), "there is not exactly one address", "Write one")
    yield from _list_headers(first)


def _list_headers(first: dict[str, str]) -> Iterator[Found]:
    """Yield what is wrong with the fields that are there; that one is missing is told already."""
    targets = re.findall(r"<([^<>]*)>", first.get("list-unsubscribe", ""))
    if len(targets) != 2 or not is_secure(targets[0]) or not targets[1].startswith("mailto:"):
        yield Found(
            "List-Unsubscribe", "not one https and one mailto URI", "Write both, https first (RFC 8058)"
        )
    for name, form, rule, remedy in _FORMS:
        value = first.get(name.lower())
        if value is not None and not re.fullmatch(form, value):
            yield Found(name, rule, remedy)


def _structure(message: EmailMessage, parts: list[EmailMessage]) -> Iterator[Found]:
    if message.get_content_type() != "multipart/alternative":
        yield Found("MIME", f"the message is {message.get_content_type()}", "Make it multipart/alternative")
    if [part.get_content_type() for part in parts] != ["text/plain", "text/html"]:
        yield Found("MIME", "the parts are not text/plain, then text/html", "Put the text first")
    for part in parts:
        if part["MIME-Version"] is not None:
            yield Found("MIME", "a part has a MIME-Version of its own", "Remove it")
        if str(part["Content-Transfer-Encoding"]).lower() != "quoted-printable":
            yield Found("MIME", "a part is not quoted-printable", "Encode it so")
        if part.get_content_charset() != "utf-8":
            yield Found("MIME", "a part is not UTF-8", "Say charset=utf-8")


def _parity(root: Element, text: str) -> Iterator[Found]:
    said = _words(text)
    linked = set(_URL.findall(text))
    for link in root.iter("a"):
        href = link.get("href") or ""
        if href.startswith("http") and not {href, unquote(href)} & linked:
            yield found_in(
                link, "text part", f"the link {href[:80]} is missing", "Say the same in both parts"
            )
    for heading in root.iter("h1", "h2", "h3", "h4", "h5", "h6"):
        words = _words("".join(heading.itertext()))
        if words not in said:
            yield found_in(
                heading, "text part", f"the heading {words[:60]!r} is missing", "Say the same in both parts"
            )
    for image in root.iter("img"):
        alt = _words(image.get("alt") or "")
        if alt and alt not in said:
            yield found_in(
                image, "text part", f"the picture {alt[:60]!r} is missing", "Say the same in both parts"
            )


def _layout(text: str) -> Iterator[Found]:
    for line in text.splitlines():
        if len(line) > _TEXT_COLUMNS and not any(len(word) > 40 for word in line.split()):
            yield Found("text part", f"the line {line[:40]!r}… is longer than {_TEXT_COLUMNS}", "Wrap it")
        found = _URL.search(line)
        if found and line.strip() != found[0]:
            yield Found("text part", f"{found[0][:60]} is not alone on its line", "Give it a line of its own")


def _words(text: str) -> str:
    """Return a text's letters and digits only: wrapping, quoting and numbering do not count."""
    return re.sub(r"[\W_]+", "", re.sub(r"\[\d+\]", "", text)).casefold()
