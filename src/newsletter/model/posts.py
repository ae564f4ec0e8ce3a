"""Posts and what hangs on them, and what became of items on their way in."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who wrote a post: a name or handle, perhaps with a home page. `email` is never published by default."""

    name: str
    uri: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture in a post.

    `src` is the absolute URL that appears in the body. `width` and `height` are CSS pixels, 0 when unknown.
    `small` and `large` are file names under `media/` of the resized copies (at most 600 and 1,200 px wide),
    empty for a picture that was not copied. `sha256` is the original's, in hex;
    `size` is the large copy's, in bytes.
    """

    src: str
    alt: str = ""
    caption: str = ""
    credit: str = ""
    width: int = 0
    height: int = 0
    media_type: str = ""
    small: str = ""
    large: str = ""
    sha256: str = ""
    size: int = 0
    lead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A quoted or cited work; `text` is the whole citation as the reader sees it."""

    text: str
    url: str = ""
    title: str = ""
    author: str = ""
    publisher: str = ""
    place: str = ""
    kind: str = ""
    date: str = ""


class Relation(StrEnum):
    """How a post refers to an earlier own post; the last two become `thr:in-reply-to` (RFC 4685)."""

    RELATED = "related"
    FOLLOW_UP = "follow-up"
    CORRECTION = "correction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A link to an earlier own post, by its canonical URL; `post_id` is filled when the store knows it."""

    url: str
    title: str = ""
    relation: Relation = Relation.RELATED
    post_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosure:
    """A file attached to a post; `length` in bytes, 0 when unknown."""

    url: str
    media_type: str
    length: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What was put right in a post after it was published."""

    when: datetime
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentNote:
    """A warning said before anything else of a post; the title is shown only when the note allows it."""

    text: str
    show_title: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One article, the same in every feed, digest and page.

    `source` and `source_key` say where it came from and how that source names it (path, entry id, guid).
    `id` is the Atom id: a source fills it only with a valid absolute id of the post's own, else it is empty
    and minted once at first sight. `seq` is the order of first sight, 0 before the store has seen the post.
    `body_html` is sanitised, with absolute URLs. `url` is the canonical page, empty when only `slug` is
    known (the page is then ours, at `posts/SLUG/`). `own_page` is true when publishing must write that page.
    `date_only` is true when the source gave no time of day.
    """

    source: str
    source_key: str
    title: str
    published: datetime
    updated: datetime
    body_html: str
    summary: str
    id: str = ""
    seq: int = 0
    url: str = ""
    slug: str = ""
    own_page: bool = False
    language: str = ""
    authors: tuple[Author, ...] = ()
    tags: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()
    citations: tuple[Citation, ...] = ()
    references: tuple[Reference, ...] = ()
    enclosures: tuple[Enclosure, ...] = ()
    corrections: tuple[Correction, ...] = ()
    content_note: ContentNote | None = None
    minor: bool = False
    word_count: int = 0
    date_only: bool = False
    dropped: tuple[str, ...] = ()  # what the pipeline could not keep, in words an editor understands


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An item a source could not turn into a post; it waits in quarantine with its reason.

    `where` is the file or URL, with `:LINE` behind it where there is one; `excerpt` the offending line. `mark`
    changes when the item does, if its source can tell; else these words stand for it.
    """

    source: str
    source_key: str
    where: str
    reason: str
    remedy: str = ""
    excerpt: str = ""
    mark: str = ""

    def marked(self) -> Self:
        """Give it a mark, made of its words, unless its source gave one."""
        words = "\0".join(astuple(self)).encode("utf-8", "replace")
        return self if self.mark else replace(self, mark=blake2b(words, digest_size=12).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """An item in quarantine as an editor sees it; one that is `ignored` is not reported until it changes.

    `id` is short, made of source and key, and stays as long as they do.
    """

    id: str
    source: str
    source_key: str
    where: str
    reason: str
    remedy: str
    excerpt: str
    first_seen: datetime
    last_seen: datetime
    ignored: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """A post that was withdrawn: what a tombstone (RFC 6721) needs."""

    id: str
    when: datetime
    url: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherReport:
    """What one gathering of one source did, by titles.

    `held` are posts dated in the future, `withdrawn` those hidden or deleted because the source no longer has them.
    `ignored` counts what is in quarantine beside `quarantined`, by the editor's word.
    """

    source: str
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: int = 0
    held: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    quarantined: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = field(default=())
    failed: str = ""  # the source as a whole could not be read
    ignored: int = 0
