"""Another site's feed as a source: Atom, RSS or JSON Feed, by URL or from a file.

Options: none. An item needs a date of its own; an item without title takes the first words of its text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from newsletter.errors import ConfigError, InputError, SourceError
from newsletter.model import Post, Rejected
from newsletter.sources import SourceContext, SourceState, visits
from newsletter.sources.entries import to_post
from newsletter.sources.feed_formats import read_feed, read_tombstones
from newsletter.sources.places import mark_of

_ACCEPT = (
    "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, "
    "application/json;q=0.9, */*;q=0.5"
)
_LIMIT = 15 * 1024 * 1024  # bytes of a file, as of a body fetched


@dataclass(frozen=True, slots=True)
class _Document:
    """A feed's bytes and where they are from; `base` is the URL that relative links count from."""

    data: bytes
    where: str
    base: str
    content_type: str = ""


class FeedSource:
    """Reads one feed; what the server says of freshness is remembered and kept to."""

    def __init__(self, context: SourceContext) -> None:
        if context.source.path is None and context.source.url is None:
            raise ConfigError(
                f"source {context.source.name!r} of kind feed needs a url or a path",
                where="newsletter.toml: sources",
                remedy='Add: url = "https://…"',
            )
        self._context = context

    def posts(self, state: SourceState) -> Iterator[Post | Rejected]:
        """Yield every entry of the feed, or nothing when it has not changed."""
        memory = dict(state.memory)
        again = bool(state.again - set(memory.get("rejected", ())))
        document = (
            self._open_file(memory, again) if self._context.source.path else self._fetch(memory, again, state)
        )
        if document is None:
            state.unchanged.update(memory.get("keys", ()))
            state.memory.update(memory)
            return
        keys, rejected = [], []
        for one in self._entries(document):
            keys.append(one.source_key)
            if isinstance(one, Rejected):
                rejected.append(one.source_key)
            yield one
        state.deleted = read_tombstones(document.data, document.content_type)
        if not keys and not state.deleted:
            state.notes.append(f"{document.where} holds no items")
        state.memory.update(memory, keys=keys, rejected=rejected)

    # Where it comes from

    def _open_file(self, memory: dict[str, Any], again: bool) -> _Document | None:
        path = self._context.path()
        try:
            stat = path.stat()
            stamp = [stat.st_mtime_ns, stat.st_size]
            if memory.get("stamp") == stamp and not again:
                return None
            data = path.read_bytes() if stat.st_size <= _LIMIT else b""
        except OSError as e:
            raise SourceError(
                f"it cannot be read: {e.strerror}",
                where=str(path),
                remedy="Check the path and its permissions",
            ) from e
        if stat.st_size > _LIMIT:
            raise SourceError(
                f"it has {stat.st_size:,} bytes, more than {_LIMIT:,}",
                where=str(path),
                remedy="Split it into several files",
            )
        memory["stamp"] = stamp
        return _Document(data, str(self._context.source.path), self._context.source.url or "")

    def _fetch(self, memory: dict[str, Any], again: bool, state: SourceState) -> _Document | None:
        url = str(memory.get("url") or self._context.source.url)
        early = visits.too_early(memory, self._context, url)
        if early:
            state.notes.append(early)
            return None
        answer = visits.visit(url, memory, self._context, anew=again, accept=_ACCEPT)
        visits.note_move(answer, memory, state)
        if answer.not_modified:
            return None
        return _Document(answer.body, url, answer.url, answer.content_type)

    # What it holds

    def _entries(self, document: _Document) -> Iterator[Post | Rejected]:
        try:
            entries = read_feed(
                document.data, where=document.where, base=document.base, content_type=document.content_type
            )
        except InputError as e:
            yield self._rejected(document.where, document.where, e)
            return
        for entry in entries:
            try:
                yield to_post(entry, self._context)
            except InputError as e:
                content = repr(replace(entry, where=""))  # where it stands among the others does not count
                yield self._rejected(entry.key, entry.where, e, entry.title[:200], content)

    def _rejected(
        self, key: str, where: str, error: InputError, excerpt: str = "", content: str = ""
    ) -> Rejected:
        return Rejected(
            source=self._context.source.name,
            source_key=key,
            where=where,
            reason=error.what,
            remedy=error.remedy,
            excerpt=excerpt,
            mark=mark_of(error.what, content),
        )
