"""Ctrl-C while an issue is delivered: it stops cleanly, and the same command resumes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from newsletter.config import Config
from newsletter.publisher import Publisher

PublicationFactory = Callable[..., Config]
READERS = 120


def test_ctrl_c_stops_cleanly_and_the_same_command_resumes(
    publication: PublicationFactory, tmp_path: Path
) -> None:
    pace = {"transport": "maildir", "rate": "80/s", "connections": 2}
    config = publication({"delivery": pace})
    (config.folder / "posts" / "one.md").write_text(
        "---\ntitle: One\ndate: 2026-01-05\n---\nText.\n", encoding="utf-8"
    )
    people = tmp_path / "people.csv"
    people.write_text("email\n" + "".join(f"r{n}@example.org\n" for n in range(READERS)), encoding="utf-8")
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    with Publisher.open(config) as publisher:
        publisher.gather(now=now)
        publisher.import_subscribers(people, consent="asked", now=now)
        assert publisher.compose("weekly", publisher.due_slot("weekly", now=now), now=now).issue is not None
    box = config.path("var/maildir/new")

    def deliver(*, interrupt: bool) -> str:
        command = [sys.executable, "-m", "newsletter", "-p", str(config.folder), "issues", "deliver"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            if interrupt:
                while process.poll() is None and not (box.is_dir() and any(box.iterdir())):
                    pass
                process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
        return said

    said = deliver(interrupt=True)
    assert "Stopped. Resume with: newsletter issues deliver weekly -n 1" in said
    with Publisher.open(config) as publisher:
        account = publisher.account(publisher.issue("weekly").id)
    assert account.balances
    assert (account.attempting, account.unknown, account.presumed) == (0, 0, 0)
    assert 0 < account.accepted == len(list(box.iterdir())) < READERS
    said = deliver(interrupt=False)
    assert f"accepted {READERS} " in said, json.dumps(said)
    assert len(list(box.iterdir())) == READERS
