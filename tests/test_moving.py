"""The page about moving: each of its commands is run on the exports of other programs, and prints what it shows."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from newsletter.cli import main
from newsletter.store import open_store
from newsletter.subscriptions import FORMATS, listed, verify

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "moving.md").read_text(encoding="utf-8")
EXPORTS = Path(__file__).parent / "fixtures" / "subscribers"
Run = Callable[[str], str]


def sections() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Give each section that has commands, with its blocks of commands and what they print."""
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"```sh\n(.*?)```\n\n```text\n(.*?)```", part, re.DOTALL)
        assert part.count("```sh") == len(blocks), "a block of commands shows nothing"
        if blocks:
            yield part.partition("\n")[0], blocks


SECTIONS = dict(sections())


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run command lines in a new publication's folder, the exports beside it; return what is printed."""
    monkeypatch.delenv("NEWSLETTER_STORE__URL", raising=False)
    shutil.copytree(EXPORTS, tmp_path / "letter")
    monkeypatch.chdir(tmp_path / "letter")

    def call(line: str) -> str:
        program, *words = shlex.split(line)
        assert program == "newsletter"
        with pytest.raises(SystemExit) as stopped:
            main(words)
        said = capsys.readouterr()
        assert (stopped.value.code, said.err) == (2 if re.search(r"[1-9]\d* refused", said.out) else 0, "")
        return said.out

    call("newsletter init .")
    return call


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_does_what_it_shows(section: str, run: Run) -> None:
    for commands, shown in SECTIONS[section]:
        assert "".join(map(run, commands.splitlines())) == shown
    with open_store("sqlite:///var/newsletter.db") as store:
        assert verify(store).broken == ()
        assert {one.subscriber.address for one in listed(store)} >= {"ada@example.org", "bob@example.org"}
        assert store.instance


def test_every_program_has_its_section_and_every_export_its_command() -> None:
    assert {one.title for one in FORMATS.values()} <= set(SECTIONS)
    commands = " ".join(lines for blocks in SECTIONS.values() for lines, _ in blocks)
    assert {file.name for file in EXPORTS.iterdir()} == set(re.findall(r"import (\S+)", commands))


@pytest.mark.parametrize("section", [one.title for one in FORMATS.values()])
def test_moving_twice_changes_nothing_and_revives_nobody(section: str, run: Run) -> None:
    lines = [line for commands, _ in SECTIONS[section] for line in commands.splitlines()]
    for line in lines:
        run(line)
    with open_store("sqlite:///var/newsletter.db") as store:
        before = listed(store)
    for line in lines:
        assert ": 0 added, 0 updated," in run(line)
    with open_store("sqlite:///var/newsletter.db") as store:
        assert listed(store) == before
