"""The ledger's SQL: rows move along their edges only, a stale owner changes nothing, the sum always balances."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from faults.ground import NOW, add_readers, issue_state, make_issue, raise_epoch, set_standing, states
from newsletter.errors import InputError, LeaseLost
from newsletter.model import (
    DELIVERY_EDGES,
    Attempt,
    DeliveryState,
    IssueState,
    Lease,
    Outcome,
    Settlement,
    Standing,
)
from newsletter.store import Store, deliveries, leases, open_store, schema

READERS = 6
LINE = Attempt(at=NOW, epoch=0, outcome=Outcome.UNKNOWN, text="a line")
INDEX = st.integers(0, READERS - 1)
SOME = st.sets(INDEX, min_size=1)
_numbers = itertools.count(1)


def settlement(
    subscriber_id: int, state: DeliveryState, *, before: DeliveryState = DeliveryState.ATTEMPTING
) -> Settlement:
    """Make a settlement with a line of history."""
    return Settlement(
        subscriber_id=subscriber_id, state=state, attempt=LINE, reason=f"{state}", before=before
    )


class Ledger(RuleBasedStateMachine):
    """Does to one issue whatever owners, editors and readers may do, in any order."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        number = next(_numbers)
        newsletter = f"news-{number}"
        self.ids = add_readers(
            store, READERS, address=lambda n: f"r{n}.{number}@d{n % 2}.test", newsletter=newsletter
        )
        self.issue = make_issue(store, newsletter=newsletter)
        with store.write() as tx:
            deliveries.release(tx, self.issue, now=NOW)
        self.now = NOW
        self.leases: list[Lease] = []
        self.before = states(store, self.issue)

    def released(self) -> bool:
        """Whether somebody may take the lease."""
        return issue_state(self.store, self.issue)[0] is IssueState.RELEASED

    def try_to(self, lease: Lease, act: Callable[..., object]) -> bool:
        """Act under a lease; whether it still held."""
        fresh = lease is self.leases[-1]
        try:
            with self.store.write() as tx:
                leases.fence(tx, lease)
                act(tx, lease)
        except LeaseLost:
            assert states(self.store, self.issue) == self.before
            return False
        assert fresh, "a stale owner passed the fence"
        return True

    @precondition(released)
    @rule(end=st.sampled_from([DeliveryState.ACCEPTED, DeliveryState.WAITING, DeliveryState.UNKNOWN]))
    def take(self, end: DeliveryState) -> None:
        with self.store.write() as tx:
            lease = leases.take_lease(tx, self.issue, owner="me")
            left = leases.in_doubt(tx, lease)
            leases.inherit(tx, lease, [settlement(one, end) for one in left], now=self.now)
        assert len(left) == sum(state is DeliveryState.ATTEMPTING for state in self.before.values())
        self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(which=SOME, stale=st.booleans())
    def claim(self, which: set[int], stale: bool) -> None:
        ids = [self.ids[n] for n in which]
        found: list[tuple[set[int], set[int]]] = []
        lease = self.leases[0 if stale else -1]
        if self.try_to(lease, lambda tx, lease: found.append(leases.claim(tx, lease, ids, now=self.now))):
            claimed, dropped = found[0]
            after = states(self.store, self.issue)
            for one in ids:
                if one in claimed:
                    assert (self.before[one], after[one]) == (DeliveryState.WAITING, DeliveryState.ATTEMPTING)
                elif one in dropped:
                    assert (self.before[one], after[one]) == (DeliveryState.WAITING, DeliveryState.SUPPRESSED)
                else:
                    assert after[one] is self.before[one]

    @precondition(lambda self: self.leases)
    @rule(which=INDEX, state=st.sampled_from(DeliveryState), stale=st.booleans(), untried=st.booleans())
    def settle(self, which: int, state: DeliveryState, stale: bool, untried: bool) -> None:
        one, lease = self.ids[which], self.leases[0 if stale else -1]
        before = DeliveryState.WAITING if untried else DeliveryState.ATTEMPTING
        if (before, state) not in DELIVERY_EDGES:
            with pytest.raises(ValueError, match="never goes from"):
                settlement(one, state, before=before)
            return
        made = settlement(one, state, before=before)
        if self.try_to(lease, lambda tx, lease: leases.settle(tx, lease, [made], now=self.now)):
            after = states(self.store, self.issue)[one]
            if untried and after is DeliveryState.SUPPRESSED:  # has left: that stands
                assert self.before[one] in (before, after)
            else:
                assert (self.before[one], after) == (before, state)

    @precondition(lambda self: self.leases)
    @rule(everybody=st.booleans(), stale=st.booleans())
    def expire(self, everybody: bool, stale: bool) -> None:
        day = timedelta(days=1)
        self.try_to(
            self.leases[0 if stale else -1],
            lambda tx, lease: leases.expire(
                tx,
                lease,
                tried_before=self.now - day,
                settled_before=self.now if everybody else None,
                now=self.now,
            ),
        )

    @precondition(lambda self: self.leases)
    @rule(domain=st.sampled_from(["d0.test", "D1.test", "%", "_0.test"]))
    def put_off(self, domain: str) -> None:
        until = self.now + timedelta(hours=1)
        self.try_to(self.leases[-1], lambda tx, lease: leases.put_off_domain(tx, lease, domain, until=until))

    @precondition(lambda self: self.leases)
    @rule(finish=st.booleans())
    def end(self, finish: bool) -> None:
        if finish:
            self.try_to(self.leases[-1], lambda tx, lease: leases.finish(tx, lease, now=self.now))
        else:
            self.try_to(self.leases[-1], lambda tx, lease: leases.hold(tx, lease, "held"))

    @rule()
    def release(self) -> None:
        with self.store.write() as tx:
            deliveries.release(tx, self.issue, now=self.now)

    @rule(which=INDEX, standing=st.sampled_from(Standing))
    def change_standing(self, which: int, standing: Standing) -> None:
        set_standing(self.store, self.ids[which], standing)

    @rule(chosen=st.sets(st.sampled_from([DeliveryState.REFUSED, DeliveryState.UNKNOWN])))
    def retry(self, chosen: set[DeliveryState]) -> None:
        with self.store.write() as tx:
            deliveries.retry(tx, self.issue, states=chosen, now=self.now)

    @rule(hours=st.integers(1, 48))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @invariant()
    def rows_move_along_their_edges(self) -> None:
        after = states(self.store, self.issue)
        assert after.keys() == self.before.keys()
        for one, state in after.items():
            assert state is self.before[one] or (self.before[one], state) in DELIVERY_EDGES
        self.before = after

    @invariant()
    def the_sum_balances(self) -> None:
        with self.store.read() as tx:
            account = deliveries.account(tx, self.issue)
        assert account.balances
        assert account.audience == READERS
        if issue_state(self.store, self.issue)[0] is IssueState.FINISHED:
            assert account.waiting == account.attempting == 0


def run(store: Store, examples: int) -> None:
    """Let hypothesis do what it can to issues of a store."""

    class Here(Ledger):
        def __init__(self) -> None:
            super().__init__(store)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_ledger_on_sqlite(sqlite_store: Store) -> None:
    run(sqlite_store, 25)


@pytest.mark.postgres
def test_the_ledger_on_postgresql(postgres_url: str) -> None:
    with open_store(postgres_url) as store:
        run(store, 6)


# Single points


def released(store: Store, count: int = 3) -> tuple[int, list[int], Lease]:
    """Release an issue and take its lease."""
    ids = add_readers(store, count)
    issue = make_issue(store)
    with store.write() as tx:
        deliveries.release(tx, issue, now=NOW)
        return issue, ids, leases.take_lease(tx, issue, owner="me")


def test_a_claim_under_a_lost_lease_takes_nothing(store: Store) -> None:
    issue, ids, lease = released(store)
    raise_epoch(store, issue)
    with store.write() as tx:
        assert leases.claim(tx, lease, ids, now=NOW) == (set(), set())
    with pytest.raises(LeaseLost), store.write() as tx:
        leases.settle(
            tx, lease, [settlement(ids[0], DeliveryState.REFUSED, before=DeliveryState.WAITING)], now=NOW
        )
    assert set(states(store, issue).values()) == {DeliveryState.WAITING}


def test_a_claim_of_a_held_issue_takes_nothing(store: Store) -> None:
    issue, ids, lease = released(store)
    set_standing(store, ids[0], Standing.UNSUBSCRIBED)
    with store.write() as tx:
        leases.hold(tx, lease, "wait")
        assert not leases.fence(tx, lease)
        assert leases.claim(tx, lease, ids, now=NOW) == (set(), set())
    assert issue_state(store, issue) == (IssueState.HELD, "wait")
    with pytest.raises(InputError, match="not released"), store.write() as tx:
        leases.take_lease(tx, issue, owner="me")


def test_one_wrong_row_undoes_the_whole_batch(store: Store) -> None:
    issue, ids, lease = released(store)
    with store.write() as tx:
        leases.claim(tx, lease, ids[:2], now=NOW)
    with pytest.raises(LeaseLost, match="not in the state"), store.write() as tx:
        leases.settle(tx, lease, [settlement(one, DeliveryState.ACCEPTED) for one in ids], now=NOW)
    with store.read() as tx:
        account = deliveries.account(tx, issue)
        assert tx.execute(select(schema.attempts)).all() == []
    assert (account.attempting, account.waiting, account.accepted) == (2, 1, 0)


def test_an_outcome_comes_before_the_next_intent_of_the_same_row(store: Store) -> None:
    issue, ids, lease = released(store)
    with store.write() as tx:
        leases.claim(tx, lease, ids[:1], now=NOW)
        leases.settle(tx, lease, [settlement(ids[0], DeliveryState.WAITING)], now=NOW)
        assert leases.claim(tx, lease, ids[:1], now=NOW) == ({ids[0]}, set())
    assert states(store, issue)[ids[0]] is DeliveryState.ATTEMPTING


def test_those_due_come_in_pages_and_in_order(store: Store) -> None:
    issue, ids, lease = released(store, 7)
    later = settlement(ids[2], DeliveryState.WAITING)
    with store.write() as tx:
        leases.claim(tx, lease, ids[1:3], now=NOW)
        put_off = Settlement(
            subscriber_id=later.subscriber_id,
            state=later.state,
            attempt=LINE,
            not_before=NOW + timedelta(minutes=5),
        )
        leases.settle(tx, lease, [put_off], now=NOW)

    def due(after: int, minutes: int = 0) -> list[int]:
        with store.read() as tx:
            at = NOW + timedelta(minutes=minutes)
            rows = deliveries.due(tx, issue, after=after, now=at, limit=3)
            return [row.reader.subscriber_id for row in rows]

    assert due(0) == [ids[0], ids[3], ids[4]]
    assert due(ids[4]) == [ids[5], ids[6]]
    assert due(0, minutes=5) == [ids[0], ids[2], ids[3]]


def test_a_domain_is_put_off_whatever_is_in_its_name(store: Store) -> None:
    ids = add_readers(
        store, 4, address=lambda n: f"r{n}@" + ("a_b.test", "aXb.test", "A_B.test", "x.a_b.test")[n]
    )
    issue = make_issue(store)
    with store.write() as tx:
        deliveries.release(tx, issue, now=NOW)
        lease = leases.take_lease(tx, issue, owner="me")
        assert leases.put_off_domain(tx, lease, "a_b.test", until=NOW + timedelta(hours=1)) == 2
        rows = deliveries.due(tx, issue, after=0, now=NOW, limit=10)
        assert [row.reader.subscriber_id for row in rows] == [ids[1], ids[3]]
        assert leases.claim(tx, lease, ids, now=NOW) == ({ids[1], ids[3]}, set())


def test_the_history_keeps_every_line(store: Store) -> None:
    issue, ids, lease = released(store)
    line = Attempt(
        at=NOW,
        epoch=lease.epoch,
        outcome=Outcome.DEFERRED,
        stage=LINE.stage,
        transport="smtp",
        server="mail.test:25",
        code=450,
        enhanced="4.2.0",
        text="später",
    )
    for _ in range(2):
        with store.write() as tx:
            leases.claim(tx, lease, ids[:1], now=NOW)
            made = Settlement(subscriber_id=ids[0], state=DeliveryState.WAITING, attempt=line)
            leases.settle(tx, lease, [made], now=NOW)
    with store.read() as tx:
        assert deliveries.history(tx, issue) == {ids[0]: (line, line)}
        first = next(deliveries.listed(tx, issue))
    assert (first.attempts, first.epoch) == (2, lease.epoch)


def test_presumed_ones_are_counted_apart(store: Store) -> None:
    issue, ids, lease = released(store)
    with store.write() as tx:
        leases.claim(tx, lease, ids, now=NOW)
        made = [
            Settlement(subscriber_id=one, state=DeliveryState.ACCEPTED, attempt=LINE, presumed=one != ids[0])
            for one in ids
        ]
        leases.settle(tx, lease, made, now=NOW)
        account = deliveries.account(tx, issue)
    assert (account.accepted, account.presumed) == (3, 2)


def test_due_rows_are_found_by_the_partial_index(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/plan.db") as store, store.read() as tx:
        plan = tx.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM deliveries WHERE issue_id = 1 AND subscriber_id > 0"
            " AND state IN ('waiting', 'attempting') AND state = 'waiting' ORDER BY subscriber_id LIMIT 9"
        ).all()
    assert any("ix_deliveries_open" in row[3] for row in plan)
