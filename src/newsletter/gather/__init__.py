"""Gather the sources' posts into the store.

For each source, as a pipe:

    read source | weigh | decide | place > store

`read` takes every item the source can see (the only stage that touches files and network), `weigh` computes the
hashes that notice changes, `decide` says what each item is (newsletter.identity, pure), `place` gives new posts
number, id and slug, and the store takes all of it, with what the source remembers, in one transaction: after
a crash at any instant the next gathering does all that is missing. What is held for its date goes live in the
same transaction, even if its source could not be read.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from newsletter import __version__
from newsletter.config import Config, SourceConfig
from newsletter.errors import ConfigError, FetchError, OutsideError, SourceError
from newsletter.gather.refusing import clean, conflict, presentable, storable
from newsletter.identity import (
    Decider,
    Decision,
    Index,
    Item,
    Kind,
    Known,
    Origin,
    PostState,
    make_slug,
    mint_id,
    unstorable,
    weigh,
)
from newsletter.model import GatherReport, Post, Rejected
from newsletter.sources import SourceContext, SourceState, open_source
from newsletter.store import Store, Tx, posts, sources

__all__ = ["Decider", "gather"]

_SHARED = tuple(one.name for one in fields(Known) if one.name not in ("state", "fingerprint"))


def gather(
    store: Store, config: Config, *, now: datetime, only: str | None = None, dry_run: bool = False
) -> list[GatherReport]:
    """Gather every source, or `only` the one of that name; `dry_run` reports and changes nothing.

    A source that cannot be read is reported as failed and the others go on. Raises ConfigError for a source
    that is not configured, OutsideError when another process is gathering.
    """
    chosen = [source for source in config.sources if only in (None, source.name)]
    if only is not None and not chosen:
        known = ", ".join(source.name for source in config.sources) or "none is configured"
        raise ConfigError(f"there is no source {only!r}", remedy=f"Known: {known}")
    with nullcontext(True) if dry_run else store.lock("gather") as alone:
        if not alone:
            raise OutsideError("another process is gathering", remedy="Wait for it to end")
        reports = [_Gathering(store, config, source, now, dry_run).run() for source in chosen]
        if not dry_run and only is None:
            with store.write() as tx:  # what sources left behind that are no longer configured
                posts.release_due(tx, now=now, beside=[source.name for source in chosen])
                reports += _let_go(tx, {source.name for source in chosen})
    return reports


def _let_go(tx: Tx, configured: Set[str]) -> Iterator[GatherReport]:
    """Empty the quarantine of sources that are no longer configured, where nothing could mend an item."""
    left = [one for one in sources.quarantined(tx) if one.source not in configured]
    for name, count in Counter(one.source for one in left).items():
        sources.discharge(tx, name, [one.source_key for one in left if one.source == name])
        items = "1 item" if count == 1 else f"{count} items"
        note = f"it is no longer configured: {items} left quarantine"
        yield GatherReport(source=name, notes=(note,))


@dataclass(slots=True)
class _Reading:
    """All that a source told; `envelope` is what the store keeps of it, the source's own memory within."""

    state: SourceState
    envelope: dict[str, Any]
    waiting: dict[str, Rejected]  # in quarantine since earlier
    ignored: dict[str, str]  # of those, which marks the editor is not told of
    posts: dict[str, Post] = field(default_factory=dict)
    rejected: dict[str, Rejected] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failed: str = ""

    def present(self) -> set[str]:
        """Return every key that the source has now."""
        return {*self.posts, *self.rejected, *self.state.unchanged}

    def quarantined(self) -> tuple[list[Rejected], int]:
        """Return what is in quarantine, also what was not looked at again, and how much the editor ignores of it."""
        still = (one for key, one in self.waiting.items() if key in self.state.unchanged or self.failed)
        found = [*self.rejected.values(), *still]
        told = [one for one in found if self.ignored.get(one.source_key, "") != one.mark or not one.mark]
        return told, len(found) - len(told)


@dataclass(slots=True)
class _Outcome:
    """What was decided: for the store, and for the report."""

    added: list[posts.Filed] = field(default_factory=list)
    changed: list[posts.Filed] = field(default_factory=list)
    origins: dict[str, Origin] = field(default_factory=dict)
    titles: dict[Kind, list[str]] = field(default_factory=dict)
    untouched: list[int] = field(default_factory=list)
    moved: dict[int, PostState] = field(default_factory=dict)  # hidden, deleted or shown again
    withdrawn: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Gathering:
    """The gathering of one source at one instant."""

    store: Store
    config: Config
    source: SourceConfig
    now: datetime
    dry_run: bool

    def run(self) -> GatherReport:
        """Read the source, then decide and file everything in one transaction."""
        reading, outcome = self._read(), _Outcome()
        with self.store.read() if self.dry_run else self.store.write() as tx:
            index = self._index(tx, reading)
            items = (weigh(post) for post in reading.posts.values())
            for item, decision in self._decide(items, index, reading):
                self._place(item, decision, index, outcome)
            self._withdraw(reading, index, outcome)
            report = self._report(reading, outcome, index)
            if not self.dry_run:
                self._file(tx, reading, outcome, index)
        return report

    # Reading

    def _read(self) -> _Reading:
        with self.store.read() as tx:
            envelope = sources.memory(tx, self.source.name)
            waiting = {one.source_key: one for one in sources.quarantined(tx, self.source.name)}
            ignored = sources.ignored(tx, self.source.name)
        settings, former = self._settings(), envelope.get("settings")
        envelope["settings"] = settings
        if settings != former:
            envelope.pop("vanished", None)
        memory = dict(envelope.get("memory", {})) if settings == former else {}
        reading = _Reading(SourceState(memory=memory, again=frozenset(waiting)), envelope, waiting, ignored)
        with tempfile.TemporaryDirectory() if self.dry_run else nullcontext() as scratch:
            context = SourceContext(
                config=self.config,
                source=self.source,
                now=self.now,
                scratch=Path(scratch) if scratch else None,
            )
            source = open_source(context)
            try:
                for one in source.posts(reading.state):
                    self._take(one, reading)
            except (SourceError, FetchError) as e:
                reading.failed = str(e)
                reading.posts.clear()
                reading.rejected.clear()
                if isinstance(e, SourceError):
                    envelope["memory"] = {**memory, **e.remember}
        return reading

    def _settings(self) -> str:
        """Hash everything beside the source itself that its posts depend on: a change has it read anew."""
        told = self.config.publication
        settings = repr((told.url, told.timezone, told.language, told.author, self.source, __version__))
        return hashlib.blake2b(settings.encode(), digest_size=16).hexdigest()

    def _take(self, one: Post | Rejected, reading: _Reading) -> None:
        """Note one item; of two under one key the one updated last counts (RFC 4287 §4.1.1)."""
        if unstorable(one):
            one = presentable(one)
        if one.source != self.source.name:
            one = replace(one, source=self.source.name)
        if isinstance(one, Rejected):
            reading.rejected.setdefault(one.source_key, one.marked())
            return
        twin = reading.posts.get(one.source_key)
        if twin is not None:
            reading.notes.append(f"{one.source_key}: it is there twice; the one updated last was taken")
        if twin is None or twin.updated < one.updated:
            reading.posts[one.source_key] = one

    # Deciding

    def _index(self, tx: Tx, reading: _Reading) -> Index:
        """Load what is needed: every post, or with nothing to match or withdraw only those held for their date."""
        index = Index(f"{self.config.publication.url}posts/{{}}/")
        for key, origin in posts.origins(tx, self.source.name).items():
            index.add_origin(key, origin)
        every = reading.posts or reading.envelope.get("hidden") or _gone(reading, index)
        for known in posts.known(tx, held_by=None if every else self.source.name):
            index.add(known)
        return index

    def _decide(
        self, items: Iterable[Item], index: Index, reading: _Reading
    ) -> Iterator[tuple[Item, Decision]]:
        """Say of each item what it is; one that claims another post's place goes into quarantine."""
        decider = Decider(self.now, {source.name: source.priority for source in self.config.sources})
        present = reading.present()
        for item in items:
            key = item.post.source_key
            origin = index.origins.get(key)
            if origin is not None and origin.digest == item.digest and key not in reading.waiting:
                yield item, Decision(kind=Kind.UNCHANGED, seq=origin.seq)
                continue
            known = index.find(item, present)
            if known is not None and index.repeats(item.post, known, present):
                reading.notes.append(f"{key} repeats {known.source_key}: they are one post until they differ")
                yield item, Decision(kind=Kind.UNCHANGED, seq=known.seq)
                continue
            decision = decider.decide(item, known, index.claimant(item.post, known.seq if known else 0))
            if decision.kind is Kind.CONFLICT:
                reading.rejected[key] = conflict(item.post, decision.note)
                continue
            if decision.note:
                reading.notes.append(decision.note)
            reading.notes += [f"{key}: {what}" for what in item.post.dropped]
            yield item, decision

    def _place(self, item: Item, decision: Decision, index: Index, outcome: _Outcome) -> None:
        """Give a new post its number, id and page, and note what is to be stored."""
        seq, post = decision.seq, decision.post
        if post is None:
            outcome.untouched.append(seq)
        else:
            if not post.url:
                post = replace(post, own_page=True, slug=post.slug or make_slug(post, index.slugs))
            filed = outcome.changed if seq else outcome.added
            seq = seq or index.last + 1
            post_id = post.id if decision.seq else self._first_id(post, index)
            post = replace(post, seq=seq, id=post_id)
            filed.append(posts.Filed(post, decision.state, item.fingerprint))
            index.add(_known(post, decision.state, item.fingerprint))
            outcome.titles.setdefault(decision.kind, []).append(post.title)
        origin = Origin(seq, item.digest)
        if index.origins.get(item.post.source_key) != origin:
            outcome.origins[item.post.source_key] = origin
            index.add_origin(item.post.source_key, origin)

    def _first_id(self, post: Post, index: Index) -> str:
        return post.id or mint_id(self.config.publication.tag_prefix, post, index.ids)

    # Withdrawing

    def _withdraw(self, reading: _Reading, index: Index, outcome: _Outcome) -> None:
        """Do what is configured with posts that the source no longer has, once, and show those that are back."""
        envelope, present, gone = reading.envelope, reading.present(), _gone(reading, index)
        if gone and not present and reading.state.complete and self.source.deleted != "keep":
            reading.notes.append("it tells of nothing any more: no post of it is hidden or deleted")
            return
        hidden = dict(envelope.get("hidden", {}))
        for key in gone:
            seq = index.origins[key].seq
            state = self._fate(index.posts.get(seq))
            reading.notes.append(
                f"{key}: its source no longer tells of it; the post {f'is {state}' if state else 'stays'}"
            )
            if state:
                outcome.moved[seq] = state
                outcome.withdrawn.append(index.posts[seq].title)
            if state is PostState.HIDDEN:
                hidden[key] = seq
        for key, seq in list(hidden.items()):
            known = index.posts.get(seq)
            if known is not None and (key in present or index.keys.get(seq, set()) & present):
                del hidden[key]
                if known.state is PostState.HIDDEN:
                    outcome.moved[seq] = PostState.HELD if known.published > self.now else PostState.LIVE
                    reading.notes.append(f"{key}: its source tells of it again; the post is shown")
        if hidden or "hidden" in envelope:
            envelope["hidden"] = hidden
        if not reading.failed:
            envelope["vanished"] = sorted({*gone, *_told(reading)} - present)

    def _fate(self, known: Known | None) -> PostState | None:
        """Say what becomes of a post that its source no longer has, None: it stays."""
        settled = (PostState.HIDDEN, PostState.DELETED)
        if known is None or known.source != self.source.name or known.state in settled:
            return None
        fates = {"hide": PostState.HIDDEN, "delete": PostState.DELETED}
        fate = fates.get(self.source.deleted)
        return PostState.HIDDEN if fate and known.state is PostState.HELD else fate  # nobody has seen it

    # Filing

    def _file(self, tx: Tx, reading: _Reading, outcome: _Outcome, index: Index) -> None:
        """Write all of it; the transaction is the caller's."""
        name = self.source.name
        posts.add(tx, outcome.added, now=self.now)
        posts.change(tx, outcome.changed)
        for seq, state in outcome.moved.items():
            posts.set_state(tx, seq, state, now=self.now)
        posts.release_due(tx, now=self.now, source=name)
        posts.add_origins(tx, name, outcome.origins, now=self.now)
        if outcome.added or outcome.changed:
            _link_references(tx, index)
        reading.envelope["failures"] = reading.envelope.get("failures", 0) + 1 if reading.failed else 0
        if not reading.failed:
            reading.envelope["gathered_at"] = self.now.isoformat()
            reading.envelope["memory"] = storable(reading.state.memory)
            sources.quarantine(tx, reading.rejected.values(), now=self.now)
            kept = reading.state.unchanged | reading.rejected.keys()
            sources.discharge(tx, name, [key for key in reading.waiting if key not in kept])
        sources.remember(tx, name, reading.envelope, now=self.now, failure=reading.failed)

    def _report(self, reading: _Reading, outcome: _Outcome, index: Index) -> GatherReport:
        waiting = [
            known
            for known in index.posts.values()
            if known.source == self.source.name
            and known.state is PostState.HELD
            and known.seq not in outcome.moved
        ]
        released = [known.title for known in waiting if known.published <= self.now]
        held = {known.seq: known.title for known in waiting if known.published > self.now}
        skipped = [index.origins[key].seq for key in reading.state.unchanged if key in index.origins]
        titles = outcome.titles
        quarantined, ignored = reading.quarantined()
        return GatherReport(
            source=self.source.name,
            new=(*titles.get(Kind.NEW, ()), *released),
            changed=(*titles.get(Kind.CHANGED, ()), *titles.get(Kind.MINOR, ())),
            unchanged=sum(1 for seq in (*outcome.untouched, *skipped) if seq not in held),
            held=tuple(held.values()),
            withdrawn=tuple(outcome.withdrawn),
            quarantined=tuple(quarantined),
            ignored=ignored,
            notes=tuple(map(clean, (*reading.state.notes, *reading.notes))),
            failed=reading.failed,
        )


def _told(reading: _Reading) -> frozenset[str]:
    """Return the keys of which it was said that the source no longer has them."""
    return frozenset(reading.envelope.get("vanished", ()))


def _gone(reading: _Reading, index: Index) -> list[str]:
    """Return the keys that the source no longer has, by its own list or word, and of which this was not said yet."""
    if reading.failed:
        return []
    present, state = reading.present(), reading.state
    named = index.origins.keys() if state.complete else state.deleted & index.origins.keys()
    return [
        key
        for key in sorted(named - present - _told(reading))
        if not index.keys[index.origins[key].seq] & present
    ]


def _link_references(tx: Tx, index: Index) -> None:
    """Fill in the ids of own posts that were referred to before they were known."""
    found = ((seq, place, index.reference(url)) for seq, place, url in posts.unlinked_references(tx))
    posts.link_references(tx, [one for one in found if one[2]])


def _known(post: Post, state: PostState, fingerprint: str) -> Known:
    values = {name: getattr(post, name) for name in _SHARED}
    return Known(**values, state=state, fingerprint=fingerprint)
