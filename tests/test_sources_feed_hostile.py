"""Feeds as a source: what is hostile, broken or merely odd does no harm."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import PublicationFactory
from feeding import DATED, NOW, atom, only_post, only_rejected, read, rss
from newsletter.config import SourceConfig
from newsletter.errors import InputError
from newsletter.model import Post, Rejected
from newsletter.sources import SourceContext, SourceState
from newsletter.sources.feed import FeedSource
from newsletter.sources.feed_formats import read_feed


@pytest.fixture
def context(publication: PublicationFactory) -> SourceContext:
    """Give the context of a feed in the file feed.xml."""
    config = publication({"sources": [{"name": "feed", "kind": "feed", "path": "feed.xml"}]})
    return SourceContext(config=config, source=config.sources[0], now=NOW)


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY a{n} "&a{n - 1 if n else ""};&a{n - 1 if n else ""};">' for n in range(30))
    + f"]>{rss(f'<item><title>&a29;</title>{DATED}</item>')}"
)


OUTSIDE = (
    f'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>{rss(f"<item><title>&x;</title>{DATED}</item>")}'
)


@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_doctype_with_entities_is_refused(context: SourceContext, text: str, encoding: str) -> None:
    rejected = only_rejected(read(context, text.encode(encoding)))
    assert "internal subset" in rejected.reason


def test_a_doctype_inside_a_text_is_only_text(context: SourceContext) -> None:
    item = f"<item><title>T</title>{DATED}<description><![CDATA[<!DOCTYPE x [ ]>]]></description></item>"
    only_post(read(context, rss(item)))


@pytest.mark.parametrize(
    "text",
    [
        rss("<a>" * 200_000),
        "<rss>" + "<a " * 500_000,
        "<rss>" + '<a b="' * 300_000,
        "<rss><!DOCTYPE " * 100_000,
        "<rss>" + "<![CDATA[" * 300_000,
        atom("<entry>" * 99 + "</entry>" * 99),
    ],
    ids=["deep", "open tags", "open quotes", "doctypes", "open sections", "entries in entries"],
)
def test_hostile_shapes_are_dealt_with_quickly(context: SourceContext, text: str) -> None:
    began = time.process_time()
    read(context, text)
    assert time.process_time() - began < 5


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300), st.text(max_size=300).map(lambda text: rss(f"<item>{text}</item>").encode())
    )
)
@example(b"\xfe\xff")
def test_any_bytes_are_entries_or_one_clear_refusal(data: bytes) -> None:
    try:
        entries = read_feed(data, where="x", base="https://a.example.com/")
    except InputError as e:
        reason = str(e)
        assert reason
    else:
        assert all(entry.key for entry in entries)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


FIELDS = ["id", "url", "title", "content_html", "content_text", "summary", "image", "date_published"]


FIELDS += ["date_modified", "authors", "author", "tags", "attachments", "external_url", "language"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6), max_size=3))
def test_any_json_items_are_entries(items: list[dict[str, Any]]) -> None:
    data = json.dumps({"version": "https://jsonfeed.org/version/1", "items": items}).encode()
    assert len(read_feed(data, where="x", base="")) == len(items)


def corpus_context(context: SourceContext, path: Path) -> SourceContext:
    source = SourceConfig(name="feed", kind="feed", path=path)
    return SourceContext(config=context.config, source=source, now=NOW)


def test_every_feed_of_the_corpus_is_gathered_or_refused(context: SourceContext, shared_data: Path) -> None:
    """464 files; almost none of their items has a date, so those that hold items are mostly rejected for it."""
    paths = sorted((shared_data / "feeds").rglob("*.xml"))
    assert len(paths) == 464
    reasons: Counter[str] = Counter()
    for path in paths:
        state = SourceState()
        items = list(FeedSource(corpus_context(context, path)).posts(state))
        assert items or any("holds no items" in note for note in state.notes), path
        assert all(isinstance(item, Post) or (item.reason and item.remedy) for item in items)
        reasons.update(
            re.sub(r": .*", "", item.reason) if isinstance(item, Rejected) else "post" for item in items
        )
        reasons["no items"] += not items
    assert reasons == {
        "it has no date": 314,
        "it has neither title nor text": 3,
        "nothing of it can be read": 3,
        "no items": 144,
    }


def test_nothing_of_the_sanitiser_corpus_runs(context: SourceContext, shared_data: Path) -> None:
    """Its items are dated here, so that their texts go all the way."""
    paths = sorted((shared_data / "feeds" / "wellformed" / "sanitize").rglob("*.xml"))
    posts = 0
    for path in paths:
        data = path.read_bytes()
        data = data.replace(b"<item>", b"<item><title>T</title>" + DATED.encode()).replace(
            b"<entry>",
            b"<entry><title>T</title><published>2026-11-02T09:00:00Z</published>"
            b"<issued>2026-11-02T09:00:00Z</issued>",
        )
        for item in read(context, data):
            if isinstance(item, Post):
                posts += 1
                assert not re.search(
                    r"<(script|iframe|object|embed|applet|frame|style|link|meta|form)\b", item.body_html
                )
                assert not re.search(r"<[^>]*\s(on\w+|style)\s*=|javascript:", item.body_html), path
                assert "<" not in item.title or "&" not in item.title
    assert posts == 194, "every item of these files"
