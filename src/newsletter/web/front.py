"""Feeds, answered before anything is routed: conditions, codings, limits, and what is new since (226)."""

from __future__ import annotations

import gzip
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from urllib.parse import quote, urlsplit

from newsletter.checks.reading import BadDocument
from newsletter.config import Config
from newsletter.store import Store
from newsletter.web.conditions import tags, unchanged
from newsletter.web.guard import headers_of, origin_of
from newsletter.web.limits import Limits
from newsletter.web.shelf import Answer, Form, Kept, Shelf, head
from newsletter.web.tally import Tally
from newsletter.websub.topics import TYPES as FEED_TYPES

Headers = Sequence[tuple[bytes, bytes]]

_PIECEMEAL = b"a-im"
_SLOW = frozenset((b"content-length", b"transfer-encoding", b"upgrade", b"expect"))
_NAMES = tuple(f"/{name}".encode() for name in FEED_TYPES)
_MOST_DELTAS = 64


class Front:
    """Answers for the feeds of one publication, and counts how: `counts` by (feed, status)."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], datetime]) -> None:
        self._site = config.publication.url
        self._hubs = config.hubs
        self._guarded = headers_of("/feeds/atom.xml", origin_of(config))
        self._prefix = urlsplit(config.web_url).path.rstrip("/") + "/"
        self._proxies = frozenset(config.web.proxies)
        self.elsewhere = frozenset((*config.web.moved, *config.web.gone))
        self._shelf = Shelf(config.public, self._links, self._guarded)
        self._deltas: dict[tuple[str, str, str], bytes | None] = {}
        self._lock = threading.Lock()
        self.limits = Limits()
        self.tally = Tally(store, clock)
        self.counts: Counter[tuple[str, int]] = Counter()

    def close(self) -> None:
        """Write what was counted."""
        self.tally.write()

    def quick(self, method: bytes, url: bytes, headers: Headers, peer: str) -> Answer | None:
        """Answer for a request's target at once, None when that takes longer or is not ours to answer."""
        if not url.endswith(_NAMES) or b"%" in url or b"?" in url or method not in (b"GET", b"HEAD"):
            return None
        path = url.decode("latin-1")
        path = path[len(self._prefix) if path.startswith(self._prefix) else 1 :]
        return self.answer(method, path, headers, peer, at_once=True)

    def answer(
        self, method: bytes, path: str, headers: Headers, peer: str, *, at_once: bool = False
    ) -> Answer | None:
        """Answer for a path below the root, None when no feed is there."""
        kept = self._shelf.get(path)
        if kept is None or (self.elsewhere and f"/{path}" in self.elsewhere):
            return None
        fields = dict(headers)
        if len(fields) != len(headers):
            fields = _joined(headers)
        if at_once and not _SLOW.isdisjoint(fields):
            return None
        form = kept.form(fields.get(b"accept-encoding", b""))
        asked = fields.get(b"if-none-match")
        same = asked == form.tag or _unchanged(asked, fields, form, kept)
        piecemeal = not same and asked is not None and _wants_feed(fields)
        if at_once and piecemeal:
            return None
        wait = self.wait(path, fields, peer)
        if wait:
            return self._counted(path, _too_many(wait))
        self.tally.note(path, fields.get(b"user-agent", b""))
        if same:
            return self._counted(path, form.unchanged)
        answer = form.whole
        if asked is not None and piecemeal:
            answer = self._since(kept, form, tags(asked.decode("latin-1"))) or answer
        if method == b"HEAD":
            answer = Answer(answer.status, answer.head, b"")
        return self._counted(path, answer)

    def kept(self, path: str) -> Kept | None:
        """Return a published feed."""
        return self._shelf.get(path)

    def _counted(self, path: str, answer: Answer) -> Answer:
        self.counts[path, answer.status] += 1
        return answer

    def wait(self, path: str, fields: dict[bytes, bytes], peer: str) -> int:
        """Return how long a client has to wait; 0 for one that a proxy does not tell apart from others."""
        if peer in self._proxies:
            peer = fields.get(b"x-forwarded-for", b"").decode("latin-1").rpartition(",")[2].strip()
            if not peer:
                return 0
        return self.limits.wait(path, peer, fields.get(b"user-agent", b""))

    def _links(self, path: str) -> tuple[str, ...]:
        own = f'<{self._site}{quote(path)}>; rel="self"'
        return (*(f'<{hub}>; rel="hub"' for hub in self._hubs), own)

    def _since(self, kept: Kept, form: Form, asked: list[str]) -> Answer | None:
        for etag in asked[:8]:
            body = self._delta(kept, form, etag)
            if body is not None:
                break
        else:
            return None
        coded = form.coding == "gzip"
        body = gzip.compress(body, mtime=0) if coded else body
        headers = [
            ("etag", form.etag),
            ("im", "feed"),
            ("cache-control", "no-store, im"),
            ("vary", "A-IM, If-None-Match, Accept-Encoding"),
            *(("link", one) for one in kept.links),
            ("content-type", dict(form.whole.headers())[b"content-type"].decode()),
            *([("content-encoding", "gzip")] if coded else []),
            ("content-length", str(len(body))),
            *self._guarded.items(),
        ]
        return Answer(226, head("226 IM Used", headers), body)

    def _delta(self, kept: Kept, form: Form, etag: str) -> bytes | None:
        key = kept.path, form.etag, etag
        with self._lock:
            if key in self._deltas:
                return self._deltas[key]
        document = kept.forms["identity"].whole.body
        try:
            made = self._shelf.editions.since(kept.path, [etag], document)
        except BadDocument:
            return None
        if made is None or len(made) >= len(document):
            return None
        with self._lock:
            self._deltas[key] = made
            while len(self._deltas) > _MOST_DELTAS:
                self._deltas.pop(next(iter(self._deltas)))
        return made


def _unchanged(asked: bytes | None, fields: dict[bytes, bytes], form: Form, kept: Kept) -> bool:
    since = fields.get(b"if-modified-since")
    if asked is None and since is None:
        return False
    return unchanged(
        None if asked is None else asked.decode("latin-1"),
        None if since is None else since.decode("latin-1"),
        form.etag,
        kept.modified,
    )


def _wants_feed(fields: dict[bytes, bytes]) -> bool:
    """Tell whether a client takes the new entries alone (`A-IM: feed`, perhaps with a weight)."""
    if _PIECEMEAL not in fields:
        return False
    wanted = (one.replace(b" ", b"").partition(b";q=") for one in fields[_PIECEMEAL].lower().split(b","))
    return any(name == b"feed" and (not weight or weight.strip(b"0.")) for name, _, weight in wanted)


def _joined(headers: Headers) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def _too_many(wait: int) -> Answer:
    body = f"You asked for this feed very often. Ask again in {wait} seconds.\n".encode()
    headers = [
        ("retry-after", str(wait)),
        ("cache-control", "no-store"),
        ("content-type", "text/plain; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("content-length", str(len(body))),
    ]
    return Answer(429, head("429 Too Many Requests", headers), body)
