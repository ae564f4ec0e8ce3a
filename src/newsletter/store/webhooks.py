"""The outbox of webhooks: what happened is written in the transaction in which it happened.

Nothing is written that no webhook asks for. Events tell ids, never an address, so erasing a person needs no look here.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from newsletter.model import Consent, ConsentAct, EventKind, WebhookEvent, WebhookState
from newsletter.store.engine import Store, Tx
from newsletter.store.schema import issues, webhook_events, webhooks

IMPORT = "import"  # the channel of an import, which tells nobody
_E, _W = webhook_events, webhooks
_ACTS = {
    ConsentAct.CONFIRMED: EventKind.SUBSCRIBER_CONFIRMED,
    ConsentAct.IMPORTED: EventKind.SUBSCRIBER_CONFIRMED,  # one person who was added, with how they agreed
    ConsentAct.WITHDRAWN: EventKind.SUBSCRIBER_UNSUBSCRIBED,
}


# Who is to be told


def configure(store: Store, wanted: Mapping[str, Sequence[EventKind]]) -> Store:
    """Let a store know the webhooks that are configured, and forget the others with what waits for them."""
    try:
        given = {url: sorted(events) for url, events in wanted.items()}
        with store.read() as tx:
            known = _configured(tx)
        if known != given:
            with store.write() as tx:
                _configure(tx, given)
    except BaseException:
        store.close()
        raise
    return store


def _configured(tx: Tx) -> dict[str, list[str]]:
    return {row.url: row.events for row in tx.execute(select(_W.c.url, _W.c.events))}


def _configure(tx: Tx, given: Mapping[str, Sequence[str]]) -> None:
    known = _configured(tx)
    for url in known.keys() - given.keys():
        tx.execute(delete(_W).where(_W.c.url == url))
        tx.execute(delete(_E).where(_E.c.url == url))
    for url, events in given.items():
        if url in known:
            tx.execute(update(_W).where(_W.c.url == url).values(events=events))
        else:
            tx.execute(insert(_W).values(url=url, events=events))


# Telling


def tell(tx: Tx, kind: EventKind, data: Mapping[str, Any], *, now: datetime) -> None:
    """Note an event for every webhook that asks for its kind."""
    _tell(tx, [(kind, data, now)])


def tell_consents(tx: Tx, lines: Iterable[Consent]) -> None:
    """Note what lines of the consent ledger mean for others; an import is no event."""
    told = [
        (
            kind,
            {"subscriber_id": one.subscriber_id, "newsletter": one.newsletter, "channel": one.channel},
            one.at,
        )
        for one in lines
        if one.channel != IMPORT and (kind := _ACTS.get(one.act)) is not None
    ]
    if told:
        _tell(tx, told)


def tell_issue(tx: Tx, kind: EventKind, issue_id: int, *, now: datetime) -> None:
    """Note what became of an issue; of a batch of letters nothing is told."""
    if not (urls := _configured(tx)):
        return
    row = tx.execute(
        select(issues.c.newsletter, issues.c.number, issues.c.subject, issues.c.due).where(
            issues.c.id == issue_id
        )
    ).one()
    if row.number < 0:
        return
    data = {"issue_id": issue_id, "newsletter": row.newsletter, "number": row.number}
    _put(tx, urls, [(kind, {**data, "subject": row.subject, "due": _written(row.due)}, now)])


_Told = tuple[EventKind, Mapping[str, Any], datetime]


def _tell(tx: Tx, told: Sequence[_Told]) -> None:
    if urls := _configured(tx):
        _put(tx, urls, told)


def _put(tx: Tx, urls: Mapping[str, Sequence[str]], told: Sequence[_Told]) -> None:
    rows = []
    for kind, data, at in told:
        event = f"evt_{secrets.token_hex(16)}"
        body = json.dumps(
            {"type": kind.value, "timestamp": _written(at), "data": dict(data)}, ensure_ascii=False
        )
        same = {"event": event, "kind": kind, "at": at, "body": body, "next_at": at}
        rows += [{**same, "url": url} for url, kinds in urls.items() if kind.value in kinds]
    if rows:
        tx.execute(insert(_E), rows)


def _written(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


# Delivering


def urls_due(tx: Tx, *, now: datetime) -> list[str]:
    """Return the webhooks for which something is due."""
    return list(tx.execute(select(_E.c.url).where(_E.c.next_at <= now).distinct()).scalars())


def due(tx: Tx, url: str, *, now: datetime, limit: int) -> list[WebhookEvent]:
    """Return a webhook's events that are due, those first that did not fail, then the oldest."""
    query = select(*_E.c).where(_E.c.url == url, _E.c.next_at <= now).order_by(_E.c.attempts, _E.c.id)
    return [WebhookEvent(**row._mapping) for row in tx.execute(query.limit(limit))]


def taken(tx: Tx, one: WebhookEvent, *, now: datetime) -> None:
    """Note that a webhook took an event: it is done with."""
    tx.execute(delete(_E).where(_E.c.id == one.id))
    tx.execute(update(_W).where(_W.c.url == one.url).values(told=_W.c.told + 1, told_at=now))


def not_taken(tx: Tx, one: WebhookEvent, *, next_at: datetime | None, failure: str) -> None:
    """Note that a webhook did not take an event, and when to try again; without an instant it is given up."""
    values = {"next_at": next_at, "failure": failure, "attempts": one.attempts + 1}
    tx.execute(update(_E).where(_E.c.id == one.id).values(**values))


def try_again(tx: Tx, *, now: datetime) -> int:
    """Let everything be tried at once, for as long as at first, that was put off or given up; return how many."""
    values = {"next_at": now, "at": now, "attempts": 0}
    return tx.execute(update(_E).where(_E.c.failure != "").values(**values)).rowcount


def states(tx: Tx) -> list[WebhookState]:
    """Return how every webhook stands, by URL."""
    given_up = func.count().filter(_E.c.next_at.is_(None))
    query = select(_E.c.url, func.count().label("all"), given_up.label("given_up")).group_by(_E.c.url)
    counts = {row.url: (row.all, row.given_up) for row in tx.execute(query)}
    newest = select(_E.c.url, _E.c.failure).where(_E.c.failure != "").order_by(_E.c.id)
    failures = {row.url: row.failure for row in tx.execute(newest)}
    found = []
    for row in tx.execute(select(_W).order_by(_W.c.url)):
        every, lost = counts.get(row.url, (0, 0))
        found.append(
            WebhookState(
                url=row.url,
                events=tuple(EventKind(one) for one in row.events),
                told=row.told,
                told_at=row.told_at,
                waiting=every - lost,
                given_up=lost,
                failure=failures.get(row.url, ""),
            )
        )
    return found
