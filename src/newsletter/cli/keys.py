"""`newsletter api-keys …`: who may use the API, and for what."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, say, say_json, table

#: As in `newsletter.api.keys.Scope`; a test compares them. Spelt out, so that `--help` stays quick.
SCOPES = ("subscribers:read", "subscribers:write", "issues:read", "issues:write", "deliveries:read")


@click.group("api-keys")
def api_keys() -> None:
    """Make, list and revoke keys of the API."""


@api_keys.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="May be repeated."
)
@click.option(
    "--expires", "lasts", metavar="DURATION", help="How long it holds, such as 90d (default: for ever)."
)
@json_option
@pass_context
def add(context: Context, name: str, scopes: tuple[str, ...], lasts: str | None, as_json: bool) -> None:
    """Make a key and show its token, this once."""
    from newsletter.api import keys
    from newsletter.config import parse_duration

    now = datetime.now(UTC)
    try:
        until = None if lasts is None else now + parse_duration(lasts)
    except ValueError as e:
        raise click.BadParameter(str(e), param_hint="--expires") from e
    token = keys.make(
        context.publisher.store, name, [keys.Scope(one) for one in scopes], now=now, until=until
    )
    if as_json:
        say_json({"name": name, "token": token, "scopes": sorted(set(scopes)), "expires_at": until})
        return
    click.echo(token)
    click.echo("This is shown once: keep it where secrets are kept.", err=True)


@api_keys.command("list")
@json_option
@pass_context
def list_(context: Context, as_json: bool) -> None:
    """List the keys, also those that hold no longer; never a token."""
    from newsletter.api import keys

    found = keys.listed(context.publisher.store)
    names = ("name", "prefix", "scopes", "created", "expires_at", "revoked_at", "last_used")
    if as_json:
        say_json([{name: getattr(one, name) for name in names} for one in found])
        return
    rows = [
        (
            one.name,
            one.prefix,
            " ".join(one.scopes),
            one.created,
            one.expires_at,
            one.revoked_at,
            one.last_used and f"{one.last_used:%Y-%m-%d}",
        )
        for one in found
    ]
    table(("name", "prefix", "scopes", "made", "expires", "revoked", "last used"), rows)
    if not rows:
        say("There is no key: newsletter api-keys add NAME --scope subscribers:read")


@api_keys.command()
@click.argument("name")
@pass_context
def revoke(context: Context, name: str) -> None:
    """Let a key hold no longer, from the next request on."""
    from newsletter.api import keys

    keys.revoke(context.publisher.store, name, now=datetime.now(UTC))
    say(f"The key {name} holds no longer.")
