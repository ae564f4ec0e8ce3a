"""One connection of a run: it takes, renders, writes its intent, hands over, and settles what it is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from newsletter.deliver.blackbox import Fate
from newsletter.deliver.engine import Run
from newsletter.deliver.ledger import Step
from newsletter.deliver.settling import Decision, domain_of, quarantine
from newsletter.errors import TransportError
from newsletter.model import Attempt, Delivery, Message, Outcome, Receipt, SuppressionReason
from newsletter.store import leases, subscribers


def connect_and_send(run: Run) -> None:
    """Send over one connection after the other until nothing is due; the body of a thread."""
    try:
        Connection(run).work()
    except BaseException as e:  # whatever it is, the caller's thread must know
        run.fail(e)


class Connection:
    """One connection at a time, with a patience of its own for failures."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.failures = 0
        self.flying: dict[int, Delivery] = {}
        self.ring = run.box.ring() if run.box is not None else None
        self.announced = False

    def work(self) -> None:
        """Connect and send, again after a failure, until nothing is due or failures are too many."""
        run = self.run
        while not run.over.is_set() and run.peek():
            try:
                if not self.converse() and not run.over.is_set() and run.peek():
                    raise TransportError("the transport takes no message", where=run.options.transport)
            except TransportError as e:
                if e.lasting:
                    run.hold(str(e))
                    return
                self.failures += 1
                if self.failures > len(run.options.reconnect):
                    run.given_up = e
                    return
                run.over.wait(run.options.reconnect[self.failures - 1])

    def converse(self) -> int:
        """Send over one connection until it ends; return how many rows were dealt with."""
        run, before = self.run, self.run.settled
        with ExitStack() as stack:
            with run.opening:
                if run.over.is_set():
                    return 0
                transport = stack.enter_context(run.connect())
            run.open.add(transport)
            stack.callback(run.open.discard, transport)
            try:
                run.widen(transport.capabilities.window)
                self.announced = transport.capabilities.announces
                for receipt in transport.send(_Turns(self)):
                    self.settle(self.flying.pop(receipt.key), receipt)
            finally:
                while self.flying:
                    key, delivery = self.flying.popitem()
                    text = "the transport gave no receipt"
                    self.settle(delivery, Receipt(key=key, outcome=Outcome.UNKNOWN, text=text))
        return run.settled - before

    def messages(self) -> Iterator[Message]:
        """Give messages one by one, each with its intent durable."""
        run = self.run
        while (delivery := run.take()) is not None:
            message = self.render(delivery)
            if message is None or not run.await_turn():
                continue
            if run.ledger.intend(message.key):
                self.flying[message.key] = delivery
                if self.ring is not None:
                    self.ring.begin(message.key, announced=self.announced)
                yield message

    def render(self, delivery: Delivery) -> Message | None:
        """Render for one reader; what cannot be rendered is quarantined, and the others go on."""
        run = self.run
        try:
            message = run.render(delivery.reader)
            if message.key != delivery.reader.subscriber_id:
                raise ValueError(f"it was rendered under the key {message.key}")
        except Exception as e:  # one reader's fault never stops the others
            settlement = quarantine(delivery, e, epoch=run.lease.epoch, now=run.clock())
            run.ledger.settle(settlement)
            if reason := run.judge_quarantine(settlement.reason):
                run.hold(reason)
            return None
        return message

    def settle(self, delivery: Delivery, receipt: Receipt) -> None:
        """Queue what a receipt makes of a delivery."""
        run = self.run
        if self.ring is not None:
            self.ring.settle(receipt.key, _FATES.get(receipt.outcome, Fate.NOT_ENDED))
        attempt = Attempt(
            at=run.clock(),
            epoch=run.lease.epoch,
            outcome=receipt.outcome,
            stage=receipt.stage,
            transport=run.options.transport,
            server=receipt.server,
            code=receipt.code,
            enhanced=receipt.enhanced,
            text=receipt.text,
        )
        decision, reason = run.judge(delivery, receipt, attempt)
        run.ledger.settle(decision.settlement, *_steps(delivery, decision, attempt))
        if receipt.outcome not in (Outcome.NOT_SENT, Outcome.UNKNOWN):
            self.failures = 0
        if reason:
            run.hold(reason)


#: What a receipt tells of a message; anything else says that it was not taken.
_FATES = {Outcome.ACCEPTED: Fate.ACCEPTED, Outcome.UNKNOWN: Fate.ENDING}


class _Turns:
    """Messages in the order of their turns, which a transport may ask about, and announces their ends to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __iter__(self) -> Iterator[Message]:
        return self._connection.messages()

    def is_ready(self) -> bool:
        """Tell whether the next need not wait for its turn."""
        return self._connection.run.is_turn()

    def ending(self, key: int) -> None:
        """Note in the black box that a message can no longer be taken back."""
        if self._connection.ring is not None:
            self._connection.ring.ending(key)


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
