"""Slots, issues and the ledger in the store, on both databases."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from letters import post
from newsletter.compose import Placed
from newsletter.identity import PostState
from newsletter.model import Issue, IssueState, Placement, Slot, SlotState
from newsletter.store import Store, issues, posts

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SLOT = Slot(newsletter="weekly", due=NOW)
POSTS = [post(1, "one"), post(2, "two"), post(3, "three")]
ISSUE = Issue(
    newsletter="weekly",
    number=1,
    due=NOW,
    state=IssueState.COMPOSED,
    subject="Søk & finn",
    dated=NOW,
    html="<p>\ufdd0address\ufdd1 ☃</p>",
    sha256="00",
    intro_html="<p>i</p>",
    composed_at=NOW,
    reason="because",
)
PLACED = [
    (2, Placement.INCLUDED, POSTS[1].updated),
    (1, Placement.INCLUDED, POSTS[0].updated),
    (3, Placement.CORRECTION, POSTS[2].updated),
]


def prepare(store: Store) -> int:
    with store.write() as tx:
        posts.add(tx, [posts.Filed(one, PostState.LIVE, str(one.seq)) for one in POSTS], now=NOW)
        issues.ensure_newsletter(tx, "weekly", NOW)
        return issues.add(tx, ISSUE, PLACED, frozen="{}")


def test_a_newsletter_begins_once_and_counts_without_gaps(store: Store) -> None:
    with store.write() as tx:
        assert issues.began(tx, "weekly") is None
        assert issues.ensure_newsletter(tx, "weekly", NOW) == NOW
        assert issues.ensure_newsletter(tx, "weekly", NOW + timedelta(days=1)) == NOW
        assert issues.next_number(tx, "weekly") == 1
        assert [issues.take_number(tx, "weekly") for _ in range(3)] == [1, 2, 3]
        assert issues.next_number(tx, "weekly") == 4
        assert issues.next_number(tx, "unknown") == 1


def test_a_number_taken_in_vain_is_given_back_by_rollback(store: Store) -> None:
    with store.write() as tx:
        issues.ensure_newsletter(tx, "weekly", NOW)
    with suppress(ZeroDivisionError), store.write() as tx:
        issues.take_number(tx, "weekly")
        raise ZeroDivisionError
    with store.read() as tx:
        assert issues.next_number(tx, "weekly") == 1


def test_a_slot_is_claimed_by_one_and_settled(store: Store) -> None:
    later = replace(SLOT, due=NOW + timedelta(days=7))
    with store.write() as tx:
        assert issues.slot_of(tx, SLOT) is None
        assert issues.claim_slot(tx, SLOT, NOW)
        assert not issues.claim_slot(tx, SLOT, NOW)
        assert issues.slot_of(tx, SLOT) == (SlotState.CLAIMED, None, "")
        assert not issues.was_composed(tx, "weekly")
        issues.settle_slot(tx, SLOT, SlotState.EMPTY, note="nothing")
        assert issues.slot_of(tx, SLOT) == (SlotState.EMPTY, None, "nothing")
        assert issues.was_composed(tx, "weekly")
        assert issues.claim_slot(tx, later, NOW)
        assert issues.slot_states(tx, "weekly") == {SLOT.due: SlotState.EMPTY, later.due: SlotState.CLAIMED}
        assert issues.latest_slot(tx, "weekly") == later.due
        assert issues.latest_slot(tx, "daily") is None
        assert issues.slot_states(tx, "daily") == {}


def test_an_issue_reads_back_as_it_was_frozen(store: Store) -> None:
    issue_id = prepare(store)
    with store.read() as tx:
        issue = issues.by_id(tx, issue_id)
        assert issue == replace(
            ISSUE, id=issue_id, post_ids=(POSTS[1].id, POSTS[0].id), correction_ids=(POSTS[2].id,)
        )
        assert issues.get(tx, "weekly", 1) == issue
        assert issues.get(tx, "weekly", 2) is None
        assert issues.by_id(tx, issue_id + 1) is None
        assert issues.find(tx) == [issue]
        assert issues.find(tx, newsletter="daily") == []
        assert issues.find(tx, states=[IssueState.COMPOSED, IssueState.HELD]) == [issue]
        assert issues.find(tx, states=[IssueState.HELD]) == []
        assert issues.posts_of(tx, issue_id) == [(seq, placement) for seq, placement, _ in PLACED]
        assert [one[0] for one in issues.versions_of(tx, issue_id)] == [POSTS[1].id, POSTS[0].id, POSTS[2].id]


def test_an_issue_number_is_given_once(store: Store) -> None:
    prepare(store)
    with pytest.raises(IntegrityError), store.write() as tx:
        issues.add(tx, ISSUE, [], frozen="{}")


def test_states_keep_the_first_instant(store: Store) -> None:
    issue_id = prepare(store)
    with store.write() as tx:
        for hours, state in enumerate(
            [IssueState.RELEASED, IssueState.HELD, IssueState.RELEASED, IssueState.FINISHED]
        ):
            issues.set_state(tx, issue_id, state, now=NOW + timedelta(hours=hours), reason=f"r{hours}")
    with store.read() as tx:
        issue = issues.by_id(tx, issue_id)
    assert issue is not None
    assert (issue.state, issue.reason) == (IssueState.FINISHED, "r3")
    assert (issue.released_at, issue.finished_at) == (NOW, NOW + timedelta(hours=3))


def test_the_ledger_holds_each_post_once(store: Store) -> None:
    issue_id = prepare(store)
    sent = Placed(placement=Placement.INCLUDED, told_updated=NOW, issue_id=issue_id)
    skipped = Placed(placement=Placement.SKIPPED, told_updated=NOW, reason="too old")
    with store.write() as tx:
        issues.place(tx, "weekly", 1, sent, now=NOW)
        issues.place(tx, "weekly", 2, skipped, now=NOW)
        issues.place(tx, "daily", 1, sent, now=NOW)
        issues.tell(tx, "weekly", 1, updated=NOW + timedelta(hours=1), now=NOW)
    with store.read() as tx:
        assert issues.placements(tx, "weekly") == {
            1: replace(sent, number=1, told_updated=NOW + timedelta(hours=1)),
            2: skipped,
        }
        assert issues.placements(tx, "daily")[1].told_updated == NOW
    with pytest.raises(IntegrityError), store.write() as tx:
        issues.place(tx, "weekly", 1, skipped, now=NOW)
