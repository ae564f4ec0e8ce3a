"""Syndication documents over posts and issues: Atom (RFC 4287), RSS 2.0, JSON Feed 1.1, OPML 2.0.

A Feed says what a document is, entries are what stands in it, and each format is one pure function from the
two to bytes: the same input gives the same bytes. feedgen is used here and nowhere else.
"""

from newsletter.feeds.archives import Archive, archive, archive_url, archives, month_of
from newsletter.feeds.atom import atom
from newsletter.feeds.entry import Entry, entitled, entry_of_issue, entry_of_post
from newsletter.feeds.feed import Feed, fit, newest, updated
from newsletter.feeds.jsonfeed import json_feed
from newsletter.feeds.links import author_page, issue_page, media_url, post_page, tag_page, word_slug
from newsletter.feeds.opml import opml
from newsletter.feeds.rss import rss

__all__ = [
    "Archive",
    "Entry",
    "Feed",
    "archive",
    "archive_url",
    "archives",
    "atom",
    "author_page",
    "entitled",
    "entry_of_issue",
    "entry_of_post",
    "fit",
    "issue_page",
    "json_feed",
    "media_url",
    "month_of",
    "newest",
    "opml",
    "post_page",
    "rss",
    "tag_page",
    "updated",
    "word_slug",
]
