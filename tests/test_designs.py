"""The designs of a digest: what a front page shows, in which order, and that both keep every rule."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

import awkward
from configurations import mistake, weekly
from conftest import PublicationFactory
from letters import (
    ANN,
    CRANES,
    HARBOUR,
    LOGO,
    LOOKS,
    NOTED,
    PLAIN,
    SITE,
    WARNED,
    compiled,
    mailer_of,
    post,
    text_of,
)
from newsletter.checks.digest import check_message
from newsletter.config import Config
from newsletter.digest import LIMIT, Depth, Design, Digest
from newsletter.digest.markup import THUMBNAIL, parse, show_small
from newsletter.digest.sections import BRIEF, divide
from newsletter.identity import PostState
from newsletter.issues.drafting import Draft, draft, select_posts
from newsletter.model import Finding, Image, Slot
from newsletter.publish import publish
from newsletter.store import Store
from newsletter.store import posts as stored_posts

MARK = Image(
    src="",
    alt="The Herald's lighthouse",
    width=800,
    height=200,
    media_type="image/png",
    small="mark-600.png",
    large="mark-1200.png",
)
PICTURED = post(
    34, "Pilots settle", tags=("Ports", "labour"), images=(HARBOUR,), summary="Nights are capped."
)
TRADED = post(33, "Duty halved", tags=("trade", "ports"))
LEAD = replace(CRANES, body_html=f"<p>The quay costs nine euros.</p><p>{'And more. ' * 90}</p>")
FRONT = (LEAD, NOTED, PICTURED, TRADED, PLAIN)


def front(**values: Any) -> Digest:
    """Compile a front page."""
    filled = {"design": Design.FRONT, "sections": ("ports", "trade"), "posts": FRONT}
    return compiled(**(filled | values))


def findings(made: Digest) -> list[Finding]:
    """Check the message of a digest."""
    return check_message(mailer_of(made)(ANN).content)


def headings(made: Digest) -> list[tuple[str, str]]:
    """Return the headings of the HTML."""
    found = parse(made.html.partition("<body")[2].partition(">")[2])
    return [(one.tag, one.text_content()) for one in found.iter("h1", "h2", "h3", "h4")]


# The front page


def test_a_front_page_leads_with_one_story_and_divides_the_others() -> None:
    made = front()
    assert findings(made) == []
    assert headings(made) == [
        ("h1", "The Herald Weekly"),
        ("h2", CRANES.title),
        ("h2", "Ports"),
        ("h3", PICTURED.title),
        ("h3", TRADED.title),
        ("h2", "Other stories"),
        ("h3", "A story with a content note"),
        ("h3", PLAIN.title),
        ("h2", "Corrections"),
    ]
    places = [text_of(made).index(text) for _, text in headings(made)]
    assert places == sorted(places)
    assert made.depths == {
        40: Depth.EXCERPT,
        39: Depth.NOTE,
        34: Depth.SUMMARY,
        33: Depth.SUMMARY,
        35: Depth.SUMMARY,
    }


def test_without_sections_the_others_follow_plainly() -> None:
    made = front(sections=())
    assert findings(made) == []
    assert [tag for tag, _ in headings(made)] == ["h1", "h2", "h2", "h2", "h2", "h2", "h2"]
    assert "Other stories" not in made.html + text_of(made)


def test_a_post_stands_in_the_first_section_whose_tag_it_has() -> None:
    both, one, none = (post(n, str(n), tags=tags) for n, tags in enumerate([("B", "a"), ("b",), ()], 1))
    assert divide((both, one, none), ("a", "b", "c"), "rest") == [
        ("A", (both,)),
        ("B", (one,)),
        ("rest", (none,)),
    ]
    assert divide((), ("a",), "rest") == []


def test_a_story_with_a_content_note_never_leads_nor_shows_more_than_its_note() -> None:
    made = front(posts=(NOTED, WARNED, PICTURED))
    assert headings(made)[1] == ("h2", PICTURED.title)
    for body in (made.html, text_of(made)):
        assert "unasked" not in body
        assert NOTED.title not in body
    assert made.html.count("<img") == 1
    only = front(posts=(NOTED, WARNED))
    assert findings(only) == []
    assert "<img" not in only.html


def test_a_brief_has_a_small_picture_with_its_credit_and_one_paragraph() -> None:
    story = replace(PICTURED, summary="word " * 100)
    made = front(posts=(PLAIN, story), corrections=())
    (picture,) = re.findall(r"<img[^>]*>", made.html)
    assert 'width="148" height="83"' in picture
    assert f'src="{SITE}media/aa-600.jpg"' in picture
    (excerpt,) = re.findall(r'class="excerpt"[^>]*>([^<]*)<', made.html)
    assert excerpt.endswith("word…")
    assert len(excerpt) <= BRIEF + 1
    assert HARBOUR.credit in made.html
    assert f"({HARBOUR.credit})" in text_of(made)
    assert HARBOUR.caption not in made.html + text_of(made).replace("\n", " ")
    assert findings(made) == []


def test_a_brief_without_a_lead_picture_shows_the_first_that_mails_can() -> None:
    body = f'<p>Text.</p><figure><img src="{LOGO.src}" alt="{LOGO.alt}" width="400" height="160"></figure>'
    webp = replace(HARBOUR, src="https://x.example/a.webp", small="", large="", media_type="image/webp")
    story = replace(PLAIN, body_html=body, images=(webp, LOGO), summary="")
    made = front(posts=(CRANES, story))
    assert f'src="{LOGO.src}"' in made.html
    assert 'class="excerpt" style="margin:0">Text.<' in made.html
    assert made.depths[PLAIN.seq] is Depth.EXCERPT
    assert findings(made) == []


@pytest.mark.parametrize(
    ("size", "shown"),
    [((1200, 600), (148, 74)), ((600, 1200), (74, 148)), ((90, 40), (90, 40)), ((1, 1), None)],
)
def test_small_pictures_are_uncut_and_never_enlarged(
    size: tuple[int, int], shown: tuple[int, int] | None
) -> None:
    found = show_small(Image(src=f"{SITE}a.png", width=size[0], height=size[1]), SITE, THUMBNAIL)
    assert (found and (found.width, found.height)) == shown


def test_the_contents_of_a_front_page_leave_out_its_lead() -> None:
    made = front(posts=(*FRONT, WARNED))
    (listed,) = re.findall(r"<ol class=\"contents\".*?</ol>", made.html, re.S)
    assert listed.count("<li") == 5
    assert "Cranes" not in listed
    assert "Also in this issue" in made.html
    assert "Also in this issue\n---" in text_of(made)
    assert "Also in" not in compiled(posts=(*FRONT, WARNED)).html
    assert findings(made) == []


def test_a_full_front_page_is_shortened_then_left_out_from_the_end() -> None:
    posts = tuple(post(n, f"Post {n} {'title ' * 30}", summary="word " * 60) for n in range(60, 0, -1))
    made = front(posts=posts)
    assert made.left_out == posts[-len(made.left_out) :]
    assert made.left_out
    assert len(mailer_of(made)(ANN).content) <= LIMIT


@pytest.mark.parametrize("language", ["en-AU", "fr", "ar"])
def test_awkward_posts_break_no_rule_on_a_front_page(language: str) -> None:
    made = front(posts=awkward.POSTS, looks=replace(LOOKS, language=language, logo=MARK), titles={})
    assert [one for one in findings(made) if one.error] == []
    assert "<script>alert" not in made.html


# The logo


@pytest.mark.parametrize("design", list(Design))
def test_the_logo_stands_in_the_masthead_and_its_words_in_the_text(design: Design) -> None:
    made = compiled(design=design, looks=replace(LOOKS, logo=MARK))
    assert findings(made) == []
    assert (
        f'src="{SITE}media/mark-600.png" alt="The Herald\'s lighthouse" width="240" height="60"' in made.html
    )
    assert "The Herald's lighthouse" in text_of(made)
    assert 'class="publication"' not in made.html
    other = compiled(design=design, title="Monday")
    assert 'class="publication"' in other.html


def drafted(store: Store, config: Config, now: datetime) -> Draft:
    """Draft the next issue."""
    newsletter = config.newsletter("weekly")
    with store.read() as tx:
        selection = select_posts(tx, config, newsletter)
        return draft(tx, config, newsletter, Slot(newsletter="weekly", due=now), selection, number=1, now=now)


def test_the_logo_of_the_publication_is_in_mails_and_published_before_the_first(
    sqlite_store: Store, publication: PublicationFactory, now: datetime
) -> None:
    config = publication({"publication": {"logo": "logo.png", "logo_alt": "A lighthouse"}})
    data = io.BytesIO()
    Pillow.new("RGB", (500, 500), "#0b5c7a").save(data, "PNG")
    with sqlite_store.write() as tx:
        stored_posts.add(tx, [stored_posts.Filed(PLAIN, PostState.LIVE, "1")], now=now)
    (config.folder / "logo.png").write_bytes(b"<svg/>")
    without = drafted(sqlite_store, config, now)
    assert "<img" not in without.issue.html
    assert any("logo.png" in note for note in without.notes)
    (config.folder / "logo.png").write_bytes(data.getvalue())
    made = drafted(sqlite_store, config, now)
    assert made.notes == ()
    (src,) = re.findall(
        r'<img[^>]*src="([^"]*)"[^>]*alt="A lighthouse" width="96" height="96"', made.issue.html
    )
    publish(sqlite_store, config, now=now)
    assert (config.public / src.removeprefix(config.publication.url)).is_file()


# The keys


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"design": "front", "full_text": True}, 'full_text belongs to design = "letter"'),
        ({"sections": ["trade"]}, 'they belong to design = "front"'),
        ({"design": "front", "sections": ["trade", "Trade"]}, "sections names 'trade' twice"),
        ({"design": "poster"}, "'poster' is not allowed"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    assert said in mistake(tmp_path, weekly(**keys))


def test_a_newsletter_s_design_reaches_its_issues(
    sqlite_store: Store, publication: PublicationFactory, now: datetime
) -> None:
    config = publication(weekly(design="front", sections=["ports", "trade"]))
    with sqlite_store.write() as tx:
        filed = [stored_posts.Filed(one, PostState.LIVE, f"{one.seq}") for one in (PICTURED, TRADED, PLAIN)]
        stored_posts.add(tx, filed, now=now)
    made = drafted(sqlite_store, config, now)
    assert ">Ports</h2>" in made.issue.html
    assert "Other stories" not in made.issue.html  # the newest of no section leads


@pytest.mark.parametrize(
    ("language", "side", "list_", "quotation"),
    [("en", "left", "0 0 0 26px", "2px 0 2px 20px"), ("ar", "right", "0 26px 0 0", "2px 20px 2px 0")],
)
def test_lists_and_quotations_begin_on_the_side_of_the_language(
    language: str, side: str, list_: str, quotation: str
) -> None:
    told = replace(CRANES, language=language)
    html = compiled(looks=replace(LOOKS, language=language), posts=(told,), full_text=True).html
    assert f'class="list" style="margin:0 0 16px 0;padding:{list_}"' in html.replace("; ", ";")
    assert f"padding:{quotation};border-{side}:3px solid" in html
