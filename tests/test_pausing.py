"""A pause that ends by itself: at its instant, across restarts, and not before without a word."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from conftest import PublicationFactory
from faults.ground import NOW, issue_state, make_issue
from newsletter import issues
from newsletter.cli import main
from newsletter.config import Config
from newsletter.daemon import Daemon
from newsletter.deliver import release
from newsletter.errors import InputError
from newsletter.model import Account, IssueState
from newsletter.publisher import Publisher
from newsletter.store import Store, open_store, schema
from newsletter.store import issues as stored
from test_daemon import Clock
from test_daemon import config as config
from test_daemon import publisher as publisher
from test_deliver import go, released, say

HOUR = timedelta(hours=1)
Run = Callable[..., tuple[int, str]]


def test_a_pause_ends_at_its_instant_and_not_before(store: Store, publication: PublicationFactory) -> None:
    issue_id, _ = released(store, 3)
    issues.hold(store, issue_id, now=NOW, reason="lunch", until=NOW + HOUR)
    assert issues.end_pauses(store, now=NOW + HOUR - timedelta(seconds=1)) == []
    with pytest.raises(InputError, match="paused until 2026-11-23 13:00Z: lunch") as caught:
        release(store, issue_id, now=NOW)
    assert caught.value.remedy == "To go on at once: newsletter issues approve weekly -n 1"
    with pytest.raises(InputError, match="held: lunch"):
        go(store, issue_id)
    (issue,) = issues.end_pauses(store, now=NOW + HOUR)
    assert (issue.id, issue.state, issue.held_until) == (issue_id, IssueState.RELEASED, None)
    assert issues.end_pauses(store, now=NOW + 2 * HOUR) == []
    assert go(store, issue_id, clock=lambda: NOW + HOUR) == Account(audience=3, accepted=3)


def test_delivering_by_hand_after_the_instant_goes_on(store: Store) -> None:
    issue_id, _ = released(store, 3)
    issues.hold(store, issue_id, now=NOW, reason="lunch", until=NOW + HOUR)
    release(store, issue_id, now=NOW + HOUR)
    with store.read() as tx:
        assert stored.paused(tx, until=NOW + 9 * HOUR) == []
    assert issue_state(store, issue_id) == (IssueState.RELEASED, "")


def test_the_editors_word_ends_a_pause_and_a_hold_makes_it_one_without_end(
    store: Store, publication: PublicationFactory
) -> None:
    issue_id, _ = released(store, 3)
    issues.hold(store, issue_id, now=NOW, reason="lunch", until=NOW + HOUR)
    held = issues.hold(store, issue_id, now=NOW, reason="longer")
    assert held.held_until is None
    assert issues.end_pauses(store, now=NOW + 9 * HOUR) == []
    issues.hold(store, issue_id, now=NOW, reason="lunch", until=NOW + HOUR)
    approved = issues.approve(store, publication(), issue_id, now=NOW)
    assert (approved.state, approved.held_until) == (IssueState.RELEASED, None)


def test_those_put_off_do_not_expire_by_a_pause(store: Store) -> None:
    issue_id, _ = released(store, 2)
    go(store, issue_id, say(450, "4.2.0"))
    issues.hold(store, issue_id, now=NOW, reason="a week off", until=NOW + 5 * 24 * HOUR)
    later = NOW + 5 * 24 * HOUR
    issues.end_pauses(store, now=later)
    assert go(store, issue_id, clock=lambda: later) == Account(audience=2, accepted=2)


def test_only_what_is_being_delivered_is_paused_and_only_for_a_time_to_come(sqlite_store: Store) -> None:
    unreleased = make_issue(sqlite_store)
    with pytest.raises(InputError, match="not being delivered yet"):
        issues.hold(sqlite_store, unreleased, now=NOW, reason="x", until=NOW + HOUR)
    release(sqlite_store, unreleased, now=NOW)
    with pytest.raises(InputError, match="2026-11-23 12:00Z is not in the future"):
        issues.hold(sqlite_store, unreleased, now=NOW, reason="x", until=NOW)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2h", datetime(2026, 10, 24, 14, tzinfo=UTC)),
        ("1.5 h", datetime(2026, 10, 24, 13, 30, tzinfo=UTC)),
        ("2026-10-24 20:00", datetime(2026, 10, 24, 18, tzinfo=UTC)),
        ("2026-10-25 20:00", datetime(2026, 10, 25, 19, tzinfo=UTC)),  # the clocks went back at night
        ("2026-10-25 02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # the first of the two
        ("2027-03-28 02:30", datetime(2027, 3, 28, 1, 30, tzinfo=UTC)),  # does not exist: 03:30
        ("2026-10-26", datetime(2026, 10, 26, 11, tzinfo=UTC)),  # noon
        ("2026-10-26T08:00:00Z", datetime(2026, 10, 26, 8, tzinfo=UTC)),
    ],
)
def test_an_instant_is_the_newsletter_s_own(
    publication: PublicationFactory, text: str, instant: datetime
) -> None:
    one = {"name": "weekly", "title": "W", "sender": "w@harbour.example.org"}
    schedule = {"every": "week", "on": ["monday"], "at": "07:00", "timezone": "Europe/Brussels"}
    config = publication({"newsletters": [one | {"schedule": schedule}]})
    now = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert issues.instant_of(config, "weekly", text, now=now) == instant
    elsewhere = publication({"publication": {"timezone": "Europe/Brussels"}}, folder="elsewhere")
    assert issues.instant_of(elsewhere, "one of old", text, now=now) == instant


@pytest.mark.parametrize("text", ["", "soon", "2", "2026-13-01", "-2h", "0s"])
def test_what_is_no_instant_is_an_error(publication: PublicationFactory, text: str) -> None:
    with pytest.raises(InputError):
        issues.instant_of(publication(), "weekly", text, now=NOW)


def test_the_daemon_goes_on_by_itself_across_a_restart(
    publisher: Publisher, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    daemon = Daemon(publisher, clock)
    daemon.tick()
    clock.now += timedelta(days=1)
    daemon.tick()
    (issue,) = publisher.issues("daily")
    assert issue.state is IssueState.RELEASED
    publisher.hold(issue.id, now=clock.now, reason="lunch", until=clock.now + HOUR)
    daemon.tick()
    daemon.deliver()
    assert publisher.account(issue.id).waiting == 2
    clock.now += HOUR
    with Publisher.open(config) as another:
        restarted = Daemon(another, clock)
        restarted.tick()
        restarted.deliver()
    assert publisher.account(issue.id) == Account(audience=2, accepted=2)
    assert "daily 1: goes on, its pause is over" in [one.getMessage() for one in caplog.records]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `newsletter -p FOLDER …` on a publication with an issue that three readers wait for."""
    folder = tmp_path / "letter"

    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["-p", str(folder), *arguments])
        said = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, said.out + said.err

    call("init", str(folder))
    toml = folder / "newsletter.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("since = ", "# since = "), encoding="utf-8")
    call("gather")
    call("publish")
    for name in ("ada", "bob", "cleo"):
        call("subscribers", "add", f"{name}@example.org", "--consent", "said so")
    assert call("issues", "compose")[0] == 0
    with open_store(f"sqlite:///{folder}/var/newsletter.db") as store:
        with store.read() as tx:
            (issue,) = stored.find(tx)
        release(store, issue.id, now=datetime.now(UTC))
        go(store, issue.id, say(450, "4.2.0"), clock=lambda: datetime.now(UTC) - HOUR)
    return call


def test_an_editor_pauses_an_issue_and_corrects_it(run: Run, tmp_path: Path) -> None:
    status, said = run("issues", "hold", "weekly", "--until", "2h", "--reason", "a mistake")
    assert (status, said.startswith("weekly 1 is held until ")) == (0, True)
    assert "state held until " in run("issues", "show", "weekly")[1]
    assert "\theld until " in run("issues", "list")[1]
    (listed,) = json.loads(run("issues", "list", "--json")[1])["issues"]
    assert listed["held_until"].endswith("Z")
    assert json.loads(run("issues", "show", "--json")[1])["held_until"] == listed["held_until"]
    status, said = run("issues", "deliver", "weekly")
    assert status != 0
    assert "paused until" in said
    assert "To go on at once: newsletter issues approve weekly -n 1" in said
    assert "nothing changed" in run("issues", "correct", "weekly", "-n", "1")[1]
    (post,) = sorted((tmp_path / "letter" / "posts").glob("*.md"))[:1]
    post.write_text(post.read_text(encoding="utf-8") + "\nIt was Tuesday.\n", encoding="utf-8")
    run("gather")
    status, said = run("issues", "correct", "weekly", "-n", "1")
    assert status == 0, said
    for part in ("changed: text", "the longest message has", "rendering 2: 3 get it"):
        assert part in said
    status, said = run("issues", "show", "weekly")
    assert "rendering 1 of " in said
    assert "rendering 2 of " in said
    audited = json.loads(run("issues", "audit", "--json")[1])
    assert [one["revision"] for one in audited["renderings"]] == [1, 2]
    assert audited["renderings"][1]["sha256"] == audited["sha256"]
    run("issues", "approve", "weekly")
    assert "accepted 3 " in run("issues", "deliver", "weekly")[1]


def test_an_editor_composes_an_issue_anew(run: Run, tmp_path: Path) -> None:
    status, said = run("issues", "compose", "weekly", "--again")
    assert status != 0
    assert "was released" in said
    for wrong in (("-n", "1"), ("--again", "--explain")):
        status, said = run("issues", "compose", "weekly", *wrong)
        assert status != 0
        assert "-n goes with --again" in said
    with open_store(f"sqlite:///{tmp_path}/letter/var/newsletter.db") as store, store.write() as tx:
        tx.execute(delete(schema.deliveries))
        tx.execute(update(schema.issues).values(state=IssueState.HELD, released_at=None, audience=0))
    status, said = run("issues", "compose", "weekly", "--again", "-n", "1")
    assert status == 0, said
    assert said.startswith("Composed weekly 1, due ")
    assert "composed anew" in said


def test_an_overdue_issue_says_so_where_it_is_shown(run: Run, tmp_path: Path) -> None:
    toml = tmp_path / "letter" / "newsletter.toml"
    text = toml.read_text(encoding="utf-8")
    toml.write_text(text.replace("[[newsletters]]", '[[newsletters]]\nalarm_after = "1s"'), encoding="utf-8")
    run("issues", "hold", "weekly", "--until", "2h")
    with open_store(f"sqlite:///{tmp_path}/letter/var/newsletter.db") as store, store.write() as tx:
        stored.ensure_newsletter(tx, "weekly", datetime(2020, 1, 1, tzinfo=UTC))
    assert "OVERDUE: weekly, the issue of " in run("issues", "show")[1]
    shown = json.loads(run("issues", "show", "--json")[1])
    listed = json.loads(run("issues", "list", "--json")[1])
    assert shown["overdue"] == listed["overdue"]
    (late,) = shown["overdue"]
    assert (late["newsletter"], late["due"]) == ("weekly", shown["due"])
    assert late["why"].startswith("weekly 1 is held until ")
