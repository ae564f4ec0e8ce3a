"""Whole feeds of hostile posts: what goes out passes the gate, who stays out is named, the rest is published."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from awkward import FEED, POSTS, PREFIX
from newsletter import feeds
from newsletter.model import Post
from newsletter.publish.gate import FORMS, Gate, Item
from test_feeds import NASTY, nasty_posts

GOOD = POSTS[5]
MARKUP = st.one_of(
    NASTY.map(lambda text: f"<p>{text}</p>"),
    NASTY.map(lambda text: f'<p><a href="{text}">x</a><img src="{text}" alt="{text}">'),
    st.sampled_from(
        [
            "<script>x</script>",
            "<p onclick=x>",
            "<svg><style><img src=/x>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]>&b;",
        ]
    ),
)


@st.composite
def hostile(draw: st.DrawFn) -> Post:
    """Draw a post that went past the content pipeline: markup, id and language are nasty as well."""
    one = draw(nasty_posts())
    identity = draw(st.one_of(st.just(one.id), NASTY, st.just(f"{PREFIX}1")))
    return replace(one, body_html=draw(MARKUP), id=identity, language=draw(NASTY), tags=(draw(NASTY),))


def published(name: str, document: bytes) -> list[str]:
    if name == "json":
        return [item["id"] for item in json.loads(document)["items"]]
    root: Any = etree.fromstring(document)
    if name == "rss":
        return [guid.text for guid in root.iter("guid")]
    return [str(one) for one in root.xpath("//*[local-name()='entry']/*[local-name()='id']/text()")]


@settings(max_examples=40, deadline=None)
@given(st.lists(hostile(), max_size=5))
def test_hostile_posts_never_stop_the_others(some: list[Post]) -> None:
    posts = [*(replace(one, source_key=f"hostile-{n}.md") for n, one in enumerate(some)), GOOD]
    gate = Gate(lambda path, document: False)

    def choose() -> list[Item]:
        fit = [one for one in posts if one.source_key not in gate.refused]
        return [Item(one.source_key, partial(feeds.entry_of_post, FEED, one)) for one in fit]

    for form in FORMS:
        document, entries = gate.build(FEED, form[0], form, choose)
        assert document is not None
        assert gate.stopped == []
        assert not [one for one in form[2](document, form[0]) if one.error]
        assert published(form[0], document) == [one.id for one in entries]
        assert GOOD.id in published(form[0], document)
        assert len(entries) + len(gate.refused) == len(posts)
    assert all(one.rule and one.remedy.endswith("it is left out") for one in gate.refused.values())
