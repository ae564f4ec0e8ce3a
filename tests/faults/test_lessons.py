"""Mistakes that earlier senders made under such faults, each with the smallest test that finds it again."""

from __future__ import annotations

import dataclasses
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Self

import pytest
from sqlalchemy import select

from faults.ground import NOW, add_readers, make_issue, render, states
from newsletter.deliver import DeliveryOptions, audit, deliver, release
from newsletter.deliver.ledger import Ledger
from newsletter.errors import StoreError, TransportError
from newsletter.model import Account, Attempt, DeliveryState, Message, Outcome, Receipt, Settlement
from newsletter.store import Store, Tx, deliveries, leases, schema
from newsletter.transports.memory import MemoryTransport

OPTIONS = DeliveryOptions(transport="memory", connections=12, reconnect=(0.0,) * 8, grace=0.2, drain=1.0)
PATIENCE = 10.0


def released(store: Store, count: int) -> int:
    """Release an issue to this many readers."""
    add_readers(store, count)
    issue_id = make_issue(store)
    release(store, issue_id, now=NOW)
    return issue_id


class Quick(MemoryTransport):
    """Accepts and forgets."""

    def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
        for message in messages:
            yield Receipt(key=message.key, outcome=Outcome.ACCEPTED, text="kept")


def test_a_list_that_threads_exchange_loses_nothing(sqlite_store: Store) -> None:
    """Many connections add to what one writer takes away: each line is written, and nobody waits for ever."""
    issue_id = released(sqlite_store, 3000)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        account = deliver(sqlite_store, issue_id, render, Quick, OPTIONS, clock=lambda: NOW)
    finally:
        sys.setswitchinterval(usual)
    assert account == Account(audience=3000, accepted=3000)
    with sqlite_store.read() as tx:
        lines = Counter(tx.execute(select(schema.attempts.c.subscriber_id)).scalars())
    assert set(lines.values()) == {1}
    assert len(lines) == 3000


def test_a_connection_that_died_takes_no_other_along(sqlite_store: Store) -> None:
    """Its intents and outcomes share a commit with those of the others, which must be told of theirs."""
    issue_id = released(sqlite_store, 600)
    kept: list[int] = []
    numbers = iter(range(1_000_000))

    class Dying(MemoryTransport):
        def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
            for message in messages:
                if next(numbers) % 20 == 10:
                    yield Receipt(key=message.key, outcome=Outcome.NOT_SENT, text="the connection died")
                    raise TransportError("the connection died", where="here")
                kept.append(message.key)
                yield Receipt(key=message.key, outcome=Outcome.ACCEPTED, text="kept")

    began = time.monotonic()
    account = deliver(sqlite_store, issue_id, render, Dying, OPTIONS, clock=lambda: NOW)
    assert time.monotonic() - began < 3 * PATIENCE
    assert account.accepted + account.waiting == 600
    assert account.accepted == len(kept) == len(set(kept)) > 550
    assert {
        key for key, state in states(sqlite_store, issue_id).items() if state is DeliveryState.ACCEPTED
    } == set(kept)


def test_a_wish_to_stop_is_heard_while_there_is_work(sqlite_store: Store) -> None:
    """Whenever it comes, what is queued is written, and then it ends."""
    issue_id, chance = released(sqlite_store, 2000), random.Random(5)
    for _ in range(25):
        stop, after, sent = threading.Event(), chance.randint(0, 60), iter(range(1_000_000))

        class Stopping(MemoryTransport):
            def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
                for message in messages:
                    if next(sent) == after:  # noqa: B023  (used within this turn of the loop)
                        stop.set()  # noqa: B023
                    yield Receipt(key=message.key, outcome=Outcome.ACCEPTED, text="kept")

        began = time.monotonic()
        account = deliver(sqlite_store, issue_id, render, Stopping, OPTIONS, clock=lambda: NOW, stop=stop)
        assert time.monotonic() - began < PATIENCE
        assert account.balances
        assert account.attempting == account.unknown == 0
        assert 0 < account.waiting < 2000
    lines = sum(len(said) for said in audit(sqlite_store, issue_id).attempts.values())
    assert lines == account.accepted


def test_an_outcome_comes_before_the_next_intent_of_its_row(store: Store) -> None:
    """Both may be in one batch: a message that was not sent is tried again at once."""
    issue_id = released(store, 3)
    with store.write() as tx:
        lease = leases.take_lease(tx, issue_id, owner="test")
        ids = [one.reader.subscriber_id for one in deliveries.due(tx, issue_id, after=0, now=NOW, limit=9)]
    account = Account(audience=3, waiting=3)
    ledger = Ledger(store, lease, account, width=1, clock=lambda: NOW, stopped=lambda: None)
    ledger.start()
    try:
        for key in ids:
            assert ledger.intend([key])
            for _ in range(3):
                ledger.settle(settlement(lease.epoch, key, DeliveryState.WAITING, Outcome.NOT_SENT))
                assert ledger.intend([key])
            ledger.settle(settlement(lease.epoch, key, DeliveryState.ACCEPTED, Outcome.ACCEPTED))
        ledger.flush()
        assert ledger.account() == Account(audience=3, accepted=3, deferred=9)
    finally:
        ledger.close(timeout=10)
    assert ledger.error is None
    assert set(states(store, issue_id).values()) == {DeliveryState.ACCEPTED}
    assert [len(said) for said in audit(store, issue_id).attempts.values()] == [4, 4, 4]


def settlement(epoch: int, key: int, state: DeliveryState, outcome: Outcome) -> Settlement:
    """Make what a connection would."""
    attempt = Attempt(at=NOW, epoch=epoch, outcome=outcome, text="so it was")
    reason = "" if state is DeliveryState.ACCEPTED else "not sent: so it was"
    return Settlement(subscriber_id=key, state=state, attempt=attempt, reason=reason, charged=not reason)


def test_a_reader_that_fails_stops_everything_and_is_not_asked_again(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue_id = released(sqlite_store, 3000)
    reading, failures, sent = sqlite_store.read, [], iter(range(1_000_000))
    broken = threading.Event()

    def read() -> AbstractContextManager[Tx]:
        if broken.is_set():
            failures.append(datetime.now(UTC))
            raise StoreError("the disk cannot be read")
        return reading()

    class Breaking(Quick):
        def __enter__(self) -> Self:
            return self

        def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
            for receipt in super().send(messages):
                if next(sent) == 200:
                    broken.set()
                yield receipt

    monkeypatch.setattr(sqlite_store, "read", read)
    began = time.monotonic()
    with pytest.raises(StoreError, match="the disk cannot be read"):
        deliver(sqlite_store, issue_id, render, Breaking, OPTIONS, clock=lambda: NOW)
    assert time.monotonic() - began < PATIENCE
    assert 1 <= len(failures) <= OPTIONS.connections + 2
    monkeypatch.undo()
    account = audit(sqlite_store, issue_id).account
    assert account.balances
    assert account.accepted < 3000
    again = dataclasses.replace(OPTIONS, connections=2)
    deliver(sqlite_store, issue_id, render, Quick, again, clock=lambda: NOW)
    assert audit(sqlite_store, issue_id).account.accepted == 3000
