"""The floors of the house: imports go down only, neighbours on the floor of use cases do not meet.

Every module is placed once; adding a module means placing it here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "newsletter"

FLOORS: dict[int, set[str]] = {
    6: {"cli", "web", "daemon", "demo", "prove", "__main__"},
    5: {"publisher"},
    4: {
        "gather",
        "publish",
        "issues",
        "deliver",
        "readiness",
        "subscriptions",
        "websub",
        "moves",
        "bounces",
        "letters",
    },
    3: {"config", "fetch", "store", "sources", "transports", "crew", "pictures", "scaffold", "templating"},
    2: {"content", "compose", "feeds", "digest", "identity", "pages", "checks", "tokens", "reports"},
    1: {"model"},
    0: {"errors", "schedule", "__init__"},
}

#: One home for each fact: a library, and the only places that may import it.
HOMES: dict[str, set[str]] = {
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "psycopg": {"store"},
    "nh3": {"content"},
    "feedgen": {"feeds"},
    "premailer": {"digest"},
    "jinja2": {"templating", "digest", "pages", "web"},
    "smtplib": {"transports.smtp"},
    "httpcore2": {"fetch"},
    "httpx2": {"fetch"},
    "apscheduler": {"daemon"},
    "aiosmtpd": {"demo"},
    "click": {"cli"},
    "rich": {"cli"},
}


def placed() -> dict[str, int]:
    """Return the floor of every top-level name."""
    return {name: floor for floor, names in FLOORS.items() for name in names}


def modules() -> list[Path]:
    """Return every module of the package."""
    return sorted(p for p in SOURCE.rglob("*.py") if "templates" not in p.relative_to(SOURCE).parts)


def dotted(path: Path) -> str:
    """Return a module's name below the package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(path: Path) -> list[tuple[int, str]]:
    """Return (line, absolute module) of every import, those inside functions as well."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            found.append((node.lineno, node.module or ""))
            if node.module in ("newsletter", "newsletter.store"):
                found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def test_every_module_is_placed_once() -> None:
    names = [name for group in FLOORS.values() for name in group]
    assert len(names) == len(set(names))
    assert {dotted(path).split(".")[0] for path in modules()} == set(names)


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_go_down(path: Path) -> None:
    floors, here = placed(), dotted(path).split(".")[0]
    for line, module in imports(path):
        parts = module.split(".")
        if parts[0] != "newsletter" or len(parts) == 1:
            continue
        there = parts[1]
        if there == here or there not in floors:
            continue
        assert floors[there] <= floors[here], f"{path.name}:{line}: {here} imports {there}, which is above it"
        if floors[here] == 4:
            assert floors[there] < 4, f"{path.name}:{line}: use cases do not import each other"


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_a_library_has_one_home(path: Path) -> None:
    here = dotted(path)
    for line, module in imports(path):
        homes = HOMES.get(module.split(".")[0])
        if homes is not None:
            assert any(here == home or here.startswith(home + ".") for home in homes), (
                f"{path.name}:{line}: {module} is used outside {', '.join(sorted(homes))}"
            )


def test_the_ground_is_pure() -> None:
    """Floors 0 to 2 import neither clocks' users nor the outside: no os, socket, random, time, threading."""
    forbidden = {"os", "socket", "random", "secrets", "time", "threading", "subprocess", "shutil", "tempfile"}
    floors = placed()
    for path in modules():
        if floors[dotted(path).split(".")[0]] <= 2:
            used = {module.split(".")[0] for _, module in imports(path)} & forbidden
            assert not used, f"{path}: {used}"


#: What is longer than the yardstick, and why it stays.
LONGER = {
    "store.migrations.versions.first_tables": "one statement a table, written out and never changed again"
}


def test_files_and_functions_are_short() -> None:
    """A file has at most 400 lines, a function's body at most 40 (its docstring apart)."""
    for path in modules():
        if dotted(path) in LONGER:
            continue
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, f"{path} has more than 400 lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                length = (body[-1].end_lineno or 0) - body[0].lineno + 1
                assert length <= 40, f"{path}:{node.lineno}: {node.name} has {length} lines"
