"""A real WordPress export: what stands in its XML, read by other means, is found again in what we store."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conftest import PublicationFactory
from feeding import NOW
from newsletter.cli import main
from newsletter.config import SourceConfig
from newsletter.content import clean_line
from newsletter.model import Post
from newsletter.sources import SourceContext, SourceState
from newsletter.sources.wordpress_export import WordPressExportSource

WP = "{https://wordpress.org/export/1.2/}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"


class _Parts(HTMLParser):
    """Collects the text of each quotation and table cell, and the source of each picture."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {
            "blockquote": [],
            "td": [],
            "th": [],
            "cite": [],
            "figcaption": [],
        }
        self.pictures: list[str] = []
        self.counts: Counter[str] = Counter()
        self.text = ""
        self._open: list[tuple[str, int]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] += 1
        if tag in self.found:
            self._open.append((tag, len(self.text)))
        if tag == "img":
            self.pictures.append(dict(attrs).get("src") or "")
        self.text += " "

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            name, start = self._open.pop()
            self.found[name].append(words(self.text[start:]))
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data


def words(text: str) -> str:
    return re.sub(r"\W+", "", text)


@dataclass(frozen=True)
class Written:
    """A post as the export has it, and as it is stored."""

    content: str
    number: str
    post: Post

    @property
    def told(self) -> _Parts:
        return _Parts(self.content)

    @property
    def stored(self) -> _Parts:
        return _Parts(self.post.body_html)


@pytest.fixture
def export(shared_data: Path) -> Path:
    return shared_data / "wordpress" / "theme-unit-test.xml"


@pytest.fixture
def items(export: Path) -> list[ElementTree.Element]:
    return list(ElementTree.parse(export).iter("item"))


@pytest.fixture
def posts(export: Path, items: list[ElementTree.Element], publication: PublicationFactory) -> list[Written]:
    source = SourceConfig(name="old", kind="wordpress-export", path=export)
    context = SourceContext(config=publication(), source=source, now=NOW)
    found = {
        one.url: one for one in WordPressExportSource(context).posts(SourceState()) if isinstance(one, Post)
    }
    return [
        Written(
            one.findtext(CONTENT) or "", one.findtext(f"{WP}post_id") or "", found[one.findtext("link") or ""]
        )
        for one in items
        if one.findtext("link") in found and one.findtext(f"{WP}post_type") == "post"
    ]


def test_every_quotation_is_a_quotation_with_its_words(posts: list[Written]) -> None:
    quotations = 0
    for one in posts:
        quotations += len(one.told.found["blockquote"])
        assert one.stored.counts["blockquote"] >= one.told.counts["blockquote"], one.post.title
        for quoted in one.told.found["blockquote"]:
            assert any(
                quoted in words(stored) or words(stored) in quoted
                for stored in one.stored.found["blockquote"]
            )
            assert quoted in words(one.stored.text), one.post.title
    assert quotations == 13


def test_every_table_is_a_table_with_its_cells_in_order(posts: list[Written]) -> None:
    tables = cells = 0
    for one in posts:
        tables += one.told.counts["table"]
        cells += len(one.told.found["td"]) + len(one.told.found["th"])
        assert one.stored.counts["table"] == one.told.counts["table"], one.post.title
        for name in ("td", "th"):
            told, stored = ([text for text in part.found[name] if text] for part in (one.told, one.stored))
            assert stored == told, one.post.title
    assert (tables, cells) == (6, 141)


def test_every_picture_of_every_gallery_and_figure_is_there(
    posts: list[Written], items: list[ElementTree.Element]
) -> None:
    attached = {
        one.findtext(f"{WP}post_id"): one for one in items if one.findtext(f"{WP}post_type") == "attachment"
    }
    galleries = pictures = 0
    for one in posts:
        stored = {Path(src).name for src in one.stored.pictures}
        wanted = [Path(src).name for src in one.told.pictures]
        for gallery in re.findall(r"\[gallery([^\]]*)\]", one.content):
            galleries += 1
            named = re.search(r'ids="([\d,]+)"', gallery)
            ids = (
                named[1].split(",")
                if named
                else [
                    key for key, other in attached.items() if other.findtext(f"{WP}post_parent") == one.number
                ]
            )
            wanted += [
                Path(attached[key].findtext(f"{WP}attachment_url") or "").name
                for key in ids
                if key in attached
            ]
        galleries += one.content.count("<!-- wp:gallery")
        pictures += len(wanted)
        assert set(wanted) <= stored, one.post.title
    assert (galleries, pictures) == (22, 371)


def test_what_was_dropped_is_told_by_a_dry_run(
    export: Path, publication: PublicationFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    config = publication({"sources": [{"name": "old", "kind": "wordpress-export", "path": str(export)}]})
    with pytest.raises(SystemExit) as ended:
        main(["-p", str(config.folder), "gather", "--dry-run"])
    assert ended.value.code == 0
    lines = [clean_line(line) for line in capsys.readouterr().out.splitlines()]
    assert any("left out: 37 attachments" in line for line in lines)
    text = export.read_text(encoding="utf-8")
    for name in ("latest-posts", "search", "calendar", "social-link"):
        assert f"<!-- wp:{name} " in text
        assert any(f"the block {name} was removed" in line for line in lines), name
