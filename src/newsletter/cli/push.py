"""`newsletter websub …`: push of feeds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, say, say_json, table

if TYPE_CHECKING:
    from newsletter.websub import Overview


@click.group()
def websub() -> None:
    """Show and tell who waits for changed feeds: hubs, and subscribers of the built-in hub."""


@websub.command("list")
@json_option
@pass_context
def list_(context: Context, as_json: bool) -> int:
    """List what hubs are still to be told, and the subscriptions at the built-in hub."""
    from newsletter import websub as push

    return _say(context, push.overview(context.publisher.store), as_json=as_json)


@websub.command()
@json_option
@pass_context
def send(context: Context, as_json: bool) -> int:
    """Tell and send now what waits, was put off or was given up; for sites without the daemon."""
    from newsletter import websub as push

    store, now = context.publisher.store, datetime.now(UTC)
    push.note(store, context.config, now=now)
    push.try_again(store, now=now)
    if context.config.hubs and not push.push(store, context.config):
        click.echo("Not sent from here: another process does it, or this store is a copy.", err=True)
    return _say(context, push.overview(store), as_json=as_json)


@websub.command()
@click.argument("number", type=int, metavar="ID")
@pass_context
def remove(context: Context, number: int) -> None:
    """End a subscription at the built-in hub; its subscriber may come again."""
    from newsletter import websub as push

    push.remove(context.publisher.store, number)
    say(f"Subscription {number} is removed.")


def _say(context: Context, found: Overview, *, as_json: bool) -> int:
    if as_json:
        say_json(found)
    else:
        if not context.config.hubs:
            say("No hub is configured. Set hub = true under [websub], or hubs under [feeds].")
        notices = [
            (one.hub, one.topic, one.since, one.next_at or "given up", one.failure) for one in found.notices
        ]
        table(("hub", "to be told of", "since", "next", "failure"), notices)
        columns = ("id", "callback", "topic", "signed", "until", "taken", "waits since", "failure")
        rows = [
            (
                one.id,
                one.callback,
                one.topic,
                one.signed,
                one.expires_at,
                one.served_at,
                one.waiting_since,
                one.failure,
            )
            for one in found.subscriptions
        ]
        table(columns, rows)
        say(
            f"{len(found.notices)} notices to hubs wait; {len(found.subscriptions)} subscriptions, "
            f"{found.requests} to be verified"
        )
    return 1 if any(one.next_at is None for one in found.notices) else 0
