"""What is to be published: every file of the tree, by what key it is made and how. What is intact is left at that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from gzip import compress

from newsletter.config import Config
from newsletter.model import Finding
from newsletter.publish.files import is_safe
from newsletter.publish.marks import Marks, Settings
from newsletter.publish.shelf import ROOM, Shelf
from newsletter.publish.tree import Tree
from newsletter.store.facts import Facts

OUTLINE = "feeds/feeds.opml"
ZIPPED = ("", ".gz", ".br")


@dataclass(slots=True)
class Document:
    """One file: its path below the root, the key over all that it is made of, what makes its bytes (None: not now).

    `seqs` are the posts that it needs, to be read ahead; `dated` is the modification time that is set. What is
    `zipped` has its compressed forms beside it.
    """

    path: str
    key: str
    make: Callable[[], bytes | None]
    seqs: Sequence[int] = ()
    dated: datetime | None = None
    zipped: bool = False

    @property
    def paths(self) -> list[str]:
        """The file and its compressed forms."""
        return [self.path + ending for ending in ZIPPED] if self.zipped else [self.path]

    def files(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield each file with its bytes; they depend on nothing else."""
        yield self.path, data
        if self.zipped:
            import brotli

            yield f"{self.path}.gz", compress(data, mtime=0)
            yield f"{self.path}.br", brotli.compress(data, quality=9)


@dataclass(slots=True)
class Plan:
    """The files that are wanted, and the documents that are stale; `every` makes all of them so."""

    tree: Tree
    every: bool = False
    wanted: set[str] = field(default_factory=set)
    stale: list[Document] = field(default_factory=list)
    refused: list[Finding] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def keep(self, path: str, key: str) -> bool:
        """Tell whether the file at a path is intact, and keep it then; quicker than adding a document."""
        if self.every or path in self._taken or not self.tree.intact(path, key):
            return False
        self._taken.add(path)
        self.wanted.add(path)
        return True

    def add(self, document: Document) -> bool:
        """Plan a document; False when another one has its path."""
        if document.path in self._taken:
            return False
        self._taken.add(document.path)
        paths = document.paths
        if self.every or not all(self.tree.intact(path, document.key) for path in paths):
            if not is_safe(document.path):
                self.refused.append(_unsafe(document.path))
                return True
            self.stale.append(document)
        self.wanted.update(paths)
        return True

    def batches(self) -> Iterator[list[Document]]:
        """Yield the stale documents in their order, as many at once as can be read ahead together."""
        batch: list[Document] = []
        seqs: set[int] = set()
        for document in self.stale:
            if batch and len(seqs.union(document.seqs)) > ROOM:
                yield batch
                batch, seqs = [], set()
            batch.append(document)
            seqs.update(document.seqs)
        if batch:
            yield batch


@dataclass(frozen=True, slots=True)
class Works:
    """What all planning needs: the facts, their marks, the keys of what is set, and where posts are read."""

    config: Config
    facts: Facts
    marks: Marks
    settings: Settings
    shelf: Shelf


def _unsafe(path: str) -> Finding:
    return Finding(
        where=path,
        place="",
        rule="this path cannot be a file below the root",
        remedy="Give the post another slug",
    )
