"""The tables of subscribers, consents and suppressions, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, insert, select, update

from newsletter.model import (
    Consent,
    ConsentAct,
    DeliveryState,
    IssueState,
    Outcome,
    Stage,
    Standing,
    Subscriber,
    Subscription,
    SuppressionReason,
)
from newsletter.store import Store, Tx, consents, readers, schema, subscribers, suppressions

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def person(tx: Tx, address: str, *newsletters: str, name: str = "") -> Subscriber:
    """Store somebody with active subscriptions."""
    subscribers.add(tx, [Subscriber(address=address, name=name)], now=NOW)
    one = subscribers.find(tx, address)
    assert one is not None
    subscribers.put(
        tx,
        [
            Subscription(subscriber=one, newsletter=each, standing=Standing.ACTIVE, since=NOW)
            for each in newsletters
        ],
    )
    lines = [
        Consent(
            subscriber_id=one.id, at=NOW, act=ConsentAct.IMPORTED, newsletter=n, detail=f"{address} said yes"
        )
        for n in newsletters
    ]
    consents.append(tx, lines)
    return one


def issue(tx: Tx, newsletter: str, number: int) -> int:
    """Store an issue that is being delivered."""
    row = {
        "newsletter": newsletter,
        "number": number,
        "due": NOW,
        "state": IssueState.RELEASED,
        "dated": NOW,
        "composed_at": NOW,
    }
    return int(tx.execute(insert(schema.issues).values(row).returning(schema.issues.c.id)).scalar_one())


def delivery(tx: Tx, issue_id: int, one: Subscriber, state: DeliveryState = DeliveryState.WAITING) -> None:
    """Store one row of the ledger."""
    row = {
        "issue_id": issue_id,
        "subscriber_id": one.id,
        "address": one.address,
        "name": one.name,
        "state": state,
        "changed_at": NOW,
    }
    tx.execute(insert(schema.deliveries).values(row))


def states(tx: Tx) -> dict[tuple[int, int], tuple[str, str]]:
    """Return state and reason of every delivery."""
    table = schema.deliveries
    return {(r.issue_id, r.subscriber_id): (r.state.value, r.reason) for r in tx.execute(select(table))}


def test_two_spellings_are_one_person(store: Store) -> None:
    with store.write() as tx:
        one = person(tx, "Ada.Lovelace@example.org", "weekly", name="Ada")
    with store.read() as tx:
        assert subscribers.find(tx, "ADA.lovelace@example.org") == one
        assert subscribers.by_id(tx, one.id) == one
        assert subscribers.find(tx, "ada@example.org") is None


def test_a_standing_is_written_over_not_beside(store: Store) -> None:
    with store.write() as tx:
        one = person(tx, "ada@example.org", "daily", "weekly")
        left = Subscription(subscriber=one, newsletter="weekly", standing=Standing.UNSUBSCRIBED, since=LATER)
        subscribers.put(tx, [left])
        mine = subscribers.subscriptions_of(tx, [one])[one.id]
    assert mine["weekly"] == left
    assert mine["daily"].standing is Standing.ACTIVE


def test_every_subscription_comes_with_the_newest_consent_it_rests_on(store: Store) -> None:
    with store.write() as tx:
        one = person(tx, "b@example.org", "weekly")
        person(tx, "a@example.org", "daily")
        again = Consent(
            subscriber_id=one.id, at=LATER, act=ConsentAct.CONFIRMED, newsletter="weekly", channel="page"
        )
        left = Consent(subscriber_id=one.id, at=LATER, act=ConsentAct.WITHDRAWN, newsletter="weekly")
        consents.append(tx, [again, left])
    with store.read() as tx:
        found = [(s.subscriber.address, s.newsletter, c.at if c else None) for s, c in subscribers.every(tx)]
        weekly = [s.subscriber for s, _ in subscribers.every(tx, "weekly")]
    assert found == [("a@example.org", "daily", NOW), ("b@example.org", "weekly", LATER)]
    assert weekly == [one]


def test_leaving_one_newsletter_stops_what_waits_of_it_alone(store: Store) -> None:
    with store.write() as tx:
        ada, bob = person(tx, "ada@example.org", "weekly"), person(tx, "bob@example.org", "weekly")
        weekly, daily, older = issue(tx, "weekly", 2), issue(tx, "daily", 1), issue(tx, "weekly", 1)
        for number in (weekly, daily):
            delivery(tx, number, ada)
        delivery(tx, older, ada, DeliveryState.ACCEPTED)
        delivery(tx, weekly, bob)
        stopped = subscribers.stop_waiting(tx, ada.id, newsletter="weekly", reason="unsubscribed", now=LATER)
        assert stopped == 1
        assert states(tx) == {
            (weekly, ada.id): ("suppressed", "unsubscribed"),
            (daily, ada.id): ("waiting", ""),
            (older, ada.id): ("accepted", ""),
            (weekly, bob.id): ("waiting", ""),
        }


def test_suppressing_ends_every_subscription_and_all_that_waits(store: Store) -> None:
    with store.write() as tx:
        ada = person(tx, "ada@example.org", "daily", "weekly")
        number = issue(tx, "weekly", 1)
        delivery(tx, number, ada)
        assert subscribers.suppress(
            tx, "Ada@Example.org", SuppressionReason.BOUNCE, now=LATER, note="550 5.1.1"
        )
        assert not subscribers.suppress(tx, "ada@example.org", SuppressionReason.COMPLAINT, now=LATER)
        mine = subscribers.subscriptions_of(tx, [ada])[ada.id]
        assert {s.standing for s in mine.values()} == {Standing.SUPPRESSED}
        assert states(tx) == {(number, ada.id): ("suppressed", "bounce")}
        known = suppressions.find(tx, ["ada@example.org"])["ada@example.org"]
        assert (known.reason, known.note) == (SuppressionReason.BOUNCE, "550 5.1.1"), "the first reason stays"
        assert [c.act for c in consents.of(tx, ada.id)][2:] == [ConsentAct.CHANGED] * 2


def test_an_unknown_address_can_be_suppressed(store: Store) -> None:
    with store.write() as tx:
        assert subscribers.suppress(tx, "new@example.org", SuppressionReason.REQUEST, now=NOW)
        assert list(suppressions.find(tx, ["new@example.org", "other@example.org"])) == ["new@example.org"]
        assert [s.address for s in suppressions.every(tx)] == ["new@example.org"]


def test_the_hash_is_keyed_by_this_store(store: Store) -> None:
    with store.write() as tx:
        suppressions.put(tx, "ada@example.org", SuppressionReason.REQUEST, now=NOW)
        before = tx.execute(select(schema.suppressions.c.address_hash)).scalar_one()
        tx.execute(delete(schema.suppressions))
        tx.execute(update(schema.meta).where(schema.meta.c.key == "suppression_key").values(value="ab" * 32))
        suppressions.put(tx, "ada@example.org", SuppressionReason.REQUEST, now=NOW)
        assert tx.execute(select(schema.suppressions.c.address_hash)).scalar_one() != before


def test_erasing_leaves_the_sums_and_a_hash(store: Store) -> None:
    secret = "ada.secret@example.org"
    with store.write() as tx:
        ada = person(tx, secret, "weekly", name="Ada Secret")
        bob = person(tx, "bob@example.org", "weekly")
        number = issue(tx, "weekly", 1)
        delivery(tx, number, ada, DeliveryState.ACCEPTED)
        other = issue(tx, "weekly", 2)
        delivery(tx, other, ada)
        delivery(tx, other, bob)
        said = {
            "issue_id": number,
            "subscriber_id": ada.id,
            "epoch": 1,
            "at": NOW,
            "stage": Stage.END_OF_DATA,
            "outcome": Outcome.ACCEPTED,
            "text": f"250 queued for <{secret}>",
        }
        tx.execute(insert(schema.attempts).values(said))
        subscribers.suppress(tx, secret, SuppressionReason.COMPLAINT, now=NOW, note=f"{secret} wrote")
    with store.write() as tx:
        assert subscribers.erase(tx, "ADA.secret@example.org", now=LATER, channel="command line")
        assert not subscribers.erase(tx, secret, now=LATER, channel="command line")
    with store.read() as tx:
        everything = [
            [str(row) for row in tx.execute(select(table))] for table in schema.METADATA.sorted_tables
        ]
        assert not any("secret" in row.lower() for rows in everything for row in rows)
        assert states(tx) == {
            (number, ada.id): ("accepted", "erased"),
            (other, ada.id): ("suppressed", "erased"),
            (other, bob.id): ("waiting", ""),
        }
        gone = suppressions.find(tx, [secret])[secret]
        assert (gone.address, gone.reason, gone.note) == ("", SuppressionReason.ERASURE, "")
        assert list(suppressions.every(tx)) == []
        chain = consents.verify(tx)
        assert (chain.broken, chain.erased) == ((), 2)


def test_an_erased_id_never_comes_back(store: Store) -> None:
    with store.write() as tx:
        ada = person(tx, "ada@example.org", "weekly")
        subscribers.erase(tx, "ada@example.org", now=NOW, channel="command line")
        assert person(tx, "bob@example.org", "weekly").id > ada.id


def chain_of(tx: Tx, count: int) -> None:
    consents.append(
        tx,
        [
            Consent(subscriber_id=n, at=NOW, act=ConsentAct.IMPORTED, newsletter="weekly", detail=f"é\n{n}")
            for n in range(1, count + 1)
        ],
    )


def test_the_ledger_is_whole_when_nobody_touched_it(store: Store) -> None:
    with store.write() as tx:
        assert consents.verify(tx).lines == 0
        chain_of(tx, 5)
        chain_of(tx, 2)
        chain = consents.verify(tx)
    assert (chain.lines, chain.broken) == (7, ())
    with store.write() as tx:
        consents.empty(tx, 3, now=LATER, channel="command line")
        emptied = consents.verify(tx)
    assert (emptied.lines, emptied.broken, emptied.erased) == (8, (), 1)


@pytest.mark.parametrize(
    ("change", "line", "why"),
    [
        ({"detail": "I agreed to everything"}, 3, "not those that were written"),
        ({"at": LATER}, 3, "not those that were written"),
        ({"subscriber_id": 9}, 3, "not those that were written"),
        ({"act": ConsentAct.CONFIRMED}, 3, "not those that were written"),
        ({"hash": "0" * 64}, 4, "missing or was changed"),
        ({"subscriber_id": None, "detail": ""}, 3, "no erasure names it"),
    ],
)
def test_a_changed_line_is_found(store: Store, change: dict[str, object], line: int, why: str) -> None:
    with store.write() as tx:
        chain_of(tx, 5)
        tx.execute(update(schema.consents).where(schema.consents.c.id == 3).values(change))
        broken = dict(consents.verify(tx).broken)
    assert why in broken[line]


def test_a_removed_line_is_found(store: Store) -> None:
    with store.write() as tx:
        chain_of(tx, 5)
        tx.execute(delete(schema.consents).where(schema.consents.c.id == 2))
        assert dict(consents.verify(tx).broken) == {3: "the line before it is missing or was changed"}


# Those who read the feeds


def test_the_newest_number_of_an_aggregator_is_kept_for_a_time(store: Store) -> None:
    day = timedelta(days=1)
    with store.write() as tx:
        readers.put(tx, {("feeds/atom.xml", "Feedly"): 2**31, ("feeds/rss.xml", "Feedly"): 3}, now=NOW)
        readers.put(tx, {("feeds/atom.xml", "Feedly"): 12}, now=NOW + day)
        readers.put(tx, {}, now=NOW + day)
    with store.read() as tx:
        found = [(one.feed, one.subscribers, one.seen_at) for one in readers.since(tx, NOW)]
        assert found == [("feeds/atom.xml", 12, NOW + day), ("feeds/rss.xml", 3, NOW)]
        assert len(readers.since(tx, NOW + day)) == 1
    with store.write() as tx:
        readers.put(tx, {}, now=NOW + readers.KEPT + day / 2)
        assert [one.feed for one in readers.since(tx, NOW)] == ["feeds/atom.xml"]


def test_the_number_of_a_feed_holds_while_a_subscription_does(store: Store) -> None:
    ada = Subscriber(address="ada@example.org")
    with store.write() as tx:
        (number,) = subscribers.add(tx, [ada], now=NOW).values()
        assert subscribers.feed_generation(tx, number) == 0
        mine = Subscription(
            subscriber=Subscriber(id=number, address=ada.address),
            newsletter="weekly",
            standing=Standing.PENDING,
            since=NOW,
        )
        expected = {Standing.ACTIVE: 1, Standing.PAUSED: 1, Standing.UNSUBSCRIBED: 0, Standing.SUPPRESSED: 0}
        for standing in Standing:
            subscribers.put(tx, [replace(mine, standing=standing)])
            assert subscribers.feed_generation(tx, number) == expected.get(standing, 0)
        subscribers.put(tx, [replace(mine, standing=Standing.ACTIVE)])
        subscribers.renew_feed(tx, number)
        assert subscribers.feed_generation(tx, number) == 2
        assert subscribers.feed_generation(tx, number + 1) == 0
