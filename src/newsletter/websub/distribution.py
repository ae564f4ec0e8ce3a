"""What the built-in hub asks and sends its subscribers' callbacks (WebSub §5.3 and §7), one host after its own line.

A callback is a URL that a stranger named: it is called at public addresses only, its redirects are not followed, and
little of what it answers is read.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

from newsletter.config import Config
from newsletter.errors import FetchError
from newsletter.fetch import Answer, FetchRules, call, rules_of
from newsletter.model import PushMode, PushRequest, PushSubscription
from newsletter.store import Store
from newsletter.store import websub as stored
from newsletter.websub import topics
from newsletter.websub.pace import next_try

TRIES = 3  # of asking a callback that does not answer
MOST_AT_ONCE = 50  # requests, and documents, of a host in one go
PAUSE = 0.05  # seconds between two questions to one host
CONNECT, TOTAL = 5.0, 10.0  # seconds
GONE = 410

log = logging.getLogger(__name__)


def rules_for(config: Config) -> FetchRules:
    """Return the rules by which hubs and callbacks are called; nothing of the answer is read."""
    private = config.websub.allow_private_addresses
    return replace(rules_of(config), allow_private=private, connect=CONNECT, total=TOTAL, limit=0)


@dataclass(frozen=True, slots=True)
class Distributor:
    """Serves one host at a time; `stop` ends it after what is on its way."""

    store: Store
    config: Config
    rules: FetchRules
    clock: Callable[[], datetime]
    stop: threading.Event

    def serve(self, host: str) -> None:
        """Ask and send a host what is due, until it does not answer: then others are tried first."""
        with self.store.read() as tx:
            pushes = stored.pushes_due(tx, host, now=self.clock(), limit=MOST_AT_ONCE)
            requests = stored.requests_due(tx, host, now=self.clock(), limit=MOST_AT_ONCE)
        for push in pushes:
            if self.stop.is_set() or not self._deliver(push):
                return
        for request in requests:
            if self.stop.wait(PAUSE) or not self._ask(request):
                return

    # Documents

    def _deliver(self, one: PushSubscription) -> bool:
        """Send a callback its topic's document as it is now; tell whether there was an answer."""
        document = topics.read(self.config, one.topic)
        if document is None:
            with self.store.write() as tx:
                stored.nothing_to_serve(tx, one)
            return True
        headers = {
            "Content-Type": topics.content_type(one.topic),
            "Link": topics.links(self.config, one.topic, self.config.hubs[:1]),
        }
        if one.secret:
            headers["X-Hub-Signature"] = (
                f"sha256={hmac.digest(one.secret.encode(), document, 'sha256').hex()}"
            )
        try:
            answer = call(one.callback, self.rules, method="POST", body=document, headers=headers)
        except FetchError as e:
            self._not_served(one, e.what, None)
            return False
        if answer.good:
            with self.store.write() as tx:
                stored.served(tx, one, hashlib.sha256(document).hexdigest(), now=self.clock())
        elif answer.status == GONE:
            with self.store.write() as tx:
                stored.remove(tx, one.id)
        else:
            self._not_served(one, f"it answered {answer.status}", answer.retry_after)
        return True

    def _not_served(self, one: PushSubscription, failure: str, wait: float | None) -> None:
        now = self.clock()
        at = next_try(one.since or now, one.attempts, now=now, retry_after=wait)
        with self.store.write() as tx:
            stored.not_served(tx, one, next_at=at, failure=failure)
        again = "given up until the next change" if at is None else "tried again"
        log.info("websub: %s did not take a feed: %s; %s", one.host, failure, again)

    # Verification of intent

    def _ask(self, one: PushRequest) -> bool:
        """Ask a callback whether a wish is its own, and do it when it is; tell whether there was an answer."""
        challenge = secrets.token_urlsafe(32)
        query = {"hub.mode": one.mode.value, "hub.topic": one.topic}
        if one.mode is PushMode.DENIED:
            query["hub.reason"] = "this hub has no such topic"
        else:
            query["hub.challenge"] = challenge
        if one.mode is PushMode.SUBSCRIBE:
            query["hub.lease_seconds"] = str(one.lease)
        url = f"{one.callback}{'&' if '?' in one.callback else '?'}{urlencode(query)}"
        try:
            answer = call(url, replace(self.rules, limit=len(challenge)))
        except FetchError as e:
            lasting = e.lasting or one.attempts + 1 >= TRIES
            self._unanswered(one) if not lasting else self._settle(one, confirmed=False)
            return False
        if answer.status >= 500 and one.attempts + 1 < TRIES:
            self._unanswered(one)
        else:
            self._settle(one, confirmed=_echoes(answer, challenge))
        return True

    def _unanswered(self, one: PushRequest) -> None:
        now = self.clock()
        with self.store.write() as tx:
            stored.put_off(tx, one, next_at=next_try(now, one.attempts, now=now) or now)

    def _settle(self, one: PushRequest, *, confirmed: bool) -> None:
        now = self.clock()
        with self.store.write() as tx:
            ends = now + timedelta(seconds=one.lease)
            stored.settle(tx, one, confirmed_at=now if confirmed else None, expires_at=ends)
        if one.mode is not PushMode.DENIED:
            log.info("websub: %s of %s %s", one.mode, one.host, "done" if confirmed else "not confirmed")


def _echoes(answer: Answer, challenge: str) -> bool:
    """Tell whether the body is the challenge and nothing else."""
    return hmac.compare_digest(answer.body, challenge.encode()) and answer.good
