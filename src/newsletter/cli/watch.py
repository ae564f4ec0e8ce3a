"""`newsletter gather --watch`: gathers when a folder changed and is quiet again, and everything from time to time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import click

from newsletter.cli import Context
from newsletter.cli.output import jsonable, say
from newsletter.cli.posts import say_report
from newsletter.errors import NewsletterError, OutsideError
from newsletter.model import GatherReport, Rejected
from newsletter.watching import FolderWatch, folders_of

_READY = 5.0  # seconds that watching may take to begin
_LEAST = 0.1  # seconds between looks whether a folder is quiet


@dataclass
class _Teller:
    """Says what is news; `waiting` is what was said to be in quarantine, by source."""

    as_json: bool
    waiting: dict[str, dict[str, Rejected]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def tell(self, reports: Sequence[GatherReport]) -> None:
        """Say what is news in reports, and nothing when nothing is."""
        for report in reports:
            before = self.waiting.get(report.source)
            now = {one.source_key: one for one in report.quarantined}
            again = report.failed != self.failed.get(report.source, "")
            news = report.new or report.changed or report.notes or again or now != before
            if report.failed:
                news = again
            else:
                self.waiting[report.source] = now
            self.failed[report.source] = report.failed
            if not news:
                continue
            if self.as_json:
                click.echo(json.dumps(jsonable(report), ensure_ascii=False))
                continue
            say_report(report)
            if not report.failed:
                for key in sorted((before or {}).keys() - now.keys()):
                    say(f"  left quarantine: {key}")


def gather_on_change(context: Context, only: str | None, *, as_json: bool) -> int:
    """Gather until Ctrl-C; what fails after the first time is said and tried again."""
    teller, every = _Teller(as_json), context.config.gather.every.total_seconds()
    folders = folders_of(context.config, only)
    try:
        with FolderWatch(folders) as watch:
            if folders:
                watch.watching.wait(_READY)
            watch.take()
            teller.tell(context.publisher.gather(now=datetime.now(UTC), only=only))
            if not as_json:
                watched = ", ".join(str(folder) for folder in folders.values()) or "no folder"
                say(f"Watching {watched}; everything is read every {every:g} s. Ctrl-C ends it.")
            next_all = time.monotonic() + every
            while True:
                names: set[str | None] = set(watch.wait(max(_LEAST, next_all - time.monotonic())))
                if time.monotonic() >= next_all and not watch.is_settling():
                    names, next_all = {only}, time.monotonic() + every
                for name in sorted(names, key=str):
                    _gather_one(context, teller, watch, name)
    except KeyboardInterrupt:
        if not as_json:
            say("Stopped.")
    return 0


def _gather_one(context: Context, teller: _Teller, watch: FolderWatch, name: str | None) -> None:
    try:
        teller.tell(context.publisher.gather(now=datetime.now(UTC), only=name))
    except OutsideError as e:  # another process gathers, or the disk is full
        click.echo(f"newsletter: {e}", err=True)
        if name is not None:
            watch.put_back([name])
    except NewsletterError as e:
        click.echo(f"newsletter: {e}", err=True)
