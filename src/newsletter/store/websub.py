"""WebSub: what was last announced of each feed, what hubs are to be told, and the subscribers of our own hub."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, case, delete, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from newsletter.model import HubNotice, PushMode, PushRequest, PushSubscription
from newsletter.store.columns import Instant
from newsletter.store.engine import Tx
from newsletter.store.schema import (
    websub_notices,
    websub_requests,
    websub_subscriptions,
    websub_topics,
)

_N, _R, _S, _T = websub_notices, websub_requests, websub_subscriptions, websub_topics


@dataclass(frozen=True, slots=True)
class Announced:
    """A feed as it was last announced; size and modification time (ns) save reading it again."""

    topic: str
    size: int
    modified: int
    sha256: str


# Topics


def announced(tx: Tx) -> dict[str, Announced]:
    """Return every feed by its topic as it was last announced."""
    return {row.topic: Announced(*row) for row in tx.execute(select(*_T.c))}


def announce(tx: Tx, feeds: Iterable[Announced]) -> None:
    """Remember feeds as announced."""
    for one in feeds:
        _put(tx, _T, ["topic"], asdict(one))


def forget(tx: Tx, topics: Iterable[str]) -> None:
    """Forget feeds that are no longer published, and what hubs would be told of them."""
    for topic in topics:
        tx.execute(delete(_T).where(_T.c.topic == topic))
        tx.execute(delete(_N).where(_N.c.topic == topic))


# Notices to hubs


def notify(tx: Tx, hubs: Iterable[str], one: Announced, *, now: datetime) -> None:
    """Note that hubs are to be told of a change; a change before it that waits still is told with it."""
    for hub in hubs:
        values = {"sha256": one.sha256, "since": now, "next_at": now, "attempts": 0, "failure": ""}
        _put(tx, _N, ["hub", "topic"], {"hub": hub, "topic": one.topic, **values})


def keep_hubs(tx: Tx, hubs: Collection[str]) -> None:
    """Drop what hubs were to be told that are no longer configured."""
    tx.execute(delete(_N).where(_N.c.hub.not_in(list(hubs))))


def notices(tx: Tx, hub: str | None = None, *, due: datetime | None = None) -> list[HubNotice]:
    """Return what hubs are to be told, the oldest first: all of it, one hub's, or what is due at an instant."""
    query = select(*_N.c).order_by(_N.c.since, _N.c.hub, _N.c.topic)
    if hub is not None:
        query = query.where(_N.c.hub == hub)
    if due is not None:
        query = query.where(_N.c.next_at <= due)
    return [HubNotice(**row._mapping) for row in tx.execute(query)]


def told(tx: Tx, one: HubNotice) -> None:
    """Note that a hub was told; a change since then still waits."""
    tx.execute(delete(_N).where(*_same(one)))


def not_told(tx: Tx, one: HubNotice, *, next_at: datetime | None, failure: str) -> None:
    """Note that a hub could not be told, and when to try again; without an instant it is given up."""
    values = {"next_at": next_at, "failure": failure, "attempts": one.attempts + 1}
    tx.execute(update(_N).where(*_same(one)).values(**values))


def tell_again(tx: Tx, *, now: datetime) -> None:
    """Let everything be tried at once that was put off or given up."""
    tx.execute(update(_N).values(next_at=now, since=now, attempts=0))
    tx.execute(update(_S).where(_S.c.next_at.is_not(None)).values(next_at=now))
    tx.execute(update(_R).values(next_at=now))


def _same(one: HubNotice) -> list[Any]:
    return [_N.c.hub == one.hub, _N.c.topic == one.topic, _N.c.sha256 == one.sha256]


# Requests at our own hub


def request(tx: Tx, values: dict[str, Any], *, now: datetime) -> None:
    """Keep a request until its callback was asked."""
    tx.execute(insert(_R).values(**values, since=now, next_at=now))


def requested(tx: Tx, values: dict[str, Any]) -> bool:
    """Tell whether the very same request waits already, its callback not asked yet."""
    same = [_R.c[name] == value for name, value in values.items()]
    return tx.execute(select(_R.c.id).where(*same, _R.c.attempts == 0).limit(1)).first() is not None


def waiting(tx: Tx, host: str) -> tuple[int, int]:
    """Count the requests that wait: of one host, and of all."""
    return _counts(tx, _R, host)


def requests_due(tx: Tx, host: str, *, now: datetime, limit: int) -> list[PushRequest]:
    """Return a host's requests that are due."""
    query = select(*_R.c).where(_R.c.host == host, _R.c.next_at <= now)
    rows = tx.execute(query.order_by(_R.c.attempts, _R.c.id).limit(limit))
    return [PushRequest(**row._mapping) for row in rows]


def put_off(tx: Tx, one: PushRequest, *, next_at: datetime) -> None:
    """Ask a callback later."""
    values = {"next_at": next_at, "attempts": one.attempts + 1}
    tx.execute(update(_R).where(_R.c.id == one.id).values(**values))


def settle(tx: Tx, one: PushRequest, *, confirmed_at: datetime | None = None, expires_at: datetime) -> None:
    """Do what a request asks when it was confirmed; in any case it is done with.

    A request that is no longer there was settled by another.
    """
    if tx.execute(delete(_R).where(_R.c.id == one.id)).rowcount == 0 or confirmed_at is None:
        return
    if one.mode is PushMode.UNSUBSCRIBE:
        tx.execute(delete(_S).where(_S.c.callback == one.callback, _S.c.topic == one.topic))
    elif one.mode is PushMode.SUBSCRIBE:
        values = {name: getattr(one, name) for name in ("callback", "topic", "host", "secret")}
        statement = _insert(tx, _S).values(**values, created=confirmed_at, expires_at=expires_at)
        renewed = {"secret": one.secret, "expires_at": expires_at}
        tx.execute(statement.on_conflict_do_update(index_elements=["callback", "topic"], set_=renewed))


# Subscriptions at our own hub


def subscribed(tx: Tx, callback: str, topic: str) -> bool:
    """Tell whether a callback is subscribed."""
    query = select(_S.c.id).where(_S.c.callback == callback, _S.c.topic == topic)
    return tx.execute(query).first() is not None


def subscribers(tx: Tx, host: str) -> tuple[int, int]:
    """Count the subscriptions: of one host, and of all."""
    return _counts(tx, _S, host)


def subscriptions(tx: Tx) -> list[PushSubscription]:
    """Return every subscription, by callback and topic."""
    rows = tx.execute(select(*_S.c).order_by(_S.c.callback, _S.c.topic))
    return [_subscription(row) for row in rows]


def changed(tx: Tx, one: Announced, *, now: datetime) -> None:
    """Let a topic's subscribers wait for its new document; who is being tried again keeps the rest."""
    due = case((_S.c.attempts == 0, literal(now, Instant())), else_=func.coalesce(_S.c.next_at, now))
    tx.execute(
        update(_S)
        .where(_S.c.topic == one.topic, _S.c.sha256 != one.sha256, _S.c.expires_at > now)
        .values(since=now, next_at=due)
    )


def hosts_due(tx: Tx, busy: Collection[str], *, now: datetime, limit: int) -> list[tuple[str, bool]]:
    """Return hosts for which something is due, those first that did not fail; tell which may be slow.

    May be slow: who failed the last time, and who is unknown yet: nothing was taken, or it only asks.
    """
    few = list(busy)
    pushes = (
        select(
            _S.c.host,
            func.min(_S.c.attempts).label("failed"),
            func.max(_S.c.served_at).is_(None).label("new"),
            func.min(_S.c.next_at).label("at"),
        )
        .where(_S.c.next_at <= now, _S.c.expires_at > now, _S.c.host.not_in(few))
        .group_by(_S.c.host)
        .order_by("failed", "new", "at")
        .limit(limit)
    )
    wishes = (
        select(_R.c.host, func.min(_R.c.attempts).label("failed"), func.min(_R.c.next_at).label("at"))
        .where(_R.c.next_at <= now, _R.c.host.not_in(few))
        .group_by(_R.c.host)
        .order_by("failed", "at")
        .limit(limit)
    )
    found = {row.host: bool(row.failed > 0 or row.new) for row in tx.execute(pushes)}
    for row in tx.execute(wishes):
        found.setdefault(row.host, True)
    return list(found.items())


def pushes_due(tx: Tx, host: str, *, now: datetime, limit: int) -> list[PushSubscription]:
    """Return a host's subscriptions for which a document waits, those first that did not fail."""
    query = select(*_S.c).where(_S.c.host == host, _S.c.next_at <= now, _S.c.expires_at > now)
    rows = tx.execute(query.order_by(_S.c.attempts, _S.c.next_at, _S.c.id).limit(limit))
    return [_subscription(row) for row in rows]


def served(tx: Tx, one: PushSubscription, sha256: str, *, now: datetime) -> None:
    """Note that a callback took a document; what changed since it was read waits still."""
    values = {"sha256": sha256, "served_at": now, "attempts": 0, "failure": ""}
    tx.execute(update(_S).where(_S.c.id == one.id).values(**values))
    newest = select(_T.c.sha256).where(_T.c.topic == one.topic).scalar_subquery()
    nothing_new = or_(_S.c.since == one.since, newest == sha256)
    tx.execute(update(_S).where(_S.c.id == one.id, nothing_new).values(since=None, next_at=None))


def not_served(tx: Tx, one: PushSubscription, *, next_at: datetime | None, failure: str) -> None:
    """Note that a callback did not take a document, and when to try again; without an instant it is given up.

    What changed since then has a time of its own.
    """
    values = {"failure": failure, "attempts": one.attempts + 1}
    tx.execute(update(_S).where(_S.c.id == one.id).values(**values))
    waits = {"next_at": next_at, "since": one.since if next_at else None}
    tx.execute(update(_S).where(_S.c.id == one.id, _S.c.since == one.since).values(**waits))


def nothing_to_serve(tx: Tx, one: PushSubscription) -> None:
    """Note that there is no document any more that could be sent."""
    tx.execute(update(_S).where(_S.c.id == one.id).values(since=None, next_at=None))


def remove(tx: Tx, subscription_id: int) -> bool:
    """End a subscription; tell whether there was one."""
    return bool(tx.execute(delete(_S).where(_S.c.id == subscription_id)).rowcount)


def expire(tx: Tx, *, now: datetime) -> int:
    """End the subscriptions whose lease is over; return how many."""
    return tx.execute(delete(_S).where(_S.c.expires_at <= now)).rowcount


def _subscription(row: Row[Any]) -> PushSubscription:
    return PushSubscription(**row._mapping)


def _counts(tx: Tx, table: Any, host: str) -> tuple[int, int]:
    query = select(func.count().filter(table.c.host == host), func.count()).select_from(table)
    of_host, of_all = tx.execute(query).one()
    return of_host, of_all


def _insert(tx: Tx, table: Any) -> Any:
    return (pg_insert if tx.dialect.name == "postgresql" else sqlite_insert)(table)


def _put(tx: Tx, table: Any, key: list[str], values: dict[str, Any]) -> None:
    """Write a row over the one of the same key."""
    rest = {name: value for name, value in values.items() if name not in key}
    statement = _insert(tx, table).values(**values)
    tx.execute(statement.on_conflict_do_update(index_elements=key, set_=rest))
