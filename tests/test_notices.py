"""Notices: what each says and leads to, in both languages, and that no name or address is more than text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html

from letters import LOOKS, SITE
from newsletter import templating
from newsletter.checks.letter import advise_letter, check_letter
from newsletter.checks.page import parse
from newsletter.digest import Addressee, Looks, Notice, NoticeKind, NoticeLinks, compose_notice, plain
from newsletter.digest.notices import NOTICES, NoticeWording
from newsletter.model import Image

ANN = Addressee(address="ann@example.org", name="Ann Ó Dálaigh")
WEB = "https://letters.example.org/"
LINKS = NoticeLinks(
    confirm=f"{WEB}c/one",
    preferences=f"{WEB}p/two",
    unsubscribe=f"{WEB}u/three",
    resubscribe=f"{WEB}r/four",
    archive=f"{SITE}issues/weekly/",
)
LOGO = Image(src=f"{SITE}media/mark.png", alt="A lighthouse", width=600, height=200)
OWN = {
    NoticeKind.CONFIRMATION: {LINKS.confirm},
    NoticeKind.WELCOME: {LINKS.preferences, LINKS.unsubscribe, LINKS.archive},
    NoticeKind.GOODBYE: {LINKS.resubscribe},
    NoticeKind.LINK: {LINKS.preferences},
    NoticeKind.ADDRESS: {LINKS.confirm},
}
TEMPLATES = templating.template_set(templating.environment(), "digest/notice.html.j2", "digest/notice.txt.j2")
EVERY = pytest.mark.parametrize("kind", list(NoticeKind))


def made(
    kind: NoticeKind, to: Addressee = ANN, *, looks: Looks = LOOKS, links: NoticeLinks = LINKS
) -> Notice:
    """Compose a notice of the Herald's weekly."""
    return compose_notice(kind, to, links, title="The Herald Weekly", looks=looks, templates=TEMPLATES)


@EVERY
@pytest.mark.parametrize("language", ["en-AU", "fr", "ar"])
@pytest.mark.parametrize("logo", [None, LOGO])
def test_a_notice_keeps_the_rules_and_says_the_same_in_both_parts(
    kind: NoticeKind, language: str, logo: Image | None
) -> None:
    notice = made(kind, looks=replace(LOOKS, language=language, logo=logo))
    assert list(check_letter(notice.html, parse(notice.html), subject=notice.subject, unsubscribe="")) == []
    assert list(advise_letter(parse(notice.html))) == []
    page = lxml_html.document_fromstring(notice.html)
    lines = notice.text.splitlines()
    links = {one.get("href") for one in page.iter("a")}
    assert links == OWN[kind] | {SITE, f"mailto:{LOOKS.contact}"}
    assert {one for one in links if one.startswith("https:")} <= set(lines)
    told = " ".join(notice.text.split())
    for one in page.iter("p", "h1"):
        if len(one) == 0:
            assert " ".join(one.text_content().split()) in told
    assert all(plain.columns(line) <= 72 for line in lines)
    assert "\n\n\n" not in notice.text
    assert ANN.address in notice.html


def test_a_confirmation_explains_itself_and_greets_nobody() -> None:
    notice = made(NoticeKind.CONFIRMATION)
    assert notice.subject == "Please confirm your subscription to The Herald Weekly"
    assert "ignore this message" in notice.text
    assert "Nobody is subscribed" in notice.text
    assert ANN.name not in notice.html + notice.text
    assert "nsubscribe from" not in notice.html


def test_a_welcome_greets_by_name_where_there_is_one() -> None:
    assert "Hello Ann Ó Dálaigh," in made(NoticeKind.WELCOME).text
    unnamed = made(NoticeKind.WELCOME, Addressee(address=ANN.address), links=replace(LINKS, archive=""))
    assert "Hello" not in unnamed.html + unnamed.text
    assert 'class="button"' not in unnamed.html
    assert made(NoticeKind.WELCOME, looks=replace(LOOKS, language="fr")).subject == (
        "Bienvenue à The Herald Weekly"
    )


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        (NoticeKind.CONFIRMATION, "confirm"),
        (NoticeKind.WELCOME, "unsubscribe"),
        (NoticeKind.WELCOME, "preferences"),
        (NoticeKind.GOODBYE, "resubscribe"),
        (NoticeKind.LINK, "preferences"),
        (NoticeKind.ADDRESS, "confirm"),
    ],
)
def test_a_notice_without_its_link_is_refused(kind: NoticeKind, missing: str) -> None:
    with pytest.raises(ValueError, match=f"a {kind} lacks a link"):
        made(kind, links=replace(LINKS, **{missing: ""}))


def test_a_button_has_contrast_in_both_schemes() -> None:
    notice = made(NoticeKind.CONFIRMATION, looks=replace(LOOKS, theme={**LOOKS.theme, "accent": "#d9d5cc"}))
    found = check_letter(notice.html, parse(notice.html), subject="", unsubscribe="")
    assert any("contrast" in one.rule for one in found)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(list(NoticeKind)),
    st.text(st.characters(codec="utf-8"), max_size=90)
    | st.sampled_from(
        [
            '<a href="https://evil.example/">x</a>',
            "{title}{0.__class__}",
            "{{ 7*7 }}",
            "a\r\nBcc: b@c",
            "</p>",
        ]
    ),
)
def test_whatever_a_reader_calls_themself_stays_a_text(kind: NoticeKind, name: str) -> None:
    notice, plainly = made(kind, Addressee(address=ANN.address, name=name)), made(kind)
    tags, usual = (Counter(re.findall(r"<(\w+)", one.html)) for one in (notice, plainly))
    assert tags - usual == {}
    assert usual - tags in ({}, {"p": 1})  # the greeting
    assert "evil.example" not in " ".join(
        one.get("href") for one in lxml_html.document_fromstring(notice.html).iter("a")
    )
    assert notice.subject == plainly.subject
    assert len(notice.text.splitlines()) <= len(plainly.text.splitlines()) + 3


def test_each_language_has_every_notice_with_the_same_gaps() -> None:
    english = NOTICES["en"]
    for told in NOTICES.values():
        assert told.keys() == set(NoticeKind) == english.keys()
        for kind, said in told.items():
            for name in NoticeWording.__slots__:
                gaps = [re.findall(r"\{\w+\}", str(getattr(one, name))) for one in (said, english[kind])]
                assert sorted(gaps[0]) == sorted(gaps[1]), (kind, name)
