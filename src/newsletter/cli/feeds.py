"""`newsletter feeds …`."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, say, say_json, table

SERVERS = ("nginx", "caddy", "apache")


@click.group()
def feeds() -> None:
    """Show who reads the feeds, and where that went which was published once."""


@feeds.command()
@click.option("--days", type=click.IntRange(1, 90), default=14, show_default=True, help="Told in these days.")
@json_option
@pass_context
def readers(context: Context, days: int, as_json: bool) -> None:
    """Show how many subscribers aggregators say they have; kept without addresses."""
    from newsletter import subscriptions

    found = subscriptions.feed_readers(context.publisher.store, now=datetime.now(UTC), days=days)
    if as_json:
        say_json(found)
        return
    if not found:
        say("No aggregator has told how many subscribers it has.")
        return
    table(
        ("feed", "aggregator", "subscribers", "told"),
        ((one.feed, one.agent, one.subscribers, one.seen_at) for one in found),
    )
    for feed, some in groupby(found, key=lambda one: one.feed):
        say(f"{feed}: {sum(one.subscribers for one in some)} subscribers")


@feeds.command()
@click.option("--for", "server", type=click.Choice(SERVERS), help="As a file for this web server.")
@json_option
@pass_context
def moves(context: Context, server: str | None, as_json: bool) -> None:
    """Show what was moved (301) and what is gone (410)."""
    from newsletter import moves as moving

    found = moving.find(context.publisher.store, context.config)
    if as_json:
        say_json({"moved": found.moved, "gone": sorted(found.gone)})
    elif server is not None:
        for line in moving.SERVERS[server](found):
            click.echo(line)
    else:
        gone = ((path, 410, "") for path in sorted(found.gone))
        table(
            ("path", "status", "to"), [*((path, 301, to) for path, to in sorted(found.moved.items())), *gone]
        )
