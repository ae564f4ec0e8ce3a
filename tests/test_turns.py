"""Whose turn comes when: written at the release, true across restarts, and nobody is lost or doubled by it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from configurations import mistake, weekly
from conftest import PublicationFactory
from faults.ground import NOW, add_readers, issue_state, make_issue, render, states
from newsletter import issues
from newsletter.config import NewsletterConfig
from newsletter.daemon import LOOK_AGAIN, next_look
from newsletter.deliver import DeliveryOptions, Turns, deliver, release, turns_of
from newsletter.errors import InputError
from newsletter.model import Account, IssueState, Message, Outcome, Reader, Receipt, Stage
from newsletter.schedule import Schedule
from newsletter.store import Store, leases, schema, turns
from newsletter.store.turns import Stand
from newsletter.transports.memory import MemoryTransport
from test_deliver import Answering

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

    def deliver(
        self,
        options: DeliveryOptions = OPTIONS,
        *,
        answer: Callable[[Message], Receipt] | None = None,
        stop: threading.Event | None = None,
    ) -> list[int]:
        """Deliver what is due as a new process would; return the places of those who were served."""
        served: list[int] = []

        def note(reader: Reader) -> Message:
            served.append(self.ids.index(reader.subscriber_id))
            return render(reader)

        self.account = deliver(
            self.store,
            self.issue,
            note,
            (lambda: Answering(answer, [])) if answer else MemoryTransport,
            options,
            clock=lambda: self.now,
            stop=stop,
        )
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


# Canary and waves


@pytest.fixture
def usual(publication: PublicationFactory) -> NewsletterConfig:
    """Configure a newsletter as most are."""
    return publication().newsletters[0]


def test_the_others_wait_for_the_word_behind_a_canary(
    store: Store, usual: NewsletterConfig, publication: PublicationFactory
) -> None:
    ground = Ground(store, usual.model_copy(update={"canary": 2}), zones=("",) * 6)
    for hours in (0, 1, 100):
        ground.now = NOW + hours * HOUR
        assert ground.deliver() == ([0, 1] if not hours else [])
    assert ground.account == Account(audience=6, accepted=2, waiting=4)
    assert next_look(ground.account, ground.now) == ground.now + LOOK_AGAIN
    with store.read() as tx:
        assert turns.stand(tx, ground.issue) == Stand(wave=0, last=1, closed=4, opens_at=None)
    issues.approve(store, publication(), ground.issue, now=ground.now)
    options = dataclasses.replace(OPTIONS, expires_at=NOW + 50 * HOUR)
    assert ground.deliver(options) == [2, 3, 4, 5], "those never due before the next slot do not expire"
    assert issue_state(store, ground.issue)[0] is IssueState.FINISHED


def test_the_others_follow_by_themselves_after_a_while(store: Store, usual: NewsletterConfig) -> None:
    to = ("READER3@example.org", "nobody@example.org")
    ground = Ground(store, usual.model_copy(update={"canary_to": to}), zones=("",) * 5)
    options = dataclasses.replace(OPTIONS, canary_wait=HOUR)
    ground.now = NOW + 5 * HOUR  # nothing ran meanwhile: the wait runs from what the server said
    assert ground.deliver(options) == [3]
    assert next_look(ground.account, ground.now) == NOW + 6 * HOUR
    ground.now = NOW + 6 * HOUR - timedelta(seconds=1)
    assert ground.deliver(options) == []
    ground.now = NOW + 6 * HOUR
    assert ground.deliver(options) == [0, 1, 2, 4]


def test_a_canary_in_a_crash_opens_nothing_by_itself(store: Store, usual: NewsletterConfig) -> None:
    ground = Ground(store, usual.model_copy(update={"canary": 2}), zones=("",) * 4)
    options = dataclasses.replace(OPTIONS, canary_wait=HOUR)
    with store.write() as tx:
        lease = leases.take_lease(tx, ground.issue, owner="dead")
        assert leases.claim(tx, lease, ground.ids, now=NOW) == (set(ground.ids[:2]), set())
    for hours in (0, 2, 4):
        ground.now = NOW + hours * HOUR
        assert ground.deliver(options) == []
    assert ground.account == Account(audience=4, accepted=2, presumed=2, waiting=2)


def test_a_held_canary_never_lets_the_others_go(
    store: Store, usual: NewsletterConfig, publication: PublicationFactory
) -> None:
    ground = Ground(store, usual.model_copy(update={"canary": 1}), zones=("",) * 3)
    options = dataclasses.replace(OPTIONS, canary_wait=HOUR)

    def refuse(message: Message) -> Receipt:
        text = "sender refused"
        return Receipt(
            key=message.key, outcome=Outcome.NOT_SENT, stage=Stage.MAIL, code=550, enhanced="5.7.1", text=text
        )

    ground.deliver(options, answer=refuse)
    assert issue_state(store, ground.issue)[0] is IssueState.HELD
    with pytest.raises(InputError, match="nobody else gets it"):
        release(store, ground.issue, now=NOW, everybody=True)
    ground.now = NOW + 8 * HOUR
    issues.approve(store, publication(), ground.issue, now=ground.now)
    assert ground.deliver(options) == [0], "the word after a hold is for the canary alone"
    issues.hold(store, ground.issue, now=ground.now, reason="a wrong headline")
    ground.now += 8 * HOUR
    release(store, ground.issue, now=ground.now)
    assert ground.deliver(options) == []
    assert next_look(ground.account, ground.now) == ground.now + HOUR, "the wait begins anew"
    release(store, ground.issue, now=ground.now, everybody=True)
    assert ground.deliver(options) == [1, 2]


def test_waves_open_one_after_the_other_also_after_a_night_asleep(
    store: Store, usual: NewsletterConfig
) -> None:
    ground = Ground(store, usual.model_copy(update={"wave": 3, "canary": 1}), zones=("",) * 9)
    options = dataclasses.replace(OPTIONS, canary_wait=HOUR, wave_pause=HOUR)
    served = []
    for hours in (0, 1, 1.5, 2, 30, 31):
        ground.now = NOW + hours * HOUR
        served.append(ground.deliver(options))
    assert served == [[0], [1, 2, 3], [], [4, 5, 6], [7, 8], []]
    assert issue_state(store, ground.issue)[0] is IssueState.FINISHED


def test_waves_without_a_canary_and_everybody_at_last(store: Store, usual: NewsletterConfig) -> None:
    ground = Ground(store, usual.model_copy(update={"wave": 2}), zones=("",) * 7)
    assert ground.deliver() == [0, 1]
    ground.now += OPTIONS.wave_pause
    assert ground.deliver() == [2, 3]
    release(store, ground.issue, now=ground.now, everybody=True)
    assert ground.deliver() == [4, 5, 6]


def test_a_wave_that_was_stopped_is_finished_before_the_next_is_planned(
    store: Store, usual: NewsletterConfig
) -> None:
    ground = Ground(store, usual.model_copy(update={"wave": 2}), zones=("",) * 4)
    stop = threading.Event()
    stop.set()
    ground.deliver(stop=stop)
    assert ground.account.next_at is None
    assert ground.deliver() == [0, 1]
    assert ground.account.next_at == NOW + OPTIONS.wave_pause


def test_behind_a_canary_each_still_gets_it_at_their_own_hour(store: Store, local: NewsletterConfig) -> None:
    ground = Ground(store, local.model_copy(update={"canary": 1}), zones=("Etc/GMT+4", "Etc/GMT+4", ""))
    options = dataclasses.replace(OPTIONS, canary_wait=HOUR)
    assert ground.deliver(options) == [0], "the canary goes at once"
    assert ground.upcoming() == []
    ground.now = NOW + HOUR
    assert ground.deliver(options) == [2]
    assert ground.upcoming() == [(NOW + 4 * HOUR, 1)]
    ground.now = NOW + 4 * HOUR
    assert ground.deliver(options) == [1]


def test_a_canary_that_nobody_reads_releases_nothing(store: Store, usual: NewsletterConfig) -> None:
    with pytest.raises(InputError, match="canary_to"):
        Ground(store, usual.model_copy(update={"canary_to": ("nobody@example.org",)}), zones=("",))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"canary": 2, "canary_to": ["a@example.org"]}, "exclude each other"),
        ({"wave": 2, "local_time": True}, "without local_time"),
    ],
)
def test_who_goes_first_must_be_clear(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    assert said in mistake(tmp_path, weekly(**changes))
