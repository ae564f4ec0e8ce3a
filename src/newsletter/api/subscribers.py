"""Subscribers: find, add, change, unsubscribe, erase. What may be done is decided by `subscriptions`, as everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from newsletter import subscriptions
from newsletter.api import models
from newsletter.api.operations import Call, Reply, cursor_of, id_of
from newsletter.api.problems import Problem, conflict, invalid, missing
from newsletter.errors import ConfigError
from newsletter.model import Subscriber
from newsletter.store import Tx, listing, subscribers, suppressions
from newsletter.subscriptions import LineOutcome

CHANNEL = "api"


def find(call: Call) -> Reply:
    """List subscribers."""
    asked = call.asked(models.SubscriberQuery)
    if asked.newsletter is not None:
        _check_newsletters(call, [asked.newsletter])
    with call.publisher.store.read() as tx:
        people = listing.people(
            tx,
            after=id_of(asked.cursor) or 0,
            limit=asked.limit + 1,
            newsletter=asked.newsletter,
            standing=asked.standing,
            address=asked.address,
        )
        page = people[: asked.limit]
        items = _bodies(tx, page)
    more = cursor_of(page[-1].id) if len(people) > asked.limit else None
    return Reply(body=models.SubscriberPage(items=items, next=more))


def show(call: Call) -> Reply:
    """Show one subscriber."""
    return _reply(_one(call))


def add(call: Call) -> Reply:
    """Add a person who agreed; nobody who left or is suppressed comes back by this."""
    sent = call.sent(models.NewSubscriber)
    _check_newsletters(call, sent.newsletters)
    told = (sent.name, sent.language, sent.timezone)
    made = _add(call, sent.address, sent.newsletters, sent.consent, *told)
    with call.publisher.store.read() as tx:
        person = subscribers.find(tx, sent.address)
        assert person is not None
        body = _bodies(tx, [person])[0]
    return _reply(body, _place(call, body.id) if made else "")


def subscribe(call: Call) -> Reply:
    """Subscribe a known person who agreed to one more newsletter."""
    sent = call.sent(models.NewSubscription)
    _check_newsletters(call, [sent.newsletter])
    made = _add(call, _one(call).address, [sent.newsletter], sent.consent)
    return _reply(_one(call), _place(call, call.id) if made else "")


def change(call: Call) -> Reply:
    """Change what a person told us, if it is as the client saw it."""
    sent, before = call.sent(models.SubscriberChange), _one(call)
    given = {one.strip() for one in call.if_match.split(",")}
    if "*" not in given and _tag(before) not in given:
        detail = "The subscriber is not as you saw it: fetch it anew, and decide again."
        raise Problem(412, "changed-meanwhile", "It was changed meanwhile", detail)
    subscriptions.amend(call.publisher.store, call.id, **sent.model_dump(exclude_none=True))
    return _reply(_one(call))


def unsubscribe(call: Call) -> Reply:
    """End one subscription, or all of them, with what waits; again changes nothing."""
    sent, person = call.sent(models.Leaving), _one(call)
    theirs = [one.newsletter for one in person.subscriptions]
    if sent.newsletter is not None and sent.newsletter not in theirs:
        _check_newsletters(call, [sent.newsletter])
        raise conflict("not-subscribed", f"This person was never subscribed to {sent.newsletter}.")
    for newsletter in theirs if sent.newsletter is None else [sent.newsletter]:
        subscriptions.leave(call.publisher.store, call.id, newsletter, channel=CHANNEL, now=call.now)
    return _reply(_one(call))


def erase(call: Call) -> Reply:
    """Erase a person everywhere; only a keyed hash stays, so that nothing brings them back."""
    subscriptions.forget(call.publisher.store, _one(call).address, now=call.now, channel=CHANNEL)
    return Reply(status=204)


def _add(call: Call, address: str, newsletters: Sequence[str], consent: str, *told: str) -> bool:
    """Add a person, or refuse all of it; tell whether anything was new."""
    name, language, timezone = told or ("", "", "")
    line = subscriptions.add(
        call.publisher.store,
        address,
        newsletters,
        consent=consent,
        now=call.now,
        name=name,
        language=language,
        timezone=timezone,
        channel=CHANNEL,
    )
    if line.outcome is LineOutcome.REFUSED:
        raise invalid(line.why)
    if line.why:  # somebody stays as they are; the transaction is undone with what else was asked
        word = "suppressed" if line.why.startswith("suppressed") else line.why.split()[0]
        raise conflict(word, f"Nothing was changed. {line.why[:1].upper()}{line.why[1:]}.")
    return line.outcome is LineOutcome.ADDED


def _check_newsletters(call: Call, names: Sequence[str]) -> None:
    for name in names:
        try:
            call.publisher.config.newsletter(name)
        except ConfigError as e:
            raise invalid(str(e)) from e


def _one(call: Call) -> models.SubscriberBody:
    with call.publisher.store.read() as tx:
        person = subscribers.by_id(tx, call.id)
        if person is None:
            raise missing(f"There is no subscriber {call.id}.")
        return _bodies(tx, [person])[0]


def _bodies(tx: Tx, people: Sequence[Subscriber]) -> list[models.SubscriberBody]:
    standings = subscribers.subscriptions_of(tx, people)
    gone = suppressions.find(tx, [suppressions.key_of(person.address) for person in people])
    return [
        models.SubscriberBody(
            id=person.id,
            address=person.address,
            name=person.name,
            language=person.language,
            timezone=person.timezone,
            created=person.created,
            suppressed=suppressions.key_of(person.address) in gone,
            subscriptions=[
                models.SubscriptionBody(
                    newsletter=one.newsletter,
                    standing=one.standing,
                    since=one.since,
                    paused_until=one.paused_until,
                )
                for one in standings.get(person.id, {}).values()
            ],
        )
        for person in people
    ]


def _tag(body: models.SubscriberBody) -> str:
    return f'"{hashlib.sha256(body.model_dump_json().encode()).hexdigest()[:32]}"'


def _place(call: Call, number: int) -> str:
    return f"{call.publisher.config.web_url}api/v1/subscribers/{number}"


def _reply(body: models.SubscriberBody, made: str = "") -> Reply:
    """Return a subscriber; `made` is where what is new can be found."""
    headers = {"etag": _tag(body)} | ({"location": made} if made else {})
    return Reply(body=body, status=201 if made else 200, headers=headers, subscriber_id=body.id)
