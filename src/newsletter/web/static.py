"""The published tree over HTTP (RFC 9110): strong ETags over the bytes that are sent, 304, HEAD, no way out."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from newsletter.web.conditions import IDENTITY, codings, unchanged
from newsletter.web.files import SUFFIXES, TYPES, caching, inside, type_of
from newsletter.web.front import Front

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
    """Serves one folder, its feeds by way of `front`.

    `stylesheet` answers before anything is published, `missing` where there is nothing or was moved.
    """

    def __init__(
        self,
        folder: Path,
        front: Front,
        stylesheet: tuple[str, bytes],
        missing: Callable[[Request], Response],
    ) -> None:
        self._folder = folder
        self._front = front
        self._stylesheet = stylesheet
        self._missing = missing
        self._etags: dict[tuple[int, int, int, int], str] = {}
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response:
        """Answer GET and HEAD for a path of the published tree."""
        path = str(request.path_params["path"])
        peer = request.client.host if request.client else ""
        if f"/{path}" in self._front.elsewhere:
            return self._missing(request)
        fed = self._front.answer(request.method.encode(), path, request.scope["headers"], peer)
        if fed is not None:
            response = Response(fed.body, fed.status)
            response.raw_headers = fed.headers()
            return response
        name = path + "index.html" if path.endswith("/") or not path else path
        target = inside(self._folder, name)
        if target is None:
            return self._missing(request)
        if os.path.isdir(target):  # noqa: PTH112  # False too for a name that is too long to be one
            return (
                RedirectResponse(f"{target.name}/", 308) if not path.endswith("/") else self._missing(request)
            )
        coding, opened = self._best(request, target)
        if opened is None:
            return self._unpublished(request, path)
        headers = {
            "content-type": type_of(target.name),
            "etag": opened.etag,
            "last-modified": _dated(opened.modified),
            "cache-control": caching(name),
            "vary": "Accept-Encoding",
        }
        if coding != IDENTITY:
            headers["content-encoding"] = coding
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

    def _best(self, request: Request, target: Path) -> tuple[str, _Opened | None]:
        """Open the best of the codings that lie there and are not older than the file itself."""
        plain = self._open(target)
        if plain is None:
            return IDENTITY, None
        for coding in codings(request.headers.get("accept-encoding", ""))[:-1]:
            packed = self._open(target.with_name(target.name + SUFFIXES[coding]))
            if packed is not None and packed.modified >= plain.modified:
                os.close(plain.handle)
                return coding, packed
            if packed is not None:
                os.close(packed.handle)
        return IDENTITY, plain

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
        headers = {"content-type": TYPES[".css"], "cache-control": caching(name)}
        return Response(text, headers=headers)


def _chunks(opened: _Opened) -> Iterator[bytes]:
    try:
        left = opened.size
        while left and (chunk := os.read(opened.handle, min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
    finally:
        os.close(opened.handle)


def _dated(modified: int) -> str:
    moment = min(datetime.fromtimestamp(modified, UTC), datetime.now(UTC))
    return format_datetime(moment.replace(microsecond=0), usegmt=True)


def _unchanged(request: Request, opened: _Opened) -> bool:
    asked, since = (request.headers.getlist(name) for name in ("if-none-match", "if-modified-since"))
    return unchanged(
        ", ".join(asked) if asked else None, since[0] if since else None, opened.etag, opened.modified
    )
