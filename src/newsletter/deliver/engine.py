"""The run of a delivery: rounds of connections over one ledger, until nothing is due.

    due rows | turns | render | intent, durable | transport | receipt | decision | outcome, queued

The run is the desk of the connections in this process, and stands behind those of others beside it. Nothing is taken
after `stop`; what is in flight then is waited for a little, and cut only where that leaves no doubt. When the ledger
cannot be written everything is cut at once.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from newsletter.crew.blackbox import BlackBox, Fate
from newsletter.crew.connection import Connect, Connection, Foreseeing, Render
from newsletter.crew.desk import Desk
from newsletter.crew.frames import CUT, CUT_CLEANLY, STOP, Setup
from newsletter.deliver.feed import PAGE, Feed
from newsletter.deliver.ledger import Ledger, Step
from newsletter.deliver.pace import Paces
from newsletter.deliver.settling import (
    Breaker,
    Decision,
    Doubt,
    decide,
    domain_of,
    quarantine,
    settle_crash,
)
from newsletter.deliver.watch import Watch
from newsletter.deliver.workers import Worker, shares
from newsletter.errors import OutsideError, TransportError
from newsletter.model import (
    Account,
    Attempt,
    Delivery,
    DeliveryState,
    Lease,
    Outcome,
    Reader,
    Receipt,
    Settlement,
    SuppressionReason,
)
from newsletter.store import Store, leases, subscribers

log = logging.getLogger(__name__)
_WORTH = 2000  # messages from which processes of their own are worth their start
_FAST = 300  # messages a second up to which one process does
_DEATHS = 3  # processes that may die in one run
_LISTEN = 0.25  # seconds between two looks at the caller's wish while a turn is waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """How an issue is delivered; instants and durations are the publisher's, seconds are of this process.

    `expires_at` gives up everybody who waited before and still waits then (the next issue is due), `expire_after`
    each reader that long after their first try. `processes` of connections beside this one (None: as many as there
    are cores, when it is worth it): then renderer and connect must pickle. The rate is the slower of
    `rate_per_second` and what is needed to be done at `finish_by`. `grace` is how long messages in flight may go on
    after `stop`, `drain` how long an answer to a finished message is still waited for, `reconnect` the waits between
    failures of a connection that end in giving up. `boxes` is the folder of black boxes; without one every crash
    leaves more doubt. `revision` is the newest rendering of the issue that the renderer knows.
    """

    connections: int = 4
    processes: int | None = 0
    revision: int | None = None
    rate_per_second: float | None = None
    finish_by: datetime | None = None
    expire_after: timedelta = timedelta(days=4)
    expires_at: datetime | None = None
    on_crash: Doubt = "presume"
    on_power_cut: Doubt = "resend"
    on_silence: Doubt = "hold"
    transport: str = ""  # its name, for the history
    grace: float = 0.7
    drain: float = 10.0
    canary_wait: timedelta | None = None  # until the rest goes by itself; None: by the editor's word
    wave_pause: timedelta = timedelta(minutes=5)
    reconnect: tuple[float, ...] = (0.1, 1.0, 4.0)
    boxes: Path | None = None

    def box_of(self, issue_id: int) -> Path | None:
        """Return where an issue's black box is."""
        return self.boxes / f"issue-{issue_id}" if self.boxes is not None else None


class Run(Desk):
    """What the connections of one run share."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        render: Render,
        connect: Connect,
        options: DeliveryOptions,
        *,
        account: Account,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(options.transport, options.reconnect)
        self.lease = lease
        self.options = options
        self.box = _box(options, lease)
        self.ledger = Ledger(
            store, lease, account, width=options.connections, clock=clock, stopped=self.over.set
        )
        self.feed = Feed(store, lease.issue_id, Paces(self._limit), clock)
        self._render = render
        self._connect = connect
        self._clock = clock
        self._stop = self.over  # the caller's wish, heard before each message
        self._error: BaseException | None = None  # the first that was not a transport's
        self._given_up: TransportError | None = None
        self._answered = 0  # by a server or a renderer, in words that settle something
        self._settled = 0
        self._deaths = 0  # of processes
        self._standing = threading.Event()  # a connection was made
        self._workers: list[Worker] = []
        self._out: dict[int, Delivery] = {}  # dealt and not settled
        self._judging = threading.Lock()
        self._breaker = Breaker(doubts_allowed=max(3, options.connections), audience=account.audience)
        self._unsent: Counter[int] = Counter()

    # The caller's thread

    def run(self, stop: threading.Event, progress: Callable[[Account], None] | None) -> None:
        """Deliver what is due; raise what stopped it."""
        options = self.options
        watch = Watch(self.ledger, self._cut, progress, grace=options.grace, drain=options.drain)
        self._stop = stop
        self.ledger.start()
        try:
            while not (stop.is_set() or self.over.is_set()) and (due := self.feed.rewind()):
                answered, settled = self._answered, self._settled
                self._round(due, watch)
                if self.ledger.error is not None:
                    break
                self.ledger.flush()
                if self._settled == settled or (self._given_up and self._answered == answered):
                    break
        finally:
            self.over.set()
            for worker in self._workers:
                worker.kill()
                worker.join(1)
            self.ledger.close(timeout=5)
            watch.say()
        error = self.ledger.error or self._error
        if error is not None:
            raise error
        if self._given_up is not None and not stop.is_set() and self.feed.rewind():
            raise self._given_up

    def _round(self, due: int, watch: Watch) -> None:
        """Have connections deal with what is due, until each has ended or is no longer waited for."""
        pending, alive, told = deque(self._crew(due)), list[threading.Thread](), False
        while (alive := [thread for thread in alive if thread.is_alive()]) or pending:
            while pending and (not alive or self._standing.is_set() or not isinstance(pending[0], Worker)):
                alive.append(pending.popleft())
                alive[-1].start()
                self._workers += [one for one in alive[-1:] if isinstance(one, Worker)]
            alive[0].join(0.02)
            if self._stop.is_set():
                self.over.set()
            if self.over.is_set():
                pending.clear()
                told = told or self._order(STOP)
            if not watch.look(over=self.over.is_set()):
                return

    def _crew(self, due: int) -> Iterator[threading.Thread]:
        """Make the connections of a round, here or in processes; one process stands before the next begins."""
        count, processes = min(self.options.connections, due), self._processes(due)
        if not processes:
            self.ledger.width = count
            for number in range(count):
                ring = self.box.ring(number) if self.box is not None else None
                yield Connection(self, self._render, self._connect, ring, f"connection {number}")
            return
        self.ledger.width = processes
        self._standing.clear()
        if isinstance(self._render, Foreseeing):
            self._render.foresee(self.feed.ahead())
        size = self.box.handle[1] if self.box is not None else 0
        for number, rings in enumerate(shares(count, processes)):
            setup = Setup(self._render, self._connect, self.transport, self.reconnect, rings, size)
            yield Worker(self, self, setup, self.box, name=f"worker {number}")

    def _processes(self, due: int) -> int:
        """Return how many processes of connections are worth their start."""
        wished = self.options.processes
        if wished is not None:
            return min(wished, self.options.connections, due)
        limit = self._limit(0.0)
        many = due >= PAGE and self.ledger.account().waiting >= _WORTH and (limit is None or limit > _FAST)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(cores, self.options.connections) if many and cores > 1 else 0

    def _order(self, what: str) -> bool:
        for worker in self._workers:
            worker.order(what)
        return True

    def _cut(self, doubt: bool) -> None:
        self._order(CUT if doubt else CUT_CLEANLY)
        self.abort(doubt=doubt)

    def _limit(self, now: float) -> float | None:
        """Return the messages a second that the editor's wishes allow."""
        limits = [] if self.options.rate_per_second is None else [self.options.rate_per_second]
        if self.options.finish_by is not None:
            left = (self.options.finish_by - self._clock()).total_seconds()
            if left > 1:
                limits.append(max(self.ledger.account().waiting, 1) / left)
        return min(limits, default=None)

    # The desk

    def deal(self, most: int, server: str) -> tuple[list[Delivery], float]:
        """Return rows whose turn it is, none also when the run is to end."""
        if self.over.is_set() or self._stop.is_set():
            return [], 0.0
        rows, wait = self.feed.deal(most, server)
        self._out.update((row.reader.subscriber_id, row) for row in rows)
        return rows, wait

    def take(self, most: int, server: str) -> Sequence[Reader]:
        """Wait for turns, and return whose they are."""
        while True:
            rows, wait = self.deal(most, server)
            if rows or not wait or self.over.wait(min(wait, _LISTEN)):
                return [row.reader for row in rows]

    def is_ready(self, server: str) -> bool:
        """Tell whether it is somebody's turn."""
        return not self.feed.wait(server)

    def is_free(self, server: str) -> bool:
        """Tell whether no turn at a server is waited for."""
        return self.feed.is_free(server)

    def has_more(self) -> bool:
        """Tell whether a row is left."""
        return self.feed.has_more()

    def intend(self, keys: Sequence[int]) -> Collection[int]:
        """Write the intents."""
        claimed = self.ledger.intend(keys)
        for key in keys:
            if key not in claimed:
                self._out.pop(key, None)
        return claimed

    def settle(self, receipt: Receipt) -> None:
        """Decide what a receipt makes of a delivery, and queue that."""
        delivery = self._out.pop(receipt.key)
        attempt = Attempt(
            at=self._clock(),
            epoch=self.lease.epoch,
            outcome=receipt.outcome,
            stage=receipt.stage,
            transport=self.transport,
            server=receipt.server,
            code=receipt.code,
            enhanced=receipt.enhanced,
            text=receipt.text,
        )
        decision, reason = self._judge(delivery, receipt, attempt)
        self.ledger.settle(decision.settlement, *_steps(delivery, decision, attempt))
        if reason:
            self.hold(reason)

    def _judge(self, delivery: Delivery, receipt: Receipt, attempt: Attempt) -> tuple[Decision, str]:
        """Decide what a receipt means, and why the issue must stop for it (mostly empty)."""
        key, domain = receipt.key, domain_of(delivery.reader.address)
        with self._judging:
            decision = decide(
                delivery,
                receipt,
                now=attempt.at,
                attempt=attempt,
                on_silence=self.options.on_silence,
                unsent=self._unsent[key] if self._unsent else 0,
            )
            line = decision.settlement.attempt
            if line is not None and line.text != receipt.text:  # from here on it names nobody
                receipt = replace(receipt, text=line.text)
            self._settled += 1
            if receipt.outcome is Outcome.NOT_SENT:
                self._unsent[key] += 1
            elif receipt.outcome is not Outcome.UNKNOWN:
                self._answered += 1
            self.feed.paces.hear(receipt, decision.verdict, domain, time.monotonic())
            again = bool(delivery.reason)
            return decision, self._breaker.note(receipt, decision.verdict, domain, attempt.at, again=again)

    def quarantine(self, key: int, fault: str) -> None:
        """Set a reader aside for whom nothing could be rendered."""
        settlement = quarantine(self._out.pop(key), fault, epoch=self.lease.epoch, now=self._clock())
        self.ledger.settle(settlement)
        with self._judging:
            self._settled += 1
            self._answered += 1
            reason = self._breaker.note_quarantine(settlement.reason)
        if reason:
            self.hold(reason)

    def give_back(self, keys: Sequence[int]) -> None:
        """Let those wait again, as they did before, and be the next."""
        for key in keys:
            delivery = self._out.pop(key)
            self.ledger.settle(
                Settlement(
                    subscriber_id=key,
                    state=DeliveryState.WAITING,
                    attempt=None,
                    reason=delivery.reason,
                    not_before=delivery.not_before,
                    charged=False,
                )
            )
            self.feed.put_back(delivery)

    def opened(self, window: int) -> None:
        """Take note of how many messages a connection may have on its way: so many doubts are one event."""
        self._standing.set()
        with self._judging:
            self._breaker.doubts_allowed = max(3, self.options.connections) * window

    def hold(self, reason: str, rest: float = 0.0) -> None:
        """Stop the issue until the editor has looked, or so many seconds are over."""
        self.over.set()
        until = self._clock() + timedelta(seconds=rest) if rest else None
        self.ledger.step(lambda tx, lease: leases.hold(tx, lease, reason, until=until))

    def give_up(self, error: TransportError) -> None:
        """Remember why a connection gave up."""
        self._given_up = error

    def fail(self, error: BaseException) -> None:
        """Stop this run, and let its caller know."""
        if self._error is None:
            self._error = error
        self.over.set()

    def bury(self, fates: Mapping[int, Fate], code: int) -> None:
        """Settle what a process of connections that died had been allowed to send; after several deaths stop."""
        log.error(
            "issue %d: a process of connections died (%d); what it sent is settled", self.lease.issue_id, code
        )
        self._deaths += 1
        now = self._clock()
        for key, fate in fates.items():
            self._out.pop(key, None)
            how = settle_crash(key, self.options.on_crash, fate, epoch=self.lease.epoch, now=now)
            self.ledger.settle(how)
            self._settled += 1
        if self._deaths >= _DEATHS and not self.over.is_set():
            self.fail(
                OutsideError(
                    f"{self._deaths} processes of connections died, the last with the code {code}",
                    where="delivery",
                    remedy="See the system's log (memory?), or set delivery.processes = 0",
                )
            )


def _steps(delivery: Delivery, decision: Decision, attempt: Attempt) -> Iterator[Step]:
    """Give what else belongs into the transaction of an outcome."""
    address, until = delivery.reader.address, decision.put_off_domain
    if decision.suppress:
        note = decision.settlement.reason
        yield lambda tx, lease: subscribers.suppress(
            tx, address, SuppressionReason.BOUNCE, now=attempt.at, note=note, channel="delivery"
        )
    if until is not None:
        domain = domain_of(address)
        yield lambda tx, lease: leases.put_off_domain(tx, lease, domain, until=until)


def _box(options: DeliveryOptions, lease: Lease) -> BlackBox | None:
    path = options.box_of(lease.issue_id)
    try:
        return BlackBox(path, lease, options.connections) if path is not None else None
    except OSError as e:
        log.warning("issue %d: there is no black box, so a crash leaves more doubt: %s", lease.issue_id, e)
        return None
