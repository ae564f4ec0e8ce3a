"""Tell webhooks what happened, as the Standard Webhooks conventions say: signed, at least once, under a stable id.

An event leaves the outbox when its receiver has answered with 2xx. When the process dies between the two, the event
is told again: its `webhook-id` is the same, so that a receiver can tell.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from newsletter.config import Config, WebhookConfig
from newsletter.errors import ConfigError, FetchError, InputError
from newsletter.fetch import call, rules_of
from newsletter.model import WebhookEvent, WebhookState
from newsletter.store import Store, meta
from newsletter.store import webhooks as stored
from newsletter.websub.pace import next_try

CONNECT, TOTAL = 5.0, 10.0  # seconds
_AT_ONCE = 500  # events of a webhook that are read together
TEST = "webhook.test"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What one try came to: `failure` is empty when it was taken; `lasting` when only this event is at fault."""

    url: str
    status: int = 0
    failure: str = ""
    retry_after: float | None = None
    lasting: bool = False


def _now() -> datetime:
    return datetime.now(UTC)


def deliver(
    store: Store,
    config: Config,
    *,
    stop: threading.Event | None = None,
    clock: Callable[[], datetime] = _now,
) -> bool:
    """Tell every webhook what is due; False when another process is at it, or none may be.

    Webhooks are served beside each other, and each is told one event after the other. A restored or copied store
    tells nothing before the editor resumes it.
    """
    if not config.webhooks:
        return False
    with store.read() as tx:
        urls = stored.urls_due(tx, now=clock())
        if meta.pause_reason(tx):
            return False
    due = [one for one in config.webhooks if one.url in urls]
    if not due:
        return True
    with store.lock("webhooks") as mine:
        if mine:
            _side_by_side(_Line(store, config, clock, stop or threading.Event()), due)
        return mine


def _side_by_side(line: _Line, due: Sequence[WebhookConfig]) -> None:
    """Serve each in a thread of its own, which keeps no process from ending; raises what went wrong with ourselves."""
    failed: list[BaseException] = []

    def work(hook: WebhookConfig) -> None:
        try:
            line.serve(hook)
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=work, args=(one,), name="webhook", daemon=True) for one in due]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


@dataclass(frozen=True, slots=True)
class _Line:
    store: Store
    config: Config
    clock: Callable[[], datetime]
    stop: threading.Event

    def serve(self, hook: WebhookConfig) -> None:
        """Tell one webhook what is due, until it is at fault itself."""
        with self.store.read() as tx:
            events = stored.due(tx, hook.url, now=self.clock(), limit=_AT_ONCE)
        for done, one in enumerate(events):
            if self.stop.is_set():
                return
            tried = send(self.config, hook, one.event, one.body, now=self.clock())
            if not tried.failure:
                with self.store.write() as tx:
                    stored.taken(tx, one, now=self.clock())
                continue
            self._put_off([one] if tried.lasting else events[done:], tried)
            if not tried.lasting:
                return

    def _put_off(self, failed: Sequence[WebhookEvent], tried: Tried) -> None:
        """Try all of them again at one instant: who is away is asked once, not once for each event."""
        now, given_up = self.clock(), 0
        attempts = max(one.attempts for one in failed)
        at = next_try(now, attempts, now=now, retry_after=tried.retry_after)
        with self.store.write() as tx:
            for one in failed:
                last = next_try(one.at, attempts, now=now)
                stored.not_taken(tx, one, next_at=at if last is not None else None, failure=tried.failure)
                given_up += last is None
        host = urlsplit(tried.url).hostname
        if given_up:
            log.error(
                "the webhook at %s was not told of %d events: %s; given up", host, given_up, tried.failure
            )
        else:
            log.warning("the webhook at %s was not told of %d events: %s", host, len(failed), tried.failure)


def send(config: Config, hook: WebhookConfig, event: str, body: str, *, now: datetime) -> Tried:
    """Send one event once; a redirect is no place to send it to."""
    rules = replace(
        rules_of(config), allow_private=hook.allow_private_addresses, connect=CONNECT, total=TOTAL, limit=0
    )
    stamp, raw = str(int(now.timestamp())), body.encode()
    try:
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event,
            "webhook-timestamp": stamp,
            "webhook-signature": signature(hook.secrets(config.folder), event, stamp, raw),
        }
        answer = call(hook.url, rules, method="POST", body=raw, headers=headers)
    except (ConfigError, FetchError) as e:
        return Tried(url=hook.url, failure=e.what)
    if answer.good:
        return Tried(url=hook.url, status=answer.status)
    only_this = 400 <= answer.status < 500 and answer.status not in (401, 403, 404, 408, 410, 429)
    return Tried(
        url=hook.url,
        status=answer.status,
        failure=f"it answered {answer.status}",
        retry_after=answer.retry_after,
        lasting=only_this,
    )


def signature(keys: Sequence[bytes], event: str, stamp: str, body: bytes) -> str:
    """Return `v1,…` for each key: HMAC-SHA256 over id, timestamp and body with dots between them, in Base64."""
    text = b".".join((event.encode(), stamp.encode(), body))
    return " ".join(f"v1,{base64.b64encode(hmac.digest(key, text, 'sha256')).decode()}" for key in keys)


# The editor's side


def listed(store: Store) -> list[WebhookState]:
    """Return how every webhook stands."""
    with store.read() as tx:
        return stored.states(tx)


def probe(config: Config, url: str | None = None, *, now: datetime) -> list[Tried]:
    """Send an event of the type `webhook.test` to one webhook, or to all; it is not kept and not repeated."""
    hooks = [one for one in config.webhooks if url in (None, one.url)]
    if not hooks:
        what = "no webhook is configured" if url is None else f"there is no webhook {url[:200]}"
        raise InputError(what, where="[[webhooks]]", remedy="See: newsletter webhooks list")
    stamp = now.astimezone(UTC).isoformat().replace("+00:00", "Z")
    body = json.dumps({"type": TEST, "timestamp": stamp, "data": {}})
    return [send(config, one, f"evt_{secrets.token_hex(16)}", body, now=now) for one in hooks]


def retry(store: Store, config: Config, *, clock: Callable[[], datetime] = _now) -> int:
    """Try at once what was put off or given up; return how many events that was."""
    with store.write() as tx:
        count = stored.try_again(tx, now=clock())
    deliver(store, config, clock=clock)
    return count
