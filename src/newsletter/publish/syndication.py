"""The documents of feeds: three forms of each, the archives of the main one, and the outline of all.

Each must pass the gate. A post that it leaves out changes what other feeds are made of, so feeds are planned again
until no other one is left out; what the gate said of a post holds as long as the post stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

from newsletter import feeds
from newsletter.checks.feeds import check_atom
from newsletter.feeds import Entry, Feed
from newsletter.model import Finding, Issue
from newsletter.publish.gate import FORMS, Check, Gate, Item, Make
from newsletter.publish.marks import hashed, key_of, mark_of_issue
from newsletter.publish.parts import Part
from newsletter.publish.plan import OUTLINE, Document, Plan, Works
from newsletter.store.facts import PostFact

Form = tuple[str, Make, Check]


@dataclass(slots=True)
class Syndication:
    """All feeds of one publishing."""

    works: Works
    gate: Gate
    main: Feed
    parts: list[Part]
    letters: dict[str, Feed]
    dates: dict[str, datetime] = field(default_factory=dict)

    def plan(self, plan: Plan) -> None:
        """Plan every feed without the posts that are refused by now."""
        self.gate.stopped.clear()
        self.dates.clear()
        most = self.works.config.feeds.entries
        posts = self._fit(self.works.facts.posts)
        main = self._plan_archives(plan, posts)
        for feed, some in ((main, self.works.facts.posts), *((part.feed, part.posts) for part in self.parts)):
            self._plan_forms(plan, feed, partial(self._chosen, some, most))
        for name, feed in self.letters.items():
            self._plan_issues(plan, name, feed, most)

    def outline(self) -> Document:
        """Return the outline of all feeds, as new as the newest that is published."""
        stopped = {one.where for one in self.gate.stopped}
        newest = max((when for path, when in self.dates.items() if path not in stopped), default=None)
        told = [self.main, *self.letters.values(), *(part.feed for part in self.parts)]
        make = partial(feeds.opml, self.main.title, self.main.author.name, told, newest or self.main.began)
        return Document(OUTLINE, hashed(self.works.settings.feeds, told, newest), make)

    def _fit(self, posts: Sequence[PostFact]) -> Sequence[PostFact]:
        refused = self.gate.refused
        return [post for post in posts if key_of(post) not in refused] if refused else posts

    def _chosen(self, posts: Sequence[PostFact], most: int) -> list[PostFact]:
        return feeds.newest(self._fit(posts), most)

    def _plan_forms(self, plan: Plan, feed: Feed, choose_anew: Callable[[], list[PostFact]]) -> None:
        chosen, refused = choose_anew(), len(self.gate.refused)

        def choose() -> list[PostFact]:
            return chosen if len(self.gate.refused) == refused else choose_anew()

        for form in FORMS:
            path = unquote(getattr(feed, form[0]).removeprefix(feed.site))
            self.dates[path] = feeds.updated(feed, chosen)
            plan.add(self._document((feed, path, form), choose, chosen))

    def _plan_archives(self, plan: Plan, posts: Sequence[PostFact]) -> Feed:
        """Plan the archives of closed months; return the main feed, which leads to the newest of them."""
        months = self.works.marks.by_month(posts)
        instants = [instant for post in posts for instant in (post.published, post.updated)]
        instants += [gone.when for gone in self.main.deleted]
        closed = feeds.archives(self.main, months, max(instants)) if instants else []
        for one in closed:
            path = unquote(one.url.removeprefix(self.main.site))
            form: Form = (f"archive {astuple(one)}", partial(_archive, one), check_atom)
            some = months[one.month]
            plan.add(
                self._document((replace(self.main, deleted=()), path, form), partial(self._fit, some), some)
            )
        return replace(self.main, previous=closed[-1].url) if closed else self.main

    def _document(
        self,
        of: tuple[Feed, str, Form],
        choose: Callable[[], Sequence[PostFact]],
        chosen: Sequence[PostFact],
    ) -> Document:
        feed, path, form = of

        def items() -> list[Item]:
            return [Item(key_of(post), partial(self.works.shelf.entry, post.seq)) for post in choose()]

        return Document(
            path,
            hashed(self.works.settings.feeds, path, form[0], feed, self.works.marks.of(chosen)),
            partial(self._pass, feed, path, form, items),
            seqs=[post.seq for post in chosen],
            dated=feeds.updated(feed, chosen),
            zipped=True,
        )

    def _pass(self, feed: Feed, path: str, form: Form, items: Callable[[], list[Item]]) -> bytes | None:
        """Make a document that passes; None when it cannot be had, or is to be planned again."""
        before = len(self.gate.refused)
        document, _ = self.gate.build(feed, path, form, items)
        return document if len(self.gate.refused) == before else None

    # Issues

    def _plan_issues(self, plan: Plan, name: str, feed: Feed, most: int) -> None:
        def choose() -> list[Issue]:
            sent = (issue for issue in self.works.facts.issues if issue.newsletter == name)
            return [issue for issue in sent if issue_key(issue) not in self.gate.refused][:most]

        def items() -> list[Item]:
            return [Item(issue_key(issue), partial(self._issue_entry, feed, issue)) for issue in choose()]

        chosen = choose()
        seqs = [seq for issue in chosen for seq in self._told(issue)]
        marks = [(mark_of_issue(one), [self.works.marks[seq] for seq in self._told(one)]) for one in chosen]
        newest = max((one.corrected_at or one.dated for one in chosen), default=feed.began)
        for form in FORMS:
            path = unquote(getattr(feed, form[0]).removeprefix(feed.site))
            self.dates[path] = newest
            key = hashed(self.works.settings.feeds, path, feed, marks)
            make = partial(self._pass, feed, path, form, items)
            plan.add(Document(path, key, make, seqs=seqs, dated=newest, zipped=True))

    def _told(self, issue: Issue) -> list[int]:
        """Return the live posts of an issue."""
        told = self.works.facts.told.get(issue.id, [])
        return [seq for seq in told if seq in self.works.marks.by_seq]

    def _issue_entry(self, feed: Feed, issue: Issue) -> Entry:
        prefix = self.works.config.publication.tag_prefix
        identity = f"{prefix}issues/{issue.newsletter}/{issue.number}"
        posts = self.works.shelf.posts(self._told(issue))
        return feeds.entry_of_issue(feed, identity, self.works.shelf.issue(issue.id), posts)


def issue_key(issue: Issue) -> str:
    """Return how the editor knows an issue."""
    return f"{issue.newsletter} {issue.number}"


def _archive(one: feeds.Archive, feed: Feed, entries: Sequence[Entry]) -> bytes:
    return feeds.archive(feed, one, entries)


# What the gate said before


def remembered(works: Works, notes: Sequence[Sequence[str]]) -> dict[str, Finding]:
    """Return what was refused before and is as it was: rows of key, mark, and a finding's texts."""
    if not notes:
        return {}
    marks = dict(_marked(works))
    return {
        key: Finding(where=where, place=place, rule=rule, remedy=remedy)
        for key, mark, where, place, rule, remedy in notes
        if marks.get(key) == mark
    }


def to_remember(works: Works, refused: dict[str, Finding]) -> list[Any]:
    """Return the rows to remember of what was refused."""
    if not refused:
        return []
    marks = dict(_marked(works))
    return [
        [key, marks[key], one.where, one.place, one.rule, one.remedy]
        for key, one in refused.items()
        if key in marks
    ]


def _marked(works: Works) -> Iterator[tuple[str, str]]:
    for post in works.facts.posts:
        yield key_of(post), f"{works.settings.feeds} {works.marks[post.seq]}"
    for issue in works.facts.issues:
        yield issue_key(issue), f"{works.settings.feeds} {mark_of_issue(issue)}"
