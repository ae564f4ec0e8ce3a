"""What publishing decides by: of every live post a line, and never a text, however many there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import case, select

from newsletter.identity import PostState
from newsletter.model import Deleted, Issue, Placement
from newsletter.store import posts, schema
from newsletter.store.engine import Tx

_POSTS = schema.posts.c
_ISSUES = schema.issues.c


class PostFact(NamedTuple):
    """A live post in one line; `digest` changes whenever anything stored of the post does."""

    seq: int
    id: str
    source: str
    source_key: str
    slug: str
    url: str
    own_page: bool
    published: datetime
    updated: datetime
    digest: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is published, by its digests.

    `posts` are the live ones and `issues` those sent (without their page), newest first. What hangs on posts is by
    their numbers: `tags`, names of `authors`, the (URL, id) of `references`. `told` are the posts of each issue by
    the issue's id. `pictures` are the copies in use.
    """

    posts: list[PostFact]
    tags: dict[int, tuple[str, ...]]
    authors: dict[int, tuple[str, ...]]
    references: dict[int, list[tuple[str, str]]]
    pictures: set[str]
    deleted: list[Deleted]
    issues: list[Issue]
    told: dict[int, list[int]]


def read(tx: Tx, *, tombstones: int) -> Facts:
    """Read the facts, with that many of the latest deletions."""
    references = defaultdict(list)
    for seq, url, post_id in _hanging(tx, schema.post_references, "url", "post_id"):
        references[seq].append((url, post_id))
    pictures = (schema.post_images.c.small, schema.post_images.c.large)
    live = select(_POSTS.seq).where(_POSTS.state == PostState.LIVE)
    named = tx.execute(select(*pictures).where(schema.post_images.c.post_seq.in_(live)).distinct())
    return Facts(
        posts=_posts(tx),
        tags=_words(_hanging(tx, schema.post_tags, "tag")),
        authors=_words(_hanging(tx, schema.post_authors, "name")),
        references=dict(references),
        pictures={name for row in named for name in row if name},
        deleted=posts.deleted(tx, limit=tombstones),
        issues=_issues(tx),
        told=_told(tx),
    )


def _posts(tx: Tx) -> list[PostFact]:
    older = (
        _POSTS.fingerprint + " of an older store"
    )  # anything that changes it from now on gives it a digest
    digest = case((_POSTS.digest == "", older), else_=_POSTS.digest)
    columns = (digest if name == "digest" else _POSTS[name] for name in PostFact._fields)
    newest = (_POSTS.published.desc(), _POSTS.seq.desc())
    rows = tx.execute(select(*columns).where(_POSTS.state == PostState.LIVE).order_by(*newest))
    return list(map(PostFact._make, rows.all()))


def _hanging(tx: Tx, table: Any, *names: str) -> Iterable[Any]:
    """Return what hangs on posts in any state: leaving the others out would cost more than it saves."""
    columns = (table.c[name] for name in names)
    return tx.execute(select(table.c.post_seq, *columns).order_by(table.c.post_seq, table.c.position)).all()


def _words(rows: Iterable[Any]) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for seq, word in rows:
        found[seq] = (*found[seq], word) if seq in found else (word,)
    return found


def _issues(tx: Tx) -> list[Issue]:
    names = ("id", "newsletter", "number", "due", "state", "subject", "dated", "sha256", "revision")
    columns = (_ISSUES[name] for name in (*names, "corrected_at"))
    newest = (_ISSUES.composed_at.desc(), _ISSUES.id.desc())
    sent = (_ISSUES.released_at.is_not(None), _ISSUES.number > 0)
    rows = tx.execute(select(*columns).where(*sent).order_by(*newest))
    return [Issue(**row, html="") for row in rows.mappings()]


def _told(tx: Tx) -> dict[int, list[int]]:
    table = schema.issue_posts.c
    rows = tx.execute(
        select(table.issue_id, table.post_seq)
        .where(table.placement == Placement.INCLUDED)
        .order_by(table.issue_id, table.position)
    )
    found: dict[int, list[int]] = defaultdict(list)
    for issue_id, seq in rows:
        found[issue_id].append(seq)
    return dict(found)
