"""Timing that can be trusted on a noisy machine: interleaved rounds, medians, ratios inside a round."""

from __future__ import annotations

import gc
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from newsletter import demo
from newsletter.config import Config, load

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Figure:
    """One line of the page: what was measured, ours, the peer, their ratio, and the goal if there is one."""

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    goal: str = ""


def cpu(*of: int) -> float:
    """Return the CPU seconds of this process and its finished children, or of one of both."""
    usages = [resource.getrusage(who) for who in of or (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


Clock = Callable[[], float]


def seconds(work: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """Return the seconds of one call: of the wall, or of whatever clock is given."""
    gc.collect()
    began = clock()
    work()
    return clock() - began


def median(work: Callable[[], object], rounds: int = 5) -> float:
    """Return the median wall seconds of several calls after one warm-up."""
    work()
    return statistics.median(seconds(work) for _ in range(rounds))


def paired(
    ours: Callable[[], object],
    peer: Callable[[], object],
    rounds: int = 5,
    clock: Clock = time.perf_counter,
) -> tuple[float, float, float]:
    """Run both in turn; return both medians and the median of the ratios peer ÷ ours inside a round."""
    ours(), peer()
    pairs = [(seconds(ours, clock), seconds(peer, clock)) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(b / a for a, b in pairs),
    )


def configuration(folder: Path, port: int) -> Config:
    """Return the example publication, writing below `folder`, sending to `port`."""
    config = load(ROOT, {})
    config = config.model_copy(update={"folders": config.folders.model_copy(update={"state": folder})})
    return demo.demo_config(config, port)


def machine() -> str:
    """Describe the machine in one line."""
    return f"{os.cpu_count()} cores, {os.uname().machine}, {os.uname().sysname}"
