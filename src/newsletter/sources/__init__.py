"""Where posts come from: one plug, each kind of source an adapter behind it.

A third party adds a kind through the entry-point group `newsletter.sources`; the entry is a callable that
takes a SourceContext and returns a Source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from newsletter.config import Config, SourceConfig
from newsletter.errors import ConfigError
from newsletter.model import Post, Rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """What a source needs to know of its publication; `now` is the instant of this gathering.

    `scratch` takes the pictures instead of the publication's own folder when nothing is to be changed.
    """

    config: Config
    source: SourceConfig
    now: datetime
    scratch: Path | None = None

    @property
    def timezone(self) -> str:
        """The zone of dates that name none."""
        return self.source.timezone or self.config.publication.timezone

    @property
    def language(self) -> str:
        """The language of posts that name none."""
        return self.source.language or self.config.publication.language

    @property
    def media(self) -> Path:
        """Where resized pictures go, under content-addressed names."""
        return self.scratch or self.config.media

    def path(self) -> Path:
        """The source's file or folder, absolute."""
        if self.source.path is None:
            raise ConfigError(
                f"source {self.source.name!r} of kind {self.source.kind} needs a path",
                where="newsletter.toml: sources",
                remedy='Add: path = "…"',
            )
        return self.config.path(self.source.path)


@dataclass(slots=True)
class SourceState:
    """What a source remembers between gatherings (`memory`, JSON, stored when a gathering ends well) and what
    it says beside its posts: the keys it saw unchanged without reading them, and notes for the editor.

    `again` are keys in quarantine, which are to be yielded even if they look unchanged. A source that
    saw every item it has sets `complete`: keys it no longer names have vanished. One that did not
    may name in `deleted` the keys whose end it was told of.
    """

    memory: dict[str, Any] = field(default_factory=dict)
    unchanged: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    again: frozenset[str] = frozenset()
    complete: bool = False
    deleted: set[str] = field(default_factory=set)


class Source(Protocol):
    """Yields every item it can see; a bad item is a Rejected, a source that cannot be read a SourceError."""

    def posts(self, state: SourceState) -> Iterator[Post | Rejected]:
        """Yield the items that are new or may have changed since `state`."""
        ...


def open_source(context: SourceContext) -> Source:
    """Return the source that the configuration names, or say which kinds there are."""
    known = {entry.name: entry for entry in entry_points(group="newsletter.sources")}
    entry = known.get(context.source.kind)
    if entry is None:
        raise ConfigError(
            f"source {context.source.name!r} has the unknown kind {context.source.kind!r}",
            where="newsletter.toml: sources",
            remedy=f"Known: {', '.join(sorted(known))}",
        )
    make: Callable[[SourceContext], Source] = entry.load()
    return make(context)
