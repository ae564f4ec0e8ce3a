"""Feeds: every format from the same entries, whole, valid, and the same bytes again."""

from __future__ import annotations

import json
import locale
import os
from calendar import timegm
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import feedparser
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree, html

from awkward import DELETED, FEED, HARBOUR, ISSUE, POSTS, PREFIX, SITE, instant, post
from newsletter.checks.reading import as_reread
from newsletter.content.characters import clean_line, strip_controls
from newsletter.feeds import (
    Entry,
    Feed,
    atom,
    entry_of_issue,
    entry_of_post,
    fit,
    json_feed,
    newest,
    opml,
    rss,
    updated,
    word_slug,
)
from newsletter.feeds.text import shorten, web_link
from newsletter.model import (
    Author,
    Citation,
    ContentNote,
    Correction,
    Enclosure,
    Image,
    Post,
    Reference,
    Relation,
)

GOLDEN = Path(__file__).parent / "golden" / "feeds"
A = "{http://www.w3.org/2005/Atom}"
MEDIA = "{http://search.yahoo.com/mrss/}"
THREAD = "{http://purl.org/syndication/thread/1.0}"
TOMBSTONES = "{http://purl.org/atompub/tombstones/1.0}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
DC = "{http://purl.org/dc/elements/1.1/}"

AWKWARD = replace(FEED, deleted=DELETED)


@cache
def entries() -> tuple[Entry, ...]:
    return tuple(entry_of_post(AWKWARD, one) for one in POSTS)


def parse_atom(feed: Feed = AWKWARD, posts: tuple[Post, ...] = POSTS) -> Any:
    return etree.fromstring(atom(feed, [entry_of_post(feed, one) for one in posts]))


def only(one: Post, feed: Feed = FEED) -> Any:
    """Return the Atom entry of one post."""
    return parse_atom(feed, (one,)).find(f"{A}entry")


def links(element: Any, relation: str) -> list[dict[str, str]]:
    return [dict(link.attrib) for link in element.findall(f"{A}link") if link.get("rel") == relation]


# Golden files: NEWSLETTER_GOLDEN=rewrite writes them anew; the difference is then read as prose.


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("atom.xml", lambda: atom(AWKWARD, entries())),
        ("rss.xml", lambda: rss(AWKWARD, entries())),
        ("feed.json", lambda: json_feed(AWKWARD, entries())),
        ("feeds.opml", lambda: opml("Herald", "The desk", [FEED], instant(9))),
        ("empty.xml", lambda: atom(FEED, [])),
        ("issues.xml", lambda: atom(FEED, [entry_of_issue(FEED, f"{PREFIX}issues/weekly/3", ISSUE, POSTS)])),
    ],
)
def test_golden(name: str, document: Any) -> None:
    file, made = GOLDEN / name, document()
    if os.environ.get("NEWSLETTER_GOLDEN") == "rewrite":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(made)
    assert made == file.read_bytes()


def test_golden_atom_follows_the_grammar(shared_data: Path) -> None:
    grammar = etree.RelaxNG(etree.parse(shared_data / "atom.rng"))
    for name in ("atom.xml", "empty.xml", "issues.xml"):
        assert grammar.validate(etree.parse(GOLDEN / name)), grammar.error_log


# One format after the other


def test_atom_says_everything_of_the_feed() -> None:
    root = parse_atom()
    assert root.findtext(f"{A}id") == FEED.id
    assert root.findtext(f"{A}title") == "The “Awkward” Herald & Sons"
    assert root.findtext(f"{A}subtitle") == "News < rumours"
    assert root.findtext(f"{A}author/{A}name") == "The Herald’s desk"
    assert root.find(f"{A}author/{A}email") is None, "addresses are not published"
    assert root.findtext(f"{A}rights") == "© The Herald"
    assert root.findtext(f"{A}icon") == FEED.icon
    assert root.findtext(f"{A}logo") == FEED.logo
    assert root.find(f"{A}generator").attrib == {"version": "1.2.3"}
    assert root.get("{http://www.w3.org/XML/1998/namespace}lang") == "en-AU"
    assert links(root, "self") == [{"href": FEED.atom, "rel": "self", "type": "application/atom+xml"}]
    assert links(root, "alternate")[0]["href"] == SITE
    assert links(root, "hub") == [{"href": "https://hub.example.org/", "rel": "hub"}]


def test_atom_keeps_everything_of_an_entry() -> None:
    entry = parse_atom().find(f"{A}entry")
    assert entry.findtext(f"{A}id") == f"{PREFIX}9"
    assert entry.findtext(f"{A}published") == entry.findtext(f"{A}updated") == "2026-11-09T09:30:00Z"
    assert entry.findtext(f"{A}author/{A}name") == "@kj"
    assert entry.findtext(f"{A}author/{A}uri") == "https://kj.example.org/"
    assert [dict(c.attrib) for c in entry.findall(f"{A}category")][:2] == [
        {"term": "trade", "scheme": f"{SITE}tags/", "label": "Trade"},
        {"term": word_slug("C++"), "scheme": f"{SITE}tags/", "label": "C++"},
    ]
    assert links(entry, "alternate") == [
        {"rel": "alternate", "type": "text/html", "href": f"{SITE}posts/post-9/", "hreflang": "en-AU"}
    ]
    assert links(entry, "via")[0]["href"] == "https://office.example.com/press?id=4&lang=en"
    assert links(entry, "related")[0]["href"] == f"{SITE}posts/post-4/"
    assert links(entry, "enclosure")[0] == {
        "rel": "enclosure",
        "type": "application/pdf",
        "href": "https://files.example.org/tariff%20table.pdf",
        "length": "12345",
    }
    assert entry.find(f"{THREAD}in-reply-to").get("ref") == f"{PREFIX}4"
    picture, thumbnail = entry.find(f"{MEDIA}content"), entry.find(f"{MEDIA}thumbnail")
    assert (picture.get("width"), picture.get("height"), picture.get("type")) == ("1200", "800", "image/jpeg")
    assert picture.findtext(f"{MEDIA}credit") == "Photo: K. Example"
    assert dict(thumbnail.attrib) == {"url": f"{SITE}media/aa-600.jpg", "width": "600", "height": "400"}


def test_content_carries_picture_quotation_sources_and_references() -> None:
    content = html.fragment_fromstring(entries()[0].html, create_parent="div")
    assert content.xpath("string(.//figcaption)") == f"{HARBOUR.caption} {HARBOUR.credit}"
    assert content.find(".//img").get("alt") == HARBOUR.alt
    assert content.find(".//blockquote").get("cite") == "https://office.example.com/q"
    assert [cite.text_content() for cite in content.findall(".//cite")] == [
        citation.text for citation in POSTS[0].citations
    ]
    assert content.xpath(".//a/@href")[-1] == f"{SITE}posts/post-4/"


def test_a_citation_that_the_body_says_is_not_said_twice() -> None:
    cited = "Office, “A &amp; B”, 2026"
    one = post(
        1,
        "t",
        citations=(Citation(text="Office, “A & B”, 2026"),),
        body_html=f"<p>x</p><p>Source:  <em>{cited}</em></p>",
    )
    assert entry_of_post(FEED, one).html.count(cited) == 1


def test_corrections_are_dated_in_the_publications_zone() -> None:
    assert "<strong>Correction, 9 November 2026:</strong> The court sat on Tuesday" in entries()[2].html


def test_labels_follow_the_posts_language() -> None:
    french = post(1, "Titre", language="fr-BE", content_note=ContentNote(text="violences"))
    assert entry_of_post(FEED, french).summary.startswith("Avertissement: violences")


def test_a_content_note_comes_first_and_shows_no_picture() -> None:
    hidden, noted = entries()[1], entries()[2]
    assert hidden.title == hidden.summary == "Content note: describes violence against children"
    assert noted.title == "Court orders the cranes to stop"
    assert noted.summary.startswith("Content note: mentions a death at work — ")
    for entry in (hidden, noted):
        assert entry.html.startswith("<p><strong>Content note: ")
        assert "<img" in entry.html, "the picture stays in the full text, behind the note"
        assert not entry.pictures
        assert entry.thumbnail is None
    assert not hidden.enclosures, "an attached picture would be shown as a thumbnail"
    assert "attack on a school" not in atom(AWKWARD, entries()).decode()
    items = json.loads(json_feed(AWKWARD, entries()))["items"]
    assert "image" not in items[1]


def test_a_reply_needs_the_earlier_posts_id() -> None:
    unknown = Reference(url=f"{SITE}posts/x/", relation=Relation.CORRECTION)
    related = replace(unknown, relation=Relation.RELATED, post_id=f"{PREFIX}1")
    for reference in (unknown, related):
        entry = only(post(5, "t", references=(reference,)))
        assert entry.find(f"{THREAD}in-reply-to") is None
        assert links(entry, "related")


def test_namespaces_stand_only_where_they_are_used() -> None:
    plain = atom(FEED, [entry_of_post(FEED, post(4, "plain"))])
    for word in (b"tombstones", b"thread", b"mrss"):
        assert word not in plain
    gone = parse_atom().findall(f"{TOMBSTONES}deleted-entry")
    assert [dict(one.attrib) for one in gone] == [{"ref": f"{PREFIX}2", "when": "2026-11-09T12:30:00Z"}]


def test_updated_is_the_newest_change_or_deletion() -> None:
    assert updated(AWKWARD, entries()) == DELETED[0].when
    assert updated(FEED, entries()) == instant(9)
    assert updated(FEED, []) == FEED.began


def test_addresses_are_published_only_when_configured() -> None:
    told = replace(FEED, publish_addresses=True)
    written = [make(told, entries()).decode() for make in (atom, rss, json_feed)]
    assert all("kj@herald.example.org" in one for one in (written[0], written[1]))
    assert all(b"kj@" not in make(FEED, entries()) for make in (atom, rss, json_feed))


def test_rss_is_complete() -> None:
    channel = etree.fromstring(rss(AWKWARD, entries())).find("channel")
    assert channel.findtext("link") == SITE
    assert channel.find(f"{A}link").attrib == {
        "href": FEED.rss,
        "rel": "self",
        "type": "application/rss+xml",
    }
    assert channel.findtext("lastBuildDate") == "Mon, 09 Nov 2026 12:30:00 +0000"
    assert channel.findtext("image/link") == SITE
    item = channel.find("item")
    assert item.find("guid").attrib == {"isPermaLink": "false"}
    assert item.findtext("guid") == f"{PREFIX}9"
    assert item.findtext("pubDate") == "Mon, 09 Nov 2026 09:30:00 +0000"
    assert item.findtext("description") == "What post 9 says."
    assert item.findtext(CONTENT) == entries()[0].html
    assert item.findtext(f"{DC}creator") == "@kj"
    assert item.find("enclosure").get("length") == "12345"
    assert all(
        one.findtext("link") == ours.url for one, ours in zip(channel.iter("item"), entries(), strict=True)
    )


def test_json_feed_is_complete() -> None:
    feed = json.loads(json_feed(AWKWARD, entries()))
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert feed["hubs"] == [{"type": "WebSub", "url": "https://hub.example.org/"}]
    assert (feed["icon"], feed["favicon"], feed["language"]) == (FEED.logo, FEED.icon, "en-AU")
    item = feed["items"][0]
    assert item["external_url"] == "https://office.example.com/press?id=4&lang=en"
    assert item["image"] == f"{SITE}media/aa-1200.jpg"
    assert item["authors"] == [{"name": "@kj", "url": "https://kj.example.org/"}]
    assert item["attachments"][0]["size_in_bytes"] == 12345
    assert item["content_html"] == entries()[0].html


def test_dates_do_not_touch_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise AssertionError("the locale was touched")

    monkeypatch.setattr(locale, "setlocale", refuse)
    rss(AWKWARD, entries())
    atom(AWKWARD, entries())


def test_building_twice_gives_the_same_bytes() -> None:
    for make in (atom, rss, json_feed):
        assert make(AWKWARD, entries()) == make(AWKWARD, tuple(entry_of_post(AWKWARD, p) for p in POSTS))


# Which entries


def test_the_newest_are_chosen_and_corrected_ones_come_back() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    posts = [
        post(n, str(n), published=start + timedelta(days=n), updated=start + timedelta(days=n))
        for n in range(1, 41)
    ]
    assert [one.seq for one in newest(posts, 30)] == list(range(40, 10, -1))
    posts[4] = replace(posts[4], updated=start + timedelta(days=50))
    assert [one.seq for one in newest(posts, 30)] == [*range(40, 11, -1), 5]
    touched = [replace(one, updated=start + timedelta(days=60)) for one in posts]
    chosen = [one.seq for one in newest(touched, 30)]
    assert chosen[:20] == list(range(40, 20, -1)), "a mass edit does not push the news out"
    assert len(chosen) == 30


def test_a_feed_too_large_has_fewer_entries_and_whole_texts() -> None:
    big = [
        replace(POSTS[5], seq=n, id=f"{PREFIX}{n}", body_html=f"<p>{'word ' * 4000}</p>") for n in range(30)
    ]
    document = atom(FEED, [entry_of_post(FEED, one) for one in big])
    root = etree.fromstring(document)
    count = len(root.findall(f"{A}entry"))
    assert len(document) <= 250_000
    assert count == 12
    assert all(content.text.count("word ") == 4000 for content in root.iter(f"{A}content"))
    one = [entry_of_post(FEED, replace(big[0], body_html=f"<p>{'word ' * 60_000}</p>"))]
    assert len(atom(FEED, one)) > 250_000, "a single entry is never cut"


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(10, 200))
def test_fit_takes_as_many_as_fit(sizes: list[int], largest: int) -> None:
    made: Any = [replace(entries()[0], html="x" * size) for size in sizes]
    document = fit(lambda some: b"".join(one.html.encode() for one in some), made, largest)
    kept = next(n for n in range(len(sizes) + 1) if sum(sizes[:n]) == len(document))
    assert kept == max([1, *(n for n in range(1, len(sizes) + 1) if sum(sizes[:n]) <= largest)])


# Names and texts


@pytest.mark.parametrize(
    ("word", "slug"),
    [
        ("Trade", "trade"),
        (" Free  Trade ", "free-trade"),
        ("Łódź", "łódź"),
        ("@hvdb", "hvdb"),
        ("東京", "東京"),
    ],
)
def test_slugs_of_plain_words(word: str, slug: str) -> None:
    assert word_slug(word) == slug


def test_slugs_that_lose_something_stay_apart() -> None:
    slugs = {word_slug(word) for word in ("C", "C++", "C#", "C/", "../c", "c" * 300, "c" * 301, "😀", "😁")}
    assert len(slugs) == 9


@given(st.text(max_size=200))
def test_a_slug_is_one_safe_file_name(word: str) -> None:
    slug = word_slug(word)
    assert slug
    assert "/" not in slug
    assert not slug.startswith(".")
    assert len(slug.encode()) < 100
    assert slug == word_slug(word.upper().lower()) or word.upper().lower() != word


@given(st.text(max_size=400), st.integers(10, 300))
def test_shortened_texts_are_lines(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert "\n" not in short


@given(st.text(max_size=100))
def test_links_are_web_links_or_nothing(text: str) -> None:
    for url in (web_link(text), web_link(f"https://example.org/{text}")):
        assert not url or url.startswith(("http://", "https://", "HTTP", "Http"))
        assert not set(url) & set(' <>"{}|\\^`\n\t\0')
    assert web_link("javascript:alert(1)") == web_link("/path") == web_link("https://") == ""


def test_an_issues_entry_hides_what_its_posts_hide() -> None:
    entry = entry_of_issue(FEED, f"{PREFIX}issues/weekly/3", ISSUE, POSTS)
    assert entry.url == f"{SITE}issues/weekly/3/"
    assert "attack on a school" not in entry.html + entry.summary
    assert entry.html.startswith("<p>Good morning.</p>")
    assert entry.html.count("<h2>") == len(POSTS)


# Any text in any field: surrogates, controls, ]]>, direction overrides, markup.

NASTY = st.one_of(
    st.text(max_size=60),
    st.text(st.characters(), max_size=30),  # with lone surrogates
    st.sampled_from(
        [
            "]]>",
            "<script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "a\x00b\x08c\x0bd\ufffe",
            "\u202egnp.exe\u2066",
            "&#x1;&lt;b&gt;&amp;amp;",
            "\r\n\x85\u2028",
            "javascript:alert(1)",
            "\ud800",
            "<!-- --> <![CDATA[ x ]]>",
            "",
        ]
    ),
)
WHEN = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(
    lambda naive: naive.replace(tzinfo=UTC, microsecond=0)
)


@st.composite
def nasty_posts(draw: st.DrawFn) -> Post:
    """Draw a post whose every plain text is nasty; its body is what the content pipeline lets through."""

    def words() -> str:
        return draw(NASTY)

    def url() -> str:
        return draw(st.one_of(NASTY, NASTY.map(lambda text: f"https://example.org/{text}")))

    note = st.builds(ContentNote, text=NASTY, show_title=st.booleans())
    return Post(
        source="posts",
        source_key=words(),
        id=f"{PREFIX}{draw(st.integers(0, 10**9))}",
        slug=draw(st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True)),
        title=words(),
        published=draw(WHEN),
        updated=draw(WHEN),
        body_html="<p>The &lt;text&gt;.</p>",
        summary=words(),
        url=url(),
        authors=(Author(name=words(), uri=url(), email=words()),),
        tags=(words(), words()),
        images=(
            Image(
                src=url(),
                alt=words(),
                caption=words(),
                credit=words(),
                width=9,
                height=9,
                media_type=words(),
                lead=True,
            ),
        ),
        citations=(Citation(text=words(), url=url(), title=words()),),
        references=(
            Reference(
                url=url(), title=words(), relation=draw(st.sampled_from(Relation)), post_id="urn:uuid:1"
            ),
        ),
        enclosures=(Enclosure(url=url(), media_type=words(), length=draw(st.integers(0, 9)), title=words()),),
        corrections=(Correction(when=draw(WHEN), text=words()),),
        content_note=draw(st.none() | note),
    )


def scripts(text: str) -> list[str]:
    """Return what a browser would run or load from elsewhere than a web address."""
    tree = html.fragment_fromstring(text, create_parent="div")
    found = [element.tag for element in tree.iter("script", "iframe", "object", "style")]
    for element in tree.iter():
        for name, value in element.attrib.items():
            if name.startswith("on") or (name in ("href", "src") and not value.lower().startswith("http")):
                found.append(f"{name}={value}")
    return found


@settings(max_examples=60, deadline=None)
@given(nasty_posts(), NASTY, NASTY)
@example(post(1, "¡"), "", "")
@example(post(1, "Â¡"), "¡", "Â¡")
def test_no_text_breaks_a_feed(one: Post, title: str, rights: str) -> None:
    feed = replace(FEED, title=f"x{title}", subtitle=title, rights=rights, author=Author(name=f"a{title}"))
    entry = entry_of_post(feed, one)
    assert not scripts(entry.html)
    for make in (atom, rss):
        document = make(feed, [entry])
        etree.fromstring(document)
        read = feedparser.parse(document, sanitize_html=False, resolve_relative_uris=False)
        assert not read.bozo, read.bozo_exception
        told = [(e.id, e.title, e.link) for e in read.entries]
        mended = as_reread(entry.title)  # feedparser takes “Â¡” for a “¡” that was encoded twice
        assert told in ([(entry.id, entry.title, entry.url)], [(entry.id, mended, as_reread(entry.url))])
        title = "*[local-name()='entry' or local-name()='item']/*[local-name()='title']"
        assert etree.fromstring(document).xpath(f"string(//{title}[1])") == entry.title
        assert timegm(read.entries[0].published_parsed) == one.published.timestamp()
        assert timegm(read.entries[0].updated_parsed) == one.updated.timestamp()
    item = json.loads(json_feed(feed, [entry]))["items"][0]
    assert (item["id"], item["title"], item["url"]) == (entry.id, entry.title, entry.url)


@settings(max_examples=30, deadline=None)
@given(one=nasty_posts())
def test_no_text_breaks_the_grammar(shared_data: Path, one: Post) -> None:
    grammar = etree.RelaxNG(etree.parse(shared_data / "atom.rng"))
    assert grammar.validate(etree.fromstring(atom(FEED, [entry_of_post(FEED, one)]))), grammar.error_log


def test_the_quick_way_of_cleaning_agrees_with_the_long_one() -> None:
    """A NUL in front takes the long way, and is removed there."""
    for code in (*range(0x3100), *range(0xD700, 0x10400), 0xE0001, 0x10FFFF):
        for text in (chr(code), f"a{chr(code)}b", f" {chr(code)}", f"a {chr(code)}"):
            assert clean_line(text) == clean_line(f"\0{text}"), hex(code)
            assert strip_controls(text) == strip_controls(f"\0{text}"), hex(code)
        url = f"https://example.org/{chr(code)}/b;c"
        assert web_link(url) == web_link(f"\0{url}"), hex(code)
    for url in (
        "https://a:80?x",
        "http://",
        "https:///a",
        "HTTPS://A/",
        "http://a/&lt;",
        "https://a/%zz\n",
        "ftp://a/",
    ):
        assert web_link(url) == web_link(f"\0{url}"), url
