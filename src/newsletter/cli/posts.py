"""`newsletter gather` and `newsletter publish`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, say, say_json

if TYPE_CHECKING:
    from newsletter.model import GatherReport


@click.command()
@click.option("--source", "only", metavar="NAME", help="Gather from this source alone.")
@click.option("--dry-run", is_flag=True, help="Say what would be gathered and change nothing.")
@click.option("--watch", is_flag=True, help="Go on, gathering from folders when they change, until Ctrl-C.")
@json_option
@pass_context
def gather(context: Context, only: str | None, dry_run: bool, watch: bool, as_json: bool) -> int:
    """Read the sources: new, changed, unchanged, quarantined and why."""
    if watch and dry_run:
        raise click.UsageError("--watch gathers, --dry-run does not: give one of them.")
    if watch:
        from newsletter.cli.watch import gather_on_change

        return gather_on_change(context, only, as_json=as_json)
    reports = context.publisher.gather(now=datetime.now(UTC), only=only, dry_run=dry_run)
    if as_json:
        say_json(reports)
    else:
        for report in reports:
            say_report(report)
        if not reports:
            say("No source is configured. Add one to newsletter.toml under [[sources]].")
    return 3 if any(report.failed for report in reports) else 0


def say_report(report: GatherReport) -> None:
    """Say what one gathering of one source did."""
    if report.failed:
        say(f"{report.source}: not gathered: {report.failed}")
        return
    counts = [
        f"{len(report.new)} new",
        f"{len(report.changed)} changed",
        f"{report.unchanged} unchanged",
        f"{len(report.quarantined)} quarantined" + (f" ({report.ignored} ignored)" if report.ignored else ""),
    ]
    if report.held:
        counts.append(f"{len(report.held)} held until their date")
    if report.withdrawn:
        counts.append(f"{len(report.withdrawn)} withdrawn")
    say(f"{report.source}: {', '.join(counts)}")
    for title in report.new:
        say(f"  new: {title}")
    for title in report.changed:
        say(f"  changed: {title}")
    for title in report.held:
        say(f"  held: {title}")
    for title in report.withdrawn:
        say(f"  withdrawn: {title}")
    for rejected in report.quarantined:
        say(f"  quarantined: {rejected.where}: {rejected.reason}. {rejected.remedy}".rstrip())
    for note in report.notes:
        say(f"  note: {note}")


@click.command()
@click.option("--all", "every", is_flag=True, help="Make every file anew and compare it with the one there.")
@json_option
@pass_context
def publish(context: Context, every: bool, as_json: bool) -> int:
    """Write feeds and pages into public/: only bytes that changed."""
    report = context.publisher.publish(now=datetime.now(UTC), every=every)
    if as_json:
        say_json(report)
    else:
        say(
            f"{context.config.public}: {len(report.written)} written, {report.unchanged} unchanged, "
            f"{len(report.removed)} removed"
        )
        for finding in report.refused:
            say(f"  left out: {finding.where}: {finding.place}: {finding.rule}. {finding.remedy}")
    return 1 if report.refused else 0
