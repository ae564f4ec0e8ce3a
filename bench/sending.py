"""Sending alone over SMTP, with no ledger and nothing rendered."""

from __future__ import annotations

import asyncio
import os
import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from email.message import EmailMessage
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import sink
from bench.delivery import ground
from bench.harness import Figure, cpu
from newsletter.config import Config, DeliveryConfig, PublicationConfig, SmtpConfig
from newsletter.model import Message, Outcome
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport

try:
    import aiosmtplib
except ImportError:
    aiosmtplib = None  # type: ignore[assignment]  # said where it would be measured

ROUNDS = 5
FEW, MANY = 1000, 5000
DELAY, CONNECTIONS = 0.02, 10
LATE, LATE_IN_TURN = 100, 15  # messages of one connection, so that both take seconds
LINE = b"abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstu\r\n"
PLACES = f"{os.defpath}:/usr/sbin:/usr/local/sbin"
UNPACKED = Path(__file__).parent.parent / ".venv" / "oracles" / "postfix" / "usr"  # by tests/prepare.sh


@dataclass(frozen=True)
class Server:
    """Where to send; `certificate` when it offers STARTTLS."""

    port: int
    certificate: Path | None = None

    @property
    def host(self) -> str:
        """The name it answers to."""
        return "localhost" if self.certificate else "127.0.0.1"

    def trusted(self) -> ssl.SSLContext:
        """Return a context that trusts its certificate."""
        return ssl.create_default_context(cafile=self.certificate)


Sender = Callable[[Server, int, int], object]


# Senders


def make_message(number: int, size: int) -> Message:
    """Return one of many distinct messages of about `size` octets, which vouches for itself as a digest does."""
    head = b"From: weekly@example.org\r\nTo: reader%d@example.org\r\nSubject: Weekly\r\nMessage-ID: <1.%d@example.org>"
    return Message(
        key=number,
        sender=f"b+{number}@example.org",
        recipient=f"reader{number}@example.org",
        content=head % (number, number) + b"\r\n\r\n" + LINE * (size // len(LINE)),
        canonical=True,
    )


def send_ours(server: Server, count: int, size: int) -> None:
    """Send over one connection of ours."""
    publication = PublicationConfig(
        title="Bench",
        url="https://example.org/",
        id_authority="example.org",
        id_date=date(2026, 1, 1),
        contact="editor@example.org",
    )
    smtp = SmtpConfig(
        host=server.host,
        port=server.port,
        security="starttls" if server.certificate else "none",
        ca_file=server.certificate,
    )
    delivery = DeliveryConfig(per_connection=count)
    context = TransportContext(config=Config(publication=publication, smtp=smtp, delivery=delivery))
    with SmtpTransport(context) as transport:
        receipts = transport.send(make_message(number, size) for number in range(count))
        assert sum(receipt.outcome is Outcome.ACCEPTED for receipt in receipts) == count


def send_plainly(server: Server, count: int, size: int) -> None:
    """Send an EmailMessage each over one connection of smtplib's."""
    body = (LINE * (size // len(LINE))).decode().replace("\r\n", "\n")
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        for number in range(count):
            message = EmailMessage()
            message["From"], message["To"] = "weekly@example.org", f"reader{number}@example.org"
            message["Subject"] = "Weekly"
            message.set_content(body)
            client.send_message(message)


def send_in_turn(server: Server, count: int, size: int) -> None:
    """Send ready messages over one kept connection, each command waiting for the answer to the one before."""
    with smtplib.SMTP(server.host, server.port) as client:
        if server.certificate:
            client.starttls(context=server.trusted())
        for number in range(count):
            message = make_message(number, size)
            client.sendmail(message.sender, [message.recipient], message.content)


def send_by_aiosmtplib(server: Server, count: int, size: int) -> None:
    """Send ready messages by aiosmtplib, over all connections at once in one loop."""

    async def send_one(share: int) -> None:
        context = server.trusted() if server.certificate else None
        async with aiosmtplib.SMTP(
            hostname=server.host, port=server.port, start_tls=context is not None, tls_context=context
        ) as client:
            for number in range(share):
                message = make_message(number, size)
                await client.sendmail(message.sender, [message.recipient], message.content)

    async def send_all() -> None:
        await asyncio.gather(*(send_one(count // CONNECTIONS) for _ in range(CONNECTIONS)))

    asyncio.run(send_all())


def send_by_postfix(server: Server, count: int, size: int) -> None:
    """Send with Postfix's own load generator, over one session that is kept."""
    program, environment = postfix_tool("smtp-source")
    command = [program, "-4", "-d", "-s", "1", "-m", str(count), "-l", str(size)]
    subprocess.run([*command, f"127.0.0.1:{server.port}"], check=True, capture_output=True, env=environment)


def at_once(sender: Sender) -> Sender:
    """Return a sender over several connections in threads."""

    def send(server: Server, count: int, size: int) -> None:
        share = count // CONNECTIONS
        threads = [threading.Thread(target=sender, args=(server, share, size)) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return send


# Servers


def postfix_tool(name: str) -> tuple[str, dict[str, str]]:
    """Return a program of Postfix, installed or unpacked, and its environment; an empty name when there is none."""
    if installed := shutil.which(name, path=PLACES):
        return installed, dict(os.environ)
    program = UNPACKED / "sbin" / name
    return str(program) if program.exists() else "", {"LD_LIBRARY_PATH": str(UNPACKED / "lib" / "postfix")}


@contextmanager
def postfix_sink() -> Iterator[Server]:
    """Run Postfix's smtp-sink."""
    program, environment = postfix_tool("smtp-sink")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    user = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to run as root
    command = [program, *user, f"127.0.0.1:{port}", "100"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    try:
        _await_port(port)
        yield Server(port)
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


@contextmanager
def sink_with_tls(offers: tuple[str, ...], delay: float) -> Iterator[Server]:
    """Run our sink, which wants STARTTLS."""
    with TemporaryDirectory() as folder:
        certificate = ground.certificate(Path(folder))
        with sink.started(offers, delay=delay, tls=certificate) as server:
            yield Server(server.port, certificate)


# Figures


def compare(
    what: str, server: Server, ours: tuple[Sender, int], peer: tuple[Sender, int], size: int, goal: str = ""
) -> Figure:
    """Send in turn by both; return medians of messages a second and of CPU a message, and of the rates' ratios."""
    rows: list[list[tuple[float, float]]] = [[], []]
    for sender, count in (ours, peer):
        sender(server, max(count // 10, CONNECTIONS), size)  # to warm up
    for _ in range(ROUNDS):
        for row, (sender, count) in zip(rows, (ours, peer), strict=True):
            began, used = time.perf_counter(), cpu()
            sender(server, count, size)
            row.append((count / (time.perf_counter() - began), (cpu() - used) / count * 1e6))
    words = [f"{median(r for r, _ in row):,.0f}/s, {median(c for _, c in row):,.0f} µs CPU" for row in rows]
    ratio = median(mine / theirs for (mine, _), (theirs, _) in zip(*rows, strict=True))
    return Figure(what, words[0], words[1], f"{ratio:.2f}× its rate", goal)


def against_postfix() -> list[Figure]:
    """Compare with smtp-source into the same smtp-sink, where both are."""
    what = "{} kB messages, one connection into smtp-sink, against smtp-source -d"
    if not all(postfix_tool(name)[0] for name in ("smtp-sink", "smtp-source")):
        return [Figure(what.format("5 and 60"), "not measured: Postfix is not installed")]
    with postfix_sink() as server:
        return [
            compare(
                what.format(size // 1000), server, (send_ours, count), (send_by_postfix, count), size, goal
            )
            for size, count, goal in ((5000, MANY, "1.5×, ≤ 30 µs"), (60_000, FEW, "1.15×"))
        ]


def against_smtplib() -> Iterator[Figure]:
    """Compare with smtplib and an EmailMessage each, as fast as replies come."""
    for offers, way in ((sink.OFFERS, "DATA"), (sink.CHUNKED, "BDAT")):
        with sink.running(offers) as port:
            for size, count in ((5000, MANY), (60_000, FEW)):
                what = (
                    f"{size // 1000} kB messages by {way}, one connection, against smtplib and EmailMessage"
                )
                yield compare(what, Server(port), (send_ours, count), (send_plainly, count // 5), size)


def late_replies() -> Iterator[Figure]:
    """Compare with senders that wait for each reply, where replies are late."""
    peers = [("sequential transactions, pooled (smtplib)", at_once(send_in_turn))]
    if aiosmtplib is None:
        yield Figure("replies 20 ms late, against aiosmtplib", "not measured: aiosmtplib is not installed")
    else:
        peers.insert(0, ("aiosmtplib", send_by_aiosmtplib))
    ours = at_once(send_ours), LATE * CONNECTIONS
    for offers, way, goal in ((sink.OFFERS, "DATA", "4×"), (sink.CHUNKED, "BDAT", "12×")):
        for under in ("", " under TLS"):
            with late_sink(offers, tls=bool(under)) as server:
                for name, peer in peers:
                    what = (
                        f"5 kB by {way}{under}, replies 20 ms late, {CONNECTIONS} connections, against {name}"
                    )
                    yield compare(what, server, ours, (peer, LATE_IN_TURN * CONNECTIONS), 5000, goal)


@contextmanager
def late_sink(offers: tuple[str, ...], *, tls: bool) -> Iterator[Server]:
    """Run our sink with late replies."""
    if tls:
        with sink_with_tls(offers, DELAY) as server:
            yield server
    else:
        with sink.running(offers, delay=DELAY) as port:
            yield Server(port)


def figures() -> list[Figure]:
    """Measure each pair in turn, in the same run, into the same sink."""
    return [*against_postfix(), *late_replies(), *against_smtplib()]
