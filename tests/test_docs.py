"""What the documentation says is what the program has: commands, keys, links, examples."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import time, timedelta
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

import click
import pytest
from pydantic import BaseModel, SecretStr

from configurations import DEFAULT, merge
from conftest import PublicationFactory
from contracts import test_sources as sources
from contracts import test_transports as transports
from newsletter.cli import program
from newsletter.config import Config
from newsletter.errors import ConfigError, TransportError
from newsletter.model import (
    DELIVERY_EDGES,
    DeliveryState,
    IssueState,
    Outcome,
    Rejected,
    SlotState,
    Standing,
)
from newsletter.sources import SourceState
from newsletter.sources.frontmatter import FIELDS
from newsletter.store import Store
from newsletter.subscriptions.table import COLUMNS
from newsletter.transports import transport_factory

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "subscribers" / "README.md", *DOCS]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def sections(text: str) -> dict[str, str]:
    """Cut a page at its headings."""
    pieces = re.split(r"^#+ (.*)$", FENCE.sub("", text), flags=re.MULTILINE)
    assert len(set(pieces[1::2])) == len(pieces[1::2]), "a heading stands there twice"
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """Return the rows of a section's tables, their heads left out."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and cells[0] not in ("key", "column", "argument or option", "option", "argument"):
            found += [] if set(line) <= set("|-") else [cells]
    return found


def codes(cell: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


SECTIONS = sections(REFERENCE)


# Commands


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Give every command below one, with its words."""
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            below = command.get_command(click.Context(command), name)
            assert below is not None
            yield from commands(below, f"{path} {name}")


COMMANDS = dict(commands(program, "newsletter"))


def words_of(parameter: click.Parameter) -> set[str]:
    """Return how an argument or option is written, with its placeholder if it has one of its own."""
    if isinstance(parameter, click.Option):
        placeholder = {parameter.metavar} if parameter.metavar else set()
        return {*parameter.opts, *parameter.secondary_opts} | placeholder
    assert parameter.name is not None
    return {(parameter.metavar or parameter.name).upper()}


def test_every_command_is_in_the_reference_and_no_other() -> None:
    said = {codes(heading)[0] for heading in SECTIONS if heading.startswith("`newsletter")}
    assert said == COMMANDS.keys()


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_is_in_the_reference_and_no_other(path: str) -> None:
    said = [word for row in rows(SECTIONS[f"`{path}`"]) for word in codes(row[0])]
    true = [word for one in COMMANDS[path].params for word in sorted(words_of(one))]
    assert sorted(said) == sorted(true)


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Give every `newsletter …` line of the pages' code blocks: where it stands, and its words."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = [(m.start(3), m[3]) for m in FENCE.finditer(text) if m[2] in ("", "sh", "ini")]
        blocks += [(m.start(), m[0]) for m in re.finditer(r"(?:^ {4}\S.*\n)+", text, re.MULTILINE)]
        for start, block in blocks:
            joined = block.replace("\\\n", " ")
            for line in joined.splitlines():
                match = re.match(r"\s*(?:\$ |ExecStart=)?(?:[\w./~-]*/)?newsletter( [^=].*)?$", line)
                if match:
                    number = text.count("\n", 0, start) + 1
                    words = shlex.split(match[1] or "", comments=True)
                    yield f"{page.name}:{number}: {line.strip()}", words


LINES = dict(command_lines())


def test_command_lines_are_found() -> None:
    assert len(LINES) > 30


@pytest.mark.parametrize("line", LINES)
def test_every_command_line_parses(line: str) -> None:
    words, command, context = LINES[line], program, None
    for stop in ("|", ">", "&&"):
        words = words[: words.index(stop)] if stop in words else words
    group: click.Command = command
    while True:
        context = click.Context(group, parent=context)
        values, rest, _ = group.make_parser(context).parse_args(list(words))
        if not isinstance(group, click.Group):
            missing = [one.name for one in group.params if one.required and not values.get(one.name or "")]
            assert not missing, missing
            assert not rest, rest
            return
        if not rest:
            return
        below = group.get_command(context, rest[0])
        assert below is not None, f"there is no command {rest[0]}"
        group, words = below, rest[1:]


# Configuration

TABLES = {
    "sources": "[[sources]]",
    "newsletters": "[[newsletters]]",
    "newsletters.schedule": "[newsletters.schedule]",
    "dkim": "[[dkim]]",
    "smtp.also": "[[smtp.also]]",
    "webhooks": "[[webhooks]]",
}


def tables(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Give every table of the configuration by its path."""
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *getattr(field.annotation, "__args__", ()))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                below = f"{path}.{name}".removeprefix(".")
                yield below, kind
                yield from tables(kind, below)


MODELS = dict(tables(Config))


def written(value: Any) -> str:
    """Write a default as it would stand in the file."""
    match value:
        case None:
            return "none"
        case SecretStr():
            return written(value.get_secret_value())
        case bool():
            return str(value).lower()
        case timedelta():
            seconds = int(value.total_seconds())
            size, unit = next(
                (s, u) for s, u in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")) if seconds % s == 0
            )
            return f'"{seconds // size}{unit}"'
        case time():
            return f'"{value:%H:%M}"'
        case PurePath():
            return json.dumps(str(value))
        case tuple() | list():
            return "[" + ", ".join(map(written, value)) + "]"
        case BaseModel():
            return "see below"
    return json.dumps(value)


def test_every_table_is_in_the_reference_and_no_other() -> None:
    said = {codes(heading)[0] for heading in SECTIONS if heading.startswith("`[")}
    true = {TABLES.get(path, f"[{path}]") for path in MODELS}
    assert said == true | {"[transports.NAME]"}


@pytest.mark.parametrize("path", MODELS)
def test_every_key_is_in_the_reference_with_its_default_and_no_other(path: str) -> None:
    said = {
        codes(row[0])[0]: row[2].strip("`") for row in rows(SECTIONS[f"`{TABLES.get(path, f'[{path}]')}`"])
    }
    true = {
        name: "required" if field.is_required() else written(field.get_default(call_default_factory=True))
        for name, field in MODELS[path].model_fields.items()
    }
    assert said == true


def test_the_sections_that_the_environment_sets_are_named() -> None:
    single = {path for path in MODELS if path not in TABLES}
    (paragraph,) = re.findall(r"It works for the single tables: (.*?)\.", REFERENCE, re.DOTALL)
    assert set(codes(paragraph)) == single


def toml_blocks() -> Iterator[tuple[str, str]]:
    """Give every TOML block of the pages, and where it stands."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            if match[2] == "toml":
                yield f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}", match[3]


BLOCKS = dict(toml_blocks())


@pytest.mark.parametrize("where", BLOCKS)
def test_every_toml_block_is_a_configuration(where: str) -> None:
    fragment = tomllib.loads(BLOCKS[where])
    if "project" in fragment:  # a plug's pyproject.toml
        return
    for one in fragment.get("newsletters", ()):  # a fragment shows what it is about
        one.update({**DEFAULT["newsletters"][0], **one})
    Config(**merge(DEFAULT, fragment))


# Front matter, CSV, states


def test_every_front_matter_key_is_in_the_reference_and_no_other() -> None:
    assert [codes(row[0])[0] for row in rows(SECTIONS["Front matter"])] == list(FIELDS)


def test_every_column_is_in_the_reference_and_no_other() -> None:
    assert tuple(codes(row[0])[0] for row in rows(SECTIONS["Subscribers' CSV"])) == COLUMNS


def test_every_state_and_edge_is_in_the_reference_and_no_other() -> None:
    table = [codes(row[0] + row[1]) for row in rows(SECTIONS["States"]) if codes(row[0])]
    single = [words[0] for words in (codes(row[0]) for row in rows(SECTIONS["States"])) if words]
    edges = {(a, b) for a, b, *more in (w for w in table if len(w) == 2)} & {
        (a.value, b.value) for a in DeliveryState for b in DeliveryState
    }
    assert edges == {(a.value, b.value) for a, b in DELIVERY_EDGES}
    before = [
        w for w in single if w not in {a for a, _ in edges} or w in {*SlotState, *IssueState, *Standing}
    ]
    for states in (SlotState, IssueState, Standing):
        assert {one.value for one in states} <= set(before)
    assert set(before) <= {*SlotState, *IssueState, *Standing, *DeliveryState}


# Links


def anchors(page: Path) -> set[str]:
    """Return the fragments that a page's headings have."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        if fragment:
            assert fragment in anchors(there), target


def test_every_test_module_that_is_named_is_there() -> None:
    named = {
        name
        for page in DOCS
        for name in re.findall(r"`(tests/[\w/]+\.py)`", page.read_text(encoding="utf-8"))
    }
    assert named
    assert not [name for name in sorted(named) if not (ROOT / name).is_file()]


# The examples of plugs


def install(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Install the plug that a page shows as its packaging would, and return its module."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    code = next(match[3] for match in FENCE.finditer(text) if match[2] == "python")
    declared = next(match[3] for match in FENCE.finditer(text) if "[project]" in match[3])
    project = tomllib.loads(declared)["project"]
    ((group, names),) = project["entry-points"].items()
    ((name, value),) = names.items()
    module = value.partition(":")[0]
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    facts = folder / f"{module}-{project['version']}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, module, raising=False)
    return importlib.import_module(module)


def contract(tests: ModuleType, parameter: str) -> list[Callable[..., None]]:
    """Return the tests of a contract that need nothing but the fixture of this name."""
    found = [one for name, one in vars(tests).items() if name.startswith("test_")]
    return [one for one in found if list(inspect.signature(one).parameters)[:1] == [parameter]]


@pytest.mark.parametrize(
    ("page", "tests", "parameter"),
    [("adding-a-transport.md", transports, "carrier"), ("adding-a-source.md", sources, "site")],
)
def test_the_contract_that_a_page_imports_is_the_whole_one(
    page: str, tests: ModuleType, parameter: str
) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    _, module = [match[3] for match in FENCE.finditer(text) if match[2] == "python"]
    imported = {
        alias.name
        for node in ast.walk(ast.parse(module))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("contracts.")
        for alias in node.names
    }
    assert {one for one in imported if one.startswith("test_")} == {
        one.__name__ for one in contract(tests, parameter)
    }
    assert all(hasattr(tests, one) for one in imported)


PROGRAM = """#!/bin/sh
for recipient in "$@"; do :; done
case "$recipient" in
    gone@*) echo "user unknown" >&2; exit 67 ;;
    later@*) exit 75 ;;
    broken@*) exit 70 ;;
esac
cat > "$(mktemp "${0%/*}/inbox/XXXXXX")"
"""


@pytest.fixture
def carrier(
    publication: PublicationFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> transports.Carrier:
    """Give the transport that its page shows, over a stand-in for the program, and what arrived."""
    install("adding-a-transport.md", tmp_path, monkeypatch)
    program, inbox = tmp_path / "sendmail", tmp_path / "inbox"
    inbox.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o700)
    config = publication({"transports": {"sendmail": {"program": str(program)}}})
    connect = transport_factory(config, "sendmail")
    return connect, lambda: [file.read_bytes() for file in inbox.iterdir()]


@pytest.mark.parametrize("test", contract(transports, "carrier"))
def test_the_example_of_a_transport_keeps_the_contract(
    test: Callable[..., None], carrier: transports.Carrier
) -> None:
    test(carrier)


def test_the_example_of_a_transport_tells_what_the_program_says(carrier: transports.Carrier) -> None:
    connect, _ = carrier
    to = ["gone@example.org", "later@example.org", "broken@example.org", "-oops@example.org"]
    receipts = transports.carry(
        connect, [transports.message(n, recipient=one) for n, one in enumerate(to, 1)]
    )
    assert [one.outcome for one in receipts] == [
        Outcome.REFUSED,
        Outcome.DEFERRED,
        Outcome.NOT_SENT,
        Outcome.ACCEPTED,
    ]
    assert [one.suppress for one in receipts] == [True, False, False, False]
    assert receipts[0].text == "user unknown"


def test_the_example_of_a_transport_says_what_is_wrong_with_its_table(
    publication: PublicationFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("adding-a-transport.md", tmp_path, monkeypatch)
    missing = publication({"transports": {"sendmail": {"program": str(tmp_path / "nothing")}}})
    with (
        pytest.raises(TransportError, match="no such program") as caught,
        transport_factory(missing, "sendmail")(),
    ):
        pass
    assert caught.value.lasting
    misspelt = publication({"transports": {"sendmail": {"programme": "x"}}})
    with pytest.raises(ConfigError, match="programme"):
        transport_factory(misspelt, "sendmail")()


def write_lines(path: Path, dated: dict[str, str]) -> None:
    """Write posts as the example's file."""
    items = [
        {"id": title, "title": title, "published": date, "html": f"Text of {title} <script>x()</script>"}
        for title, date in dated.items()
    ]
    path.write_text("".join(json.dumps(item) + "\n" for item in items))


@pytest.fixture
def site(publication: PublicationFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sources.Site:
    """Give a publication with the source that its page shows."""
    install("adding-a-source.md", tmp_path, monkeypatch)
    kind = sources.Kind("jsonlines", "posts.jsonl", write_lines)
    table = {"name": "one", "kind": kind.name, "path": kind.path}
    made = sources.Site(kind, publication({"sources": [table]}))
    made.write(sources.GOOD)
    return made


@pytest.mark.parametrize("test", contract(sources, "site"))
def test_the_example_of_a_source_keeps_the_contract(
    test: Callable[..., None], site: sources.Site, sqlite_store: Store
) -> None:
    more = [sqlite_store] if "sqlite_store" in inspect.signature(test).parameters else []
    test(site, *more)


def test_the_example_of_a_source_rejects_a_line_that_is_no_object(site: sources.Site) -> None:
    site.context.path().write_text('[1]\n\n{"id": "a"\n{"title": "no id"}\n' + "[" * 100_000)
    items = list(site.open().posts(SourceState()))
    assert len(items) == 4
    assert all(isinstance(one, Rejected) and one.remedy for one in items)
    assert len({one.source_key for one in items}) == 4
