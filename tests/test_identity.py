"""Identity: names, hashes and decisions, as pure functions of values."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.identity import (
    Decider,
    Index,
    Kind,
    Known,
    PostState,
    canonical_url,
    is_absolute_id,
    make_slug,
    mint_id,
    unstorable,
    url_key,
    weigh,
)
from newsletter.model import Author, Correction, Post, Rejected

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
POST = Post(
    source="a",
    source_key="k",
    title="A title",
    published=NOW - DAY,
    updated=NOW - DAY,
    body_html="<p>Some <b>text</b> &amp; more</p>",
    summary="Some text",
)
DECIDER = Decider(NOW, {"a": 10, "b": 20})


def known(post: Post = POST, seq: int = 1, state: PostState = PostState.LIVE) -> Known:
    return Known(
        seq=seq,
        id=post.id or f"id {seq}",
        source=post.source,
        source_key=post.source_key,
        title=post.title,
        state=state,
        published=post.published,
        updated=post.updated,
        fingerprint=weigh(post).fingerprint,
        url=post.url,
        slug=post.slug,
        own_page=post.own_page,
    )


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("HTTP://Example.ORG:80/A?utm_source=x&b=1&UTM_Medium=y#part", "http://example.org/A?b=1"),
        ("https://example.org:443", "https://example.org/"),
        ("https://example.org:8443/x?fbclid=1&gclid=2&mc_cid=3&_hsenc=4", "https://example.org:8443/x"),
        ("https://[2001:DB8::1]:443/x", "https://[2001:db8::1]/x"),
        ("https://example.org/?p=12&utm_campaign=z", "https://example.org/?p=12"),
        ("mailto:ada@example.org", "mailto:ada@example.org"),
        ("http://[broken", "http://[broken"),
        ("http://example.org:99999/", "http://example.org:99999/"),
    ],
)
def test_a_canonical_url_names_the_page_and_not_the_way_there(url: str, canonical: str) -> None:
    assert canonical_url(url) == canonical


@given(st.text(max_size=80))
@example("\x0c#")
@example("a \x1d?utm_source=1")
def test_canonical_is_idempotent_for_any_text(text: str) -> None:
    for url in (text, f"https://example.org/{text}", f"https://example.org/?{text}"):
        once = canonical_url(url)
        assert canonical_url(once) == once


@pytest.mark.parametrize(
    "other",
    [
        "https://example.org/2026/caf%C3%A9",
        "http://example.org/2026/café/",
        "https://EXAMPLE.org/2026/caf%c3%a9/?utm_source=feed",
        "https://example.org:443/2026/café#more",
    ],
)
def test_one_page_has_one_key(other: str) -> None:
    assert url_key(other) == url_key("https://example.org/2026/café/") != ""


@pytest.mark.parametrize(
    "url", ["", "https://example.org", "https://example.org/", "ftp://example.org/x", "x"]
)
def test_what_names_no_page_has_no_key(url: str) -> None:
    assert url_key(url) == ""


@pytest.mark.parametrize(
    "value",
    [
        "tag:example.org,2026:x",
        "urn:uuid:1225c695-cfb8-4ebb-aaaa-80da344efa6a",
        "http://example.org/?p=1",
        "https://exämple.org/ü",
        "HTTP://EXAMPLE.org/%7efoo",
    ],
)
def test_absolute_ids_are_taken(value: str) -> None:
    assert is_absolute_id(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "12345",
        "posts/1",
        "/posts/1",
        "http:///x",
        "http://",
        "C:\\x",
        "tag: x",
        "a:b\nc",
        "x:" + "y" * 3000,
    ],
)
def test_other_ids_are_not(value: str) -> None:
    assert not is_absolute_id(value)


def test_an_id_is_minted_from_the_slug_and_never_given_twice() -> None:
    post = replace(POST, slug="my-post")
    first = mint_id("tag:example.org,2026-01-01:", post, set())
    assert first == "tag:example.org,2026-01-01:posts/my-post"
    assert mint_id("tag:example.org,2026-01-01:", post, {first}) == f"{first}-2"
    assert mint_id("tag:example.org,2026-01-01:", post, {first, f"{first}-2"}) == f"{first}-3"


def test_an_id_without_slug_is_the_same_whenever_it_is_made() -> None:
    ids = {mint_id("tag:x,2026:", replace(POST, source_key=key), set()) for key in ("k", "k", "j")}
    assert len(ids) == 2
    assert all(is_absolute_id(one) for one in ids)


@given(st.text(max_size=200), st.sets(st.sampled_from(["a", "a-2", "post"])))
def test_a_slug_is_made_of_any_title(title: str, taken: set[str]) -> None:
    slug = make_slug(replace(POST, title=title), taken)
    assert slug not in taken
    assert slug == slug.strip("-")
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 0 < len(slug) <= 70


def test_markup_and_white_space_are_no_news() -> None:
    same = replace(
        POST, body_html="<p>Some\n<strong>te</strong>xt &#38; <em>more</em></p>\n", title=" A  title "
    )
    assert weigh(same).fingerprint == weigh(POST).fingerprint
    assert weigh(same).digest != weigh(POST).digest


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Other"},
        {"summary": "Other"},
        {"body_html": "<p>Other</p>"},
        {"corrections": (Correction(when=NOW, text="Wrong"),)},
    ],
)
def test_another_text_is(change: dict[str, object]) -> None:
    assert weigh(replace(POST, **change)).fingerprint != weigh(POST).fingerprint  # type: ignore[arg-type]  # fields of Post


def test_a_digest_notices_every_field_but_the_number() -> None:
    assert weigh(replace(POST, seq=9)).digest == weigh(POST).digest
    assert weigh(replace(POST, tags=("x",))).digest != weigh(POST).digest


@pytest.mark.parametrize("bad", ["\0", "\ud800", "x\udfffy"])
def test_characters_that_no_store_takes_are_found_anywhere(bad: str) -> None:
    assert unstorable(replace(POST, title=bad))
    assert unstorable(replace(POST, authors=(Author(name="x", uri=bad),)))
    assert unstorable(Rejected(source="s", source_key=bad, where="", reason=""))
    assert not unstorable(POST)


def test_a_new_post_is_live_and_a_future_one_held() -> None:
    decision = DECIDER.decide(weigh(POST), None, None)
    assert (decision.kind, decision.state, decision.post) == (Kind.NEW, PostState.LIVE, POST)
    future = replace(POST, published=NOW + DAY, updated=NOW + 2 * DAY)
    decision = DECIDER.decide(weigh(future), None, None)
    assert (decision.kind, decision.state) == (Kind.HELD, PostState.HELD)
    assert decision.post is not None
    assert decision.post.updated == future.published


@given(st.integers(-9, 9), st.integers(-9, 9), st.booleans(), st.booleans())
def test_dates_told_to_readers_never_go_back(published: int, updated: int, minor: bool, other: bool) -> None:
    changes = {"published": NOW + published * DAY, "updated": NOW + updated * DAY, "minor": minor}
    item = weigh(replace(POST, **changes, title="Other" if other else POST.title))  # type: ignore[arg-type]  # fields of Post
    post = DECIDER.decide(item, known(), None).post
    assert post is not None
    assert post.published == POST.published
    assert POST.updated <= post.updated <= NOW
    if minor:
        assert post.updated == POST.updated


def test_priority_says_whose_text_wins() -> None:
    mine, theirs = POST, replace(POST, source="b", title="Theirs")
    assert DECIDER.decide(weigh(theirs), known(mine), None).kind is Kind.UNCHANGED
    assert DECIDER.decide(weigh(mine), known(theirs), None).kind is Kind.CHANGED
    gone = replace(POST, source="no longer configured", title="Old")
    assert DECIDER.decide(weigh(theirs), known(gone), None).kind is Kind.CHANGED
    equal = Decider(NOW, {"a": 10, "b": 10})
    assert equal.decide(weigh(theirs), known(mine), None).kind is Kind.UNCHANGED


def test_a_post_in_anothers_place_is_a_conflict_that_names_both() -> None:
    other = known(replace(POST, source="b", source_key="other.md", title="Other", slug="x"), seq=2)
    decision = DECIDER.decide(weigh(replace(POST, slug="x", own_page=True)), None, other)
    assert decision.kind is Kind.CONFLICT
    assert decision.post is None
    assert "'x'" in decision.note
    assert "other.md of source b (Other)" in decision.note
    assert DECIDER.decide(weigh(replace(POST, slug="x")), known(), other).kind is Kind.CONFLICT


def test_an_index_forgets_the_former_names_of_a_post() -> None:
    index = Index("https://example.org/posts/{}/")
    post = replace(POST, slug="x", own_page=True)
    index.add(known(post))
    assert index.reference("http://example.org/posts/x?utm_source=a") == "id 1"
    assert index.find(weigh(replace(post, source_key="new", title="New")), {"new"}) is not None
    index.add(known(replace(post, slug="y", title="Edited")))
    assert index.reference("https://example.org/posts/x/") == ""
    assert index.claimant(post, 0) is None
    assert index.find(weigh(replace(post, source_key="new")), {"new"}) is None


def test_a_post_without_url_is_found_at_our_own_page() -> None:
    index = Index("https://example.org/posts/{}/")
    index.add(known(replace(POST, slug="x", own_page=True)))
    told = replace(POST, source="b", url="https://example.org/posts/x/", title="Another title")
    found = index.find(weigh(told), {"k"})
    assert found is not None
    assert found.seq == 1
