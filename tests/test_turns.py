"""Whose turn comes when: written at the release, true across restarts, and nobody is lost or doubled by it."""

from __future__ import annotations

import dataclasses
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from configurations import mistake, weekly
from conftest import PublicationFactory
from faults.ground import NOW, add_readers, issue_state, make_issue, render, states
from newsletter.config import NewsletterConfig
from newsletter.daemon import next_look
from newsletter.deliver import DeliveryOptions, Turns, deliver, release, turns_of
from newsletter.model import Account, IssueState, Message, Reader
from newsletter.schedule import Schedule
from newsletter.store import Store, schema, turns
from newsletter.transports.memory import MemoryTransport

OPTIONS = DeliveryOptions(transport="memory", reconnect=(0.0, 0.0))
HOUR = timedelta(hours=1)
RULE = Schedule(every="week", at=time(12), timezone="UTC")
ZONES = ("", "UTC", "Nowhere/Town", "Etc/GMT+2", "Etc/GMT+2", "Etc/GMT+20", "Etc/GMT+12", "Etc/GMT-3")


class Ground:
    """An issue released to readers in these zones, and a clock that a test moves."""

    def __init__(self, store: Store, config: NewsletterConfig, zones: tuple[str, ...] = ZONES) -> None:
        self.store = store
        self.now = NOW
        self.ids = add_readers(store, len(zones))
        self.issue = make_issue(store)
        with store.write() as tx:
            for one, zone in zip(self.ids, zones, strict=True):
                mine = schema.subscribers.c.id == one
                tx.execute(update(schema.subscribers).where(mine).values(timezone=zone))
        self.account = release(store, self.issue, now=NOW, turns=turns_of(config, RULE, NOW, now=NOW))
        self.sent: list[int] = []

    def deliver(self, options: DeliveryOptions = OPTIONS) -> list[int]:
        """Deliver what is due as a new process would; return the places of those who were served."""
        served: list[int] = []

        def note(reader: Reader) -> Message:
            served.append(self.ids.index(reader.subscriber_id))
            return render(reader)

        self.account = deliver(self.store, self.issue, note, MemoryTransport, options, clock=lambda: self.now)
        self.sent += served
        return sorted(served)

    def upcoming(self) -> list[tuple[datetime, int]]:
        with self.store.read() as tx:
            return turns.upcoming(tx, self.issue, limit=5)


@pytest.fixture
def local(publication: PublicationFactory) -> NewsletterConfig:
    """Configure a newsletter that is delivered at the readers' own hour, at most ten hours late."""
    one = publication().newsletters[0]
    return one.model_copy(update={"local_time": True, "local_spread": 10 * HOUR})


def test_each_is_served_in_their_own_zone_across_restarts(store: Store, local: NewsletterConfig) -> None:
    ground = Ground(store, local)
    assert ground.account.waiting == len(ZONES)
    assert ground.upcoming() == [(NOW + 2 * HOUR, 2), (NOW + 10 * HOUR, 1)]
    assert ground.deliver() == [0, 1, 2, 5, 7]
    assert next_look(ground.account, ground.now) == NOW + 2 * HOUR
    ground.now = NOW + 2 * HOUR - timedelta(seconds=1)
    assert ground.deliver() == []
    ground.now = NOW + 2 * HOUR
    assert ground.deliver() == [3, 4]
    assert next_look(ground.account, ground.now) == NOW + 10 * HOUR
    ground.now = NOW + 12 * HOUR
    assert ground.deliver() == [6]
    assert ground.account == Account(audience=8, accepted=8)
    assert issue_state(store, ground.issue)[0] is IssueState.FINISHED
    assert len(ground.sent) == len(set(ground.sent))


def test_without_local_time_everybody_is_due_at_once(store: Store, local: NewsletterConfig) -> None:
    usual = local.model_copy(update={"local_time": False})
    ground = Ground(store, usual)
    assert ground.upcoming() == []
    assert len(ground.deliver()) == len(ZONES)


def test_a_turn_is_written_once_and_with_the_release(store: Store, local: NewsletterConfig) -> None:
    ground = Ground(store, local)
    before = ground.upcoming()
    later = turns_of(local, RULE, NOW, now=NOW + HOUR)
    release(store, ground.issue, now=NOW + HOUR, turns=later)
    assert ground.upcoming() == before

    def broken(zone: str) -> datetime:
        raise RuntimeError("killed here")

    other = make_issue(store, number=2)
    with pytest.raises(RuntimeError):
        release(store, other, now=NOW, turns=Turns(serve=broken))
    assert states(store, other) == {}
    assert issue_state(store, other)[0] is IssueState.APPROVED


def test_the_next_slot_expires_who_had_a_turn_and_nobody_else(store: Store, local: NewsletterConfig) -> None:
    ground = Ground(store, local)
    options = dataclasses.replace(OPTIONS, expires_at=NOW + 3 * HOUR)
    ground.now = NOW + 4 * HOUR
    assert ground.deliver(options) == []
    assert (ground.account.refused, ground.account.waiting) == (7, 1)
    ground.now = NOW + 10 * HOUR
    assert ground.deliver(options) == [6]
    assert ground.account == Account(audience=8, accepted=1, refused=7)


def test_a_hold_does_not_write_that_somebody_was_tried(store: Store, local: NewsletterConfig) -> None:
    ground = Ground(store, local)
    with store.write() as tx:
        tx.execute(schema.issues.update().values(state=IssueState.HELD, reason="wait"))
    release(store, ground.issue, now=NOW + HOUR)
    with store.read() as tx:
        assert tx.execute(select(schema.attempts)).all() == []
    assert ground.upcoming() == [(NOW + 2 * HOUR, 2), (NOW + 10 * HOUR, 1)]


def test_a_late_release_serves_everybody_at_once(store: Store, local: NewsletterConfig) -> None:
    add_readers(store, 2)
    issue = make_issue(store)
    late = NOW + timedelta(days=1)
    release(store, issue, now=late, turns=turns_of(local, RULE, NOW, now=late))
    with store.read() as tx:
        assert turns.upcoming(tx, issue, limit=5) == []


def test_a_clock_set_back_delays_nobody_s_own_hour(store: Store, local: NewsletterConfig) -> None:
    add_readers(store, 2)
    issue = make_issue(store)
    early = NOW - HOUR
    release(store, issue, now=early, turns=turns_of(local, RULE, NOW, now=early))
    with store.read() as tx:
        assert turns.upcoming(tx, issue, limit=5) == [(NOW, 2)]


def test_a_spread_wider_than_the_earth_is_refused(tmp_path: Path) -> None:
    assert "26h" in mistake(tmp_path, weekly(local_spread="27h"))
