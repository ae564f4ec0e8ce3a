"""Processes that deliver an issue over SMTP on loopback, to be killed, stopped and woken.

This program forks one for each line `STORE-URL ISSUE PORT ON-CRASH` of its input, so that each starts without
loading the libraries again. It answers with the process id, and with the exit code when the process has ended:
0 when it returned, 3 when the outside world stopped it, negative for a signal.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import UTC, date, datetime
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


def configuration(port: int) -> Config:
    """Configure the SMTP server on this port of the loopback."""
    publication = PublicationConfig(
        title="Faults",
        url="https://example.org/",
        id_authority="example.org",
        id_date=date(2026, 1, 1),
        contact="editor@example.org",
    )
    return Config(publication=publication, smtp=SmtpConfig(host="127.0.0.1", port=port, security="none"))


def main(url: str, issue: str, port: str, on_crash: str, boxes: str = "") -> int:
    """Deliver; SIGTERM is a wish to stop."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    context = TransportContext(config=configuration(int(port)))
    folder = Path(boxes) if boxes else None
    options = DeliveryOptions(on_crash=cast(Doubt, on_crash), transport="smtp", boxes=folder)
    with open_store(url) as store:
        try:
            deliver(
                store,
                int(issue),
                render,
                lambda: SmtpTransport(context),
                options,
                clock=lambda: datetime.now(UTC),
                stop=stop,
            )
        except OutsideError as e:
            sys.stderr.write(f"{type(e).__name__}: {e}\n")
            return 3
    return 0


def serve() -> None:
    """Fork a sender for each line of input."""
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            code = 1
            try:
                code = main(*line.split())
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
