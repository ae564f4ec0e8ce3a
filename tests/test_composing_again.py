"""An issue composed anew for its slot before its release: same number, nothing doubled, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from faults.ground import NOW, add_readers
from letters import post
from newsletter import issues
from newsletter.config import Config
from newsletter.deliver import release
from newsletter.errors import InputError
from newsletter.identity import PostState
from newsletter.model import Correction, IssueState, Placement, SlotState
from newsletter.store import Store
from newsletter.store import issues as stored
from newsletter.store import posts as stored_posts
from test_issues import NEXT, POSTS, SLOT, break_rule, change, compose, frozen_of, put, site

Publication = Callable[..., Config]
LATER = NOW + timedelta(hours=1)


def again(store: Store, config: Config, issue_id: int, now: datetime = LATER) -> issues.Composition:
    return issues.compose_again(store, config, issue_id, now=now)


def placements(store: Store) -> dict[int, tuple[Placement, int]]:
    with store.read() as tx:
        found = stored.placements(tx, "weekly")
    return {seq: (one.placement, one.issue_id) for seq, one in found.items()}


def test_a_held_issue_is_composed_anew_when_it_was_mended(store: Store, publication: Publication) -> None:
    config = site(publication)
    break_rule(config)
    put(store, *POSTS)
    held = compose(store, config, NOW).issue
    assert held is not None
    assert held.state is IssueState.HELD
    (config.templates / "digest" / "letter" / "digest.html.j2").unlink()
    change(store, replace(POSTS[1], title="Cranes moved", updated=NOW))
    with store.write() as tx:
        stored_posts.set_state(tx, 1, PostState.DELETED, now=NOW)
    put(store, post(4, "Tide turns"))
    made = again(store, config, held.id)
    assert made.issue is not None
    assert made.issue.state is IssueState.APPROVED
    assert (made.issue.id, made.issue.number, made.issue.due) == (held.id, 1, held.due)
    assert "composed anew 2026-11-23 13:00Z" in issues.note_of(store, made.issue)
    assert "Cranes moved" in made.issue.html
    assert "Tide turns" in made.issue.html
    assert placements(store) == dict.fromkeys((2, 3, 4), (Placement.INCLUDED, held.id))
    with store.read() as tx:
        assert stored.find(tx) == [made.issue]
        assert stored.next_number(tx, "weekly") == 2
        assert stored.slot_states(tx, "weekly") == {SLOT.due: SlotState.COMPOSED}
        versions = {post_id: updated for post_id, _, updated in stored.versions_of(tx, held.id)}
    assert versions[POSTS[1].id] == NOW
    assert made.issue.reason == ""
    assert "Cranes moved" in frozen_of(store, made.issue)
    assert not compose(store, config, LATER).fresh


def test_a_post_that_is_no_longer_chosen_comes_in_a_later_issue(
    sqlite_store: Store, publication: Publication
) -> None:
    put(sqlite_store, *POSTS)
    config = site(publication, max_posts=3)
    issue = compose(sqlite_store, config, NOW).issue
    assert issue is not None
    fewer = site(publication, max_posts=2)
    made = again(sqlite_store, fewer, issue.id)
    assert made.issue is not None
    assert len(made.issue.post_ids) == 2
    second = compose(sqlite_store, fewer, LATER, NEXT).issue
    assert second is not None
    assert second.number == 2
    assert set(second.post_ids) | set(made.issue.post_ids) == {one.id for one in POSTS}
    assert not set(second.post_ids) & set(made.issue.post_ids)


def test_its_corrections_of_earlier_issues_stay(store: Store, publication: Publication) -> None:
    config = site(publication)
    put(store, *POSTS)
    compose(store, config, NOW)
    corrected = replace(
        POSTS[1], updated=NOW, corrections=(Correction(when=NOW, text="It was the other crane."),)
    )
    change(store, corrected)
    put(store, post(4, "Tide turns"))
    issue = compose(store, config, LATER, NEXT).issue
    assert issue is not None
    assert issue.correction_ids == (POSTS[1].id,)
    one, other = corrected.corrections[0], Correction(when=LATER, text="And on Tuesday.")
    change(store, replace(corrected, corrections=(one, other), updated=LATER))
    made = again(store, config, issue.id, LATER).issue
    assert made is not None
    assert made.correction_ids == (POSTS[1].id,)
    assert "It was the other crane." in made.html
    assert "And on Tuesday." in made.html
    put(store, post(5, "More"))
    third = compose(store, config, LATER, replace(SLOT, due=NEXT.due + timedelta(days=7))).issue
    assert third is not None
    assert third.correction_ids == (), "told once"


def test_it_is_refused_once_released_and_when_nothing_would_be_left(
    store: Store, publication: Publication
) -> None:
    config = site(publication)
    put(store, *POSTS)
    add_readers(store, 2)
    issue = compose(store, config, NOW).issue
    assert issue is not None
    before = placements(store)
    with store.write() as tx:
        for one in POSTS:
            stored_posts.set_state(tx, one.seq, PostState.HIDDEN, now=NOW)
    with pytest.raises(InputError, match="nothing would be left of it: no new post"):
        again(store, config, issue.id)
    assert placements(store) == before
    with store.write() as tx:
        for one in POSTS:
            stored_posts.set_state(tx, one.seq, PostState.LIVE, now=NOW)
    release(store, issue.id, now=NOW)
    with pytest.raises(InputError, match="was released") as caught:
        again(store, config, issue.id)
    assert "newsletter issues correct weekly -n 1" in caught.value.remedy
    assert placements(store) == before
