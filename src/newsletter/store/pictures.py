"""Pictures of other sites: which posts show them, what was kept of them, and when to ask again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from newsletter.identity import PostState
from newsletter.model import Image
from newsletter.store import posts, schema
from newsletter.store.engine import Tx

_PICTURES, _POSTS, _IMAGES = schema.pictures, schema.posts.c, schema.post_images.c
_CHUNK = 1000
_SHOWN = (PostState.LIVE.value, PostState.HELD.value)


class Lacking(NamedTuple):
    """A picture in a post of which no copy is kept."""

    seq: int
    source: str
    source_key: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """What is known of a picture elsewhere; `copy` describes what was kept of it, its `src` empty."""

    url: str
    checked_at: datetime
    copy: Image | None = None
    etag: str = ""
    last_modified: str = ""
    retry_at: datetime | None = None
    failures: int = 0
    failure: str = ""


def lacking(tx: Tx, sources: Collection[str]) -> list[Lacking]:
    """Return the pictures on the web of which posts of these sources have no copy, in order of first sight."""
    columns = (_IMAGES.post_seq, _POSTS.source, _POSTS.source_key, _IMAGES.src)
    rows = tx.execute(
        select(*columns)
        .join(schema.posts, _POSTS.seq == _IMAGES.post_seq)
        .where(_IMAGES.large == "", _IMAGES.src.like("http%"))
        .where(_POSTS.state.in_(_SHOWN), _POSTS.source.in_(list(sources)))
        .order_by(_IMAGES.post_seq, _IMAGES.position)
    )
    return [Lacking(*row) for row in rows]


def remembered(tx: Tx, urls: Iterable[str]) -> dict[str, Remote]:
    """Return what is known of pictures by their URLs."""
    found, wanted = {}, sorted(set(urls))
    names = ("url", "checked_at", "etag", "last_modified", "retry_at", "failures", "failure")
    columns = tuple(_PICTURES.c[name] for name in names)
    for start in range(0, len(wanted), _CHUNK):
        some = _PICTURES.c.url.in_(wanted[start : start + _CHUNK])
        for *row, copy in tx.execute(select(*columns, _PICTURES.c.copy).where(some)):
            told: dict[str, Any] = dict(zip(names, row, strict=True))
            found[told["url"]] = Remote(**told, copy=Image(**copy) if copy else None)
    return found


def remember(tx: Tx, pictures: Iterable[Remote]) -> None:
    """Note what is known now of pictures."""
    rows = []
    for one in pictures:
        row = {name: getattr(one, name) for name in Remote.__slots__}
        rows.append({**row, "copy": asdict(one.copy) if one.copy else {}})
    if not rows:
        return
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(_PICTURES)
    changes = {name: statement.excluded[name] for name in Remote.__slots__ if name != "url"}
    tx.execute(statement.on_conflict_do_update(index_elements=["url"], set_=changes), rows)


def shown(tx: Tx, seqs: Iterable[int]) -> list[posts.Filed]:
    """Return posts as they are stored, those that are live or wait for their date."""
    found = posts.by_seqs(tx, seqs)
    rows = tx.execute(
        select(_POSTS.seq, _POSTS.state, _POSTS.fingerprint).where(
            _POSTS.seq.in_(sorted(found)), _POSTS.state.in_(_SHOWN)
        )
    )
    return [posts.Filed(found[seq], PostState(state), fingerprint) for seq, state, fingerprint in rows]


def waiting(tx: Tx) -> int:
    """Count the pictures that could not be copied when they were last asked for."""
    return int(tx.scalar(select(func.count()).where(_PICTURES.c.failures > 0)) or 0)


def plain(image: Image) -> Image:
    """Return what is the same of a copy wherever it is shown."""
    return replace(image, src="", alt="", caption="", credit="", lead=False)
