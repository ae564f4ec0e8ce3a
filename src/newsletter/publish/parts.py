"""Parts of the posts: those of a tag, those of an author."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from newsletter import feeds
from newsletter.config import Config
from newsletter.feeds import Feed
from newsletter.publish.reading import part_feed
from newsletter.store.facts import Facts, PostFact


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the posts, newest first: those of a tag or an author, under `FOLDER/` and `feeds/FOLDER/`."""

    folder: str
    title: str
    feed: Feed
    posts: list[PostFact]


def parts_of(main: Feed, facts: Facts) -> list[Part]:
    """Group the posts by tag and by author, under the newest spelling; a sole author needs no part."""
    tags, authors = _grouped(facts, facts.tags), _grouped(facts, facts.authors)
    named = [("tags", tags), *([("authors", authors)] if len(authors) > 1 else [])]
    return [
        Part(f"{kind}/{slug}", word, _feed(main, kind, slug, word), some)
        for kind, groups in named
        for slug, (word, some) in sorted(groups.items())
    ]


def issue_feeds(config: Config, main: Feed) -> dict[str, Feed]:
    """Return the feed of issues of each newsletter."""
    return {
        one.name: part_feed(
            main,
            f"issues/{one.name}",
            one.title,
            f"{main.site}issues/{one.name}/",
            subtitle=" ".join(one.description.split()),
        )
        for one in config.newsletters
    }


def _feed(main: Feed, kind: str, slug: str, word: str) -> Feed:
    folder = f"{kind}/{quote(slug)}"
    return part_feed(main, folder, f"{main.title}: {word}", f"{main.site}{folder}/")


def _grouped(facts: Facts, words: Mapping[int, tuple[str, ...]]) -> dict[str, tuple[str, list[PostFact]]]:
    groups: dict[str, tuple[str, list[PostFact]]] = {}
    for post in facts.posts:
        for slug, word in _spelled(words.get(post.seq, ())):
            if slug in groups:
                groups[slug][1].append(post)
            else:
                groups[slug] = (" ".join(word.split()), [post])
    return groups


@lru_cache(maxsize=4096)
def _spelled(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return one spelling of each word by its slug."""
    return sorted({feeds.word_slug(word): word for word in reversed(words) if word.strip()}.items())
