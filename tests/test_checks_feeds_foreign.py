"""Feeds of others: an honest report on what a specification demands, and advice on the rest."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import feedparser
import pytest
from click.testing import CliRunner

from awkward import FEED, POSTS
from newsletter.checks.feeds import check_file
from newsletter.checks.habits import habits
from newsletter.checks.reading import parse_xml
from newsletter.checks.served import Served, served_findings
from newsletter.cli import main, program
from newsletter.feeds import atom, entry_of_post, rss
from newsletter.fetch import FetchRules
from newsletter.model import Finding
from newsletter.publish.examining import examine

ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en" xml:base="https://example.org/">
<id>urn:uuid:60a76c80-d399-11d9-b93c-0003939e0af6</id><title type="html">A &amp;amp; B</title>
<updated>2026-11-02T12:00:00+01:00</updated><author><name>A. Writer</name></author>
<link href="/"/><link rel="self" href="feed.atom"/>
<entry><id>tag:example.org,2026:1</id><title>One</title><updated>2026-11-02T12:00:00+01:00</updated>
<link href="one"/><content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Text.</p></div></content></entry>
</feed>"""
RSS2 = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/">
<channel><title>Notes</title><link>https://example.org/</link><description>x</description><ttl>60</ttl>
<language>en-us</language><managingEditor>a@example.org (A. Writer)</managingEditor>
<skipHours><hour>0</hour></skipHours><skipDays><day>Sunday</day></skipDays>
<image><url>https://example.org/i.png</url><title>Notes</title><link>https://example.org/</link><width>88</width></image>
<item><title>One</title><link>https://example.org/1</link><description>&lt;p&gt;Text.&lt;/p&gt;</description>
<guid>https://example.org/1</guid><pubDate>Mon, 2 Nov 2026 12:00:00 GMT</pubDate><dc:creator>A</dc:creator>
<enclosure url="https://example.org/a.mp3" length="5" type="audio/mpeg"/><category domain="x">y</category></item>
</channel></rss>"""
RSS091 = """<?xml version="1.0"?><!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN"
 "http://my.netscape.com/publish/formats/rss-0.91.dtd">
<rss version="0.91"><channel><title>Notes</title><link>http://example.org/</link><description>x</description>
<item><title>Caf&eacute;</title><link>http://example.org/1</link></item></channel></rss>"""
RSS1 = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/">
<channel rdf:about="http://example.org/"><title>Notes</title><link>http://example.org/</link>
<description>x</description><items><rdf:Seq><rdf:li rdf:resource="http://example.org/1"/></rdf:Seq></items></channel>
<item rdf:about="http://example.org/1"><title>One</title><link>http://example.org/1</link>
<dc:date>2026-11-02T12:00+01:00</dc:date></item></rdf:RDF>"""
RSS090 = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns="http://my.netscape.com/rdf/simple/0.9/"><channel><title>Notes</title><link>http://example.org/</link>
<description>x</description></channel><item><title>One</title><link>http://example.org/1</link></item></rdf:RDF>"""
JSON = json.dumps(
    {
        "version": "https://jsonfeed.org/version/1",
        "title": "Notes",
        "author": {"name": "A"},
        "items": [{"id": "1", "content_text": "Text.", "date_published": "2026-11-02T12:00:00-04:00"}],
    }
)


def errors(document: str) -> list[Finding]:
    return [one for one in check_file(document.encode(), "feed", own=False) if one.error]


@pytest.mark.parametrize("good", [ATOM, RSS2, RSS091, RSS1, RSS090, JSON])
def test_a_good_feed_has_advice_at_most(good: str) -> None:
    assert errors(good) == []
    assert check_file(good.encode(), "feed", own=False), "each could be better"
    assert [one for one in check_file(good.encode(), "feed") if one.error], "none could be ours"


@pytest.mark.parametrize(
    ("good", "old", "new", "rule", "spec"),
    [
        (ATOM, "<id>tag:example.org,2026:1</id>", "<id>1</id>", "absolute IRI", "RFC 4287 §4.2.6"),
        (ATOM, "+01:00</updated><author>", "</updated><author>", "RFC 3339", "RFC 4287 §3.3"),
        (ATOM, "<name>A. Writer</name>", "A. Writer", "has a name", "RFC 4287 §3.2.1"),
        (ATOM, 'type="html"', 'type="text/html"', "text, html or xhtml", "RFC 4287 §3.1.1"),
        (ATOM, "<entry>", "<entry><pubDate>x</pubDate>", "no place here", "RFC 4287 §4.1.2"),
        (ATOM, "2005/Atom", "2006/Atom", "atom:feed", "RFC 4287 §2"),
        (ATOM, 'xml:lang="en"', 'xml:lang="en_US"', "language tag", "RFC 4287 §2"),
        (ATOM, '<link href="one"/>', "<link/>", "has an href", "RFC 4287 §4.2.7.1"),
        (ATOM, "<?xml", "\n<?xml", "well-formed", "XML 1.0 §2.1"),
        (ATOM, "<title>One", "<title>One &nbsp; A", "well-formed", "XML 1.0 §2.1"),
        (ATOM, "<title>One", "<title>One & A", "well-formed", "XML 1.0 §2.1"),
        (RSS2, 'version="2.0"', "", "the root is", "RSS 2.0, <rss>"),
        (RSS2, "<description>x</description>", "", "a description", "RSS 2.0, <channel>"),
        (RSS2, "Mon, 2 Nov", "Tue, 2 Nov", "day of the week", "RFC 822 §5.2"),
        (RSS2, "Mon, 2 Nov 2026 12:00:00 GMT", "2026-11-02", "RFC 822", "RFC 822 §5.1"),
        (RSS2, "<guid>https://example.org/1", "<guid>1", "isPermaLink", "RSS 2.0, <guid>"),
        (RSS2, "<item>", "<item><author>A. Writer</author>", "e-mail", "RSS 2.0, <author>"),
        (RSS2, "<item>", "<item><fulltext>A</fulltext>", "knows no", "RSS 2.0, <item>"),
        (RSS2, 'length="5"', "", "length in bytes", "RSS 2.0, <enclosure>"),
        (RSS2, 'type="audio/mpeg"', "", "media type", "RSS 2.0, <enclosure>"),
        (RSS2, "<hour>0", "<hour>25", "an hour", "RSS 2.0, <skipHours>"),
        (RSS2, "<day>Sunday", "<day>Sun", "a day", "RSS 2.0, <skipDays>"),
        (RSS2, "<ttl>60", "<ttl>1h", "minutes", "RSS 2.0, <ttl>"),
        (RSS2, "<width>88", "<width>880", "at most 144", "RSS 2.0, <image>"),
        (RSS2, "en-us", "english language", "language tag", "RSS 2.0, <language>"),
        (RSS1, 'rdf:about="http://example.org/1"', "", "rdf:about", "RSS 1.0 §5.2"),
        (RSS1, "2026-11-02T12:00+01:00", "2 November", "W3CDTF", "RSS 1.0, Dublin Core module"),
        (RSS1, "<link>http://example.org/1</link>", "", "one link", "RSS 1.0 §5.5"),
        (RSS090, "<title>One</title>", "", "one title", "RSS 1.0 §5.5"),
        (JSON, '"title": "Notes"', '"title": ""', "a title", "JSON Feed 1.1, Top-level"),
        (JSON, '"content_text"', '"text"', "has content", "JSON Feed 1.1, Items"),
        (JSON, "-04:00", "", "RFC 3339", "JSON Feed 1.1, Items"),
        (JSON, '"content_text"', '"tags": [1], "content_text"', "a tag is", "JSON Feed 1.1, Items"),
    ],
)
def test_a_fault_is_named_with_its_section(good: str, old: str, new: str, rule: str, spec: str) -> None:
    assert old in good
    found = errors(good.replace(old, new, 1))
    assert any(rule in one.rule and one.spec == spec for one in found), found
    assert all(one.remedy for one in found)


@pytest.mark.parametrize(
    ("good", "old", "new", "rule"),
    [
        (ATOM, "<entry>", '<entry><x xmlns="http://purl.org/dc/element/1.1/"/>', "that readers know"),
        (ATOM, 'xml:lang="en"', 'xml:lang="uk-UA"', ""),
        (ATOM, 'xml:lang="en"', 'xml:lang="xx"', "is registered"),
        (ATOM, "<title>One", "<title>One \x93quoted\x94", "no control characters"),
        (ATOM, "<title>One", "<title>One \ufffd", "no control characters"),
        (ATOM, '<link href="one"', '<link rel="next-one" href="one"', "relation is registered"),
        (ATOM, '<link href="one"', '<link rel="https://example.org/rel" href="one"', ""),
        (ATOM, '<link href="one"', '<link href="http:///one"', "names a host"),
        (RSS2, "Mon, 2 Nov 2026", "Thu, 1 Jan 1903", "is plausible, not of 1903"),
        (RSS2, "en-us", "eu-us", ""),
        (RSS2, "en-us", "qq", "is registered"),
        (
            RSS2,
            "<item>",
            '<item><e:encoded xmlns:e="http://purl.org/rss/1.0/modules/content/">x</e:encoded><description>x</description>',
            "stands before content:encoded",
        ),
    ],
)
def test_habits_are_advised_against(good: str, old: str, new: str, rule: str) -> None:
    assert old in good
    before = {one.rule for one in check_file(good.encode(), "feed", own=False)}
    told = [
        one
        for one in check_file(good.replace(old, new, 1).encode(), "feed", own=False)
        if one.rule not in before and not one.error
    ]
    assert any(rule in one.rule for one in told) if rule else not told, told
    assert all(one.remedy for one in told)


def test_entries_that_changed_at_one_instant_are_told() -> None:
    entry = ATOM[ATOM.index("<entry>") : ATOM.index("</entry>") + len("</entry>")]
    twice = ATOM.replace(entry, entry + entry.replace("2026:1<", "2026:2<"))
    assert twice.count("<entry>") == 2
    assert any("2 at 20" in one.rule for one in check_file(twice.encode(), "feed", own=False))


def test_what_we_write_has_no_such_habits() -> None:
    written = [
        atom(FEED, [entry_of_post(FEED, one) for one in POSTS]),
        rss(FEED, [entry_of_post(FEED, one) for one in POSTS]),
    ]
    for document in written:
        assert list(habits(parse_xml(document))) == []


def test_a_web_page_says_which_feeds_it_announces() -> None:
    head = '<link rel="alternate" type="application/atom+xml" href="/feeds/atom.xml">'
    for page in (f"<!DOCTYPE html><html><head>{head}<body>", f"<html><head>{head}</head></html>"):
        (told,) = errors(page)
        assert "web page" in told.rule
        assert told.remedy.endswith("/feeds/atom.xml") == ("alternate" in page and 'xml">' in page)


@pytest.mark.parametrize("own", [True, False])
def test_no_feed_stops_the_check(shared_data: Path, own: bool) -> None:
    files = [path for path in sorted((shared_data / "feeds").rglob("*")) if path.is_file()]
    assert files
    for path in files:
        document = path.read_bytes()
        found = [one for one in check_file(document, path.name, own=own) if one.error]
        if "illformed" in path.parts or feedparser.parse(document).bozo:
            assert found, path


def test_depth_and_oddities_stop_nothing() -> None:
    for document in ("[" * 100_000, '{"items": [[], 1, {"id": {}, "tags": 1, "attachments": [1]}]}', ""):
        assert errors(document)


# How it is served


class Web(BaseHTTPRequestHandler):
    """Serves one document as its server was told to."""

    def do_GET(self) -> None:
        told: Any = self.server
        if self.path in told.redirects:
            status, there = told.redirects[self.path]
            self.send_response(status)
            self.send_header("Location", there)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        etag = told.headers.get("ETag")
        fresh = told.compares and etag is not None and self.headers.get("If-None-Match") == etag
        self.send_response(304 if fresh else 200)
        for name, value in told.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0" if fresh else str(len(told.body)))
        self.end_headers()
        self.wfile.write(b"" if fresh else told.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.root = f"http://127.0.0.1:{server.server_port}"
    server.body = ATOM.replace("feed.atom", f"{server.root}/feed").encode()
    server.headers = {"Content-Type": "application/atom+xml; charset=utf-8", "ETag": '"1"'}
    server.compares, server.redirects = True, {"/old": (301, "/feed"), "/now": (302, "/feed")}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join(30)
    server.server_close()


RULES = FetchRules(allow_private=True)


def served(url: str) -> list[str]:
    return [one.rule for one in examine(url, RULES) if one.place == "HTTP"]


def test_a_well_served_feed_has_nothing_said_of_it(web: Any) -> None:
    assert served(f"{web.root}/feed") == []


def test_what_is_wrong_with_serving_is_said(web: Any) -> None:
    web.headers |= {"Content-Type": "text/xml; charset=iso-8859-1"}
    web.compares = False
    web.body = ATOM.replace("</feed>", f"<!--{'x' * 300_000}--></feed>").encode()
    found = "\n".join(served(f"{web.root}/feed"))
    for word in (
        "rather than text/xml",
        "not iso-8859-1",
        "answers 304",
        "gzip",
        "250000",
        "names as its own",
    ):
        assert word in found, word
    del web.headers["ETag"]
    assert any("ETag or a Last-Modified" in one for one in served(f"{web.root}/feed"))


def test_redirects_are_told_apart(web: Any) -> None:
    assert any("for good" in one for one in served(f"{web.root}/old"))
    assert any("for the time being" in one for one in served(f"{web.root}/now"))


def test_a_json_feed_names_its_own_address() -> None:
    body = b'{"feed_url": "https://example.org/feed.json"}'
    url = "https://example.org/other.json"
    told = Served(asked=url, url=url, body=body, content_type="application/json", revalidated=True)
    assert ["names as its own" in one.rule for one in served_findings(told)] == [True]


def test_the_command_needs_no_publication(tmp_path: Path) -> None:
    (tmp_path / "good.xml").write_text(ATOM, encoding="utf-8")
    (tmp_path / "bad.xml").write_text(ATOM.replace("tag:example.org,2026:1", "1"), encoding="utf-8")

    def run(*names: str) -> Any:
        arguments = [
            "-p",
            str(tmp_path),
            "check",
            "feeds",
            *(str(tmp_path / name) for name in names),
            "--json",
        ]
        return CliRunner().invoke(program, arguments, standalone_mode=False)

    good, both = run("good.xml"), run("good.xml", "bad.xml")
    assert (good.return_value, both.return_value) == (0, 1)
    assert not any(one["error"] for one in json.loads(good.output))
    assert [one["spec"] for one in json.loads(both.output) if one["error"]] == ["RFC 4287 §4.2.6"]


def test_what_cannot_be_had_is_told_apart(tmp_path: Path) -> None:
    for name, status in (("missing.xml", 2), ("http://127.0.0.1:1/feed", 3)):
        with pytest.raises(SystemExit) as ended:
            main(["-p", str(tmp_path), "check", "feeds", name])
        assert ended.value.code == status
