"""Examine a feed at an address, whoever publishes it: its document, and how it is served."""

from __future__ import annotations

from dataclasses import replace

from newsletter.checks.feeds import check_file
from newsletter.checks.reading import findings
from newsletter.checks.served import Served, served_findings
from newsletter.fetch import Fetched, FetchRules, check_url, fetch
from newsletter.model import Finding

ACCEPT = "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5"


def examine(url: str, rules: FetchRules, *, own: bool = False) -> list[Finding]:
    """Fetch a feed, and once more with what its first answer gave; return what is wrong with it, errors first.

    Raises FetchError when it cannot be had at all.
    """
    first = fetch(url, rules, accept=ACCEPT)
    served = Served(
        asked=str(check_url(url)),
        url=first.url,
        body=first.body,
        permanent=bool(first.moved_to),
        content_type=first.content_type,
        encoding=first.encoding,
        etag=first.etag,
        last_modified=first.last_modified,
        revalidated=_revalidated(first, rules),
    )
    found = check_file(first.body, url, own=own) + findings(url, served_findings(served), own=own)
    return sorted(found, key=lambda one: not one.error)


def _revalidated(first: Fetched, rules: FetchRules) -> bool | None:
    if not first.etag and not first.last_modified:
        return None
    again = fetch(
        first.url,
        replace(rules, redirects=0),
        etag=first.etag,
        last_modified=first.last_modified,
        accept=ACCEPT,
    )
    return again.not_modified
