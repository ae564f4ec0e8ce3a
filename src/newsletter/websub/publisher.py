"""Tell hubs once of every feed that changed, after its bytes are public.

    publish > note (what differs from what was announced) > store > tell, until the hub said yes or a day is over

What was announced is kept in the store and compared with the files: a crash between publishing and noting loses
nothing, it is noted the next time.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlencode, urlsplit

from newsletter.config import Config
from newsletter.errors import FetchError
from newsletter.fetch import FetchRules, call
from newsletter.model import Finding, HubNotice
from newsletter.store import Store
from newsletter.store import websub as stored
from newsletter.store.websub import Announced
from newsletter.websub.pace import next_try
from newsletter.websub.topics import published

log = logging.getLogger(__name__)


def note(store: Store, config: Config, *, now: datetime) -> int:
    """Note every feed that is not as it was announced, for hubs and subscribers; return how many."""
    if not config.hubs:
        return 0
    with store.read() as tx:
        before = stored.announced(tx)
        kept = {one.hub for one in stored.notices(tx)} <= set(config.feeds.hubs)
    changed: list[Announced] = []
    same: list[Announced] = []
    seen: set[str] = set()
    for topic, file in published(config):
        seen.add(topic)
        known = before.get(topic)
        try:
            facts = file.stat()
            if known is not None and (known.size, known.modified) == (facts.st_size, facts.st_mtime_ns):
                continue
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError:
            continue  # it went while we looked
        one = Announced(topic, facts.st_size, facts.st_mtime_ns, digest)
        (changed if known is None or known.sha256 != digest else same).append(one)
    gone = before.keys() - seen
    if changed or same or gone or not kept:
        with store.write() as tx:
            stored.announce(tx, [*changed, *same])
            stored.forget(tx, gone)
            stored.keep_hubs(tx, config.feeds.hubs)
            for one in changed:
                stored.notify(tx, config.feeds.hubs, one, now=now)
                stored.changed(tx, one, now=now)
    return len(changed)


def tell(
    store: Store, hub: str, rules: FetchRules, *, clock: Callable[[], datetime], stop: threading.Event
) -> None:
    """Tell a hub what is due, one feed a request: of several in one, each hub wants another form."""
    with store.read() as tx:
        due = stored.notices(tx, hub, due=clock())
    for done, one in enumerate(due):
        if stop.is_set():
            return
        failure, wait, lasting = _tell(one, rules)
        if not failure:
            with store.write() as tx:
                stored.told(tx, one)
            continue
        failed = [one] if lasting else due[done:]  # the hub is at fault, not this feed
        _put_off(store, failed, failure, wait, now=clock())
        if not lasting:
            return


def _tell(one: HubNotice, rules: FetchRules) -> tuple[str, float | None, bool]:
    """Return why a hub was not told, how long it asks to wait, and whether this feed alone is at fault."""
    body = urlencode({"hub.mode": "publish", "hub.url": one.topic}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        answer = call(one.hub, rules, method="POST", body=body, headers=headers)
    except FetchError as e:
        return e.what, None, False
    if answer.good:
        return "", None, False
    only_this = 400 <= answer.status < 500 and answer.status not in (404, 408, 410, 429)
    return f"it answered {answer.status}", answer.retry_after, only_this


def _put_off(
    store: Store, failed: list[HubNotice], failure: str, wait: float | None, *, now: datetime
) -> None:
    given_up = 0
    with store.write() as tx:
        for one in failed:
            at = next_try(one.since, one.attempts, now=now, retry_after=wait)
            stored.not_told(tx, one, next_at=at, failure=failure)
            given_up += at is None
    host = urlsplit(failed[0].hub).hostname
    if given_up:
        log.error("the hub at %s was not told of %d changed feeds: %s; given up", host, given_up, failure)
    else:
        log.warning("the hub at %s was not told of %d changed feeds: %s", host, len(failed), failure)


def findings(store: Store) -> list[Finding]:
    """Return the hubs that could not be told: an error for what was given up, advice for what is tried again."""
    with store.read() as tx:
        failing = [one for one in stored.notices(tx) if one.failure]
    groups: dict[tuple[str, bool, str], list[str]] = {}
    for one in failing:
        groups.setdefault((one.hub, one.next_at is None, one.failure), []).append(one.topic)
    found = []
    for (hub, given_up, failure), topics in groups.items():
        more = f" and {len(topics) - 1} more" if len(topics) > 1 else ""
        rule = f"a hub is told of changed feeds: {failure}"
        remedy = "It is tried again"
        if given_up:
            remedy = "Mend or remove the hub under [feeds], then: newsletter websub send"
        found.append(Finding(where=hub, place=topics[0] + more, rule=rule, remedy=remedy, error=given_up))
    return found
