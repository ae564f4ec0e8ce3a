"""Calls to a URL that somebody else named: one request, no redirects, little of the answer read."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import httpcore2
import httpx2

from newsletter.errors import FetchError
from newsletter.fetch.connection import FetchRules, Outgoing, check_url, retry_after, trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered: `body` as it came, at most one byte more than `rules.limit` of it."""

    status: int
    body: bytes = b""
    retry_after: float | None = None

    @property
    def good(self) -> bool:
        """Whether it is a yes (2xx)."""
        return 200 <= self.status < 300


def call(
    url: str,
    rules: FetchRules,
    *,
    method: Literal["GET", "POST"] = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Make one request and return whatever status was answered; a redirect is an answer, not a way.

    Raises FetchError when there is none: refused destination, no connection, too slow.
    """
    there = check_url(url)
    sent = [
        ("Host", there.netloc.decode("ascii")),
        ("User-Agent", rules.user_agent),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
        *(headers or {}).items(),
    ]
    if method == "POST":
        sent.append(("Content-Length", str(len(body))))
    try:
        return _call(method, there, sent, body, rules)
    except httpcore2.TimeoutException as e:
        raise FetchError(f"it did not answer within {rules.total:g} seconds", where=there.host) from e
    except FetchError:
        raise
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError, ValueError) as e:
        raise FetchError(f"the connection failed: {str(e) or type(e).__name__}", where=there.host) from e


def _call(
    method: str, url: httpx2.URL, headers: list[tuple[str, str]], body: bytes, rules: FetchRules
) -> Answer:
    target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    context = (rules.tls or trust()) if url.scheme == "https" else None
    backend = Outgoing(rules, time.monotonic() + rules.total)
    with (
        httpcore2.ConnectionPool(ssl_context=context, network_backend=backend) as pool,
        pool.stream(method, target, headers=headers, content=body or None) as response,
    ):
        return Answer(
            status=response.status,
            body=_start(response.iter_stream(), rules.limit),
            retry_after=retry_after(httpx2.Headers(response.headers)),
        )


def _start(chunks: Iterable[bytes], limit: int) -> bytes:
    """Read until it is clear that there is more than `limit`; what would come after is not waited for."""
    start = b""
    for chunk in chunks if limit else ():
        start = (start + chunk)[: limit + 1]
        if len(start) > limit:
            break
    return start
