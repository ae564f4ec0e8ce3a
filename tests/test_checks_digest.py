"""Each rule of the digest check: found when broken, silent when kept."""

from __future__ import annotations

import quopri
import re

import pytest

from letters import ANN, mailer, rewritten
from newsletter.checks import contrast
from newsletter.checks.digest import check_message

GOOD = mailer()(ANN).content


def rules(content: bytes) -> str:
    return " | ".join(f"{one.place}: {one.rule}" for one in check_message(content))


def with_html(old: str, new: str) -> bytes:
    return rewritten(GOOD, "html", old, new)


def with_text(old: str, new: str) -> bytes:
    return rewritten(GOOD, "plain", old, new)


def test_a_good_message_has_no_finding() -> None:
    assert check_message(GOOD, where="x") == []


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (b"\r\n", b"\n", "CRLF"),
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b"", "List-Unsubscribe-Post: it stands 0"),
        (b"Subject: The", b"Subject: Re: The", "answer"),
        (b"Subject: The", b"Subject: Another: The", "not the subject"),
        (b"List-Help:", b"List-Post: <mailto:x@example.org>\r\nList-Help:", "posting"),
        (b"List-Id: <weekly.herald.example.org>", b"List-Id: =?utf-8?q?=3Cweekly=3E?=", "encoded word"),
        (b"ann@example.org>\r\n", b"ann@example.org>, <bob@example.org>\r\n", "To: it"),
        (b"3:weekly:digest:newsletter", b"weekly", "four fields"),
        (b"auto-generated", b"no", "auto-generated"),
        (b"multipart/alternative", b"multipart/mixed", "multipart/mixed"),
        (
            b"Content-Type: text/html",
            b"MIME-Version: 1.0\r\nContent-Type: text/html",
            "MIME-Version of its own",
        ),
        (b"charset=utf-8", b"charset=us-ascii", "not UTF-8"),
        (b"Date: Mon", b"X-Long: " + b"x" * 1000 + b"\r\nDate: Mon", "998"),
        (b"<!DOCTYPE html>", b"<!DOCTYPE html>" + b"x" * 80, "76 columns"),
        (b"quoted-printable", b"8bit", "quoted-printable"),
    ],
)
def test_wire_and_header_rules(old: bytes, new: bytes, rule: str) -> None:
    assert old in GOOD
    broken = GOOD.replace(old, new, 1)
    if rule.startswith("To:"):
        assert "one address" in rules(broken)
    else:
        assert rule in rules(broken)


def test_a_message_that_is_too_large_is_found() -> None:
    assert "more than 90,000" in rules(GOOD + b"x" * 90_000)


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("<!DOCTYPE html>", "<!doctype html>", "DOCTYPE"),
        ('<html lang="en-AU" dir="ltr"', "<html", "html: lang"),
        ('role="article"', 'role="main"', "article"),
        ('aria-label="', 'data-label="', "aria-label"),
        ('name="color-scheme"', 'name="colour-scheme"', "color-scheme"),
        ("</h1>", "</h1><h1>Two</h1>", "2 h1"),
        ("</h1>", "</h1><h4>Far</h4>", "h4 follows h1"),
        ('<table role="presentation" class="paper"', '<table class="paper"', "layout table"),
        ("alt=", "title=", "no alt"),
        ('height="302"', "", "width and height"),
        ('width="536" height="302"', 'width="1" height="1"', "tracking"),
        ('src="https://', 'src="http://', "https"),
        ("aa-1200.jpg", "aa-1200.webp", "JPEG"),
        ('href="https://office.example.com/tariff"', 'href="/tariff"', "absolute"),
        ("</head>", "<link rel='x' href='https://x.example/'></head>", "link element"),
        ("</h1>", "</h1><form></form>", "form element"),
        ("</h1>", "</h1><p style='display:none'>x</p>", "hidden"),
        ("</h1>", "</h1><p style='font-size:0'>x</p>", "hidden"),
        ("</h1>", "</h1><p style='padding:9px'>x</p>", "padding"),
        ("</h1>", "</h1><p style='color:#fff'>x</p>", "pure black or white"),
        ("</h1>", "</h1><p style='color:#999999'>faint</p>", "contrast"),
        ("</h1>", "</h1><style>p{}</style>", "body"),
        ("</h1>", "</h1><p onclick='x()'>x</p>", "script"),
        ("[data-ogsb]", "[data-x]", "[data-ogsb]"),
        (
            "@media (prefers-color-scheme: dark) {",
            "@supports (x) { @media (prefers-color-scheme: dark) {",
            "inside",
        ),
        (".body, .letter", "@font-face { src: url(https://x.example) } .body, .letter", "fetches"),
        ("a[x-apple", "a" * 17_000 + "[x-apple", "bytes"),
    ],
)
def test_html_rules(old: str, new: str, rule: str) -> None:
    assert rule in rules(with_html(old, new))


def test_a_missing_unsubscribe_link_is_found() -> None:
    assert "no link to unsubscribe" in rules(with_html("letters.example.org/u/", "example.org/"))


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (
            "https://office.example.com/tariff\n",
            "\n",
            "the link https://office.example.com/tariff is missing",
        ),
        ("What it means", "What it", "the heading 'whatitmeans' is missing"),
        ("A harbour", "A harbor", "the picture"),
    ],
)
def test_the_text_says_the_same(old: str, new: str, rule: str) -> None:
    assert rule in rules(with_text(old, new))


def test_advice_is_no_error() -> None:
    loose = with_text("https://office.example.com/tariff", "See https://office.example.com/tariff")
    (finding,) = check_message(loose)
    assert not finding.error
    assert "alone" in finding.rule
    (finding,) = check_message(with_html(">nine euros<", ">here<"))
    assert not finding.error
    assert "makes no sense alone" in finding.rule


def test_bytes_that_are_no_message_are_findings_and_no_crash() -> None:
    for content in (b"", b"\x00\xff", b"Subject: x\r\n\r\nhello", b"\r\n\r\n", GOOD[:2000]):
        assert check_message(content)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast.ratio("000000", "ffffff") == pytest.approx(21)
    assert contrast.ratio("777777", "ffffff") == pytest.approx(4.478, abs=0.001)


def test_the_dark_scheme_is_checked_with_the_dark_rules() -> None:
    page = quopri.decodestring(GOOD).decode()
    dark = contrast.dark_rules(page)
    assert dark["paper"].ground == "1d2329"
    assert dark["story"].text == "e6e8ea"
    broken = with_html(".paper { background-color: #1d2329", ".paper { background-color: #e0e0e0")
    found = rules(broken)
    assert re.search(r"contrast \d\.\d\d in the dark scheme", found)
    assert "light" not in found
