"""A WordPress site as a source, by its REST API: published posts, only what changed, and what is no more.

Between two gatherings the site is asked for what was modified since (with a day of overlap: it may count in a zone
of its own). Once a day all numbers are listed with the time of their last change, which finds what that missed and
what was deleted, made private or put behind a password. Options: none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from newsletter.content import clean_line
from newsletter.errors import ConfigError, InputError, SourceError
from newsletter.fetch import Fetched
from newsletter.model import Post, Rejected
from newsletter.sources import SourceContext, SourceState, visits
from newsletter.sources.entries import to_post
from newsletter.sources.wordpress_api import STATUSES, Api, Interrupted, Refused, find_root
from newsletter.sources.wordpress_posts import EMBED, FIELDS, entry_of, guid_of, left_out, link_of, stamp_of

_OVERLAP = timedelta(days=1)
_SWEEP = timedelta(days=1)  # between two listings of all numbers
_AT_ONCE = 100  # numbers named in one question
_WHOLE = {"_embed": EMBED, "_fields": FIELDS}
_STAMPS = {"_fields": "id,modified,modified_gmt"}

#: What is remembered of a post: its last change, its key (empty: left out), if that is its guid, if it was rejected.
Known = list[Any]


class WordPressSource:
    """Reads the posts of one site; `url` is the site's or its API's."""

    def __init__(self, context: SourceContext) -> None:
        if context.source.url is None:
            raise ConfigError(
                f"source {context.source.name!r} of kind wordpress needs a url",
                where="newsletter.toml: sources",
                remedy='Add: url = "https://…"',
            )
        self._context = context
        self._site = context.source.url

    def posts(self, state: SourceState) -> Iterator[Post | Rejected]:
        """Yield what is new or changed."""
        memory = dict(state.memory)
        reading = _Reading(self._context, memory, state)
        early = visits.too_early(memory, self._context, self._site)
        if early:
            state.notes.append(early)
        else:
            yield from reading.run(self._site)
        reading.remember()


class _Reading:
    """One gathering: what is known of each post, by its number, grows as posts are read."""

    def __init__(self, context: SourceContext, memory: dict[str, Any], state: SourceState) -> None:
        self._context = context
        self._memory = memory
        self._state = state
        self._known: dict[int, Known] = {int(n): list(one) for n, one in memory.get("posts", {}).items()}
        self._guids = {one[1]: number for number, one in self._known.items() if one[2]}
        self._read: set[int] = set()
        self._left: Counter[str] = Counter()
        again = {one[1] for one in self._known.values() if one[1] in state.again and not one[3]}
        self._again = {number for number, one in self._known.items() if one[1] in again}

    def run(self, site: str) -> Iterator[Post | Rejected]:
        """Read what is due; what a server that gives up on the way did not tell is read the next time."""
        try:
            api = Api(self._root(site), self._ask, int(self._memory.get("size", 100)))
            yield from self._posts(api)
            self._memory["unfinished"] = ""
            self._memory["size"] = api.size
        except Interrupted as e:
            self._memory["unfinished"] = "yes"
            if isinstance(e.__cause__, SourceError) and "not_before" in e.__cause__.remember:
                self._memory["not_before"] = e.__cause__.remember["not_before"]
            self._state.notes.append(f"the rest is gathered the next time: {e}")
        except SourceError as e:
            told = e
            if isinstance(e, Refused):
                told = visits.refusal(e.what, self._context, where=e.where, remedy=e.remedy)
            told.remember["api"] = ""  # it may be somewhere else by now
            raise told from e

    def remember(self) -> None:
        """Keep what is known, and say what was not read because it is unchanged."""
        for number, one in self._known.items():
            if one[1] and number not in self._read:
                self._state.unchanged.add(one[1])
        if self._left:
            told = (f"{count} {what}{'s' if count > 1 else ''}" for what, count in sorted(self._left.items()))
            self._state.notes.append(f"left out: {', '.join(told)}")
        self._state.memory.update(self._memory, posts={str(n): one for n, one in self._known.items()})

    # Asking

    def _root(self, site: str) -> str:
        root = self._memory.get("api")
        if not root:
            root = self._memory["api"] = find_root(site, self._ask)
        return str(root)

    def _ask(self, url: str) -> Fetched:
        answer = visits.visit(
            url,
            self._memory,
            self._context,
            anew=True,
            accept="application/json, */*;q=0.5",
            statuses=STATUSES,
        )
        if "wp/v2/posts" in url:
            self._note_move(answer)
        return answer

    def _note_move(self, answer: Fetched) -> None:
        """Ask an API that has moved for good at its new place once that was seen twice, in two gatherings."""
        there = answer.moved_to.partition("/wp/v2/posts")[0]
        seen, when = self._memory.get("moved", ["", ""])
        now = self._context.now.isoformat()
        if there and seen == there and when != now:
            self._memory["api"] = f"{there}/"
            self._state.notes.append(
                f"its API has moved for good to {there}/: correct url in newsletter.toml"
            )
        self._memory["moved"] = [there, when if seen == there and when else now]

    # Deciding what to read

    def _posts(self, api: Api) -> Iterator[Post | Rejected]:
        if not self._known:
            yield from self._first(api)
        elif self._sweep_is_due():
            yield from self._sweep(api)
        else:
            yield from self._recent(api)
        yield from self._named(api, sorted(self._again - self._read))

    def _sweep_is_due(self) -> bool:
        swept = self._memory.get("swept", "")
        return bool(
            self._memory.get("unfinished")
            or not swept
            or not timedelta(0) <= self._context.now - datetime.fromisoformat(swept) < _SWEEP
        )

    def _first(self, api: Api) -> Iterator[Post | Rejected]:
        """Read everything, in the order in which posts came: new ones go to the end."""
        totals = set()
        for page in api.pages({**_WHOLE, "orderby": "id", "order": "asc"}):
            totals.add(api.total)
            yield from self._items(page)
        if totals == {len(self._read)}:
            self._swept()
        else:
            yield from self._sweep(
                api
            )  # posts came and went meanwhile, or it does not say how many there are

    def _recent(self, api: Api) -> Iterator[Post | Rejected]:
        """Read what was modified since; a site that does not sort or filter by it is swept."""
        cut = self._newest() - _OVERLAP
        since = {"orderby": "modified", "order": "desc", "modified_after": f"{cut:%Y-%m-%dT%H:%M:%S}Z"}
        try:
            for page in api.pages({**_WHOLE, **since}):
                stamps = [stamp_of(one) for one in page]
                if "" in stamps or stamps != sorted(stamps, reverse=True):
                    break
                yield from self._items(page)
                if stamps and stamps[-1] < f"{cut - _OVERLAP:%Y-%m-%dT%H:%M:%S}":
                    return  # the site took no notice of modified_after
            else:
                return
        except Refused as e:
            if e.code != "rest_invalid_param":
                raise
        yield from self._sweep(api)

    def _newest(self) -> datetime:
        """Return the last change that is known and not in the future."""
        now = f"{self._context.now:%Y-%m-%dT%H:%M:%S}"
        stamps = [one[0] for one in self._known.values() if one[0] <= now]
        return datetime.fromisoformat(max(filter(None, stamps), default="2000-01-01T00:00:00"))

    def _sweep(self, api: Api) -> Iterator[Post | Rejected]:
        """List every number with its last change; read those that differ, forget those that are no more."""
        numbers = {**_STAMPS, "orderby": "id", "order": "asc"}
        found = {one["id"]: stamp_of(one) for page in api.pages(numbers) for one in page}
        missing = sorted(self._known.keys() - found.keys())
        for batch in _batches(missing):  # a deletion meanwhile may have hidden others from the listing
            include = {**_STAMPS, "include": ",".join(map(str, batch))}
            found |= {one["id"]: stamp_of(one) for page in api.pages(include) for one in page}
        changed = [n for n, stamp in found.items() if n not in self._known or self._known[n][0] != stamp]
        yield from self._named(api, sorted(set(changed) - self._read))
        for number in self._known.keys() - found.keys() - self._read:
            del self._known[number]
        self._swept()

    def _swept(self) -> None:
        self._memory["swept"] = self._context.now.isoformat()
        self._state.complete = True

    def _named(self, api: Api, numbers: list[int]) -> Iterator[Post | Rejected]:
        """Read the posts of these numbers."""
        for batch in _batches(numbers):
            include = {**_WHOLE, "orderby": "id", "order": "asc", "include": ",".join(map(str, batch))}
            for page in api.pages(include):
                yield from self._items([one for one in page if one["id"] in batch])

    # Reading

    def _items(self, page: list[dict[str, Any]]) -> Iterator[Post | Rejected]:
        for told in page:
            number, known = told["id"], self._known.get(told["id"])
            if number in self._read:
                continue
            if known and known[0] == stamp_of(told) and number not in self._again:
                continue
            self._read.add(number)
            reason = left_out(told)
            if reason:
                self._left[reason] += 1
                self._known[number] = [stamp_of(told), "", 0, 0]
            else:
                yield self._post(number, told)

    def _post(self, number: int, told: dict[str, Any]) -> Post | Rejected:
        guid = guid_of(told)
        mine = self._guids.setdefault(guid, number) == number if guid else False
        known = self._known.get(number)
        key = (known and known[1]) or (guid if mine else "") or link_of(told) or f"post {number}"
        where = link_of(told) or f"{self._site_name()} post {number}"
        try:
            made: Post | Rejected = to_post(
                entry_of(told, key=key, where=where, known_as=guid if mine else ""), self._context
            )
        except InputError as e:
            title = told.get("title")
            made = Rejected(
                source=self._context.source.name,
                source_key=key,
                where=where,
                reason=e.what,
                remedy=e.remedy,
                excerpt=clean_line(str(title.get("rendered", "")) if isinstance(title, dict) else "")[:200],
            )
        self._known[number] = [stamp_of(told), key, int(mine), int(isinstance(made, Rejected))]
        return made

    def _site_name(self) -> str:
        return str(self._memory.get("api", ""))


def _batches(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), _AT_ONCE):
        yield numbers[start : start + _AT_ONCE]
