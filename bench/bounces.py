"""How bounces are judged, against another program's judgement of real ones."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from bench.harness import ROOT, Figure, cpu
from newsletter.model import BounceKind
from newsletter.reports import Verdict, read

CORPUS = ROOT.parent / "shared" / "data" / "bounces"


@dataclass(frozen=True)
class Judged:
    """One message: our verdict, whether either calls it hard, and the other's reasons."""

    file: str
    verdict: Verdict
    theirs: bool
    reasons: frozenset[str]

    @property
    def ours(self) -> bool:
        """Whether we call it hard."""
        return self.verdict.kind is BounceKind.HARD


def agreement(folder: Path) -> list[Judged]:
    """Judge every message of a folder with `labels.json`: by file, a list of recipients with `hard` and `reason`."""
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    return [
        Judged(
            name,
            read((folder / name).read_bytes()).verdict,
            any(one["hard"] for one in labels[name]),
            frozenset(one["reason"] for one in labels[name]),
        )
        for name in sorted(labels)
    ]


def share(found: list[Judged]) -> str:
    """Say how many agree."""
    agreed = sum(one.ours == one.theirs for one in found)
    return f"{agreed} of {len(found)} ({agreed / len(found):.1%})"


def figures() -> list[Figure]:
    """Compare, by the other's reasons as well; every third message was held out when the rules were first written."""
    if not (CORPUS / "labels.json").is_file():
        return [Figure("hard or not", "not measured: the messages are not on this machine", goal="≥ 97 %")]
    found = agreement(CORPUS)
    lines = [
        Figure("hard or not, all messages", share(found), goal="≥ 97 %"),
        Figure(
            "the messages the rules were written by", share([m for n, m in enumerate(found) if n % 3 != 2])
        ),
        Figure("every third, held out at first", share(found[2::3])),
    ]
    classes: dict[str, list[Judged]] = defaultdict(list)
    for one in found:
        classes[" and ".join(sorted(one.reasons))].append(one)
    for reason, some in sorted(classes.items(), key=lambda item: (-len(item[1]), item[0])):
        kinds: dict[str, int] = defaultdict(int)
        for one in some:
            kinds[one.verdict.kind.value] += 1
        ours = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        hard = sum(one.theirs for one in some)
        lines.append(Figure(f"what the other calls {reason}", ours, f"{hard} of {len(some)} hard"))
    messages = [(CORPUS / one.file).read_bytes() for one in found]
    taken = []
    for _ in range(5):
        before = cpu()
        for raw in messages:
            read(raw)
        taken.append(cpu() - before)
    lines.append(Figure("CPU of judging one", f"{statistics.median(taken) / len(messages) * 1000:.1f} ms"))
    return lines
