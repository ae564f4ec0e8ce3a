"""`newsletter bounces …`."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, jsonable, say, say_json, table

if TYPE_CHECKING:
    from newsletter.bounces import Office, Taken
    from newsletter.model import Bounce

LARGEST = 4 << 20  # octets of standard input that are looked at
KINDS = ("hard", "soft", "ours", "complaint", "auto-reply", "unclassified")


class Bounces(click.Group):
    """Takes `--classify FILE…` as well as the command of that name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Turn the option into the command."""
        if "--classify" in args:
            args = ["classify", *(one for one in args if one != "--classify")]
        return super().parse_args(ctx, args)


@click.group(cls=Bounces)
@click.option("--classify", is_flag=True, help="The same as the command classify.")
def bounces(classify: bool) -> None:
    """Read bounces and complaints, judge them, show and undo what followed."""


@bounces.command()
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False)
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def classify(files: tuple[str, ...], as_json: bool) -> None:
    """Only judge: say of each message what it is, and change nothing."""
    from newsletter import reports

    for name in files:
        with Path(name).open("rb") as file:
            verdict = reports.read(file.read(LARGEST)).verdict
        line = {
            "file": name,
            "kind": verdict.kind.value,
            "status": verdict.status,
            "recipient": verdict.recipient,
            "reason": verdict.reason,
        }
        say(json.dumps(line, ensure_ascii=False) if as_json else "\t".join(line.values()))


@bounces.command()
@click.argument("source", required=False)
@click.option(
    "--recipient", "recipients", multiple=True, metavar="ADDRESS", help="Whom a piped message came for."
)
@json_option
@pass_context
def read(context: Context, source: str | None, recipients: tuple[str, ...], as_json: bool) -> int:
    """Read the configured mailboxes, a Maildir, an mbox, or one message from a pipe (-)."""
    if source == "-":
        return _piped(context, recipients)
    taken = _read(context, source)
    if as_json:
        say_json(
            {
                "new": taken.new,
                "kinds": taken.kinds,
                "deeds": taken.deeds,
                "forged": taken.forged,
                "again": taken.again,
            }
        )
        return 0
    counts = (
        ", ".join(f"{count} {kind.value}" for kind, count in taken.kinds.items() if count) or "nothing new"
    )
    say(f"{counts}; {taken.again} had come before, {taken.forged} with a token that is not ours")
    for deed, count in taken.deeds.items():
        if deed.value != "nothing":
            say(f"  {count} {deed.value}")
    return 0


def _read(context: Context, source: str | None) -> Taken:
    from newsletter.bounces import read_maildir, read_mbox
    from newsletter.errors import ConfigError

    office, now = context.publisher.bounces(), datetime.now(UTC)
    if source is None:
        if office.maildir is None and office.mbox is None:
            raise ConfigError(
                "no mailbox is configured", where="[bounces]", remedy="Set maildir or mbox, or name one"
            )
        return office.read(now=now)

    def take(raw: bytes) -> Bounce:
        return office.take(raw, now=now)

    path = Path(source)
    return read_maildir(path, take) if path.is_dir() else read_mbox(office.store, path.resolve(), take)


def _piped(context: Context, recipients: tuple[str, ...]) -> int:
    """Take one message from standard input; whatever goes wrong, the MTA is told to keep it (EX_TEMPFAIL)."""
    try:
        raw = sys.stdin.buffer.read(LARGEST)
        while sys.stdin.buffer.read(1 << 16):
            pass
        office: Office = context.publisher.bounces()
        office.take(raw, now=datetime.now(UTC), envelope=recipients)
    except Exception as e:
        click.echo(f"newsletter: not recorded, keep it: {e}", err=True)
        if context.debug:
            raise
        return os.EX_TEMPFAIL
    return os.EX_OK


@bounces.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="Of this kind alone.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, help="How many, the newest first.")
@json_option
@pass_context
def list_(context: Context, kind: str | None, limit: int, as_json: bool) -> None:
    """List what came back, the newest first."""
    from newsletter.model import BounceKind

    found = context.publisher.bounces().listed(kind=BounceKind(kind) if kind else None, limit=limit)
    if as_json:
        say_json([_told(one) for one in found])
        return
    table(
        ("id", "at", "kind", "status", "subscriber", "matched", "deed", "reason"),
        ((o.id, o.at, o.kind, o.status, o.subscriber_id, _matched(o), o.deed, o.reason) for o in found),
    )


@bounces.command()
@click.argument("number", metavar="ID", type=click.IntRange(1))
@json_option
@pass_context
def show(context: Context, number: int, as_json: bool) -> None:
    """Show one report: what it says, whom it is about, what followed."""
    one = context.publisher.bounces().show(number)
    if as_json:
        say_json(_told(one))
        return
    for name, value in jsonable(_told(one)).items():
        say(f"{name}: {'' if value is None else value}")


@bounces.command()
@click.argument("number", metavar="ID", type=click.IntRange(1))
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept in the history.")
@pass_context
def undo(context: Context, number: int, reason: str) -> None:
    """Lift the suppression that a report led to; the person's subscriptions stand as before."""
    person = context.publisher.bounces().undo(number, now=datetime.now(UTC), reason=reason)
    say(f"{person.address} is written to again.")


def _matched(one: Bounce) -> str:
    return " ".join(filter(None, (one.matched, "(forged token)" if one.forged else "")))


def _told(one: Bounce) -> dict[str, object]:
    names = ("id", "at", "kind", "status", "reason", "said", "matched", "forged", "issue_id", "subscriber_id")
    return {name: getattr(one, name) for name in (*names, "deed", "note")}
