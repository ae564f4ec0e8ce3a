"""The gate: a feed goes out only when it is valid; the item at fault is found and left out, the rest goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from newsletter import feeds
from newsletter.checks.feeds import check_atom, check_json_feed, check_rss
from newsletter.feeds import Entry, Feed
from newsletter.model import Finding

Make = Callable[[Feed, Sequence[Entry]], bytes]
Check = Callable[[bytes, str], list[Finding]]

#: The three forms of a feed: which address is its, who makes it, who checks it.
FORMS: tuple[tuple[str, Make, Check], ...] = (
    ("atom", feeds.atom, check_atom),
    ("rss", feeds.rss, check_rss),
    ("json", feeds.json_feed, check_json_feed),
)


@dataclass(frozen=True, slots=True)
class Item:
    """What may stand in a feed: `key` names it to the editor (a file, an entry's id, an issue)."""

    key: str
    entry: Callable[[], Entry]


@dataclass(slots=True)
class Gate:
    """Remembers which items were left out, and why; `known` tells of bytes that have passed before."""

    known: Callable[[str, bytes], bool]
    refused: dict[str, Finding] = field(default_factory=dict)
    stopped: list[Finding] = field(default_factory=list)

    def build(
        self, feed: Feed, path: str, form: tuple[str, Make, Check], choose: Callable[[], list[Item]]
    ) -> tuple[bytes | None, list[Entry]]:
        """Return a document that passes, without the items at fault; None when none can be had.

        `choose` gives the items again without those in `refused`.
        """
        _, make, check = form
        while True:
            items = choose()
            document, entries, findings = self._attempt(feed, path, (make, check), items)
            if not findings:
                return document, entries
            if not self._blame(feed, path, (make, check), items):
                self.stopped.append(replace(findings[0], where=path))
                return None, []

    def _attempt(
        self, feed: Feed, path: str, form: tuple[Make, Check], items: Sequence[Item]
    ) -> tuple[bytes, list[Entry], list[Finding]]:
        make, check = form
        try:
            entries = [item.entry() for item in items]
            document = make(feed, entries)
        except Exception as e:  # an item that cannot be written at all must not stop the others
            told = Finding(
                where=path,
                place="",
                rule=f"it can be written: {type(e).__name__}: {e}",
                remedy="Mend the post",
            )
            return b"", [], [told]
        if self.known(path, document):
            return document, entries, []
        return document, entries, [one for one in check(document, path) if one.error]

    def _blame(self, feed: Feed, path: str, form: tuple[Make, Check], items: Sequence[Item]) -> bool:
        """Check each item alone, and once more for an id that stands twice; tell whether any is at fault."""
        before = len(self.refused)
        ids: dict[str, str] = {}
        alone = replace(feed, deleted=())
        for item in items:
            _, entries, findings = self._attempt(alone, path, form, [item])
            if findings:
                told = findings[0]
                self.refused[item.key] = replace(
                    told, where=item.key, remedy=f"{told.remedy}; it is left out"
                )
            elif entries[0].id in ids:
                self.refused[item.key] = Finding(
                    where=item.key,
                    place=f"entry ({entries[0].id})",
                    rule=f"an id is one post's alone; {ids[entries[0].id]} has it too",
                    remedy="Give one of them another id; it is left out",
                )
            else:
                ids[entries[0].id] = item.key
        return len(self.refused) > before
