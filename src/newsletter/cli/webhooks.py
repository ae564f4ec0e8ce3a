"""`newsletter webhooks …`: what receivers are told, and what they did not take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, say, say_json, table

if TYPE_CHECKING:
    from newsletter.model import WebhookState


@click.group()
def webhooks() -> None:
    """Show, try and repeat what webhooks are told."""


@webhooks.command("list")
@json_option
@pass_context
def list_(context: Context, as_json: bool) -> int:
    """List the webhooks with what waits for them; exit 1 when something was given up."""
    from newsletter.api import webhooks as hooks

    return _say(hooks.listed(context.publisher.store), as_json=as_json)


@webhooks.command("test")
@click.argument("url", required=False)
@json_option
@pass_context
def test_(context: Context, url: str | None, as_json: bool) -> int:
    """Send an event of the type webhook.test to one webhook, or to all; exit 1 when one does not take it."""
    from newsletter.api import webhooks as hooks

    tried = hooks.probe(context.config, url, now=datetime.now(UTC))
    if as_json:
        say_json([{"url": one.url, "status": one.status, "failure": one.failure} for one in tried])
    else:
        for one in tried:
            say(f"{one.url}: {one.failure or f'taken ({one.status})'}")
    return 1 if any(one.failure for one in tried) else 0


@webhooks.command()
@json_option
@pass_context
def retry(context: Context, as_json: bool) -> int:
    """Tell now what was put off or given up."""
    from newsletter.api import webhooks as hooks

    store = context.publisher.store
    count = hooks.retry(store, context.config)
    if not as_json:
        say(f"{count} events were tried again.")
    return _say(hooks.listed(store), as_json=as_json)


def _say(found: Sequence[WebhookState], *, as_json: bool) -> int:
    if as_json:
        say_json(found)
    else:
        rows = [
            (one.url, " ".join(one.events), one.told, one.told_at, one.waiting, one.given_up, one.failure)
            for one in found
        ]
        table(("url", "events", "told", "last", "waiting", "given up", "failure"), rows)
        if not rows:
            say("No webhook is configured: see [[webhooks]] in docs/reference.md")
    return 1 if any(one.given_up for one in found) else 0
