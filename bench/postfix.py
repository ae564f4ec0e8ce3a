"""Delivering an issue into a real Postfix, which queues each message durably and then throws it away."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.delivery import trial
from bench.delivery.trial import Case, Measured
from bench.harness import Figure
from bench.sending import postfix_tool
from faults import postfix

READERS, ROUNDS, CONNECTIONS, SIZE = 6000, 3, 10, 79_000
WHAT = f"{READERS:,} readers into a real Postfix smtpd, {CONNECTIONS} connections, against smtp-source -d"


class Smtpd:
    """A Postfix that runs, as a delivery is measured against it; what it used is not known."""

    def __init__(self, running: postfix.Postfix) -> None:
        self.port = running.port
        self._running = running

    def report(self) -> tuple[int, float]:
        """Return how many messages it took, once its queue is empty."""
        before = ""
        while (log := self._running.log()) != before:
            before = log
            time.sleep(1)
        return log.count(" message-id="), 0.0


@contextmanager
def started() -> Iterator[Smtpd]:
    """Run one; to be used as root, where Postfix lies."""
    with TemporaryDirectory(prefix="newsletter-") as folder:
        with postfix.running(Path(folder) / "mail") as running:
            yield Smtpd(running)


def figures() -> list[Figure]:
    """Deliver to it, in turn with Postfix's own load generator."""
    program, environment = postfix_tool("smtp-source")
    if not program or postfix.found() is None or os.geteuid() != 0:
        return [Figure(WHAT, "not measured: Postfix is not installed, or starts only as root")]
    ours: list[Measured] = []
    theirs: list[float] = []
    with started() as server:
        command = [program, "-4", "-d", "-s", str(CONNECTIONS), "-m", str(READERS), "-l", str(SIZE)]
        for _ in range(ROUNDS):
            ours.append(trial.deliver(Case(readers=READERS, connections=CONNECTIONS), server))
            began = time.perf_counter()
            subprocess.run(
                [*command, f"127.0.0.1:{server.port}"], check=True, capture_output=True, env=environment
            )
            theirs.append(READERS / (time.perf_counter() - began))
            server.report()  # the next begins when its queue is empty
    mine = f"{median(one.rate for one in ours):,.0f}/s, {median(one.cost for one in ours):,.0f} µs CPU"
    ratio = median(one.rate / rate for one, rate in zip(ours, theirs, strict=True))
    return [Figure(WHAT, mine, f"{median(theirs):,.0f}/s", f"{ratio:.2f}× its rate")]
