"""Illustrate posts: copy the pictures that they show from other sites.

    posts lacking copies > what is known of each URL | fetch, resize > store > posts point to the copies

A picture that cannot be had stays where it is in its post, is reported, and is tried again later, each time after a
longer rest. What is stored is used for a day without asking, then asked for with its ETag.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from html import escape, unescape
from urllib.parse import urlsplit

from newsletter import pictures
from newsletter.config import Config
from newsletter.errors import FetchError, InputError, OutsideError
from newsletter.fetch import FetchRules, fetch, rules_of
from newsletter.model import GatherReport, Image, Post
from newsletter.store import Store, posts
from newsletter.store import pictures as stored
from newsletter.store.pictures import Lacking, Remote

FRESH = timedelta(days=1)
_FIRST_RETRY, _LONGEST_RETRY = timedelta(minutes=10), timedelta(days=7)
_AT_ONCE, _BATCH = 4, 16
_ENOUGH = 120.0  # seconds after which one gathering begins no more; the others are next
_EACH = 30.0  # seconds for one picture
_ACCEPT = "image/avif,image/webp,image/jpeg,image/png,image/gif;q=0.9,image/*;q=0.5"
_IMG = re.compile(r'<img((?:\s+[a-z-]+="[^"]*")*)\s*/?>')
_ATTRIBUTE = re.compile(r'([a-z-]+)="([^"]*)"')


def illustrate(
    store: Store, config: Config, reports: Sequence[GatherReport], *, now: datetime
) -> list[GatherReport]:
    """Copy what posts of the sources just gathered show; return the reports with what could not be had.

    Another process at the same work is left to it.
    """
    with store.read() as tx:
        lacking = stored.lacking(tx, [report.source for report in reports])
    if not lacking:
        return list(reports)
    with store.lock("pictures") as mine:
        notes = _Work(store, config, now).run(lacking) if mine else {}
    return [replace(one, notes=(*one.notes, *notes.get(one.source, ()))) for one in reports]


@dataclass
class _Work:
    """The pictures of one gathering."""

    store: Store
    config: Config
    now: datetime
    silent: set[str] = field(default_factory=set)  # hosts that did not answer
    _decoding: threading.Lock = field(
        default_factory=threading.Lock
    )  # one at a time: a picture takes much memory

    def run(self, lacking: Sequence[Lacking]) -> dict[str, list[str]]:
        """Copy pictures until all are there or time is over; return notes by source."""
        rules, until = replace(rules_of(self.config), total=_EACH), time.monotonic() + _ENOUGH
        urls = list(dict.fromkeys(one.url for one in lacking))
        with self.store.read() as tx:
            known = stored.remembered(tx, urls)
        have = {url: copy for url, one in known.items() if (copy := self._stored(one))}
        self._point([], have, lacking)
        due = [url for url in urls if url not in have and self._is_due(known.get(url))]
        failed: dict[str, Remote] = {}
        left = 0
        for start in range(0, len(due), _BATCH):
            batch = due[start : start + _BATCH]
            if time.monotonic() > until:
                left += len(due) - start
                break
            told = self._get_all(batch, known, rules)
            left += len(batch) - len(told)
            failed.update({one.url: one for one in told if one.failures})
            self._point(told, {one.url: one.copy for one in told if one.copy}, lacking)
        return _notes(lacking, failed, left)

    def _is_due(self, known: Remote | None) -> bool:
        return known is None or known.retry_at is None or known.retry_at <= self.now

    def _stored(self, known: Remote) -> Image | None:
        """Return the copy that is there and young enough, or that cannot be asked for now."""
        copy = known.copy
        if copy is None or not self._is_there(copy):
            return None
        resting = known.retry_at is not None and known.retry_at > self.now
        return copy if resting or self.now - known.checked_at < FRESH else None

    def _is_there(self, copy: Image) -> bool:
        return all((self.config.media / name).is_file() for name in (copy.small, copy.large))

    def _get_all(self, urls: Sequence[str], known: Mapping[str, Remote], rules: FetchRules) -> list[Remote]:
        """Get several at once, in threads that hold up nobody who wants to end."""
        waiting, told, wrong = list(reversed(urls)), [], []

        def work() -> None:
            while waiting:
                try:
                    url = waiting.pop()
                    told.append(self._get(url, known.get(url), rules))
                except IndexError:
                    return  # another thread took the last one
                except Exception as e:
                    wrong.append(e)
                    return

        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_AT_ONCE, len(urls)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if wrong:
            raise wrong[0]
        return [one for one in told if one is not None]

    def _get(self, url: str, known: Remote | None, rules: FetchRules) -> Remote | None:
        """Fetch and keep one picture; None when its host does not answer anyway."""
        known = known or Remote(url=url, checked_at=self.now)
        copy = known.copy if known.copy and self._is_there(known.copy) else None
        host = urlsplit(url).netloc
        if host in self.silent:
            return None if copy is None else replace(known, checked_at=self.now)
        try:
            asked = (known.etag, known.last_modified) if copy else ("", "")
            answer = fetch(url, rules, etag=asked[0], last_modified=asked[1], accept=_ACCEPT)
            if not (answer.not_modified and copy):
                with self._decoding:
                    copy = pictures.keep(answer.body, self.config.media)
        except FetchError as e:
            if e.status == 0 and not e.lasting:
                self.silent.add(host)
            rest = timedelta(seconds=min(e.retry_after or 0, _LONGEST_RETRY.total_seconds()))
            first = max(FRESH if e.lasting else _FIRST_RETRY, rest)
            return self._failed(replace(known, copy=copy), e.what, first)
        except OutsideError as e:  # the disk is full
            return self._failed(replace(known, copy=copy), e.what, _FIRST_RETRY)
        except (InputError, ValueError) as e:
            what = e.what if isinstance(e, InputError) else "its URL is malformed"
            return self._failed(replace(known, copy=copy), what, FRESH)
        return Remote(
            url=url,
            checked_at=self.now,
            copy=stored.plain(copy),
            etag=answer.etag or (known.etag if answer.not_modified else ""),
            last_modified=answer.last_modified or (known.last_modified if answer.not_modified else ""),
        )

    def _failed(self, known: Remote, why: str, first: timedelta) -> Remote:
        rest = min(first * (1 << min(known.failures, 20)), _LONGEST_RETRY)
        return replace(
            known,
            checked_at=self.now,
            retry_at=self.now + rest,
            failures=known.failures + 1,
            failure=why[:500],
        )

    def _point(self, told: Sequence[Remote], copies: Mapping[str, Image], lacking: Iterable[Lacking]) -> None:
        """Store what was learned, and let posts show the copies; all of it, or nothing."""
        seqs = {one.seq for one in lacking if one.url in copies}
        if not told and not seqs:
            return
        base = f"{self.config.publication.url}media/"
        with self.store.write() as tx:
            stored.remember(tx, told)
            found = stored.shown(tx, seqs)
            changed = [replace(one, post=show(one.post, copies, base)) for one in found]
            posts.change(tx, [new for new, old in zip(changed, found, strict=True) if new != old])


def _notes(lacking: Iterable[Lacking], failed: Mapping[str, Remote], left: int) -> dict[str, list[str]]:
    notes: dict[str, list[str]] = {}
    source = ""
    for one in lacking:
        source = source or one.source
        remote = failed.get(one.url)
        if remote is not None and remote.retry_at is not None:
            fate = "the copy kept before is shown" if remote.copy else "it is shown from there"
            notes.setdefault(one.source, []).append(
                f"{one.source_key}: the picture {one.url[:300]} could not be copied: {remote.failure}; {fate}, and "
                f"it is tried again after {remote.retry_at:%Y-%m-%d %H:%M} UTC"
            )
    if left:
        notes.setdefault(source, []).append(f"{left} pictures wait for the next gathering")
    return {name: list(dict.fromkeys(said)) for name, said in notes.items()}


def show(post: Post, copies: Mapping[str, Image], base: str) -> Post:
    """Let a post show copies, by the URL of their originals, from below `base`; captions stay."""

    def shown(image: Image) -> Image:
        copy = None if image.large else copies.get(image.src)
        if copy is None:
            return image
        told = {"alt": image.alt, "caption": image.caption, "credit": image.credit, "lead": image.lead}
        return replace(copy, src=base + copy.large, **told)  # type: ignore[arg-type]  # each of its own type

    def element(match: re.Match[str]) -> str:
        told = {name: unescape(value) for name, value in _ATTRIBUTE.findall(match[1])}
        copy = copies.get(told.get("src", ""))
        if copy is None:
            return match[0]
        told |= {"src": base + copy.large, "width": str(copy.width), "height": str(copy.height)}
        first = [name for name in ("src", "alt", "width", "height") if name in told]
        written = (f'{name}="{_quoted(told[name])}"' for name in dict.fromkeys([*first, *told]))
        return f"<img {' '.join(written)}/>"

    images = tuple(map(shown, post.images))
    return (
        post
        if images == post.images
        else replace(post, images=images, body_html=_IMG.sub(element, post.body_html))
    )


def _quoted(value: str) -> str:
    return escape(value, quote=False).replace('"', "&quot;")
