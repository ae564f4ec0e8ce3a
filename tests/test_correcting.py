"""An issue corrected while it is delivered: who was not served gets the new text, who is in doubt gets the same."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from faults.ground import NOW, add_readers, make_issue, states
from letters import post
from newsletter import issues
from newsletter import subscriptions as people
from newsletter.compose import Verdict
from newsletter.config import Config
from newsletter.crew.blackbox import BlackBox
from newsletter.deliver import audit, release, retry
from newsletter.errors import InputError
from newsletter.identity import PostState
from newsletter.model import Correction, DeliveryState, Issue, IssueState, Message, Outcome, Receipt
from newsletter.publish import publish
from newsletter.store import Store, deliveries, leases
from newsletter.store import issues as stored
from newsletter.store import posts as stored_posts
from test_deliver import OPTIONS, accept, crash, go, outcome, say
from test_issues import POSTS, SLOT, break_rule, change, compose, put, site

Publication = Callable[..., Config]
LATER = NOW + timedelta(hours=2)
MENDED = replace(POSTS[1], body_html="<p>The crane moved on Tuesday.</p>", updated=NOW)


class Ground:
    """An issue of three posts, released to readers, and a server that is told how to answer whom."""

    def __init__(self, store: Store, config: Config, readers: int = 4) -> None:
        self.store, self.config = store, config
        put(store, *POSTS)
        self.ids = add_readers(store, readers)
        made = compose(store, config, NOW).issue
        assert made is not None
        self.id = made.id
        self.sent: list[Message] = []
        release(store, self.id, now=NOW)

    @property
    def issue(self) -> Issue:
        with self.store.read() as tx:
            found = stored.by_id(tx, self.id)
        assert found is not None
        return found

    def deliver(
        self,
        answers: dict[int, Callable[[Message], Receipt]],
        *,
        now: datetime = NOW,
        boxes: Path | None = None,
    ) -> None:
        """Deliver; each reader by place is answered differently, the others are accepted."""

        def answer(message: Message) -> Receipt:
            self.sent.append(message)
            return answers.get(self.ids.index(message.key), accept)(message)

        render = issues.mailroom(self.store, self.config, self.issue)
        options = replace(OPTIONS, on_silence="resend", boxes=boxes)
        go(self.store, self.id, answer, options=options, render=render, clock=lambda: now)

    def hold(self) -> None:
        issues.hold(self.store, self.id, now=NOW, reason="the crane moved on Tuesday")

    def correct(self, *, force: str = "") -> issues.Revision:
        return issues.correct(self.store, self.config, self.id, now=LATER, force=force)

    def go_on(self) -> None:
        issues.approve(self.store, self.config, self.id, now=LATER)

    def revisions(self) -> list[int]:
        with self.store.read() as tx:
            return [one.reader.revision for one in deliveries.listed(tx, self.id)]

    def bytes_for(self, place: int) -> list[bytes]:
        return [one.content for one in self.sent if one.key == self.ids[place]]


@pytest.fixture
def ground(store: Store, publication: Publication) -> Ground:
    return Ground(store, site(publication))


@pytest.fixture
def quick(sqlite_store: Store, publication: Publication) -> Ground:
    """The same on SQLite alone, for what is no matter of the store."""
    return Ground(sqlite_store, site(publication))


def message_id(content: bytes) -> bytes:
    return next(line for line in content.splitlines() if line.startswith(b"Message-ID:"))


def test_who_was_not_served_gets_the_corrected_text_and_doubt_keeps_its_bytes(ground: Ground) -> None:
    later, silence = say(450, "4.2.0"), outcome(Outcome.UNKNOWN)
    ground.deliver({1: later, 2: silence})
    first = ground.issue
    ground.hold()
    change(ground.store, MENDED)
    made = ground.correct()
    assert made.changes == ("“Cranes move” changed: text",)
    assert (made.renewed, made.kept) == (1, 3)
    assert made.size > 1000
    assert made.size_before > 1000
    issue = ground.issue
    assert issue == made.issue
    assert (issue.state, issue.revision, issue.corrected_at) == (IssueState.HELD, 2, LATER)
    same = ("id", "number", "due", "subject", "dated", "post_ids")
    assert all(getattr(issue, name) == getattr(first, name) for name in same)
    assert ground.revisions() == [1, 2, 1, 1]
    ground.go_on()
    ground.deliver({}, now=LATER)
    assert set(states(ground.store, ground.id).values()) == {DeliveryState.ACCEPTED}
    old, new = ground.bytes_for(1)
    assert b"Tuesday" not in old
    assert b"Tuesday" in new
    assert message_id(old) != message_id(new)
    doubtful = ground.bytes_for(2)
    assert len(doubtful) == 2
    assert doubtful[0] == doubtful[1], "what was perhaps accepted is sent again byte for byte"
    assert len(ground.bytes_for(0)) == len(ground.bytes_for(3)) == 1
    assert ground.issue.state is IssueState.FINISHED


def test_the_audit_says_who_got_which(ground: Ground) -> None:
    ground.deliver({1: say(450, "4.2.0")})
    before = ground.issue
    ground.hold()
    change(ground.store, MENDED)
    ground.correct()
    ground.go_on()
    ground.deliver({}, now=LATER)
    with ground.store.read() as tx:
        first, second = stored.renderings(tx, ground.issue)
        counts = deliveries.by_revision(tx, ground.id)
        old, frozen = stored.rendering(tx, ground.issue, 1)
    assert (first.revision, first.sha256, first.note) == (1, before.sha256, "")
    assert (second.revision, second.sha256, second.made_at) == (2, ground.issue.sha256, LATER)
    assert second.note == "“Cranes move” changed: text"
    assert counts == {1: {DeliveryState.ACCEPTED: 3}, 2: {DeliveryState.ACCEPTED: 1}}
    assert (old.sha256, old.html) == (before.sha256, before.html)
    assert "Tuesday" not in frozen
    named = {one.reader.address: one.reader.revision for one in audit(ground.store, ground.id).deliveries}
    assert named == {f"reader{place}@example.org": 1 + (place == 1) for place in range(4)}
    assert "corrected 2026-11-23 14:00Z" in issues.note_of(ground.store, ground.issue)


def test_what_a_crash_left_in_doubt_keeps_its_rendering(ground: Ground) -> None:
    left = {ground.ids.index(one) for one in crash(ground.store, ground.id, 2)}
    ground.hold()
    change(ground.store, MENDED)
    made = ground.correct()
    assert (made.renewed, made.kept) == (2, 2)
    ground.go_on()
    ground.deliver({}, now=LATER)  # presumed accepted, and listed
    assert {place for place, one in enumerate(ground.revisions()) if one == 1} == left
    assert retry(ground.store, ground.id, presumed=True, now=LATER) == 2
    ground.deliver({}, now=LATER)
    assert [b"Tuesday" in ground.bytes_for(place)[0] for place in range(4)] == [
        place not in left for place in range(4)
    ]


def test_what_a_crash_certainly_did_not_send_is_corrected(quick: Ground, tmp_path: Path) -> None:
    with quick.store.write() as tx:
        lease = leases.take_lease(tx, quick.id, owner="dead")
        leases.claim(tx, lease, quick.ids[:2], now=NOW)
    BlackBox(tmp_path / f"issue-{quick.id}", lease, 2).close(remove=False)  # no end was announced in it
    quick.hold()
    change(quick.store, MENDED)
    assert quick.correct().renewed == 2
    quick.go_on()
    quick.deliver({}, now=LATER, boxes=tmp_path)
    assert quick.revisions() == [2, 2, 2, 2]
    assert all(b"Tuesday" in one.content for one in quick.sent)


def test_a_second_correction_leaves_the_first_to_those_who_got_it(ground: Ground) -> None:
    put_off = say(450, "4.2.0")
    ground.deliver({1: put_off, 2: put_off, 3: put_off})
    ground.hold()
    change(ground.store, MENDED)
    ground.correct()
    ground.go_on()
    ground.deliver({2: outcome(Outcome.UNKNOWN), 3: put_off}, now=LATER)
    ground.hold()
    change(ground.store, replace(MENDED, body_html="<p>The crane moved on Wednesday.</p>"))
    ground.correct()
    assert ground.revisions() == [1, 2, 2, 3]
    ground.go_on()
    ground.deliver({}, now=LATER + timedelta(hours=6))
    doubtful = ground.bytes_for(2)
    assert b"Tuesday" in doubtful[-1]
    assert doubtful[-1] == doubtful[-2]
    assert b"Wednesday" in ground.bytes_for(3)[-1]


def test_the_archive_shows_the_corrected_text_and_the_day(quick: Ground) -> None:
    ground = quick
    ground.deliver({1: say(450, "4.2.0")})
    ground.hold()
    change(ground.store, MENDED)
    ground.correct()
    publish(ground.store, ground.config, now=LATER)
    page = (ground.config.public / "issues" / "weekly" / "1" / "index.html").read_text()
    assert "Tuesday" in page
    assert "It was corrected on 24 November 2026." in page, "the day in Sydney"
    feed = (ground.config.public / "feeds" / "issues" / "weekly" / "atom.xml").read_text()
    assert "<updated>2026-11-23T14:00:00" in feed
    ground.go_on()
    ground.deliver({}, now=LATER)
    assert not any(b"was corrected on" in one.content for one in ground.sent)


def test_nothing_to_correct_changes_nothing(quick: Ground) -> None:
    quick.hold()
    before = quick.issue
    put(quick.store, post(9, "Something else"))
    made = quick.correct()
    assert (made.changes, made.size) == ((), made.size_before)
    assert quick.issue == before
    assert set(quick.revisions()) == {1}


def test_a_correction_of_what_nobody_has_is_the_first_that_readers_are_told(quick: Ground) -> None:
    quick.hold()
    change(quick.store, replace(MENDED, corrections=(Correction(when=NOW, text="It was Tuesday."),)))
    made = quick.correct()
    assert (made.renewed, made.kept) == (4, 0)
    assert next_verdicts(quick)["Cranes move"] is Verdict.SENT


def test_those_who_got_the_mistake_are_told_in_the_next_issue(quick: Ground) -> None:
    quick.deliver({1: say(450, "4.2.0")})
    quick.hold()
    change(quick.store, replace(MENDED, corrections=(Correction(when=NOW, text="It was Tuesday."),)))
    quick.correct()
    assert next_verdicts(quick)["Cranes move"] is Verdict.CORRECTION


def next_verdicts(ground: Ground) -> dict[str, Verdict]:
    put(ground.store, post(9, "Another"))
    slot = replace(SLOT, due=SLOT.due + timedelta(days=7))
    told = issues.explain(ground.store, ground.config, ground.config.newsletter("weekly"), slot, now=LATER)
    return {one.title: one.verdict for one in told}


def test_a_post_that_was_withdrawn_is_left_out(quick: Ground) -> None:
    quick.deliver({1: say(450, "4.2.0")})
    quick.hold()
    with quick.store.write() as tx:
        stored_posts.set_state(tx, 2, PostState.DELETED, now=NOW)
    made = quick.correct()
    assert made.changes == ("“Cranes move” was withdrawn, and is left out",)
    assert len(quick.issue.post_ids) == 2
    with quick.store.write() as tx:
        for seq in (1, 3):
            stored_posts.set_state(tx, seq, PostState.DELETED, now=NOW)
    with pytest.raises(InputError, match="all of its posts were withdrawn"):
        quick.correct()


def test_a_correction_that_breaks_a_rule_needs_force_and_a_reason(quick: Ground) -> None:
    quick.hold()
    change(quick.store, MENDED)
    break_rule(quick.config)
    with pytest.raises(InputError, match="breaks 3 rules") as caught:
        quick.correct()
    assert "newsletter issues correct weekly -n 1 --force --reason" in caught.value.remedy
    assert quick.issue.revision == 1
    assert set(quick.revisions()) == {1}
    made = quick.correct(force="it must go today")
    assert made.changes[-1] == "the looks changed"
    assert any(one.error for one in made.findings)
    assert "forced: it must go today" in issues.note_of(quick.store, quick.issue)


def test_only_a_held_issue_that_is_being_delivered_is_corrected(quick: Ground) -> None:
    with pytest.raises(InputError, match="it is being delivered") as caught:
        quick.correct()
    assert caught.value.remedy == "First: newsletter issues hold weekly -n 1"
    quick.hold()
    with quick.store.lock(f"issue-{quick.id}") as alone:
        assert alone
        with pytest.raises(InputError, match="still being answered"):
            quick.correct()
    quick.go_on()
    quick.deliver({})
    with pytest.raises(InputError, match="everybody was served"):
        quick.correct()
    unreleased = make_issue(quick.store, number=2)
    with pytest.raises(InputError, match="not released yet") as caught:
        issues.correct(quick.store, quick.config, unreleased, now=NOW)
    assert "issues compose weekly -n 2 --again" in caught.value.remedy


def test_each_reader_gets_the_rendering_that_is_theirs(ground: Ground) -> None:
    before = issues.mailroom(ground.store, ground.config, ground.issue)
    ground.hold()
    change(ground.store, MENDED)
    ground.correct()
    with ground.store.read() as tx:
        reader = next(iter(deliveries.listed(tx, ground.id))).reader
        corrected = stored.by_id(tx, ground.id)
    assert corrected is not None
    assert reader.revision == corrected.revision == 2
    render = pickle.loads(pickle.dumps(issues.mailroom(ground.store, ground.config, corrected)))
    assert b"Tuesday" in render(reader).content
    assert b"Tuesday" not in render(replace(reader, revision=1)).content
    assert render(replace(reader, revision=1)) == before(replace(reader, revision=1))
    ground.go_on()
    options = replace(OPTIONS, revision=1)
    with pytest.raises(InputError, match="was corrected just now"):
        go(ground.store, ground.id, accept, options=options, render=before, clock=lambda: LATER)


def test_what_was_rendered_ahead_is_sent_along_and_not_rendered_again(ground: Ground) -> None:
    room = issues.mailroom(ground.store, ground.config, ground.issue)
    with ground.store.read() as tx:
        reader = next(iter(deliveries.listed(tx, ground.id))).reader
    room.foresee([reader])
    sent = pickle.loads(pickle.dumps(room))
    assert sent(reader) == issues.mailroom(ground.store, ground.config, ground.issue)(reader)
    assert room.prepare(reader.revision)._variants.rendered == 1
    assert sent.prepare(reader.revision)._variants.rendered == 0
    spoken_otherwise = replace(reader, language="fr")
    assert sent(spoken_otherwise) == room(spoken_otherwise)


def test_an_erased_reader_leaves_no_name_in_what_servers_said(store: Store, publication: Publication) -> None:
    ground = Ground(store, site(publication))
    said = "<reader1@example.org> (Reader 1): try forward.me@private.example, or ask postmaster@example.org"
    ground.deliver({1: say(450, "4.2.0", said)})
    (line,) = audit(store, ground.id).attempts[ground.ids[1]]
    assert line.text == "<…> (…): try …, or ask postmaster@example.org"
    assert people.forget(store, "reader1@example.org", now=LATER)
    found = audit(store, ground.id)
    assert found.attempts[ground.ids[1]][0].text == ""
    assert "reader1" not in repr(found)
