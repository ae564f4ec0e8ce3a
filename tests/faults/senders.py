"""Senders as a test sees them: forked by programs that have the libraries loaded, signalled, traced, waited for."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from faults.sender import Order
from newsletter.model import Stage

TESTS = Path(__file__).parent.parent
CONNECTIONS = 4
#: The usual run takes a sample, `make faults` everything.
LONG = os.environ.get("NEWSLETTER_FAULTS") == "long"
LONGEST = 60.0  # seconds that a sender may take

Watch = Callable[[Stage, int], None]


class Sender:
    """A sender in a process of its own."""

    idle: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(self, url: str, issue_id: int, port: int, **more: Any) -> None:
        self.program = self.idle.pop() if self.idle else _start_program()
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write(Order(url=url, issue=issue_id, port=port, **more).line())
        self.program.stdin.flush()
        self.pid = int(self.program.stdout.readline())
        self.ended = False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still lives."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self) -> int:
        """Wait for its end and return its exit code; one that hangs is killed, and an error."""
        assert self.program.stdout is not None
        hung = threading.Event()

        def give_up() -> None:
            hung.set()
            self.signal(signal.SIGKILL)

        timer = threading.Timer(LONGEST, give_up)
        timer.start()
        try:
            code = int(self.program.stdout.readline())
        finally:
            timer.cancel()
        self.ended = True
        self.idle.append(self.program)
        assert not hung.is_set(), f"the sender did not end within {LONGEST} s"
        return code


def _start_program() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "faults.sender"],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end_programs() -> None:
    """End the programs that fork senders."""
    while Sender.idle:
        with Sender.idle.pop() as program:
            assert program.stdin is not None
            program.stdin.close()
            program.wait(10)


# Killing


class Killer:
    """Kills a sender at a moment of its conversation, or so many seconds behind it."""

    def __init__(self, stage: Stage, nth: int, delay: float = 0.0, *, number: int = signal.SIGKILL) -> None:
        self.point = (stage, nth)
        self.delay = delay
        self.number = signal.Signals(number)
        self._begun = threading.Event()
        self._sender: Sender | None = None

    def aim(self, sender: Sender) -> Sender:
        """Name whom to kill."""
        self._sender = sender
        self._begun.set()
        return sender

    def __call__(self, stage: Stage, nth: int) -> None:
        if (stage, nth) != self.point:
            return
        if self.delay:
            threading.Timer(self.delay, self._strike).start()
        else:
            self._strike()

    def _strike(self) -> None:
        self._begun.wait(10)
        if self._sender is not None:
            self._sender.signal(self.number)


def choose(
    chance: random.Random, moments: tuple[Stage, ...], count: Callable[[Stage], int], within: int
) -> Killer:
    """Choose a moment within the next so many of its kind."""
    stage = chance.choice(moments)
    return Killer(stage, count(stage) + chance.randint(1, within), chance.choice((0.0, 0.002, 0.01)))


# Tracing


def why_no_tracing() -> str:
    """Say why system calls cannot be tampered with here; empty when they can."""
    if shutil.which("strace") is None:
        return "there is no strace"
    tried = subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-o",
            os.devnull,
            "-e",
            "trace=write",
            "-e",
            "inject=write:error=EIO:when=1",
            "echo",
        ],
        capture_output=True,
        check=False,
    )
    return "" if tried.returncode else "strace may not trace here (ptrace is not allowed)"


@contextlib.contextmanager
def traced(sender: Sender, trace: Path, *options: str) -> Iterator[None]:
    """Trace a sender that is held with these options of strace, let it go, and wait until all is written down."""
    _await(lambda: _status(sender.pid)["State"][0] == "T", "the sender was not held")
    command = ["strace", "-f", "-qq", "-y", "-o", str(trace), *options, "-p", str(sender.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            tracer = str(process.pid)
            _await(lambda: _status(sender.pid)["TracerPid"] == tracer, "strace did not attach")
            sender.signal(signal.SIGCONT)
            yield
            process.wait(30)
        finally:
            sender.signal(signal.SIGKILL)
            process.terminate()


def _await(what: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.003)


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
