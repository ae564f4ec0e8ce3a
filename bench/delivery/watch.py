"""Watching processes from outside while they deliver: memory of each, read from the kernel (Linux)."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Self

_EVERY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one process held, in MB: at most, what of that it shares with nobody, and how much more at the end."""

    resident: float
    private: float
    growth: float

    def __str__(self) -> str:
        return f"{self.resident:.0f} MB, {self.private:.0f} its own, {self.growth:+.1f} MB over the run"


class Watch:
    """Samples a process and its children while the block runs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.samples: dict[int, list[tuple[float, float]]] = defaultdict(list)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_EVERY):
            for pid in (self.pid, *_children(self.pid)):
                if sizes := _sizes(pid):
                    self.samples[pid].append(sizes)

    def memory(self) -> tuple[Memory | None, Memory | None]:
        """Return what the process held itself, and the largest of its children; None where nothing was seen."""
        own = _summary(self.samples.get(self.pid, []))
        others = [_summary(each) for pid, each in self.samples.items() if pid != self.pid]
        return own, max(filter(None, others), key=lambda one: one.resident, default=None)


def _summary(samples: list[tuple[float, float]]) -> Memory | None:
    """Sum up; what is made once, at the beginning, is no growth: the last quarter is compared with the second."""
    if len(samples) < 4:
        return None
    quarter = len(samples) // 4
    first, last = samples[quarter : 2 * quarter], samples[-quarter:]
    return Memory(
        resident=max(one for one, _ in samples),
        private=max(own for _, own in samples),
        growth=median(own for _, own in last) - median(own for _, own in first),
    )


def _children(pid: int) -> list[int]:
    """Return all descendants."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(one) for one in file.read_text(encoding="ascii").split()]
        except OSError:
            continue  # it ended meanwhile
        for child in children:
            found += [child, *_children(child)]
    return found


def _sizes(pid: int) -> tuple[float, float] | None:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return None
    sizes = {name: float(rest.split()[0]) / 1e3 for name, _, rest in (line.partition(":") for line in lines)}
    return sizes.get("Rss", 0.0), sizes.get("Private_Clean", 0.0) + sizes.get("Private_Dirty", 0.0)
