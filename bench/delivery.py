"""Delivering an issue over SMTP."""

from __future__ import annotations

import smtplib
import tempfile
import threading
import time
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from statistics import median

from bench import sink
from bench.harness import Figure, cpu
from newsletter import demo
from newsletter.config import Config, load
from newsletter.publisher import Publisher

READERS = 1000
ROUNDS = 3
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROOT = Path(__file__).parent.parent


def configuration(folder: Path, port: int) -> Config:
    """Return the example publication, writing below `folder`, sending to `port`."""
    config = load(ROOT, {})
    config = config.model_copy(update={"folders": config.folders.model_copy(update={"state": folder})})
    return demo.demo_config(config, port)


def deliver_ours(config: Config, folder: Path) -> tuple[float, float, bytes]:
    """Compose and deliver once; return wall seconds and CPU seconds of delivering, and one message."""
    people = folder / "people.csv"
    rows = "".join(f"reader{n}@example.org,Reader {n}\n" for n in range(READERS))
    people.write_text("email,name\n" + rows, encoding="utf-8")
    with Publisher.open(config) as publisher:
        publisher.gather(now=NOW)
        publisher.import_subscribers(people, newsletter="weekly", consent="bench", now=NOW)
        composition = publisher.compose("weekly", publisher.due_slot("weekly", now=NOW), now=NOW)
        assert composition.issue is not None
        publisher.release(composition.issue.id, now=NOW)
        began, used = time.perf_counter(), cpu()
        account = publisher.deliver(composition.issue.id, stop=threading.Event())
        taken = time.perf_counter() - began, cpu() - used
        assert account.accepted == READERS, account
        return *taken, publisher.preview("weekly", "reader@example.org", now=NOW).eml


def deliver_plainly(eml: bytes, port: int) -> tuple[float, float]:
    """Send the same parts as one EmailMessage a reader over one smtplib connection, with no ledger."""
    parsed = message_from_bytes(eml, policy=policy.default)
    parts = [parsed.get_body((kind,)) for kind in ("plain", "html")]
    assert isinstance(parts[0], EmailMessage)
    assert isinstance(parts[1], EmailMessage)
    text, html = parts[0].get_content(), parts[1].get_content()
    began, used = time.perf_counter(), cpu()
    with smtplib.SMTP("127.0.0.1", port) as server:
        for n in range(READERS):
            message = EmailMessage(policy=policy.SMTP)
            message["From"], message["To"] = "weekly@example.org", f"reader{n}@example.org"
            message["Subject"] = "Weekly"
            message.set_content(text.replace("reader@", f"reader{n}@"))
            message.add_alternative(html.replace("reader@", f"reader{n}@"), subtype="html")
            server.send_message(message)
    return time.perf_counter() - began, cpu() - used


def figures() -> list[Figure]:
    """Measure both in turn, in the same run, into the same sink."""
    ours, peers = [], []
    with sink.running() as port:
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as name:
                wall, used, eml = deliver_ours(configuration(Path(name), port), Path(name))
            ours.append((wall, used))
            peers.append(deliver_plainly(eml, port))
    rate = median(READERS / wall for wall, _ in ours)
    peer = median(READERS / wall for wall, _ in peers)
    ratio = median(b[0] / a[0] for a, b in zip(ours, peers, strict=True))
    cost = median(used / READERS * 1e6 for _, used in ours)
    cost_of_peer = median(used / READERS * 1e6 for _, used in peers)
    size = f"{len(eml) / 1000:.0f} kB"
    return [
        Figure(
            f"{READERS:,} messages of {size}, ledger and 4 connections, against smtplib and EmailMessage, no ledger",
            f"{rate:,.0f}/s",
            f"{peer:,.0f}/s",
            f"{ratio:.1f}× its rate",
        ),
        Figure(
            "CPU a message, likewise",
            f"{cost:,.0f} µs",
            f"{cost_of_peer:,.0f} µs",
            f"{cost / cost_of_peer:.2f}× its CPU",
        ),
    ]
