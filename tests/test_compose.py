"""The selection: by the ledger, so that no post is lost or doubled whatever its date."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from letters import post
from newsletter.compose import Placed, Rule, Selection, Verdict, leave_out, select
from newsletter.model import Correction, Placement, Post

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OPEN = Rule()


def sent(*posts: Post, number: int = 1) -> dict[int, Placed]:
    return {
        one.seq: Placed(
            placement=Placement.INCLUDED, told_updated=one.updated, issue_id=number, number=number
        )
        for one in posts
    }


def titles(selection: Selection) -> list[str]:
    return [one.title for one in selection.posts]


def verdicts(selection: Selection) -> dict[int, Verdict]:
    return {one.seq: one.verdict for one in selection.explanation}


def test_new_posts_are_included_newest_first_and_sent_ones_are_not() -> None:
    old, one, two = post(1, "old"), post(2, "one"), post(3, "two")
    selection = select([old, one, two], sent(old), OPEN, first=False)
    assert titles(selection) == ["two", "one"]
    assert verdicts(selection) == {1: Verdict.SENT, 2: Verdict.INCLUDED, 3: Verdict.INCLUDED}
    assert "issue 1" in selection.explanation[-1].why


def test_a_late_and_back_dated_post_is_not_lost() -> None:
    new, ancient = post(5, "new"), post(9, "ancient", published=datetime(2019, 1, 1, tzinfo=UTC))
    rule = replace(OPEN, since=datetime(2026, 1, 1, tzinfo=UTC))
    assert titles(select([new, ancient], sent(post(4, "x")), rule, first=False)) == ["new", "ancient"]


def test_the_backlog_is_settled_once_with_its_reason() -> None:
    backlog, new = post(1, "backlog"), post(30, "new")
    rule = replace(OPEN, since=new.published)
    selection = select([backlog, new], {}, rule, first=True)
    assert titles(selection) == ["new"]
    assert [(one.title, "begin" in why) for one, why in selection.skipped] == [("backlog", True)]
    again = {1: Placed(placement=Placement.SKIPPED, told_updated=backlog.updated, reason="too old")}
    later = select([backlog], again, rule, first=False)
    assert later.empty
    assert later.explanation[0].why == "too old"


def test_the_backlog_is_settled_even_when_there_is_no_issue() -> None:
    rule = replace(OPEN, since=NOW)
    selection = select([post(1, "backlog")], {}, rule, first=True)
    assert selection.empty == "no new post"
    assert len(selection.skipped) == 1


def test_nothing_new_and_too_few_say_so() -> None:
    assert select([], {}, OPEN, first=True).empty == "no new post"
    few = select([post(1, "a")], {}, replace(OPEN, min_posts=2), first=False)
    assert "at least 2" in few.empty
    assert few.posts == ()
    assert verdicts(few) == {1: Verdict.CARRIED}


def test_tags_choose_and_exclude_without_settling() -> None:
    rule = replace(OPEN, tags=("Trade",), exclude_tags=("opinion",))
    posts = [
        post(1, "in", tags=("trade",)),
        post(2, "other", tags=("sport",)),
        post(3, "unwanted", tags=("trade", "Opinion")),
    ]
    selection = select(posts, {}, rule, first=True)
    assert titles(selection) == ["in"]
    assert selection.skipped == ()
    assert {one.seq: one.why for one in selection.explanation if one.verdict is Verdict.NOT_CHOSEN} == {
        2: "it bears none of the tags Trade",
        3: "its tag 'opinion' is excluded",
    }


def test_more_than_fit_are_carried_over_and_those_that_waited_get_half_the_room() -> None:
    rule = replace(OPEN, max_posts=4)
    first = [post(n, f"p{n}") for n in range(1, 8)]
    one = select(first, {}, rule, first=True)
    assert titles(one) == ["p7", "p6", "p5", "p4"]
    assert verdicts(one)[1] is Verdict.CARRIED
    fresh = [post(n, f"p{n}") for n in range(8, 12)]
    two = select([*first, *fresh], sent(*one.posts), rule, first=False)
    assert titles(two) == ["p11", "p10", "p2", "p1"]
    assert {n: v for n, v in verdicts(two).items() if v is Verdict.CARRIED} == dict.fromkeys(
        (3, 8, 9), Verdict.CARRIED
    )


def test_a_correction_is_told_once() -> None:
    before = post(1, "quay")
    put_right = Correction(when=NOW, text="Nine, not ninety.")
    after = replace(before, updated=NOW, corrections=(put_right,))
    selection = select([after, post(2, "new")], sent(before, number=4), OPEN, first=False)
    (told,) = selection.corrections
    assert (told.number, told.corrections, told.told) == (4, (put_right,), NOW)
    assert verdicts(selection)[1] is Verdict.CORRECTION
    ledger = {1: replace(sent(before)[1], told_updated=told.told)}
    assert select([after, post(2, "new")], ledger, OPEN, first=False).corrections == ()


def test_a_correction_that_bears_a_day_only_counts_when_the_post_changed_later_that_day() -> None:
    before = post(1, "quay", updated=NOW + timedelta(hours=2))
    noon = Correction(when=NOW, text="Nine.")
    after = replace(before, updated=NOW + timedelta(hours=5), corrections=(noon,))
    assert select([after, post(2, "n")], sent(before), OPEN, first=False).corrections
    unchanged = replace(after, updated=before.updated)
    assert not select([unchanged, post(2, "n")], sent(before), OPEN, first=False).corrections


def test_an_edit_without_a_correction_and_a_skipped_post_are_not_corrections() -> None:
    before = post(1, "quay")
    edited = replace(before, updated=NOW)
    assert not select([edited, post(2, "n")], sent(before), OPEN, first=False).corrections
    corrected = replace(edited, corrections=(Correction(when=NOW, text="x"),))
    skipped = {1: Placed(placement=Placement.SKIPPED, told_updated=before.updated)}
    assert not select([corrected, post(2, "n")], skipped, OPEN, first=False).corrections


def test_corrections_wait_when_there_is_no_issue() -> None:
    before = post(1, "quay")
    after = replace(before, updated=NOW, corrections=(Correction(when=NOW, text="Nine."),))
    selection = select([after], sent(before), OPEN, first=False)
    assert selection.empty == "no new post; 1 corrections wait for the next issue"
    assert selection.corrections == ()
    assert verdicts(selection) == {1: Verdict.CARRIED}


def test_left_out_posts_are_carried_over() -> None:
    posts = [post(n, f"p{n}") for n in (1, 2)]
    selection = leave_out(select(posts, {}, OPEN, first=True), posts[:1], "full")
    assert titles(selection) == ["p2"]
    assert {one.seq: (one.included, one.why) for one in selection.explanation}[1] == (False, "full")


RULES = st.builds(
    Rule,
    since=st.none()
    | st.integers(0, 60).map(lambda h: datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=h)),
    min_posts=st.integers(1, 3),
    max_posts=st.integers(1, 5),
    exclude_tags=st.sampled_from(((), ("x",))),
)
ARRIVALS = st.lists(
    st.lists(st.tuples(st.integers(0, 80), st.booleans()), max_size=6), min_size=1, max_size=8
)


@settings(deadline=None)
@given(ARRIVALS, RULES)
def test_over_any_history_each_post_is_sent_once_skipped_or_waits(
    weeks: list[list[tuple[int, bool]]], rule: Rule
) -> None:
    """Whatever dates posts bear and whenever they come: none is doubled, and each is told of in the explanation."""
    ledger: dict[int, Placed] = {}
    known: list[Post] = []
    counted: dict[int, int] = {}
    for number, week in enumerate(weeks):
        for hour, tagged in week:
            when = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour)
            seq = len(known) + 1
            known.append(post(seq, f"p{seq}", published=when, updated=when, tags=("x",) if tagged else ()))
        selection = select(known, ledger, rule, first=number == 0)
        assert {one.seq for one in selection.explanation} == {one.seq for one in known}
        assert len(selection.posts) <= rule.max_posts
        assert bool(selection.empty) == (not selection.posts)
        assert {one.seq for one in selection.posts} == {
            one.seq for one in selection.explanation if one.verdict is Verdict.INCLUDED
        }
        for one, reason in selection.skipped:
            ledger[one.seq] = Placed(placement=Placement.SKIPPED, told_updated=one.updated, reason=reason)
        for one in selection.posts:
            assert one.seq not in ledger
            counted[one.seq] = counted.get(one.seq, 0) + 1
            ledger.update(sent(one, number=number + 1))
    assert all(count == 1 for count in counted.values())
    for _ in range(len(known) + 1):  # with no more news, everything that waits is sent
        selection = select(known, ledger, replace(rule, min_posts=1), first=False)
        for one in selection.posts:
            ledger.update(sent(one))
    unsettled = {one.seq for one in known} - ledger.keys()
    assert unsettled == {one.seq for one in known if "x" in one.tags and rule.exclude_tags} - ledger.keys()


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 16), st.integers(0, 8))
def test_no_post_waits_for_ever_even_when_each_week_brings_too_many(
    room: int, backlog: int, news: int
) -> None:
    rule = replace(OPEN, max_posts=room)
    known = [post(n, f"p{n}") for n in range(1, backlog + 1)]
    ledger: dict[int, Placed] = {}
    waiting = set()
    for week in range(1 + 2 * backlog):
        selection = select(known, ledger, rule, first=week == 0)
        ledger |= sent(*selection.posts)
        waiting = {n for n in range(1, backlog + 1) if n not in ledger}
        known += [post(len(known) + n, "news") for n in range(1, news + 1)]
    assert not waiting
