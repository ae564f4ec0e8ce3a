"""The pages of the tree: a page a post, listings, sent issues, and the pictures that they show."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from newsletter import metadata, pages, pictures
from newsletter.config import Config
from newsletter.errors import InputError
from newsletter.feeds import Feed
from newsletter.model import Finding, Issue
from newsletter.publish.marks import hash_folder, hashed, key_of, mark_of_issue
from newsletter.publish.parts import Part
from newsletter.publish.plan import Document, Plan, Works
from newsletter.publish.reading import announced, asset, main_feed, site
from newsletter.store.facts import PostFact
from newsletter.templating import environment, render

_MEDIA = re.compile(r"/media/([A-Za-z0-9][A-Za-z0-9._-]*)")

Draw = Callable[[], pages.Page]


@dataclass(slots=True)
class Rendering:
    """All pages of one publishing."""

    works: Works
    draw: Callable[[pages.Page], bytes]
    parts: list[Part]
    letters: dict[str, Feed]
    here: pages.Site
    style: str

    def plan(self, plan: Plan, notes: dict[str, Any]) -> None:
        """Plan every page, what others point to first; `notes` keep which pictures issues show."""
        plan.add(Document(self.here.style, hashed(self.style), self.style.encode))
        _plan_pictures(plan, self.works, notes)
        self._plan_posts(plan)
        self._plan_listings(plan)
        for issue in self.works.facts.issues:
            path = f"issues/{issue.newsletter}/{issue.number}/index.html"
            key = hashed(self.works.settings.pages, mark_of_issue(issue))
            plan.add(Document(path, key, partial(self._archive, issue)))
        self._plan_fixed(plan)

    def _page(
        self, plan: Plan, path: str, of: Sequence[object], draw: Draw, seqs: Sequence[int] = ()
    ) -> bool:
        key = hashed(self.works.settings.pages, path, *of)
        if plan.keep(path, key):
            return True
        return plan.add(Document(path, key, partial(self._drawn, draw), seqs))

    def _drawn(self, draw: Draw) -> bytes:
        return self.draw(draw())

    # Posts

    def _plan_posts(self, plan: Plan) -> None:
        own = [post for post in self.works.facts.posts if post.own_page and post.slug]
        marks, pages_key = [self.works.marks[post.seq] for post in own], self.works.settings.pages
        near = zip(own, [None, *own], [*own[1:], None], ["", *marks], marks, [*marks[1:], ""], strict=False)
        for post, newer, older, *of in near:
            path = f"posts/{post.slug}/index.html"
            key = hashed(pages_key, *of)
            if plan.keep(path, key):
                continue
            around = [one for one in (post, newer, older) if one]
            draw = partial(self._drawn, partial(self._post, post, newer, older))
            if not plan.add(Document(path, key, draw, [one.seq for one in around])):
                rule = f"its page {path} is another post's"
                remedy = "Give it another slug"
                plan.refused.append(Finding(where=key_of(post), place=path, rule=rule, remedy=remedy))

    def _post(self, post: PostFact, newer: PostFact | None, older: PostFact | None) -> pages.Page:
        shelf = self.works.shelf
        return pages.post_page(
            self.here,
            shelf.post(post.seq),
            newer=shelf.post(newer.seq) if newer else None,
            older=shelf.post(older.seq) if older else None,
        )

    def _archive(self, issue: Issue) -> bytes:
        return self.here.local("../../../", self.works.shelf.issue(issue.id).html).encode()

    # Listings

    def _plan_listings(self, plan: Plan) -> None:
        of_all = partial(pages.posts_page, self.here)
        self._plan_listing(plan, "posts", self.works.facts.posts, of_all)
        with_feed = self.works.config.feeds.tags
        for part in self.parts:
            feed = announced(part.feed)
            feed = feed if with_feed else replace(feed, atom="", rss="", json="")
            told = pages.PartOfPosts(folder=part.folder, title=part.title, feed=feed)
            self._plan_listing(
                plan, part.folder, part.posts, partial(pages.part_page, self.here, told), (part.title,)
            )

    def _plan_listing(
        self,
        plan: Plan,
        folder: str,
        posts: list[PostFact],
        draw: Callable[..., pages.Page],
        titled: Sequence[str] = (),
    ) -> None:
        """Plan a listing of the newest posts, and of a long one each month's."""
        by_month = self.works.marks.by_month(posts) if len(posts) > pages.LISTED else {}
        for month, some in by_month.items():
            path = f"{folder}/{month.replace('-', '/')}/index.html"
            self._plan_list(plan, path, some, partial(draw, month=month), titled)
        months = [(month, len(some)) for month, some in by_month.items()]
        shown = posts[: pages.LISTED]
        self._plan_list(plan, f"{folder}/index.html", shown, draw, (*titled, months), months)

    def _plan_list(
        self,
        plan: Plan,
        path: str,
        posts: list[PostFact],
        draw: Callable[..., pages.Page],
        of: Sequence[object],
        *months: Any,
    ) -> None:
        seqs = [post.seq for post in posts]
        made = partial(self._listed, draw, seqs, *months)
        self._page(plan, path, [self.works.marks.of(posts), *of], made, seqs)

    def _listed(self, draw: Callable[..., pages.Page], seqs: list[int], *months: Any) -> pages.Page:
        return draw(self.works.shelf.posts(seqs), *months)

    def _plan_fixed(self, plan: Plan) -> None:
        here, facts = self.here, self.works.facts
        fed = [announced(part.feed) for part in self.parts] if self.works.config.feeds.tags else []
        outline = f"{here.site}feeds/feeds.opml"
        self._page(plan, "404.html", (), partial(pages.missing_page, here))
        self._page(plan, "feeds/index.html", (fed,), partial(pages.feeds_page, here, fed, outline))
        for one in here.newsletters:
            own = [issue for issue in facts.issues if issue.newsletter == one.name]
            draw = partial(pages.issues_page, here, one, own, announced(self.letters[one.name]))
            self._page(plan, f"{one.folder}index.html", [mark_of_issue(issue) for issue in own], draw)
        newest, issues = facts.posts[: pages.NEWEST], facts.issues[: pages.ISSUES]
        more = len(facts.posts) > len(newest)
        of = (self.works.marks.of(newest), more, [mark_of_issue(issue) for issue in issues])
        seqs = [post.seq for post in newest]
        self._page(plan, "index.html", of, partial(self._index, seqs, issues, more=more), seqs)

    def _index(self, seqs: list[int], issues: list[Issue], *, more: bool) -> pages.Page:
        return pages.index_page(self.here, self.works.shelf.posts(seqs), issues, more=more)


def rendering(works: Works, parts: list[Part], letters: dict[str, Feed]) -> Rendering:
    """Return the pages of a publication, which announce the main feed and those of issues."""
    env = _environment(works.config.templates, works.settings.pages)
    name, style = pages.stylesheet(env, works.config.theme.model_dump())
    shown = (announced(main_feed(works.config)), *map(announced, letters.values()))

    def draw(page: pages.Page) -> bytes:
        return render(env, page.template, **page.values).encode()

    return Rendering(works, draw, parts, letters, site(works.config, name, shown), style)


@lru_cache(maxsize=1)
def _environment(folder: Path, key: str) -> Any:
    """Return the templates, compiled as they are used; the same while no file of theirs changes."""
    return environment(folder)


# Pictures


def _plan_pictures(plan: Plan, works: Works, notes: dict[str, Any]) -> None:
    """Plan the pictures in use, logo and icon."""
    names = works.facts.pictures | _of_issues(works, notes)
    for one in sorted(names | _of_mails(works.config)):  # a picture's name is its content's
        plan.add(Document(f"media/{one}", "picture", (works.config.media / one).read_bytes))
    told = works.config.publication
    for key, file in (("logo", told.logo), ("icon", told.icon)):
        if file:
            path = works.config.path(file)
            if not path.is_file():
                where = f"[publication] {key} = {path}"
                raise InputError("there is no such file", where=where, remedy="Mend the path")
            plan.add(Document(asset(file, key), f"{hash_folder(path)} bare", partial(_bare, path)))


def _bare(path: Path) -> bytes:
    return metadata.bare(path.read_bytes())


def _of_issues(works: Works, notes: dict[str, Any]) -> set[str]:
    """Return the pictures that sent issues show; each page is looked through once."""
    known = notes.get("pictures of issues", {})
    found = {}
    for issue in works.facts.issues:
        mark = mark_of_issue(issue)
        found[mark] = known.get(mark)
        if found[mark] is None:
            found[mark] = sorted(set(_MEDIA.findall(works.shelf.issue(issue.id).html)))
    notes["pictures of issues"] = found
    return {name for names in found.values() for name in names}


def _of_mails(config: Config) -> set[str]:
    """Return the copies of the logo that digests show, before the first one is sent."""
    if not config.publication.logo:
        return set()
    path: Path = config.path(config.publication.logo)
    if not path.is_file():
        return set()
    try:
        kept = pictures.keep_file(path, config.media)
    except InputError:  # not a picture that mails can show: they show the publication's name
        return set()
    return {kept.small, kept.large}
