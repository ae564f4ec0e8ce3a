"""The built-in hub's door (WebSub §5): who asks to be subscribed, or not to be any more.

A request is only kept here. Nothing comes of it before its callback said that it is the callback's own wish: see
`distribution`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs

from newsletter.config import Config, WebSubConfig
from newsletter.errors import FetchError
from newsletter.fetch import check_url, is_public
from newsletter.model import PushMode
from newsletter.store import Store, Tx
from newsletter.store import websub as stored
from newsletter.websub.topics import is_published

LONGEST_URL = 2048  # characters
LONGEST_SECRET = 199  # bytes (WebSub §5.1: less than 200)
SHORTEST_LEASE = timedelta(hours=1)
LONGEST_LEASE = timedelta(days=30)
MOST_WAITING = 1000  # requests whose callbacks were not asked yet
MOST_WAITING_PER_HOST = 100

_URL = re.compile(r"[\x21-\x7e]+")
_NUMBER = re.compile(r"[0-9]{1,12}")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: a status, one line of text, and in how many seconds to come again."""

    status: int
    text: str
    retry_after: int = 0


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, text: str, status: int = 400, retry_after: int = 0) -> None:
        super().__init__(text)
        self.reply = Reply(status, text, retry_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    mode: PushMode
    topic: str
    callback: str
    host: str
    secret: str
    lease: int

    def values(self) -> dict[str, object]:
        """Return what the store keeps."""
        return {name: getattr(self, name) for name in self.__slots__}


def ask(store: Store, config: Config, form: bytes, *, now: datetime) -> Reply:
    """Keep a request of a subscriber, given as a urlencoded form, or say what is wrong with it."""
    try:
        wish = _wish(config, form)
        with store.write() as tx:
            return _keep(tx, config.websub, wish, now=now)
    except _Refused as e:
        return e.reply


def _wish(config: Config, form: bytes) -> _Wish:
    fields = _fields(form)
    mode = fields.get("hub.mode", "")
    if mode not in (PushMode.SUBSCRIBE, PushMode.UNSUBSCRIBE):
        raise _Refused("hub.mode must be subscribe or unsubscribe")
    callback, topic = fields.get("hub.callback", ""), fields.get("hub.topic", "")
    _parse(topic, "hub.topic")
    host = _host(callback, config.websub)
    secret = fields.get("hub.secret", "")
    if len(secret.encode()) > LONGEST_SECRET or not secret.isprintable():
        raise _Refused("hub.secret must be printable and less than 200 bytes long")
    lease = _lease(fields.get("hub.lease_seconds"), config.websub.lease)
    return _Wish(
        mode=PushMode(mode)
        if is_published(config, topic) or mode == PushMode.UNSUBSCRIBE
        else PushMode.DENIED,
        topic=topic,
        callback=callback,
        host=host,
        secret=secret,
        lease=lease,
    )


def _keep(tx: Tx, limits: WebSubConfig, wish: _Wish, *, now: datetime) -> Reply:
    known = stored.subscribed(tx, wish.callback, wish.topic)
    accepted = Reply(202, "accepted: the callback is asked next")
    if wish.mode is PushMode.UNSUBSCRIBE and not known:
        return accepted  # there is nothing to end; whether there was is nobody's business
    if stored.requested(tx, wish.values()):
        return accepted
    of_host, of_all = stored.waiting(tx, wish.host)
    if of_host >= MOST_WAITING_PER_HOST:
        raise _Refused("too many requests of this host wait", 429, 60)
    if of_all >= MOST_WAITING:
        raise _Refused("too many requests wait", 503, 60)
    if wish.mode is PushMode.SUBSCRIBE and not known:
        ours, all_ours = stored.subscribers(tx, wish.host)
        if ours + of_host >= limits.per_host:
            raise _Refused("this host has as many subscriptions as one may have", 429, 3600)
        if all_ours + of_all >= limits.subscriptions:
            raise _Refused("there are as many subscriptions as this hub takes", 503, 3600)
    stored.request(tx, wish.values(), now=now)
    return accepted


def _fields(form: bytes) -> dict[str, str]:
    try:
        found = parse_qs(
            form.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=50,
            strict_parsing=True,
        )
    except ValueError:
        raise _Refused("the body is no form (application/x-www-form-urlencoded, UTF-8)") from None
    twice = [name for name, values in found.items() if name.startswith("hub.") and len(values) > 1]
    if twice:
        raise _Refused(f"{twice[0][:40]!r} stands there twice")
    return {name: values[0] for name, values in found.items()}


def _parse(url: str, name: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL that may be asked; its errors never repeat it."""
    if not 1 <= len(url) <= LONGEST_URL or not _URL.fullmatch(url):
        raise _Refused(f"{name} must be a URL of at most {LONGEST_URL} printable ASCII characters")
    if "#" in url:
        raise _Refused(f"{name} must not have a fragment")
    if "@" in re.split(r"[/?]", url.partition("://")[2])[0]:
        raise _Refused(f"{name} must not have a user name")
    try:
        parsed = check_url(url)
    except FetchError as e:
        raise _Refused(f"{name}: {e.what}") from None
    return parsed.scheme, parsed.host.lower().rstrip("."), parsed.port or _PORTS[parsed.scheme]


def _host(callback: str, rules: WebSubConfig) -> str:
    """Return the host of a callback, by which it is counted; names are looked up when it is called."""
    _, host, port = _parse(callback, "hub.callback")
    if rules.ports and port not in rules.ports:
        raise _Refused(f"hub.callback must be at one of the ports {', '.join(map(str, rules.ports))}")
    if not rules.allow_private_addresses:
        try:
            public = is_public(host)
        except ValueError:  # a name
            public = host != "localhost" and not host.endswith(".localhost")
        if not public:
            raise _Refused("hub.callback must be at a public address")
    return host


def _lease(given: str | None, default: timedelta) -> int:
    """Return the lease in seconds: what was asked for within bounds (WebSub §5.1 lets the hub decide)."""
    if given is None or given == "":
        return int(default.total_seconds())
    if not _NUMBER.fullmatch(given) or int(given) == 0:
        raise _Refused("hub.lease_seconds must be a positive number")
    least, most = int(SHORTEST_LEASE.total_seconds()), int(LONGEST_LEASE.total_seconds())
    return min(max(int(given), least), most)
