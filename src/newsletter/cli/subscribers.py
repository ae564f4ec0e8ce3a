"""`newsletter subscribers …`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, say, say_json, table
from newsletter.errors import InputError


@click.group()
def subscribers() -> None:
    """Import, export, add, show and forget subscribers."""


@subscribers.command("list")
@click.option("--newsletter", metavar="NAME", help="Of this newsletter alone.")
@json_option
@pass_context
def list_(context: Context, newsletter: str | None, as_json: bool) -> None:
    """List subscriptions and their standing."""
    rows = context.publisher.subscriptions(newsletter)
    if as_json:
        say_json(list(rows))
        return
    table(
        ("address", "name", "newsletter", "standing", "since"),
        ((s.subscriber.address, s.subscriber.name, s.newsletter, s.standing, s.since) for s in rows),
    )


@subscribers.command()
@click.argument("address")
@click.option("--newsletter", "newsletters", multiple=True, metavar="NAME", help="Default: every newsletter.")
@click.option("--name", default="", help="What to call the person.")
@click.option("--consent", required=True, help="How and when the person agreed, in your words; it is kept.")
@pass_context
def add(context: Context, address: str, newsletters: tuple[str, ...], name: str, consent: str) -> None:
    """Add one person who agreed to be written to."""
    chosen = newsletters or tuple(one.name for one in context.config.newsletters)
    for one in chosen:
        context.config.newsletter(one)
    said = context.publisher.add_subscriber(
        address, chosen, name=name, consent=consent, now=datetime.now(UTC)
    )
    say(f"{said.address}: {said.outcome}" + (f" ({said.why})" if said.why else ""))


@subscribers.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--newsletter", metavar="NAME", help="For rows that name none.")
@click.option("--consent", default="", help="How and when these people agreed, for rows that do not say.")
@click.option("--dry-run", is_flag=True, help="Report by line and change nothing.")
@json_option
@pass_context
def import_(
    context: Context, file: Path, newsletter: str | None, consent: str, dry_run: bool, as_json: bool
) -> int:
    """Import a CSV file; nobody unsubscribed or suppressed is revived."""
    report = context.publisher.import_subscribers(
        file, newsletter=newsletter, consent=consent, dry_run=dry_run, now=datetime.now(UTC)
    )
    if as_json:
        say_json(report)
    else:
        say(
            f"{file}: {report.added} added, {report.updated} updated, {report.unchanged} unchanged, "
            f"{report.refused} refused" + (" (nothing was changed: dry run)" if dry_run else "")
        )
        for line in report.lines:
            say(f"  line {line.line}: {line.address or '?'}: {line.outcome}: {line.why}")
    return 2 if report.refused else 0


@subscribers.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@pass_context
def export(context: Context, file: Path) -> None:
    """Export everybody into a CSV file (readable by you alone); it can be imported again."""
    count = context.publisher.export_subscribers(file)
    say(f"{file}: {count} rows. It holds personal data: keep it safe.")


@subscribers.command()
@click.argument("address")
@json_option
@pass_context
def show(context: Context, address: str, as_json: bool) -> None:
    """Show all that is stored about one person."""
    record = context.publisher.show_subscriber(address)
    if record is None:
        raise InputError(f"nobody is stored under {address}", remedy="See: newsletter subscribers list")
    if as_json:
        say_json(record)
        return
    person = record.subscriber
    say(f"{person.address}  {person.name}  language {person.language or '-'}, zone {person.timezone or '-'}")
    if record.suppression is not None:
        gone = record.suppression
        say(f"Suppressed since {gone.at:%Y-%m-%d}: {gone.reason.value}. {gone.note}".rstrip())
    table(
        ("newsletter", "standing", "since"),
        ((s.newsletter, s.standing, s.since) for s in record.subscriptions),
        title="Subscriptions",
    )
    table(
        ("at", "act", "newsletter", "channel", "detail"),
        ((c.at, c.act, c.newsletter, c.channel, c.detail) for c in record.consents),
        title="Consent",
    )
    table(
        ("issue", "state", "attempts", "reason"),
        ((d.issue_id, d.state, d.attempts, d.reason) for d in record.deliveries),
        title="Deliveries",
    )
    table(
        ("report", "at", "kind", "status", "issue", "deed", "reason"),
        ((b.id, b.at, b.kind, b.status, b.issue_id, b.deed, b.reason) for b in record.bounces),
        title="What came back",
    )


@subscribers.command()
@click.argument("address")
@click.option("--renew", is_flag=True, help="Make a new address; the one before is gone.")
@json_option
@pass_context
def feed(context: Context, address: str, renew: bool, as_json: bool) -> None:
    """Show the address of a subscriber's own feed; whoever has it can read it."""
    from newsletter.subscriptions import feed_address

    keys, root = context.config.token_keys(), context.config.web_url
    own = feed_address(context.publisher.store, keys, root, address, renew=renew)
    if as_json:
        say_json({"address": address, "feed": own})
        return
    click.echo(own)


@subscribers.command()
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_context
def forget(context: Context, address: str, yes: bool) -> None:
    """Erase one person; only a keyed hash stays, so that no import brings them back."""
    if not yes:
        click.confirm(f"Erase everything about {address}?", abort=True)
    if not context.publisher.forget_subscriber(address, now=datetime.now(UTC)):
        raise InputError(f"nobody is stored under {address}", remedy="See: newsletter subscribers list")
    say(f"{address} is erased and will not be written to again.")
