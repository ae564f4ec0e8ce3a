"""Keys: short hashes over what a file is made of. A file whose key is the same would get the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import blake2b
from pathlib import Path

import newsletter
from newsletter import feeds
from newsletter.config import Config
from newsletter.feeds import links, text
from newsletter.model import Issue
from newsletter.store.facts import Facts, PostFact
from newsletter.templating import PACKAGED

#: What makes bytes of posts, besides libraries: a change in one of these makes everything anew.
_MAKERS = ("content", "digest/wording.py", "feeds", "pages", "publish", "templating.py")


def hashed(*parts: object) -> str:
    """Return a key over some parts, each by its text."""
    joined = "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return blake2b(joined, digest_size=12).hexdigest()


@dataclass(slots=True)
class Marks:
    """What each live post looks like wherever it appears: its digest, and those of posts that it refers to.

    `told` are the numbers of live posts that a post refers to, by its own number; `months` the months of posts as
    the addresses of listings and archives have them.
    """

    facts: Facts
    site: str
    by_seq: dict[int, PostFact] = field(default_factory=dict)
    told: dict[int, list[int]] = field(default_factory=dict)
    months: dict[int, str] = field(default_factory=dict)
    _marks: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Settle which post each reference leads to."""
        self.by_seq = {post.seq: post for post in self.facts.posts}
        self._marks = {post.seq: post.digest for post in self.facts.posts}
        self.months = _months(self.facts.posts)
        by_id = {post.id: post for post in self.facts.posts} if self.facts.references else {}
        by_page: dict[str, PostFact] = {}
        for seq, references in self.facts.references.items():
            if seq not in self.by_seq:
                continue
            parts = [self.by_seq[seq].digest]
            for url, post_id in references:
                told = by_id.get(post_id)
                if told is None:
                    by_page = by_page or {links.post_page(self.site, post): post for post in self.facts.posts}
                    told = by_page.get(text.web_link(url))
                if told is not None:
                    self.told.setdefault(seq, []).append(told.seq)
                parts.append(f"{post_id} {told.digest if told else ''}")
            self._marks[seq] = hashed(*parts)

    def of(self, posts: Iterable[PostFact]) -> str:
        """Return the marks of some posts, in their order."""
        marks = self._marks
        return " ".join([marks[post.seq] for post in posts])

    def by_month(self, posts: Iterable[PostFact]) -> dict[str, list[PostFact]]:
        """Return posts by their months, in their order."""
        months: dict[str, list[PostFact]] = {}
        for post in posts:
            months.setdefault(self.months[post.seq], []).append(post)
        return months

    def __getitem__(self, seq: int) -> str:
        """Return the mark of one post."""
        return self._marks[seq]


def mark_of_issue(issue: Issue) -> str:
    """Return what an issue looks like in a listing or a feed, and what its page holds."""
    told = (issue.newsletter, issue.number, issue.subject, issue.dated, issue.corrected_at)
    return hashed(*told, issue.sha256, issue.revision)


class Settings:
    """The keys of what every feed, or every page, is made of besides posts."""

    def __init__(self, config: Config) -> None:
        self._config = config

    @cached_property
    def feeds(self) -> str:
        """The program and the configuration."""
        told = self._config
        named = [(one.name, one.title, one.description) for one in told.newsletters]
        return hashed(_program(), told.publication.model_dump_json(), told.feeds.model_dump_json(), named)

    @cached_property
    def pages(self) -> str:
        """The same, the theme and the templates."""
        folders = (PACKAGED / "web", self._config.templates / "web")
        web = (self._config.web.signup, self._config.web_url)
        return hashed(self.feeds, web, self._config.theme.model_dump_json(), *map(hash_folder, folders))


@cache
def _program() -> str:
    package = Path(newsletter.__file__).parent
    return hashed(newsletter.__version__, *(hash_folder(package / name, "*.py") for name in _MAKERS))


def hash_folder(folder: Path, pattern: str = "*") -> str:
    """Return a hash over the names and bytes of a folder's files, or over one file."""
    files = sorted(folder.rglob(pattern)) if folder.is_dir() else [folder]
    told = blake2b(digest_size=12)
    for file in files:
        if file.is_file():
            told.update(f"{file.relative_to(folder.parent)}\0{file.stat().st_size}\0".encode())
            told.update(file.read_bytes())
    return told.hexdigest()


def key_of(post: PostFact) -> str:
    """Return how the editor knows a post: its source and the key there."""
    return f"{post.source}: {post.source_key}"


def _months(posts: Iterable[PostFact]) -> dict[int, str]:
    """Return the month of each post; the store's instants are in UTC, so that there are few to write out."""
    written: dict[tuple[int, int], str] = {}
    months = {}
    for post in posts:
        month = (post.published.year, post.published.month)
        if month not in written:
            written[month] = feeds.month_of(post.published)
        months[post.seq] = written[month]
    return months
