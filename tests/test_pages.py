"""Pages: what they say, that they link inside their tree, that no text becomes markup."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html

from awkward import FEED, HARBOUR, ISSUE, POSTS, SITE, post
from newsletter import pages
from newsletter.config import ThemeConfig
from newsletter.model import Author, Citation, ContentNote, Post
from newsletter.pages import Discovery, NewsletterLink, Page, Site
from newsletter.templating import environment, render

ENV = environment()
MAIN = Discovery(title=FEED.title, page=SITE, atom=FEED.atom, rss=FEED.rss, json=FEED.json)
WEEKLY = NewsletterLink(name="weekly", title="The Weekly", description="On Mondays.")
HERE = Site(
    title=FEED.title,
    site=SITE,
    style="style-0.css",
    subtitle="News < rumours",
    language="en-AU",
    timezone="Australia/Sydney",
    rights="© The Herald",
    contact="desk@herald.example.org",
    postal_address="1 Quay Street",
    logo="logo.png",
    icon="icon.png",
    generator="1.2.3",
    feeds=(MAIN,),
    newsletters=(WEEKLY,),
)


def text_of(page: Page) -> str:
    return render(ENV, page.template, **page.values)


def draw(page: Page) -> Any:
    return html.document_fromstring(text_of(page))


def every_page() -> list[Page]:
    return [
        pages.index_page(HERE, POSTS, [ISSUE]),
        pages.posts_page(HERE, POSTS),
        pages.part_page(HERE, pages.PartOfPosts(folder="tags/trade", title="Trade", feed=MAIN), POSTS[:1]),
        pages.issues_page(HERE, WEEKLY, [ISSUE], MAIN),
        pages.feeds_page(HERE, [MAIN], f"{SITE}feeds/feeds.opml"),
        pages.missing_page(HERE),
        *(pages.post_page(HERE, one, newer=POSTS[0], older=POSTS[2]) for one in POSTS if one.own_page),
    ]


@pytest.mark.parametrize("page", every_page(), ids=lambda page: page.path)
def test_every_page_has_its_frame(page: Page) -> None:
    text = text_of(page)
    tree = draw(page)
    assert text.startswith("<!DOCTYPE html>\n<html lang=")
    assert tree.get("dir") in ("ltr", "rtl")
    assert len(tree.findall(".//h1")) == 1
    assert len(tree.findall(".//main")) == 1
    assert tree.find(".//a[@class='skip']").get("href") == "#content"
    kinds = [link.get("type") for link in tree.iterfind(".//head/link[@rel='alternate']")]
    assert kinds[0] == "application/atom+xml", "Atom is announced first"
    assert "application/rss+xml" in kinds
    assert "application/feed+json" in kinds
    assert tree.find(".//link[@rel='stylesheet']").get("href").endswith("style-0.css")


@pytest.mark.parametrize("page", every_page(), ids=lambda page: page.path)
def test_every_page_is_ready_for_a_strict_policy(page: Page) -> None:
    tree = draw(page)
    assert not list(tree.iter("script", "style", "iframe", "object"))
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on")]
    assert not tree.findall(".//*[@style]")


def test_a_summary_taken_from_the_text_does_not_stand_above_it() -> None:
    body = "<p>It rained.</p><p>Then it stopped.</p>"
    taken, own = (
        post(1, "Rain", body_html=body, summary="It rained. Then it stopped."),
        post(2, "Sun", body_html=body),
    )
    assert not draw(pages.post_page(HERE, taken)).xpath("//p[@class='standfirst']")
    assert draw(pages.post_page(HERE, own)).xpath("string(//p[@class='standfirst'])") == own.summary


@pytest.mark.parametrize("page", every_page(), ids=lambda page: page.path)
def test_every_link_inside_the_tree_is_relative(page: Page) -> None:
    tree = draw(page)
    for element in tree.find("body").iter():
        for name in ("href", "src"):
            value = element.get(name, "")
            assert not value.startswith(SITE), f"{page.path}: {value}"
    up = tree.find(".//div[@class='masthead-title']/a").get("href")
    assert up == ("/" if page.path == "404.html" else "../" * page.path.count("/") or "./")


@pytest.mark.parametrize("page", every_page(), ids=lambda page: page.path)
def test_headings_are_in_order_and_ids_are_unique(page: Page) -> None:
    tree = draw(page)
    levels = [int(element.tag[1]) for element in tree.iter("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = tree.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert all(image.get("alt") is not None for image in tree.iter("img"))


def test_a_post_page_says_everything() -> None:
    one = replace(POSTS[0], corrections=POSTS[2].corrections, updated=POSTS[0].updated.replace(day=20))
    tree = draw(pages.post_page(HERE, one, newer=None, older=POSTS[2]))
    assert tree.find(".//h1").text_content() == one.title
    assert [a.text_content() for a in tree.iterfind(".//span[@class='by']")] == ["@kj"]
    assert [t.get("datetime") for t in tree.iterfind(".//article/header//time")] == [
        "2026-11-09T09:30:00Z",
        "2026-11-20T09:30:00Z",
    ]
    assert tree.xpath("string(//figcaption)") == f"{HARBOUR.caption} {HARBOUR.credit}"
    assert tree.find(".//figure/img").get("src") == "../../media/aa-1200.jpg"
    assert tree.xpath("string(//section[@class='corrections']/p)").startswith("9 November 2026")
    assert [cite.text_content() for cite in tree.iter("cite")] == [c.text for c in one.citations]
    assert tree.xpath("//ul[@class='references']//a/@href") == ["../../posts/post-4/"]
    assert [a.text for a in tree.iterfind(".//ul[@class='tags']/li/a")] == ["Trade", "C++", "C#", "Łódź"]
    assert tree.xpath("//nav[@class='neighbours']/a/@rel") == ["prev"]
    assert tree.find(".//link[@rel='canonical']").get("href") == f"{SITE}posts/post-9/"


def test_a_content_note_stands_before_everything() -> None:
    hidden = POSTS[1]
    page = pages.post_page(HERE, hidden)
    tree = draw(page)
    article = tree.find(".//article").text_content()
    assert article.index("describes violence") < article.index(hidden.title)
    head = html.tostring(tree.find("head")).decode()
    assert hidden.title not in head
    assert hidden.summary not in head
    assert "og:image" not in head
    for listing in (pages.index_page(HERE, POSTS[1:], []), pages.posts_page(HERE, POSTS)):
        text = text_of(listing)
        assert hidden.title not in text
        assert hidden.summary not in text
        assert "describes violence against children" in text
    assert "media/" not in text_of(pages.index_page(HERE, [hidden, hidden], []))


def test_language_and_direction_are_the_posts_own() -> None:
    tree = draw(pages.post_page(HERE, POSTS[3], newer=POSTS[2]))
    assert (tree.get("lang"), tree.get("dir")) == ("ar", "rtl")
    assert tree.find(".//header").get("lang") == "en-AU"
    french = post(5, "Titre", language="fr", citations=(Citation(text="Le Monde"),))
    assert "Source" in text_of(pages.post_page(HERE, french))
    assert "5 novembre 2026" in text_of(pages.post_page(HERE, french))


def test_a_foreign_post_is_linked_where_it_stands() -> None:
    tree = draw(pages.index_page(HERE, POSTS, []))
    assert "https://elsewhere.example.com/2026/11/an%20item/?a=1&b=2" in tree.xpath("//h2/a/@href")


def test_texts_that_look_like_addresses_stay_as_they_are() -> None:
    body = f'<p>Write href="{SITE}x" or <code>="{SITE}"</code>.</p><p><a href="{SITE}posts/a/">a</a></p>'
    near = HERE.local("../../", body)
    assert near == body.replace(f'<a href="{SITE}', '<a href="../../')


def test_the_style_sheet_is_named_after_its_text() -> None:
    theme = ThemeConfig().model_dump()
    name, text = pages.stylesheet(ENV, theme)
    assert re.fullmatch(r"style-[0-9a-f]{12}\.css", name)
    assert "--accent: #0b5c7a;" in text
    assert text.index("prefers-color-scheme: dark") < text.index("--accent: #7cc7e8;")
    assert pages.stylesheet(ENV, theme) == (name, text)
    other = pages.stylesheet(ENV, theme | {"body_font": "x; } body { display: none"})
    assert other[0] != name
    assert "--body-font: x  body  display: none;" in other[1]


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["", "dark_"])
@pytest.mark.parametrize("name", ["text", "muted", "accent"])
def test_contrast_is_enough_in_both_schemes(scheme: str, name: str) -> None:
    theme = ThemeConfig().model_dump()
    one, other = sorted([luminance(theme[scheme + name]), luminance(theme[scheme + "paper"])])
    assert (other + 0.05) / (one + 0.05) >= 4.5


@settings(max_examples=40, deadline=None)
@given(
    st.text(max_size=60), st.sampled_from(["<script>x</script>", '"onload="x', "{{ 7*7 }}", "{% x %}", "]]>"])
)
def test_no_text_becomes_markup(text: str, nasty: str) -> None:
    words = text + nasty
    one = Post(
        source="posts",
        source_key="k",
        title=words,
        published=POSTS[0].published,
        updated=POSTS[0].updated,
        body_html="<p>x</p>",
        summary=words,
        slug="a",
        own_page=True,
        authors=(Author(name=words, uri=f"https://example.org/{words}"),),
        tags=(words,),
        citations=(Citation(text=words, url=f"javascript:{words}"),),
        content_note=ContentNote(text=words),
    )
    here = replace(HERE, title=words, subtitle=words, rights=words, postal_address=words)
    for page in (pages.post_page(here, one, newer=one, older=one), pages.index_page(here, [one, one], [])):
        tree = draw(page)
        assert not list(tree.iter("script"))
        assert not [n for element in tree.iter() for n in element.attrib if n.startswith("on")]
        assert not [h for h in tree.xpath("//@href") if h.startswith("javascript")]
        assert "49" not in words or "{{ 7*7 }}" in tree.text_content() or nasty != "{{ 7*7 }}"


POLICY = "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'"


class Strict(http.server.SimpleHTTPRequestHandler):
    """Serves the pages under a strict policy."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve every page on loopback."""
    root = tmp_path_factory.mktemp("public")
    name, rules = pages.stylesheet(ENV, ThemeConfig().model_dump())
    here = replace(HERE, style=name, logo="", icon="")
    long = replace(
        POSTS[0],
        body_html="<p>"
        + "Donaudampfschifffahrtsgesellschaft" * 8
        + "</p><pre><code>"
        + "x" * 400
        + "</code></pre>"
        "<table><tr>" + "<td>a wide cell of a table</td>" * 12 + "</tr></table>",
    )
    made = [
        pages.index_page(here, POSTS, [ISSUE]),
        pages.feeds_page(here, [MAIN], f"{SITE}feeds/feeds.opml"),
        pages.posts_page(here, POSTS),
        pages.post_page(here, long, older=POSTS[1]),
        pages.post_page(here, POSTS[3], newer=POSTS[2]),
    ]
    (root / name).write_text(rules)
    for page in made:
        (root / page.path).parent.mkdir(parents=True, exist_ok=True)
        (root / page.path).write_text(text_of(page))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Strict, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.browser
def test_pages_in_a_browser(served: str) -> None:
    """Nothing overflows, nothing offends the policy, and text contrasts with what is behind it."""
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    said: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        for width, scheme in ((320, "light"), (375, "dark"), (1100, "light")):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]  # a literal in the loop
            tab = context.new_page()
            tab.on("console", lambda message: said.append(message.text))
            for path in ("", "feeds/", "posts/", "posts/post-9/", "posts/post-6/"):
                tab.goto(served + path)
                assert tab.evaluate("document.documentElement.scrollWidth") <= width, f"{path} at {width}"
                faint = tab.evaluate(CONTRAST)
                assert not faint, f"{path} {scheme}: {faint}"
            tab.keyboard.press("Tab")
            assert tab.evaluate("document.activeElement.className") == "skip"
            assert tab.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
            context.close()
        browser.close()
    assert [line for line in said if "Content Security" in line or "Refused" in line] == []


#: Returns the texts whose contrast with their background is below 4.5.
CONTRAST = """() => {
  const parse = c => c.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = c.map(v => linear(v / 255)); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (c.startsWith('rgb(')) return parse(c);
    }
    return [255, 255, 255];
  };
  const speaks = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  const contrast = e => {
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  };
  const all = [...document.querySelectorAll('body *')].filter(speaks);
  return all.map(e => [e.textContent.trim().slice(0, 40), contrast(e)]).filter(([, ratio]) => ratio < 4.5);
}"""
