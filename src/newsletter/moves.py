"""Where that went which was published once: moved by the configuration's word or with its post, or gone.

configuration, store > Moves > the built-in server | a file for nginx, Caddy or Apache
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from newsletter.config import Config
from newsletter.feeds import post_page, word_slug
from newsletter.store import Store, traces

_SPECIAL = re.compile(r"[\s\"'\\$;{}<>?#%|^`*]")  # to one server or another
_FORMS = ("atom.xml", "rss.xml", "feed.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Paths from the root, decoded: `moved` with where to, `gone` for good."""

    moved: dict[str, str]
    gone: frozenset[str]


def find(store: Store, config: Config) -> Moves:
    """Say where that went which is no longer published."""
    with store.read() as tx:
        live, left = traces.traces(tx)
        renamed = traces.renamed(tx)
    gone = {f"/posts/{slug}/" for slug in left.slugs - live.slugs}
    for kind, before, now in (("tags", left.tags, live.tags), ("authors", left.authors, live.authors)):
        for slug in {word_slug(word) for word in before} - {word_slug(word) for word in now}:
            gone.add(f"/{kind}/{slug}/")
            gone.update(f"/feeds/{kind}/{slug}/{form}" for form in _FORMS)
    moved = {
        f"/posts/{one.before}/": post_page(config.publication.url, one)
        for one in renamed
        if one.before not in live.slugs
    }
    moved = {path: to for path, to in moved.items() if path not in config.web.gone}
    moved |= {path: _absolute(config, to) for path, to in config.web.moved.items()}
    return Moves(moved=moved, gone=frozenset((gone | {*config.web.gone}) - {*moved}))


def _absolute(config: Config, to: str) -> str:
    return config.publication.url + quote(to[1:]) if to.startswith("/") else to


def nginx(moves: Moves) -> Iterator[str]:
    """Give the lines of two maps, for the level of `http`."""
    yield "map $uri $newsletter_moved {"
    yield '    default "";'
    yield from (f'    "{path}" "{_escaped(to)}";' for path, to in _moved(moves))
    yield "}"
    yield "map $uri $newsletter_gone {"
    yield "    default 0;"
    yield from (f'    "{path}" 1;' for path in _plain(moves.gone))
    yield "}"


def caddy(moves: Moves) -> Iterator[str]:
    """Give lines for a site's block."""
    for path, to in _moved(moves):
        yield f'redir "{path}" "{_escaped(to)}" 301'
    for path in _plain(moves.gone):
        yield from (f'handle "{path}" {{', "    respond 410", "}")


def apache(moves: Moves) -> Iterator[str]:
    """Give lines for a virtual host."""
    for path, to in _moved(moves):
        yield f'RedirectMatch 301 "^{re.escape(path)}$" "{_escaped(to)}"'
    for path in _plain(moves.gone):
        yield f'RedirectMatch 410 "^{re.escape(path)}$"'


def _moved(moves: Moves) -> list[tuple[str, str]]:
    return [(path, moves.moved[path]) for path in _plain(moves.moved)]


def _plain(paths: Iterable[str]) -> list[str]:
    """Return the paths that can stand in such files: a slug that somebody made up may hold anything."""
    return sorted(path for path in paths if path.isprintable() and not _SPECIAL.search(path))


def _escaped(to: str) -> str:
    return _SPECIAL.sub(lambda found: quote(found[0], safe="") if found[0] not in "?#%" else found[0], to)


#: Who reads such a file, and how it is written.
SERVERS: dict[str, Callable[[Moves], Iterator[str]]] = {"nginx": nginx, "caddy": caddy, "apache": apache}
