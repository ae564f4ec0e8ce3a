"""`newsletter quarantine …`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, jsonable, say, say_json, table

if TYPE_CHECKING:
    from newsletter.model import Quarantined


@click.group()
def quarantine() -> None:
    """Show what could not become a post and why, look at it again, or ignore it."""


@quarantine.command("list")
@click.option("--ignored", "with_ignored", is_flag=True, help="Also what is ignored.")
@json_option
@pass_context
def list_(context: Context, with_ignored: bool, as_json: bool) -> None:
    """List what is in quarantine, what waits longest first."""
    from newsletter import quarantine as waiting

    known = waiting.listed(context.publisher.store)
    found = [one for one in known if with_ignored or not one.ignored]
    if as_json:
        say_json(found)
        return
    table(
        ("id", "source", "where", "reason", "since"),
        ((one.id, one.source, one.where, _reason(one), one.first_seen) for one in found),
    )
    hidden = len(known) - len(found)
    if not found:
        say("Nothing is in quarantine." if not hidden else "Nothing is in quarantine that is not ignored.")
    if hidden:
        say(f"{hidden} ignored. See: newsletter quarantine list --ignored")


def _reason(one: Quarantined) -> str:
    return f"{one.reason} (ignored{': ' if one.note else ''}{one.note})" if one.ignored else one.reason


@quarantine.command()
@click.argument("item", metavar="ID")
@json_option
@pass_context
def show(context: Context, item: str, as_json: bool) -> None:
    """Show one item: where it is, the lines around the fault, why it waits and what to do."""
    from newsletter import quarantine as waiting

    (one,) = waiting.find(context.publisher.store, [item])
    lines = waiting.context(context.config, one)
    if as_json:
        say_json({**jsonable(one), "lines": lines})
        return
    say(f"{one.id}: {one.where} (source {one.source})")
    width = len(str(lines[-1].number)) if lines else 0
    for line in lines:
        say(f"{'>' if line.at_fault else ' '} {line.number:>{width}} | {line.text}")
    if not lines and one.excerpt:
        say(f"> {one.excerpt}")
    say(f"Why: {one.reason}")
    if one.remedy:
        say(f"What to do: {one.remedy}")
    say(f"Since {one.first_seen:%Y-%m-%d %H:%M} UTC, last looked at {one.last_seen:%Y-%m-%d %H:%M} UTC")
    if one.ignored:
        say(f"Ignored until it changes{': ' if one.note else ''}{one.note}")


@quarantine.command()
@click.argument("items", metavar="[ID]...", nargs=-1)
@json_option
@pass_context
def retry(context: Context, items: tuple[str, ...], as_json: bool) -> int:
    """Read items again, or everything in quarantine: who is mended leaves it. Exit 1 when one stays."""
    from newsletter import quarantine as waiting

    chosen = waiting.look_again(context.publisher.store, items)
    for source in sorted({one.source for one in chosen} & {one.name for one in context.config.sources}):
        for report in context.publisher.gather(now=datetime.now(UTC), only=source):
            if report.failed:
                click.echo(f"newsletter: {source}: not gathered: {report.failed}", err=True)
    left = {one.id: one for one in waiting.listed(context.publisher.store)}
    stay = [left[one.id] for one in chosen if one.id in left]
    gone = [one for one in chosen if one.id not in left]
    if as_json:
        say_json({"left": gone, "stay": stay})
    else:
        for one in gone:
            say(f"left quarantine: {one.where}")
        for one in stay:
            say(f"stays: {one.id}: {one.where}: {one.reason}. {one.remedy}".rstrip())
        if not chosen:
            say("Nothing is in quarantine.")
    return 1 if stay else 0


@quarantine.command()
@click.argument("items", metavar="ID...", nargs=-1, required=True)
@click.option("--note", default="", help="Why, for whoever reads the list.")
@json_option
@pass_context
def ignore(context: Context, items: tuple[str, ...], note: str, as_json: bool) -> None:
    """Report items no more until they change."""
    from newsletter import quarantine as waiting

    done = waiting.ignore(context.publisher.store, items, note=note)
    if as_json:
        say_json(done)
    else:
        for one in done:
            say(f"ignored until it changes: {one.id}: {one.where}")
