"""Ask whether the links of a digest still lead somewhere: politely, two hosts at a time, one link a host at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from newsletter.checks.links import OWN, Link, Site, links_of, path_in
from newsletter.checks.page import parse
from newsletter.config import Config
from newsletter.errors import FetchError
from newsletter.fetch import FetchRules, fetch, rules_of
from newsletter.issues.checking import personal_of
from newsletter.model import Finding

AT_ONCE = 2
MOST = 200  # links of one digest that are asked for
PATIENCE = 180.0  # seconds for all of them
ANSWER, _LIMIT = 10.0, 1024 * 1024  # seconds and bytes for one


def check_remote(config: Config, page: str, *, where: str) -> list[Finding]:
    """Return a finding for each link of a page that is gone, advice for each that could not be made sure of.

    What we publish ourselves and readers' own pages are not asked for.
    """
    rules = rules_of(config)
    rules = replace(rules, connect=min(rules.connect, ANSWER), total=ANSWER, limit=_LIMIT)
    wanted = [one for one in links_of(parse(page)) if not _ours(one.url, config)]
    hosts: dict[str, list[Link]] = {}
    for one in wanted[:MOST]:
        hosts.setdefault(urlsplit(one.url).netloc, []).append(one)
    until = time.monotonic() + PATIENCE
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="links") as pool:
        asked = pool.map(partial(_ask_host, rules=rules, until=until), hosts.values())
        found = {link.url: told for some in asked for link, told in some}
    found |= {one.url: ("it was not asked for: there are too many links", False) for one in wanted[MOST:]}
    return [_finding(one, *found[one.url], where=where) for one in wanted if one.url in found]


def _finding(link: Link, what: str, error: bool, *, where: str) -> Finding:
    remedy = "Mend or remove the link" if error else "Open it in a browser"
    return Finding(
        where=where, place=link.place, rule=f"{link.url}: {what}", remedy=remedy, error=error, post=link.post
    )


def _ours(url: str, config: Config) -> bool:
    site = Site(url=config.publication.url, published=lambda _: True)
    path = path_in(site, url)
    return url.startswith(personal_of(config)) or (path is not None and path.startswith(OWN))


def _ask_host(links: list[Link], *, rules: FetchRules, until: float) -> list[tuple[Link, tuple[str, bool]]]:
    return [(link, told) for link in links for told in _ask(link.url, rules, until)]


def _ask(url: str, rules: FetchRules, until: float) -> Iterator[tuple[str, bool]]:
    """Yield what is wrong with one link and whether that is sure; HEAD first, and GET where HEAD does not succeed."""
    if time.monotonic() > until:
        yield f"it was not asked for within {PATIENCE:g} seconds", False
        return
    try:
        fetch(url, rules, method="HEAD")
        return
    except FetchError as e:
        if not e.status:
            yield e.what, e.lasting
            return
    try:
        fetch(url, rules)
    except FetchError as e:
        if e.status not in (200, 304):  # too large to read is there all the same
            yield e.what, e.lasting
