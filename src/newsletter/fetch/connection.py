"""Where to, and how: the rules of a fetch, the check of a URL, and connections to checked addresses only.

Names are resolved here, every address is checked, and the socket is connected to a checked address: a name that
resolves differently a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import email.utils
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC
from functools import cache
from queue import Empty, SimpleQueue

import httpcore2
import httpx2

from newsletter import __version__
from newsletter.config import Config
from newsletter.errors import FetchError

MIB = 1024 * 1024
_PIECE = 64 * 1024
_NO_SUCH_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_GLOBAL = (  # which Python 3.11 takes for global: protocol assignments, 6to4 relays, documentation
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("3fff::/20"),
)
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214 §6.1: what stands before the IPv4 address


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRules:
    """How politely and how far: durations in seconds, `limit` in bytes of the body before and after decoding.

    `tls` is the context of https connections, the system's trust by default.
    """

    user_agent: str = f"newsletter/{__version__}"
    allow_private: bool = False
    connect: float = 10.0
    total: float = 60.0
    limit: int = 15 * MIB
    redirects: int = 5
    tls: ssl.SSLContext | None = field(default=None, repr=False)


def rules_of(config: Config) -> FetchRules:
    """Return the rules a publication's configuration asks for; the User-Agent says whom to write to."""
    contact = config.gather.user_agent_contact or config.publication.contact
    name = f"newsletter/{__version__} (+{config.publication.url}; {contact})"
    return FetchRules(
        user_agent=name.encode("ascii", "replace").decode(),
        allow_private=config.gather.allow_private_addresses,
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
    """Tell whether an IP address is global unicast, also inside IPv4-mapped, 6to4, Teredo, ISATAP, NAT64 forms."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64 or int(ip) >> 32 & 0xFFFFFFFF in _ISATAP:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        embedded = [one for one in inner if one is not None]
        if embedded:
            return all(is_public(str(one)) for one in embedded)
        if ip.is_site_local:
            return False
    if any(ip in network for network in _NOT_GLOBAL):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class _Stream(httpcore2.NetworkStream):
    """A connection that cannot outlive the deadline, however slowly its bytes drip."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, left_until(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        whole = memoryview(buffer)
        for start in range(0, len(whole), _PIECE):  # each send inside would get the whole time anew
            piece = bytes(whole[start : start + _PIECE])
            self._inner.write(piece, left_until(self._deadline))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, left_until(self._deadline))
        return _Stream(inner, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


class Outgoing(httpcore2.NetworkBackend):
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
        limit = min(self._rules.connect, left_until(self._deadline))
        for address in _resolve(host, port, self._rules, limit):
            try:
                limit = min(self._rules.connect, left_until(self._deadline))
                return _Stream(self._inner.connect_tcp(address, port, limit), self._deadline)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as e:
                failure = e
        raise failure


def _resolve(host: str, port: int, rules: FetchRules, limit: float) -> list[str]:
    try:
        found = _look_up(host, port, limit)
    except (OSError, UnicodeError) as e:
        raise FetchError(
            f"the name {host} cannot be resolved",
            where=host,
            remedy="Check its spelling and the network",
            lasting=isinstance(e, UnicodeError) or e.errno in _NO_SUCH_NAME,
        ) from e
    addresses = list(dict.fromkeys(found))
    refused = [one for one in addresses if not (rules.allow_private or is_public(one))]
    if refused:
        raise FetchError(
            f"it leads to {refused[0]}, which is not a public address",
            where=host,
            remedy="If that is meant, set allow_private_addresses = true under [gather]",
            lasting=True,
        )
    return addresses


def _look_up(host: str, port: int, limit: float) -> list[str]:
    """Return a name's addresses; the system's resolver has no limit of its own that could be set here.

    Raises OSError and UnicodeError as `socket.getaddrinfo` does, httpcore2.ConnectTimeout after `limit` seconds.
    """
    answer: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.put([str(entry[4][0]) for entry in found])
        except Exception as e:
            answer.put(e)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        got = answer.get(timeout=limit)
    except Empty:
        raise httpcore2.ConnectTimeout("the name was not resolved in time") from None
    if isinstance(got, Exception):
        raise got
    return got


def left_until(deadline: float) -> float:
    """Return the seconds left; raises httpcore2.ReadTimeout when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("the time allowed is over")
    return left


@cache
def trust() -> ssl.SSLContext:
    """Return the system's trust, loaded once."""
    return ssl.create_default_context()


def retry_after(headers: httpx2.Headers) -> float | None:
    """Read Retry-After in seconds; its date form counts from the answer's own Date, if any (RFC 9110 §10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", value):
        return float(value)
    then = _http_date(value)
    since = _http_date(headers.get("date", ""))
    return None if then is None else max(0.0, then - (time.time() if since is None else since))


def _http_date(text: str) -> float | None:
    """Read a date in seconds since 1970; one that names no zone is in UTC (RFC 9110 §5.6.7)."""
    try:
        read = email.utils.parsedate_to_datetime(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
