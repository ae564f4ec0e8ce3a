"""What each awkward issue looks like in bytes: the digest's HTML and text, and one reader's message."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import awkward_letters
from awkward_letters import AWKWARD, DESIGNS
from newsletter.checks.digest import check_message
from newsletter.digest import Design

GOLDEN = Path(__file__).parent / "golden" / "digest"
REWRITE = os.environ.get("NEWSLETTER_GOLDEN") == "rewrite"
each_issue = pytest.mark.parametrize("name", AWKWARD)
each_design = pytest.mark.parametrize("design", DESIGNS)


def compare(path: Path, made: str) -> None:
    if REWRITE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made, encoding="utf-8", newline="")
    assert path.exists(), f"{path} is missing; `make golden` writes it"
    assert path.read_bytes().decode() == made, f"{path} differs; `make golden` rewrites it"


@each_design
@each_issue
def test_golden_digest(design: Design, name: str) -> None:
    page, text = awkward_letters.mailer(design, name).fill(AWKWARD[name].reader)
    compare(GOLDEN / design / f"{name}.html", page)
    compare(GOLDEN / design / f"{name}.txt", text)


@each_design
@each_issue
def test_golden_message(design: Design, name: str) -> None:
    made = awkward_letters.message(design, name)
    compare(GOLDEN / design / f"{name}.eml", made.decode("ascii").replace("\r\n", "\n"))


def test_golden_files_are_all_made_here() -> None:
    made = {
        GOLDEN / design / f"{name}.{kind}"
        for design in DESIGNS
        for name in AWKWARD
        for kind in ("html", "txt", "eml")
    }
    kept = {path for path in GOLDEN.rglob("*") if path.is_file()}
    if REWRITE:
        for path in kept - made:
            path.unlink()
    else:
        assert kept == made


@each_design
@each_issue
def test_an_awkward_issue_breaks_no_rule(design: Design, name: str) -> None:
    findings = check_message(awkward_letters.message(design, name))
    assert [one for one in findings if one.error] == []


@each_design
@pytest.mark.parametrize("name", ["hostile", "everything"])
def test_hostile_words_are_words(design: Design, name: str) -> None:
    html = awkward_letters.page(design, name)
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "{{ 7*7 }}" in html
    assert 'href="javascript:' not in html
