"""The pace: rates are kept, valves give way and recover, and nobody waits for a domain that is not theirs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.ground import NOW, add_readers, make_issue, render
from newsletter.deliver import release
from newsletter.deliver.engine import DeliveryOptions, Run
from newsletter.deliver.feed import Feed
from newsletter.deliver.pace import Paces, Rate, Valve
from newsletter.model import Account, Lease, Outcome, Receipt, Stage
from newsletter.store import Store
from newsletter.transports.memory import MemoryTransport
from newsletter.transports.replies import Reply, judge, verdict_of

ACCEPTED = Receipt(key=1, outcome=Outcome.ACCEPTED, stage=Stage.END_OF_DATA, server="a:25", code=250)


def said(
    code: int, enhanced: str, text: str = "", *, stage: Stage = Stage.RCPT, server: str = "a:25"
) -> Receipt:
    """Make the receipt of a reply."""
    verdict = judge(stage, Reply(code, enhanced, text))
    return Receipt(
        key=1, outcome=verdict.outcome, stage=stage, server=server, code=code, enhanced=enhanced, text=text
    )


def hear(paces: Paces, receipt: Receipt, domain: str = "example.org", now: float = 100.0) -> None:
    """Let the paces hear a receipt."""
    paces.hear(receipt, verdict_of(receipt), domain, now)


@given(st.floats(0.5, 500), st.lists(st.tuples(st.floats(0, 2), st.integers(1, 8)), min_size=1, max_size=60))
def test_a_rate_is_never_exceeded(per_second: float, asks: list[tuple[float, int]]) -> None:
    rate, now, granted = Rate(per_second), 1000.0, 0
    for wait, most in asks:
        now += wait
        granted += rate.grant(most, now)
        assert granted <= (now - 1000) * per_second + 1 + 0.06 * per_second
        assert not rate.wait(now) or rate.wait(now) <= 8 / per_second + 1e-6


def test_a_rate_is_reached() -> None:
    rate, now, granted = Rate(100.0), 50.0, 0
    for _ in range(1000):
        now += 0.001
        granted += rate.grant(1, now)
    assert 98 <= granted <= 102


def flow(valve: Valve, now: float, seconds: int, per_second: int) -> float:
    """Let messages pass for a while."""
    for _ in range(seconds):
        for n in range(per_second):
            valve.passed(now + n / per_second)
        now += 1
    return now


def test_a_valve_halves_at_a_complaint_and_opens_again() -> None:
    valve = Valve()
    now = flow(valve, 100.0, 3, 40)
    valve.complain(now)
    assert valve.per_second == pytest.approx(20, rel=0.1)
    valve.complain(now + 0.5)
    assert valve.per_second == pytest.approx(20, rel=0.1), "many complaints at once are one"
    assert valve.grant(5, now) == 0
    rates = []
    for _ in range(40):
        now = flow(valve, now, 1, 10)
        rates.append(valve.per_second)
        if valve.per_second is None:
            break
    assert rates[-1] is None
    limited = [rate for rate in rates if rate is not None]
    assert limited == sorted(limited)
    assert 10 <= len(limited) <= 30


def test_a_valve_never_closes_wholly_and_only_where_something_went() -> None:
    valve = Valve()
    valve.complain(100.0)
    assert valve.per_second is None, "where nothing goes there is no pace to slow"
    now = 100.0
    for _ in range(30):
        valve.passed(now)
        valve.complain(now + 1)
        now += 2
    assert valve.per_second is not None
    assert 0.2 <= valve.per_second <= 0.5


@pytest.mark.parametrize(
    ("receipt", "server_slows", "domain_slows"),
    [
        (said(421, "4.7.0", "too many connections"), True, True),
        (said(451, "4.3.0", "busy", stage=Stage.MAIL), True, False),
        (said(450, "4.7.28", "unusual rate of mail", stage=Stage.END_OF_DATA), False, True),
        (said(451, "4.7.1", "try again: rate limit exceeded", stage=Stage.END_OF_DATA), True, True),
        (said(450, "4.2.0", "greylisted"), False, False),
        (said(451, "4.7.1", "greylisted, come back"), False, False),
        (said(452, "4.2.2", "mailbox full"), False, False),
        (said(550, "5.7.1", "refused: too many complaints"), False, False),
        (said(550, "5.1.1", "no such user"), False, False),
    ],
)
def test_who_slows_for_what_is_said(receipt: Receipt, server_slows: bool, domain_slows: bool) -> None:
    paces = Paces()
    for n in range(30):
        hear(paces, ACCEPTED, now=98 + n / 10)
    hear(paces, receipt, now=101.0)
    assert (not paces.is_free("a:25", 101.0)) is server_slows
    assert paces.is_free("b:25", 101.0), "another server keeps its pace"
    assert (paces.turn_of("example.org", 101.0) > 0) is domain_slows
    assert not paces.hold_back("example.net", 101.0)


def test_others_go_on_while_a_domain_waits(sqlite_store: Store) -> None:
    issue_id = make_issue(sqlite_store)
    hosts = ("slow.example", "quick.example")
    add_readers(sqlite_store, 60, address=lambda n: f"reader{n}@{hosts[n % 2]}")
    release(sqlite_store, issue_id, now=NOW)
    paces = Paces()
    feed = Feed(sqlite_store, issue_id, paces, lambda: NOW)
    slow = said(450, "4.7.28", "slow down, please", stage=Stage.END_OF_DATA)
    import time

    now = time.monotonic()
    hear(paces, ACCEPTED, "slow.example", now - 2)
    hear(paces, slow, "slow.example", now)
    rows = []
    while True:
        dealt, wait = feed.deal(4, "b:25")
        rows += dealt
        if not dealt:
            break
    assert len(rows) == 30
    assert {row.reader.address.partition("@")[2] for row in rows} == {"quick.example"}
    assert wait > 0
    assert feed.has_more()
    later, _ = feed.deal(4, "b:25")
    assert later == []


@pytest.mark.parametrize(
    ("rate", "hours", "expected"),
    [(None, 2, 0.5), (0.1, 2, 0.1), (100.0, 2, 0.5), (None, -1, None), (7.0, None, 7.0)],
)
def test_the_slower_of_both_wishes_counts(
    sqlite_store: Store, rate: float | None, hours: float | None, expected: float | None
) -> None:
    at = datetime.now(UTC)
    options = DeliveryOptions(
        rate_per_second=rate, finish_by=None if hours is None else at + timedelta(hours=hours)
    )
    run = Run(
        sqlite_store,
        Lease(issue_id=1, newsletter="weekly", epoch=1),
        render,
        MemoryTransport,
        options,
        account=Account(audience=3600, waiting=3600),
        clock=lambda: at,
    )
    assert run._limit(0.0) == (None if expected is None else pytest.approx(expected))
