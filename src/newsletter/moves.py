"""Where that went which was published once: moved by the configuration's word, or gone with its posts.

configuration, store > Moves > the built-in server | a file for nginx, Caddy or Apache
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from newsletter.config import Config
from newsletter.feeds import word_slug
from newsletter.store import Store, posts

_FORMS = ("atom.xml", "rss.xml", "feed.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Paths from the root, decoded: `moved` with where to, `gone` for good."""

    moved: dict[str, str]
    gone: frozenset[str]


def find(store: Store, config: Config) -> Moves:
    """Say where that went which is no longer published."""
    with store.read() as tx:
        live, dead = posts.traces(tx)
    gone = {f"/posts/{slug}/" for slug in dead.slugs - live.slugs}
    for kind, before, now in (("tags", dead.tags, live.tags), ("authors", dead.authors, live.authors)):
        for slug in {word_slug(word) for word in before} - {word_slug(word) for word in now}:
            gone.add(f"/{kind}/{slug}/")
            gone.update(f"/feeds/{kind}/{slug}/{form}" for form in _FORMS)
    moved = {path: _absolute(config, to) for path, to in config.web.moved.items()}
    return Moves(moved=moved, gone=frozenset((gone | {*config.web.gone}) - {*moved}))


def _absolute(config: Config, to: str) -> str:
    return config.publication.url + quote(to[1:]) if to.startswith("/") else to


def nginx(moves: Moves) -> Iterator[str]:
    """Give the lines of two maps, for the level of `http`."""
    yield "map $uri $newsletter_moved {"
    yield '    default "";'
    yield from (f'    "{path}" "{_escaped(to)}";' for path, to in sorted(moves.moved.items()))
    yield "}"
    yield "map $uri $newsletter_gone {"
    yield "    default 0;"
    yield from (f'    "{path}" 1;' for path in sorted(moves.gone))
    yield "}"


def caddy(moves: Moves) -> Iterator[str]:
    """Give lines for a site's block."""
    for path, to in sorted(moves.moved.items()):
        yield f'redir "{path}" "{to.replace("{", "%7B").replace(chr(34), "%22")}" 301'
    for path in sorted(moves.gone):
        yield f'respond "{path}" 410'


def apache(moves: Moves) -> Iterator[str]:
    """Give lines for a virtual host."""
    for path, to in sorted(moves.moved.items()):
        yield f'RedirectMatch 301 "^{re.escape(path)}$" "{_escaped(to)}"'
    for path in sorted(moves.gone):
        yield f'RedirectMatch 410 "^{re.escape(path)}$"'


def _escaped(to: str) -> str:
    return to.replace("\\", "%5C").replace('"', "%22").replace("$", "%24")


#: Who reads such a file, and how it is written.
SERVERS: dict[str, Callable[[Moves], Iterator[str]]] = {"nginx": nginx, "caddy": caddy, "apache": apache}
