"""Another site's feed as a source: Atom, RSS or JSON Feed, by URL or from a file.

Options: none. An item needs a date of its own; an item without title takes the first words of its text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from newsletter.errors import ConfigError, FetchError, InputError, SourceError
from newsletter.fetch import Fetched, fetch, rules_of
from newsletter.model import Post, Rejected
from newsletter.sources import SourceContext, SourceState
from newsletter.sources.entries import to_post
from newsletter.sources.feed_formats import read_feed, read_tombstones

_ACCEPT = (
    "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, "
    "application/json;q=0.9, */*;q=0.5"
)
_LIMIT = 15 * 1024 * 1024  # bytes of a file, as of a body fetched
_EACH = timedelta(minutes=10)  # never more often than this
_LONGEST = timedelta(days=1)  # and never less often, whatever the server calls fresh


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
        now = self._context.now
        url = str(memory.get("url") or self._context.source.url)
        if memory.get("gone"):
            raise _gone(url)
        wait = memory.get("not_before", "")
        if wait and now < datetime.fromisoformat(wait) <= now + _LONGEST:
            state.notes.append(f"{url} is read again after {wait}")
            return None
        try:
            answer = fetch(
                url,
                rules_of(self._context.config),
                etag="" if again else memory.get("etag", ""),
                last_modified="" if again else memory.get("last_modified", ""),
                accept=_ACCEPT,
            )
        except FetchError as e:
            if e.status == 410:
                raise _gone(url) from e
            later = now + timedelta(seconds=min(e.retry_after or 0, _LONGEST.total_seconds()))
            remember = {"not_before": later.isoformat()} if e.retry_after else {}
            raise SourceError(e.what, where=e.where, remedy=e.remedy, remember=remember) from e
        memory["not_before"] = (now + min(max(answer.max_age, _EACH), _LONGEST)).isoformat()
        _note_move(answer, memory, state)
        if answer.not_modified:
            return None
        memory["etag"], memory["last_modified"] = answer.etag, answer.last_modified
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
                yield self._rejected(entry.key, entry.where, e, entry.title[:200])

    def _rejected(self, key: str, where: str, error: InputError, excerpt: str = "") -> Rejected:
        return Rejected(
            source=self._context.source.name,
            source_key=key,
            where=where,
            reason=error.what,
            remedy=error.remedy,
            excerpt=excerpt,
        )


def _gone(url: str) -> SourceError:
    return SourceError(
        "it is gone for good (410)",
        where=url,
        remedy="Remove this source from newsletter.toml, or give its new URL",
        remember={"gone": "yes"},
    )


def _note_move(answer: Fetched, memory: dict[str, Any], state: SourceState) -> None:
    """Use a permanent redirect's target once it was seen twice."""
    seen = memory.get("moved", ["", 0])
    times = seen[1] + 1 if answer.moved_to and seen[0] == answer.moved_to else 1
    memory["moved"] = [answer.moved_to, times if answer.moved_to else 0]
    if answer.moved_to and times >= 2:
        memory["url"] = answer.moved_to
        state.notes.append(f"it has moved for good: write url = {answer.moved_to!r} into newsletter.toml")
