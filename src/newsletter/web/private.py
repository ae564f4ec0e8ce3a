"""A subscriber's own feed: the published one under an address that only they have, and that can be revoked."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from newsletter import subscriptions
from newsletter.config import Config
from newsletter.store import Store
from newsletter.web.conditions import IDENTITY, codings, unchanged
from newsletter.web.drawing import Drawing
from newsletter.web.front import Front
from newsletter.web.shelf import Kept
from newsletter.websub.topics import TYPES as FEED_TYPES

PUBLISHED = "feeds/atom.xml"
CACHING = "private, max-age=1800"


class Private:
    """Answers `/f/TOKEN/atom.xml`."""

    def __init__(self, store: Store, config: Config, front: Front, drawing: Drawing) -> None:
        self._store = store
        self._keys = config.token_keys()
        self._root = config.web_url
        self._front = front
        self._drawing = drawing
        self._cut: tuple[Kept | None, bytes, bytes] = (None, b"", b"")

    def answer(self, request: Request) -> Response:
        """Give the feed to who has the address; 410 when it was revoked, and no word of whose it was."""
        token = str(request.path_params["token"])
        holds = subscriptions.feed_holds(self._store, self._keys, token)
        if not holds:
            return PlainTextResponse("This feed is gone.\n", 410, {"cache-control": "private, no-store"})
        token = token.lower()
        peer = request.client.host if request.client else ""
        wait = self._front.wait(f"f/{token}", dict(request.scope["headers"]), peer)
        if wait:
            headers = {"retry-after": str(wait), "cache-control": "no-store"}
            return PlainTextResponse("You asked very often.\n", 429, headers)
        kept = self._front.kept(PUBLISHED)
        if kept is None:
            return self._drawing.missing(request)
        return self._feed(request, kept, f"{self._root}f/{token}/atom.xml")

    def _feed(self, request: Request, kept: Kept, own: str) -> Response:
        if self._cut[0] is not kept:
            self._cut = (kept, *subscriptions.own_feed(kept.forms[IDENTITY].whole.body))
        _, before, after = self._cut
        body = before + own.encode() + after
        zipped = "gzip" in codings(request.headers.get("accept-encoding", ""))
        mark = hashlib.sha256(body + b"gzip" * zipped).hexdigest()[:32]
        dated = datetime.fromtimestamp(kept.modified, UTC)
        headers = {
            "etag": f'"{mark}"',
            "last-modified": format_datetime(dated, usegmt=True),
            "cache-control": CACHING,
            "vary": "Accept-Encoding",
            "link": f'<{own}>; rel="self"',
        }
        asked, since = (request.headers.get(name) for name in ("if-none-match", "if-modified-since"))
        if unchanged(asked, since, headers["etag"], kept.modified):
            return Response(status_code=304, headers=headers)
        headers["content-type"] = FEED_TYPES["atom.xml"]
        if zipped:
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body, 6, mtime=0)
        return Response(body, headers=headers)
