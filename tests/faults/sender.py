"""Processes that deliver an issue over SMTP on loopback, to be killed, stopped, starved and woken.

This program forks one for each `Order` on a line of its input, so that each starts without loading the libraries
again. It answers with the process id, and with the exit code when the process has ended: 0 when it returned, 3 when
the outside world stopped it, negative for a signal.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import cast

from faults.ground import render
from newsletter.config import Config, PublicationConfig, SmtpConfig
from newsletter.deliver import DeliveryOptions, deliver
from newsletter.deliver.settling import Doubt
from newsletter.errors import OutsideError
from newsletter.store import open_store
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a sender is to do.

    `held` stops it before its first step, until SIGCONT. `file_limit` is the size that its files may reach.
    """

    url: str
    issue: int
    port: int
    on_crash: str = "presume"
    boxes: str = ""
    said: str = ""  # the file that gets what it says of its end
    connections: int = 4
    held: bool = False
    processes: int = 0
    file_limit: int = 0

    def line(self) -> str:
        """Write it as a line of input."""
        return json.dumps(asdict(self)) + "\n"


def configuration(port: int, **smtp: str) -> Config:
    """Configure the SMTP server on this port of the loopback."""
    publication = PublicationConfig(
        title="Faults",
        url="https://example.org/",
        id_authority="example.org",
        id_date=date(2026, 1, 1),
        contact="editor@example.org",
    )
    given = {"host": "127.0.0.1", "security": "none"} | smtp
    return Config(publication=publication, smtp=SmtpConfig.model_validate({"port": port} | given))


def main(order: Order) -> int:
    """Deliver; SIGTERM is a wish to stop."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    if order.held:
        os.kill(os.getpid(), signal.SIGSTOP)
    if order.file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_limit, resource.RLIM_INFINITY))
    context = TransportContext(config=configuration(order.port))
    options = DeliveryOptions(
        on_crash=cast(Doubt, order.on_crash),
        transport="smtp",
        connections=order.connections,
        processes=order.processes,
        boxes=Path(order.boxes) if order.boxes else None,
    )
    try:
        with open_store(order.url) as store:
            deliver(
                store,
                order.issue,
                render,
                partial(SmtpTransport, context),
                options,
                clock=lambda: datetime.now(UTC),
                stop=stop,
            )
    except OutsideError as e:
        if order.said:
            Path(order.said).write_text(f"{type(e).__name__}: {e}")
        return 3
    return 0


def serve() -> None:
    """Fork a sender for each line of input."""
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            code = 1
            try:
                code = main(Order(**json.loads(line)))
            finally:
                sys.stderr.flush()
                os._exit(code)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
