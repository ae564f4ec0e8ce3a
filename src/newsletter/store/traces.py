"""What posts leave in the published tree, and what they left there under the names that they had before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import literal, select
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.identity import PostState
from newsletter.model import Post
from newsletter.store import schema
from newsletter.store.engine import Tx

_POSTS = schema.posts.c
_FORMER = schema.former_words.c
_PAGED = (_POSTS.own_page.in_((True,)), _POSTS.slug != "")


@dataclass(frozen=True, slots=True)
class Traces:
    """Slugs of pages, tags, authors' names."""

    slugs: set[str]
    tags: set[str]
    authors: set[str]


@dataclass(frozen=True, slots=True)
class Renamed:
    """A live post whose page was at `before`; its page is now at `url`, or at `slug` when that is empty."""

    before: str
    url: str
    slug: str


def traces(tx: Tx) -> tuple[Traces, Traces]:
    """Return the traces of live posts, and those that were left: of withdrawn posts, and of former words."""
    live, dead = (_traces(tx, state) for state in (PostState.LIVE, PostState.DELETED))
    slugs, tags, authors = (
        set(tx.scalars(select(_FORMER.word).where(_FORMER.kind == kind).distinct()))
        for kind in ("slug", "tag", "author")
    )
    return live, Traces(dead.slugs | slugs, dead.tags | tags, dead.authors | authors)


def renamed(tx: Tx) -> list[Renamed]:
    """Return the live posts that had a page of ours at another slug, in the order of their numbers."""
    joined = schema.former_words.join(schema.posts, _FORMER.post_seq == _POSTS.seq)
    somewhere = (_POSTS.url != "") | (_POSTS.own_page.in_((True,)) & (_POSTS.slug != ""))
    rows = tx.execute(
        select(_FORMER.word, _POSTS.url, _POSTS.slug)
        .select_from(joined)
        .where(_FORMER.kind == "slug", _POSTS.state == PostState.LIVE, somewhere)
        .order_by(_POSTS.seq, _FORMER.word)
    )
    return [Renamed(*row) for row in rows]


def note_former(tx: Tx, posts: Mapping[int, Post], chunks: Iterable[Sequence[int]]) -> None:
    """Remember the words of live posts that they lose by being stored anew; to be called before that."""
    rows = []
    for chunk in chunks:
        for seq, kind, word in _words(tx, chunk):
            if word and word not in _called(posts[seq], kind):
                rows.append({"post_seq": seq, "kind": kind, "word": word})
    if rows:
        dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
        tx.execute(dialect.insert(schema.former_words).on_conflict_do_nothing(), rows)


def _words(tx: Tx, seqs: Sequence[int]) -> Iterable[Any]:
    live = (_POSTS.seq.in_(seqs), _POSTS.state == PostState.LIVE)
    yield from tx.execute(select(_POSTS.seq, literal("slug"), _POSTS.slug).where(*live, *_PAGED)).all()
    for kind, table, name in (("tag", schema.post_tags, "tag"), ("author", schema.post_authors, "name")):
        words = select(table.c.post_seq, literal(kind), table.c[name])
        here = select(_POSTS.seq).where(*live)
        yield from tx.execute(words.where(table.c.post_seq.in_(here)).distinct()).all()


def _called(post: Post, kind: str) -> Iterable[str]:
    if kind == "slug":
        return [post.slug] if post.own_page else []
    return post.tags if kind == "tag" else [author.name for author in post.authors]


def _traces(tx: Tx, state: PostState) -> Traces:
    slugs = tx.scalars(select(_POSTS.slug).where(_POSTS.state == state, *_PAGED))
    here = select(_POSTS.seq).where(_POSTS.state == state)
    tags, authors = (
        set(tx.scalars(select(column).where(column.table.c.post_seq.in_(here)).distinct()))
        for column in (schema.post_tags.c.tag, schema.post_authors.c.name)
    )
    return Traces(set(slugs), tags, authors)
