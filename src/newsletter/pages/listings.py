"""The pages that list: home, all posts, tags, issues, feeds; and the page for what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from newsletter.digest.wording import day
from newsletter.feeds.links import issue_page
from newsletter.feeds.text import line, rfc3339
from newsletter.model import Issue, Post
from newsletter.pages.articles import card
from newsletter.pages.site import Discovery, NewsletterLink, Page, Site, frame

NEWEST = 12  # posts on the home page


def index_page(site: Site, posts: Sequence[Post], issues: Sequence[Issue]) -> Page:
    """Return the home page: the newest posts, the newest issues, the feeds."""
    values = frame(site, "", line(site.title), description=line(site.description) or line(site.subtitle))
    up = values["up"]
    values |= {
        "cards": [card(site, up, post) for post in posts[:NEWEST]],
        "more": len(posts) > NEWEST,
        "issues": _issues(site, up, issues[:6]),
    }
    return Page(path="index.html", template="web/index.html.j2", values=values)


def posts_page(site: Site, posts: Sequence[Post]) -> Page:
    """Return the page of all posts, by year."""
    values = frame(site, "posts/", "All posts", description=f"All posts of {line(site.title)}")
    cards = [card(site, values["up"], post) for post in posts]
    values["years"] = [(year, list(group)) for year, group in groupby(cards, key=lambda one: one.year)]
    return Page(path="posts/index.html", template="web/posts.html.j2", values=values)


def part_page(site: Site, folder: str, title: str, posts: Sequence[Post], feed: Discovery) -> Page:
    """Return the page of some posts, those of a tag or an author, with their own feed."""
    values = frame(site, f"{folder}/", line(title), description=feed.title)
    values |= {
        "canonical": feed.page,
        "feed": feed,
        "cards": [card(site, values["up"], post) for post in posts],
    }
    return Page(path=f"{folder}/index.html", template="web/part.html.j2", values=values)


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
