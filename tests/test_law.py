"""The page about law: every place in the code that it names is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "law.md").read_text(encoding="utf-8")
PLACES = sorted(set(re.findall(r"`(newsletter(?:\.\w+)+:\w+)`", PAGE)))
DUTIES = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| [A-Z]", line)]


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_is_named_is_there(place: str) -> None:
    module, _, name = place.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_each_law_is_there_and_each_duty_has_a_place_and_a_test() -> None:
    for law in ("Spam Act 2003", "GDPR", "Belgium", "CAN-SPAM"):
        assert re.search(rf"^## .*{law}", PAGE, re.MULTILINE), law
    assert len(DUTIES) > 15
    for duty in DUTIES:
        assert len(duty) == 3, duty
        assert re.search(r"`newsletter[.:]|`\[|\]\(", duty[1]) or "subscriptions" in duty[1], duty
        for test in re.findall(r"tests/\w+\.py", duty[2]) or [""]:
            assert (ROOT / test).is_file(), duty
