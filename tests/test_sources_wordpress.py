"""WordPress as a source, by its REST API."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from conftest import PublicationFactory
from newsletter.config import SourceConfig
from newsletter.errors import ConfigError, SourceError
from newsletter.gather import gather
from newsletter.model import Post, Rejected
from newsletter.sources import SourceContext, SourceState, open_source
from newsletter.store import Store, posts
from wordpress_site import Blog, error
from wordpress_site import blog as blog

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


class Reader:
    """Gathers a site again and again, the state stored as JSON in between."""

    def __init__(self, publication: PublicationFactory, url: str) -> None:
        self.config = publication({"sources": [], "gather": {"allow_private_addresses": True}})
        self.source = SourceConfig(name="site", kind="wordpress", url=url)
        self.memory: dict[str, Any] = {}
        self.state = SourceState()

    def read(self, now: dt.datetime = NOW, again: frozenset[str] = frozenset()) -> list[Post | Rejected]:
        context = SourceContext(config=self.config, source=self.source, now=now)
        self.state = SourceState(memory=json.loads(json.dumps(self.memory)), again=again)
        found = list(open_source(context).posts(self.state))
        self.memory = self.state.memory
        return found

    def titles(self, now: dt.datetime = NOW) -> list[str]:
        found = self.read(now)
        assert all(isinstance(one, Post) for one in found), found
        return sorted(one.title for one in found if isinstance(one, Post))


@pytest.fixture
def reader(publication: PublicationFactory, blog: Blog) -> Reader:
    return Reader(publication, f"{blog.url}/")


def test_a_post_is_whole(reader: Reader, blog: Blog) -> None:
    blog.add(
        5,
        title="Cranes &#038; quays",
        content='<p>Before</p><div class="wp-caption"><img src="/a.jpg" alt="A crane"/>'
        '<p class="wp-caption-text">Lifted</p></div><p>[foo bar="1"] After <script>x()</script></p>',
        date=dt.datetime(2026, 11, 1, 9),
        modified=dt.datetime(2026, 11, 2, 10),
        excerpt="<p>What it is about</p>",
        tags=("R&amp;D", "Uncategorized"),
        picture={
            "source_url": f"{blog.url}/top-1024x768.jpg",
            "media_type": "image",
            "alt_text": "The &#8220;quay&#8221;",
            "caption": {"rendered": "<p>At dawn</p>\n"},
            "media_details": {"width": 1024, "height": 768},
        },
    )
    (post,) = reader.read()
    assert isinstance(post, Post)
    assert (post.title, post.url) == ("Cranes & quays", f"{blog.url}/2026/11/post-5/")
    assert (post.id, post.source_key) == (f"{blog.url}/?p=5", f"{blog.url}/?p=5")
    assert post.published == dt.datetime(2026, 11, 1, 9, tzinfo=dt.UTC)
    assert post.updated == dt.datetime(2026, 11, 2, 10, tzinfo=dt.UTC)
    assert [one.name for one in post.authors] == ["Ada Verstraete"]
    assert post.tags == ("R&D",)
    assert post.summary == "What it is about"
    top, crane = post.images
    assert (top.lead, top.alt, top.caption) == (True, "The “quay”", "At dawn")
    assert (top.width, top.height) == (1024, 768)
    assert (crane.alt, crane.caption) == ("A crane", "Lifted")
    assert "script" not in post.body_html
    assert "the shortcode [foo] was removed" in post.dropped


def test_an_excerpt_that_wordpress_cut_is_none(reader: Reader, blog: Blog) -> None:
    blog.add(1, content="<p>One two three four five six seven eight nine.</p>")
    (post,) = reader.read()
    assert isinstance(post, Post)
    assert post.summary == "One two three four five six seven eight nine."


def test_galleries_and_blocks_become_figures(reader: Reader, blog: Blog) -> None:
    classic = "".join(
        f"<dl class='gallery-item'><dt class='gallery-icon'><a href='/x'><img src='/g{n}.jpg' alt='G{n}'/></a></dt>"
        f"<dd class='wp-caption-text gallery-caption'>No. {n}</dd></dl>"
        for n in (1, 2)
    )
    block = (
        '<figure class="wp-block-gallery has-nested-images"><figure class="wp-block-image">'
        '<img src="/b1.jpg" alt="B1"/><figcaption>Block 1</figcaption></figure>'
        '<figure class="wp-block-image"><img src="/b2.jpg" alt="B2"/></figure></figure>'
    )
    blog.add(1, content=f"<div class='gallery'>{classic}</div>{block}<p>Unclosed <b>text <i>here")
    (post,) = reader.read()
    assert isinstance(post, Post)
    assert [(one.alt, one.caption) for one in post.images] == [
        ("G1", "No. 1"),
        ("G2", "No. 2"),
        ("B1", "Block 1"),
        ("B2", ""),
    ]


@pytest.mark.parametrize(
    "quirks",
    [
        {},
        {"pretty": False},
        {"link_header": False, "link_tag": True},
        {"link_header": False, "link_tag": True, "pretty": False},
        {"link_header": False},
        {"link_header": False, "pretty": False},
        {"totals": False},
        {"before_json": b"\xef\xbb\xbf"},
        {
            "before_json": b"<br />\n<b>Warning</b>: Undefined index: [0] in <b>/x.php</b> on line <b>3</b><br />\n"
        },
    ],
)
def test_the_api_is_found_and_read_on_every_kind_of_site(
    reader: Reader, blog: Blog, quirks: dict[str, Any]
) -> None:
    for name, value in quirks.items():
        setattr(blog, name, value)
    for number in range(1, 251):
        blog.add(number)
    assert len(reader.titles()) == 250
    assert reader.state.complete
    asked = len(blog.asked)
    assert reader.titles(NOW + HOUR) == []
    assert len(reader.state.unchanged) == 250
    assert len(blog.asked) - asked <= 4


@pytest.mark.parametrize(
    "end", ["wp-json/", "wp-json/wp/v2/posts?per_page=5", "?rest_route=/", "index.php?rest_route=/wp/v2"]
)
def test_the_api_itself_may_be_named(publication: PublicationFactory, blog: Blog, end: str) -> None:
    blog.add(1)
    assert Reader(publication, f"{blog.url}/{end}").titles() == ["Post 1"]
    assert "wp/v2/posts" in blog.asked[0], "nothing is looked for"


def test_ten_thousand_posts_are_read_once_and_then_only_what_changed(reader: Reader, blog: Blog) -> None:
    for number in range(1, 10_001):
        blog.add(number)
    assert len(reader.titles()) == 10_000
    assert len(blog.asked) == 101
    blog.asked.clear()
    blog.edit(77, dt.datetime(2026, 11, 23, 12, 5), title="Anew")
    blog.add(10_001, date=dt.datetime(2026, 11, 23, 12), modified=dt.datetime(2026, 11, 23, 12))
    assert reader.titles(NOW + HOUR) == ["Anew", "Post 10001"]
    assert len(blog.asked) <= 20, "only the last day is read again"
    assert len(reader.state.unchanged) == 9_999
    assert not reader.state.complete
    blog.asked.clear()
    assert reader.titles(NOW + 2 * HOUR) == []
    assert len(blog.asked) == 1


@pytest.mark.parametrize("quirks", [{"knows_modified": False}, {"knows_modified": False, "sorts": False}])
def test_a_site_that_ignores_modified_after_is_read_all_the_same(
    reader: Reader, blog: Blog, quirks: dict[str, Any]
) -> None:
    for name, value in quirks.items():
        setattr(blog, name, value)
    for number in range(1, 1001):
        blog.add(
            number,
            date=dt.datetime(2024, 1, 1) + number * DAY / 2,
            modified=dt.datetime(2024, 1, 1) + number * DAY / 2 + number % 7 * DAY,
        )
    reader.titles()
    blog.edit(3, dt.datetime(2026, 11, 23, 12, 5), title="Anew")
    blog.asked.clear()
    assert reader.titles(NOW + HOUR) == ["Anew"]
    assert len(blog.asked) <= 13


def test_the_sites_own_zone_hides_nothing(reader: Reader, blog: Blog) -> None:
    blog.zone = dt.timedelta(hours=-11)
    blog.add(1, modified=dt.datetime(2026, 11, 23, 11))
    reader.titles()
    blog.edit(1, dt.datetime(2026, 11, 23, 11, 1), title="Anew")
    assert reader.titles(NOW + HOUR) == ["Anew"]


@pytest.mark.parametrize("change", [{"status": "private"}, {"status": "trash"}, {"password": "x"}])
def test_what_is_no_more_is_noticed_once_a_day(reader: Reader, blog: Blog, change: dict[str, Any]) -> None:
    for number in (1, 2, 3):
        blog.add(number)
    reader.titles()
    blog.edit(2, dt.datetime(2026, 11, 23, 13), **change)
    assert reader.titles(NOW + DAY) == []
    assert reader.state.complete
    assert reader.state.unchanged == {f"{blog.url}/?p=1", f"{blog.url}/?p=3"}
    if "password" in change:
        assert "left out: 1 password-protected post" in reader.state.notes


def test_edits_deletions_and_new_posts_while_it_is_read_lose_nothing(reader: Reader, blog: Blog) -> None:
    for number in range(1, 401):
        blog.add(number)

    def meddle(asked: int) -> None:
        if asked == 3:  # between the first and the second page: everything moves up by ten
            for number in range(1, 11):
                blog.articles[number].status = "trash"
        if asked == 4:
            blog.add(401)
            blog.edit(50, dt.datetime(2026, 11, 23, 11, 59), title="Anew")

    blog.between = meddle
    found = {one.title for one in reader.read() if isinstance(one, Post)}
    assert {f"Post {n}" for n in (*range(11, 402),)} - {"Post 50"} <= found
    assert {"Post 1", "Post 10"} <= found, "they were there when they were read"
    assert found & {"Post 50", "Anew"}
    assert reader.titles(NOW + HOUR) in (["Anew"], [])
    assert reader.titles(NOW + DAY + HOUR) == []
    assert not {f"{blog.url}/?p={n}" for n in range(1, 11)} & reader.state.unchanged


def test_a_listing_disturbed_by_deletions_hides_nobody(reader: Reader, blog: Blog) -> None:
    for number in range(1, 301):
        blog.add(number)
    reader.titles()
    begun = len(blog.asked)

    def meddle(asked: int) -> None:
        if asked == begun + 2:
            for number in range(1, 11):
                blog.articles[number].status = "trash"

    blog.between = meddle
    assert reader.titles(NOW + DAY) == []
    assert len(reader.state.unchanged) in (290, 300)
    assert {f"{blog.url}/?p={n}" for n in range(11, 301)} <= reader.state.unchanged


def test_a_site_that_gives_up_on_the_way_is_read_on_the_next_time(reader: Reader, blog: Blog) -> None:
    for number in range(1, 301):
        blog.add(number)
    blog.refuse = lambda path: (
        (503, {"Retry-After": "1800"}, b"") if "page=3" in path and "per_page=3" not in path else None
    )
    assert len(reader.titles()) == 200
    assert any("rest is gathered the next time" in note for note in reader.state.notes)
    assert not reader.state.complete
    blog.refuse = lambda path: None
    assert reader.titles(NOW + 0.4 * HOUR) == [], "not before its Retry-After"
    assert len(reader.titles(NOW + HOUR)) == 100
    assert reader.state.complete


def test_pages_too_large_are_asked_for_in_smaller_ones(reader: Reader, blog: Blog) -> None:
    for number in range(1, 61):
        blog.add(number)
    exhausted = error(500, "internal_server_error", "There has been a critical error on this website.")
    blog.refuse = lambda path: exhausted if "per_page=100" in path and "content" in path else None
    assert len(reader.titles()) == 60
    blog.asked.clear()
    blog.edit(3, dt.datetime(2026, 11, 23, 12, 5), title="Anew")
    assert reader.titles(NOW + HOUR) == ["Anew"]
    assert "per_page=20" in blog.asked[0], "it is remembered"


def test_a_bad_post_is_quarantined_and_mended(reader: Reader, blog: Blog) -> None:
    blog.add(1)
    blog.add(2, content=f"<p>{'<b>' * 300}deep</p>" + "<div>" * 500)
    blog.add(3, title="", content="")
    found = reader.read()
    assert [one.title for one in found if isinstance(one, Post)] == ["Post 1"] or len(found) == 3
    bad = [one for one in found if isinstance(one, Rejected)]
    assert "neither title nor text" in bad[-1].reason
    assert bad[-1].where == f"{blog.url}/2026/01/post-3/"
    again = frozenset(one.source_key for one in bad)
    assert reader.read(NOW + HOUR, again) == []
    assert again <= reader.state.unchanged, "it waits"
    blog.edit(3, dt.datetime(2026, 11, 23, 12, 5), title="Mended", content="<p>Text</p>")
    assert reader.titles(NOW + 2 * HOUR) == ["Mended"]


def test_what_waits_in_quarantine_for_another_reason_is_told_again(reader: Reader, blog: Blog) -> None:
    blog.add(1)
    blog.add(2)
    reader.read()
    (one,) = reader.read(NOW + HOUR, frozenset({f"{blog.url}/?p=1"}))
    assert isinstance(one, Post)
    assert one.title == "Post 1"


def test_a_copied_post_with_its_originals_guid_is_another_post(reader: Reader, blog: Blog) -> None:
    original = blog.add(1)
    blog.add(2, guid=original.guid)
    first, second = reader.read()
    assert isinstance(first, Post)
    assert isinstance(second, Post)
    assert (first.id, second.id) == (original.guid, "")
    assert first.source_key != second.source_key
    blog.edit(2, dt.datetime(2026, 11, 23, 12, 5), title="Anew")
    (again,) = reader.read(NOW + HOUR)
    assert again.source_key == second.source_key


REFUSALS = [
    (error(401, "rest_not_logged_in", "You are not currently logged in."), "not currently logged in (401"),
    (
        error(401, "rest_login_required", "Only authenticated users can use the REST API."),
        "rest_login_required",
    ),
    (error(403, "rest_forbidden", "Sorry, you are not allowed to do that."), "(403 rest_forbidden)"),
    (error(404, "rest_no_route", "No route was found matching the URL"), "no REST API of WordPress is found"),
    ((403, {"Content-Type": "text/html"}, b"<html>Blocked by a firewall</html>"), "no REST API of WordPress"),
    (
        (404, {"Content-Type": "text/html"}, b"<!DOCTYPE html><title>Not found</title>"),
        "no REST API of WordPress",
    ),
    ((200, {"Content-Type": "text/html"}, b"<html>Checking your browser</html>"), "no REST API of WordPress"),
]


@pytest.mark.parametrize(("answer", "said"), REFUSALS)
@pytest.mark.parametrize("found", [True, False])
def test_a_site_that_gives_no_posts_says_why_and_what_else_there_is(
    reader: Reader, blog: Blog, answer: tuple[int, dict[str, str], bytes], said: str, found: bool
) -> None:
    blog.link_header = found
    blog.refuse = lambda path: answer if "wp-json" in path or "rest_route" in path else None
    with pytest.raises(SourceError) as caught:
        reader.read()
    if not found:
        assert said in caught.value.what
    assert 'kind = "feed"' in caught.value.remedy
    assert caught.value.where.startswith(blog.url)
    asked = len(blog.asked)
    reader.memory = dict(caught.value.remember)
    with pytest.raises(SourceError):
        reader.read(NOW + dt.timedelta(minutes=9))
    assert len(blog.asked) == asked, "it is left alone for ten minutes"


def test_a_site_that_is_gone_is_not_asked_again(reader: Reader, blog: Blog) -> None:
    blog.refuse = lambda path: (410, {}, b"")
    with pytest.raises(SourceError, match="gone for good") as caught:
        reader.read()
    assert "newsletter sources enable site" in caught.value.remedy
    reader.memory = dict(caught.value.remember)
    with pytest.raises(SourceError, match="gone for good"):
        reader.read(NOW + 30 * DAY)
    assert len(blog.asked) == 1


def test_an_api_that_moved_for_good_is_asked_at_its_new_place_once_that_was_seen_twice(
    reader: Reader, blog: Blog
) -> None:
    blog.add(1)

    def moved(path: str) -> tuple[int, dict[str, str], bytes] | None:
        if not path.startswith("/wp-json/"):
            return None
        there = f"/index.php?rest_route=/{path.removeprefix('/wp-json/').replace('?', '&')}"
        return 301, {"Location": there}, b""

    blog.refuse = moved
    for hour, count in ((0, 3), (1, 2), (2, 1), (3, 1)):
        blog.asked.clear()
        reader.read(NOW + hour * HOUR)
        assert len(blog.asked) == count, blog.asked
        assert any("moved for good" in note for note in reader.state.notes) == (hour == 1)


def test_a_site_that_changes_its_permalinks_is_found_again(reader: Reader, blog: Blog) -> None:
    blog.add(1)
    reader.titles()
    blog.pretty = False
    with pytest.raises(SourceError, match="a page of HTML") as caught:
        reader.read(NOW + HOUR)
    reader.memory |= caught.value.remember
    blog.edit(1, dt.datetime(2026, 11, 23, 13), title="Anew")
    assert reader.titles(NOW + 2 * HOUR) == ["Anew"]


def test_what_is_no_post_in_a_listing_is_passed_over(reader: Reader, blog: Blog) -> None:
    blog.add(1)
    told = [None, 7, {"id": "x"}, {"id": True}, {"id": [1]}, *blog.rest("/wp/v2/posts", {})[2], {"id": 9}]
    body = json.dumps(told).encode()
    blog.refuse = lambda path: (
        (200, {"X-WP-Total": "1", "X-WP-TotalPages": "1"}, body) if "wp-json" in path else None
    )
    found = reader.read()
    assert [one.title for one in found if isinstance(one, Post)] == ["Post 1"]
    (bad,) = [one for one in found if isinstance(one, Rejected)]
    assert (bad.source_key, bad.reason) == ("post 9", "it has no date")


def test_a_url_is_needed(publication: PublicationFactory) -> None:
    config = publication()
    with pytest.raises(ConfigError, match="needs a url"):
        open_source(SourceContext(config=config, source=SourceConfig(name="site", kind="wordpress"), now=NOW))


def test_export_feed_and_api_tell_of_the_same_posts(
    sqlite_store: Store, publication: PublicationFactory, blog: Blog
) -> None:
    for number in range(1, 6):
        blog.add(number)
    blog.add(6, guid=f"{blog.url}/?post_type=post&p=6")
    config = publication(
        {
            "sources": [
                {"name": "archive", "kind": "wordpress-export", "path": "export.xml", "priority": 30},
                {"name": "feed", "kind": "feed", "url": f"{blog.url}/feed/", "priority": 20},
                {"name": "site", "kind": "wordpress", "url": blog.url, "priority": 10},
            ],
            "gather": {"allow_private_addresses": True},
        }
    )
    (config.folder / "export.xml").write_text(blog.export())
    reports = gather(sqlite_store, config, now=NOW)
    assert [(one.source, len(one.new), one.failed) for one in reports] == [
        ("archive", 6, ""),
        ("feed", 0, ""),
        ("site", 0, ""),
    ]
    with sqlite_store.read() as tx:
        found = posts.live_posts(tx)
    assert sorted(one.id for one in found) == sorted(one.guid for one in blog.articles.values())
    assert {one.source for one in found} == {"site"}, "the one with the smallest priority gives the text"


def test_a_deleted_post_is_told_to_the_editor(
    sqlite_store: Store, publication: PublicationFactory, blog: Blog
) -> None:
    blog.add(1)
    blog.add(2)
    config = publication(
        {
            "sources": [{"name": "site", "kind": "wordpress", "url": blog.url}],
            "gather": {"allow_private_addresses": True},
        }
    )
    gather(sqlite_store, config, now=NOW)
    del blog.articles[2]
    (report,) = gather(sqlite_store, config, now=NOW + DAY)
    assert report.notes == (f"{blog.url}/?p=2: its source no longer tells of it; the post stays",)
