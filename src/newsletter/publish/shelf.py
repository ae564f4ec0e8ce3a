"""The posts that are being looked at: read when they are needed, a few hundred at a time, and let go."""

from __future__ import annotations

from collections.abc import Iterable

from newsletter import feeds
from newsletter.feeds import Entry, Feed
from newsletter.model import Issue, Post
from newsletter.publish.marks import Marks
from newsletter.store import Tx, issues, posts

ROOM = 400  # posts that are kept


class Shelf:
    """Posts and their entries, from one reading transaction."""

    def __init__(self, tx: Tx, marks: Marks, feed: Feed) -> None:
        self._tx, self._marks, self._feed = tx, marks, feed
        self._posts: dict[int, Post] = {}
        self._entries: dict[int, Entry] = {}

    def posts(self, seqs: Iterable[int]) -> list[Post]:
        """Return live posts in this order, each reference under the title of the post that it leads to."""
        seqs = list(seqs)
        missing = {seq for seq in seqs if seq not in self._posts}
        if missing:
            if len(self._posts) + len(missing) > ROOM:
                self._posts = {seq: self._posts[seq] for seq in seqs if seq in self._posts}
                self._entries = {seq: self._entries[seq] for seq in self._posts if seq in self._entries}
            self._read(missing)
        return [self._posts[seq] for seq in seqs]

    def post(self, seq: int) -> Post:
        """Return one live post."""
        return self.posts([seq])[0]

    def entry(self, seq: int) -> Entry:
        """Return a post's entry, the same in every feed."""
        if seq not in self._entries:
            self._entries[seq] = feeds.entry_of_post(self._feed, self.post(seq))
        return self._entries[seq]

    def issue(self, issue_id: int) -> Issue:
        """Return an issue, whole."""
        found = issues.by_id(self._tx, issue_id)
        assert found is not None
        return found

    def _read(self, seqs: set[int]) -> None:
        found = posts.by_seqs(self._tx, seqs)
        told = {other for seq in seqs for other in self._marks.told.get(seq, ())}
        known = posts.outlines(self._tx, told) if told else []
        entitled = feeds.entitled(list(found.values()), self._feed, known)
        self._posts.update((post.seq, post) for post in entitled)
