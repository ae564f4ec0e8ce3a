"""`newsletter init` and `newsletter demo`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, jsonable, say, say_json


@click.command()
@click.argument("directory", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--title", default="My Publication", help="The publication's title.")
@click.option("--url", default="https://www.example.org/", help="Where it will be reached.")
@click.option("--contact", default="editor@example.org", help="An address that is read.")
@click.option("--timezone", "zone", default="UTC", help="IANA zone, such as Europe/Brussels.")
def init(directory: Path, title: str, url: str, contact: str, zone: str) -> None:
    """Make a new publication in DIRECTORY, ready to run."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from newsletter import scaffold
    from newsletter.errors import InputError

    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as e:
        raise InputError(
            f"{zone!r} is not a time zone", where="--timezone", remedy="Try Europe/Brussels"
        ) from e
    config = scaffold.create(
        directory, title=title, url=url, contact=contact, zone=zone, now=datetime.now(UTC)
    )
    say(f"{config.folder} holds a new publication, {config.publication.title}.")
    for line in ("gather", "publish", "issues preview", "run"):
        say(f"  newsletter -p {directory} {line}")


@click.command()
@click.option("--serve", is_flag=True, help="Then serve the pages until Ctrl-C.")
@json_option
@pass_context
def demo(context: Context, serve: bool, as_json: bool) -> int:
    """Gather, publish, compose and deliver this publication to an embedded mailbox on loopback.

    Its store, mailbox and pages lie in var/demo/, apart from the publication's own.
    """
    from newsletter import demo as show

    result = show.run(context.config, now=datetime.now(UTC))
    if as_json:
        say_json(result)
    else:
        for name, value in result.rows():
            say(f"{name:<12} {value}")
        for line in result.hints(context.folder):
            say(line)
    if serve:
        show.serve(context.config, say)
    return 0 if result.balances else 3


@click.command()
@click.option(
    "--messages", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="How many readers."
)
@click.option("--kills", type=click.IntRange(0, 1000), default=20, show_default=True, help="How many kills.")
@json_option
def prove(messages: int, kills: int, as_json: bool) -> int:
    """Deliver on this machine while the sender is killed, and print the account; exit 1 when somebody is lost.

    Everything lies in a temporary folder; the server is one of our own on 127.0.0.1.
    """
    from newsletter import prove as proving

    proof = proving.run(
        messages=messages, kills=kills, now=datetime.now(UTC), say=lambda line: click.echo(line, err=True)
    )
    if as_json:
        say_json({**jsonable(proof), "holds": proof.holds})
    else:
        for name, value in proof.rows():
            say(f"{name:<12} {value}")
    return 0 if proof.holds else 1
