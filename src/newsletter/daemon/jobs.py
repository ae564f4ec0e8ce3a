"""The jobs of the daemon, and what wakes them: APScheduler, each job in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any


def scheduler(jobs: Jobs, works: Sequence[Callable[[], None]], tick: timedelta) -> Any:
    """Return what calls each of these once a tick, and no second time while it still runs."""
    from apscheduler.executors.base import BaseExecutor, run_job
    from apscheduler.schedulers.background import BackgroundScheduler

    class Threads(BaseExecutor):  # type: ignore[misc]  # apscheduler has no types
        """Runs each job in a daemon thread: one that hangs does not keep the process from ending."""

        def _do_submit_job(self, job: Any, run_times: Any) -> None:
            def work() -> None:
                try:
                    events = run_job(job, job._jobstore_alias, run_times, self._logger.name)
                    self._run_job_success(job.id, events)
                finally:
                    jobs.done(job.id)

            jobs.begin(job.id)
            threading.Thread(target=work, name=job.id, daemon=True).start()

    for name in ("apscheduler.scheduler", "apscheduler.executors.default"):
        # That a job still runs is no news: an issue takes hours.
        logging.getLogger(name).setLevel(logging.ERROR)
    waking = BackgroundScheduler(
        executors={"default": Threads()},
        timezone=UTC,
        job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
    )
    seconds = tick.total_seconds()
    for work in works:
        waking.add_job(work, "interval", seconds=seconds, id=work.__name__, next_run_time=datetime.now(UTC))
    return waking


class Jobs:
    """Which jobs run at this moment."""

    def __init__(self) -> None:
        self._running: set[str] = set()
        self._changed = threading.Condition()

    def begin(self, name: str) -> None:
        """Note a job that begins."""
        with self._changed:
            self._running.add(name)

    def done(self, name: str) -> None:
        """Note a job that ended."""
        with self._changed:
            self._running.discard(name)
            self._changed.notify_all()

    def drain(self, seconds: float) -> bool:
        """Wait until nothing runs; False when something still does."""
        deadline = time.monotonic() + seconds
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._running, timeout=max(0.0, deadline - time.monotonic())
            )
