"""Which post an item is, and what has happened to it: pure decisions over values, stored by `gather`.

An item is one post as a source tells it now. It is matched by (source, key), else by its own id, else by its
URL, else by its own page's slug, else by the same text published within two days.

Within one source a key that is still there keeps its post to itself: a second item that would match it by URL
or slug is a conflict, and a copied text is one post with the first until the two differ.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Container, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from newsletter.model import Post

#: Query parameters that say how a reader came to a page, not which page it is.
_TRACKING = re.compile(
    r"utm_.*|mtm_.*|pk_.*|piwik_.*|_hs(?:enc|mi)|mc_[ce]id|mkt_tok|oly_(?:anon|enc)_id|vero_id|wt_?mc.*|"
    r"(?:fb|g|d|tw|tt|y|msclk|li_fat_|wick)?clid|fbclid|gclsrc|gbraid|wbraid|msclkid|igshid|igsh|xtor|s_cid",
    re.IGNORECASE,
)
_SAME_TEXT_WITHIN = timedelta(days=2)
_TAG = re.compile(r"<[^>]*>")
_PLAIN_PAGE = re.compile(r"https?://([a-z0-9-]+(?:\.[a-z0-9-]+)+(?:/[A-Za-z0-9._~-]+)+)/?", re.ASCII)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class PostState(StrEnum):
    """Where a stored post stands; HELD until its date has come, HIDDEN and DELETED by the editor's word."""

    LIVE = "live"
    HELD = "held"
    HIDDEN = "hidden"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What must be known of a stored post to match an item with it."""

    seq: int
    id: str
    source: str
    source_key: str
    title: str
    state: PostState
    published: datetime
    updated: datetime
    fingerprint: str
    url: str = ""
    slug: str = ""
    own_page: bool = False


class Origin(NamedTuple):
    """Which post a (source, key) names, and the digest of the item when it was last taken."""

    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class Item:
    """A post as its source tells it, with the two hashes that notice changes."""

    post: Post
    digest: str
    fingerprint: str


class Kind(StrEnum):
    """What an item turned out to be."""

    NEW = "new"
    CHANGED = "changed"  # significantly: `updated` moves
    MINOR = "minor"
    UNCHANGED = "unchanged"
    HELD = "held"
    CONFLICT = "conflict"  # it claims the URL or slug of another post


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with an item; `post` is what to store (None: nothing), `seq` 0 for a post not seen before."""

    kind: Kind
    seq: int = 0
    post: Post | None = None
    state: PostState = PostState.LIVE
    note: str = ""


# Hashes and names


def weigh(post: Post) -> Item:
    """Compute an item's hashes: over everything, and over the text whose change is significant.

    White space and markup do not count in the latter: reflowing or emphasising a text is no news.
    """
    texts = (post.title, post.summary, html.unescape(_TAG.sub("", post.body_html)))
    parts = ["".join(text.split()) for text in texts]
    parts += [f"{one.when.isoformat()} {''.join(one.text.split())}" for one in post.corrections]
    return Item(post, _hash(repr(replace(post, seq=0) if post.seq else post)), _hash("\n".join(parts)))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def unstorable(value: object) -> bool:
    """Tell whether a noun carries characters that a database refuses: NUL, lone surrogates."""
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is not None
    if isinstance(value, tuple):
        return any(map(unstorable, value))
    names: tuple[str, ...] = getattr(type(value), "__slots__", ())
    return any(unstorable(getattr(value, name)) for name in names)


def is_absolute_id(value: str) -> bool:
    """Tell whether an id is an absolute IRI as RFC 4287 §4.2.6 wants it; it is kept character by character."""
    if len(value) > 2000 or not re.fullmatch(
        r"[A-Za-z][A-Za-z0-9+.-]+:[^\s\x00-\x20\x7f<>\"{}|\\^`]+", value
    ):
        return False
    return not value.lower().startswith(("http:", "https:")) or bool(re.match(r"(?i)https?://[^/?#]", value))


def canonical_url(url: str) -> str:
    """Return a URL with scheme and host in lower case and without default port, fragment and tracking.

    What is not an http or https URL is returned as it is.
    """
    try:
        parts = urlsplit(url.partition("#")[0].strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return url
    if parts.scheme not in ("http", "https") or not host:
        return url
    host = f"[{host}]" if ":" in host else host
    if port and port != {"http": 80, "https": 443}[parts.scheme]:
        host = f"{host}:{port}"
    kept = [one for one in parts.query.split("&") if not _TRACKING.fullmatch(one.partition("=")[0])]
    query = "&".join(kept).strip()
    path = parts.path if query else parts.path.rstrip()
    return urlunsplit((parts.scheme, host, path or "/", query, ""))


@lru_cache(maxsize=32_768)
def url_key(url: str) -> str:
    """Return what two URLs of one page share: neither scheme nor final slash nor percent-encoding counts.

    Empty for what names no page: a site's root, a URL of another scheme.
    """
    if plain := _PLAIN_PAGE.fullmatch(url):  # most are, and need not be taken apart
        return plain[1]
    parts = urlsplit(canonical_url(url))
    path = quote(unquote(parts.path), safe="/%:@!$&'()*+,;=~-._").rstrip("/")
    if parts.scheme not in ("http", "https") or not (path or parts.query):
        return ""
    return f"{parts.netloc}{path}?{parts.query}".rstrip("?")


def mint_id(prefix: str, post: Post, taken: Container[str]) -> str:
    """Make the id of a post that has none of its own: the prefix, `posts/`, and a name that is then frozen.

    The name is the slug at first sight, which an editor recognises; without one, a hash of the item's
    source and key. Both come from the item and not from a counter or clock, so that a store that was lost
    and gathered anew gives the same ids. A name already given away gets `-2`, `-3`, …
    """
    name = f"{prefix}posts/{quote(post.slug or _hash(f'{post.source} {post.source_key}')[:16], safe='-')}"
    return _free(name, taken)


def make_slug(post: Post, taken: Container[str]) -> str:
    """Make the slug of a post that needs a page of ours and brought none: from its title, made unique."""
    folded = unicodedata.normalize("NFKD", post.title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", folded)[:60].strip("-")
    return _free(words or f"post-{_hash(post.source_key)[:8]}", taken)


def _free(name: str, taken: Container[str]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


# Matching


@dataclass(slots=True)
class Index:
    """Every stored post by each name it has, kept current while one source's items are filed.

    `last` is the highest number given. `origins` are those of the source at hand; `own_url` is the URL of our
    own pages, with `{}` for the slug.
    """

    own_url: str
    origins: dict[str, Origin] = field(default_factory=dict)
    posts: dict[int, Known] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    urls: dict[str, int] = field(default_factory=dict)
    slugs: dict[str, int] = field(default_factory=dict)
    texts: dict[str, list[int]] = field(default_factory=dict)
    keys: dict[int, set[str]] = field(default_factory=dict)
    last: int = 0

    def add(self, known: Known) -> None:
        """File a post under its names; its former names are forgotten."""
        former = self.posts.get(known.seq)
        if former is not None:
            self._forget(former)
        self.last = max(self.last, known.seq)
        self.posts[known.seq] = known
        self.ids[known.id] = known.seq
        self.texts.setdefault(known.fingerprint, []).append(known.seq)
        for key in self._url_keys(known.url, known.slug if known.own_page else ""):
            self.urls.setdefault(key, known.seq)
        if known.slug:
            self.slugs.setdefault(known.slug, known.seq)

    def add_origin(self, key: str, origin: Origin) -> None:
        """Note which post a key of the source at hand names."""
        former = self.origins.get(key)
        if former is not None:
            self.keys[former.seq].discard(key)
        self.origins[key] = origin
        self.keys.setdefault(origin.seq, set()).add(key)

    def find(self, item: Item, present: Set[str]) -> Known | None:
        """Return the stored post that an item is; `present` are all keys its source has now."""
        post = item.post
        origin = self.origins.get(post.source_key)
        linked = self.posts.get(origin.seq) if origin else None
        if linked is not None and not self._parted(item, linked, present):
            return linked
        if post.id in self.ids:
            return self.posts[self.ids[post.id]]
        for seq in self._by_name(post):
            known = self.posts[seq]
            if self._taken(seq, post.source_key, present):
                continue
            if not self._two_pages(post, known) or known.fingerprint == item.fingerprint:
                return known
        return self._same_text(item, present)

    def claimant(self, post: Post, seq: int) -> Known | None:
        """Return another post that holds the URL or the slug this one claims."""
        for other in (self.posts[number] for number in self._by_name(post) if number != seq):
            twins = post.id and other.id != post.id and other.source == post.source
            if not (twins and post.url):
                return other
        return None

    def repeats(self, post: Post, known: Known, present: Set[str]) -> bool:
        """Tell whether a stored post has its text from another item of the same source, which is still there."""
        return (
            known.source == post.source
            and known.source_key != post.source_key
            and known.source_key in present
        )

    def reference(self, url: str) -> str:
        """Return the id of the post at a URL, empty when none is known."""
        seq = self.urls.get(url_key(url))
        return "" if seq is None else self.posts[seq].id

    def _by_name(self, post: Post) -> list[int]:
        found = [self.urls[key] for key in self._url_keys(post.url, post.slug) if key in self.urls]
        if post.slug in self.slugs:
            found.append(self.slugs[post.slug])
        return list(dict.fromkeys(found))

    def _url_keys(self, url: str, slug: str) -> list[str]:
        urls = [url] if url else [self.own_url.format(slug)] if slug else []
        return [key for key in map(url_key, urls) if key]

    def _two_pages(self, post: Post, known: Known) -> bool:
        """Tell whether two sources each bring a page of ours under one slug: that may be chance."""
        return post.source != known.source and post.own_page and known.own_page

    def _same_text(self, item: Item, present: Set[str]) -> Known | None:
        post = item.post
        for seq in self.texts.get(item.fingerprint, ()):
            known = self.posts[seq]
            copied = post.own_page and not post.id
            if abs(known.published - post.published) <= _SAME_TEXT_WITHIN and (
                copied or not self._taken(seq, post.source_key, present)
            ):
                return known
        return None

    def _parted(self, item: Item, known: Known, present: Set[str]) -> bool:
        return self.repeats(item.post, known, present) and known.fingerprint != item.fingerprint

    def _taken(self, seq: int, key: str, present: Set[str]) -> bool:
        return any(other != key and other in present for other in self.keys.get(seq, ()))

    def _forget(self, known: Known) -> None:
        self.texts[known.fingerprint].remove(known.seq)
        for key in self._url_keys(known.url, known.slug if known.own_page else ""):
            if self.urls.get(key) == known.seq:
                del self.urls[key]
        if self.slugs.get(known.slug) == known.seq:
            del self.slugs[known.slug]


# Deciding


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides what an item is at one instant; `priorities` by source name, the smaller wins."""

    now: datetime
    priorities: Mapping[str, int]

    def decide(self, item: Item, known: Known | None, claimant: Known | None) -> Decision:
        """Compare an item with the stored post it is (None: never seen) and with who else claims its place."""
        if known is None:
            return self._first_sight(item.post) if claimant is None else _conflict(item.post, claimant)
        if known.state is PostState.DELETED:
            note = f"{item.post.source_key}: this post was withdrawn and stays so"
            return Decision(kind=Kind.UNCHANGED, seq=known.seq, note=note)
        if not self._wins(item.post.source, known.source):
            return Decision(kind=Kind.UNCHANGED, seq=known.seq)
        if claimant is not None:
            return _conflict(item.post, claimant)
        if known.state is PostState.HELD:
            return self._first_sight(self._placed(replace(item.post, id=known.id), known), known.seq)
        return self._again(item, known)

    def _first_sight(self, post: Post, seq: int = 0) -> Decision:
        held = post.published > self.now
        updated = post.published if held else max(post.published, min(post.updated, self.now))
        return Decision(
            kind=Kind.HELD if held else Kind.NEW,
            seq=seq,
            state=PostState.HELD if held else PostState.LIVE,
            post=post if post.updated == updated else replace(post, updated=updated),
        )

    def _again(self, item: Item, known: Known) -> Decision:
        """Take the new text of a post that readers may have seen: its id and date stay."""
        post = item.post
        told = post.published < post.updated and known.updated < post.updated <= self.now
        changed = not post.minor and (told or item.fingerprint != known.fingerprint)
        updated = known.updated
        if changed:
            updated = post.updated if told else max(self.now, known.updated)
        moved = post.published != known.published
        return Decision(
            kind=Kind.CHANGED if changed else Kind.MINOR,
            seq=known.seq,
            state=known.state,
            post=self._placed(replace(post, id=known.id, published=known.published, updated=updated), known),
            note=_redated(post, known) if moved else "",
        )

    def _placed(self, post: Post, known: Known) -> Post:
        """Keep the page a post has when its source does not name one."""
        if post.url or post.slug:
            return post
        return replace(post, url=known.url, slug=known.slug, own_page=known.own_page)

    def _wins(self, source: str, owner: str) -> bool:
        if source == owner or owner not in self.priorities:
            return True
        return self.priorities.get(source, 100) < self.priorities[owner]


def _conflict(post: Post, other: Known) -> Decision:
    what = f"the slug {post.slug!r}" if post.own_page else f"the URL {post.url}"
    return Decision(
        kind=Kind.CONFLICT,
        note=f"it claims {what} of another post, {other.source_key} of source {other.source} ({other.title})",
    )


def _redated(post: Post, known: Known) -> str:
    return (
        f"{post.source_key}: its date is now {post.published.isoformat()}; "
        f"readers were told {known.published.isoformat()}, which stays"
    )
