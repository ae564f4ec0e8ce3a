"""Sending alone over SMTP, with no ledger and nothing rendered."""

from __future__ import annotations

import os
import shutil
import smtplib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from email.message import EmailMessage
from statistics import median

from bench import sink
from bench.harness import Figure, cpu
from newsletter.config import Config, DeliveryConfig, PublicationConfig, SmtpConfig
from newsletter.model import Message, Outcome
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport

ROUNDS = 3
FEW, MANY = 500, 3000
DELAY, CONNECTIONS = 0.02, 10
LATE, LATE_PLAINLY = 150, 15  # messages of one connection, so that both take seconds
LINE = b"abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstu\r\n"
PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
Sender = Callable[[int, int, int], None]


def make_message(number: int, size: int) -> Message:
    """Return one of many distinct messages of about `size` octets."""
    head = b"From: weekly@example.org\r\nTo: reader%d@example.org\r\nSubject: Weekly\r\nMessage-ID: <1.%d@example.org>"
    content = head % (number, number) + b"\r\n\r\n" + LINE * (size // len(LINE))
    return Message(
        key=number,
        sender=f"b+{number}@example.org",
        recipient=f"reader{number}@example.org",
        content=content,
        canonical=True,
    )


def send_ours(port: int, count: int, size: int) -> None:
    """Send over one connection of ours."""
    publication = PublicationConfig(
        title="Bench",
        url="https://example.org/",
        id_authority="example.org",
        id_date=date(2026, 1, 1),
        contact="editor@example.org",
    )
    smtp = SmtpConfig(host="127.0.0.1", port=port, security="none")
    delivery = DeliveryConfig(per_connection=count)
    context = TransportContext(config=Config(publication=publication, smtp=smtp, delivery=delivery))
    with SmtpTransport(context) as transport:
        receipts = transport.send(make_message(number, size) for number in range(count))
        assert sum(receipt.outcome is Outcome.ACCEPTED for receipt in receipts) == count


def send_plainly(port: int, count: int, size: int) -> None:
    """Send an EmailMessage each over one connection of smtplib's."""
    body = (LINE * (size // len(LINE))).decode().replace("\r\n", "\n")
    with smtplib.SMTP("127.0.0.1", port) as server:
        for number in range(count):
            message = EmailMessage()
            message["From"], message["To"] = "weekly@example.org", f"reader{number}@example.org"
            message["Subject"] = "Weekly"
            message.set_content(body)
            server.send_message(message)


def send_by_postfix(port: int, count: int, size: int) -> None:
    """Send with Postfix's own load generator, over one session that is kept."""
    program = shutil.which("smtp-source", path=PLACES)
    assert program is not None
    command = [program, "-4", "-d", "-s", "1", "-m", str(count), "-l", str(size)]
    subprocess.run([*command, f"127.0.0.1:{port}"], check=True, capture_output=True)


@contextmanager
def postfix_sink() -> Iterator[int]:
    """Run Postfix's smtp-sink and yield its port."""
    program = shutil.which("smtp-sink", path=PLACES)
    assert program is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    user = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to run as root
    process = subprocess.Popen([program, *user, f"127.0.0.1:{port}", "100"], stderr=subprocess.DEVNULL)
    try:
        _await_port(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _await_port(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("smtp-sink does not start")


def compare(
    ours: Sender, peer: Sender, port: int, counts: tuple[int, int], size: int
) -> tuple[list[float], list[float]]:
    """Return medians of ours and the peer's: messages a second, and CPU microseconds a message."""
    rows: tuple[list[tuple[float, float]], ...] = ([], [])
    for _ in range(ROUNDS):
        for row, sender, count in zip(rows, (ours, peer), counts, strict=True):
            began, used = time.perf_counter(), cpu()
            sender(port, count, size)
            row.append((count / (time.perf_counter() - began), (cpu() - used) / count * 1e6))
    mine, theirs = ([median(one[n] for one in row) for n in (0, 1)] for row in rows)
    return mine, theirs


def at_once(sender: Sender) -> Sender:
    """Return a sender over several connections in threads."""

    def send(port: int, count: int, size: int) -> None:
        share = count // CONNECTIONS
        threads = [threading.Thread(target=sender, args=(port, share, size)) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return send


def figure(what: str, ours: list[float], peer: list[float], goal: str = "") -> Figure:
    """Put rates and CPU on one line."""
    words = [f"{rate:,.0f}/s, {cost:,.0f} µs CPU" for rate, cost in (ours, peer)]
    return Figure(what, words[0], words[1], f"{ours[0] / peer[0]:.1f}× its rate", goal)


def against_postfix() -> list[Figure]:
    """Compare with smtp-source into the same smtp-sink, where both are installed."""
    what = "{} kB messages, one connection into smtp-sink, against smtp-source -d"
    if not all(shutil.which(name, path=PLACES) for name in ("smtp-sink", "smtp-source")):
        return [Figure(what.format("5 and 60"), "not measured: Postfix is not installed")]
    lines = []
    with postfix_sink() as port:
        for size, count, goal in ((5000, MANY, "1.5×"), (60_000, FEW, "1.15×")):
            pair = compare(send_ours, send_by_postfix, port, (count, count), size)
            lines.append(figure(what.format(size // 1000), *pair, goal))
    return lines


def figures() -> list[Figure]:
    """Measure in turn, in the same run, into the same sink."""
    lines = []
    for offers, way in ((sink.OFFERS, "DATA"), (sink.CHUNKED, "BDAT")):
        with sink.running(offers) as port:
            for size, count in ((5000, MANY), (60_000, FEW)):
                pair = compare(send_ours, send_plainly, port, (count, count // 2), size)
                what = (
                    f"{size // 1000} kB messages by {way}, one connection, against smtplib and EmailMessage"
                )
                lines.append(figure(what, *pair))
        with sink.running(offers, delay=DELAY) as port:
            counts = LATE * CONNECTIONS, LATE_PLAINLY * CONNECTIONS
            pair = compare(at_once(send_ours), at_once(send_plainly), port, counts, 5000)
            what = f"5 kB messages by {way}, replies 20 ms late, {CONNECTIONS} connections, against smtplib"
            lines.append(figure(what, *pair, "4×" if way == "DATA" else "12×"))
    return lines + against_postfix()
