"""The files of the published tree as HTTP sees them: where they lie, what they are, how long they keep."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from newsletter.websub.topics import TYPES as FEED_TYPES

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".xml": "application/xml; charset=utf-8",
    ".xsl": "application/xslt+xml; charset=utf-8",
    ".opml": "text/x-opml; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".webmanifest": "application/manifest+json; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".svg": "image/svg+xml; charset=utf-8",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".pdf": "application/pdf",
    ".mp3": "audio/mpeg",
}
#: How files beside a file are named that hold it compressed.
SUFFIXES = {"br": ".br", "gzip": ".gz", "identity": ""}
FEED_CACHING = "public, max-age=1800"
_ARCHIVE = re.compile(r"[0-9]{4}-[0-9]{2}\.xml")  # of a month, in Atom
_FEED_PATH = re.compile(rf"feeds/(?:[^/\0]+/)*(?:{'|'.join(map(re.escape, FEED_TYPES))})")


def is_feed(path: str) -> bool:
    """Tell whether a path below the root is that of a feed."""
    return _FEED_PATH.fullmatch(path) is not None


def inside(folder: Path, name: str) -> Path | None:
    """Return the file of a path, None when the path leads out of the folder or to what is hidden."""
    parts = name.split("/")
    if "\0" in name or "\\" in name or any(not part or part.startswith(".") for part in parts):
        return None
    try:
        target = folder.joinpath(*parts).resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    return target if target.is_relative_to(folder.resolve()) else None


def type_of(name: str) -> str:
    """Return the media type of a file by its name."""
    if _ARCHIVE.fullmatch(name):
        return FEED_TYPES["atom.xml"]
    return FEED_TYPES.get(name) or TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")


def caching(name: str) -> str:
    """Names that carry their content's hash are kept for ever, feeds for half an hour, the rest for less."""
    if is_feed(name):
        return FEED_CACHING
    forever = name.startswith("media/") or (name.startswith("style-") and name.endswith(".css"))
    return "public, max-age=31536000, immutable" if forever else "public, max-age=300, must-revalidate"
