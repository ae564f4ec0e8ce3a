"""What becomes of a delivery, line by line of the rules: waits, doubts, breakers, and texts that name nobody."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.ground import NOW, reasons, states
from newsletter import deliver as delivering
from newsletter.deliver.settling import Breaker, back_off, hide
from newsletter.model import Account, DeliveryState, Outcome, Reader, Receipt, Stage
from newsletter.store import Store
from newsletter.transports.replies import Schedule, verdict_of
from test_deliver import OPTIONS, Clock, by_reader, crash, go, outcome, released, say

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def minutes(schedule: Schedule, attempts: int) -> list[int]:
    """Return the first waits of a schedule in minutes, without their spread."""
    waits = [back_off(schedule, n, 7) / MINUTE for n in range(1, attempts + 1)]
    return [next(m for m in STEPS if m <= wait <= m * 1.1) for wait in waits]


STEPS = (5, 10, 20, 30, 40, 60, 120, 240, 720)


def test_waits_follow_the_table() -> None:
    assert minutes(Schedule.PLAIN, 6) == [30, 60, 120, 240, 240, 240]
    assert minutes(Schedule.GREYLISTED, 8) == [5, 10, 20, 40, 60, 120, 240, 240]
    assert minutes(Schedule.FULL, 5) == [60, 240, 720, 720, 720]
    assert minutes(Schedule.DISABLED, 2) == [720, 720]


def test_readers_do_not_come_back_all_at_once() -> None:
    assert len({back_off(Schedule.PLAIN, 1, salt) for salt in range(100)}) == 100


def test_a_mailbox_disabled_twice_is_refused_whatever_came_between(store: Store) -> None:
    issue_id, (reader,) = released(store, 1)
    clock = Clock()
    disabled = say(550, "5.2.1", "disabled")
    for answer in (disabled, say(450, "4.2.0", "greylisted"), outcome(Outcome.NOT_SENT)):
        go(store, issue_id, answer, clock=clock)
        assert states(store, issue_id) == {reader: DeliveryState.WAITING}
        assert "5.2.1" in reasons(store, issue_id)[reader]
        clock.now += 13 * HOUR
    go(store, issue_id, disabled, clock=clock)
    assert states(store, issue_id) == {reader: DeliveryState.REFUSED}


def test_an_address_with_such_digits_is_no_disabled_mailbox(sqlite_store: Store) -> None:
    issue_id, (reader,) = released(sqlite_store, 1)
    clock = Clock()
    go(sqlite_store, issue_id, say(450, "4.2.0", "by 15.2.1.7 and 5.2.1.9"), clock=clock)
    clock.now += HOUR
    go(sqlite_store, issue_id, say(550, "5.2.1", "disabled"), clock=clock)
    assert states(sqlite_store, issue_id) == {reader: DeliveryState.WAITING}


def test_a_second_crash_in_doubt_is_held(store: Store) -> None:
    issue_id, ids = released(store, 3)
    options = dataclasses.replace(OPTIONS, on_crash="resend")
    first = crash(store, issue_id, 1)
    silent = by_reader({one: outcome(Outcome.NOT_SENT) for one in ids})
    clock = Clock()
    go(store, issue_id, silent, options=options, clock=clock)
    clock.now += HOUR
    assert crash_of(store, issue_id, clock) >= set(first)
    account = go(store, issue_id, options=options, clock=clock)
    assert (account.accepted, account.unknown) == (2, 1)
    assert states(store, issue_id)[first[0]] is DeliveryState.UNKNOWN


def crash_of(store: Store, issue_id: int, clock: Clock) -> set[int]:
    """Leave everybody who is due attempting."""
    from newsletter.store import deliveries, leases

    with store.write() as tx:
        lease = leases.take_lease(tx, issue_id, owner="dead")
        rows = deliveries.due(tx, issue_id, after=0, now=clock.now, limit=9)
        return leases.claim(tx, lease, [row.reader.subscriber_id for row in rows], now=clock.now)[0]


def test_silence_of_a_transport_that_knows_a_message_again_is_sent_again(store: Store) -> None:
    issue_id, _ = released(store, 2)
    clock = Clock()
    account = go(store, issue_id, outcome(Outcome.UNKNOWN), clock=clock, idempotent=True)
    assert (account.waiting, account.next_at) == (2, NOW + 10 * MINUTE), "a report may still settle it"
    clock.now += 10 * MINUTE
    assert go(store, issue_id, clock=clock, idempotent=True) == Account(audience=2, accepted=2)


# Breakers


def receipt(stage: Stage, code: int, enhanced: str = "") -> Receipt:
    made = Receipt(key=1, outcome=Outcome.NOT_SENT, stage=stage, code=code, enhanced=enhanced)
    return made if code >= 400 else dataclasses.replace(made, outcome=Outcome.ACCEPTED)


def notes(breaker: Breaker, *told: tuple[Receipt, str]) -> list[str]:
    return [breaker.note(one, verdict_of(one), domain, NOW) for one, domain in told]


ODD = receipt(Stage.END_OF_DATA, 554, "5.6.0")
TAKEN = receipt(Stage.END_OF_DATA, 250, "2.0.0")


def test_three_odd_messages_in_a_row_over_two_domains_stop_the_issue() -> None:
    assert notes(Breaker(doubts_allowed=3), (ODD, "a"), (ODD, "a"), (ODD, "a")) == [""] * 3
    assert any(notes(Breaker(doubts_allowed=3), (ODD, "a"), (ODD, "a"), (ODD, "b")))
    between = notes(Breaker(doubts_allowed=3), (ODD, "a"), (ODD, "b"), (TAKEN, "a"), (ODD, "b"))
    assert between == [""] * 4


def test_a_rate_of_our_own_faults_stops_the_issue_and_a_count_does_not() -> None:
    breaker = Breaker(doubts_allowed=3)
    for _ in range(20):  # one in twenty is allowed, for ever
        assert not any(notes(breaker, *[(TAKEN, "a")] * 19, (ODD, "a")))
    assert any(notes(breaker, *[(TAKEN, "a"), (ODD, "a")] * 10))


def test_doubts_stop_the_issue_when_they_repeat_or_are_too_many_of_it() -> None:
    doubt = Receipt(key=1, outcome=Outcome.UNKNOWN, stage=Stage.END_OF_DATA)

    def run(audience: int, apart: timedelta, count: int) -> str:
        breaker = Breaker(doubts_allowed=3, audience=audience)
        said = [breaker.note(doubt, verdict_of(doubt), "a", NOW + n * apart) for n in range(count)]
        assert not any(said[:-1])
        return said[-1]

    assert "4 messages in doubt within 10 minutes" in run(100_000, MINUTE, 4)
    assert run(100_000, 11 * MINUTE, 100) == ""
    assert "101 of 100000 messages in doubt" in run(100_000, 11 * MINUTE, 101)
    assert run(0, 11 * MINUTE, 1000) == ""


def test_the_audience_is_known_to_the_breaker(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 8)
    options = dataclasses.replace(OPTIONS, connections=1)
    go(sqlite_store, issue_id, outcome(Outcome.UNKNOWN), options=options)
    assert delivering.audit(sqlite_store, issue_id).account.unknown == 4


# Texts that name nobody

READER = Reader(subscriber_id=1, address="Ada.Lovelace@Example.org", name="Ada Lovelace")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("2.0.0 Ok: queued as 4fXk2p", "2.0.0 Ok: queued as 4fXk2p"),
        ("<ada.lovelace@example.ORG>: no such user", "<…>: no such user"),
        ("Dear ADA LOVELACE, you are full", "Dear …, you are full"),
        ("forwarded to countess@private.example", "forwarded to …"),
        ("blocked; ask postmaster@example.org", "blocked; ask postmaster@example.org"),
        ("see support@example.org,not-abuse@example.org", "see support@example.org,…"),
        ("mail at @ nothing", "mail at @ nothing"),
    ],
)
def test_a_text_that_is_kept_names_nobody(said: str, kept: str) -> None:
    assert hide(said, READER) == kept


NAMES = st.text(st.characters(categories=["L"]), min_size=3, max_size=12)


@given(NAMES, NAMES, NAMES)
def test_no_name_is_left_in_any_case(before: str, name: str, after: str) -> None:
    reader = dataclasses.replace(READER, name=name)
    for written in (name, name.upper(), name.lower()):
        if written.casefold() == name.casefold() and len(written) == len(name):
            assert name not in hide(f"{before} {written} {after}", reader)
