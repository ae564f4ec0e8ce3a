"""The pages that list: home, all posts, tags, issues, feeds; and the page for what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from newsletter.digest.wording import day
from newsletter.feeds.links import issue_page
from newsletter.feeds.text import line, rfc3339
from newsletter.model import Issue, Post
from newsletter.pages.articles import card
from newsletter.pages.site import Discovery, NewsletterLink, Page, Site, frame

NEWEST = 12  # posts on the home page
ISSUES = 6  # and issues
LISTED = 60  # posts on a listing; the months of a longer one have pages of their own

Months = Sequence[tuple[str, int]]  # as YYYY-MM, newest first, with how many posts each has


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOfPosts:
    """Some of the posts, as their page names them; without addresses in its `feed` there is none."""

    folder: str
    title: str
    feed: Discovery


def index_page(site: Site, posts: Sequence[Post], issues: Sequence[Issue], *, more: bool = False) -> Page:
    """Return the home page: the newest posts (there may be `more` than those given), the newest issues, the feeds."""
    values = frame(site, "", line(site.title), description=line(site.description) or line(site.subtitle))
    up = values["up"]
    values |= {
        "cards": [card(site, up, post) for post in posts[:NEWEST]],
        "more": more or len(posts) > NEWEST,
        "issues": _issues(site, up, issues[:ISSUES]),
    }
    return Page(path="index.html", template="web/index.html.j2", values=values)


def posts_page(site: Site, posts: Sequence[Post], months: Months = (), *, month: str = "") -> Page:
    """Return the page of all posts by year: the newest of them with the `months` of all, or those of one month."""
    path = f"posts/{_folder(month)}"
    title = f"All posts: {month}" if month else "All posts"
    values = frame(site, path, title, description=f"{title} of {line(site.title)}")
    cards = [card(site, values["up"], post) for post in posts]
    values["years"] = [(year, list(group)) for year, group in groupby(cards, key=lambda one: one.year)]
    values["months"] = _by_year(months)
    return Page(path=f"{path}index.html", template="web/posts.html.j2", values=values)


def part_page(
    site: Site, part: PartOfPosts, posts: Sequence[Post], months: Months = (), *, month: str = ""
) -> Page:
    """Return the page of some posts, those of a tag or an author: the newest with the months, or one month's."""
    folder = f"{part.folder}/{_folder(month)}"
    title = f"{line(part.title)}: {month}" if month else line(part.title)
    values = frame(site, folder, title, description=part.feed.title)
    values |= {
        "canonical": part.feed.page + _folder(month),
        "feed": part.feed,
        "cards": [card(site, values["up"], post) for post in posts],
        "months": _by_year(months),
    }
    return Page(path=f"{folder}index.html", template="web/part.html.j2", values=values)


def _folder(month: str) -> str:
    return f"{month.replace('-', '/')}/" if month else ""


def _by_year(months: Months) -> list[tuple[str, list[tuple[str, str, int]]]]:
    """Return months by year, each with its name, its folder below the listing's, and how many posts it has."""
    told = [(month, _folder(month), count) for month, count in months]
    return [(year, list(group)) for year, group in groupby(told, key=lambda one: one[0][:4])]


def issues_page(site: Site, newsletter: NewsletterLink, issues: Sequence[Issue], feed: Discovery) -> Page:
    """Return the page of a newsletter's sent issues."""
    values = frame(site, newsletter.folder, line(newsletter.title), description=line(newsletter.description))
    values |= {"newsletter": newsletter, "feed": feed, "issues": _issues(site, values["up"], issues)}
    return Page(path=f"{newsletter.folder}index.html", template="web/issues.html.j2", values=values)


def feeds_page(site: Site, tags: Sequence[Discovery], opml: str) -> Page:
    """Return the page that says what a feed is and which there are."""
    values = frame(site, "feeds/", "Feeds", description=f"Every feed of {line(site.title)}")
    values |= {"tags": list(tags), "opml": opml}
    return Page(path="feeds/index.html", template="web/feeds.html.j2", values=values)


def missing_page(site: Site) -> Page:
    """Return the page for what is not there; it is shown at any depth, so its links start at the root."""
    values = frame(site, "404.html", "Nothing here") | {"up": site.path, "canonical": ""}
    return Page(path="404.html", template="web/404.html.j2", values=values)


def _issues(site: Site, up: str, issues: Sequence[Issue]) -> list[dict[str, Any]]:
    titles = {one.name: line(one.title) for one in site.newsletters}
    return [
        {
            "newsletter": titles.get(issue.newsletter, issue.newsletter),
            "number": issue.number,
            "title": line(issue.subject) or f"{issue.newsletter} {issue.number}",
            "href": site.href(up, issue_page(site.site, issue)),
            "date": day(issue.dated, site.timezone, site.language),
            "instant": rfc3339(issue.dated),
        }
        for issue in issues
    ]
