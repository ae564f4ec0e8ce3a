"""Each rule of the digest check: found when broken, silent when kept."""

from __future__ import annotations

import base64
import quopri
import re
from dataclasses import replace

import pytest

from letters import ANN, CRANES, LOOKS, PLAIN, THEME, compiled, issue_of, mailer, mailer_of, rewritten
from newsletter.checks import contrast
from newsletter.checks.digest import _ONCE, check_message
from newsletter.model import Finding

GOOD = mailer()(ANN).content


HEAD, _, BODY = GOOD.partition(b"\r\n\r\n")


def only(content: bytes, *, place: str = "", rule: str = "") -> Finding:
    """Return the one finding of a message, which must name the place and the rule and say what to do."""
    found = check_message(content)
    assert len(found) == 1, found
    assert place in found[0].place
    assert rule in found[0].rule
    assert found[0].remedy
    return found[0]


def with_html(old: str, new: str) -> bytes:
    return rewritten(GOOD, "html", old, new)


def with_text(old: str, new: str) -> bytes:
    return rewritten(GOOD, "plain", old, new)


def test_a_good_message_has_no_finding() -> None:
    assert check_message(GOOD, where="x") == []


def test_a_font_in_double_quotes_has_no_finding() -> None:
    looks = replace(LOOKS, theme={**THEME, "body_font": '"Segoe UI", sans-serif'})
    assert check_message(mailer(looks=looks)(ANN).content) == []


def test_each_header_stands_once() -> None:
    for name in _ONCE:
        (line,) = re.findall(rb"^%s:.*\r\n(?:[ \t].*\r\n)*" % name.encode(), HEAD + b"\r\n", re.M)
        if name not in ("Content-Type", "List-Unsubscribe", "Subject"):  # without which much else is missing
            missing = GOOD.replace(line, b"", 1)
            only(missing, place=name, rule="it stands 0 times")
        assert f"{name}: it stands 2 times" in [f"{f.place}: {f.rule}" for f in check_message(line + GOOD)]


@pytest.mark.parametrize(
    ("old", "new", "place", "rule"),
    [
        (b"</html>\r\n", b"</html>\n", "message", "a line does not end in CRLF"),
        (b"--\r\n", b"--", "message", "it does not end in CRLF"),
        (b"Date: Mon", b"X-Long: " + b"x" * 1000 + b"\r\nDate: Mon", "headers", "998"),
        (b"\r\n\r\n", b"\r\n\r\n" + b"x" * 77 + b"\r\n", "body", "76 columns"),
        (b"\r\n\r\n", b"\r\n\r\n\xc3\xa9\r\n", "body", "outside ASCII"),
        (b"Subject: The", b"Subject: Another: The", "title", "is not the subject"),
        (b"List-Help:", b"List-Post: <mailto:x@example.org>\r\nList-Help:", "List-Post", "not for posting"),
        (b"List-Help:", b"References: =?utf-8?q?x?=\r\nList-Help:", "references", "encoded word"),
        (b"ann@example.org>\r\n", b"ann@example.org>, <bob@example.org>\r\n", "To", "one address"),
        (b"Unsubscribe: <https://", b"Unsubscribe: <http://", "List-Unsubscribe", "not one https"),
        (b"List-Unsubscribe=One-Click", b"One-Click", "List-Unsubscribe-Post", "One-Click"),
        (b"<weekly.herald.example.org>", b"weekly", "List-Id", "one identifier"),
        (b"3:weekly:digest:newsletter", b"weekly", "Feedback-ID", "four fields"),
        (b"auto-generated", b"no", "Auto-Submitted", "auto-generated"),
        (b"multipart/alternative", b"multipart/mixed", "MIME", "multipart/mixed"),
        (
            b"Content-Type: text/html",
            b"MIME-Version: 1.0\r\nContent-Type: text/html",
            "MIME",
            "MIME-Version of its own",
        ),
        (b"charset=utf-8", b"charset=utf8", "MIME", "not UTF-8"),
    ],
)
def test_wire_and_header_rules(old: bytes, new: bytes, place: str, rule: str) -> None:
    assert old in GOOD
    at = GOOD.rindex(old) if old == b"--\r\n" else GOOD.index(old)
    broken = GOOD[:at] + new + GOOD[at + len(old) :]
    if rule == "not one https":  # the link in the footer is another then
        assert (place, rule) in [(one.place, one.rule[: len(rule)]) for one in check_message(broken)]
    else:
        only(broken, place=place, rule=rule)


def test_a_subject_that_pretends_to_be_an_answer_is_found() -> None:
    digest = compiled(subject="Re: your harbour")
    issue = replace(issue_of(digest), subject="Re: your harbour")
    only(mailer_of(digest, issue)(ANN).content, place="Subject", rule="answer")


def test_the_parts_are_two_in_their_order_and_quoted_printable() -> None:
    pieces = BODY.split(b"--=_")
    swapped = b"--=_".join((HEAD + b"\r\n\r\n" + pieces[0], pieces[2], pieces[1], pieces[3]))
    only(swapped, place="MIME", rule="not text/plain, then text/html")
    head, _, page = pieces[2].partition(b"\r\n\r\n")
    head = head.replace(b"quoted-printable", b"base64")
    page = base64.encodebytes(quopri.decodestring(page)).replace(b"\n", b"\r\n")
    encoded = b"--=_".join((HEAD + b"\r\n\r\n" + pieces[0], pieces[1], head + b"\r\n\r\n" + page, pieces[3]))
    only(encoded, place="MIME", rule="a part is not quoted-printable")


def test_a_message_that_is_too_large_is_found() -> None:
    room = 90_000 - len(GOOD)
    assert check_message(GOOD + b"x\r\n" * (room // 3)) == []
    only(GOOD + b"x\r\n" * (room // 3 + 1), place="message", rule="more than 90,000")


@pytest.mark.parametrize(
    ("old", "new", "place", "rule"),
    [
        ("<!DOCTYPE html>", "<!doctype html>", "html", "DOCTYPE"),
        ('<html lang="en-AU" dir="ltr"', "<html", "html", "lang or dir is missing"),
        ('role="article"', 'role="main"', "wrapper", "article"),
        ('aria-roledescription="email"', "", "wrapper", "aria-roledescription"),
        ('aria-label="', 'data-label="', "wrapper", "aria-label"),
        ("</body>", "<p></p></body>", "body", "exactly one child"),
        ('name="viewport"', 'name="window"', "head", "viewport"),
        ('name="color-scheme"', 'name="colour-scheme"', "head", "meta color-scheme"),
        ('name="supported-color-schemes"', 'name="x"', "head", "supported-color-schemes"),
        ("<h1", "<h1>The quay</h1><h1", "headings", "2 h1"),
        ("</h1>", "</h1><h2> </h2>", "h2 in line", "says nothing"),
        ('<table role="presentation" class="paper"', '<table class="paper"', "table", "layout table"),
        ("alt=", "title=", "picture", "no alt"),
        ('height="302"', "", "picture", "width and height"),
        ('width="536" height="302"', 'width="1" height="1"', "picture", "tracking"),
        ('src="https://', 'src="http://', "picture", "https"),
        ("aa-1200.jpg", "aa-1200.webp", "picture", "JPEG"),
        ('href="https://office.example.com/tariff"', 'href="/tariff"', "nine euros", "not an absolute link"),
        ('href="https://office.example.com/tariff"', 'href="#fn1"', "nine euros", "not an absolute link"),
        ("</h1>", "</h1><p style='display:none'>x</p>", "p “x”", "hidden"),
        ("</h1>", "</h1><p style='font-size:0'>x</p>", "p “x”", "hidden"),
        ("</h1>", "</h1><p hidden>x</p>", "p “x”", "hidden"),
        ("u + .body", ".x { display: none } u + .body", "style", "a rule hides"),
        ("</h1>", "</h1><p style='padding:9px'>x</p>", "p “x”", "padding"),
        (
            "</h1>",
            "</h1><p style='color:#1d2329;background-color:#fff'>x</p>",
            "p “x”",
            "pure black or white",
        ),
        ("u + .body", ".x { color: #ffffff } u + .body", "style", "pure black or white"),
        ("</h1>", "</h1><p style='color:#999999'>faint</p>", "faint", "in the light scheme"),
        (
            ".paper { background-color: #1d2329",
            ".paper { background-color: #e0e0e0",
            "",
            "in the dark scheme",
        ),
        ("</h1>", "</h1><style>p{}</style>", "style", "body"),
        ("</h1>", "</h1><p onclick='x()'>x</p>", "p “x”", "script"),
        ("[data-ogsb]", ".ogsb", "style", "no rule for [data-ogsb]"),
        ("[data-ogsc]", ".ogsc", "style", "no rule for [data-ogsc]"),
        ("(prefers-color-scheme: dark)", "(min-width: 9px)", "style", "no rule for prefers-color-scheme"),
        ("u + .body", "@media print { @media screen { p { margin: 0 } } } u + .body", "style", "inside"),
        ("u + .body", "a" * 17_000 + " + .body", "style", "bytes"),
    ],
)
def test_html_rules(old: str, new: str, place: str, rule: str) -> None:
    broken = with_html(old, new)
    if old in ("[data-ogsb]", "[data-ogsc]", ".paper { background-color: #1d2329"):
        found = check_message(broken)  # all of one kind: a heading's or a rule's consequences
        assert found
        assert all(rule.split(" ")[-1] in one.rule or rule in one.rule for one in found), found
    else:
        only(broken, place=place, rule=rule)


def test_a_skipped_level_is_found_in_its_story() -> None:
    broken = rewritten(with_html("<h3", "<h5"), "html", "</h3>", "</h5>")
    assert only(broken, place="h5 “What it means”", rule="h5 follows h2").post == CRANES.title


def test_the_style_may_have_16_kib_in_all() -> None:
    size = sum(
        len(css.encode()) for css in re.findall(r"<style[^>]*>(.*?)</style>", mailer().fill(ANN)[0], re.S)
    )
    fill = 16 * 1024 - size - len("a{}")
    assert check_message(with_html("u + .body", "a{" + " " * fill + "}u + .body")) == []
    only(with_html("u + .body", "a{" + " " * (fill + 1) + "}u + .body"), rule="16385 bytes, more than 16384")


def test_a_missing_unsubscribe_link_is_found() -> None:
    found = check_message(with_html("letters.example.org/u/", "example.org/"))
    assert "there is no link to unsubscribe" in [one.rule for one in found]


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
    finding = only(with_text(old, new), place="text part", rule=rule)
    assert finding.post == CRANES.title


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (with_text("https://office.example.com/tariff", "See https://office.example.com/tariff"), "alone"),
        (with_text("The end.", "The end, " * 9), "longer than 72"),
        (with_html(">nine euros<", ">here<"), "makes no sense alone"),
    ],
)
def test_advice_is_no_error(content: bytes, rule: str) -> None:
    assert not only(content, rule=rule).error


def test_a_finding_names_the_post_whose_story_it_lies_in() -> None:
    for old, new, title in (
        ("nine euros", "<i onclick='x()'>nine euros</i>", CRANES.title),
        ("The text of post 35", "<i onclick='x()'>The text</i> of post 35", PLAIN.title),
        ("</h1>", "</h1><p onclick='x()'>x</p>", ""),
        ('<p class="foot"', '<p onclick="x()" class="foot"', ""),
    ):
        assert {one.post for one in check_message(with_html(old, new)) if "script" in one.rule} == {title}
    alone = mailer(posts=(PLAIN,), corrections=(), intro_html="")(ANN).content
    found = check_message(rewritten(alone, "html", '<p class="foot"', '<p onclick="x()" class="foot"'))
    assert {one.post for one in found} == {""}  # an only post does not own the footer


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
    found = " | ".join(one.rule for one in check_message(broken))
    assert re.search(r"contrast \d\.\d\d in the dark scheme", found)
    assert "light" not in found
