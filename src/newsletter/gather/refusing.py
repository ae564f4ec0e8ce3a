"""What is refused at gathering, and text that no database takes."""

from __future__ import annotations

import json
import re
from typing import Any

from newsletter.identity import weigh
from newsletter.model import Post, Rejected

_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def conflict(post: Post, reason: str) -> Rejected:
    """Put a post into quarantine that claims another one's place."""
    return Rejected(
        source=post.source,
        source_key=post.source_key,
        where=post.source_key,
        reason=reason,
        remedy="Give one of the two another slug or URL, or remove it",
        excerpt=post.title,
        mark=weigh(post).digest,
    )


def presentable(one: Post | Rejected) -> Rejected:
    """Make an item presentable whose text no database takes."""
    if isinstance(one, Rejected):
        return Rejected(**{name: clean(getattr(one, name)) for name in Rejected.__slots__})
    return Rejected(
        source=one.source,
        source_key=clean(one.source_key),
        where=clean(one.source_key),
        reason="its name or text holds characters that are no text (NUL or half of a surrogate pair)",
        remedy="Rename it, or save it anew as UTF-8",
    )


def clean(text: str) -> str:
    """Replace what is no text."""
    return _NO_TEXT.sub("\ufffd", text)


def storable(memory: dict[str, Any]) -> dict[str, Any]:
    """Return a source's memory without what no database takes, such as file names that are no text."""
    written = json.dumps(memory, ensure_ascii=False)
    if not _NO_TEXT.search(written) and "\\u0000" not in written:
        return memory
    cleaned: dict[str, Any] = json.loads(clean(written.replace("\\u0000", "\ufffd")))
    return cleaned
