"""How long a command line takes to answer."""

from __future__ import annotations

import statistics
import subprocess
import sys

from bench.harness import Figure, cpu


def of(*arguments: str) -> float:
    """Return the median CPU seconds of a child process over eleven runs."""
    taken = []
    for _ in range(11):
        before = cpu()
        subprocess.run(arguments, check=True, capture_output=True)
        taken.append(cpu() - before)
    return statistics.median(taken)


def figures() -> list[Figure]:
    """Measure `newsletter --help` beside an interpreter that does nothing."""
    ours = of(sys.executable, "-m", "newsletter", "--help")
    bare = of(sys.executable, "-c", "pass")
    return [
        Figure(
            "`newsletter --help`, CPU against a bare interpreter",
            f"{ours * 1000:.0f} ms",
            f"{bare * 1000:.0f} ms",
            f"{ours / bare:.1f}× its time",
            "≤ 150 ms",
        )
    ]
