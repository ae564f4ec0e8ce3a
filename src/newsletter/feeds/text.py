"""Text that may stand in a document: legal in XML, harmless in HTML, dated as people read it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape, unescape

from newsletter.content.characters import clean_line as line
from newsletter.content.characters import strip_controls as legal

__all__ = ["legal", "line", "paragraph", "rfc3339", "shorten", "strip_tags", "web_link"]

_TAG = re.compile(r"<[^<>]*>")
_TIGHT = re.compile(r'[\x00-\x20\x7f-\xa0\u2028\u2029<>"{}|\\^`]')
_ENTITY_LIKE = re.compile(r"(&#?\w+);")  # feed readers take this for an entity escaped twice
_ABSOLUTE = re.compile(r"https?://[^/?#\s]", re.IGNORECASE)
_USUAL = re.compile(r"https?://[\w.:-]+(/[\w.,:;/?#=@!$'()*+~%-]*)?", re.ASCII)  # nothing to be mended


def paragraph(text: str) -> str:
    """Return a plain text as HTML that holds no markup."""
    return escape(line(text))


def strip_tags(html: str) -> str:
    """Return the words of a sanitised HTML text on one line."""
    return line(unescape(_TAG.sub(" ", html)))


def web_link(url: str) -> str:
    """Return an http(s) URL with what no IRI may hold percent-encoded, or "" when it is not one."""
    if _USUAL.fullmatch(url):
        return url
    url = _ENTITY_LIKE.sub(r"\1%3B", legal(url).strip())
    if not _ABSOLUTE.match(url):
        return ""
    return _TIGHT.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), url)


def shorten(text: str, limit: int = 300) -> str:
    """Return at most `limit` characters of a line, cut between words and marked with an ellipsis."""
    text = line(text)
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    return (head.rsplit(" ", 1)[0] if " " in head else head).rstrip(" ,;:–—-") + "…"


def rfc3339(instant: datetime) -> str:
    """Return an instant as RFC 3339 has it, in UTC, whole seconds."""
    return f"{instant.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"
