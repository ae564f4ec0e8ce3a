"""The web pages: pure functions from posts and issues to what their templates need.

A Page names its template and the values; whoever has the environment renders it. Links inside the published
tree are relative (`up` leads to its root), so that the tree works under any address.
"""

from newsletter.pages.articles import post_page
from newsletter.pages.listings import (
    ISSUES,
    LISTED,
    NEWEST,
    PartOfPosts,
    feeds_page,
    index_page,
    issues_page,
    missing_page,
    part_page,
    posts_page,
)
from newsletter.pages.site import Discovery, NewsletterLink, Page, Site, stylesheet

__all__ = [
    "ISSUES",
    "LISTED",
    "NEWEST",
    "Discovery",
    "NewsletterLink",
    "Page",
    "PartOfPosts",
    "Site",
    "feeds_page",
    "index_page",
    "issues_page",
    "missing_page",
    "part_page",
    "post_page",
    "posts_page",
    "stylesheet",
]
