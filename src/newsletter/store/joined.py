"""Several functions in one transaction: a store whose every transaction is one that is open already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from newsletter.store.engine import Store, Tx


class Joined(Store):
    """Gives functions that open a transaction the caller's; what they do is undone when the caller fails."""

    def __init__(self, store: Store, tx: Tx) -> None:
        self.url, self.dialect, self.instance = store.url, store.dialect, store.instance
        self._tx = tx

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Give the caller's transaction."""
        yield self._tx

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """Give the caller's transaction."""
        yield self._tx

    def scrub(self) -> None:
        """Do nothing: it is the caller's, after the end of the transaction."""

    def close(self) -> None:
        """Do nothing: the store is the caller's."""
