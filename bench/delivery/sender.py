"""The process that delivers: it says when it begins, and afterwards what it took; nothing else runs in it."""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.harness import cpu
from newsletter.config import load
from newsletter.publisher import Publisher


class LedgerClock:
    """The CPU seconds of the thread that writes the ledger, read from the kernel while it lives (Linux)."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End watching."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            for one in threading.enumerate():
                if one.name == "ledger":
                    self._read(Path(f"/proc/self/task/{one.native_id}/schedstat"))

    def _read(self, path: Path) -> None:
        try:
            self.seconds = int(path.read_text(encoding="ascii").split()[0]) / 1e9
        except OSError:
            return  # it has ended meanwhile, or this is not Linux


def main(folder: Path, issue_id: int) -> None:
    """Release and deliver an issue of the publication in this folder; print one line of JSON."""
    with Publisher.open(load(folder, {})) as publisher:
        began = time.perf_counter()
        publisher.release(issue_id, now=datetime.now(UTC))
        released = time.perf_counter() - began
        print("delivering", flush=True)
        clock = LedgerClock()
        began, used, theirs = time.perf_counter(), cpu(), cpu(resource.RUSAGE_CHILDREN)
        account = publisher.deliver(issue_id, stop=threading.Event())
        wall = time.perf_counter() - began
        clock.stop()
        assert account.accepted == account.audience, account
        told = {
            "accepted": account.accepted,
            "release": released,
            "wall": wall,
            "cpu": cpu() - used,
            "ledger": clock.seconds,
            "workers": cpu(resource.RUSAGE_CHILDREN) - theirs,
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
