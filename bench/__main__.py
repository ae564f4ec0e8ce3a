"""Run every benchmark and write docs/performance.md."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import bench
from bench.harness import Figure, machine

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"


def section(name: str, title: str, figures: list[Figure]) -> list[str]:
    """Return one benchmark's table."""
    lines = [f"## {title}", "", f"`python -m bench {name}`", "", "| what | ours | peer | ratio | goal |"]
    lines.append("|---|---|---|---|---|")
    lines += [f"| {f.what} | {f.ours} | {f.peer} | {f.ratio} | {f.goal} |" for f in figures]
    return [*lines, ""]


def main() -> None:
    """Run the named benchmarks, or all; write the page only when all ran."""
    known = [
        m.name for m in pkgutil.iter_modules(bench.__path__) if m.name not in ("harness", "sink", "__main__")
    ]
    chosen = sys.argv[1:] or known
    lines = [
        BEGIN,
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {machine()}, Python {sys.version.split()[0]}.",
        "",
    ]
    for name in chosen:
        module = importlib.import_module(f"bench.{name}")
        title = (module.__doc__ or name).split("\n")[0].rstrip(".")
        table = section(name, title, module.figures())
        print("\n".join(table), flush=True)
        lines += table
    if chosen == known:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(before + "\n".join(lines) + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
