"""The run of a delivery: rounds of several connections over one ledger, until nothing is due.

    due rows | render | intent, durable | transport | receipt | decision | outcome, queued

Nothing is taken after `stop`; what is in flight then is waited for a little, and cut only where that leaves no
doubt. When the ledger cannot be written everything is cut at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from newsletter.deliver.blackbox import BlackBox
from newsletter.deliver.ledger import Ledger
from newsletter.deliver.settling import Breaker, Decision, Doubt, decide, domain_of, hide
from newsletter.errors import TransportError
from newsletter.model import Account, Attempt, Delivery, Message, Outcome, Reader, Receipt
from newsletter.store import Store, deliveries, leases
from newsletter.store.leases import Lease
from newsletter.transports import Abortable, Transport

log = logging.getLogger(__name__)
_PAGE = 500
_PROGRESS_EVERY = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """How an issue is delivered; instants and durations are the publisher's, seconds are of this process.

    `expires_at` gives up everybody who waited before and still waits then (the next issue is due), `expire_after`
    each reader that long after their first try. `grace` is how long messages in flight may go on after `stop`,
    `drain` how long an answer to a finished message is still waited for, `reconnect` the waits between failures
    of a connection that end in giving up. `boxes` is the folder of black boxes; without one every crash leaves more
    doubt.
    """

    connections: int = 4
    rate_per_second: float | None = None
    expire_after: timedelta = timedelta(days=4)
    expires_at: datetime | None = None
    on_crash: Doubt = "presume"
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


class Run:
    """What the connections of one run share."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        render: Callable[[Reader], Message],
        connect: Callable[[], Transport],
        options: DeliveryOptions,
        *,
        account: Account,
        clock: Callable[[], datetime],
    ) -> None:
        self.store = store
        self.lease = lease
        self.render = render
        self.connect = connect
        self.options = options
        self.clock = clock
        self.over = threading.Event()  # nothing more is taken
        self.stop = self.over  # the caller's wish, heard by the connections before each message
        self.error: BaseException | None = None  # the first that was not a transport's
        self.given_up: TransportError | None = None
        self.box = _box(options, lease)
        self.ledger = Ledger(
            store, lease, account, width=options.connections, clock=clock, stopped=self.over.set
        )
        self.opening = threading.Lock()  # one connection after the other: a wrong password is tried once
        self.open: set[Transport] = set()
        self.answered = 0  # by a server or a renderer, in words that settle something
        self.settled = 0
        self._rows: deque[Delivery] = deque()
        self._cursor = 0
        self._feeding = threading.Lock()
        self._judging = threading.Lock()
        self._pacing = threading.Lock()
        self._next_turn = 0.0
        self._breaker = Breaker(doubts_allowed=max(3, options.connections), audience=account.audience)
        self._unsent: Counter[int] = Counter()

    # The caller's thread

    def run(
        self,
        connection: Callable[[Run], None],
        stop: threading.Event,
        progress: Callable[[Account], None] | None,
    ) -> None:
        """Deliver what is due with several of these connections; raise what stopped it."""
        watch = _Watch(self, progress)
        self.stop = stop
        self.ledger.start()
        try:
            while not (stop.is_set() or self.over.is_set()) and self.peek(rewind=True):
                answered, settled = self.answered, self.settled
                self._round(connection, watch)
                if self.ledger.error is not None:
                    break
                self.ledger.flush()
                if self.box is not None:
                    self.box.rewind()
                if self.settled == settled or (self.given_up and self.answered == answered):
                    break
        finally:
            self.over.set()
            self.ledger.close(timeout=5)
            watch.say()
        error = self.ledger.error or self.error
        if error is not None:
            raise error
        if self.given_up is not None and not stop.is_set() and self.peek(rewind=True):
            raise self.given_up

    def _round(self, connection: Callable[[Run], None], watch: _Watch) -> None:
        count = max(1, min(self.options.connections, len(self._rows)))
        threads = [
            threading.Thread(target=connection, args=(self,), name=f"connection {n}", daemon=True)
            for n in range(count)
        ]
        for thread in threads:
            thread.start()
        while alive := [thread for thread in threads if thread.is_alive()]:
            alive[0].join(0.02)
            if self.stop.is_set():
                self.over.set()
            if not watch.look():
                return

    def abort(self, *, doubt: bool) -> None:
        """Cut every connection that can be cut."""
        for transport in list(self.open):
            if isinstance(transport, Abortable):
                transport.abort(doubt=doubt)

    # What the connections' threads call

    def take(self) -> Delivery | None:
        """Return the next delivery that is due, None also when the run is to end."""
        if self.over.is_set() or self.stop.is_set():
            return None
        with self._feeding:
            self._refill()
            return self._rows.popleft() if self._rows else None

    def peek(self, *, rewind: bool = False) -> bool:
        """Tell whether something is due, perhaps looking from the beginning again."""
        with self._feeding:
            if rewind:
                self._cursor = 0
                self._rows.clear()
            self._refill()
            return bool(self._rows)

    def _refill(self) -> None:
        if self._rows or self._cursor < 0:
            return
        with self.store.read() as tx:
            rows = deliveries.due(tx, self.lease.issue_id, after=self._cursor, now=self.clock(), limit=_PAGE)
        self._rows.extend(rows)
        self._cursor = rows[-1].reader.subscriber_id if len(rows) == _PAGE else -1

    def await_turn(self) -> bool:
        """Wait for the next message's turn at the configured rate; False when the run is over first."""
        if self.options.rate_per_second is None:
            return True
        with self._pacing:
            turn = max(self._next_turn, time.monotonic())
            self._next_turn = turn + 1 / self.options.rate_per_second
        return not self.over.wait(max(0.0, turn - time.monotonic()))

    def is_turn(self) -> bool:
        """Tell whether the next message need not wait for its turn."""
        return self.options.rate_per_second is None or time.monotonic() >= self._next_turn

    def widen(self, window: int) -> None:
        """Take note of how many messages a connection may have on its way: so many doubts are one event."""
        with self._judging:
            self._breaker.doubts_allowed = max(3, self.options.connections) * window

    def judge(self, delivery: Delivery, receipt: Receipt, attempt: Attempt) -> tuple[Decision, str]:
        """Decide what a receipt means, and why the issue must stop for it (mostly empty)."""
        key = delivery.reader.subscriber_id
        receipt = replace(receipt, text=hide(receipt.text, delivery.reader))
        domain = domain_of(delivery.reader.address)
        with self._judging:
            decision = decide(
                delivery,
                receipt,
                now=attempt.at,
                attempt=attempt,
                on_silence=self.options.on_silence,
                unsent=self._unsent[key],
            )
            self.settled += 1
            if receipt.outcome is Outcome.NOT_SENT:
                self._unsent[key] += 1
            elif receipt.outcome is not Outcome.UNKNOWN:
                self.answered += 1
            again = bool(delivery.reason)
            return decision, self._breaker.note(receipt, decision.verdict, domain, attempt.at, again=again)

    def judge_quarantine(self, reason: str) -> str:
        """Take note that nothing could be rendered for somebody; return why the issue must stop for it."""
        with self._judging:
            self.settled += 1
            self.answered += 1
            return self._breaker.note_quarantine(reason)

    def hold(self, reason: str) -> None:
        """Stop the issue until the editor has looked."""
        self.over.set()
        self.ledger.step(lambda tx, lease: leases.hold(tx, lease, reason))

    def fail(self, error: BaseException) -> None:
        """Stop this run, and let its caller know."""
        if self.error is None:
            self.error = error
        self.over.set()


class _Watch:
    """Looks after a round from the caller's thread: progress, and an end to waiting."""

    def __init__(self, run: Run, progress: Callable[[Account], None] | None) -> None:
        self.run = run
        self.progress = progress
        self.over_since = 0.0
        self.aborted = 0
        self.samples: deque[tuple[float, int]] = deque(maxlen=25)
        self.said = 0.0

    def look(self) -> bool:
        """Do what is due; False when the connections are no longer waited for."""
        now = time.monotonic()
        if self.progress is not None and now - self.said >= _PROGRESS_EVERY:
            self.say()
        if not self.run.over.is_set():
            return True
        self.over_since = self.over_since or now
        waited, options = now - self.over_since, self.run.options
        if self.run.ledger.error is not None and self.aborted < 2:
            self.aborted, self.over_since = 2, now - options.drain
            self.run.abort(doubt=True)
        elif waited > options.drain and self.aborted < 2:
            self.aborted = 2
            self.run.abort(doubt=True)
        elif waited > options.grace and self.aborted < 1:
            self.aborted = 1
            self.run.abort(doubt=False)
        idle = self.aborted and self.run.ledger.account().attempting == 0  # at most, somebody connects
        return not idle and waited < options.drain + 0.8

    def say(self) -> None:
        """Report the sum and the rate over the last seconds."""
        if self.progress is None:
            return
        self.said = time.monotonic()
        account = self.run.ledger.account()
        self.samples.append((self.said, account.audience - account.waiting - account.attempting))
        (first, before), (last, settled) = self.samples[0], self.samples[-1]
        rate = (settled - before) / (last - first) if last > first else 0.0
        self.progress(replace(account, per_second=rate))


def _box(options: DeliveryOptions, lease: Lease) -> BlackBox | None:
    path = options.box_of(lease.issue_id)
    try:
        return BlackBox(path, lease, options.connections) if path is not None else None
    except OSError as e:
        log.warning("issue %d: there is no black box, so a crash leaves more doubt: %s", lease.issue_id, e)
        return None
