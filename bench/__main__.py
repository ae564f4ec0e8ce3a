"""Run every benchmark and write docs/performance.md; what takes too long for that runs by an option.

`python -m bench` runs all, `python -m bench NAME …` some and writes nothing; `python -m bench delivery --million` and
`python -m bench subscribers --million` measure a million readers and write their own parts of the page, which the
others leave as they are; so does `python -m bench bounces`, which needs a folder of real bounces.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import bench
from bench.harness import ROOT, Figure, machine

PAGE = ROOT / "docs" / "performance.md"
FIGURES = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"
#: What is measured with a million, by name: its title.
MILLIONS = {"delivery": "A million readers", "subscribers": "A million rows of subscribers"}
BOUNCES = "<!-- bounces: written by `python -m bench bounces` -->", "<!-- end of bounces -->"
OTHERS = ("bounces", "harness", "sink", "__main__")


def section(name: str, title: str, figures: list[Figure]) -> list[str]:
    """Return one benchmark's table."""
    lines = [f"## {title}", "", f"`python -m bench {name}`", "", "| what | ours | peer | ratio | goal |"]
    lines.append("|---|---|---|---|---|")
    lines += [f"| {f.what} | {f.ours} | {f.peer} | {f.ratio} | {f.goal} |" for f in figures]
    return [*lines, ""]


def measured() -> list[str]:
    """Say when and on what."""
    return [
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {machine()}, Python {sys.version.split()[0]}.",
        "",
    ]


def write(marks: tuple[str, str], lines: Sequence[str]) -> None:
    """Put these lines between two marks of the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    assert begin, marks
    assert end, marks
    PAGE.write_text("\n".join((before + begin, *lines, end + after)), encoding="utf-8")


def million_marks(name: str) -> tuple[str, str]:
    """Return the marks of the part of the page that `NAME --million` writes."""
    end = "<!-- end of million -->" if name == "delivery" else f"<!-- end of {name} million -->"
    return f"<!-- million: written by `python -m bench {name} --million` -->", end


def main(arguments: list[str]) -> None:
    """Run the named benchmarks, or all; write the page only when all ran."""
    if arguments[1:] == ["--million"] and arguments[0] in MILLIONS:
        name = arguments[0]
        module = importlib.import_module(f"bench.{name}")
        lines = section(f"{name} --million", MILLIONS[name], module.million())
        print("\n".join(lines), flush=True)
        write(million_marks(name), [*measured(), *lines])
        return
    if arguments == ["bounces"]:
        module = importlib.import_module("bench.bounces")
        lines = section("bounces", "How bounces are judged", module.figures())
        print("\n".join(lines), flush=True)
        write(BOUNCES, [*measured(), *lines])
        return
    known = [m.name for m in pkgutil.iter_modules(bench.__path__) if m.name not in OTHERS]
    chosen = arguments or known
    lines = measured()
    for name in chosen:
        module = importlib.import_module(f"bench.{name}")
        title = (module.__doc__ or name).split("\n")[0].rstrip(".")
        table = section(name, title, module.figures())
        print("\n".join(table), flush=True)
        lines += table
    if chosen == known:
        write(FIGURES, lines)


if __name__ == "__main__":
    main(sys.argv[1:])
