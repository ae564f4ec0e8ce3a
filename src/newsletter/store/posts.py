"""Posts and everything that hangs on them; a reading takes one query a table, however many posts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from typing import Any

from sqlalchemy import Select, Table, bindparam, case, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.identity import Known, Origin, PostState
from newsletter.model import (
    Author,
    Citation,
    ContentNote,
    Correction,
    Deleted,
    Enclosure,
    Image,
    Post,
    Reference,
    Relation,
)
from newsletter.store import bulk, schema
from newsletter.store.engine import Tx
from newsletter.store.traces import note_former

_POSTS = schema.posts
_OWN = (  # columns that are fields of the same name
    "seq",
    "id",
    "source",
    "source_key",
    "title",
    "published",
    "updated",
    "body_html",
    "summary",
    "url",
    "slug",
    "own_page",
    "language",
    "minor",
    "word_count",
    "date_only",
)
_COLUMNS = tuple(_POSTS.c[name] for name in (*_OWN, "dropped", "content_note", "note_shows_title"))
_HANGING: tuple[tuple[str, Table, type[Any]], ...] = (
    ("authors", schema.post_authors, Author),
    ("images", schema.post_images, Image),
    ("citations", schema.post_citations, Citation),
    ("references", schema.post_references, Reference),
    ("enclosures", schema.post_enclosures, Enclosure),
    ("corrections", schema.post_corrections, Correction),
)
_FIELDS = {noun: tuple(one.name for one in fields(noun)) for _, _, noun in _HANGING}
_KNOWN = tuple(one.name for one in fields(Known))
_CHUNK = 5_000  # numbers in one IN list: both databases allow more


@dataclass(frozen=True, slots=True)
class Filed:
    """A post as it is to be stored, with its number and id given."""

    post: Post
    state: PostState
    fingerprint: str


# Reading


def live_posts(tx: Tx, *, limit: int | None = None, tag: str | None = None) -> list[Post]:
    """Return the live posts, newest published first; with `tag`, those that carry exactly this tag."""
    wanted = (
        select(*_COLUMNS)
        .where(_POSTS.c.state == PostState.LIVE)
        .order_by(_POSTS.c.published.desc(), _POSTS.c.seq.desc())
        .limit(limit)
    )
    if tag is not None:
        tags = schema.post_tags.c
        wanted = wanted.where(_POSTS.c.seq.in_(select(tags.post_seq).where(tags.tag == tag)))
    return _assemble(tx, wanted)


def outlines(tx: Tx, seqs: Iterable[int] | None = None) -> list[Post]:
    """Return the live posts as others name them: nothing that hangs on them, a text only where they have no title.

    With `seqs`, those of these numbers: a few thousand at most.
    """
    titled = (func.trim(_POSTS.c.title) != "") | (func.trim(_POSTS.c.summary) != "")
    text = case((titled, ""), else_=_POSTS.c.body_html)
    columns = (text if column is _POSTS.c.body_html else column for column in _COLUMNS)
    wanted = select(*columns).where(_POSTS.c.state == PostState.LIVE)
    if seqs is not None:
        wanted = wanted.where(_POSTS.c.seq.in_(sorted(seqs)))
    return [_post(row) for row in tx.execute(wanted.order_by(_POSTS.c.published.desc(), _POSTS.c.seq.desc()))]


def words(tx: Tx) -> tuple[set[str], set[str]]:
    """Return every tag and every author's name of live posts."""
    live = select(_POSTS.c.seq).where(_POSTS.c.state == PostState.LIVE)
    found = (
        tx.execute(select(column).where(column.table.c.post_seq.in_(live)).distinct()).scalars()
        for column in (schema.post_tags.c.tag, schema.post_authors.c.name)
    )
    tags, authors = map(set, found)
    return tags, authors


def by_seqs(tx: Tx, seqs: Iterable[int]) -> dict[int, Post]:
    """Return posts in any state by their numbers; numbers that name none are left out."""
    found: dict[int, Post] = {}
    for chunk in _chunks(sorted(set(seqs))):
        found.update({post.seq: post for post in _assemble(tx, _select(_POSTS.c.seq.in_(chunk)))})
    return found


def live_by_seqs(tx: Tx, seqs: Iterable[int]) -> dict[int, Post]:
    """Return the live posts among these numbers."""
    live = _select(_POSTS.c.seq.in_(sorted(set(seqs))), _POSTS.c.state == PostState.LIVE)
    return {post.seq: post for post in _assemble(tx, live)}


def by_slug(tx: Tx, slug: str) -> Post | None:
    """Return the live post whose slug this is."""
    return next(iter(_assemble(tx, _select(_POSTS.c.slug == slug, _POSTS.c.state == PostState.LIVE))), None)


def by_id(tx: Tx, post_id: str) -> Post | None:
    """Return the post with this Atom id, in any state."""
    return next(iter(_assemble(tx, _select(_POSTS.c.id == post_id))), None)


def state_of(tx: Tx, seq: int) -> PostState | None:
    """Return where a post stands, None when there is no such post."""
    state = tx.scalar(select(_POSTS.c.state).where(_POSTS.c.seq == seq))
    return None if state is None else PostState(state)


def deleted(tx: Tx, *, limit: int | None = None) -> list[Deleted]:
    """Return the withdrawn posts, the latest withdrawal first."""
    columns = (_POSTS.c.id, _POSTS.c.deleted_at, _POSTS.c.url, _POSTS.c.title)
    rows = tx.execute(
        select(*columns)
        .where(_POSTS.c.state == PostState.DELETED, _POSTS.c.deleted_at.is_not(None))
        .order_by(_POSTS.c.deleted_at.desc(), _POSTS.c.seq.desc())
        .limit(limit)
    )
    return [Deleted(id=post_id, when=when, url=url, title=title) for post_id, when, url, title in rows]


def known(tx: Tx, *, held_by: str | None = None) -> list[Known]:
    """Return what matching needs to know of every stored post, in order of first sight.

    With `held_by`, only of the posts of that source that wait for their date.
    """
    wanted = select(*(_POSTS.c[name] for name in _KNOWN)).order_by(_POSTS.c.seq)
    if held_by is not None:
        wanted = wanted.where(_POSTS.c.source == held_by, _POSTS.c.state == PostState.HELD)
    return [_known(row) for row in tx.execute(wanted)]


def origins(tx: Tx, source: str) -> dict[str, Origin]:
    """Return every key of a source with the post it names."""
    table = schema.post_origins.c
    rows = tx.execute(select(table.source_key, table.post_seq, table.digest).where(table.source == source))
    return {key: Origin(seq, digest) for key, seq, digest in rows}


def _select(*where: Any) -> Select[Any]:
    return select(*_COLUMNS).where(*where).order_by(_POSTS.c.seq)


def _assemble(tx: Tx, wanted: Select[Any]) -> list[Post]:
    """Run a selection of posts, then one query for each table that hangs on them."""
    rows = tx.execute(wanted).all()
    if not rows:
        return []
    numbers = wanted.with_only_columns(_POSTS.c.seq)
    hanging = [(name, _hanging(tx, table, noun, numbers)) for name, table, noun in _HANGING]
    tags: dict[int, list[str]] = defaultdict(list)
    for seq, tag in _hanging_rows(tx, schema.post_tags, ("tag",), numbers):
        tags[seq].append(tag)
    posts = []
    for row in rows:
        seq = row[0]
        hung = {name: tuple(found[seq]) for name, found in hanging if seq in found}
        posts.append(_post(row, **hung, tags=tuple(tags.get(seq, ()))))
    return posts


def _post(row: Sequence[Any], **hung: Any) -> Post:
    *own, dropped, note, shows_title = row
    values: dict[str, Any] = dict(zip(_OWN, own, strict=True))
    return Post(
        **values,
        **hung,
        dropped=tuple(dropped),
        content_note=None if note is None else ContentNote(text=note, show_title=shows_title),
    )


def _hanging(tx: Tx, table: Table, noun: type[Any], numbers: Select[Any]) -> dict[int, list[Any]]:
    names = _FIELDS[noun]
    found: dict[int, list[Any]] = {}
    for seq, *row in _hanging_rows(tx, table, names, numbers):
        values: dict[str, Any] = dict(zip(names, row, strict=True))
        if noun is Reference:
            values["relation"] = Relation(values["relation"])
        found.setdefault(seq, []).append(noun(**values))
    return found


def _hanging_rows(tx: Tx, table: Table, names: Iterable[str], numbers: Select[Any]) -> Iterable[Any]:
    columns = (table.c[name] for name in names)
    return tx.execute(
        select(table.c.post_seq, *columns)
        .where(table.c.post_seq.in_(numbers))
        .order_by(table.c.post_seq, table.c.position)
    )


def _known(row: Iterable[Any]) -> Known:
    values: dict[str, Any] = dict(zip(_KNOWN, row, strict=True))
    return Known(**{**values, "state": PostState(values["state"])})


def _chunks(numbers: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(numbers)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


# Writing


def add(tx: Tx, filed: Sequence[Filed], *, now: datetime) -> None:
    """Store posts seen for the first time at `now`, under the numbers they carry."""
    if filed:
        tx.execute(insert(_POSTS), [{**_row(one), "first_seen": now} for one in filed])
        _hang(tx, [one.post for one in filed])


def change(tx: Tx, filed: Sequence[Filed]) -> None:
    """Store posts anew under their numbers; when they were first seen stays, and what they were called is kept."""
    if not filed:
        return
    note_former(tx, {one.post.seq: one.post for one in filed}, _chunks(one.post.seq for one in filed))
    rows = [_row(one) for one in filed]
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in rows[0] if name != "seq"}
    tx.execute(
        update(_POSTS).where(_POSTS.c.seq == bindparam("this")).values(values),
        [{"this": row.pop("seq"), **{f"new_{name}": row[name] for name in row}} for row in rows],
    )
    for chunk in _chunks(one.post.seq for one in filed):
        for table in (schema.post_tags, *(table for _, table, _ in _HANGING)):
            tx.execute(delete(table).where(table.c.post_seq.in_(chunk)))
    _hang(tx, [one.post for one in filed])


def set_state(tx: Tx, seq: int, state: PostState, *, now: datetime) -> None:
    """Move a post to another state; a deletion is dated `now` and leaves a tombstone."""
    when = now if state is PostState.DELETED else None
    tx.execute(update(_POSTS).where(_POSTS.c.seq == seq).values(state=state.value, deleted_at=when))


def release_due(tx: Tx, *, now: datetime, source: str = "", beside: Iterable[str] = ()) -> None:
    """Make held posts live whose date has come: of one source, or of every source but those named `beside`."""
    whose = _POSTS.c.source == source if source else _POSTS.c.source.not_in(list(beside))
    due = (whose, _POSTS.c.state == PostState.HELD, _POSTS.c.published <= now)
    tx.execute(update(_POSTS).where(*due).values(state=PostState.LIVE.value))


def add_origins(tx: Tx, source: str, named: Mapping[str, Origin], *, now: datetime) -> None:
    """Note which post each of a source's keys names, with the digest of the item taken."""
    if not named:
        return
    table = schema.post_origins
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    changes = {name: statement.excluded[name] for name in ("post_seq", "digest", "seen_at")}
    tx.execute(
        statement.on_conflict_do_update(index_elements=["source", "source_key"], set_=changes),
        [
            {"source": source, "source_key": key, "post_seq": seq, "digest": digest, "seen_at": now}
            for key, (seq, digest) in named.items()
        ],
    )


def unlinked_references(tx: Tx) -> list[tuple[int, int, str]]:
    """Return (post, position, url) of every reference whose post is not known yet."""
    table = schema.post_references.c
    rows = tx.execute(select(table.post_seq, table.position, table.url).where(table.post_id == ""))
    return [(seq, position, url) for seq, position, url in rows]


def link_references(tx: Tx, linked: Iterable[tuple[int, int, str]]) -> None:
    """Fill in the id of the post that each (post, position) refers to."""
    table = schema.post_references
    rows = [{"this": seq, "place": position, "to": post_id} for seq, position, post_id in linked]
    if rows:
        here = (table.c.post_seq == bindparam("this"), table.c.position == bindparam("place"))
        tx.execute(update(table).where(*here).values(post_id=bindparam("to")), rows)


def _row(filed: Filed) -> dict[str, Any]:
    post = filed.post
    note = post.content_note
    return {
        **{name: getattr(post, name) for name in _OWN},
        "dropped": list(post.dropped),
        "content_note": note and note.text,
        "note_shows_title": note is not None and note.show_title,
        "state": filed.state.value,
        "fingerprint": filed.fingerprint,
        "digest": blake2b(repr(post).encode("utf-8", "replace"), digest_size=12).hexdigest(),
    }


def _hang(tx: Tx, posts: Sequence[Post]) -> None:
    tags = [(post.seq, position, tag) for post in posts for position, tag in enumerate(post.tags)]
    bulk.insert(tx, schema.post_tags, ("post_seq", "position", "tag"), tags)
    for name, table, noun in _HANGING:
        rows = [
            {"post_seq": post.seq, "position": position, **{key: getattr(one, key) for key in _FIELDS[noun]}}
            for post in posts
            for position, one in enumerate(getattr(post, name))
        ]
        if rows:
            tx.execute(insert(table), rows)
