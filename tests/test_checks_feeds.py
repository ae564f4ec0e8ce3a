"""The gate: it passes what we write, and names every way in which a document can be wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awkward import DELETED, FEED, POSTS, PREFIX, SITE
from newsletter.checks.feeds import check_atom, check_file, check_json_feed, check_rss
from newsletter.feeds import atom, entry_of_post, json_feed, opml, rss

AWKWARD = replace(FEED, deleted=DELETED)
ENTRIES = [entry_of_post(AWKWARD, one) for one in POSTS]
ATOM, RSS, JSON = atom(AWKWARD, ENTRIES), rss(AWKWARD, ENTRIES), json_feed(AWKWARD, ENTRIES)


def test_what_we_write_passes() -> None:
    assert check_atom(ATOM) == check_json_feed(JSON) == check_atom(atom(FEED, [])) == []
    (told,) = check_rss(RSS)
    assert not told.error, "a title that looks like markup is the author's own"
    assert (told.place, told.spec) == (f"item 1 ({PREFIX}9)", "RSS 2.0, <title>")


def test_the_format_is_recognised() -> None:
    outline = opml("x", "", [FEED], FEED.began)
    assert [check_file(one, "f") for one in (ATOM, JSON, outline)] == [[], [], []]
    assert check_file(RSS, "f") == check_rss(RSS, "f")
    assert check_file(RSS.replace(b"<channel>", b"<canal>", 1).replace(b"</channel>", b"</canal>"), "f")
    assert check_file(b"<html/>", "f")
    assert check_file(b"<rss>", "f")


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("<feed ", "<feeds ", "well-formed"),
        ("<?xml version='1.0' encoding='UTF-8'?>", "<!DOCTYPE feed [<!ENTITY a 'b'>]>", "document type"),
        (f"<id>{PREFIX}feed</id>", "", "exactly one id"),
        (f"<id>{PREFIX}9</id>", "<id>posts/9</id>", "absolute IRI"),
        (f"<id>{PREFIX}9</id>", f"<id> {PREFIX}9</id>", "white space"),
        (f"<id>{PREFIX}8</id>", f"<id>{PREFIX}9</id>", "id occurs once"),
        ("<title>Cranes, again</title>", "<title> </title>", "title says something"),
        ("<title>Cranes, again</title>", "", "exactly one title"),
        ("<title>Cranes, again</title>", '<title type="html">Cranes</title>', "plain text"),
        ("<published>2026-11-04T09:30:00Z", "<published>2026-11-04T09:30:00Z ", "RFC 3339"),
        ("<published>2026-11-04T09:30:00Z", "<published>2026-13-04T09:30:00Z", "RFC 3339"),
        ("<updated>2026-11-09T12:30:00Z", "<updated>2026-11-01T12:30:00Z", "as new as its newest"),
        ('rel="self"', 'rel="next"', "rel=self"),
        (f'href="{SITE}posts/post-4/" hreflang', 'href="/posts/post-4/" hreflang', "absolute"),
        (f'href="{SITE}posts/post-4/" hreflang', f'href="{SITE}posts/post 4/" hreflang', "white space"),
        ('rel="via"', 'rel="alternate" type="text/html" hreflang="EN-au"', "one alternate"),
        ('type="application/pdf"', 'type="pdf"', "media type"),
        ('length="12345"', 'length="12 kB"', "number of bytes"),
        ('hreflang="ar"', 'hreflang="ar_EG"', "language tag"),
        ("<summary>What post 4 says.</summary>", "", "summary"),
        ("<author><name>The Herald’s desk</name></author>", "", "author can be reached"),
        ("<name>@kj</name>", "<name> </name>", "has a name"),
        ("<uri>https://kj.example.org/</uri>", "<uri>kj.example.org</uri>", "uri is absolute"),
        ("<uri>https://kj.example.org/</uri>", "<email>kj at example</email>", "address is one"),
        ('term="justice"', 'term=""', "has a term"),
        (f"<icon>{FEED.icon}</icon>", "<icon>/icon.png</icon>", "icon is absolute"),
        (f'ref="{PREFIX}4"', 'ref="4"', "in-reply-to"),
        ('when="2026-11-09T12:30:00Z"', 'when="yesterday"', "tombstone"),
        ("&lt;p&gt;See &lt;a href=", "&lt;p onclick='x'&gt;See &lt;a href=", "onclick"),
        ("&lt;p&gt;See &lt;a href=", "&lt;script&gt;x&lt;/script&gt;&lt;a href=", "<script>"),
        (f'&lt;a href="{SITE}posts/post-3/"', '&lt;a href="../post-3/"', "href is absolute"),
        (f'&lt;a href="{SITE}posts/post-3/"', '&lt;a href=" javascript:x"', "no script"),
        ('<content type="html">&lt;p&gt;See', '<content type="html"><p/>&lt;p&gt;See', "escaped text"),
        ('<content type="html">&lt;p&gt;See', '<content type="xhtml">&lt;p&gt;See', "one div"),
        ('<content type="html">&lt;p&gt;See', '<content type="image/png">&lt;p&gt;See', "base64"),
        ('<content type="html">&lt;p&gt;See', '<content type="png">&lt;p&gt;See', "media type"),
        ('<content type="html">&lt;p&gt;See', '<content src="x">&lt;p&gt;See', "absolute src"),
    ],
)
def test_atom_findings(old: str, new: str, rule: str) -> None:
    assert old.encode() in ATOM
    found = check_atom(ATOM.replace(old.encode(), new.encode(), 1), "public/feeds/atom.xml")
    assert any(rule in one.rule for one in found), found
    assert all(one.where == "public/feeds/atom.xml" and one.remedy and one.error for one in found)


def test_an_entry_needs_content_or_a_page() -> None:
    one = atom(FEED, ENTRIES[5:6])
    start, end = one.index(b"<content"), one.index(b"</content>") + 10
    without = one[:start] + one[end:]
    assert check_atom(without) == []
    found = check_atom(without.replace(b'rel="alternate" type="text/html" href', b'rel="via" href'))
    assert any("content or a link" in finding.rule for finding in found)


def test_a_namespace_of_nothing_deleted() -> None:
    declared = b'<feed xmlns:at="http://purl.org/atompub/tombstones/1.0" '
    assert any(
        "tombstone" in one.rule for one in check_atom(atom(FEED, ENTRIES).replace(b"<feed ", declared))
    )


def test_a_document_too_large() -> None:
    many = [replace(ENTRIES[5], id=f"{PREFIX}{n}", html=f"<p>{'x' * 100_000}</p>") for n in range(3)]
    large = atom(FEED, many[:2]).replace(b"</content>", b"x" * 60_000 + b"</content>")
    assert any("250000" in one.rule for one in check_atom(large))


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("<rss ", '<rss version="1"', "well-formed"),
        ('version="2.0"', 'version="0.91"', "the root is"),
        (f"<link>{SITE}</link>", "<link>/</link>", "absolute home page"),
        ("<description>News &lt; rumours</description>", "", "a description"),
        ('rel="self"', 'rel="me"', "rel=self"),
        ('isPermaLink="false"', 'isPermaLink="true"', "isPermaLink"),
        (f">{PREFIX}8</guid>", f">{PREFIX}9</guid>", "guid occurs once"),
        ("<title>Cranes, again</title>", "", "a title"),
        (f"<link>{SITE}posts/post-4/</link>", "<link>posts/post-4/</link>", "link is absolute"),
        ("Wed, 04 Nov 2026 09:30:00 +0000", "2026-11-04", "RFC 822"),
        ("Wed, 04 Nov 2026 09:30:00 +0000", "Tue, 04 Nov 2026 09:30:00 +0000", "RFC 822"),
        ("<lastBuildDate>Mon, 09 Nov 2026", "<lastBuildDate>Mon, 9 Nov 26", "lastBuildDate"),
        ("<description>What post 4 says.</description>", "", "has a description"),
        ("content:encoded", "content:enc", "content:encoded"),
        ('length="12345"', "", "enclosure"),
        ("&lt;p&gt;See &lt;a href=", "&lt;iframe&gt;&lt;/iframe&gt;&lt;a href=", "<iframe>"),
    ],
)
def test_rss_findings(old: str, new: str, rule: str) -> None:
    assert old.encode() in RSS
    damaged = RSS.decode().replace(old, new) if "encoded" in old else RSS.decode().replace(old, new, 1)
    found = check_rss(damaged.encode())
    assert any(rule in one.rule for one in found), found


def damage(change: Any) -> bytes:
    document = json.loads(JSON)
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda d: d.update(version="1"), "version"),
        (lambda d: d.pop("title"), "title"),
        (lambda d: d.update(feed_url="feed.json"), "feed_url is an absolute"),
        (lambda d: d.update(items={}), "list of items"),
        (lambda d: d["items"].insert(0, 1), "an object"),
        (lambda d: d["items"][0].pop("id"), "has an id"),
        (lambda d: d["items"][0].update(id=9), "has an id"),
        (lambda d: d["items"][0].update(id=d["items"][1]["id"]), "occurs once"),
        (lambda d: d["items"][0].pop("content_html"), "has content"),
        (lambda d: d["items"][0].update(url="x"), "url is an absolute"),
        (lambda d: d["items"][0].update(date_published="today"), "RFC 3339"),
        (lambda d: d["items"][0]["attachments"][0].pop("mime_type"), "attachment"),
        (lambda d: d["items"][0].update(content_html="<img src=x>"), "src is absolute"),
    ],
)
def test_json_feed_findings(change: Any, rule: str) -> None:
    assert any(rule in one.rule for one in check_json_feed(damage(change)))


def test_not_json() -> None:
    assert check_json_feed(b"{")
    assert check_json_feed(b"[1]")
    assert check_json_feed(b"\xff")


@given(st.binary(max_size=300))
def test_no_bytes_stop_the_check(data: bytes) -> None:
    assert check_atom(data)
    assert check_rss(data)
    assert check_json_feed(data)


@given(st.integers(0, len(ATOM) - 1), st.binary(min_size=1, max_size=4))
def test_no_damage_stops_the_check(place: int, noise: bytes) -> None:
    for check, document in ((check_atom, ATOM), (check_rss, RSS), (check_json_feed, JSON)):
        at = place % len(document)
        check(document[:at] + noise + document[at + len(noise) :])


def test_bombs_are_refused() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "xxxxxxxxxx">' + b"".join(
        b'<!ENTITY b%d "&b%s;&b%s;">'
        % (n, str(n - 1).encode() if n else b"", str(n - 1).encode() if n else b"")
        for n in range(30)
    )
    assert check_atom(bomb + b"]><feed>&b29;</feed>")
    assert check_atom(b"<a>" * 100_000)


def test_the_grammar_takes_what_the_gate_takes(shared_data: Path) -> None:
    from lxml import etree

    grammar = etree.RelaxNG(etree.parse(shared_data / "atom.rng"))
    assert grammar.validate(etree.fromstring(ATOM)), grammar.error_log


def test_text_that_a_reader_mends_is_no_fault() -> None:
    entry = replace(ENTRIES[5], title="Â¡", url="https://example.org/Â¡")
    assert check_atom(atom(FEED, [entry])) == check_rss(rss(FEED, [entry])) == []


@given(st.data())
def test_what_the_grammar_refuses_is_refused(shared_data: Path, data: st.DataObject) -> None:
    from lxml import etree

    grammar = etree.RelaxNG(etree.parse(shared_data / "atom.rng"))
    root = etree.fromstring(ATOM)
    every = [one for one in root.iter() if one.tag.startswith("{http://www.w3.org/2005/Atom}")][1:]
    one = data.draw(st.sampled_from(every))
    other = data.draw(st.sampled_from(every))
    how = data.draw(st.sampled_from(["remove", "rename", "move", "double", "empty", "attribute", "text"]))
    if how == "remove" or (how in ("move", "double") and other in one.iter()):
        one.getparent().remove(one)
    elif how == "rename":
        one.tag = other.tag
    elif how == "move":
        other.append(one)
    elif how == "double":
        one.addnext(etree.fromstring(etree.tostring(one)))
    elif how == "empty":
        one.text = ""
    elif how == "attribute":
        one.set(data.draw(st.sampled_from(["type", "href", "rel", "term", "length", "hreflang"])), "x y")
    else:
        one.tail = "x"
    document = etree.tostring(root)
    if not grammar.validate(etree.fromstring(document)):
        assert [told for told in check_atom(document, own=False) if told.error], grammar.error_log


def test_an_entry_that_was_read_rightly_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import feedparser

    read: list[bytes] = []
    parse = feedparser.parse

    def noted(data: bytes, **how: bool) -> object:
        read.append(data)
        return parse(data, **how)

    monkeypatch.setattr(feedparser, "parse", noted)
    posts = [replace(one, id=f"{PREFIX}reread/{one.seq}") for one in POSTS[:3]]
    entries = [entry_of_post(FEED, one) for one in posts]
    for make, check, end in ((atom, check_atom, b"</entry>"), (rss, check_rss, b"</item>")):
        changed = [replace(entries[0], title="Another title"), *entries[1:]]
        asked = (entries, entries[:2], changed, [*entries, entries[0]])
        del read[:]
        assert not [one for some in asked[:3] for one in check(make(FEED, some), "x") if one.error]
        assert [data.count(end) for data in read] == [3, 0, 1]
        assert [one for one in check(make(FEED, asked[3]), "x") if one.error], "an id stands there twice"
        other = make(FEED, entries).replace(b"<feed ", b'<feed xml:base="https://x.example.org/" ')
        check(other.replace(b"<rss ", b'<rss xml:base="https://x.example.org/" '), "x")
        assert read[-1].count(end) == 3, "what stands around them differs"
