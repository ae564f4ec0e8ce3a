"""The ledger's writer: one thread, and each commit takes everything that gathered during the last one.

An intent is durable when `intend` returns. An outcome is queued, not awaited; since a connection queues its
outcome before its next intent, no more is ever in doubt than is in flight.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from newsletter.model import Account, DeliveryState, Lease, Settlement
from newsletter.store import Store, Tx, leases

Step = Callable[[Tx, Lease], object]
_PATIENCE = 0.02  # seconds that outcomes wait for intents to share their commit
_COMPANY = 0.001  # seconds that one connection's intent waits for the others'


@dataclass(slots=True)
class _Batch:
    """What gathered: written in the order of the fields, so that a row's outcome comes before its next intent."""

    settlements: list[Settlement] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    intents: list[tuple[Sequence[int], Future[Collection[int]]]] = field(default_factory=list)
    marks: list[Future[None]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.settlements or self.urgent)

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for it; outcomes alone may wait a moment for the intents that follow."""
        return bool(self.intents or self.steps or self.marks)


class Ledger:
    """Writes what happens under one lease. Its first error is final: every later call raises it."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        account: Account,
        *,
        width: int,
        clock: Callable[[], datetime],
        stopped: Callable[[], None],
    ) -> None:
        self.lease = lease
        self.error: BaseException | None = None
        self._store = store
        self.width = width  # how many may want intents written at once
        self._clock = clock
        self._stopped = stopped  # called when the issue may no longer be delivered, or on an error
        self._changed = threading.Condition()
        self._gathered = _Batch()
        self._closing = False
        self._audience = account.audience
        self._presumed = account.presumed
        self._deferred = 0
        self._counts = {state: int(getattr(account, state.value)) for state in DeliveryState}
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def intend(self, ids: Sequence[int]) -> Collection[int]:
        """Write the intents to send, durably; return of these subscribers those whose deliveries may still be sent."""
        future: Future[Collection[int]] = Future()
        self._put(lambda batch: batch.intents.append((ids, future)))
        return future.result()

    def settle(self, settlement: Settlement, *steps: Step) -> None:
        """Queue an outcome, with what follows from it in the same transaction."""

        def add(batch: _Batch) -> None:
            batch.settlements.append(settlement)
            batch.steps.extend(steps)

        self._put(add, wake=bool(steps))

    def step(self, step: Step) -> None:
        """Queue something else to write under the lease."""
        self._put(lambda batch: batch.steps.append(step))

    def flush(self) -> None:
        """Wait until everything queued is durable."""
        future: Future[None] = Future()
        self._put(lambda batch: batch.marks.append(future))
        future.result()

    def close(self, timeout: float | None = None) -> None:
        """Write what is queued and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)

    def account(self) -> Account:
        """Return the sum as it stands, counted along the way."""
        with self._changed:
            counts = self._counts
            return Account(
                audience=self._audience,
                presumed=self._presumed,
                deferred=self._deferred,
                accepted=counts[DeliveryState.ACCEPTED],
                refused=counts[DeliveryState.REFUSED],
                suppressed=counts[DeliveryState.SUPPRESSED],
                unknown=counts[DeliveryState.UNKNOWN],
                waiting=counts[DeliveryState.WAITING],
                attempting=counts[DeliveryState.ATTEMPTING],
            )

    def _put(self, add: Callable[[_Batch], None], *, wake: bool = True) -> None:
        """Add to what gathers; an outcome need not `wake` the writer when others have come before it."""
        with self._changed:
            if self.error is not None:
                raise self.error
            if self._closing:
                raise RuntimeError("the ledger is closed")
            wake = wake or not self._gathered
            add(self._gathered)
            if wake:
                self._changed.notify()

    def _run(self) -> None:
        batch = _Batch()
        try:
            while batch := self._take():
                self._commit(batch)
        except BaseException as e:  # whatever it is, no durable ledger means no sending
            self._fail(e, batch)

    def _take(self) -> _Batch:
        with self._changed:
            self._changed.wait_for(lambda: self._gathered or self._closing)
            self._changed.wait_for(lambda: self._gathered.urgent or self._closing, timeout=_PATIENCE)
            self._changed.wait_for(lambda: len(self._gathered.intents) >= self.width, timeout=_COMPANY)
            taken, self._gathered = self._gathered, _Batch()
            return taken

    def _commit(self, batch: _Batch) -> None:
        claimed: set[int] = set()
        dropped: set[int] = set()
        now = self._clock()
        with self._store.write() as tx:
            going = leases.fence(tx, self.lease)
            leases.settle(tx, self.lease, batch.settlements, now=now)
            for step in batch.steps:
                step(tx, self.lease)
            if batch.intents and going:
                ids = [one for some, _ in batch.intents for one in some]
                claimed, dropped = leases.claim(tx, self.lease, ids, now=now)
        self._count(batch.settlements, claimed, dropped)
        if not going:
            self._stopped()
        for _, future in batch.intents:
            future.set_result(claimed)
        for mark in batch.marks:
            mark.set_result(None)

    def _count(self, settlements: list[Settlement], claimed: set[int], dropped: set[int]) -> None:
        with self._changed:
            for one in settlements:
                self._counts[one.before] -= 1
                self._counts[one.state] += 1
                self._presumed += one.presumed
                self._deferred += one.state is DeliveryState.WAITING
            self._counts[DeliveryState.WAITING] -= len(claimed) + len(dropped)
            self._counts[DeliveryState.ATTEMPTING] += len(claimed)
            self._counts[DeliveryState.SUPPRESSED] += len(dropped)

    def _fail(self, error: BaseException, batch: _Batch) -> None:
        with self._changed:
            self.error = error
            left, self._gathered = self._gathered, _Batch()
        self._stopped()
        for one in (batch, left):
            futures: list[Future[Any]] = [*(future for _, future in one.intents), *one.marks]
            for future in futures:
                if not future.done():
                    future.set_exception(error)
