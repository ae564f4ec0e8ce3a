"""WordPress export files as a source."""

from __future__ import annotations

import datetime as dt
import html
import os
import re
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import PublicationFactory
from newsletter.config import SourceConfig
from newsletter.content import clean_line, plain_text
from newsletter.errors import ConfigError, SourceError
from newsletter.gather import gather
from newsletter.model import Author, Post, Rejected
from newsletter.sources import SourceContext, SourceState
from newsletter.sources.wordpress_export import WordPressExportSource
from newsletter.sources.xml import iterate
from newsletter.store import Store, posts

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


@pytest.fixture
def context(publication: PublicationFactory) -> SourceContext:
    """Give the context of an export in the file export.xml."""
    config = publication({"sources": [{"name": "old", "kind": "wordpress-export", "path": "export.xml"}]})
    return SourceContext(config=config, source=config.sources[0], now=NOW)


def export(*items: str, before: str = "", version: str = "1.2") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><rss version="2.0" '
        f'xmlns:excerpt="http://wordpress.org/export/{version}/excerpt/" '
        'xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" '
        f'xmlns:wp="http://wordpress.org/export/{version}/"><channel><title>Old</title>'
        f"<wp:base_blog_url>https://old.example.com</wp:base_blog_url>{before}{''.join(items)}</channel></rss>"
    )


def item(number: int, content: str = "Text.", extra: str = "", **fields: str) -> str:
    """Write one item; `fields` are `wp:` elements, `extra` anything else."""
    told = {
        "post_id": str(number),
        "post_date": "2020-05-01 12:00:00",
        "post_date_gmt": "2020-05-01 10:00:00",
        "status": "publish",
        "post_type": "post",
        **fields,
    }
    return (
        f"<item><title>Post {number}</title><link>https://old.example.com/{number}/</link>"
        f'<guid isPermaLink="false">https://old.example.com/?p={number}</guid>'
        f"<content:encoded><![CDATA[{content}]]></content:encoded>"
        f"{''.join(f'<wp:{name}>{value}</wp:{name}>' for name, value in told.items())}{extra}</item>"
    )


def meta(key: str, value: str) -> str:
    return (
        f"<wp:postmeta><wp:meta_key>{key}</wp:meta_key><wp:meta_value>{value}</wp:meta_value></wp:postmeta>"
    )


def picture(number: int, name: str, parent: int = 0) -> str:
    url = f"https://old.example.com/uploads/{name}"
    return item(
        number,
        "",
        f"<excerpt:encoded><![CDATA[Caption of {name}]]></excerpt:encoded>"
        + meta("_wp_attachment_image_alt", f"Alt of {name}"),
        status="inherit",
        post_type="attachment",
        attachment_url=url,
        post_parent=str(parent),
    )


def read(
    context: SourceContext, text: str | bytes, state: SourceState | None = None
) -> list[Post | Rejected]:
    context.path().write_bytes(text.encode() if isinstance(text, str) else text)
    return list(WordPressExportSource(context).posts(state or SourceState()))


def only(items: list[Post | Rejected]) -> Post:
    (one,) = items
    assert isinstance(one, Post), one
    return one


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_a_post_arrives_whole(context: SourceContext, version: str) -> None:
    author = (
        "<wp:author><wp:author_login>ada</wp:author_login><wp:author_email>ada@example.com</wp:author_email>"
        "<wp:author_display_name><![CDATA[Ada V.]]></wp:author_display_name></wp:author>"
    )
    extra = (
        "<dc:creator>ada</dc:creator><excerpt:encoded><![CDATA[In <b>short</b>]]></excerpt:encoded>"
        '<category domain="category" nicename="ports"><![CDATA[Ports &amp; ships]]></category>'
        '<category domain="post_tag" nicename="x">x</category>'
        '<category domain="category" nicename="uncategorized">Uncategorized</category>'
        '<category domain="post_format" nicename="aside">Aside</category>'
    )
    text = export(
        item(
            1,
            "First line\nsecond line\n\nNext <a href='/x'>one</a>",
            extra,
            post_modified_gmt="2020-06-01 10:00:00",
        ),
        before=author,
        version=version,
    )
    post = only(read(context, text))
    assert (post.title, post.url) == ("Post 1", "https://old.example.com/1/")
    assert post.id == post.source_key == "https://old.example.com/?p=1"
    assert post.published == dt.datetime(2020, 5, 1, 10, tzinfo=dt.UTC)
    assert post.updated == dt.datetime(2020, 6, 1, 10, tzinfo=dt.UTC)
    assert post.authors == (Author(name="Ada V."),)
    assert post.tags == ("Ports & ships", "x")
    assert post.summary == "In short"
    assert post.body_html.count("<p>") == 2
    assert "<br/>" in post.body_html
    assert 'href="https://old.example.com/x"' in post.body_html


def test_zero_dates_fall_back_to_local_time(context: SourceContext) -> None:
    zero = "0000-00-00 00:00:00"
    post = only(read(context, export(item(1, post_date_gmt=zero, post_modified_gmt=zero))))
    assert post.published == post.updated == dt.datetime(2020, 5, 1, 10, tzinfo=dt.UTC), "noon in Brussels"
    bad, good = read(context, export(item(1, post_date_gmt=zero, post_date=zero), item(2)))
    assert isinstance(bad, Rejected)
    assert (bad.reason, bad.where) == ("it has no date", "export.xml post 1")
    assert isinstance(good, Post)


def test_what_is_not_published_is_left_out_and_counted(context: SourceContext) -> None:
    state = SourceState()
    items = read(
        context,
        export(
            item(1),
            item(2, status="draft"),
            item(3, status="private"),
            item(4, status="pending"),
            item(5, post_type="page"),
            item(6, post_type="page"),
            item(7, post_password="secret"),
            item(8, status="trash"),
            item(9, post_type="product"),
            picture(10, "x.jpg"),
        ),
        state,
    )
    assert only(items).title == "Post 1"
    assert state.complete
    assert state.notes == [
        "left out: 1 attachment, 1 draft post, 2 pages, 1 password-protected post, 1 pending post, "
        "1 private post, 1 product item, 1 trash post"
    ]


def test_a_scheduled_post_is_held_until_its_date(
    sqlite_store: Store, context: SourceContext, now: dt.datetime
) -> None:
    text = export(item(1), item(2, status="future", post_date_gmt="2026-12-01 10:00:00"))
    context.path().write_text(text)
    (report,) = gather(sqlite_store, context.config, now=now)
    assert (report.new, report.held) == (("Post 1",), ("Post 2",))
    (report,) = gather(sqlite_store, context.config, now=dt.datetime(2026, 12, 2, tzinfo=dt.UTC))
    assert (report.new, report.held, report.unchanged) == (("Post 2",), (), 2)
    with sqlite_store.read() as tx:
        assert [post.title for post in posts.live_posts(tx)] == ["Post 2", "Post 1"]


def test_galleries_show_their_pictures_with_captions(context: SourceContext) -> None:
    items = read(
        context,
        export(
            item(1, 'Before [gallery ids="11,12,99"] after'),
            item(2, "[gallery]"),
            picture(11, "a.jpg"),
            picture(12, "b.jpg"),
            picture(13, "c.jpg", parent=2),
        ),
    )
    first, second = items
    assert isinstance(first, Post)
    assert isinstance(second, Post)
    assert [(image.alt, image.caption) for image in first.images] == [
        ("Alt of a.jpg", "Caption of a.jpg"),
        ("Alt of b.jpg", "Caption of b.jpg"),
    ]
    assert any("not known" in what for what in first.dropped)
    assert [image.src for image in second.images] == ["https://old.example.com/uploads/c.jpg"]


def test_the_featured_image_leads_unless_the_text_shows_it(context: SourceContext) -> None:
    shown = '<img src="https://old.example.com/uploads/a-300x200.jpg?w=300" alt="Smaller">'
    first, second = read(
        context,
        export(
            item(1, "Text", meta("_thumbnail_id", "11")),
            item(2, shown, meta("_thumbnail_id", "11")),
            picture(11, "a.jpg"),
        ),
    )
    assert isinstance(first, Post)
    assert isinstance(second, Post)
    assert first.body_html.startswith("<figure>")
    assert [(image.lead, image.caption) for image in first.images] == [(True, "Caption of a.jpg")]
    assert [image.alt for image in second.images] == ["Smaller"]


def test_control_characters_are_passed_over(context: SourceContext) -> None:
    text = export(item(1, "A\x0bB\x00C")).encode()
    assert "ABC" in only(read(context, text)).body_html


def test_a_broken_file_gives_what_stands_before_its_fault(context: SourceContext) -> None:
    state = SourceState()
    text = export(item(1), "\n", item(2)).replace("<title>Post 2</title>", "<title>Post 2</titel>")
    first, rejected = read(context, text, state)
    assert isinstance(first, Post)
    assert isinstance(rejected, Rejected)
    assert rejected.source_key == "export.xml"
    assert rejected.where == "export.xml:2"
    assert "line 2, column" in rejected.reason
    assert not state.complete, "nothing is said of posts that were not reached"


def test_a_copied_post_does_not_take_its_originals_guid(context: SourceContext) -> None:
    copy = item(7).replace("?p=7", "?p=1")
    found = read(context, export(copy, item(1)))
    assert [(one.source_key, one.id) for one in found if isinstance(one, Post)] == [
        ("https://old.example.com/7/", ""),
        ("https://old.example.com/?p=1", "https://old.example.com/?p=1"),
    ]


@pytest.mark.parametrize("text", ["", "no xml", "<rss>" + "<a>" * 100_000])
def test_what_is_no_export_is_refused(context: SourceContext, text: str) -> None:
    (rejected,) = read(context, text)
    assert isinstance(rejected, Rejected)
    assert "not well-formed" in rejected.reason


def test_an_empty_export_is_said(context: SourceContext) -> None:
    state = SourceState()
    assert read(context, export(), state) == []
    assert state.notes == ["export.xml holds no posts"]


@pytest.mark.parametrize(
    "declaration", ['<!ENTITY x SYSTEM "file:///etc/passwd">', '<!ENTITY a "ha"><!ENTITY x "&a;&a;">']
)
def test_entities_are_refused(context: SourceContext, declaration: str) -> None:
    text = (
        export(item(1)).replace("<rss ", f"<!DOCTYPE rss [{declaration}]><rss ", 1).replace("Post 1", "&x;")
    )
    (rejected,) = read(context, text)
    assert isinstance(rejected, Rejected)
    assert "internal subset" in rejected.reason


def test_an_unchanged_file_is_not_read_again(context: SourceContext) -> None:
    state = SourceState()
    post = only(read(context, export(item(1)), state))
    again = SourceState(memory=dict(state.memory))
    assert list(WordPressExportSource(context).posts(again)) == []
    assert again.unchanged == {post.source_key}
    assert again.complete
    os.utime(context.path(), (1, 1))
    assert len(list(WordPressExportSource(context).posts(SourceState(memory=dict(state.memory))))) == 1


def test_a_missing_file_and_a_missing_path_are_said(context: SourceContext) -> None:
    with pytest.raises(SourceError, match=r"export\.xml: it cannot be read"):
        list(WordPressExportSource(context).posts(SourceState()))
    source = SourceConfig(name="old", kind="wordpress-export")
    with pytest.raises(ConfigError, match="needs a path"):
        WordPressExportSource(SourceContext(config=context.config, source=source, now=NOW))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_content_is_a_post_or_a_clear_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    from conftest import DEFAULT, write_toml
    from newsletter.config import FILE_NAME, load

    folder = tmp_path_factory.mktemp("site")
    (folder / FILE_NAME).write_text(write_toml({**DEFAULT, "sources": []}), encoding="utf-8")
    source = SourceConfig(name="old", kind="wordpress-export", path=Path("export.xml"))
    context = SourceContext(config=load(folder, {}), source=source, now=NOW)
    text = export(item(1, escape(content))).encode("utf-8", "replace")
    for one in read(context, text):
        assert isinstance(one, Post) or (one.reason and one.remedy)


def test_a_large_export_is_streamed(context: SourceContext) -> None:
    context.path().write_text(export(*(item(number, "word " * 1_000) for number in range(1, 501))))
    beside = [len(element.getparent()) for element in iterate(context.path(), ("item",))]
    assert len(beside) == 500
    assert max(beside) < 20, "what was read is forgotten"


# The real export


@pytest.fixture
def unit_test(context: SourceContext, shared_data: Path) -> tuple[SourceContext, str]:
    path = shared_data / "wordpress" / "theme-unit-test.xml"
    source = SourceConfig(name="old", kind="wordpress-export", path=path)
    found = SourceContext(config=context.config, source=source, now=NOW)
    return found, path.read_text(encoding="utf-8")


def told(text: str, name: str) -> str:
    match = re.search(rf"<{name}>(?:\s*<!\[CDATA\[)?(.*?)(?:\]\]>\s*)?</{name}>", text, re.DOTALL)
    return match[1].strip() if match else ""


def test_every_published_post_of_a_real_export_is_found(unit_test: tuple[SourceContext, str]) -> None:
    context, text = unit_test
    wanted = [
        html.unescape(told(one, "link"))
        for one in re.findall(r"<item>.*?</item>", text, re.DOTALL)
        if told(one, "wp:post_type") == "post"
        and told(one, "wp:status") in ("publish", "future")
        and not told(one, "wp:post_password")
    ]
    state = SourceState()
    found = [one for one in WordPressExportSource(context).posts(state) if isinstance(one, Post)]
    assert [one.url for one in found] == wanted
    assert len({one.source_key for one in found}) == 56, "two of them are copies that kept another's guid"
    assert len([one for one in found if one.id]) == 54
    assert len(wanted) == 56
    assert state.notes == [
        "left out: 37 attachments, 1 draft post, 70 menu items, 21 pages, 1 password-protected post"
    ]


def test_every_caption_of_a_real_export_is_found_again(unit_test: tuple[SourceContext, str]) -> None:
    context, text = unit_test
    found = {
        one.url: one for one in WordPressExportSource(context).posts(SourceState()) if isinstance(one, Post)
    }
    captions = 0
    for one in re.findall(r"<item>.*?</item>", text, re.DOTALL):
        post = found.get(html.unescape(told(one, "link")))
        if post is None:
            continue
        content = told(one, "content:encoded")
        written = [
            re.sub(r"<(?!a\b|/a|b\b|/b|i\b|/i|em|/em|strong|/strong)[^>]*>", "", inner)
            for inner in (
                re.findall(r"<figcaption[^>]*>(.*?)</figcaption>", content, re.DOTALL)
                + re.findall(r"\[caption[^\]]*\](.*?)\[/caption\]", content, re.DOTALL)
                + [
                    html.escape(named)
                    for named in re.findall(r"\[caption[^\]]*caption=\"([^\"]*)\"", content)
                ]
            )
        ]
        shown = clean_line(plain_text(post.body_html))
        for caption in written:
            captions += 1
            assert clean_line(plain_text(caption)) in shown, (post.title, caption)
    assert captions == 75
