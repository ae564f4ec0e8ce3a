"""The daemon over a real publication: each slot fires once, failures stay apart, and it stops at once."""

from __future__ import annotations

import http.client
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from conftest import PublicationFactory
from newsletter import subscriptions
from newsletter.config import Config
from newsletter.daemon import FIRST_RETRY, LONGEST_RETRY, LOOK_AGAIN, TICK, Daemon, back_off, next_look
from newsletter.errors import OutsideError
from newsletter.model import Account, DeliveryState, IssueState, Slot, SlotState
from newsletter.publisher import Publisher
from newsletter.store import Store, issues, meta, schema

START = datetime.now(UTC).replace(microsecond=0)  # deliveries expire by the real clock
DAY = timedelta(days=1)


@pytest.fixture
def config(publication: PublicationFactory) -> Config:
    """Make a publication with one post, due every day, delivering into a Maildir."""
    made = publication(
        {
            "newsletters": [
                {
                    "name": "daily",
                    "title": "The Daily",
                    "schedule": {"every": "day", "at": "07:00", "timezone": "UTC"},
                    "sender": "daily@harbour.example.org",
                    "since": "2026-01-01",
                }
            ],
            "delivery": {"transport": "maildir"},
            "web": {"port": 0},
        }
    )
    write_post(made, "first", START - timedelta(hours=2))
    return made


def write_post(config: Config, name: str, published: datetime) -> None:
    head = f"title: The {name} post\ndate: {published.isoformat()}\nauthor: Ada\n"
    (config.folder / "posts" / f"{name}.md").write_text(f"---\n{head}---\n\nA text of some words.\n")


@pytest.fixture
def publisher(config: Config) -> Iterator[Publisher]:
    """Open the publication with two subscribers."""
    with Publisher.open(config) as opened:
        for name in ("ada", "bob"):
            subscriptions.add(opened.store, f"{name}@example.org", ["daily"], consent="said so", now=START)
        yield opened


class Clock:
    """An instant that the test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def mails(config: Config) -> list[str]:
    folder = config.path(config.maildir.path) / "new"
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def attempts(publisher: Publisher) -> int:
    with publisher.store.read() as tx:
        return int(tx.execute(select(func.count()).select_from(schema.attempts)).scalar_one())


def slots(publisher: Publisher) -> list[SlotState]:
    with publisher.store.read() as tx:
        return [state for _, state in sorted(issues.slot_states(tx, "daily").items())]


def test_a_slot_is_composed_released_and_delivered_once(
    publisher: Publisher, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    daemon = Daemon(publisher, clock)
    daemon.tick()
    daemon.deliver()
    assert (slots(publisher), mails(config)) == ([], []), "no slot from before the newsletter began"
    assert (config.public / "feeds" / "atom.xml").exists()
    clock.now += DAY
    for _ in range(3):
        daemon.tick()
        daemon.deliver()
    assert slots(publisher) == [SlotState.COMPOSED]
    assert len(mails(config)) == attempts(publisher) == 2
    (issue,) = publisher.issues("daily")
    assert issue.state is IssueState.FINISHED
    assert publisher.account(issue.id).balances
    said = [record.getMessage() for record in caplog.records if record.name == "newsletter.daemon"]
    assert [line for line in said if line.startswith("daily 1:")] == [
        "daily 1: released to 2 subscribers",
        "daily 1: 2 = 2 accepted + 0 refused + 0 suppressed + 0 unknown + 0 waiting",
    ]
    assert "gather posts: 1 new, 0 changed, 0 quarantined" in said
    clock.now += DAY
    daemon.tick()
    assert slots(publisher) == [SlotState.COMPOSED, SlotState.EMPTY]


def test_a_clock_that_is_set_back_stops_no_stage(publisher: Publisher) -> None:
    clock = Clock()
    daemon = Daemon(publisher, clock)
    clock.now += 400 * DAY  # wrong when the machine started
    daemon.tick()
    clock.now = START
    write_post(publisher.config, "second", START - timedelta(hours=1))
    daemon.tick()
    clock.now += DAY
    daemon.tick()
    assert slots(publisher) == [SlotState.COMPOSED]
    assert len(publisher.posts_of(publisher.issue("daily").id)) == 2


def test_a_new_post_is_gathered_when_it_is_time_and_published_at_once(
    publisher: Publisher, config: Config
) -> None:
    clock = Clock()
    daemon = Daemon(publisher, clock)
    daemon.tick()
    write_post(config, "second", START - timedelta(hours=1))
    clock.now += config.gather.every - timedelta(seconds=1)
    daemon.tick()
    feed = config.public / "feeds" / "atom.xml"
    assert b"second" not in feed.read_bytes()
    clock.now += timedelta(seconds=1)
    daemon.tick()
    assert b"The second post" in feed.read_bytes()


def test_slots_that_passed_are_missed_and_a_late_one_is_held_in_writing(
    publisher: Publisher, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    Daemon(publisher, clock).tick()
    clock.now += 3 * DAY
    Daemon(publisher, clock).tick()
    assert slots(publisher) == [SlotState.MISSED, SlotState.MISSED, SlotState.COMPOSED]
    assert "is missed: a newer slot of the newsletter is due" in caplog.text
    late = config.model_copy(
        update={"newsletters": (config.newsletters[0].model_copy(update={"max_lateness": timedelta(0)}),)}
    )
    clock.now += DAY
    Daemon(Publisher(late, publisher.store), clock).tick()
    assert slots(publisher)[-1] is SlotState.HELD
    assert "more than max_lateness" in caplog.text


def test_what_was_composed_and_approved_before_a_crash_is_taken_up(
    publisher: Publisher, config: Config
) -> None:
    publisher.gather(now=START)
    with publisher.store.write() as tx:
        issues.ensure_newsletter(tx, "daily", START - 2 * DAY)
    slot = publisher.due_slot("daily", now=START)
    composed = publisher.compose("daily", slot, now=START)
    assert composed.issue is not None
    assert composed.issue.state is IssueState.APPROVED
    daemon = Daemon(publisher, Clock())
    daemon.tick()
    assert publisher.issues("daily")[0].state is IssueState.RELEASED
    daemon = Daemon(publisher, Clock())
    daemon.deliver()
    assert len(mails(config)) == 2
    assert publisher.issues("daily")[0].state is IssueState.FINISHED


def test_an_issue_that_needs_approval_waits_for_it(publisher: Publisher, config: Config) -> None:
    one = config.newsletters[0].model_copy(update={"approval": True})
    careful = Publisher(config.model_copy(update={"newsletters": (one,)}), publisher.store)
    clock = Clock()
    daemon = Daemon(careful, clock)
    daemon.tick()
    clock.now += DAY
    daemon.tick()
    daemon.deliver()
    (issue,) = careful.issues("daily")
    assert (issue.state, mails(config)) == (IssueState.COMPOSED, [])
    careful.approve(issue.id, now=clock.now)
    daemon.tick()
    daemon.deliver()
    assert len(mails(config)) == 2


def test_an_issue_that_breaks_a_rule_since_it_was_composed_is_held(
    publisher: Publisher, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    publisher.gather(now=START)
    with publisher.store.write() as tx:
        issues.ensure_newsletter(tx, "daily", START - 2 * DAY)
    composed = publisher.compose("daily", publisher.due_slot("daily", now=START), now=START)
    assert composed.issue is not None
    with publisher.store.write() as tx:
        frozen = issues.frozen(tx, composed.issue.id).replace("</h1>", "</h1><video></video>")
        tx.execute(update(schema.issues).values(frozen=frozen))
    daemon = Daemon(publisher, Clock())
    for _ in range(2):
        daemon.tick()
    (issue,) = publisher.issues("daily")
    assert issue.state is IssueState.HELD
    assert "a video element is not for mail" in issue.reason
    assert caplog.text.count("a video element is not for mail") == 1
    assert "issues approve daily -n 1 --force --reason" in caplog.text
    publisher.approve(issue.id, now=START, force="we know")
    daemon = Daemon(publisher, Clock())
    daemon.tick()
    daemon.deliver()
    assert len(mails(config)) == 2


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]


def test_an_issue_that_did_not_go_is_an_error_once(
    publisher: Publisher, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    one = config.newsletters[0].model_copy(update={"approval": True})
    careful = Publisher(config.model_copy(update={"newsletters": (one,)}), publisher.store)
    clock = Clock()
    daemon = Daemon(careful, clock)
    daemon.tick()
    clock.now = careful.due_slot("daily", now=START).due + DAY
    daemon.tick()
    clock.now += one.alarm_after - timedelta(seconds=1)
    daemon.tick()
    assert errors(caplog) == []
    for _ in range(3):
        clock.now += timedelta(seconds=1)
        daemon.tick()
    (said,) = errors(caplog)
    assert said.startswith("daily: the issue of ")
    assert said.endswith("UTC did not go: daily 1 is composed: see newsletter issues show")
    careful.approve(careful.issue("daily").id, now=clock.now)
    daemon.tick()
    assert len(errors(caplog)) == 1, "it is on its way"
    clock.now += one.alarm_after
    daemon.tick()
    assert errors(caplog)[1].endswith("no message of daily 1 was accepted yet, and 2 readers wait")
    daemon.deliver()
    assert careful.overdue("daily", now=clock.now) is None


def test_a_slot_that_nobody_took_up_is_overdue(publisher: Publisher) -> None:
    due = publisher.due_slot("daily", now=START).due
    later = due + publisher.newsletters()[0].alarm_after
    assert publisher.overdue("daily", now=later) is None, "it never began"
    with publisher.store.write() as tx:
        issues.ensure_newsletter(tx, "daily", due - DAY)
    assert publisher.overdue("daily", now=later - timedelta(seconds=1)) is None
    found = publisher.overdue("daily", now=later)
    assert found is not None
    assert (found.slot.due, found.why) == (due, "nothing was composed for it: does `newsletter run` run?")
    for state, quiet in ((SlotState.HELD, False), (SlotState.EMPTY, True), (SlotState.MISSED, True)):
        with publisher.store.write() as tx:
            issues.claim_slot(tx, found.slot, START)
            issues.settle_slot(tx, found.slot, state, note="so it was")
        assert (publisher.overdue("daily", now=later) is None) == quiet


def test_an_issue_that_cannot_be_released_stops_no_other(
    publisher: Publisher, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    publisher.gather(now=START)
    daily = config.newsletters[0]
    both = (daily, daily.model_copy(update={"name": "former"}))
    wider = Publisher(config.model_copy(update={"newsletters": both}), publisher.store)
    with publisher.store.write() as tx:
        for one in both:
            issues.ensure_newsletter(tx, one.name, START - 2 * DAY)
    for name in ("former", "daily"):
        assert wider.compose(name, wider.due_slot(name, now=START), now=START).issue is not None
    Daemon(publisher, Clock()).tick()
    assert publisher.issues("daily")[0].state is IssueState.RELEASED
    assert publisher.issues("former")[0].state is IssueState.APPROVED
    assert caplog.text.count("release of former 1: there is no newsletter 'former'") == 1


def test_a_restored_store_delivers_nothing_by_itself(
    publisher: Publisher, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    with publisher.store.write() as tx:
        meta.put(tx, "restored_from", "backup.zip")
    clock = Clock()
    daemon = Daemon(publisher, clock)
    daemon.tick()
    clock.now += DAY
    for _ in range(2):
        daemon.tick()
        daemon.deliver()
    assert publisher.issues("daily")[0].state is IssueState.APPROVED
    assert mails(config) == []
    assert caplog.text.count("nothing is delivered: the store was restored") == 1
    with publisher.store.write() as tx:
        meta.resume(tx)
    daemon.tick()
    daemon.deliver()
    assert len(mails(config)) == 2


class Failing(Publisher):
    """A real publisher one of whose sources of trouble is switched on."""

    trouble: str = ""
    tried: int = 0

    def _fail(self, where: str) -> None:
        if self.trouble == where:
            self.tried += 1
            raise (
                OutsideError(f"{where} is broken", remedy="Mend it")
                if where != "compose"
                else KeyError(where)
            )

    def gather(self, **given: object) -> object:  # type: ignore[override]  # passes everything on
        self._fail("gather")
        return super().gather(**given)  # type: ignore[arg-type]  # as it came

    def publish(self, **given: object) -> object:  # type: ignore[override]  # passes everything on
        self._fail("publish")
        return super().publish(**given)  # type: ignore[arg-type]  # as it came

    def compose(self, *given: object, **named: object) -> object:  # type: ignore[override]  # passes everything on
        self._fail("compose")
        return super().compose(*given, **named)  # type: ignore[arg-type]  # as it came

    def deliver(self, *given: object, **named: object) -> object:  # type: ignore[override]  # passes everything on
        self._fail("deliver")
        return super().deliver(*given, **named)  # type: ignore[arg-type]  # as it came


@pytest.mark.parametrize("trouble", ["gather", "publish", "compose", "deliver"])
def test_a_failing_stage_says_so_backs_off_and_stops_no_other(
    publisher: Publisher, config: Config, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    publisher.gather(now=START)
    failing = Failing(config, publisher.store)
    clock = Clock()
    daemon = Daemon(failing, clock)  # type: ignore[arg-type]  # its signatures are looser
    daemon.tick()
    clock.now += DAY
    failing.trouble = trouble
    for _ in range(4):
        daemon.tick()
        daemon.deliver()
        clock.now += TICK
    lines = [line for line in errors(caplog) if "did not go" not in line]
    assert failing.tried == len(lines) == 2, "at once, and after ten seconds"
    assert all("\n" not in line and trouble in line for line in lines)
    assert lines[0].endswith("(again in 10 s)")
    assert lines[1].endswith("(again in 20 s)")
    assert len(mails(config)) == (0 if trouble in ("compose", "deliver") else 2)
    assert (config.public / "feeds" / "atom.xml").exists()
    failing.trouble = ""
    clock.now += timedelta(minutes=1)
    daemon.tick()
    daemon.deliver()
    assert len(mails(config)) == 2


@given(st.integers(1, 10_000))
def test_backing_off_grows_and_ends(failures: int) -> None:
    assert FIRST_RETRY <= back_off(failures) <= back_off(failures + 1) <= LONGEST_RETRY


def test_an_issue_is_looked_at_again_when_something_of_it_is_due() -> None:
    done = Account(audience=2, accepted=1, refused=1)
    assert next_look(done, START) is None
    later = START + timedelta(hours=1)
    assert next_look(Account(audience=1, waiting=1, next_at=later), START) == later
    assert next_look(Account(audience=1, waiting=1, next_at=START - DAY), START) == START + TICK
    assert next_look(Account(audience=1, waiting=1), START) == START + LOOK_AGAIN


def test_two_daemons_on_one_store_fire_a_slot_once(publisher: Publisher, config: Config) -> None:
    clock = Clock()
    Daemon(publisher, clock).tick()
    clock.now += DAY
    failures: queue.Queue[BaseException] = queue.Queue()
    gate = threading.Barrier(4)

    def work(one: Publisher) -> None:
        try:
            daemon = Daemon(one, clock)
            gate.wait(10)
            for _ in range(3):
                daemon.tick()
                daemon.deliver()
        except BaseException as e:
            failures.put(e)

    others = [Publisher.open(config) for _ in range(3)]
    threads = [threading.Thread(target=work, args=(one,)) for one in (publisher, *others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for one in others:
        one.close()
    assert failures.empty()
    assert slots(publisher) == [SlotState.COMPOSED]
    assert [issue.number for issue in publisher.issues("daily")] == [1]
    with publisher.store.read() as tx:
        rows = tx.execute(select(schema.deliveries.c.state, schema.deliveries.c.attempts)).all()
    assert [tuple(row) for row in rows] == [(DeliveryState.ACCEPTED, 1)] * 2
    assert len(mails(config)) == attempts(publisher) == 2


def test_one_claim_of_a_slot_wins_whatever_the_store(store: Store) -> None:
    slot = Slot(newsletter="daily", due=START)
    won: list[bool] = []

    def claim() -> None:
        with store.write() as tx:
            issues.ensure_newsletter(tx, "daily", START)
            won.append(issues.claim_slot(tx, slot, START))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(won) == [False] * 7 + [True]


PROGRAM = """
import logging, sys
from datetime import timedelta
from pathlib import Path
from newsletter import config, daemon, publisher
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
with publisher.Publisher.open(config.load(Path(sys.argv[1]), {})) as opened:
    daemon.run(opened, tick=timedelta(seconds=0.1), ready=lambda port: print(port, flush=True))
"""


def start(config: Config) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(config.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(publisher: Publisher, config: Config, number: int) -> None:
    process = start(config)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        connection.close()
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said
    assert "stopped" in said
    assert "Traceback" not in said


def test_two_processes_on_one_store_fire_a_slot_once(publisher: Publisher, config: Config) -> None:
    """A slot is due when they start: both see it, one fires it, and both stop cleanly."""
    with publisher.store.write() as tx:
        issues.ensure_newsletter(tx, "daily", START - DAY)
    both = [start(config), start(config)]
    try:
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline()
        waiting = threading.Event()
        for _ in range(200):
            found = publisher.issues("daily")
            if found and found[0].state is IssueState.FINISHED:
                break
            waiting.wait(0.1)
        for process in both:
            process.send_signal(signal.SIGTERM)
        for process in both:
            _, said = process.communicate(timeout=20)
            assert process.returncode == 0, said
            assert "Traceback" not in said
    finally:
        for process in both:
            process.kill()
            process.wait()
    assert slots(publisher) == [SlotState.COMPOSED]
    assert len(mails(config)) == attempts(publisher) == 2


def test_a_port_in_use_ends_it_with_one_clear_line(config: Config) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        toml = config.folder / "newsletter.toml"
        text = toml.read_text().replace('"port" = 0', f'"port" = {taken.getsockname()[1]}')
        toml.write_text(text)
        process = start(config)
        _, said = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "the server cannot listen" in said
