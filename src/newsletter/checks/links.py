"""Where a digest's links lead: those into our own site must lead to something that we publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from newsletter.checks.page import Element, Found, found_in, post_of, words_of

#: The folders below the site's address that are ours alone.
OWN = ("posts/", "tags/", "authors/", "issues/", "media/", "feeds/")


@dataclass(frozen=True, slots=True)
class Site:
    """Our own site: its address with a final slash, and whether a path below it (decoded) is published."""

    url: str
    published: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Link:
    """One link or picture of a page: its target without fragment, its place, the post it stands in."""

    url: str
    place: str
    post: str


def links_of(root: Element) -> Iterator[Link]:
    """Yield the http links and pictures of a page, each target once."""
    seen: set[str] = set()
    for element in root.iter("a", "img"):
        url = (element.get("href" if element.tag == "a" else "src") or "").partition("#")[0]
        if url.startswith(("http://", "https://")) and url not in seen:
            seen.add(url)
            yield Link(url, place_of_link(element), post_of(element))


def place_of_link(element: Element) -> str:
    """Name a link by its words, a picture by the end of its address."""
    if element.tag == "img":
        return f"picture {(element.get('src') or '')[-60:]}"
    return f"link “{words_of(element)[:40]}”"


def astray(root: Element, site: Site) -> Iterator[Found]:
    """Yield the links into our own site that lead to nothing."""
    for element in root.iter("a", "img"):
        url = (element.get("href" if element.tag == "a" else "src") or "").partition("#")[0]
        path = path_in(site, url)
        if path is None or not path.startswith(OWN) or site.published(path):
            continue
        yield found_in(
            element,
            place_of_link(element),
            f"nothing that we publish is at {url[:120]}",
            "Mend the link, or publish what it leads to",
        )


def path_in(site: Site, url: str) -> str | None:
    """Return what follows the site's address in a URL, decoded; None when it is elsewhere."""
    try:
        base, asked = urlsplit(site.url), urlsplit(url)
    except ValueError:
        return None
    path = asked.path or "/"
    ours = asked.scheme in ("http", "https") and asked.netloc.lower() == base.netloc.lower()
    return unquote(path[len(base.path) :]) if ours and path.startswith(base.path) else None
