"""The only way out over HTTP: bounded in time, size and destination.

`fetch` gets a document and follows redirects, each checked anew; `call` asks once and follows nothing. Proxies and
credentials from the environment are not used.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

import httpcore2
import httpx2

from newsletter.errors import FetchError
from newsletter.fetch.calling import Answer, call
from newsletter.fetch.connection import (
    MIB,
    FetchRules,
    Outgoing,
    check_url,
    is_public,
    retry_after,
    rules_of,
    trust,
)

__all__ = ["Answer", "FetchRules", "Fetched", "call", "check_url", "fetch", "is_public", "rules_of"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PERMANENT = frozenset({301, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came back: `body` decoded, `etag` and `last_modified` verbatim, to be given back next time.

    `url` is where the body came from, `moved_to` the URL to use from now on when every redirect was permanent.
    `max_age` is what the server calls fresh, `encoding` the Content-Encoding in which the body came, `headers`
    all of them by their name in lower case.
    """

    url: str
    status: int
    body: bytes = b""
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""
    moved_to: str = ""
    max_age: timedelta = timedelta(0)
    encoding: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def not_modified(self) -> bool:
        """Whether the server said that what we have is what there is (304)."""
        return self.status == 304


def fetch(
    url: str,
    rules: FetchRules,
    *,
    method: Literal["GET", "HEAD"] = "GET",
    etag: str = "",
    last_modified: str = "",
    accept: str = "*/*",
    statuses: Collection[int] = (200,),
) -> Fetched:
    """Get a URL, following at most `rules.redirects` redirects within one deadline; HEAD brings no body.

    Raises FetchError: refused destination, no answer, too slow, too large, or a status that is neither among
    `statuses` nor 304 to a question that named an `etag` or `last_modified`.
    """
    deadline = time.monotonic() + rules.total
    headers = {"User-Agent": rules.user_agent, "Accept": accept, "Accept-Encoding": "gzip"}
    if etag:
        headers["If-None-Match"] = etag
    if last_modified:
        headers["If-Modified-Since"] = last_modified
    here, permanent = check_url(url), True
    wanted = (*statuses, 304) if etag or last_modified else tuple(statuses)
    for _ in range(rules.redirects + 1):
        answer = _ask(method, here, headers, rules, deadline, wanted)
        if isinstance(answer, Fetched):
            moved = str(here) if permanent and str(here) != url else ""
            return replace(answer, moved_to=moved)
        status, there = answer
        permanent = permanent and status in _PERMANENT
        here = check_url(str(_join(here, there)))
    raise FetchError(
        f"it redirects more than {rules.redirects} times",
        where=url,
        remedy="Open it in a browser and configure the URL where it ends",
        lasting=True,
    )


def _ask(
    method: str,
    url: httpx2.URL,
    headers: dict[str, str],
    rules: FetchRules,
    deadline: float,
    wanted: tuple[int, ...],
) -> Fetched | tuple[int, str]:
    """Make one request; return what came, or (status, Location) of a redirect."""
    sent = [(b"Host", url.netloc), *((k.encode(), v.encode("latin-1")) for k, v in headers.items())]
    target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    context = (rules.tls or trust()) if url.scheme == "https" else None
    try:
        with (
            httpcore2.ConnectionPool(ssl_context=context, network_backend=Outgoing(rules, deadline)) as pool,
            pool.stream(method, target, headers=sent) as response,
        ):
            received = httpx2.Headers(response.headers, encoding="latin-1")  # whose bytes come back verbatim
            if response.status in _REDIRECTS and "location" in received:
                return response.status, received["location"]
            _check_status(response.status, received, str(url), wanted)
            silent = method == "HEAD" or response.status == 304
            body = b"" if silent else _read(response.iter_stream(), received, rules, url)
    except httpcore2.TimeoutException as e:
        raise FetchError(
            f"it did not answer within {rules.total:g} seconds",
            where=str(url),
            remedy="It is tried again at the next gathering",
        ) from e
    except FetchError:
        raise
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError, ValueError) as e:
        raise FetchError(
            f"the connection failed: {str(e) or type(e).__name__}",
            where=str(url),
            remedy="Check the URL; it is tried again at the next gathering",
        ) from e
    return Fetched(
        url=str(url),
        status=response.status,
        body=body,
        content_type=received.get("content-type", ""),
        etag=received.get("etag", ""),
        last_modified=received.get("last-modified", ""),
        max_age=_max_age(received.get("cache-control", "")),
        encoding=received.get("content-encoding", "").strip().lower(),
        headers=dict(received),
    )


def _read(chunks: Iterable[bytes], headers: httpx2.Headers, rules: FetchRules, url: httpx2.URL) -> bytes:
    """Read and decode a body, never holding more than the limit of either form."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise FetchError(
            f"it came in the encoding {encoding[:40]!r}, which was not asked for",
            where=str(url),
            remedy="Tell the site's operator",
        )
    parts, size = [], 0
    limited = _limited(chunks, rules.limit, url)
    for part in limited if encoding in ("identity", "") else _gunzip(limited, rules.limit, url):
        parts.append(part)
        size += len(part)
        if size > rules.limit:
            raise _too_large(rules.limit, url)
    return b"".join(parts)


def _limited(chunks: Iterable[bytes], limit: int, url: httpx2.URL) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise _too_large(limit, url)
        yield chunk


def _gunzip(chunks: Iterable[bytes], limit: int, url: httpx2.URL) -> Iterator[bytes]:
    """Decode gzip in steps of at most 1 MiB, several members in a row as well (RFC 1952 §2.2)."""
    decoder, begun = zlib.decompressobj(31), False
    try:
        for chunk in chunks:
            while chunk:
                if decoder.eof:
                    decoder = zlib.decompressobj(31)
                yield decoder.decompress(chunk, min(MIB, limit + 1))
                begun = True
                chunk = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    except zlib.error as e:
        raise FetchError(
            f"its gzip encoding is damaged: {e}",
            where=str(url),
            remedy="It is tried again at the next gathering",
        ) from e
    if begun and not decoder.eof:
        raise FetchError(
            "its gzip encoding ends early", where=str(url), remedy="It is tried again at the next gathering"
        )


def _check_status(status: int, headers: httpx2.Headers, url: str, wanted: tuple[int, ...]) -> None:
    if status in wanted:
        return
    wait = retry_after(headers)
    what, remedy = f"the server answered {status}", "Open it in a browser; correct the URL if it has moved"
    if status == 410:
        what, remedy = "it is gone for good (410)", "Remove it from the configuration, or give its new URL"
    elif status == 304:
        what = "it says that nothing has changed (304) to who has nothing"
        remedy = "Tell the site's operator; it is tried again at the next gathering"
    elif status in (429, 503):
        what = f"the server asks to come later ({status})"
        remedy = f"It is tried again {f'after {wait:.0f} seconds' if wait else 'at the next gathering'}"
    lasting = status in (404, 410)
    raise FetchError(what, where=url, remedy=remedy, status=status, retry_after=wait, lasting=lasting)


def _max_age(cache_control: str) -> timedelta:
    match = re.search(r"(?:^|,)\s*max-age=\"?(\d{1,9})", cache_control, re.IGNORECASE)
    return timedelta(seconds=int(match[1])) if match else timedelta(0)


def _join(base: httpx2.URL, there: str) -> httpx2.URL:
    try:
        return base.join(there)
    except (httpx2.InvalidURL, ValueError) as e:
        raise FetchError(
            f"it redirects to something that is not a URL: {there[:200]!r}",
            where=str(base),
            remedy="Tell the site's operator",
            lasting=True,
        ) from e


def _too_large(limit: int, url: httpx2.URL) -> FetchError:
    return FetchError(
        f"it is larger than {limit / MIB:.3g} MiB",
        where=str(url),
        remedy="Configure a smaller document, such as the feed of recent posts",
        status=200,
    )
