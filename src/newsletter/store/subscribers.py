"""Subscribers and their subscriptions, and what follows for deliveries that wait when one of them ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from newsletter.model import (
    Consent,
    ConsentAct,
    Delivery,
    DeliveryState,
    EventKind,
    Reader,
    Standing,
    Subscriber,
    Subscription,
    SuppressionReason,
)
from newsletter.store import addresses, apikeys, bulk, consents, letters, suppressions, webhooks
from newsletter.store.engine import Tx
from newsletter.store.schema import (
    attempts,
    bounces,
    deliveries,
    issues,
    subscribers,
    subscriptions,
    wordings,
)
from newsletter.store.schema import consents as consent_lines

_TOLD = ("name", "language", "timezone")
_OF_CONSENT = ("at", "act", "channel", "detail", "language", "form", "token")
_GRANTS = (ConsentAct.IMPORTED, ConsentAct.CONFIRMED)


# Finding


def find(tx: Tx, address: str) -> Subscriber | None:
    """Return the person of an address, however it is spelt."""
    return by_keys(tx, [suppressions.key_of(address)]).get(suppressions.key_of(address))


def by_id(tx: Tx, subscriber_id: int) -> Subscriber | None:
    """Return a person by id."""
    row = tx.execute(select(subscribers).where(subscribers.c.id == subscriber_id)).one_or_none()
    return None if row is None else _subscriber(row)


def by_keys(tx: Tx, keys: Collection[str]) -> dict[str, Subscriber]:
    """Return the people among addresses, by their keys."""
    rows = tx.execute(select(subscribers).where(bulk.among(tx, subscribers.c.address_key, keys)))
    return {row.address_key: _subscriber(row) for row in rows}


def subscriptions_of(tx: Tx, people: Iterable[Subscriber]) -> dict[int, dict[str, Subscription]]:
    """Return people's subscriptions by subscriber id and newsletter."""
    known = {person.id: person for person in people}
    if not known:
        return {}
    query = select(subscriptions).where(bulk.among(tx, subscriptions.c.subscriber_id, known))
    found: dict[int, dict[str, Subscription]] = {}
    for row in tx.execute(query.order_by(subscriptions.c.newsletter)):
        one = Subscription(
            subscriber=known[row.subscriber_id],
            newsletter=row.newsletter,
            standing=row.standing,
            since=row.since,
            paused_until=row.paused_until,
        )
        found.setdefault(row.subscriber_id, {})[row.newsletter] = one
    return found


def every(tx: Tx, newsletter: str | None = None) -> Iterator[tuple[Subscription, Consent | None]]:
    """Give every subscription with the newest consent it rests on, by address."""
    earlier = consent_lines.alias()
    newest = (
        select(func.max(earlier.c.id))
        .where(
            earlier.c.subscriber_id == subscriptions.c.subscriber_id,
            earlier.c.newsletter == subscriptions.c.newsletter,
            earlier.c.act.in_(_GRANTS),
        )
        .correlate(subscriptions)
        .scalar_subquery()
    )
    query = (
        select(
            *(subscriptions.c[name] for name in ("newsletter", "standing", "since", "paused_until")),
            *(subscribers.c[name] for name in ("id", "address", *_TOLD, "created")),
            *(consent_lines.c[name] for name in _OF_CONSENT),
            wordings.c.text,
        )
        .join(subscribers, subscribers.c.id == subscriptions.c.subscriber_id)
        .outerjoin(consent_lines, consent_lines.c.id == newest)
        .outerjoin(wordings, wordings.c.hash == consent_lines.c.wording)
        .order_by(*_in_order(tx))
        .execution_options(yield_per=1000)
    )
    if newsletter is not None:
        query = query.where(subscriptions.c.newsletter == newsletter)
    for name, standing, since, until, *rest in tx.execute(query):
        one = Subscription(
            subscriber=_person(*rest[:6]), newsletter=name, standing=standing, since=since, paused_until=until
        )
        yield one, _consent_of(one, *rest[6:])


def _in_order(tx: Tx) -> tuple[ColumnElement[str], ...]:
    """Order by address and newsletter, alike on every database and under every locale."""
    columns = (subscribers.c.address_key, subscriptions.c.newsletter)
    return tuple(c.collate("C") for c in columns) if tx.dialect.name == "postgresql" else columns


def deliveries_of(tx: Tx, subscriber_id: int) -> list[Delivery]:
    """Return one person's rows of the ledger, the oldest issue first."""
    query = (
        select(deliveries).where(deliveries.c.subscriber_id == subscriber_id).order_by(deliveries.c.issue_id)
    )
    return [
        Delivery(
            issue_id=row.issue_id,
            reader=Reader(
                subscriber_id=row.subscriber_id,
                address=row.address,
                since=row.since,
                **{name: getattr(row, name) for name in _TOLD},
            ),
            state=row.state,
            attempts=row.attempts,
            not_before=row.not_before,
            reason=row.reason,
            presumed=row.presumed,
            epoch=row.epoch,
        )
        for row in tx.execute(query)
    ]


def feed_generation(tx: Tx, subscriber_id: int) -> int:
    """Return the number of a person's feed address that holds, 0 when they have none: nothing is sent to them."""
    standing = subscriptions.c.standing.in_((Standing.ACTIVE, Standing.PAUSED))
    reads = select(subscriptions.c.subscriber_id).where(standing)
    wanted = select(subscribers.c.feed_generation).where(
        subscribers.c.id == subscriber_id, subscribers.c.id.in_(reads)
    )
    return tx.scalar(wanted) or 0


# Writing


def renew_feed(tx: Tx, subscriber_id: int) -> None:
    """Revoke the address of a person's feed: the next number holds."""
    raised = subscribers.c.feed_generation + 1
    tx.execute(update(subscribers).where(subscribers.c.id == subscriber_id).values(feed_generation=raised))


def add(tx: Tx, people: Sequence[Subscriber], *, now: datetime) -> dict[str, int]:
    """Store new people; return their ids by key."""
    if not people:
        return {}
    instant, keys = bulk.binder(tx), [suppressions.key_of(person.address) for person in people]
    ids = bulk.next_ids(tx, subscribers, len(people))
    rows = (
        (number, one.address, key, one.name, one.language, one.timezone, instant(one.created or now))
        for number, key, one in zip(ids, keys, people, strict=True)
    )
    bulk.insert(tx, subscribers, ("id", "address", "address_key", *_TOLD, "created"), rows)
    return dict(zip(keys, ids, strict=True))


def change(tx: Tx, people: Sequence[Subscriber]) -> None:
    """Write what known people told us: name, language, time zone, and the spelling of the address."""
    rows = [
        {
            "the_id": person.id,
            "address": person.address,
            **{name: getattr(person, name) for name in _TOLD},
        }
        for person in people
    ]
    if rows:
        tx.execute(update(subscribers).where(subscribers.c.id == bindparam("the_id")), rows)


def begin(tx: Tx, new: Iterable[Subscription], ids: Mapping[str, int]) -> None:
    """Write standings of which none was there; `ids`, by key, for people who were new when the nouns were made."""
    instant = bulk.binder(tx)
    rows = (
        (
            one.subscriber.id or ids[suppressions.key_of(one.subscriber.address)],
            one.newsletter,
            one.standing.value,
            instant(one.since),
            None if one.paused_until is None else instant(one.paused_until),
        )
        for one in new
    )
    bulk.insert(tx, subscriptions, ("subscriber_id", "newsletter", "standing", "since", "paused_until"), rows)


def put(tx: Tx, changed: Iterable[Subscription], ids: Mapping[str, int] | None = None) -> None:
    """Write standings, new or changed; `ids`, by key, for people who were new when the nouns were made."""
    known = ids or {}
    rows = [
        {
            "subscriber_id": one.subscriber.id or known[suppressions.key_of(one.subscriber.address)],
            "newsletter": one.newsletter,
            "standing": one.standing,
            "since": one.since,
            "paused_until": one.paused_until,
        }
        for one in changed
    ]
    if not rows:
        return
    statement: Any = (pg_insert if tx.dialect.name == "postgresql" else sqlite_insert)(subscriptions)
    new = {name: statement.excluded[name] for name in ("standing", "since", "paused_until")}
    key = ["subscriber_id", "newsletter"]
    tx.execute(statement.on_conflict_do_update(index_elements=key, set_=new), rows)


def stop_waiting(
    tx: Tx, subscriber_id: int, *, newsletter: str | None = None, reason: str, now: datetime
) -> int:
    """Suppress the person's deliveries that wait, of one newsletter's issues or all of them; return how many."""
    waiting = (
        deliveries.c.subscriber_id == subscriber_id,
        deliveries.c.state == DeliveryState.WAITING,
    )
    statement = update(deliveries).where(*waiting)
    if newsletter is not None:
        of_it = select(issues.c.id).where(issues.c.newsletter == newsletter, issues.c.number > 0)
        statement = statement.where(deliveries.c.issue_id.in_(of_it))
    values = {"state": DeliveryState.SUPPRESSED, "reason": reason, "changed_at": now, "not_before": None}
    return tx.execute(statement.values(values)).rowcount


def suppress(
    tx: Tx,
    address: str,
    reason: SuppressionReason,
    *,
    now: datetime,
    note: str = "",
    channel: str = "",
) -> bool:
    """Never write to an address again: all its subscriptions, and what waits, end in this transaction.

    Returns False when the address was suppressed already. The person need not be known.
    """
    new = suppressions.put(tx, address, reason, now=now, note=note)
    person = find(tx, address)
    if person is None:
        return new
    mine = subscriptions_of(tx, [person]).get(person.id, {})
    open_ = [one for one in mine.values() if one.standing is not Standing.SUPPRESSED]
    statement = update(subscriptions).where(
        subscriptions.c.subscriber_id == person.id, subscriptions.c.standing != Standing.SUPPRESSED
    )
    tx.execute(statement.values(standing=Standing.SUPPRESSED, since=now, paused_until=None))
    stop_waiting(tx, person.id, reason=reason.value, now=now)
    if reason is not SuppressionReason.ERASURE:
        withdrawn = reason in (SuppressionReason.COMPLAINT, SuppressionReason.REQUEST)
        act = ConsentAct.WITHDRAWN if withdrawn else ConsentAct.CHANGED
        consents.append(
            tx,
            [
                Consent(
                    subscriber_id=person.id,
                    at=now,
                    act=act,
                    newsletter=one.newsletter,
                    channel=channel or reason.value,
                    detail=f"suppressed: {note or reason.value}",
                )
                for one in open_
            ],
            tell=False,
        )
        if channel != webhooks.IMPORT and (new or open_):
            told = {"subscriber_id": person.id, "reason": reason.value}
            webhooks.tell(tx, EventKind.SUBSCRIBER_SUPPRESSED, told, now=now)
    return new


def erase(tx: Tx, address: str, *, now: datetime, channel: str) -> bool:
    """Erase a person from every table; only the keyed hash of the suppression stays.

    Their deliveries keep their place in the sums, without address, name, reason or anything a server said of them.
    Returns False when nothing of the address was stored.
    """
    person = find(tx, address)
    key = suppressions.key_of(address)
    known = suppressions.find(tx, [key]).get(key)
    letters.forget(tx, address, 0 if person is None else person.id, now=now)
    if person is None and (known is None or not known.address):
        return False
    suppress(tx, address, SuppressionReason.ERASURE, now=now, channel=channel)
    if person is not None:
        left = {suppressions.key_of(one): one for one in addresses.former(tx, person.id)}
        for one in left.keys() - by_keys(tx, left).keys():  # unless it is somebody else's by now
            suppressions.put(tx, left[one], SuppressionReason.ERASURE, now=now)
        empty = {**dict.fromkeys(("address", *_TOLD), ""), "since": None, "reason": "erased"}
        tx.execute(update(deliveries).where(deliveries.c.subscriber_id == person.id).values(**empty))
        tx.execute(update(attempts).where(attempts.c.subscriber_id == person.id).values(text=""))
        gone: dict[str, Any] = {"subscriber_id": None, "said": "", "note": "", "before": {}}
        tx.execute(update(bounces).where(bounces.c.subscriber_id == person.id).values(gone))
        consents.empty(tx, person.id, now=now, channel=channel)
        tx.execute(delete(subscriptions).where(subscriptions.c.subscriber_id == person.id))
        tx.execute(delete(subscribers).where(subscribers.c.id == person.id))
        apikeys.forget(tx, person.id)
        webhooks.tell(tx, EventKind.SUBSCRIBER_ERASED, {"subscriber_id": person.id}, now=now)
    return True


def drop_unconfirmed(tx: Tx, *, before: datetime, now: datetime) -> int:
    """Forget what was asked for on a page before an instant and never confirmed; return how many people went with it.

    Nothing keeps them from asking again. Who was imported as pending stays: nothing was asked in their name.
    """
    pending = (subscriptions.c.standing == Standing.PENDING, subscriptions.c.since < before)
    asked = select(consent_lines.c.id).where(
        consent_lines.c.subscriber_id == subscriptions.c.subscriber_id,
        consent_lines.c.newsletter == subscriptions.c.newsletter,
        consent_lines.c.act == ConsentAct.REQUESTED,
    )
    statement = delete(subscriptions).where(*pending, asked.exists())
    ids = set(tx.execute(statement.returning(subscriptions.c.subscriber_id)).scalars())
    if not ids:
        return 0
    others = select(subscriptions.c.subscriber_id).where(bulk.among(tx, subscriptions.c.subscriber_id, ids))
    alone = sorted(ids - set(tx.execute(others).scalars()))
    for number in alone:
        consents.empty(tx, number, now=now, channel="not confirmed")
    tx.execute(delete(subscribers).where(bulk.among(tx, subscribers.c.id, alone)))
    return len(alone)


def _subscriber(row: Row[Any]) -> Subscriber:
    return Subscriber(
        id=row.id,
        address=row.address,
        name=row.name,
        language=row.language,
        timezone=row.timezone,
        created=row.created,
    )


def _person(
    number: int, address: str, name: str, language: str, timezone: str, created: datetime
) -> Subscriber:
    return Subscriber(
        id=number, address=address, name=name, language=language, timezone=timezone, created=created
    )


def _consent_of(one: Subscription, *told: Any) -> Consent | None:
    at, act, channel, detail, language, form, token, wording = told
    if act is None:
        return None
    return Consent(
        subscriber_id=one.subscriber.id,
        at=at,
        act=act,
        newsletter=one.newsletter,
        channel=channel,
        detail=detail,
        wording=wording or "",
        language=language,
        form=form,
        token=token,
    )
