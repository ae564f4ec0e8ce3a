"""What spam filters say of each awkward issue's message, by their own rules and without a network."""

from __future__ import annotations

import contextlib
import mailbox
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import product

import pytest

import awkward_letters
from awkward_letters import AWKWARD, DESIGNS
from newsletter.digest import Design
from private_rspamd import PrivateRspamd, start

LIMIT = 0.5
ISSUES = tuple(product(DESIGNS, AWKWARD))
each_issue = pytest.mark.parametrize(("design", "name"), ISSUES)

#: Rules that count for nothing here, each with the reason why our message cannot be otherwise.
BEYOND_US = {
    "APOSTROPHE_TOCC": "the reader's own address has an apostrophe in it",
    "R_MIXED_CHARSET": "rspamd takes any accent in a subject for a second script; French has accents",
    "URI_COUNT_ODD": "the sum of all links and pictures is odd in every other honest message",
}
#: Both filters know the sentence in it as spam: it proves that they read what they are given.
SPAM = (
    b"From: weekly@herald.example.org\r\nTo: ann@example.org\r\nSubject: Test\r\nMessage-ID: <1@example.org>\r\n\r\n"
    b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
)


def message(design: Design, name: str) -> bytes:
    """Return the message of an awkward issue as if it were sent now: only its date differs from the golden one."""
    return awkward_letters.mailer(design, name, dated=datetime.now(UTC))(AWKWARD[name].reader).content


def counted(rules: Mapping[str, float]) -> float:
    """Return the points that count."""
    return sum(points for rule, points in rules.items() if rule not in BEYOND_US)


@pytest.fixture(scope="module")
def assassin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Let one SpamAssassin judge all messages: its start takes two seconds."""
    program = shutil.which("spamassassin")
    if program is None:
        pytest.skip("SpamAssassin is not installed (tests/prepare.sh installs it)")
    home = tmp_path_factory.mktemp("assassin")
    messages = {"spam": SPAM} | {f"{design}.{name}": message(design, name) for design, name in ISSUES}
    with (home / "letters").open("wb") as letters:
        for key, content in messages.items():
            head = f"From {key}@example.org Mon Nov 23 12:00:00 2026\n"
            letters.write(head.encode() + content.replace(b"\r\n", b"\n") + b"\n")
    options = ("use_bayes 0", "add_header all Rules _TESTSSCORES(,)_", "fold_headers 0")
    ran = subprocess.run(
        [
            program,
            "--local",
            "--nocreate-prefs",
            *[f"--cf={one}" for one in options],
            "--mbox",
            home / "letters",
        ],
        env={"HOME": str(home), "PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        capture_output=True,
        timeout=120,
        check=True,
    )
    (home / "judged").write_bytes(ran.stdout)
    with contextlib.closing(mailbox.mbox(home / "judged")) as judged:
        return {str(one.get_from()).partition("@")[0]: _rules(str(one["X-Spam-Rules"])) for one in judged}


def _rules(said: str) -> dict[str, float]:
    pairs = (one.partition("=") for one in said.split(",") if "=" in one)
    return {rule.strip(): float(points) for rule, _, points in pairs}


@pytest.fixture(scope="module")
def rspamd() -> Iterator[PrivateRspamd]:
    """Run a private rspamd for these tests."""
    program = shutil.which("rspamd")
    if program is None:
        pytest.skip("rspamd is not installed (tests/prepare.sh installs it)")
    with start(program) as running:
        yield running


@each_issue
def test_spamassassin_has_nothing_against_a_message(
    assassin: dict[str, dict[str, float]], design: Design, name: str
) -> None:
    rules = assassin[f"{design}.{name}"]
    assert rules
    assert counted(rules) <= LIMIT, rules


def test_spamassassin_knows_spam(assassin: dict[str, dict[str, float]]) -> None:
    assert counted(assassin["spam"]) > 100


@pytest.mark.parametrize(("design", "name"), ISSUES)
def test_rspamd_has_nothing_against_a_message(rspamd: PrivateRspamd, design: Design, name: str) -> None:
    rules = rspamd.score(message(design, name))
    assert rules
    assert counted(rules) <= LIMIT, rules


def test_rspamd_knows_spam(rspamd: PrivateRspamd) -> None:
    assert "GTUBE" in rspamd.score(SPAM)
