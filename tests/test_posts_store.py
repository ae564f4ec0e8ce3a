"""Posts and sources in the store, on both databases."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields, replace

import pytest
from sqlalchemy import event

from newsletter.identity import Origin, PostState
from newsletter.model import (
    Author,
    Citation,
    ContentNote,
    Correction,
    Enclosure,
    Image,
    Post,
    Reference,
    Rejected,
    Relation,
)
from newsletter.store import Store, Tx, posts, sources, traces

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def full(seq: int, **changes: object) -> Post:
    """Make a post in which every field says something."""
    post = Post(
        source="posts",
        source_key=f"{seq}.md",
        title=f"Title {seq} — “ü𝕏”",
        published=NOW - dt.timedelta(days=100 - seq),
        updated=NOW - dt.timedelta(days=50, microseconds=7),
        body_html="<p>Text</p>",
        summary="Summary",
        id=f"tag:example.org,2026:posts/{seq}",
        seq=seq,
        url=f"https://example.org/posts/{seq}/",
        slug=f"post-{seq}",
        own_page=True,
        language="en-AU",
        authors=(
            Author(name="Ada", uri="https://example.org/ada", email="ada@example.org"),
            Author(name="Bo"),
        ),
        tags=("b", "a", f"t{seq % 2}"),
        images=(
            Image(
                src="https://example.org/media/x.jpg",
                alt="Alt",
                caption="Caption",
                credit="Credit",
                width=600,
                height=400,
                media_type="image/jpeg",
                small="s.jpg",
                large="l.jpg",
                sha256="00",
                size=1234,
                lead=True,
            ),
            Image(src="https://example.org/media/y.jpg"),
        ),
        citations=(
            Citation(
                text="Whole",
                url="https://example.com/",
                title="T",
                author="A",
                publisher="P",
                place="Brussels",
                kind="press release",
                date="2026",
            ),
        ),
        references=(
            Reference(
                url="https://example.org/posts/1/", title="One", relation=Relation.CORRECTION, post_id="x"
            ),
            Reference(url="https://example.org/posts/2/"),
        ),
        enclosures=(
            Enclosure(url="https://example.org/a.mp3", media_type="audio/mpeg", length=2**40, title="A"),
        ),
        corrections=(Correction(when=NOW, text="Was wrong"),),
        content_note=ContentNote(text="Grave", show_title=False),
        minor=True,
        word_count=7,
        date_only=True,
        dropped=("a script was removed",),
    )
    return replace(post, **changes)  # type: ignore[arg-type]  # the tests name fields of Post


def file(store: Store, *stored: Post, state: PostState = PostState.LIVE) -> None:
    with store.write() as tx:
        posts.add(tx, [posts.Filed(post, state, f"print {post.seq}") for post in stored], now=NOW)


def statements(tx: Tx) -> list[str]:
    """Collect the statements that run from now on."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(tx, "before_cursor_execute", note)
    return seen


def test_a_post_comes_back_as_it_was(store: Store) -> None:
    plain = Post(
        source="s",
        source_key="k",
        title="T",
        published=NOW,
        updated=NOW,
        body_html="",
        summary="",
        id="i",
        seq=2,
    )
    assert all(getattr(full(1), one.name) for one in fields(Post)), "the example leaves no field empty"
    file(store, full(1), plain)
    with store.read() as tx:
        assert posts.live_posts(tx) == [plain, full(1)]
        assert posts.by_seqs(tx, [2, 1, 3]) == {1: full(1), 2: plain}
        assert posts.by_slug(tx, "post-1") == full(1)
        assert posts.by_slug(tx, "no") is None
        assert posts.by_id(tx, "i") == plain
        assert posts.by_id(tx, "j") is None
        assert posts.by_seqs(tx, []) == {}


def test_a_change_replaces_everything_that_hangs_on_a_post(store: Store) -> None:
    file(store, full(1), full(2))
    less = full(1, tags=(), images=(), content_note=None, authors=(Author(name="New"),), title="New")
    with store.write() as tx:
        posts.change(tx, [posts.Filed(less, PostState.LIVE, "new print")])
    with store.read() as tx:
        assert posts.by_seqs(tx, [1, 2]) == {1: less, 2: full(2)}
        assert [known.fingerprint for known in posts.known(tx)] == ["new print", "print 2"]


def test_what_a_post_was_called_is_kept(store: Store) -> None:
    file(store, full(1, slug="one", url="", own_page=True), full(2, url="", own_page=True))
    file(store, full(3, slug="held"), state=PostState.HELD)
    for slug, tags in (("uno", ("new",)), ("one", ("new",)), ("eins", ("new",))):
        changed = full(1, slug=slug, url="", own_page=True, tags=tags, authors=(Author(name="New"),))
        with store.write() as tx:
            posts.change(tx, [posts.Filed(changed, PostState.LIVE, "")])
            posts.change(tx, [posts.Filed(full(3, slug="other", tags=()), PostState.HELD, "")])
    with store.read() as tx:
        live, left = traces.traces(tx)
        assert traces.renamed(tx) == [traces.Renamed("one", "", "eins"), traces.Renamed("uno", "", "eins")]
    assert left.slugs == {"one", "uno"}
    assert {"eins", full(2).slug} == live.slugs
    assert left.tags == set(full(1).tags)
    assert left.authors == {one.name for one in full(1).authors}


def test_live_posts_are_the_newest_first_then_the_last_seen(store: Store) -> None:
    same = full(3).published
    file(store, full(1), full(2, published=same), full(3), full(4))
    file(store, full(5), state=PostState.HELD)
    file(store, full(6), state=PostState.HIDDEN)
    with store.read() as tx:
        assert [post.seq for post in posts.live_posts(tx)] == [4, 3, 2, 1]
        assert [post.seq for post in posts.live_posts(tx, limit=2)] == [4, 3]
        assert [post.seq for post in posts.live_posts(tx, tag="t1")] == [3, 1]
        assert posts.live_posts(tx, tag="t1", limit=1) == [full(3)]
        assert posts.live_posts(tx, tag="T1") == []
        assert posts.by_slug(tx, "post-5") is None


def test_a_thousand_posts_are_read_in_a_handful_of_queries(store: Store) -> None:
    file(store, *(full(seq) for seq in range(1, 1001)))
    with store.read() as tx:
        seen = statements(tx)
        found = posts.live_posts(tx)
    assert [post.seq for post in found[:2]] == [1000, 999]
    assert found[-1] == full(1)
    assert len(seen) == 8, "posts, and one for each table that hangs on them"


def test_a_withdrawn_post_leaves_a_tombstone(store: Store) -> None:
    file(store, full(1), full(2))
    with store.write() as tx:
        posts.set_state(tx, 1, PostState.DELETED, now=NOW)
        posts.set_state(tx, 2, PostState.HIDDEN, now=NOW)
    with store.read() as tx:
        (tombstone,) = posts.deleted(tx)
        assert (tombstone.id, tombstone.when, tombstone.url) == (full(1).id, NOW, full(1).url)
        assert posts.live_posts(tx) == []
        assert posts.state_of(tx, 1) is PostState.DELETED
        assert posts.state_of(tx, 2) is PostState.HIDDEN
        assert posts.state_of(tx, 3) is None
    with store.write() as tx:
        posts.set_state(tx, 1, PostState.LIVE, now=NOW)
    with store.read() as tx:
        assert posts.deleted(tx) == []


def test_held_posts_are_released_when_due(store: Store) -> None:
    day = dt.timedelta(days=1)
    file(
        store,
        full(1, published=NOW),
        full(2, published=NOW + day),
        full(3, published=NOW, source="other"),
        state=PostState.HELD,
    )
    with store.read() as tx:
        assert [known.seq for known in posts.known(tx, held_by="posts")] == [1, 2]
    with store.write() as tx:
        posts.release_due(tx, now=NOW, source="posts")
    with store.read() as tx:
        assert [post.seq for post in posts.live_posts(tx)] == [1]
    with store.write() as tx:
        posts.release_due(tx, now=NOW + day, beside=["posts"])
    with store.read() as tx:
        assert [post.seq for post in posts.live_posts(tx)] == [3, 1]
        assert [known.seq for known in posts.known(tx, held_by="posts")] == [2]


def test_origins_name_posts_and_can_be_changed(store: Store) -> None:
    file(store, full(1), full(2))
    with store.write() as tx:
        posts.add_origins(tx, "posts", {"a": Origin(1, "x"), "b": Origin(2, "y")}, now=NOW)
        posts.add_origins(tx, "other", {"a": Origin(1, "z")}, now=NOW)
        posts.add_origins(tx, "posts", {"b": Origin(1, "w")}, now=NOW)
        posts.add_origins(tx, "posts", {}, now=NOW)
    with store.read() as tx:
        assert posts.origins(tx, "posts") == {"a": Origin(1, "x"), "b": Origin(1, "w")}
        assert posts.origins(tx, "other") == {"a": Origin(1, "z")}
        assert posts.origins(tx, "none") == {}


def test_references_are_linked_once_their_post_is_known(store: Store) -> None:
    file(store, full(1))
    with store.write() as tx:
        assert posts.unlinked_references(tx) == [(1, 1, "https://example.org/posts/2/")]
        posts.link_references(tx, [(1, 1, "tag:two")])
        posts.link_references(tx, [])
        assert posts.unlinked_references(tx) == []
        assert [reference.post_id for reference in posts.by_seqs(tx, [1])[1].references] == ["x", "tag:two"]


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    def stop() -> None:
        with store.write() as tx:
            posts.add(tx, [posts.Filed(full(1), PostState.LIVE, "")], now=NOW)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        stop()
    with store.read() as tx:
        assert posts.known(tx) == []


def test_a_source_remembers(store: Store) -> None:
    with store.read() as tx:
        assert sources.memory(tx, "feed") == {}
    for number, failure in ((1, ""), (2, "it cannot be read")):
        with store.write() as tx:
            sources.remember(tx, "feed", {"etag": 'W/"ü"', "n": number}, now=NOW, failure=failure)
    with store.read() as tx:
        assert sources.memory(tx, "feed") == {"etag": 'W/"ü"', "n": 2}
        assert sources.failures(tx) == {"feed": "it cannot be read"}


def test_quarantine_keeps_the_latest_reason_and_lets_go(store: Store) -> None:
    first = Rejected(
        source="a", source_key="k", where="k:3", reason="bad", remedy="mend", excerpt="date: never"
    )
    second = Rejected(source="b", source_key="k", where="k", reason="worse")
    with store.write() as tx:
        sources.quarantine(tx, [first, second], now=NOW)
        sources.quarantine(tx, [], now=NOW)
    worse = replace(first, reason="still bad")
    with store.write() as tx:
        sources.quarantine(tx, [worse], now=NOW + dt.timedelta(hours=1))
    with store.read() as tx:
        assert sources.quarantined(tx) == [worse, second]
        assert sources.quarantined(tx, "b") == [second]
    with store.write() as tx:
        sources.discharge(tx, "a", ["k", "unknown"])
    with store.read() as tx:
        assert sources.quarantined(tx) == [second]
