"""What an editor sees of a delivery: by domain, by reply, line by line, and while it goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from faults.ground import NOW, add_readers, make_issue
from newsletter.cli import main
from newsletter.cli.progress import in_trouble, line_of
from newsletter.deliver import log, release, summary
from newsletter.model import Account, Message, Outcome, Receipt, Stage
from newsletter.store import Store, deliveries, issues, open_store
from test_deliver import accept, go


def answer(message: Message) -> Receipt:
    """Refuse at one domain with words that differ each time, put off at another."""
    domain = message.recipient.rpartition("@")[2].lower()
    if domain == "closed.test":
        name = message.recipient.partition("@")[0].replace("reader", "Reader ")
        said = f"<{message.recipient}>: no such user, {name}, id 4fXk2p{message.key:06d}zz"
        stage, code, enhanced, outcome = Stage.RCPT, 550, "5.1.1", Outcome.REFUSED
    elif domain == "busy.test":
        said, stage, code, enhanced, outcome = "come again", Stage.RCPT, 450, "4.2.0", Outcome.DEFERRED
    else:
        return accept(message)
    return Receipt(
        key=message.key, outcome=outcome, stage=stage, server="mx:25", code=code, enhanced=enhanced, text=said
    )


def delivered(store: Store) -> int:
    """Deliver an issue to three domains."""
    names = ("open.test", "CLOSED.test", "closed.test", "busy.test")
    add_readers(store, 8, address=lambda n: f"reader{n}@{names[n % 4]}")
    issue_id = make_issue(store)
    release(store, issue_id, now=NOW)
    go(store, issue_id, answer)
    return issue_id


def test_an_issue_is_summed_up_by_domain_and_by_reply(store: Store) -> None:
    domains, troubles = summary(store, delivered(store), limit=5)
    assert [(one.domain, one.audience, one.states) for one in domains] == [
        ("closed.test", 4, {"refused": 4}),
        ("busy.test", 2, {"waiting": 2}),
        ("open.test", 2, {"accepted": 2}),
    ]
    assert [(one.count, one.code, one.enhanced, one.outcome) for one in troubles] == [
        (4, 550, "5.1.1", Outcome.REFUSED),
        (2, 450, "4.2.0", Outcome.DEFERRED),
    ]
    assert "@" not in troubles[0].text
    assert "no such user" in troubles[0].text


def test_an_editor_s_own_word_is_no_trouble(store: Store) -> None:
    issue_id = delivered(store)
    before = summary(store, issue_id, limit=5)
    with store.write() as tx:
        deliveries.resume(tx, issue_id, now=NOW)
    assert len(list(log(store, issue_id, addresses=False))) == 10
    assert summary(store, issue_id, limit=5) == before


def test_the_log_names_nobody_unless_asked(store: Store) -> None:
    issue_id = delivered(store)
    lines = list(log(store, issue_id, addresses=False))
    assert len(lines) == 8
    assert not any("@" in line.text or line.address for line in lines)
    named = {line.subscriber: line for line in log(store, issue_id, addresses=True)}
    assert set(named) == {line.subscriber for line in lines}
    ada = next(key for key, line in named.items() if line.address.startswith("reader1@"))
    assert "Reader 1" not in named[ada].text
    assert not any("Reader 1" in line.text for line in lines if line.subscriber == ada)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `newsletter -p FOLDER …` on a publication with an issue that was delivered."""
    folder = tmp_path / "letter"

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(["-p", str(folder), *arguments])
        said = capsys.readouterr()
        assert (stopped.value.code, said.err) == (0, "")
        return said.out

    call("init", str(folder))
    call("issues", "list")
    with open_store(f"sqlite:///{folder}/var/newsletter.db") as store:
        delivered(store)
    return call


def test_each_line_of_the_log_is_json(run: Callable[..., str]) -> None:
    lines = [json.loads(line) for line in run("issues", "log", "weekly", "-n", "1").splitlines()]
    assert len(lines) == 8
    keys = ["at", "subscriber", "transport", "server", "stage", "code", "enhanced", "outcome", "text"]
    assert all(list(line) == keys for line in lines)
    assert {line["code"] for line in lines} == {0, 450, 550}
    named = run("issues", "log", "weekly", "--addresses").splitlines()
    assert all("@" in json.loads(line)["address"] for line in named)


@pytest.mark.parametrize("command", ["show", "audit"])
def test_show_and_audit_say_it_in_words_and_in_json(run: Callable[..., str], command: str) -> None:
    said = run("issues", command, "weekly")
    assert "closed.test\t4\t0\t4\t0\t0\t0" in said
    assert re.search(r"^4\trefused\trcpt\t550\t5.1.1\t", said, re.MULTILINE)
    found = json.loads(run("issues", command, "weekly", "--json"))
    report = found.get("audit", found)
    assert report["domains"][0] == {"domain": "closed.test", "audience": 4, "states": {"refused": 4}}
    assert report["troubles"][0]["count"] == 4


def test_show_says_when_those_who_wait_are_due(run: Callable[..., str]) -> None:
    assert "Z  1 due" in run("issues", "show", "weekly")
    assert json.loads(run("issues", "show", "weekly", "--json"))["waves"]["closed"] == 0


def test_progress_says_what_matters() -> None:
    account = Account(audience=5000, accepted=1200, refused=2, waiting=3798, deferred=3)
    assert line_of(account, 24.0) == "1,202 of 5,000, 24/s, about 2 min 38 s left, put off 3, refused 2"
    assert line_of(Account(audience=2, accepted=2), 1.0) == "2 of 2, 1/s"
    assert in_trouble(Account(audience=1, unknown=1)) == "unknown 1"


def test_tries_that_were_put_off_are_counted_while_it_goes_on(sqlite_store: Store) -> None:
    told: list[Account] = []
    add_readers(sqlite_store, 3, address="reader{}@busy.test".format)
    issue_id = make_issue(sqlite_store)
    release(sqlite_store, issue_id, now=NOW)
    go(sqlite_store, issue_id, answer, progress=told.append)
    assert told[-1].deferred == 3


def test_an_overdue_slot_is_told_where_the_issues_are_listed(run: Callable[..., str], tmp_path: Path) -> None:
    assert "OVERDUE" not in run("issues", "list")
    with open_store(f"sqlite:///{tmp_path}/letter/var/newsletter.db") as store, store.write() as tx:
        issues.ensure_newsletter(tx, "weekly", datetime(2020, 1, 1, tzinfo=UTC))
    assert "OVERDUE: weekly, the issue of " in run("issues", "list")
    listed = json.loads(run("issues", "list", "--json"))
    (late,) = listed["overdue"]
    assert late["newsletter"] == "weekly"
    assert late["why"] in run("issues", "list")
    assert late["due"] > "2020"


def test_an_editor_lets_the_others_follow_a_canary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "letter"

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(["-p", str(folder), *arguments])
        said = capsys.readouterr()
        assert stopped.value.code == 0, said.err
        return said.out

    call("init", str(folder))
    toml = folder / "newsletter.toml"
    text = toml.read_text(encoding="utf-8").replace("since = ", "# since = ")
    toml.write_text(
        text.replace("[[newsletters]]", "[[newsletters]]\ncanary = 1\nwave = 1"), encoding="utf-8"
    )
    for name in ("ada", "bob", "cleo", "dan"):
        call("subscribers", "add", f"{name}@example.org", "--consent", "said so")
    call("gather")
    call("publish")
    call("issues", "compose")
    said = call("issues", "deliver")
    assert "accepted 1 " in said
    assert "The canary is out; 3 others wait, or for your word: newsletter issues approve weekly -n 1" in said
    assert "3 others wait" in call("issues", "show")
    call("issues", "approve", "weekly", "-n", "1")
    assert "Wave 1 of 3 is open; 2 wait for the next from " in call("issues", "deliver")
    assert "accepted 4 " in call("issues", "deliver", "--all")
    assert "for the next" not in call("issues", "show")
