"""Select the posts of an issue: by the ledger of what was sent, never by a window of dates.

A post stands in the ledger once it was sent or explicitly skipped; every other live post is eligible, however
late it came and whatever date it bears. Nothing here reads a clock: the same posts, ledger and rule give the
same selection.

Which posts go in when there are more than `max_posts`: those that waited through an earlier issue (first seen
before the newest post of the ledger) have a right to half of the places, oldest first, so that none waits for
ever; the rest are the newest. How they stand in the issue: newest published first, so the lead is the newest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from newsletter.model import Correction, Placement, Post


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A newsletter's selection rule; `since` is an instant, tags are compared without regard to case."""

    since: datetime | None = None
    min_posts: int = 1
    max_posts: int = 12
    tags: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One row of the (newsletter, post) ledger; `number` is the issue's, 0 when there was none."""

    placement: Placement
    told_updated: datetime
    issue_id: int = 0
    number: int = 0
    reason: str = ""


class Verdict(StrEnum):
    """What the selection decided of one post."""

    INCLUDED = "included"
    CORRECTION = "correction"
    CARRIED = "carried over"
    SENT = "sent before"
    SKIPPED = "skipped"
    NOT_CHOSEN = "not chosen"  # by its tags: not settled, a changed rule can still choose it


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Why one post is in or out."""

    seq: int
    post_id: str
    title: str
    verdict: Verdict
    why: str

    @property
    def included(self) -> bool:
        """Whether the issue tells of this post."""
        return self.verdict in (Verdict.INCLUDED, Verdict.CORRECTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A post sent in an earlier issue, with the corrections readers have not been told of."""

    post: Post
    corrections: tuple[Correction, ...]
    number: int  # of the issue that sent it
    told: datetime  # what the ledger's `told_updated` becomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What goes into an issue, and what is settled with it.

    `skipped` are posts to be settled as never to be sent, each with its reason, whether or not there is an issue.
    `empty` says why there is no issue; then `posts` and `corrections` are empty as well.
    """

    posts: tuple[Post, ...] = ()
    corrections: tuple[Corrected, ...] = ()
    skipped: tuple[tuple[Post, str], ...] = ()
    explanation: tuple[Explained, ...] = ()
    empty: str = ""


_DAY = timedelta(days=1)


def select(posts: Iterable[Post], ledger: Mapping[int, Placed], rule: Rule, *, first: bool) -> Selection:
    """Choose from all live posts; `first` when the newsletter has never been composed before."""
    known = sorted({post.seq: post for post in posts}.values(), key=_newest_first)
    explained: dict[int, Explained] = {}
    skipped: list[tuple[Post, str]] = []
    corrected: list[Corrected] = []
    eligible: list[Post] = []
    for post in known:
        placed, reason = ledger.get(post.seq), _not_chosen(post, rule)
        if placed is not None:
            correction = _correction(post, placed)
            corrected += [correction] if correction else []
            explained[post.seq] = _of_ledger(post, placed, correction)
        elif reason:
            explained[post.seq] = _explain(post, Verdict.NOT_CHOSEN, reason)
        elif first and rule.since is not None and post.published < rule.since:
            why = f"published before {rule.since.astimezone(UTC):%Y-%m-%d %H:%M}Z, when this newsletter's posts begin"
            skipped.append((post, why))
            explained[post.seq] = _explain(post, Verdict.SKIPPED, why)
        else:
            eligible.append(post)
    empty = _empty(eligible, corrected, rule)
    chosen = [] if empty else _fill(eligible, max(ledger, default=0), rule.max_posts)
    if empty:
        waiting = "carried over: no issue this time"
        corrected, explained = [], {seq: _postponed(one) for seq, one in explained.items()}
    else:
        waiting = f"carried over: there is room for {rule.max_posts}"
    seqs = {post.seq for post in chosen}
    for post in eligible:
        taken = post.seq in seqs
        explained[post.seq] = _explain(
            post, Verdict.INCLUDED if taken else Verdict.CARRIED, "not sent before" if taken else waiting
        )
    return Selection(
        posts=tuple(sorted(chosen, key=_newest_first)),
        corrections=tuple(corrected),
        skipped=tuple(skipped),
        explanation=tuple(explained[post.seq] for post in known),
        empty=empty,
    )


def leave_out(selection: Selection, posts: Sequence[Post], why: str) -> Selection:
    """Return the selection without some of its posts: they are carried over."""
    seqs = {post.seq for post in posts}
    return Selection(
        posts=tuple(post for post in selection.posts if post.seq not in seqs),
        corrections=selection.corrections,
        skipped=selection.skipped,
        explanation=tuple(
            Explained(seq=one.seq, post_id=one.post_id, title=one.title, verdict=Verdict.CARRIED, why=why)
            if one.seq in seqs
            else one
            for one in selection.explanation
        ),
    )


def _newest_first(post: Post) -> tuple[float, int]:
    return (-post.published.timestamp(), -post.seq)


def _fill(eligible: list[Post], newest_of_ledger: int, room: int) -> list[Post]:
    waited = sorted((p for p in eligible if p.seq < newest_of_ledger), key=lambda p: p.seq)
    fresh = [p for p in eligible if p.seq >= newest_of_ledger]
    places = min(len(waited), max(room - len(fresh), (room + 1) // 2))
    return waited[:places] + fresh[: room - places]


def _empty(eligible: list[Post], corrected: list[Corrected], rule: Rule) -> str:
    if len(eligible) >= max(rule.min_posts, 1):
        return ""
    if eligible:
        reason = f"{len(eligible)} new, and an issue needs at least {rule.min_posts}: carried over"
    else:
        reason = "no new post"
    return f"{reason}; {len(corrected)} corrections wait for the next issue" if corrected else reason


def _not_chosen(post: Post, rule: Rule) -> str:
    tags = {tag.casefold() for tag in post.tags}
    unwanted = [tag for tag in rule.exclude_tags if tag.casefold() in tags]
    if unwanted:
        return f"its tag {unwanted[0]!r} is excluded"
    if rule.tags and not any(tag.casefold() in tags for tag in rule.tags):
        return f"it bears none of the tags {', '.join(rule.tags)}"
    return ""


def _correction(post: Post, placed: Placed) -> Corrected | None:
    """Return what readers have not been told: corrections dated after the version they know.

    A correction may bear a day only (then noon), so after a change of the post one from the day before counts too:
    told twice is better than never.
    """
    if placed.placement is Placement.SKIPPED or not post.corrections:
        return None
    told = placed.told_updated
    horizon = told - _DAY if post.updated > told else told
    new = tuple(one for one in post.corrections if one.when > horizon)
    if not new:
        return None
    newest = max(told, post.updated, *(one.when for one in new))
    return Corrected(post=post, corrections=new, number=placed.number, told=newest)


def _of_ledger(post: Post, placed: Placed, correction: Corrected | None) -> Explained:
    if placed.placement is Placement.SKIPPED:
        return _explain(post, Verdict.SKIPPED, placed.reason or "skipped by the editor")
    where = f"sent in issue {placed.number}" if placed.number else "sent before"
    if correction is not None:
        return _explain(post, Verdict.CORRECTION, f"{where}, corrected since")
    return _explain(post, Verdict.SENT, where)


def _postponed(one: Explained) -> Explained:
    if one.verdict is not Verdict.CORRECTION:
        return one
    return Explained(
        seq=one.seq, post_id=one.post_id, title=one.title, verdict=Verdict.CARRIED, why=f"{one.why}: waits"
    )


def _explain(post: Post, verdict: Verdict, why: str) -> Explained:
    return Explained(seq=post.seq, post_id=post.id, title=post.title, verdict=verdict, why=why)
