"""A folder of posts: front matter, pictures, links, old pages, memory, and what is refused with its line."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from newsletter.config import Config
from newsletter.errors import InputError, SourceError
from newsletter.model import Author, Citation, ContentNote, Correction, Post, Rejected, Relation
from newsletter.sources import SourceContext, SourceState, frontmatter
from newsletter.sources.folder import slug_of, slugify
from newsletter.sources.markdown import MarkdownSource

FIXTURES = Path(__file__).parent / "fixtures" / "content"
MINIMAL = "---\ntitle: A title\ndate: 2026-09-14 07:30\n---\n"


class Site:
    """A publication whose posts a test writes."""

    def __init__(self, config: Config, now: datetime) -> None:
        self.config = config
        self.folder = config.path("posts")
        self.now = now
        self.state = SourceState()

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def picture(self, name: str, colour: str = "red") -> None:
        out = io.BytesIO()
        Pillow.new("RGB", (64, 48), colour).save(out, "PNG")
        self.write(name, out.getvalue())

    def gather(self, **changes: object) -> list[Post | Rejected]:
        """Gather once more, with the memory of the time before."""
        self.state = SourceState(memory=self.state.memory)
        config = self.config
        source = config.sources[0].model_copy(update=changes)
        return list(
            MarkdownSource(SourceContext(config=config, source=source, now=self.now)).posts(self.state)
        )

    def post(self, name: str, text: str) -> Post:
        """Write one file and gather it."""
        self.write(name, text)
        found = [item for item in self.gather() if item.source_key == name]
        assert len(found) == 1
        assert isinstance(found[0], Post), found[0]
        return found[0]

    def rejected(self, name: str, text: str | bytes) -> Rejected:
        self.write(name, text)
        found = [item for item in self.gather() if item.source_key == name]
        assert len(found) == 1
        assert isinstance(found[0], Rejected), found[0]
        return found[0]


@pytest.fixture
def site(publication: Callable[..., Config], now: datetime) -> Site:
    config = publication(
        {
            "publication": {
                "url": "https://news.example.org/",
                "timezone": "Europe/Brussels",
                "author": "The House",
            },
            "sources": [{"name": "posts", "kind": "markdown", "path": "posts"}],
        }
    )
    return Site(config, now)


FULL = """---
title: "No: a “title” & more"
date: 2026-09-14
updated: 2026-09-15T08:00:00+02:00
authors:
  - "@hvdb"
  - {name: N. N., uri: "https://n.example.org/"}
tags: [Trade, ports, trade]
summary: >
  The summary,
  on two lines.
slug: a-slug
language: fr-BE
image: {src: pictures/lead.png, alt: The port, caption: At night, credit: "Photo: N. N."}
sources:
  - A plain citation, https://c.example.org/1.
  - {author: N. N., publisher: An Office, place: Ghent, title: A Study, kind: study, date: 2026-09-01, url: https://c.example.org/2}
references:
  - earlier
  - {post: first.md, relation: follow-up, title: The first}
  - https://elsewhere.example.org/x
corrections:
  - {date: 2026-09-16, text: The number was wrong.}
content_note: {text: Violence is described., title: hide}
minor: yes
---
The text of [earlier](earlier.md), *and* so on.
"""


def test_everything_that_front_matter_can_say(site: Site) -> None:
    site.picture("pictures/lead.png")
    site.write("first.md", MINIMAL.replace("---\n", "---\nslug: the-first\n", 1))
    site.write("2026-01-01-earlier.md", MINIMAL)
    post = site.post("2026-09-14-full.md", FULL)
    page = "https://news.example.org/posts/"
    assert post.title == "No: a “title” & more"
    assert (post.published, post.date_only) == (datetime(2026, 9, 14, 10, tzinfo=UTC), True)
    assert post.updated == datetime(2026, 9, 15, 6, tzinfo=UTC)
    assert post.authors == (Author(name="@hvdb"), Author(name="N. N.", uri="https://n.example.org/"))
    assert post.tags == ("Trade", "ports")
    assert post.summary == "The summary, on two lines."
    assert (post.slug, post.url, post.own_page, post.id) == ("a-slug", page + "a-slug/", True, "")
    assert post.language == "fr-BE"
    assert post.content_note == ContentNote(text="Violence is described.", show_title=False)
    assert post.minor
    assert post.corrections == (
        Correction(when=datetime(2026, 9, 16, 10, tzinfo=UTC), text="The number was wrong."),
    )
    assert post.citations[0] == Citation(
        text="A plain citation, https://c.example.org/1.", url="https://c.example.org/1"
    )
    assert post.citations[1].text == "N. N., An Office, Ghent, “A Study”, study, 2026-09-01"
    assert [(one.url, one.relation, one.title) for one in post.references] == [
        (page + "earlier/", Relation.RELATED, "earlier"),
        (page + "the-first/", Relation.FOLLOW_UP, "The first"),
        ("https://elsewhere.example.org/x", Relation.RELATED, ""),
    ]
    lead = post.images[0]
    assert (lead.lead, lead.alt, lead.caption, lead.credit) == (True, "The port", "At night", "Photo: N. N.")
    assert (lead.width, lead.height) == (64, 48)
    assert lead.src == f"https://news.example.org/media/{lead.large}"
    assert (site.config.media / lead.large).is_file()
    assert post.body_html.startswith(f'<figure><img src="{lead.src}" alt="The port" width="64" height="48"/>')
    assert f'<a href="{page}earlier/">' in post.body_html
    assert post.dropped == ()
    assert site.state.notes == []


def test_the_least_a_post_needs(site: Site) -> None:
    post = site.post("2026-09-14-Ein_Über Blick.md", MINIMAL + "Text.\n")
    assert post.slug == "ein-uber-blick"
    assert post.published == post.updated == datetime(2026, 9, 14, 5, 30, tzinfo=UTC)
    assert post.authors == (Author(name="The House"),)
    assert (post.summary, post.body_html, post.word_count) == ("Text.", "<p>Text.</p>", 1)
    assert post.language == site.config.publication.language


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + MINIMAL + "Text.",
        (MINIMAL + "Text.").replace("\n", "\r\n"),
        (MINIMAL + "Text.").replace("---\n", "--- \n"),
        MINIMAL.replace("A title", "A\x00 ti\x07tle") + "Te\x0bxt.",
    ],
    ids=["byte order mark", "CRLF", "spaces", "controls"],
)
def test_how_editors_save(site: Site, text: str) -> None:
    post = site.post("a.md", text)
    assert (post.title, post.body_html) == ("A title", "<p>Text.</p>")


def test_words_and_times_stay_text(site: Site) -> None:
    post = site.post(
        "a.md", "---\ntitle: No\ndate: 2026-09-14 07:30\nauthor: 007\ntags: [on, 1.0, 2026]\n---\nx"
    )
    assert (post.title, post.authors[0].name, post.tags) == ("No", "007", ("on", "1.0", "2026"))


@pytest.mark.parametrize(
    ("text", "line", "reason", "remedy"),
    [
        ("No front matter", 1, "no front matter", "---"),
        ("---\ntitle: x\n", 1, "not closed", "hyphens"),
        ("---\ndate: 2026-09-14\n---\n", 1, "no title", "title:"),
        ("---\ntitle:\ndate: 2026-09-14\n---\n", 2, "no title", "title:"),
        ("---\ntitle: x\n---\n", 1, "no date", "date:"),
        ("---\ntitle: x\ndate: soon\n---\n", 3, "'soon' is not a date", "2026-09-14"),
        (
            "---\ntitle: x\ndate: 2026-09-14\nautor: y\n---\n",
            4,
            "'autor' is not known",
            "Did you mean author",
        ),
        ("---\ntitle: x\ndate: 2026-09-14\nzzzz: y\n---\n", 4, "'zzzz' is not known", "Known here"),
        ("---\ntitle: x\ntitle: y\ndate: 2026-09-14\n---\n", 3, "twice", "Remove"),
        ("---\ntitle: x: y\ndate: 2026-09-14\n---\n", 2, "not valid YAML", "quotes"),
        ("---\ntitle: x\n\tdate: 2026-09-14\n---\n", 3, "not valid YAML", "quotes"),
        ("---\n- title\n---\n", 2, "not a list of keys", "key: value"),
        ("---\ntitle: [a]\ndate: 2026-09-14\n---\n", 2, "title must be a text", "one line"),
        ("---\ntitle: x\ndate: 2026-09-14\nslug: A b\n---\n", 4, "slug 'A b'", "a-z"),
        ("---\ntitle: x\ndate: 2026-09-14\nslug: ../../etc\n---\n", 4, "slug", "a-z"),
        ("---\ntitle: x\ndate: 2026-09-14\nlanguage: e\n---\n", 4, "language tag", "en-AU"),
        ("---\ntitle: x\ndate: 2026-09-14\nminor: maybe\n---\n", 4, "maybe", "true or false"),
        ("---\ntitle: x\ndate: 2026-09-14\nimage: {alt: y}\n---\n", 4, "no src", "src:"),
        ("---\ntitle: x\ndate: 2026-09-14\nimage: {src: y, atl: z}\n---\n", 4, "'atl'", "Did you mean alt"),
        (
            "---\ntitle: x\ndate: 2026-09-14\nreferences:\n  - {post: y, relation: z}\n---\n",
            5,
            "'z'",
            "follow-up",
        ),
        (
            "---\ntitle: x\ndate: 2026-09-14\nsources:\n  - {title: y, url: 'javascript:x'}\n---\n",
            5,
            "URL",
            "https",
        ),
        ("---\ntitle: x\ndate: 2026-09-14\ncorrections:\n  - words\n---\n", 5, "date and text", "date"),
        ("---\ntitle: x\ndate: 2026-09-14\nupdated: 2026-09-13\n---\n", 4, "before date", "Correct"),
        ("---\ntitle: x\ndate: 2026-09-14\nauthor: y\nauthors: [z]\n---\n", 5, "both", "one"),
        ("---\na: &a [x]\nb: *a\n---\n", 2, "anchors", "quotes"),
        ("---\na: " + "[" * 30_000 + "\n---\n", 2, "nested", ""),
        ("---\n" + "- " * 20_000 + "\n---\n", 2, "nested", ""),
        ("---\n? [a]\n: b\n---\n", 2, "not a word", "key"),
        ("---\nx: " + "y" * 70_000 + "\n---\n", 1, "too long", "---"),
        (MINIMAL + "<b>" * 500, 0, "nested", "Close"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    site: Site, text: str, line: int, reason: str, remedy: str
) -> None:
    site.write("good.md", MINIMAL)
    item = site.rejected("bad.md", text)
    assert reason in item.reason
    assert remedy in item.remedy
    assert item.where == str(site.folder / "bad.md") + (f":{line}" if line else "")
    assert item.excerpt == (" ".join(text.split("\n")[line - 1].split())[:200] if line else "")
    assert [one.source_key for one in site.gather()] == ["bad.md"]  # it is not remembered as unchanged
    assert site.state.unchanged == {"good.md"}  # and the rest went on


def test_bytes_that_are_not_utf8(site: Site) -> None:
    item = site.rejected("bad.md", MINIMAL.encode() + b"caf\xe9\n")
    assert item.where.endswith("bad.md:5")
    assert "0xe9" in item.reason
    assert "UTF-8" in item.remedy


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(["title", "date", ": ", ":", "\n", " ", "- ", "[", "]", "{", "}", "&a", "*a", "x", "2026-09-14",
                         "'", '"', "|", ">", "#", "!!python/object:x", "<<", "? ", "%", "@", "\t", "sources", "é"]),
        max_size=30,
    ).map("".join)
)  # fmt: skip
def test_any_front_matter_is_typed_or_refused(text: str) -> None:
    where = title = ""
    try:
        title = frontmatter.read(text, "UTC").title
    except InputError as e:
        where = e.where
    assert title or where.startswith(":")


class TestFolder:
    def test_what_is_a_post(self, site: Site) -> None:
        for name in (
            "b.md",
            "a/c.markdown",
            "README.md",
            ".hidden.md",
            ".git/d.md",
            "generate.py",
            "a/readme.MD",
        ):
            site.write(name, MINIMAL)
        site.write("draft.md", MINIMAL.replace("---\n", "---\ndraft: true\n", 1))
        assert [item.source_key for item in site.gather()] == ["a/c.markdown", "b.md"]
        assert site.state.notes == ["draft.md is a draft and was left out"]

    def test_a_missing_folder_is_the_sources_failure(self, site: Site) -> None:
        shutil.rmtree(site.folder)
        with pytest.raises(SourceError, match="cannot be read"):
            site.gather()

    def test_the_second_of_a_slug_is_refused(self, site: Site) -> None:
        site.write("2026-09-14-x.md", MINIMAL)
        site.write("a/x.md", MINIMAL)
        first, second = site.gather()
        assert isinstance(first, Post)
        assert isinstance(second, Rejected)
        assert "a/x.md" in second.reason
        assert "2026-09-14-x.md" in second.reason
        (site.folder / "2026-09-14-x.md").unlink()
        (now_first,) = site.gather()
        assert isinstance(now_first, Post)
        assert now_first.source_key == "a/x.md"

    def test_a_new_file_takes_the_slug_of_an_unchanged_one_behind_it(self, site: Site) -> None:
        site.post("b/x.md", MINIMAL)
        site.write("a/x.md", MINIMAL)
        assert [type(item) for item in site.gather()] == [Post, Rejected]

    @pytest.mark.parametrize(
        ("key", "slug"),
        [
            ("2026-09-14-a-b.md", "a-b"),
            ("2026-09-14.md", "2026-09-14"),
            ("some/My Post!.md", "my-post"),
            ("my-post/index.md", "my-post"),
            ("漢字.md", "post-6f22-5b57"),
        ],
    )
    def test_slugs(self, key: str, slug: str) -> None:
        assert slug_of(key) == slug

    @given(st.text(max_size=150))
    def test_a_slug_is_safe(self, text: str) -> None:
        slug = slugify(text)
        assert slug == "" or (frontmatter.SLUG.fullmatch(slug) and len(slug) <= 100)

    def test_links(self, site: Site) -> None:
        text = (
            "[a](other.md#part) [b](/posts/other/) [c](../x) [d](https://e.example/y) [e](//e.example/z) "
            "[f](sub/2026-01-02-third.md) [g](p.png) [h](javascript:x)"
        )
        site.picture("p.png")
        site.write("other.md", MINIMAL)
        site.write("sub/2026-01-02-third.md", MINIMAL)
        html = site.post("a.md", MINIMAL + text).body_html
        for url in (
            "https://news.example.org/posts/other/#part",
            "https://news.example.org/posts/other/",
            "https://news.example.org/posts/x",
            "https://e.example/y",
            "https://e.example/z",
            "https://news.example.org/posts/third/",
        ):
            assert f'href="{url}"' in html
        assert 'href="https://news.example.org/media/' in html
        assert 'href="javascript' not in html

    def test_a_link_to_no_post_is_noted(self, site: Site) -> None:
        site.post("a.md", MINIMAL + "[x](gone.md)")
        assert site.state.notes == [
            "a.md refers to https://news.example.org/posts/gone/, which is no post of this folder"
        ]


class TestPictures:
    def test_a_picture_in_a_folder_beside(self, site: Site) -> None:
        site.picture("pictures/a b.png")
        post = site.post("2026/x.md", MINIMAL + '![Alt](<../pictures/a b.png> "Caption | Credit")')
        assert post.images[0].caption == "Caption"
        assert post.dropped == ()

    @pytest.mark.parametrize(
        "path", ["../../secret.png", "/../../secret.png", "%2e%2e/%2e%2e/secret.png", "link.png"]
    )
    def test_a_picture_outside_stays_outside(self, site: Site, path: str, tmp_path: Path) -> None:
        site.picture("../../secret.png")
        assert (tmp_path / "secret.png").exists()
        (site.folder / "link.png").symlink_to(tmp_path / "secret.png")
        post = site.post("a.md", MINIMAL + f"Text.\n\n![alt]({path})")
        assert post.body_html == "<p>Text.</p>"
        assert "was left out" in post.dropped[0]
        assert not site.config.media.exists()

    def test_a_missing_or_damaged_picture_does_not_stop_the_post(self, site: Site) -> None:
        site.write("bad.png", b"no picture")
        post = site.post(
            "a.md",
            MINIMAL + 'Text.\n\n![alt](gone.png "Caption")\n\n![](bad.png)\n\n![x](data:image/png;base64,AA)',
        )
        assert post.body_html == "<p>Text.</p>"
        assert "gone.png" in post.dropped[0]
        assert "'Caption'" in post.dropped[0]
        assert "not a JPEG" in post.dropped[1]
        assert len(post.dropped) == 3

    def test_a_missing_alt_is_said(self, site: Site) -> None:
        site.picture("p.png")
        assert "no alternative text" in site.post("a.md", MINIMAL + "![](p.png)").dropped[0]
        shown = MINIMAL + "Text.\n\n![](p.png)\n\n![Gone](gone.png)\n"
        without, gone = site.post("b.md", shown).dropped
        line = shown[: shown.index("![](")].count("\n") + 1
        assert without == f"line {line}: the picture 'p.png' has no alternative text"
        assert gone.startswith(f"line {line + 2}: the picture 'gone.png' was left out: ")

    def test_a_picture_of_another_site_stays_there(self, site: Site) -> None:
        post = site.post("a.md", MINIMAL + "![alt](https://e.example/p.png)")
        assert post.images[0].src == "https://e.example/p.png"
        assert post.images[0].large == ""

    def test_one_picture_twice_is_one_file(self, site: Site) -> None:
        site.picture("p.png")
        post = site.post("a.md", MINIMAL + "![one](p.png)\n\n![two](p.png)")
        assert [image.alt for image in post.images] == ["one", "two"]
        assert len(list(site.config.media.iterdir())) == 2


class TestMemory:
    def test_unchanged_files_are_not_read(self, site: Site) -> None:
        site.write("a.md", MINIMAL)
        site.write("b.md", MINIMAL)
        assert len(site.gather()) == 2
        assert site.state.unchanged == set()
        (site.folder / "a.md").chmod(0)
        assert site.gather() == []
        assert site.state.unchanged == {"a.md", "b.md"}

    def test_a_change_is_seen(self, site: Site) -> None:
        path = site.write("a.md", MINIMAL + "One.")
        site.write("b.md", MINIMAL)
        site.gather()
        path.write_text(MINIMAL + "Two.")
        os.utime(path, ns=(1, 1))
        (item,) = site.gather()
        assert isinstance(item, Post)
        assert item.body_html == "<p>Two.</p>"
        assert site.state.unchanged == {"b.md"}

    def test_a_changed_or_found_picture_brings_its_posts_back(self, site: Site) -> None:
        site.picture("p.png")
        site.write("a.md", MINIMAL + "![x](p.png) ![y](later.png)")
        site.write("b.md", MINIMAL)
        site.gather()
        assert site.gather() == []
        site.picture("later.png", "blue")
        assert [item.source_key for item in site.gather()] == ["a.md"]
        (site.folder / "p.png").unlink()
        assert [item.source_key for item in site.gather()] == ["a.md"]
        assert site.gather() == []

    def test_the_configuration_counts(self, site: Site) -> None:
        site.write("a.md", MINIMAL)
        site.gather()
        (item,) = site.gather(timezone="Australia/Sydney")
        assert isinstance(item, Post)
        assert item.published == datetime(2026, 9, 13, 21, 30, tzinfo=UTC)

    def test_a_file_of_this_instant_is_read_again(self, site: Site) -> None:
        path = site.write("a.md", MINIMAL)
        instant = int(site.now.timestamp() * 1_000_000_000)
        os.utime(path, ns=(instant, instant))
        site.gather()
        assert len(site.gather()) == 1

    def test_a_broken_run_remembers_nothing(self, site: Site) -> None:
        site.write("a.md", MINIMAL)
        site.write("b.md", MINIMAL)
        context = SourceContext(config=site.config, source=site.config.sources[0], now=site.now)
        state = SourceState()
        next(MarkdownSource(context).posts(state))
        assert state.memory == {}


class TestOldPages:
    def test_text_and_html_without_front_matter(self, site: Site) -> None:
        for name in ("seizure.txt", "lorries.html"):
            shutil.copy(FIXTURES / name, site.folder / name)
        site.picture("containers.jpg")
        lorries, seizure = site.gather()
        assert isinstance(lorries, Post)
        assert isinstance(seizure, Post)
        assert seizure.title == "Customs officers seize 40 containers at Antwerp"
        assert seizure.authors == (Author(name="hvdb"),)
        assert seizure.date_only
        assert seizure.images[0].credit == "Photo: N. Example / Port Authority"
        assert seizure.references[0].url == lorries.url == "https://news.example.org/posts/lorries/"
        assert [citation.kind for citation in seizure.citations] == ["press release"]
        assert lorries.title == "Forty lorries stopped"
        assert any("missing.jpg" in note for note in site.state.notes)
        assert any(note.startswith("seizure.txt: recognised title") for note in site.state.notes)
        assert site.gather() == []
        assert site.state.unchanged == {"lorries.html", "seizure.txt"}

    def test_a_second_page_shows_which_line_is_the_sites(self, site: Site) -> None:
        shutil.copy(FIXTURES / "lorries.html", site.folder / "lorries.html")
        (alone,) = site.gather()
        assert isinstance(alone, Post)
        assert alone.title == "The Harbour Observer"
        shutil.copy(FIXTURES / "seizure.txt", site.folder / "seizure.txt")
        assert [item.title for item in site.gather() if isinstance(item, Post)] == [
            "Forty lorries stopped",
            "Customs officers seize 40 containers at Antwerp",
        ]

    def test_front_matter_works_there_as_well(self, site: Site) -> None:
        assert site.post("a.txt", MINIMAL + "One <b>\nTwo").body_html == "<p>One &lt;b&gt;<br/>Two</p>"
        assert site.post("b.html", MINIMAL + "<p>One <b>two</b>").body_html == "<p>One <b>two</b></p>"

    def test_without_a_date_it_is_refused(self, site: Site) -> None:
        item = site.rejected("a.txt", "A title\n\nSome text.")
        assert "no date" in item.reason
        assert item.where == str(site.folder / "a.txt")


def test_the_example_publication_is_gathered_whole(publication: Callable[..., Config], now: datetime) -> None:
    """Nothing of the project's own posts is dropped or refused."""
    config = publication({"sources": [{"name": "posts", "kind": "markdown", "path": "posts"}]})
    shutil.rmtree(config.path("posts"))
    shutil.copytree(Path(__file__).parent.parent / "posts", config.path("posts"))
    site = Site(config, now)
    items = site.gather()
    posts = [item for item in items if isinstance(item, Post)]
    assert posts == items
    assert len(posts) > 10
    assert [post.dropped for post in posts] == [()] * len(posts)
    assert not [note for note in site.state.notes if "draft" not in note]
    assert all(post.summary and post.word_count and post.body_html for post in posts)
    assert any(image.lead and image.credit for post in posts for image in post.images)
    assert any("<blockquote" in post.body_html and "<footer>" in post.body_html for post in posts)
    again = SourceState(memory=site.state.memory)
    context = SourceContext(config=config, source=config.sources[0], now=a_year_later(now))
    assert list(MarkdownSource(context).posts(again)) == []


def a_year_later(now: datetime) -> datetime:
    """Return another instant: what was remembered does not depend on it."""
    return now.replace(year=now.year + 1)
