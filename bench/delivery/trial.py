"""One whole delivery, measured: a publication is laid out and filled, and a process of its own delivers."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

from bench import sink
from bench.delivery import ground
from bench.delivery.watch import Memory, Watch
from bench.harness import NOW, ROOT
from newsletter.config import load
from newsletter.publisher import Publisher

sys.path.append(str(ROOT / "tests"))  # they know how to run a PostgreSQL
from private_postgres import PrivatePostgres, find_programs, start


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a delivery took: seconds of the wall and of CPU, and how many messages.

    Of `cpu`, `ledger` is the thread that writes the ledger and `workers` all other processes; `sink` is the server's.
    """

    messages: int
    wall: float
    cpu: float
    ledger: float
    workers: float
    sink: float
    release: float
    own: Memory | None
    worker: Memory | None

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.wall

    @property
    def cost(self) -> float:
        """CPU microseconds a message."""
        return self.cpu / self.messages * 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A setting with its server: what that offers and how late it answers.

    `connections` 0 leaves their number to the product; `postgres` is a database's URL.
    """

    readers: int
    chunking: bool = True
    delay: float = 0.0
    dkim: bool = True
    tls: bool = False
    connections: int = 0
    postgres: str = ""


class Server(Protocol):
    """Where a delivery goes: how many messages it has taken so far, and the CPU seconds it used."""

    @property
    def port(self) -> int: ...
    def report(self) -> tuple[int, float]: ...


def deliver(case: Case, into: Server | None = None) -> Measured:
    """Lay out, fill and deliver once, into a sink of its own if no server is given."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "publication"
        folder.mkdir()
        offers = sink.CHUNKED if case.chunking else sink.OFFERS
        tls = ground.certificate(Path(name)) if case.tls else None
        started = sink.started(offers, delay=case.delay, tls=tls) if into is None else nullcontext(into)
        with started as server:
            setting = ground.Setting(
                port=server.port,
                dkim=case.dkim,
                tls=case.tls,
                connections=case.connections,
                store=case.postgres,
            )
            ground.lay(folder, setting)
            with Publisher.open(load(folder, {})) as publisher:
                ground.subscribe(publisher, case.readers)
                issue_id = ground.approve(publisher)
            return _send(folder, issue_id, server)


def _send(folder: Path, issue_id: int, server: Server) -> Measured:
    taken, used = server.report()
    command = [sys.executable, "-m", "bench.delivery.sender", str(folder), str(issue_id)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "delivering\n"
        with Watch(process.pid) as watch:
            told = json.loads(process.stdout.readline())
    total, cost = server.report()
    assert total - taken == told["accepted"], "the server's count is the ledger's"
    own, worker = watch.memory()
    return Measured(
        messages=told["accepted"],
        wall=told["wall"],
        cpu=told["cpu"],
        ledger=told["ledger"],
        workers=told["workers"],
        sink=cost - used,
        release=told["release"],
        own=own,
        worker=worker,
    )


def example() -> bytes:
    """Return one reader's message as it is delivered, signed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ground.lay(folder, ground.Setting(port=25))
        with Publisher.open(load(folder, {})) as publisher:
            publisher.gather(now=NOW)
            return publisher.preview("weekly", "reader@example.org", now=NOW).eml


@contextmanager
def postgres() -> Iterator[Iterator[str]]:
    """Run a PostgreSQL that waits for the disk, and give URLs of empty databases; none where it is not installed."""
    programs = find_programs()
    if programs is None:
        yield iter(())
        return
    with start(programs, durable=True) as server:
        yield _databases(server)


def _databases(server: PrivatePostgres) -> Iterator[str]:
    for number in count():
        server.create(f"bench{number}")
        yield server.url(f"bench{number}")
