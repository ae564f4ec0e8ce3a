"""Publish: write feeds and pages into the public folder, only bytes that changed.

    facts | keys > stale documents | make > gate > tree

Of every post a line is read; a document whose key is that of the file there is neither made nor read.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from newsletter.config import Config
from newsletter.errors import NewsletterError, OutsideError
from newsletter.model import Finding
from newsletter.publish.gate import Gate
from newsletter.publish.manifest import Manifest
from newsletter.publish.marks import Marks, Settings
from newsletter.publish.parts import issue_feeds, parts_of
from newsletter.publish.plan import OUTLINE, Document, Plan, Works
from newsletter.publish.reading import TOMBSTONES, main_feed, site
from newsletter.publish.shelf import Shelf
from newsletter.publish.tree import Tree
from newsletter.store import Store, Tx, facts

if TYPE_CHECKING:
    from newsletter.publish.syndication import Syndication

__all__ = ["PublishReport", "publish", "site"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReport:
    """What publishing did. Paths are below the public folder; `foreign` are files there that are not ours."""

    written: tuple[str, ...] = ()
    unchanged: int = 0
    removed: tuple[str, ...] = ()
    refused: tuple[Finding, ...] = ()
    foreign: tuple[str, ...] = ()


def publish(store: Store, config: Config, *, now: datetime, every: bool = False) -> PublishReport:
    """Write what changed and remove what is no longer wanted; what cannot be published stays as it was.

    With `every`, each document is made anew and compared with its file. Raises OutsideError when another process
    publishes, or the folder cannot be written.
    """
    with store.lock("publish") as mine:
        if not mine:
            raise OutsideError(
                "it is being published already", where=str(config.public), remedy="Try again when it is done"
            )
        tree = Tree(public=config.public, manifest=Manifest(config.state / "published.json"))
        try:
            tree.open()
            with store.read() as tx:
                wanted, refused = _publish(tx, config, tree, every=every)
            left = tree.finish(wanted, everywhere=every)
        except OSError as e:
            if isinstance(e, NewsletterError):
                raise
            raise OutsideError(
                f"it cannot be written: {e.strerror or e}",
                where=str(e.filename or config.public),
                remedy="Check the folder, its permissions and the space left",
            ) from e
        finally:
            gc.enable()  # also when reading failed
            tree.abandon()
    written = tuple(dict.fromkeys(tree.written))
    return PublishReport(
        written=written,
        unchanged=sum(map(bool, tree.manifest.made.values())) - len(written),
        removed=tuple(tree.removed),
        refused=tuple(_once(refused)),
        foreign=tuple(left),
    )


def _publish(tx: Tx, config: Config, tree: Tree, *, every: bool) -> tuple[set[str], list[Finding]]:
    """Bring every file up to date; return which are wanted and what was refused."""
    from newsletter.publish.rendering import rendering
    from newsletter.publish.syndication import Syndication, remembered, to_remember

    gc.disable()  # the lines of ten thousand posts hold no cycles, and would be walked again and again
    read = facts.read(tx, tombstones=TOMBSTONES)
    marks = Marks(read, config.publication.url)
    works = Works(config, read, marks, Settings(config), Shelf(tx, marks, main_feed(config)))
    notes = tree.manifest.notes
    main = replace(main_feed(config), deleted=tuple(read.deleted))
    parts, letters = parts_of(main, read), issue_feeds(config, replace(main, deleted=()))
    plan, first = Plan(tree, every), Plan(tree, every)
    rendering(works, parts, letters).plan(plan, notes)
    gate = Gate(tree.same, remembered(works, notes.get("refused", [])))
    fed = Syndication(works, gate, main, parts if config.feeds.tags else [], letters)
    fed.plan(first)
    gc.enable()
    if plan.stale or first.stale:
        stale = {path for document in (*plan.stale, *first.stale) for path in document.paths}
        tree.begin(stale | {OUTLINE})
    refused = _make(plan, tree, works.shelf)
    last, of_feeds = _syndicate(fed, first, tree)
    notes["refused"] = to_remember(works, gate.refused)
    refused = [*gate.refused.values(), *gate.stopped, *plan.refused, *refused, *of_feeds]
    return plan.wanted | last, refused


def _syndicate(fed: Syndication, plan: Plan, tree: Tree) -> tuple[set[str], list[Finding]]:
    """Make the feeds; again, as long as the gate refuses another post."""
    while True:
        before = len(fed.gate.refused)
        refused = _make(plan, tree, fed.works.shelf)
        if len(fed.gate.refused) == before:
            break
        plan = Plan(tree)
        fed.plan(plan)
    last = Plan(tree)
    last.add(fed.outline())
    refused += _make(last, tree, fed.works.shelf)
    return plan.wanted | last.wanted, refused


def _make(plan: Plan, tree: Tree, shelf: Shelf) -> list[Finding]:
    """Make and write the stale documents; return those that could not be."""
    tree.begin(path for document in plan.stale for path in document.paths)
    refused = []
    for batch in plan.batches():
        shelf.posts({seq for document in batch for seq in document.seqs})
        for document in batch:
            data, told = _made(document)
            if told is not None:
                refused.append(told)
            if data is not None:
                key, dated = document.key, document.dated
                put = [(path, tree.put(path, some, key, dated)) for path, some in document.files(data)]
                refused += [_occupied(path) for path, done in put if not done]
    tree.flush()
    return refused


def _made(document: Document) -> tuple[bytes | None, Finding | None]:
    path = document.path
    try:
        return document.make(), None
    except FileNotFoundError as e:
        remedy = "Gather again, or restore the folder of pictures"
        return None, Finding(where=path, place=str(e.filename), rule="the picture is kept", remedy=remedy)
    except NewsletterError as e:
        return None, Finding(where=e.where or path, place=path, rule=e.what, remedy=e.remedy)
    except Exception as e:  # one page that cannot be made must not stop the others
        rule = f"it can be rendered: {type(e).__name__}: {e}"
        return None, Finding(where=path, place="", rule=rule, remedy="Mend the post or the template")


def _occupied(path: str) -> Finding:
    return Finding(
        where=path,
        place="",
        rule="a file is there that was not published by us",
        remedy="Move it away or delete it, then publish again",
    )


def _once(findings: list[Finding]) -> list[Finding]:
    """Say once what is wrong with many files alike, such as a template."""
    seen: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        seen.setdefault((one.where, one.rule), []).append(one)
    return [group[0] for group in seen.values()]
