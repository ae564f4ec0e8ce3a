"""The daemon: wakes every few seconds, and does what has become due.

    tick:     gather > publish > slots (missed, held, composed) > release, end of pauses > alarm (slots overdue)
    delivery: every released issue, until nothing of it is due; beside the tick, so that a long issue delays no slot
    letters:  those that wait; beside both, so that none waits for a long issue
    push:     hubs that are to be told, callbacks of the built-in hub; beside all, so that none waits for another
    tell:     webhooks, of what the store says happened; beside the others for the same reason

A folder of posts is gathered also when something in it changed and it is quiet again.

APScheduler only wakes it: what fired is in the store, so two daemons, a crash or a night asleep change nothing.
A stage that fails says so in one line, backs off, and stops no other stage.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from newsletter.bounces import LmtpServer
from newsletter.daemon.jobs import Jobs, scheduler
from newsletter.daemon.works import Overdue, Works
from newsletter.errors import LeaseLost, NewsletterError
from newsletter.model import Account, GatherReport, Issue, IssueState, Slot, SlotState
from newsletter.watching import FolderWatch, folders_of
from newsletter.web.server import until_signalled

if TYPE_CHECKING:
    from newsletter.config import NewsletterConfig

TICK = timedelta(seconds=5)
FIRST_RETRY = timedelta(seconds=10)
LONGEST_RETRY = timedelta(minutes=15)
LOOK_AGAIN = timedelta(minutes=1)  # at an issue of which something waits without saying until when
SWEEP = timedelta(hours=1)  # between looks at the ledger for mailboxes that stay full
DRAIN = 0.8  # seconds that running stages have to end; what is cut off is taken up at the next start

log = logging.getLogger(__name__)


def back_off(failures: int) -> timedelta:
    """Return how long a stage rests after so many failures on end."""
    return min(FIRST_RETRY * (1 << min(failures - 1, 20)), LONGEST_RETRY)


def next_look(account: Account, now: datetime) -> datetime | None:
    """Return when an issue is to be delivered again; None when nothing of it waits."""
    if not account.waiting and not account.attempting:
        return None
    return max(account.next_at or now + LOOK_AGAIN, now + TICK)


@dataclass(slots=True)
class _Stage:
    """When a stage may run next, how often it failed on end, and the time when it was last looked at."""

    at: datetime
    failures: int = 0
    seen: datetime | None = None


@dataclass
class Daemon:
    """The stages over one publisher; `stop` ends what is being delivered."""

    works: Works
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    stop: threading.Event = field(default_factory=threading.Event)
    _stages: dict[str, _Stage] = field(default_factory=dict)
    _changed: bool = True  # what is published is older than the store
    _paused: str = ""
    _overdue: dict[str, Overdue | None] = field(default_factory=dict)
    watch: FolderWatch | None = None
    _told: dict[int, Account] = field(default_factory=dict)  # what was last said of an issue

    def tick(self) -> None:
        """Do what is due but delivering."""
        now = self.clock()
        self._run("gather", self._gather, now)
        self._run("gather what changed", self._gather_changed, now)
        if self._changed:
            self._run("publish", self._publish, now)
        for one in self.works.newsletters():
            self._run(f"slots of {one.name}", partial(self._slots, one.name), now)
        self._run("bounces", self._bounces, now)
        self._run("full mailboxes", self._sweep, now)
        self._run("release", self._release, now)
        self._run("alarm", self._alarm, now)
        self._run("expiry", self._expire, now)

    def deliver(self) -> None:
        """Deliver what is due of every released issue."""
        now = self.clock()
        self._run("delivery", self._deliver_all, now)

    def letters(self) -> None:
        """Send the letters of every newsletter that wait."""
        now = self.clock()
        for one in self.works.newsletters():
            self._run(f"letters of {one.name}", partial(self._letters, one), now)

    def push(self) -> None:
        """Tell hubs and subscribers of feeds that changed, and ask who wants to be one."""
        self._run("push", self._push, self.clock())

    def tell(self) -> None:
        """Tell webhooks what happened."""
        self._run("webhooks", self._tell, self.clock())

    def _run(self, name: str, work: Callable[[datetime], datetime | None], now: datetime) -> None:
        """Run a stage when it is due; it returns when it is due again, None for the next tick."""
        stage = self._stages.setdefault(name, _Stage(now))
        if (
            stage.seen is not None and now < stage.seen
        ):  # the clock was set back: a rest by the old one is void
            stage.at = min(stage.at, now)
        stage.seen = now
        if self.stop.is_set() or stage.at > now:
            return
        try:
            stage.at = work(now) or now
            if stage.failures:
                log.info("%s: works again", name)
            stage.failures = 0
        except Exception as e:
            stage.failures += 1
            rest = back_off(stage.failures)
            stage.at = now + rest
            said = str(e) if isinstance(e, NewsletterError) else f"{type(e).__name__}: {e}".splitlines()[0]
            level = logging.INFO if isinstance(e, LeaseLost) else logging.ERROR
            log.log(level, "%s: %s (again in %d s)", name, said, rest.total_seconds())
            log.debug("%s", name, exc_info=True)

    # Stages

    def _gather(self, now: datetime) -> datetime:
        if self.watch is not None and self.watch.is_settling():
            return now  # a file may be written by half
        taken = self.watch.take() if self.watch is not None else set()
        try:
            self._say(self.works.gather(now=now))
        except Exception:
            if self.watch is not None:
                self.watch.put_back(taken)
            raise
        self._changed = True  # also what came due or went: publishing finds out, and writes only that
        return now + self.works.config.gather.every

    def _gather_changed(self, now: datetime) -> None:
        """Gather from the folders in which something changed, once they are quiet."""
        left = sorted(self.watch.take()) if self.watch is not None else []
        try:
            while left:
                self._say(self.works.gather(now=now, only=left[0]))
                self._changed = True
                del left[0]
        except Exception:
            if self.watch is not None:
                self.watch.put_back(left)
            raise

    def _say(self, reports: Sequence[GatherReport]) -> None:
        for report in reports:
            if report.failed:
                log.error("gather %s: %s", report.source, report.failed)
            elif report.new or report.changed or report.quarantined:
                counts = (len(report.new), len(report.changed), len(report.quarantined))
                log.info("gather %s: %d new, %d changed, %d quarantined", report.source, *counts)

    def _publish(self, now: datetime) -> None:
        self._changed = False  # first: what changes meanwhile is published next time
        try:
            self.works.publish(now=now)
        except Exception:
            self._changed = True
            raise

    def _slots(self, newsletter: str, now: datetime) -> None:
        decision = self.works.slot_decision(newsletter, now=now)
        for state, slots in ((SlotState.MISSED, decision.missed), (SlotState.HELD, decision.held)):
            for due in slots:
                slot = Slot(newsletter=newsletter, due=due)
                self.works.settle_slot(slot, state, note=decision.why, now=now)
                log.warning("%s: the slot of %s is %s: %s", newsletter, _utc(due), state, decision.why)
        if decision.fire is None:
            return
        composed = self.works.compose(newsletter, Slot(newsletter=newsletter, due=decision.fire), now=now)
        if composed.fresh:
            what = (
                f"issue {composed.issue.number}, {composed.issue.state}" if composed.issue else composed.state
            )
            note = f" ({composed.note})" if composed.note else ""
            log.info("%s: the slot of %s: %s%s", newsletter, _utc(decision.fire), what, note)
        self._changed = True

    def _bounces(self, now: datetime) -> datetime:
        """Read the mailboxes before anything is released: who bounced or left gets nothing more."""
        settings, until = self.works.config.bounces, time.monotonic() + TICK.total_seconds()
        if settings.maildir is None and settings.mbox is None:
            return now + settings.every
        taken = self.works.bounces().read(
            now=now, stop=lambda: self.stop.is_set() or time.monotonic() > until
        )
        if taken.new:
            log.info("bounces: %d new, %d with a forged token", taken.new, taken.forged)
        return now if time.monotonic() > until else now + settings.every  # what is left waits for no slot

    def _sweep(self, now: datetime) -> datetime:
        if found := self.works.bounces().sweep(now=now):
            log.info("bounces: %d suppressed whose mailboxes stayed full", len(found))
        return now + SWEEP

    def _release(self, now: datetime) -> None:
        for issue in self.works.end_pauses(now=now):
            log.info("%s %d: goes on, its pause is over", issue.newsletter, issue.number)
        approved = [issue for issue in self.works.open_issues() if issue.state is IssueState.APPROVED]
        for issue in approved if not self._is_paused() else []:
            name = f"{issue.newsletter} {issue.number}"
            self._run(f"release of {name}", partial(self._release_one, issue), now)

    def _release_one(self, issue: Issue, now: datetime) -> None:
        account = self.works.release(issue.id, now=now)
        log.info("%s %d: released to %d subscribers", issue.newsletter, issue.number, account.audience)
        self._changed = True

    def _alarm(self, now: datetime) -> None:
        """Say once of each slot that its issue did not go, and again when the reason is another."""
        for one in self.works.newsletters():
            found = self.works.overdue(one.name, now=now)
            if found is not None and found != self._overdue.get(one.name):
                log.error("%s: the issue of %s did not go: %s", one.name, _utc(found.slot.due), found.why)
            self._overdue[one.name] = found

    def _expire(self, now: datetime) -> datetime:
        from newsletter.store import apikeys

        self.works.expire(now=now)
        with self.works.store.write() as tx:
            apikeys.expire(tx, now=now)
        return now + timedelta(hours=1)

    def _deliver_all(self, now: datetime) -> None:
        for issue in self.works.open_issues():
            if issue.state is IssueState.RELEASED and not self._is_paused():
                name = f"{issue.newsletter} {issue.number}"
                self._run(f"delivery of {name}", partial(self._deliver, issue), now)

    def _deliver(self, issue: Issue, now: datetime) -> datetime | None:
        account = self.works.deliver(issue.id, stop=self.stop)
        if account != self._told.get(issue.id):
            waiting = account.waiting + account.attempting
            log.info(
                "%s %d: %d = %d accepted + %d refused + %d suppressed + %d unknown + %d waiting",
                *(issue.newsletter, issue.number, account.audience, account.accepted, account.refused),
                *(account.suppressed, account.unknown, waiting),
            )
            self._told[issue.id] = account
            self._changed = True
        return next_look(account, self.clock())

    def _letters(self, newsletter: NewsletterConfig, now: datetime) -> None:
        from newsletter import letterbox

        works = self.works
        if self._is_paused():
            return
        for sums in letterbox.send(works.store, works.config, newsletter, clock=self.clock, stop=self.stop):
            log.info(
                "letters of %s: %d = %d accepted + %d refused + %d suppressed + %d unknown + %d waiting",
                *(newsletter.name, sums.audience, sums.accepted, sums.refused, sums.suppressed),
                *(sums.unknown, sums.waiting + sums.attempting),
            )

    def _push(self, now: datetime) -> None:
        from newsletter import websub

        websub.push(self.works.store, self.works.config, stop=self.stop, clock=self.clock)

    def _tell(self, now: datetime) -> None:
        from newsletter.api import webhooks

        webhooks.deliver(self.works.store, self.works.config, stop=self.stop, clock=self.clock)

    def _is_paused(self) -> bool:
        """Tell whether this store may not deliver; a restored or copied one waits for the editor."""
        from newsletter.store import meta

        with self.works.store.read() as tx:
            reason = meta.pause_reason(tx)
        if reason and reason != self._paused:
            log.warning("nothing is delivered: %s", reason)
        self._paused = reason
        return bool(reason)


def run(
    publisher: Works,
    *,
    web: bool = True,
    stop: threading.Event | None = None,
    tick: timedelta = TICK,
    ready: Callable[[int], None] | None = None,
) -> None:
    """Run until SIGTERM, SIGINT or `stop`; `ready` is told the web server's port (0 without one).

    To be called in the main thread. Raises OutsideError when the web server cannot listen.
    """
    daemon = Daemon(publisher, stop=stop or threading.Event())
    with until_signalled() as wait, ExitStack() as stack:
        port = 0
        if web:
            from newsletter.web import Server, create_app

            settings = publisher.config.web
            app = create_app(publisher.store, publisher.config)
            port = stack.enter_context(Server(app, settings.host, settings.port)).port
        if (listen := publisher.config.bounces.listen) is not None:
            stack.enter_context(_lmtp(publisher, daemon.clock, *listen))
        daemon.watch = stack.enter_context(FolderWatch(folders_of(publisher.config)))
        jobs = Jobs()
        works = (daemon.tick, daemon.deliver, daemon.letters, daemon.push, daemon.tell)
        waking = scheduler(jobs, works, tick)
        waking.start()
        log.info("running: %d newsletters", len(publisher.newsletters()))
        if ready is not None:
            ready(port)
        wait(daemon.stop)
        daemon.stop.set()
        waking.shutdown(wait=False)
        if not jobs.drain(DRAIN):
            log.warning("stopped in the midst of a stage: it is taken up at the next start")
    log.info("stopped")


def _lmtp(publisher: Works, clock: Callable[[], datetime], host: str, port: int) -> LmtpServer:
    office = publisher.bounces()
    server = LmtpServer(host, port, lambda raw, envelope: office.take(raw, now=clock(), envelope=envelope))
    log.info("bounces: LMTP on %s:%d", host, server.port)
    return server


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
