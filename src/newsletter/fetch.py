"""The only way out over HTTP: bounded in time, size and destination.

Names are resolved here, every address is checked, and the socket is connected to a checked address, at each
redirect anew: a name that resolves differently a moment later (DNS rebinding) gains nothing. Proxies and
credentials from the environment are not used.
"""

from __future__ import annotations

import email.utils
import ipaddress
import re
import socket
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Literal

import httpcore2
import httpx2

from newsletter import __version__
from newsletter.config import Config
from newsletter.errors import FetchError

_MIB = 1024 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PERMANENT = frozenset({301, 308})
_NO_SUCH_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRules:
    """How politely and how far: durations in seconds, `limit` in bytes of the body before and after decoding.

    `tls` is the context of https connections, the system's trust by default.
    """

    user_agent: str = f"newsletter/{__version__}"
    allow_private: bool = False
    connect: float = 10.0
    total: float = 60.0
    limit: int = 15 * _MIB
    redirects: int = 5
    tls: ssl.SSLContext | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came back: `body` decoded, `etag` and `last_modified` verbatim, to be given back next time.

    `url` is where the body came from, `moved_to` the URL to use from now on when every redirect was permanent.
    `max_age` is what the server calls fresh, `encoding` the Content-Encoding in which the body came.
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

    @property
    def not_modified(self) -> bool:
        """Whether the server said that what we have is what there is (304)."""
        return self.status == 304


def rules_of(config: Config) -> FetchRules:
    """Return the rules a publication's configuration asks for; the User-Agent says whom to write to."""
    contact = config.gather.user_agent_contact or config.publication.contact
    name = f"newsletter/{__version__} (+{config.publication.url}; {contact})"
    return FetchRules(
        user_agent=name.encode("ascii", "replace").decode(),
        allow_private=config.gather.allow_private_addresses,
    )


def fetch(
    url: str,
    rules: FetchRules,
    *,
    method: Literal["GET", "HEAD"] = "GET",
    etag: str = "",
    last_modified: str = "",
    accept: str = "*/*",
) -> Fetched:
    """Get a URL, following at most `rules.redirects` redirects within one deadline; HEAD brings no body.

    Raises FetchError: refused destination, no answer, too slow, too large, or a status that is not 200 or 304.
    """
    deadline = time.monotonic() + rules.total
    headers = {"User-Agent": rules.user_agent, "Accept": accept, "Accept-Encoding": "gzip"}
    if etag:
        headers["If-None-Match"] = etag
    if last_modified:
        headers["If-Modified-Since"] = last_modified
    here, permanent = check_url(url), True
    for _ in range(rules.redirects + 1):
        answer = _ask(method, here, headers, rules, deadline)
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


def check_url(url: str) -> httpx2.URL:
    """Parse an http or https URL without credentials; raises FetchError for anything else."""
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError) as e:
        raise FetchError(f"this is not a URL: {e}", where=url[:200], remedy="Correct it", lasting=True) from e
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise FetchError(
            "only http:// and https:// URLs are fetched", where=url[:200], remedy="Correct it", lasting=True
        )
    if parsed.userinfo:
        raise FetchError(
            "a URL that carries a user name or password is not fetched",
            where=str(parsed.copy_with(userinfo=b"")),
            remedy="Remove everything before the @",
            lasting=True,
        )
    return parsed.copy_with(fragment=None)


def is_public(address: str) -> bool:
    """Tell whether an IP address is global unicast, also behind IPv4-mapped, 6to4, Teredo and NAT64 forms."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        embedded = [one for one in inner if one is not None]
        if embedded:
            return all(is_public(str(one)) for one in embedded)
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class _Stream(httpcore2.NetworkStream):
    """A connection that cannot outlive the deadline, however slowly its bytes drip."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _Stream(inner, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


class _Outgoing(httpcore2.NetworkBackend):
    """Resolves, checks every address and connects to one that was checked."""

    def __init__(self, rules: FetchRules, deadline: float) -> None:
        self._rules = rules
        self._deadline = deadline
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception = httpcore2.ConnectError("the name has no address")
        for address in _resolve(host, port, self._rules):
            try:
                limit = min(self._rules.connect, _left(self._deadline))
                return _Stream(self._inner.connect_tcp(address, port, limit), self._deadline)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as e:
                failure = e
        raise failure


def _resolve(host: str, port: int, rules: FetchRules) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        raise FetchError(
            f"the name {host} cannot be resolved",
            where=host,
            remedy="Check its spelling and the network",
            lasting=isinstance(e, UnicodeError) or e.errno in _NO_SUCH_NAME,
        ) from e
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    refused = [one for one in addresses if not (rules.allow_private or is_public(one))]
    if refused:
        raise FetchError(
            f"it leads to {refused[0]}, which is not a public address",
            where=host,
            remedy="If that is meant, set allow_private_addresses = true under [gather]",
            lasting=True,
        )
    return addresses


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("the time allowed is over")
    return left


def _ask(
    method: str, url: httpx2.URL, headers: dict[str, str], rules: FetchRules, deadline: float
) -> Fetched | tuple[int, str]:
    """Make one request; return what came, or (status, Location) of a redirect."""
    sent = [("Host", url.netloc.decode("ascii")), *headers.items()]
    target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    context = (rules.tls or _trust()) if url.scheme == "https" else None
    try:
        with (
            httpcore2.ConnectionPool(ssl_context=context, network_backend=_Outgoing(rules, deadline)) as pool,
            pool.stream(method, target, headers=sent) as response,
        ):
            received = httpx2.Headers(response.headers)
            if response.status in _REDIRECTS and "location" in received:
                return response.status, received["location"]
            _check_status(response.status, received, str(url))
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
                yield decoder.decompress(chunk, min(_MIB, limit + 1))
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


def _check_status(status: int, headers: httpx2.Headers, url: str) -> None:
    if status in (200, 304):
        return
    wait = _retry_after(headers)
    what, remedy = f"the server answered {status}", "Open it in a browser; correct the URL if it has moved"
    if status == 410:
        what, remedy = "it is gone for good (410)", "Remove it from the configuration, or give its new URL"
    elif status in (429, 503):
        what = f"the server asks to come later ({status})"
        remedy = f"It is tried again {f'after {wait:.0f} seconds' if wait else 'at the next gathering'}"
    lasting = status in (404, 410)
    raise FetchError(what, where=url, remedy=remedy, status=status, retry_after=wait, lasting=lasting)


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Read Retry-After in seconds; its date form counts from the answer's own Date (RFC 9110 §10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", value):
        return float(value)
    try:
        then = email.utils.parsedate_to_datetime(value)
        since = email.utils.parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (then - since).total_seconds())
    except (ValueError, TypeError):
        return None


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
        f"it is larger than {limit / _MIB:.3g} MiB",
        where=str(url),
        remedy="Configure a smaller document, such as the feed of recent posts",
        status=200,
    )


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()
