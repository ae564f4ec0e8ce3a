"""What is to be published: every file of the tree with the function that makes it.

Feeds are made at once, for they must pass the gate; pages one by one when they are written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from gzip import compress
from pathlib import Path
from urllib.parse import quote, unquote

from newsletter import feeds, pages, pictures
from newsletter.config import Config
from newsletter.errors import InputError
from newsletter.feeds import Entry, Feed
from newsletter.model import Finding, Issue, Post
from newsletter.publish.gate import FORMS, Gate, Item
from newsletter.publish.reading import Material, announced, asset, main_feed, part_feed, site
from newsletter.templating import environment, render

Draw = Callable[[pages.Page], bytes]

_MEDIA = re.compile(r"/media/([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(slots=True)
class Plan:
    """The files by their path below the root: what makes the bytes (None: leave the file that is there).

    `copies` are pictures by the file they come from, `dates` the modification times that are set.
    """

    files: dict[str, Callable[[], bytes | None]] = field(default_factory=dict)
    copies: dict[str, Path] = field(default_factory=dict)
    dates: dict[str, datetime] = field(default_factory=dict)
    refused: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the posts: those of a tag or an author, under `FOLDER/` and `feeds/FOLDER/`."""

    folder: str
    title: str
    feed: Feed
    posts: list[Post]


def make_plan(config: Config, material: Material, *, known: Callable[[str, bytes], bool]) -> Plan:
    """Decide what the tree holds; `known` tells of bytes at a path that have passed the gate before."""
    plan, gate = Plan(), Gate(known)
    material = replace(material, posts=feeds.entitled(material.posts, main_feed(config)))
    entry = lru_cache(maxsize=None)(partial(feeds.entry_of_post, main_feed(config)))  # the same in every feed
    main = replace(main_feed(config), deleted=tuple(material.deleted))
    tags, authors = _parts(main, material.posts, "tags"), _parts(main, material.posts, "authors")
    letters = _issue_feeds(config, replace(main, deleted=()))
    _plan_feed(plan, gate, (main, config.feeds.entries), material.posts, entry)
    for part in (*tags, *authors) if config.feeds.tags else ():
        _plan_feed(plan, gate, (part.feed, config.feeds.entries), part.posts, entry)
    for name, feed in letters.items():
        _plan_issue_feed(
            plan, gate, config, feed, [(i, p) for i, p in material.issues if i.newsletter == name]
        )
    told = [main, *letters.values(), *(part.feed for part in (*tags, *authors) if config.feeds.tags)]
    newest = max(plan.dates.values(), default=main.began)
    plan.files["feeds/feeds.opml"] = partial(feeds.opml, main.title, main.author.name, told, newest)
    plan.refused += [*gate.refused.values(), *gate.stopped]
    _plan_pages(plan, config, material, (tags, authors, letters))
    _plan_pictures(plan, config, material)
    return plan


# Feeds


def _plan_feed(
    plan: Plan,
    gate: Gate,
    feed: tuple[Feed, int],
    posts: Sequence[Post],
    entry: Callable[[Post], Entry],
) -> None:
    def choose() -> list[Item]:
        fit = [post for post in posts if _key(post) not in gate.refused]
        return [Item(_key(post), partial(entry, post)) for post in feeds.newest(fit, feed[1])]

    _plan_forms(plan, gate, feed[0], choose)


def _plan_issue_feed(
    plan: Plan, gate: Gate, config: Config, feed: Feed, issues: Sequence[tuple[Issue, list[Post]]]
) -> None:
    def choose() -> list[Item]:
        keyed = [(f"{issue.newsletter} {issue.number}", issue, posts) for issue, posts in issues]
        fit = [one for one in keyed if one[0] not in gate.refused][: config.feeds.entries]
        prefix = config.publication.tag_prefix
        return [Item(key, partial(_issue_entry, feed, prefix, issue, posts)) for key, issue, posts in fit]

    _plan_forms(plan, gate, feed, choose)


def _plan_forms(plan: Plan, gate: Gate, feed: Feed, choose: Callable[[], list[Item]]) -> None:
    for form in FORMS:
        path = unquote(getattr(feed, form[0]).removeprefix(feed.site))
        document, entries = gate.build(feed, path, form, choose)
        plan.files[path] = partial(_same, document)
        plan.files[f"{path}.gz"] = partial(_zipped, document)
        if document is not None:
            plan.dates[path] = plan.dates[f"{path}.gz"] = feeds.updated(feed, entries)


def _issue_entry(feed: Feed, prefix: str, issue: Issue, posts: list[Post]) -> Entry:
    identity = f"{prefix}issues/{issue.newsletter}/{issue.number}"
    return feeds.entry_of_issue(feed, identity, issue, posts)


def _same(document: bytes | None) -> bytes | None:
    return document


def _zipped(document: bytes | None) -> bytes | None:
    return None if document is None else compress(document, mtime=0)


def _key(post: Post) -> str:
    return f"{post.source}: {post.source_key}"


def _parts(main: Feed, posts: Sequence[Post], kind: str) -> list[Part]:
    """Group the posts by tag or by author, under the newest spelling; a sole author needs no feed."""
    groups: dict[str, tuple[str, list[Post]]] = {}
    for post in posts:
        words = post.tags if kind == "tags" else tuple(author.name for author in post.authors)
        spelled = {feeds.word_slug(word): word for word in reversed(words) if word.strip()}
        for slug, word in sorted(spelled.items()):
            groups.setdefault(slug, (" ".join(word.split()), []))[1].append(post)
    if kind == "authors" and len(groups) < 2:
        return []
    parts = []
    for slug, (word, some) in sorted(groups.items()):
        folder = f"{kind}/{quote(slug)}"
        feed = part_feed(main, folder, f"{main.title}: {word}", f"{main.site}{folder}/")
        parts.append(Part(f"{kind}/{slug}", word, feed, some))
    return parts


def _issue_feeds(config: Config, main: Feed) -> dict[str, Feed]:
    return {
        one.name: part_feed(
            main,
            f"issues/{one.name}",
            one.title,
            f"{main.site}issues/{one.name}/",
            subtitle=" ".join(one.description.split()),
        )
        for one in config.newsletters
    }


# Pages


def _plan_pages(
    plan: Plan, config: Config, material: Material, parts: tuple[list[Part], list[Part], dict[str, Feed]]
) -> None:
    env = environment(config.templates)

    def draw(page: pages.Page) -> bytes:
        return render(env, page.template, **page.values).encode()

    style, rules = pages.stylesheet(env, config.theme.model_dump())
    plan.files[style] = rules.encode
    tags, authors, letters = parts
    shown = (announced(main_feed(config)), *map(announced, letters.values()))
    here = site(config, style, shown)
    issues = [issue for issue, _ in material.issues]
    made = [
        pages.index_page(here, material.posts, issues),
        pages.posts_page(here, material.posts),
        pages.missing_page(here),
    ]
    fed = [announced(part.feed) for part in (*tags, *authors)] if config.feeds.tags else []
    made.append(pages.feeds_page(here, fed, f"{here.site}feeds/feeds.opml"))
    for one in here.newsletters:
        own = [issue for issue in issues if issue.newsletter == one.name]
        made.append(pages.issues_page(here, one, own, announced(letters[one.name])))
    for page in made:
        plan.files[page.path] = partial(draw, page)
    for part in (*tags, *authors):
        path = f"{part.folder}/index.html"
        plan.files[path] = partial(_part_page, draw, here, part, with_feed=config.feeds.tags)
    _plan_posts(plan, draw, here, material.posts)
    for issue in issues:
        plan.files[f"issues/{issue.newsletter}/{issue.number}/index.html"] = partial(_archive, here, issue)


def _plan_posts(plan: Plan, draw: Draw, here: pages.Site, posts: Sequence[Post]) -> None:
    own = [post for post in posts if post.own_page and post.slug]
    for number, post in enumerate(own):
        newer = own[number - 1] if number else None
        older = own[number + 1] if number + 1 < len(own) else None
        path = f"posts/{post.slug}/index.html"
        if path in plan.files:
            rule = f"its page {path} is another post's"
            plan.refused.append(
                Finding(where=_key(post), place=path, rule=rule, remedy="Give it another slug")
            )
            continue
        plan.files[path] = partial(_post_page, draw, here, post, newer, older)


def _post_page(draw: Draw, here: pages.Site, post: Post, newer: Post | None, older: Post | None) -> bytes:
    return draw(pages.post_page(here, post, newer=newer, older=older))


def _part_page(draw: Draw, here: pages.Site, part: Part, *, with_feed: bool) -> bytes:
    feed = announced(part.feed)
    feed = feed if with_feed else replace(feed, atom="", rss="", json="")
    return draw(pages.part_page(here, part.folder, part.title, part.posts, feed))


def _archive(here: pages.Site, issue: Issue) -> bytes:
    return here.local("../../../", issue.html).encode()


# Pictures


def _plan_pictures(plan: Plan, config: Config, material: Material) -> None:
    names = {name for post in material.posts for image in post.images for name in (image.small, image.large)}
    for issue, _ in material.issues:
        names.update(_MEDIA.findall(issue.html))
    for name in sorted(filter(None, names)):
        plan.copies[f"media/{name}"] = config.media / name
    for key, file in (("logo", config.publication.logo), ("icon", config.publication.icon)):
        if file:
            path = config.path(file)
            if not path.is_file():
                raise InputError(
                    "there is no such file", where=f"[publication] {key} = {path}", remedy="Mend the path"
                )
            plan.copies[asset(file, key)] = path
    if config.publication.logo:
        plan.copies |= _logo_of_mails(config)


def _logo_of_mails(config: Config) -> dict[str, Path]:
    """Return the copies of the logo that digests show, before the first one is sent."""
    try:
        kept = pictures.keep_file(config.path(config.publication.logo), config.media)
    except InputError:  # not a picture that mails can show: they show the publication's name
        return {}
    return {f"media/{name}": config.media / name for name in (kept.small, kept.large)}
