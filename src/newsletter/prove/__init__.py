"""A proof on this machine: an issue delivered by a process that is killed again and again, then the account.

The witness trusts nobody: it compares the rows of the ledger with the log of the server that took the messages.
"""

from __future__ import annotations

import contextlib
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from newsletter.config import FILE_NAME, load
from newsletter.errors import OutsideError
from newsletter.model import Account, Delivery, DeliveryState
from newsletter.prove.sink import MOMENTS, Sink
from newsletter.publisher import Publisher

LONGEST = 45.0  # seconds after which nothing is killed any more
_PATIENCE = 60.0  # seconds that the last sender has from then on
_DELAYS = (0.0, 0.0, 0.001, 0.004)  # seconds from a moment to the kill: at it, or behind it
_TOML = """
[publication]
title = "A proof"
url = "http://127.0.0.1/"
id_authority = "proof.example.org"
id_date = "2026-01-01"
contact = "editor@proof.example.org"
postal_address = "1 Quay Street"

[[sources]]
name = "posts"
kind = "markdown"
path = "posts"

[[newsletters]]
name = "proof"
title = "Proof"
sender = "proof@proof.example.org"

[delivery]
transport = "smtp"

[smtp]
host = "127.0.0.1"
port = {port}
security = "none"
"""
_POST = (
    "---\ntitle: What was proved\ndate: 2026-01-05 09:00\n---\n\nNobody was lost, and nobody got it twice.\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the witness found, by address.

    `lost`: neither taken by the server nor said to be open by the ledger. `doubled`: taken more often than the
    ledger accounts for. `doubtful`: only presumed accepted, or unknown, and so said by the ledger.
    """

    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The account of a run; `taken` counts messages in the server's own log, `kills` those that hit a sender."""

    messages: int
    kills: int
    taken: int
    doubtful_taken: int  # readers in doubt whom the server has all the same
    verdict: Verdict
    account: Account
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether nobody is lost or doubled, nobody waits, and the sum balances."""
        account = self.account
        whole = account.balances and account.audience == self.messages
        return whole and not (
            self.verdict.lost or self.verdict.doubled or account.waiting or account.attempting
        )

    def rows(self) -> list[tuple[str, str]]:
        """Return the account in words."""
        account, verdict = self.account, self.verdict
        missed = len(verdict.doubtful) - self.doubtful_taken
        doubt = (
            f"{len(verdict.doubtful)}, each named by the ledger: {self.doubtful_taken} taken, {missed} not"
        )
        return [
            ("audience", f"{account.audience}"),
            ("kills", f"{self.kills} with SIGKILL, in {self.seconds:.0f} s"),
            ("taken", f"{self.taken} messages, by the server's own log"),
            ("ledger", f"{account.accepted} accepted, {account.refused} refused, {account.waiting} waiting"),
            ("in doubt", doubt if verdict.doubtful else "0"),
            ("lost", _named(verdict.lost)),
            ("doubled", _named(verdict.doubled)),
            ("the sum", "balances" if account.balances else "DOES NOT BALANCE"),
        ]


def _named(addresses: tuple[str, ...]) -> str:
    return f"{len(addresses)}" + (f": {', '.join(addresses[:5])}" if addresses else "")


def judge(addresses: Iterable[str], rows: Iterable[Delivery], taken: Counter[str]) -> Verdict:
    """Compare who should get an issue, the rows of its ledger, and what a server took."""
    by_address = {row.reader.address: row for row in rows}
    lost, doubled, doubtful = [], [], []
    for address in sorted({*addresses, *taken}):
        row, copies = by_address.get(address), taken[address]
        doubt = row is not None and (row.presumed or row.state is DeliveryState.UNKNOWN)
        said_sent = row is not None and (doubt or row.state is DeliveryState.ACCEPTED)
        if doubt:
            doubtful.append(address)
        if copies > said_sent:
            doubled.append(address)
        elif row is None or (said_sent and not copies and not doubt):
            lost.append(address)
    return Verdict(lost=tuple(lost), doubled=tuple(doubled), doubtful=tuple(doubtful))


def run(
    *, messages: int, kills: int, now: datetime, seed: int | None = None, say: Callable[[str], None]
) -> Proof:
    """Deliver to so many readers in a temporary folder, killing the sender so often; return the account."""
    began, chance = time.monotonic(), random.Random(seed)  # noqa: S311  (no secret: moments)
    addresses = [f"reader{n}@proof.example.org" for n in range(messages)]
    with tempfile.TemporaryDirectory(prefix="newsletter-prove-") as name, Sink(Path(name, "taken")) as sink:
        folder = Path(name)
        say(f"{messages} readers, {kills} kills")
        issue = _prepare(folder, sink.port, addresses, now)
        with _senders() as program:
            hits = _kill_again_and_again(program, sink, f"{folder}\t{issue}", kills, messages, chance)
            say(f"killed {hits} times; now to the end")
            _finish(program, f"{folder}\t{issue}")
        with Publisher.open(load(folder, {})) as publisher:
            audit, taken = publisher.audit(issue), sink.accepted()
    verdict = judge(addresses, audit.deliveries, taken)
    return Proof(
        messages=messages,
        kills=hits,
        taken=taken.total(),
        doubtful_taken=sum(taken[one] for one in verdict.doubtful),
        verdict=verdict,
        account=audit.account,
        seconds=time.monotonic() - began,
    )


def _prepare(folder: Path, port: int, addresses: list[str], now: datetime) -> int:
    """Make a publication with an issue released to these readers; return the issue's id."""
    (folder / "posts").mkdir()
    (folder / FILE_NAME).write_text(_TOML.format(port=port), encoding="utf-8")
    (folder / "posts" / "proof.md").write_text(_POST, encoding="utf-8")
    with (folder / "readers.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["email"], *([one] for one in addresses)])
    with Publisher.open(load(folder, {})) as publisher:
        publisher.gather(now=now)
        consent = "invented for the proof"
        publisher.import_subscribers(folder / "readers.csv", to=["proof"], consent=consent, now=now)
        composed = publisher.compose("proof", publisher.due_slot("proof", now=now), now=now)
        if composed.issue is None:
            raise OutsideError("no issue could be composed", where="prove", remedy=composed.note)
        publisher.release(composed.issue.id, now=now)
        return composed.issue.id


@contextlib.contextmanager
def _senders() -> Iterator[subprocess.Popen[str]]:
    """Run the program that forks senders."""
    with subprocess.Popen(
        [sys.executable, "-m", "newsletter.prove.sender"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        try:
            yield program
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)  # and with it a sender that is still at work


def _kill_again_and_again(
    program: subprocess.Popen[str], sink: Sink, line: str, kills: int, messages: int, chance: random.Random
) -> int:
    """Kill a sender at a random moment and start the next; return how many were hit."""
    hits, began = 0, time.monotonic()
    for _ in range(kills):
        if time.monotonic() - began > LONGEST:
            break
        moment = chance.choice(MOMENTS)
        at = sink.count(moment) + chance.randint(1, max(1, messages * 4 // 5 // kills))
        begun, process = threading.Event(), [0]
        sink.watch = _killer((moment, at), chance.choice(_DELAYS), begun, process)
        process[0] = _start(program, line)
        begun.set()
        hits += _end(program, process[0]) == -signal.SIGKILL
    sink.watch = lambda moment, nth: None
    return hits


def _killer(
    point: tuple[str, int], delay: float, begun: threading.Event, process: list[int]
) -> Callable[[str, int], None]:
    """Return a watcher that kills the sender at a point, or so many seconds behind it."""

    def kill() -> None:
        begun.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process[0], signal.SIGKILL)

    def watch(moment: str, nth: int) -> None:
        if (moment, nth) == point:
            if delay:
                threading.Timer(delay, kill).start()
            else:
                kill()

    return watch


def _finish(program: subprocess.Popen[str], line: str) -> None:
    code = _end(program, _start(program, line))
    if code != 0:
        raise OutsideError(
            f"the last sender ended with {code}", where="prove", remedy="See what it said above"
        )


def _start(program: subprocess.Popen[str], line: str) -> int:
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(f"{line}\n")
    program.stdin.flush()
    return int(program.stdout.readline())


def _end(program: subprocess.Popen[str], process: int) -> int:
    """Wait for a sender's end and return its exit code; one that hangs is killed."""
    assert program.stdout is not None
    timer = threading.Timer(_PATIENCE, os.kill, (process, signal.SIGKILL))
    timer.start()
    try:
        return int(program.stdout.readline())
    finally:
        timer.cancel()
