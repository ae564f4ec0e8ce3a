"""Feeds as a source: what each format says arrives."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import re

import pytest

from conftest import PublicationFactory
from feeding import DATED, NOW, atom, only_post, only_rejected, read, rss
from newsletter.errors import ConfigError, SourceError
from newsletter.model import Author, Enclosure, Post, Rejected
from newsletter.sources import SourceContext, SourceState
from newsletter.sources.feed import FeedSource


@pytest.fixture
def context(publication: PublicationFactory) -> SourceContext:
    """Give the context of a feed in the file feed.xml."""
    config = publication({"sources": [{"name": "feed", "kind": "feed", "path": "feed.xml"}]})
    return SourceContext(config=config, source=config.sources[0], now=NOW)


def test_an_atom_entry_arrives_whole(context: SourceContext) -> None:
    post = only_post(
        read(
            context,
            atom(
                """<entry xml:base="2026/" xml:lang="de"><id>tag:site.example.com,2026:1</id>
                <title type="html">Fish &amp;amp; &lt;em&gt;chips&lt;/em&gt;</title>
                <link href="fish?utm_source=feed&amp;p=1"/>
                <link rel="enclosure" href="fish.mp3" type="audio/mpeg" length="1234" title="Heard"/>
                <link rel="via" href="https://press.example.org/1" title="The press release"/>
                <published>2026-11-02T09:00:00+01:00</published><updated>2026-11-03T09:00:00Z</updated>
                <author><name>Ada</name><uri>https://ada.example.com/</uri><email>ada@example.com</email></author>
                <category term="food" label="Food"/><category term="sea"/><category term="food" label="Food"/>
                <summary>In short.</summary>
                <content type="html">&lt;p&gt;&lt;a href="menu"&gt;Menu&lt;/a&gt;&lt;/p&gt;&lt;figure&gt;
                &lt;img src="/f.jpg" alt="Fish"&gt;&lt;figcaption&gt;A fish&lt;/figcaption&gt;&lt;/figure&gt;
                &lt;script&gt;x()&lt;/script&gt;</content>
                </entry>""",
                'xml:base="https://site.example.com/"',
            ),
        )
    )
    assert post.id == post.source_key == "tag:site.example.com,2026:1"
    assert (post.title, post.summary, post.language) == ("Fish & chips", "In short.", "de")
    assert post.url == "https://site.example.com/2026/fish?p=1"
    assert post.published == dt.datetime(2026, 11, 2, 8, tzinfo=dt.UTC)
    assert post.updated == dt.datetime(2026, 11, 3, 9, tzinfo=dt.UTC)
    assert post.authors == (Author(name="Ada", uri="https://ada.example.com/", email="ada@example.com"),)
    assert post.tags == ("Food", "sea")
    assert 'href="https://site.example.com/2026/menu"' in post.body_html
    assert "script" not in post.body_html
    (image,) = post.images
    assert (image.src, image.alt, image.caption) == ("https://site.example.com/f.jpg", "Fish", "A fish")
    (enclosure,) = post.enclosures
    assert enclosure == Enclosure(
        url="https://site.example.com/2026/fish.mp3", media_type="audio/mpeg", length=1234, title="Heard"
    )
    assert [(one.text, one.url) for one in post.citations] == [
        ("The press release", "https://press.example.org/1")
    ]


def test_an_rss_item_arrives_whole(context: SourceContext) -> None:
    post = only_post(
        read(
            context,
            rss(
                f"""<item><title>Ships &amp; ports</title><link>https://site.example.com/ships</link>
                <guid isPermaLink="false">https://site.example.com/?p=7</guid>{DATED}
                <author>bo@example.com (Bo Berg)</author><category>Ports</category>
                <description>Only the beginning …</description>
                <content:encoded><![CDATA[<p>All of it.</p>]]></content:encoded>
                <enclosure url="https://site.example.com/a.pdf" type="application/pdf" length="nonsense"/></item>""",
                "<language>nl-BE</language>",
            ),
        )
    )
    assert post.id == "https://site.example.com/?p=7"
    assert (post.title, post.language, post.tags) == ("Ships & ports", "nl-BE", ("Ports",))
    assert post.body_html == "<p>All of it.</p>"
    assert post.summary == "Only the beginning …"
    assert post.authors == (Author(name="Bo Berg", email="bo@example.com"),)
    assert [one.length for one in post.enclosures] == [0]


def test_a_json_feed_item_arrives_whole(context: SourceContext) -> None:
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "J",
        "language": "fr",
        "authors": [{"name": "House"}],
        "items": [
            {
                "id": "https://site.example.com/j",
                "url": "https://site.example.com/j?fbclid=1",
                "external_url": "https://press.example.org/2",
                "title": "Title",
                "content_html": "<p><a href='k'>Text</a></p>",
                "summary": "Sum",
                "image": "lead.jpg",
                "date_published": "2026-11-02T09:00:00Z",
                "date_modified": "2026-11-03T09:00:00Z",
                "tags": ["a", 7, "b"],
                "attachments": [
                    {"url": "a.mp3", "mime_type": "audio/mpeg", "size_in_bytes": 9},
                    {"url": "javascript:x"},
                    "no attachment",
                ],
            },
            {
                "id": 5,
                "content_text": "First line\nwith <b>\n\nSecond",
                "date_published": "2026-11-01T09:00:00Z",
            },
            "no item",
        ],
    }
    first, second = read(context, json.dumps(feed))
    assert isinstance(first, Post)
    assert (first.id, first.url) == ("https://site.example.com/j", "https://site.example.com/j")
    assert (first.title, first.summary, first.tags, first.language) == ("Title", "Sum", ("a", "b"), "fr")
    assert first.authors == (Author(name="House"),)
    assert 'href="https://site.example.com/k"' in first.body_html
    assert [(image.src, image.lead) for image in first.images] == [
        ("https://site.example.com/lead.jpg", True)
    ]
    assert [one.url for one in first.enclosures] == ["https://site.example.com/a.mp3"]
    assert [one.url for one in first.citations] == ["https://press.example.org/2"]
    assert isinstance(second, Post)
    assert (second.source_key, second.id) == ("5", "")
    assert second.title.startswith("First line with <b>")
    assert "&lt;b&gt;" in second.body_html


@pytest.mark.parametrize(
    ("written", "hour"),
    [
        ("Mon, 02 Nov 2026 09:00:00 CET", 8),
        ("Mon, 02 Nov 2026 09:00:00 AEDT", -2),
        ("Mon, 02 Nov 2026 09:00:00", 8),
        ("2026-11-02T09:00:00-05:00", 14),
        ("2026-11-02", 11),
    ],
)
def test_dates_are_read_by_our_own_rules(context: SourceContext, written: str, hour: int) -> None:
    """The zone is Europe/Brussels; feedparser would read CET and AEDT as UTC."""
    post = only_post(read(context, rss(f"<item><title>T</title><pubDate>{written}</pubDate></item>")))
    assert post.published == dt.datetime(2026, 11, 2, tzinfo=dt.UTC) + dt.timedelta(hours=hour)
    assert post.date_only is (written == "2026-11-02")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("<item><title>T</title></item>", "it has no date"),
        ("<item><title>T</title><pubDate>soon</pubDate></item>", "'soon' is not a date"),
        (f"<item>{DATED}</item>", "neither title nor text"),
        (f"<item><title>T</title>{DATED}<description>{'&lt;div>' * 500}</description></item>", "nested"),
    ],
)
def test_a_bad_item_is_rejected_and_the_next_one_read(context: SourceContext, item: str, reason: str) -> None:
    bad, good = read(context, rss(f"{item}<item><title>Good</title>{DATED}</item>"))
    assert isinstance(bad, Rejected)
    assert reason in bad.reason
    assert bad.remedy
    assert bad.where == "feed.xml item 1"
    assert isinstance(good, Post)
    assert good.published < NOW, "never the time of gathering"


def test_an_item_without_title_takes_the_first_words_of_its_text(context: SourceContext) -> None:
    text = "word " * 60
    post = only_post(read(context, rss(f"<item>{DATED}<description>{text}</description></item>")))
    assert post.title.startswith("word word")
    assert len(post.title) <= 81


@pytest.mark.parametrize(
    ("item", "key", "own_id"),
    [
        ("<guid isPermaLink='false'>12345</guid><link>https://a.example.com/x</link>", "12345", ""),
        ("<guid>posts/1</guid><link>https://a.example.com/x</link>", "https://a.example.com/x", ""),
        ("<link>https://a.example.com/x?utm_medium=rss</link>", "https://a.example.com/x", ""),
        ("<guid isPermaLink='false'>tag:a.example.com,2026:1</guid>",) + ("tag:a.example.com,2026:1",) * 2,
    ],
)
def test_keys_and_ids(context: SourceContext, item: str, key: str, own_id: str) -> None:
    post = only_post(read(context, rss(f"<item><title>T</title>{DATED}{item}</item>")))
    assert (post.source_key, post.id) == (key, own_id)


def test_an_item_without_id_and_link_keeps_its_key(context: SourceContext) -> None:
    items = rss(f"<item><title>A</title>{DATED}</item><item><title>B</title>{DATED}</item>")
    keys = [item.source_key for item in read(context, items)]
    assert len(set(keys)) == 2
    assert [item.source_key for item in read(context, items)] == keys


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "http://[x"]
)
def test_a_link_that_is_none_is_left_out(context: SourceContext, link: str) -> None:
    post = only_post(read(context, rss(f"<item><title>T</title>{DATED}<link>{link}</link></item>")))
    assert post.url == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "iso-8859-1"])
def test_encodings(context: SourceContext, encoding: str) -> None:
    declared = "" if encoding.startswith("utf") else f"<?xml version='1.0' encoding='{encoding}'?>"
    text = declared + rss(f"<item><title>Café</title>{DATED}</item>")
    assert only_post(read(context, text.encode(encoding))).title == "Café"


def test_of_a_broken_feed_what_can_be_read_is_taken(context: SourceContext) -> None:
    text = rss(f"<item><title>A &nbsp; & B</title>{DATED}</item>").replace("</channel>", "")
    assert "A" in only_post(read(context, text)).title


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "nothing of it can be read"),
        (b"<html><body><p>Not found</p></body></html>", "nothing of it can be read"),
        (b"just text", r"\(line 1, column 1\)"),
        (b"<rss><channel>\n<item", r"\(line 2"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 9, "it is not text|nothing of it"),
        (b'{"version": "https://jsonfeed.org/version/1.1",', r"\(line 1, column"),
        (b'{"version": "2"}', "no JSON Feed"),
        (b"[" * 200_000, "nothing of it can be read"),
        (b"[1, 2]", "no JSON Feed"),
        (gzip.compress(b"<rss/>", mtime=0), "it is not text|nothing of it"),
    ],
)
def test_an_unreadable_document_is_one_rejection(context: SourceContext, data: bytes, reason: str) -> None:
    rejected = only_rejected(read(context, data))
    assert re.search(reason, rejected.reason), rejected.reason
    assert rejected.source_key == rejected.where == "feed.xml"
    assert rejected.remedy


def test_an_unchanged_file_is_not_read_again(context: SourceContext) -> None:
    state = SourceState()
    feed = rss(f"<item><title>A</title>{DATED}</item><item><title>No date</title><guid>g</guid></item>")
    post, rejected = read(context, feed, state)
    second = SourceState(memory=state.memory, again=frozenset({rejected.source_key}))
    assert list(FeedSource(context).posts(second)) == []
    assert second.unchanged == {post.source_key, rejected.source_key}
    third = SourceState(memory=state.memory, again=frozenset({post.source_key}))
    assert len(list(FeedSource(context).posts(third))) == 2, "what the store refused is told again"
    os.utime(context.path(), (1, 1))
    assert len(list(FeedSource(context).posts(SourceState(memory=state.memory)))) == 2


def test_a_missing_file_is_said(context: SourceContext) -> None:
    with pytest.raises(SourceError, match=r"feed\.xml: it cannot be read"):
        list(FeedSource(context).posts(SourceState()))


def test_a_source_without_path_and_url_is_refused(publication: PublicationFactory) -> None:
    config = publication({"sources": [{"name": "feed", "kind": "feed"}]})
    with pytest.raises(ConfigError, match="needs a url or a path"):
        FeedSource(SourceContext(config=config, source=config.sources[0], now=NOW))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("HTTP://site.example.com/1", "HTTP://site.example.com/1"),
        ("http://site.example.com/1?", "http://site.example.com/1?"),
        ("http://site.example.com/?a=1&amp;b=2", "http://site.example.com/?a=1&b=2"),
        ("<![CDATA[ tag:site.example.com,2026:1 ]]>", "tag:site.example.com,2026:1"),
        ("1", ""),
        ("//site.example.com/1", ""),
    ],
)
def test_an_id_is_kept_character_by_character(context: SourceContext, written: str, expected: str) -> None:
    post = only_post(
        read(
            context,
            atom(f"<entry><id>{written}</id><title>A</title><updated>2026-11-02T09:00:00Z</updated></entry>"),
        )
    )
    assert post.id == expected


def test_an_author_without_a_name_is_called_by_the_page(context: SourceContext) -> None:
    post = only_post(
        read(
            context,
            atom(
                "<entry><title>A</title><updated>2026-11-02T09:00:00Z</updated>"
                "<author><uri>https://ada.example.com/me</uri></author></entry>"
            ),
        )
    )
    assert post.authors == (Author(name="ada.example.com", uri="https://ada.example.com/me"),)


@pytest.mark.parametrize("player", ['<object classid="x">', '<iframe src="https://video.example.org/1"/>'])
def test_what_stands_behind_a_player_that_has_no_end_is_kept(context: SourceContext, player: str) -> None:
    text = f"<description><![CDATA[Before {player} behind.]]></description>"
    post = only_post(read(context, rss(f"<item><title>A</title>{DATED}{text}</item>")))
    assert "Before" in post.body_html
    assert "behind." in post.body_html
