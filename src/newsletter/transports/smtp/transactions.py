"""Transactions on one wire: what was written, which replies must come, and what each makes of its message.

    plain      MAIL | RCPT | DATA | message and dot                    a round trip each
    pipelined  MAIL RCPT DATA | message and dot MAIL RCPT DATA | …      one round trip a message (RFC 2920)
    chunked    MAIL RCPT BDAT message, RSET MAIL RCPT BDAT message, …   several messages on their way (RFC 3030)

A reply must never be taken for another command's. The 354 to DATA shows that both sides are in step; behind an end
of data and with BDAT there is no such mark, but enhanced codes tell an address's reply from a message's. The first
message of a connection goes alone and by DATA, and shows whether they do. The answer to the first RSET shows whether
it can be told from a message's too.
"""

from __future__ import annotations

import smtplib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from newsletter.model import Message, Outcome, Receipt, Stage
from newsletter.transports import Capabilities
from newsletter.transports.replies import Blame, Reply, Verdict, judge
from newsletter.transports.smtp.envelope import mail_command, rcpt_command, stuff
from newsletter.transports.smtp.wire import Malformed, Wire

#: Messages that may be on their way at once, by what the server offers.
PLAIN, PIPELINED, CHUNKED = 1, 3, 4
_LEAVING = 5.0  # seconds within which a server that said 421 hangs up
_ADDRESS_CODE = "2.1."  # RFC 3463: X.1.x speaks of addresses, never of a message taken


class Step(Enum):
    """A command, or the end of data, and its stage: each has exactly one reply."""

    RSET = auto(), Stage.MAIL
    MAIL = auto(), Stage.MAIL
    RCPT = auto(), Stage.RCPT
    DATA = auto(), Stage.DATA
    END = auto(), Stage.END_OF_DATA

    def __init__(self, _: object, stage: Stage) -> None:
        self.stage = stage


@dataclass(slots=True)
class Transaction:
    """One message on its way; `steps` have been written and wait for their replies."""

    message: Message
    chunked: bool = False
    unwritten: deque[tuple[Step, bytes]] = field(default_factory=deque)
    steps: deque[Step] = field(default_factory=deque)
    ended: bool = False  # its end of data was, perhaps, written
    failed: tuple[Verdict, Stage, Reply] | None = None  # the first refusal
    address_code: str = ""  # what RCPT's reply was marked with

    @property
    def stage(self) -> Stage:
        """Where it stands."""
        if self.ended:
            return Stage.END_OF_DATA
        following = self.steps[0] if self.steps else self.unwritten[0][0] if self.unwritten else None
        return following.stage if following else Stage.BODY

    def take_all(self) -> bytes:
        """Return all commands that are not written, to be written now."""
        self.steps.extend([step for step, _ in self.unwritten])
        lines = b"".join([line for _, line in self.unwritten])
        self.unwritten.clear()
        return lines


class Conversation:
    """The transactions of one connection, oldest first; every method may raise OSError or SMTPException.

    After such an error only `lose` may be called. `retired` says why nothing more may begin.
    """

    def __init__(self, wire: Wire, offered: Capabilities, server: str) -> None:
        self.retired = ""
        self.ending: Callable[[int], None] = lambda _: None  # told before the end of a message may be written
        self._wire = wire
        self._offered = offered
        self._server = server
        features = wire.esmtp_features
        self._sized = "size" in features
        self._pipelined = "pipelining" in features
        self._may_chunk = window_of(features) == CHUNKED
        self._chunked = False
        self._window = PLAIN  # until the first message is through
        self._reset_reply: Reply | None = None  # the first, before which nothing follows a chunk
        self._end_reply: Reply | None = None  # the first to a whole message
        self._marked = False  # replies about addresses are told from those about messages
        self._flights: deque[Transaction] = deque()
        self._unclean = False  # a transaction was left open on the server
        self._said_421 = False  # the last reply read

    @property
    def busy(self) -> bool:
        """Whether a message is on its way."""
        return bool(self._flights)

    @property
    def in_doubt(self) -> bool:
        """Whether the next reply may settle a message."""
        return bool(self._flights) and self._flights[0].ended

    def has_room(self) -> bool:
        """Tell whether another message may be taken now: behind an end of data, or to go with the next."""
        if not self._flights:
            return not self.retired
        if self.retired or len(self._flights) >= self._window:
            return False
        if self._chunked:
            return self._reset_reply is not None
        return len(self._flights) < 2 or self._flights[-2].ended

    def begin(self, message: Message) -> None:
        """Write as much of a transaction as may be written at once: nothing while DATA before it is not answered."""
        flight = Transaction(message, chunked=self._chunked)
        flight.unwritten.append((Step.MAIL, mail_command(message, self._offered, sized=self._sized)))
        flight.unwritten.append((Step.RCPT, rcpt_command(message, self._offered)))
        if not flight.chunked:
            flight.unwritten.append((Step.DATA, b"DATA\r\n"))
        before = self._flights[-1] if self._flights else None
        self._flights.append(flight)
        if before is None or before.ended:
            self._start(flight)

    def advance(self) -> Receipt | None:
        """Read what replies are there, at least one, and write what they allow, up to the receipt of a message."""
        while True:
            receipt = self._advance()
            if receipt is not None or not self._flights or not self._wire.has_read_line():
                return receipt

    def _advance(self) -> Receipt | None:
        flight = self._flights[0]
        if self.retired and not any(one.ended for one in self._flights):
            raise smtplib.SMTPServerDisconnected(self.retired)
        if not flight.steps:  # it was to go with the end of one that failed
            self._start(flight)
        self._wire.expect(flight.steps[0].stage, at_most=_LEAVING if self._said_421 else None)
        reply = self._wire.read_reply()
        self._said_421 = reply.code == 421
        if len(flight.steps) == 1 and self._awaited() == 1 and (words := self._wire.farewell()):
            self.retired = self.retired or words
            if flight.steps[0] is not Step.END:
                raise Malformed(f"the server spoke unasked: {words}")
        return self._hear(flight, flight.steps.popleft(), reply)

    def _awaited(self) -> int:
        """Count the replies that must come."""
        return sum([len(flight.steps) for flight in self._flights])

    def stop(self, reason: str) -> Iterator[Receipt]:
        """Settle what is not wholly written; what is goes on, and is answered in its turn."""
        self.retired = reason
        while self._flights and not self._flights[-1].ended:
            flight = self._flights.pop()
            yield self._receipt(flight, Outcome.NOT_SENT, flight.stage, Reply(0, "", reason))

    def lose(self, reason: str, error: Exception) -> Iterator[Receipt]:
        """Settle what is on its way when the connection is of no more use; it must be closed then.

        Unknown is what was, perhaps, wholly written and not answered. A server that said 421 and hung up has
        taken nothing since.
        """
        if not isinstance(error, Malformed):
            yield from self._salvage()
        hung_up = isinstance(error, smtplib.SMTPServerDisconnected | ConnectionError)
        certain = hung_up and self._said_421 and self._wire.is_over()
        while self._flights:
            flight = self._flights.popleft()
            if flight.ended and not certain:
                yield self._receipt(flight, Outcome.UNKNOWN, Stage.END_OF_DATA, Reply(0, "", reason))
            elif flight.failed is not None:
                yield self._verdict_receipt(flight, *flight.failed)
            else:
                yield self._receipt(flight, Outcome.NOT_SENT, flight.stage, Reply(0, "", reason))

    def _salvage(self) -> Iterator[Receipt]:
        """Read what had been answered before it broke."""
        while self._flights and self._flights[0].ended and self._wire.has_line():
            try:
                receipt = self.advance()
            except (OSError, smtplib.SMTPException):
                return
            if receipt is not None:
                yield receipt

    # Replies

    def _hear(self, flight: Transaction, step: Step, reply: Reply) -> Receipt | None:
        if step is Step.RSET:
            self._hear_reset(flight, reply)
            return None
        if flight.failed is not None:
            return self._hear_after_failure(flight, step, reply)
        stage = step.stage
        verdict = judge(stage, reply)
        if verdict.outcome is not Outcome.ACCEPTED:
            return self._fail(flight, step, (verdict, stage, reply))
        if step is Step.RCPT:
            flight.address_code = reply.enhanced
        if step is not Step.DATA and self._is_out_of_step(flight, step, reply):
            raise Malformed(f"the server answered another command: {reply}")
        if step is Step.END:
            self._calibrate(flight, reply)
            return self._finish(flight, verdict, stage, reply)
        if flight.unwritten:
            self._write_commands(flight)
        elif step is Step.DATA:
            self._write_content(flight)
        return None

    def _hear_reset(self, flight: Transaction, reply: Reply) -> None:
        if reply.code != 250 and not (self._said_421 and flight.ended):
            raise Malformed(f"the server does not reset: {reply}")
        self._reset_reply = self._reset_reply or reply
        if reply == self._end_reply:  # it could be taken for a message's
            self._chunked, self._window = False, PIPELINED
        if self._said_421:
            self.retired = str(reply)
            flight.failed = judge(Stage.MAIL, reply), Stage.MAIL, reply
        elif flight.unwritten:
            self._write_commands(flight)

    def _fail(self, flight: Transaction, step: Step, failed: tuple[Verdict, Stage, Reply]) -> Receipt | None:
        verdict, _, reply = failed
        flight.failed = failed
        if verdict.blame in (Blame.CONNECTION, Blame.SERVER) and reply.enhanced != "4.5.3":
            self.retired = self.retired or str(reply)
            if reply.code // 100 in (2, 3):
                raise Malformed(f"the server's reply is out of place: {reply}")
        if flight.steps and (flight.ended or not self.retired):
            return None  # replies to what was written already are still to come
        if step is not Step.END:
            self._unclean = True
        return self._finish(flight, *failed)

    def _hear_after_failure(self, flight: Transaction, step: Step, reply: Reply) -> Receipt | None:
        assert flight.failed is not None
        kind = reply.code // 100
        if self._said_421:
            self.retired = self.retired or str(reply)
        if step is Step.DATA and kind == 3:  # nobody to send to: a lone dot ends it (RFC 2920 §3.1)
            self._wire.stay_quiet()
            self._wire.enter(Stage.BODY)
            self._wire.write(b".\r\n")
            flight.steps.append(Step.END)
            return None
        if kind in (2, 3) and step in (Step.DATA, Step.END):
            if flight.ended:  # it was refused and is taken: who knows
                raise Malformed(f"the server took what it had refused: {reply}")
            self.retired = self.retired or f"the server's reply is out of place: {reply}"
        if flight.steps:
            return None
        self._unclean = True
        return self._finish(flight, *flight.failed)

    def _calibrate(self, flight: Transaction, reply: Reply) -> None:
        """Learn from the first message whether replies can be told apart without a 354 between them."""
        if self._window > PLAIN or not self._pipelined:
            return
        about_message = bool(reply.enhanced) and not _is_about_address(reply)
        self._end_reply = reply
        self._marked = about_message and flight.address_code.startswith(_ADDRESS_CODE)
        self._chunked = self._marked and self._may_chunk
        self._window = CHUNKED if self._chunked else PIPELINED if self._marked else PLAIN

    def _is_out_of_step(self, flight: Transaction, step: Step, reply: Reply) -> bool:
        """Tell whether a consent is recognisably the answer to another command."""
        if step is Step.RCPT:
            return flight.chunked and not _is_about_address(reply)
        return step is Step.END and (
            (self._marked and _is_about_address(reply)) or (self._chunked and reply == self._reset_reply)
        )

    def _finish(self, flight: Transaction, verdict: Verdict, stage: Stage, reply: Reply) -> Receipt:
        self._flights.popleft()
        if flight.ended:
            self._wire.note_answer()
        return self._verdict_receipt(flight, verdict, stage, reply)

    # Commands

    def _start(self, flight: Transaction) -> None:
        """Write the first of a transaction behind what is written."""
        self._put_reset(flight)
        if not self._awaited():
            self._wire.stay_quiet()
        if flight.chunked:
            self._write_chunk(flight)
        else:
            self._write_commands(flight)

    def _put_reset(self, flight: Transaction) -> None:
        if self._unclean or flight.chunked:  # whatever becomes of the one before
            flight.unwritten.appendleft((Step.RSET, b"RSET\r\n"))
        self._unclean = False

    def _write_commands(self, flight: Transaction) -> None:
        """Write the next command, or all of them where the server takes them together."""
        if self._pipelined:
            stage, line = flight.unwritten[0][0].stage, flight.take_all()
        else:
            self._wire.stay_quiet()
            step, line = flight.unwritten.popleft()
            flight.steps.append(step)
            stage = step.stage
        self._wire.enter(stage)
        self._wire.write(line)

    def _write_content(self, flight: Transaction) -> None:
        """Write a message by DATA, and the envelope of the next if it was taken already."""
        message = flight.message
        content = message.content if message.canonical else stuff(message.content)
        end, behind = len(content) + 3, b""
        if len(self._flights) > 1:
            self._put_reset(self._flights[1])
            behind = self._flights[1].take_all()
        self._end(flight, b"".join((content, b".\r\n", behind)), end, quietly=True)

    def _write_chunk(self, flight: Transaction) -> None:
        content = flight.message.content
        lines = flight.take_all()
        data = b"".join((lines, b"BDAT %d LAST\r\n" % len(content), content))
        self._end(flight, data, len(data), quietly=False)

    def _end(self, flight: Transaction, data: bytes, end: int, *, quietly: bool) -> None:
        self._wire.enter(Stage.BODY, len(data))
        before = self._wire.unanswered
        self.ending(flight.message.key)
        try:
            self._wire.write_message(data, end, quietly=quietly)
        finally:
            if self._wire.unanswered > before:
                flight.ended = True
                flight.steps.append(Step.END)

    # Receipts

    def _verdict_receipt(self, flight: Transaction, verdict: Verdict, stage: Stage, reply: Reply) -> Receipt:
        return self._receipt(flight, verdict.outcome, stage, reply, suppress=verdict.suppress)

    def _receipt(
        self, flight: Transaction, outcome: Outcome, stage: Stage, reply: Reply, *, suppress: bool = False
    ) -> Receipt:
        return receipt_of(flight.message, self._server, (outcome, stage, reply), suppress=suppress)


def window_of(features: dict[str, str]) -> int:
    """Return how many messages may be on their way at once with what a server offers."""
    if "pipelining" not in features:
        return PLAIN
    return CHUNKED if {"chunking", "enhancedstatuscodes"} <= features.keys() else PIPELINED


def receipt_of(
    message: Message, server: str, said: tuple[Outcome, Stage, Reply], *, suppress: bool = False
) -> Receipt:
    """Write a receipt."""
    outcome, stage, reply = said
    return Receipt(
        key=message.key,
        outcome=outcome,
        stage=stage,
        server=server,
        code=reply.code,
        enhanced=reply.enhanced,
        text=reply.text,
        suppress=suppress,
    )


def _is_about_address(reply: Reply) -> bool:
    return reply.enhanced.startswith(_ADDRESS_CODE)
