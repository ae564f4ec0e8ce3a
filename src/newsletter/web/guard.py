"""What holds for every answer and request: security headers, limits, and logs without tokens."""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newsletter.config import Config

LARGEST_BODY = 64 * 1024  # bytes; a form of ours has a hundred
#: Not of a tag, an author, a newsletter or a post that has such a name.
_TOKEN_PATH = re.compile(r"(?<!/tags)(?<!/authors)(?<!/issues)(?<!/posts)/[upfc]/[^/\s?\"]+")
_FEED_OF_ONE = re.compile(r"/f/[^/]+/atom\.xml$")
_API_QUERY = re.compile(r"(/api/v1/[^\s?\"]*)\?[^\s\"]+")  # may name an address
_ISSUE_PATH = re.compile(r"/issues/[^/]+/\d+/")


class Guard:
    """Adds the headers that keep a page to itself."""

    def __init__(self, app: ASGIApp, *, origin: str) -> None:
        self.app = app
        self.origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add(MutableHeaders(scope=message), str(scope["path"]))
            await send(message)

        await self.app(scope, receive, send_guarded)

    def _add(self, headers: MutableHeaders, path: str) -> None:
        for name, value in headers_of(path, self.origin).items():
            headers[name] = value
        if _TOKEN_PATH.search(path):
            headers["x-robots-tag"] = "noindex, nofollow"
            if not _FEED_OF_ONE.search(path):
                headers["cache-control"] = "no-store"


def headers_of(path: str, origin: str) -> dict[str, str]:
    """Return what a browser must know of an answer to keep it to itself."""
    # The web form of an issue is the mail as it was sent: its style is in attributes.
    style = "'self' 'unsafe-inline'" if _ISSUE_PATH.search(path) else "'self'"
    secret = bool(_TOKEN_PATH.search(path))
    return {
        "content-security-policy": (
            f"default-src 'none'; style-src {style}; img-src 'self' {origin}; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'"
        ),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "referrer-policy": "no-referrer" if secret else "strict-origin-when-cross-origin",
    }


def origin_of(config: Config) -> str:
    """Return where the publication's own pictures come from."""
    return origin_of_url(config.publication.url)


def origin_of_url(url: str) -> str:
    """Return a URL's origin as browsers write it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


async def body_of(request: Request) -> bytes:
    """Read a request's body, or refuse one that is larger than any form of ours."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, "The request is too large.\n")
    return bytes(body)


class Redaction(logging.Filter):
    """Takes the tokens out of log lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the message and its arguments; let the record pass."""
        if isinstance(record.args, tuple):
            record.args = tuple(redact(one) if isinstance(one, str) else one for one in record.args)
        if isinstance(record.msg, str):
            record.msg = redact(record.msg)
        return True


def redact(text: str) -> str:
    """Replace the token in a path, and the parameters of the API, by a word."""
    return _TOKEN_PATH.sub(lambda match: f"{match[0][:3]}[token]", _API_QUERY.sub(r"\1?[parameters]", text))
