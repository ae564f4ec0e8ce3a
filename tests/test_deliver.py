"""Delivery over real stores: what is released is delivered once, accounted for, and stops when it must."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from conftest import PublicationFactory
from faults.ground import (
    NOW,
    add_readers,
    issue_state,
    make_issue,
    raise_epoch,
    reasons,
    render,
    set_standing,
    states,
)
from newsletter import deliver as delivering
from newsletter import issues
from newsletter.config import Config
from newsletter.crew.blackbox import boot_id
from newsletter.deliver import DeliveryOptions, deliver, options_of, release, retry
from newsletter.deliver.settling import Doubt, back_off
from newsletter.errors import InputError, LeaseLost, StoreError, TransportError
from newsletter.model import (
    Account,
    DeliveryState,
    IssueState,
    Message,
    Outcome,
    Reader,
    Receipt,
    Stage,
    Standing,
    SuppressionReason,
)
from newsletter.store import Store, deliveries, leases, meta, open_store, schema, subscribers
from newsletter.transports import Capabilities, Transport
from newsletter.transports.memory import MemoryTransport
from newsletter.transports.replies import Schedule

OPTIONS = DeliveryOptions(transport="memory", reconnect=(0.0, 0.0), grace=0.2, drain=0.4)
Answer = Callable[[Message], Receipt]


class Answering:
    """A transport that answers as it is told, and keeps what it accepted."""

    def __init__(self, answer: Answer, kept: list[int], *, idempotent: bool = False) -> None:
        self.answer = answer
        self.kept = kept
        self.capabilities = Capabilities(idempotent=idempotent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
        for message in messages:
            receipt = self.answer(message)
            if receipt.outcome is Outcome.ACCEPTED:
                self.kept.append(message.key)
            yield receipt


def say(code: int, enhanced: str = "", text: str = "", *, stage: Stage = Stage.RCPT) -> Answer:
    """Answer with what an SMTP server would have said."""
    from newsletter.transports.replies import Reply, judge

    verdict = judge(stage, Reply(code, enhanced, text))

    def answer(message: Message) -> Receipt:
        return Receipt(
            key=message.key,
            outcome=verdict.outcome,
            stage=stage,
            server="test",
            code=code,
            enhanced=enhanced,
            text=text,
            suppress=verdict.suppress,
        )

    return answer


def accept(message: Message) -> Receipt:
    """Accept."""
    return Receipt(key=message.key, outcome=Outcome.ACCEPTED, text="kept")


def outcome(what: Outcome, text: str = "so it was") -> Answer:
    """Answer with an outcome and no reply."""
    return lambda message: Receipt(key=message.key, outcome=what, text=text)


def by_reader(answers: dict[int, Answer]) -> Answer:
    """Answer differently for some readers."""
    return lambda message: answers.get(message.key, accept)(message)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def go(
    store: Store,
    issue_id: int,
    answer: Answer = accept,
    *,
    clock: Callable[[], datetime] = lambda: NOW,
    kept: list[int] | None = None,
    options: DeliveryOptions = OPTIONS,
    render: Callable[[Reader], Message] = render,
    idempotent: bool = False,
    progress: Callable[[Account], None] | None = None,
) -> Account:
    """Deliver with transports that answer so."""
    box = [] if kept is None else kept
    return deliver(
        store,
        issue_id,
        render,
        lambda: Answering(answer, box, idempotent=idempotent),
        options,
        clock=clock,
        progress=progress,
        stop=threading.Event(),
    )


def released(
    store: Store, count: int, address: Callable[[int], str] = "reader{}@example.org".format
) -> tuple[int, list[int]]:
    """Release an issue to this many readers."""
    ids = add_readers(store, count, address=address)
    issue_id = make_issue(store)
    release(store, issue_id, now=NOW)
    return issue_id, ids


# Release


def test_release_freezes_the_audience_once(store: Store) -> None:
    ids = add_readers(store, 3)
    issue_id = make_issue(store)
    add_readers(store, 2, address="gone{}@example.org".format, standing=Standing.UNSUBSCRIBED)
    add_readers(store, 1, address="new{}@example.org".format, standing=Standing.PENDING)
    away = NOW + timedelta(days=1)
    add_readers(store, 1, address="away{}@example.org".format, standing=Standing.PAUSED, paused_until=away)
    back = add_readers(
        store, 1, address="back{}@example.org".format, standing=Standing.PAUSED, paused_until=NOW
    )
    assert release(store, issue_id, now=NOW) == Account(audience=4, waiting=4)
    add_readers(store, 5, address="late{}@example.org".format)
    assert release(store, issue_id, now=NOW + timedelta(hours=1)) == Account(audience=4, waiting=4)
    assert set(states(store, issue_id)) == {*ids, *back}
    assert issue_state(store, issue_id) == (IssueState.RELEASED, "")


def test_what_a_reader_is_told_is_frozen_at_release(sqlite_store: Store) -> None:
    issue_id, ids = released(sqlite_store, 1)
    with sqlite_store.write() as tx:
        tx.execute(schema.subscribers.update().values(name="Another name", address="other@example.org"))
    told: list[Reader] = []

    def remember(reader: Reader) -> Message:
        told.append(reader)
        return render(reader)

    go(sqlite_store, issue_id, render=remember)
    assert told == [Reader(subscriber_id=ids[0], address="reader0@example.org", name="Reader 0", since=NOW)]


def test_there_is_no_issue_to_release(sqlite_store: Store) -> None:
    with pytest.raises(InputError, match="there is no issue 77"):
        release(sqlite_store, 77, now=NOW)


def test_an_issue_that_is_not_released_is_not_delivered(sqlite_store: Store) -> None:
    add_readers(sqlite_store, 1)
    with pytest.raises(InputError, match="not released"):
        go(sqlite_store, make_issue(sqlite_store))


# The usual


def test_everybody_gets_one_message_and_the_issue_is_finished(store: Store) -> None:
    issue_id, ids = released(store, 25)
    kept: list[int] = []
    assert go(store, issue_id, kept=kept) == Account(audience=25, accepted=25)
    assert sorted(kept) == ids
    assert issue_state(store, issue_id)[0] is IssueState.FINISHED
    assert go(store, issue_id, kept=kept) == Account(audience=25, accepted=25)
    assert len(kept) == 25


def test_an_issue_without_readers_is_finished_at_once(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 0)
    assert go(sqlite_store, issue_id) == Account(audience=0)
    assert issue_state(sqlite_store, issue_id)[0] is IssueState.FINISHED


def test_one_who_leaves_after_release_is_suppressed(store: Store) -> None:
    issue_id, ids = released(store, 4)
    set_standing(store, ids[1], Standing.UNSUBSCRIBED)
    with store.write() as tx:
        tx.execute(schema.subscriptions.delete().where(schema.subscriptions.c.subscriber_id == ids[2]))
    kept: list[int] = []
    assert go(store, issue_id, kept=kept) == Account(audience=4, accepted=2, suppressed=2)
    assert sorted(kept) == [ids[0], ids[3]]
    assert reasons(store, issue_id)[ids[1]] == "unsubscribed"
    assert reasons(store, issue_id)[ids[2]] == "erased"


def test_the_audit_names_everybody_with_their_history(store: Store) -> None:
    issue_id, ids = released(store, 3)
    go(store, issue_id, by_reader({ids[1]: say(550, "5.1.1", "no such user")}))
    audit = delivering.audit(store, issue_id)
    assert audit.account == Account(audience=3, accepted=2, refused=1)
    assert [d.reader.subscriber_id for d in audit.deliveries] == ids
    refused = audit.deliveries[1]
    assert (refused.state, refused.attempts) == (DeliveryState.REFUSED, 1)
    assert refused.reason == "rejected: 550 5.1.1 no such user"
    (line,) = audit.attempts[ids[1]]
    assert (line.at, line.outcome, line.stage, line.code) == (NOW, Outcome.REFUSED, Stage.RCPT, 550)
    assert line.transport == "memory"
    assert audit.attempts[ids[0]][0].outcome is Outcome.ACCEPTED


def test_a_bad_address_is_never_written_to_again(store: Store) -> None:
    issue_id, ids = released(store, 2)
    go(store, issue_id, by_reader({ids[0]: say(550, "5.1.1", "no such user")}))
    with store.read() as tx:
        rows = tx.execute(select(schema.subscriptions.c.subscriber_id, schema.subscriptions.c.standing))
        assert dict(iter(rows)) == {ids[0]: Standing.SUPPRESSED, ids[1]: Standing.ACTIVE}
    second = make_issue(store, number=2)
    assert release(store, second, now=NOW).audience == 1


def test_reasons_name_nobody(sqlite_store: Store) -> None:
    issue_id, ids = released(sqlite_store, 2)
    echo = say(550, "5.1.1", "<READER0@example.org>: no such user")

    def broken(reader: Reader) -> Message:
        if reader.subscriber_id == ids[1]:
            raise ValueError(f"{reader.name} <{reader.address}> cannot be a header")
        return render(reader)

    go(sqlite_store, issue_id, echo, render=broken)
    assert reasons(sqlite_store, issue_id) == {
        ids[0]: "rejected: 550 5.1.1 <…>: no such user",
        ids[1]: "quarantined: ValueError: … <…> cannot be a header",
    }
    with sqlite_store.read() as tx:
        assert (
            tx.execute(select(schema.suppressions.c.note)).scalar_one()
            == reasons(sqlite_store, issue_id)[ids[0]]
        )


def test_one_reader_who_cannot_be_rendered_is_quarantined(sqlite_store: Store) -> None:
    issue_id, ids = released(sqlite_store, 6)

    def fragile(reader: Reader) -> Message:
        if reader.subscriber_id == ids[2]:
            raise ValueError("the name breaks\nthe header")
        if reader.subscriber_id == ids[3]:
            return dataclasses.replace(render(reader), key=0)
        return render(reader)

    assert go(sqlite_store, issue_id, render=fragile) == Account(audience=6, accepted=4, refused=2)
    assert reasons(sqlite_store, issue_id)[ids[2]] == "quarantined: ValueError: the name breaks the header"
    assert retry(sqlite_store, issue_id, refused_temporarily=True, now=NOW) == 2
    assert issue_state(sqlite_store, issue_id)[0] is IssueState.RELEASED
    assert go(sqlite_store, issue_id) == Account(audience=6, accepted=6)


def test_a_digest_that_can_be_rendered_for_nobody_stops_the_issue(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 40)

    def broken(reader: Reader) -> Message:
        raise KeyError("slot")

    account = go(sqlite_store, issue_id, render=broken)
    assert account.refused < 15
    assert account.balances
    state, reason = issue_state(sqlite_store, issue_id)
    assert state is IssueState.HELD
    assert "by our own fault" in reason
    assert "KeyError" in reason


# Refusals, delays, doubt


def test_greylisting_puts_off_and_the_next_run_delivers(store: Store) -> None:
    issue_id, ids = released(store, 3)
    clock = Clock()
    greylisted = by_reader({ids[0]: say(450, "4.2.0", "greylisted")})
    account = go(store, issue_id, greylisted, clock=clock)
    assert (account.accepted, account.waiting) == (2, 1)
    assert account.next_at is not None
    assert timedelta(minutes=5) <= account.next_at - NOW <= timedelta(minutes=5.5)
    assert issue_state(store, issue_id)[0] is IssueState.RELEASED
    kept: list[int] = []
    assert go(store, issue_id, clock=clock, kept=kept).waiting == 1
    assert kept == []
    clock.now = account.next_at
    assert go(store, issue_id, clock=clock, kept=kept) == Account(audience=3, accepted=3)
    assert kept == [ids[0]]
    assert len(delivering.audit(store, issue_id).attempts[ids[0]]) == 2


def test_one_who_is_put_off_again_and_again_expires_and_may_be_retried(store: Store) -> None:
    issue_id, ids = released(store, 1)
    clock = Clock()
    day = dataclasses.replace(OPTIONS, expire_after=timedelta(days=1))
    tries = 0
    while (account := go(store, issue_id, say(450, "4.2.0"), clock=clock, options=day)).waiting:
        tries += 1
        assert account.next_at is not None
        clock.now = account.next_at
    assert NOW + timedelta(days=1) <= clock.now <= NOW + timedelta(days=1, hours=5)
    assert 8 <= tries <= 12
    assert account == Account(audience=1, refused=1)
    assert reasons(store, issue_id)[ids[0]].startswith("expired: 450 4.2.0")
    assert issue_state(store, issue_id)[0] is IssueState.FINISHED
    assert retry(store, issue_id, unknown=True, now=clock.now) == 0
    assert retry(store, issue_id, refused_temporarily=True, now=clock.now) == 1
    assert go(store, issue_id, say(450, "4.2.0"), clock=clock, options=day).waiting == 1
    clock.now += timedelta(hours=1)
    assert go(store, issue_id, clock=clock, options=day) == Account(audience=1, accepted=1)


def test_everybody_who_waits_expires_when_the_next_issue_is_due(store: Store) -> None:
    issue_id, ids = released(store, 3)
    clock = Clock()
    weekly = dataclasses.replace(OPTIONS, expires_at=NOW + timedelta(days=7))
    late = by_reader({ids[0]: say(450, "4.2.0"), ids[1]: say(550, "5.1.1")})
    assert go(store, issue_id, late, clock=clock, options=weekly).waiting == 1
    clock.now += timedelta(days=7)
    longer = dataclasses.replace(weekly, expire_after=timedelta(days=30))
    assert go(store, issue_id, clock=clock, options=longer) == Account(audience=3, accepted=1, refused=2)
    assert retry(store, issue_id, refused_temporarily=True, now=clock.now) == 1
    assert go(store, issue_id, clock=clock, options=longer) == Account(audience=3, accepted=2, refused=1)


def test_an_issue_released_late_or_after_a_hold_does_not_expire_at_once(store: Store) -> None:
    add_readers(store, 2)
    issue_id = make_issue(store)
    clock = Clock()
    clock.now += timedelta(days=8)
    weekly = dataclasses.replace(OPTIONS, expires_at=NOW + timedelta(days=7))
    release(store, issue_id, now=clock.now)
    ours = say(550, "5.7.1", "sender rejected", stage=Stage.MAIL)
    assert go(store, issue_id, ours, clock=clock, options=weekly).waiting == 2
    later = dataclasses.replace(weekly, expires_at=NOW + timedelta(days=14))
    clock.now += timedelta(days=8)
    release(store, issue_id, now=clock.now)
    assert go(store, issue_id, clock=clock, options=later) == Account(audience=2, accepted=2)


def test_a_disabled_mailbox_is_refused_at_the_second_time(sqlite_store: Store) -> None:
    issue_id, ids = released(sqlite_store, 1)
    clock = Clock()
    first = go(sqlite_store, issue_id, say(550, "5.2.1", "disabled"), clock=clock)
    assert first.waiting == 1
    assert first.next_at is not None
    clock.now = first.next_at
    assert go(sqlite_store, issue_id, say(550, "5.2.1", "disabled"), clock=clock).refused == 1
    assert retry(sqlite_store, issue_id, refused_temporarily=True, now=clock.now) == 0
    assert states(sqlite_store, issue_id) == {ids[0]: DeliveryState.REFUSED}


def test_our_own_fault_holds_the_issue_and_charges_nobody(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 30)
    account = go(sqlite_store, issue_id, say(550, "5.7.1", "sender rejected", stage=Stage.MAIL))
    assert (account.audience, account.waiting, account.refused) == (30, 30, 0)
    state, reason = issue_state(sqlite_store, issue_id)
    assert state is IssueState.HELD
    assert "sender rejected" in reason
    assert max(d.attempts for d in delivering.audit(sqlite_store, issue_id).deliveries) == 0
    with pytest.raises(InputError, match=r"held: .*sender rejected.*newsletter issues deliver"):
        go(sqlite_store, issue_id)
    release(sqlite_store, issue_id, now=NOW)
    assert go(sqlite_store, issue_id) == Account(audience=30, accepted=30)


def test_a_policy_of_one_domain_waits_there_and_the_others_go_on(store: Store) -> None:
    issue_id, ids = released(
        store, 40, address=lambda n: f"r{n}@{'strict_.test' if n % 4 == 0 else 'ok.test'}"
    )
    strict = set(ids[::4])
    refuse = say(550, "5.7.1", "blocked by policy")
    one_connection = dataclasses.replace(OPTIONS, connections=1)
    account = go(
        store,
        issue_id,
        lambda m: refuse(m) if m.key in strict else accept(m),
        options=one_connection,
    )
    assert (account.accepted, account.waiting, account.refused) == (30, 10, 0)
    assert issue_state(store, issue_id)[0] is IssueState.RELEASED
    assert len(delivering.audit(store, issue_id).attempts) == 31  # only the first of the domain was tried
    assert account.next_at is not None


def test_a_policy_of_every_domain_holds_the_issue(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 200, address=lambda n: f"r{n}@d{n % 40}.test")
    account = go(sqlite_store, issue_id, say(554, "5.7.1", "your address is on a block list"))
    assert (account.waiting, account.refused) == (200, 0)
    assert issue_state(sqlite_store, issue_id)[0] is IssueState.HELD
    assert "block list" in issue_state(sqlite_store, issue_id)[1]


@pytest.mark.parametrize(
    ("policy", "state", "presumed"),
    [
        ("hold", DeliveryState.UNKNOWN, 0),
        ("presume", DeliveryState.ACCEPTED, 1),
        ("resend", DeliveryState.WAITING, 0),
    ],
)
def test_silence_is_settled_as_configured(
    sqlite_store: Store, policy: Doubt, state: DeliveryState, presumed: int
) -> None:
    issue_id, ids = released(sqlite_store, 3)
    options = dataclasses.replace(OPTIONS, on_silence=policy)
    answers = by_reader({ids[1]: outcome(Outcome.UNKNOWN, "no answer")})
    account = go(sqlite_store, issue_id, answers, options=options)
    assert states(sqlite_store, issue_id)[ids[1]] is state
    assert account.presumed == presumed
    assert account.balances
    if policy == "resend":  # once, when evidence had its time; a second doubt is held
        again = go(
            sqlite_store, issue_id, answers, options=options, clock=lambda: NOW + timedelta(minutes=11)
        )
        assert again == Account(audience=3, accepted=2, unknown=1)


def test_unknown_ones_wait_again_only_by_the_editors_word(store: Store) -> None:
    issue_id, ids = released(store, 3)
    assert go(store, issue_id, by_reader({ids[1]: outcome(Outcome.UNKNOWN)})).unknown == 1
    assert issue_state(store, issue_id)[0] is IssueState.FINISHED
    assert retry(store, issue_id, refused_temporarily=True, now=NOW) == 0
    assert retry(store, issue_id, unknown=True, now=NOW) == 1
    assert go(store, issue_id) == Account(audience=3, accepted=3)
    texts = [line.text for line in delivering.audit(store, issue_id).attempts[ids[1]]]
    assert texts == ["so it was", deliveries.RETRIED, "kept"]


def test_a_server_that_never_answers_stops_the_issue(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 60)
    account = go(sqlite_store, issue_id, outcome(Outcome.UNKNOWN))
    assert account.unknown <= 4 + 4  # what the breaker allows, and what was in flight
    assert issue_state(sqlite_store, issue_id)[0] is IssueState.HELD
    assert "in doubt" in issue_state(sqlite_store, issue_id)[1]


def test_a_message_that_is_never_sent_is_put_off_and_not_charged(sqlite_store: Store) -> None:
    issue_id, ids = released(sqlite_store, 3)
    account = go(sqlite_store, issue_id, by_reader({ids[1]: outcome(Outcome.NOT_SENT, "cut")}))
    assert (account.accepted, account.waiting) == (2, 1)
    assert account.next_at == NOW + timedelta(minutes=5)
    audit = delivering.audit(sqlite_store, issue_id)
    assert audit.deliveries[1].attempts == 0
    assert len(audit.attempts[ids[1]]) == 3


# Transports that fail


class Failing(MemoryTransport):
    """Cannot be entered."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def __enter__(self) -> Self:
        raise self.error


@pytest.mark.parametrize("lasting", [True, False])
def test_a_transport_that_cannot_be_used(sqlite_store: Store, lasting: bool) -> None:
    issue_id, _ = released(sqlite_store, 10)
    opened = []

    def connect() -> Transport:
        opened.append(1)
        return Failing(TransportError("535 no", where="mail.test", lasting=lasting))

    def run() -> Account:
        return deliver(sqlite_store, issue_id, render, connect, OPTIONS, clock=lambda: NOW)

    if lasting:
        assert run() == Account(audience=10, waiting=10)
        assert issue_state(sqlite_store, issue_id) == (IssueState.HELD, "mail.test: 535 no")
        assert len(opened) == 2  # one to ask what it can, one to connect: a second try might lock the account
    else:
        with pytest.raises(TransportError, match="535 no"):
            run()
        assert issue_state(sqlite_store, issue_id) == (IssueState.RELEASED, "")
        assert set(states(sqlite_store, issue_id).values()) == {DeliveryState.WAITING}


def test_a_transport_that_forgets_a_receipt_leaves_a_doubt(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 2)

    class Forgetful(MemoryTransport):
        def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
            next(iter(messages))
            yield from ()

    account = deliver(sqlite_store, issue_id, render, Forgetful, OPTIONS, clock=lambda: NOW)
    assert account == Account(audience=2, unknown=2)


def test_a_mistake_in_a_transport_is_not_swallowed(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 5)

    def broken(message: Message) -> Receipt:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        go(sqlite_store, issue_id, broken)
    with sqlite_store.read() as tx:
        account = deliveries.account(tx, issue_id)
    assert account.balances
    assert account.attempting == 0
    assert account.unknown == 5 - account.waiting  # an exception says nothing of what was sent


# Lease, fencing, crashes


def crash(store: Store, issue_id: int, count: int) -> list[int]:
    """Leave rows behind as a process does that is killed in the middle."""
    with store.write() as tx:
        lease = leases.take_lease(tx, issue_id, owner="dead")
        rows = deliveries.due(tx, issue_id, after=0, now=NOW, limit=count)
        claimed, _ = leases.claim(tx, lease, [row.reader.subscriber_id for row in rows], now=NOW)
    return sorted(claimed)


@pytest.mark.parametrize(
    ("policy", "idempotent", "account", "again"),
    [
        ("presume", False, Account(audience=6, accepted=6, presumed=2), 0),
        ("resend", False, Account(audience=6, accepted=6), 2),
        ("hold", False, Account(audience=6, accepted=4, unknown=2), 0),
        ("hold", True, Account(audience=6, accepted=6), 2),
    ],
)
def test_what_a_crash_left_is_settled_by_name(
    store: Store, policy: Doubt, idempotent: bool, account: Account, again: int
) -> None:
    issue_id, _ = released(store, 6)
    left = crash(store, issue_id, 2)
    kept: list[int] = []
    options = dataclasses.replace(OPTIONS, on_crash=policy)
    assert go(store, issue_id, kept=kept, options=options, idempotent=idempotent) == account
    assert len([key for key in kept if key in left]) == again
    audit = delivering.audit(store, issue_id)
    for key in left:
        assert "crash" in audit.attempts[key][0].text


def own(store: Store, issue_id: int, owner: str) -> None:
    """Write who had the lease before."""
    with store.write() as tx:
        mine = schema.issues.c.id == issue_id
        tx.execute(schema.issues.update().where(mine).values(owner=owner))


@pytest.mark.parametrize(
    ("policy", "account", "again"),
    [
        ("presume", Account(audience=6, accepted=6, presumed=2), 0),
        ("resend", Account(audience=6, accepted=6), 2),
        ("hold", Account(audience=6, accepted=4, unknown=2), 0),
    ],
)
def test_a_power_cut_is_settled_otherwise_than_a_crash(
    store: Store, policy: Doubt, account: Account, again: int
) -> None:
    issue_id, _ = released(store, 6)
    left = crash(store, issue_id, 2)
    own(store, issue_id, f"mail:4711:{'5a' * 16}")
    kept: list[int] = []
    assert (
        go(store, issue_id, kept=kept, options=dataclasses.replace(OPTIONS, on_power_cut=policy)) == account
    )
    assert len([key for key in kept if key in left]) == again
    audit = delivering.audit(store, issue_id)
    assert all("power cut" in audit.attempts[key][0].text for key in left)


def test_what_was_in_doubt_once_is_not_sent_a_third_time(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 3)
    for _ in range(2):
        (left,) = crash(sqlite_store, issue_id, 1)
        own(sqlite_store, issue_id, f"mail:4711:{'5a' * 16}")
        stop = threading.Event()
        stop.set()
        deliver(sqlite_store, issue_id, render, MemoryTransport, OPTIONS, clock=lambda: NOW, stop=stop)
    assert states(sqlite_store, issue_id)[left] is DeliveryState.UNKNOWN


def test_this_machine_in_this_run_is_no_power_cut(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 3)
    crash(sqlite_store, issue_id, 1)
    own(sqlite_store, issue_id, f"mail:4711:{boot_id().hex()}")
    assert go(sqlite_store, issue_id).presumed == 1


def test_a_store_that_was_put_back_to_an_earlier_state_does_not_deliver(tmp_path: Path) -> None:
    path, kept = tmp_path / "newsletter.db", list[int]()
    with open_store(f"sqlite:///{path}") as store:
        issue_id, _ = released(store, 4)
    earlier = path.read_bytes()
    with open_store(f"sqlite:///{path}") as store:
        assert go(store, issue_id, kept=kept).accepted == 4
    path.write_bytes(earlier)  # the same file, the same place
    with open_store(f"sqlite:///{path}") as store:
        with pytest.raises(InputError, match="put back to an earlier state"):
            go(store, issue_id, kept=kept)
        assert len(kept) == 4
        with store.write() as tx:
            meta.resume(tx)
        assert go(store, issue_id, kept=kept).accepted == 4, "by the editor's word"


def test_two_deliverers_at_once_are_one(store: Store) -> None:
    issue_id, ids = released(store, 5)
    begun, let_go = threading.Event(), threading.Event()
    kept: list[int] = []
    accounts: list[Account] = []

    def slowly(message: Message) -> Receipt:
        begun.set()
        assert let_go.wait(10)
        return accept(message)

    first = threading.Thread(target=lambda: accounts.append(go(store, issue_id, slowly, kept=kept)))
    first.start()
    assert begun.wait(10)
    with pytest.raises(LeaseLost, match="another process is delivering this issue"):
        go(store, issue_id, kept=kept)
    let_go.set()
    first.join(10)
    assert accounts == [Account(audience=5, accepted=5)]
    assert sorted(kept) == ids


def test_an_owner_whose_lease_was_taken_changes_nothing_more(store: Store) -> None:
    issue_id, _ = released(store, 50)
    before: list[dict[int, DeliveryState]] = []
    guard = threading.Lock()

    def robbed(message: Message) -> Receipt:
        with guard:
            if not before:
                raise_epoch(store, issue_id)
                before.append(states(store, issue_id))
        return accept(message)

    with pytest.raises(LeaseLost, match="another process delivers this issue now"):
        go(store, issue_id, robbed)
    assert states(store, issue_id) == before[0]
    assert issue_state(store, issue_id)[0] is IssueState.RELEASED


def test_an_editor_who_holds_the_issue_stops_it_elsewhere(store: Store) -> None:
    issue_id, _ = released(store, 60)
    held = threading.Event()

    def hold(message: Message) -> Receipt:
        if not held.is_set():
            held.set()
            with store.write() as tx:
                tx.execute(schema.issues.update().values(state=IssueState.HELD, reason="wait"))
        return accept(message)

    account = go(store, issue_id, hold)
    assert 0 < account.accepted < 20
    assert account.attempting == 0
    assert account.balances
    assert issue_state(store, issue_id) == (IssueState.HELD, "wait")


def test_without_a_ledger_nothing_is_sent(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 80)
    kept: list[int] = []
    broken = threading.Event()

    def breaking(message: Message) -> Receipt:
        if len(kept) == 8 and not broken.is_set():
            broken.set()
            with sqlite_store.write() as tx:
                tx.exec_driver_sql(
                    "CREATE TRIGGER full BEFORE INSERT ON attempts BEGIN SELECT RAISE(FAIL, 'disk full'); END"
                )
        return accept(message)

    with pytest.raises(Exception, match="disk full"):
        go(sqlite_store, issue_id, breaking, kept=kept)
    assert len(kept) <= 8 + 2 * 4
    with sqlite_store.write() as tx:
        tx.exec_driver_sql("DROP TRIGGER full")
    account = go(sqlite_store, issue_id, kept=kept)
    assert account.accepted == 80
    assert len(kept) == len(set(kept))


def test_a_closed_store_is_an_error_not_a_hang(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 30)

    def closing(message: Message) -> Receipt:
        raise StoreError("the disk is gone")

    with pytest.raises(StoreError, match="the disk is gone"):
        go(sqlite_store, issue_id, closing)


# Stop, pace, progress


def test_stop_leaves_no_doubt_and_the_next_run_resumes(sqlite_store: Store) -> None:
    issue_id, ids = released(sqlite_store, 60)
    stop = threading.Event()
    kept: list[int] = []

    def stopping(message: Message) -> Receipt:
        if len(kept) >= 10:
            stop.set()
        return accept(message)

    def connect() -> Transport:
        return Answering(stopping, kept)

    account = deliver(sqlite_store, issue_id, render, connect, OPTIONS, clock=lambda: NOW, stop=stop)
    assert account.accepted == len(kept) < 60
    assert (account.attempting, account.unknown) == (0, 0)
    assert account.balances
    assert issue_state(sqlite_store, issue_id)[0] is IssueState.RELEASED
    assert go(sqlite_store, issue_id, kept=kept) == Account(audience=60, accepted=60)
    assert sorted(kept) == ids


def test_stop_does_not_wait_for_a_connection_that_is_being_made(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 3)
    stop, let_go = threading.Event(), threading.Event()

    class Slow(MemoryTransport):
        def __enter__(self) -> Self:
            stop.set()
            let_go.wait(30)
            return self

    patient = dataclasses.replace(OPTIONS, drain=30.0)
    account = deliver(sqlite_store, issue_id, render, Slow, patient, clock=lambda: NOW, stop=stop)
    let_go.set()
    assert account == Account(audience=3, waiting=3)


def test_a_wish_to_stop_that_comes_early_is_heard(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 3)
    stop = threading.Event()
    stop.set()
    account = deliver(sqlite_store, issue_id, render, MemoryTransport, OPTIONS, clock=lambda: NOW, stop=stop)
    assert account == Account(audience=3, waiting=3)


def test_progress_is_told_and_always_balances(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 120)
    told: list[Account] = []
    deliver(
        sqlite_store,
        issue_id,
        render,
        MemoryTransport,
        OPTIONS,
        clock=lambda: NOW,
        progress=told.append,
    )
    assert told
    assert all(account.balances for account in told)
    assert (told[-1].accepted, told[-1].waiting) == (120, 0)


def test_the_pace_is_kept(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 12)
    at: list[datetime] = []

    def timed(message: Message) -> Receipt:
        at.append(datetime.now(UTC))
        return accept(message)

    go(sqlite_store, issue_id, timed, options=dataclasses.replace(OPTIONS, rate_per_second=100))
    assert max(at) - min(at) >= timedelta(seconds=0.05), "a turn that came late makes the next no later"


def test_options_come_from_the_configuration(publication: Callable[..., Config]) -> None:
    config = publication({"delivery": {"connections": 7, "on_silence": "resend", "transport": "console"}})
    options = options_of(config, config.newsletters[0], expires_at=NOW)
    assert (options.connections, options.on_silence, options.transport) == (7, "resend", "console")
    assert options.expires_at == NOW


@given(st.sampled_from(list(Schedule)), st.integers(1, 400), st.integers(0, 2**40))
def test_waits_grow_within_their_bounds(schedule: Schedule, attempt: int, salt: int) -> None:
    wait = back_off(schedule, attempt, salt)
    assert wait == back_off(schedule, attempt, salt)
    longest = timedelta(hours=13.2 if schedule in (Schedule.FULL, Schedule.DISABLED) else 4.4)
    assert timedelta(minutes=5) <= wait <= longest


def test_an_issue_approved_after_a_hold_does_not_expire_at_once(
    store: Store, publication: PublicationFactory
) -> None:
    issue_id, ids = released(store, 3)
    clock = Clock()
    options = dataclasses.replace(OPTIONS, expires_at=NOW + timedelta(days=7), connections=1)
    strict = by_reader({ids[0]: say(450, "4.2.0", "greylisted")})
    assert go(store, issue_id, strict, clock=clock, options=options).waiting == 1
    retry_at = NOW + timedelta(days=8)
    issues.hold(store, issue_id, now=NOW, reason="wait")
    clock.now = retry_at
    issues.approve(store, publication(), issue_id, now=clock.now)
    assert go(store, issue_id, clock=clock, options=options) == Account(audience=3, accepted=3)


def test_one_who_leaves_before_being_quarantined_stops_nobody(store: Store) -> None:
    issue_id, ids = released(store, 5)

    def leaving(reader: Reader) -> Message:
        if reader.subscriber_id == ids[1]:
            with store.write() as tx:
                subscribers.suppress(tx, reader.address, SuppressionReason.REQUEST, now=NOW)
            raise ValueError("it cannot be rendered")
        return render(reader)

    assert go(store, issue_id, render=leaving) == Account(audience=5, accepted=4, suppressed=1)


def test_one_who_was_erased_is_never_tried_again(store: Store) -> None:
    issue_id, ids = released(store, 2)
    go(store, issue_id, by_reader({ids[0]: say(550, "5.1.1"), ids[1]: outcome(Outcome.UNKNOWN)}))
    with store.write() as tx:
        for n in range(2):
            assert subscribers.erase(tx, f"reader{n}@example.org", now=NOW, channel="test")
    assert retry(store, issue_id, refused_temporarily=True, unknown=True, now=NOW) == 0
    assert issue_state(store, issue_id)[0] is IssueState.FINISHED


def test_one_mailbox_with_a_policy_does_not_starve_its_domain(sqlite_store: Store) -> None:
    issue_id, ids = released(sqlite_store, 30)
    closed = by_reader({ids[0]: say(550, "5.7.133", "the sender is not authenticated for this mailbox")})
    one = dataclasses.replace(OPTIONS, connections=1)
    clock = Clock()
    account = go(sqlite_store, issue_id, closed, clock=clock, options=one)
    for _ in range(2):
        assert account.next_at is not None
        clock.now = account.next_at
        account = go(sqlite_store, issue_id, closed, clock=clock, options=one)
    assert (account.accepted, account.waiting) == (29, 1)


def test_the_odd_ones_left_over_at_the_end_do_not_hold_the_issue(sqlite_store: Store) -> None:
    issue_id, ids = released(sqlite_store, 100, address=lambda n: f"r{n}@d{n}.test")
    closed = by_reader({ids[n]: say(550, "5.7.1", "not for you") for n in (0, 40, 80)})
    one = dataclasses.replace(OPTIONS, connections=1)
    clock = Clock()
    account = go(sqlite_store, issue_id, closed, clock=clock, options=one)
    assert (account.accepted, account.waiting) == (97, 3)
    clock.now += timedelta(hours=3)
    assert go(sqlite_store, issue_id, closed, clock=clock, options=one).waiting == 3
    assert issue_state(sqlite_store, issue_id) == (IssueState.RELEASED, "")


def test_a_second_doubt_is_held_whatever_came_between(sqlite_store: Store) -> None:
    issue_id, _ = released(sqlite_store, 1)
    options = dataclasses.replace(OPTIONS, on_silence="resend")
    clock = Clock()
    silent = outcome(Outcome.UNKNOWN, "no answer")
    for answer in (silent, say(450, "4.2.0", "greylisted"), say(450, "4.2.0", "greylisted")):
        assert go(sqlite_store, issue_id, answer, clock=clock, options=options).waiting == 1
        clock.now += timedelta(hours=1)
    assert go(sqlite_store, issue_id, silent, clock=clock, options=options).unknown == 1


def test_those_presumed_accepted_are_sent_to_again_by_the_editors_word(store: Store) -> None:
    issue_id, ids = released(store, 3)
    presume = dataclasses.replace(OPTIONS, on_silence="presume")
    account = go(store, issue_id, by_reader({ids[1]: outcome(Outcome.UNKNOWN)}), options=presume)
    assert account == Account(audience=3, accepted=3, presumed=1)
    assert retry(store, issue_id, unknown=True, refused_temporarily=True, now=NOW) == 0
    assert retry(store, issue_id, presumed=True, now=NOW) == 1
    kept: list[int] = []
    assert go(store, issue_id, kept=kept) == Account(audience=3, accepted=3)
    assert kept == [ids[1]]
