"""Run benchmarks and write what they measured into docs/performance.md, each its own part of the page.

`python -m bench` runs all that take minutes, `python -m bench NAME …` some. `delivery --million` and
`subscribers --million` measure a million readers; `bounces` needs a folder of real bounces. These are run apart.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from datetime import UTC, datetime

import bench
from bench.harness import ROOT, Figure, machine

PAGE = ROOT / "docs" / "performance.md"
#: What is measured with a million, by name: its title.
MILLIONS = {"delivery": "A million readers", "subscribers": "A million rows of subscribers"}
NOT_ALONE = ("harness", "sink", "__main__")
APART = ("bounces",)


def part(command: str, title: str, figures: list[Figure]) -> str:
    """Return one benchmark's part of the page: when and on what it was measured, and its table."""
    lines = [
        f"## {title}",
        "",
        f"`python -m bench {command}`, {datetime.now(UTC):%Y-%m-%d}: {machine()}, Python {sys.version.split()[0]}.",
        "",
        "| what | ours | peer | ratio | goal |",
        "|---|---|---|---|---|",
        *(f"| {f.what} | {f.ours} | {f.peer} | {f.ratio} | {f.goal} |" for f in figures),
    ]
    return "\n".join(lines)


def write(command: str, text: str) -> None:
    """Put a part in the place of the one before, or at the end of the page."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- written by `python -m bench {command}` -->\n", f"\n<!-- end of {command} -->\n"
    before, found, rest = page.partition(begin)
    after = rest.partition(end)[2] if found else ""
    gap = "" if found else "\n"
    PAGE.write_text(f"{before}{gap}{begin}{text}{end}{after}", encoding="utf-8")


def run(name: str, *, million: bool = False) -> None:
    """Run one benchmark, show its table and write it."""
    module = importlib.import_module(f"bench.{name}")
    title = MILLIONS[name] if million else (module.__doc__ or name).split("\n")[0].rstrip(".")
    command = f"{name} --million" if million else name
    text = part(command, title, module.million() if million else module.figures())
    print(text, end="\n\n", flush=True)
    write(command, text)


def main(arguments: list[str]) -> None:
    """Run the named benchmarks, or all that are not run apart."""
    if arguments[1:] == ["--million"] and arguments[0] in MILLIONS:
        run(arguments[0], million=True)
        return
    known = [m.name for m in pkgutil.iter_modules(bench.__path__) if m.name not in (*NOT_ALONE, *APART)]
    for name in arguments or known:
        run(name)


if __name__ == "__main__":
    main(sys.argv[1:])
