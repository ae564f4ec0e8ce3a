"""Composing a digest and making each reader's message."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from pathlib import Path

import premailer

from bench.delivery import configuration
from bench.harness import Figure, median, paired
from newsletter.issues import mailer
from newsletter.model import Reader
from newsletter.publisher import Publisher

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
READERS = [Reader(subscriber_id=n, address=f"reader{n}@example.org", since=NOW) for n in range(20)]


def plainly(html: str, text: str) -> None:
    """Inline styles and build an EmailMessage for each reader, as many small senders do."""
    for reader in READERS:
        message = EmailMessage(policy=policy.SMTP)
        message["From"], message["To"], message["Subject"] = "weekly@example.org", reader.address, "Weekly"
        message.set_content(text)
        message.add_alternative(premailer.transform(html, disable_validation=True), subtype="html")
        message.as_bytes()


def figures() -> list[Figure]:
    """Measure previewing an issue, and the messages of twenty readers beside a plain way to make them."""
    with tempfile.TemporaryDirectory() as name, Publisher.open(configuration(Path(name), 25)) as publisher:
        publisher.gather(now=NOW)
        compiling = median(lambda: publisher.preview("weekly", "reader@example.org", now=NOW))
        composition = publisher.compose("weekly", publisher.due_slot("weekly", now=NOW), now=NOW)
        issue = composition.issue
        assert issue is not None
        make = mailer(publisher.config, issue)
        size = len(make(READERS[0]).content)

        def ours() -> None:
            for reader in READERS:
                make(reader)

        each, plain, ratio = paired(ours, lambda: plainly(issue.html, issue.text), rounds=3)
    posts = len(issue.post_ids)
    return [
        Figure(f"selecting, rendering and inlining an issue of {posts} posts", f"{compiling * 1000:.0f} ms"),
        Figure(
            f"a reader's message of {size / 1000:.0f} kB, against premailer and EmailMessage for each reader",
            f"{each / len(READERS) * 1e6:,.0f} µs",
            f"{plain / len(READERS) * 1e6:,.0f} µs",
            f"{ratio:,.0f}× its rate",
        ),
    ]
