"""The published tree over HTTP (RFC 9110): strong ETags over the bytes that are sent, 304, HEAD, no way out."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path, PurePosixPath

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

_TYPES = {
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
_FEEDS = {
    "atom.xml": "application/atom+xml; charset=utf-8",
    "rss.xml": "application/rss+xml; charset=utf-8",
    "feed.json": "application/feed+json; charset=utf-8",
}
_CHUNK = 256 * 1024
_REMEMBERED = 4096  # files whose ETag is kept


@dataclass(frozen=True, slots=True)
class _Opened:
    """An open file: its descriptor stays with the bytes its ETag was made of, whatever is published meanwhile."""

    handle: int
    size: int
    modified: int  # seconds
    etag: str


class Static:
    """Serves one folder; `stylesheet` answers before anything is published, `missing` draws the 404 page."""

    def __init__(
        self, folder: Path, stylesheet: tuple[str, bytes], missing: Callable[[Request], Response]
    ) -> None:
        self._folder = folder
        self._stylesheet = stylesheet
        self._missing = missing
        self._etags: dict[tuple[int, int, int, int], str] = {}
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response:
        """Answer GET and HEAD for a path of the published tree."""
        path = str(request.path_params["path"])
        name = path + "index.html" if path.endswith("/") or not path else path
        target = self._inside(name)
        if target is None:
            return self._missing(request)
        if target.is_dir():
            return (
                RedirectResponse(f"{target.name}/", 308) if not path.endswith("/") else self._missing(request)
            )
        zipped = self._open(target.with_name(f"{target.name}.gz")) if _takes_gzip(request) else None
        opened = zipped or self._open(target)
        if opened is None:
            return self._unpublished(request, path)
        headers = {
            "content-type": _type_of(target.name),
            "etag": opened.etag,
            "last-modified": format_datetime(datetime.fromtimestamp(opened.modified, UTC), usegmt=True),
            "cache-control": _caching(name),
            "vary": "Accept-Encoding",
        }
        if zipped is not None:
            headers["content-encoding"] = "gzip"
        if _unchanged(request, opened):
            os.close(opened.handle)
            headers.pop("content-encoding", None)
            headers.pop("content-type")
            return Response(status_code=304, headers=headers)
        headers["content-length"] = str(opened.size)
        if request.method == "HEAD":
            os.close(opened.handle)
            return Response(headers=headers)
        return StreamingResponse(_chunks(opened), headers=headers)

    def _inside(self, name: str) -> Path | None:
        """Return the file of a path, None when the path leads out of the folder or to what is hidden."""
        parts = name.split("/")
        if "\0" in name or "\\" in name or any(not part or part.startswith(".") for part in parts):
            return None
        try:
            target = self._folder.joinpath(*parts).resolve()
        except (OSError, RuntimeError, ValueError):
            return None
        return target if target.is_relative_to(self._folder.resolve()) else None

    def _open(self, target: Path) -> _Opened | None:
        try:
            handle = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError):
            return None
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            os.close(handle)
            return None
        key = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)
        etag = self._etags.get(key)
        if etag is None:
            with os.fdopen(os.dup(handle), "rb") as stream:
                etag = f'"{hashlib.file_digest(stream, "sha256").hexdigest()[:32]}"'
            os.lseek(handle, 0, os.SEEK_SET)
            with self._lock:
                while len(self._etags) >= _REMEMBERED:
                    self._etags.pop(next(iter(self._etags)))
                self._etags[key] = etag
        return _Opened(handle, facts.st_size, int(facts.st_mtime), etag)

    def _unpublished(self, request: Request, path: str) -> Response:
        name, text = self._stylesheet
        if path != name:
            return self._missing(request)
        headers = {"content-type": _TYPES[".css"], "cache-control": _caching(name)}
        return Response(text, headers=headers)


def _chunks(opened: _Opened) -> Iterator[bytes]:
    try:
        left = opened.size
        while left and (chunk := os.read(opened.handle, min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
    finally:
        os.close(opened.handle)


def _type_of(name: str) -> str:
    return _FEEDS.get(name) or _TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")


def _caching(name: str) -> str:
    """Names that carry their content's hash are kept for ever, the rest is asked for again."""
    forever = name.startswith("media/") or (name.startswith("style-") and name.endswith(".css"))
    return "public, max-age=31536000, immutable" if forever else "public, max-age=300, must-revalidate"


def _takes_gzip(request: Request) -> bool:
    offers = [
        offer.replace(" ", "") for offer in request.headers.get("accept-encoding", "").lower().split(",")
    ]
    return any(offer.partition(";")[0] == "gzip" and not offer.endswith(";q=0") for offer in offers)


def _unchanged(request: Request, opened: _Opened) -> bool:
    """Judge the conditions of a request: `If-None-Match` decides alone where it is given (RFC 9110 §13.2.2)."""
    asked = request.headers.get("if-none-match")
    if asked is not None:
        tags = [tag.strip().removeprefix("W/") for tag in asked.split(",")]
        return "*" in tags or opened.etag in tags
    since = request.headers.get("if-modified-since")
    try:
        return since is not None and opened.modified <= parsedate_to_datetime(since).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False
