"""`newsletter subscribers …`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, jsonable, say, say_json, table
from newsletter.errors import InputError
from newsletter.model import Standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from newsletter.subscriptions import ImportLine


@click.group()
def subscribers() -> None:
    """Import, export, add, show, verify and forget subscribers."""


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
@click.option("--welcome", is_flag=True, help="Send the person a welcome.")
@pass_context
def add(
    context: Context, address: str, newsletters: tuple[str, ...], name: str, consent: str, welcome: bool
) -> None:
    """Add one person who agreed to be written to."""
    chosen = newsletters or tuple(one.name for one in context.config.newsletters)
    for one in chosen:
        context.config.newsletter(one)
    said = context.publisher.add_subscriber(
        address, chosen, name=name, consent=consent, now=datetime.now(UTC)
    )
    say(f"{said.address}: {said.outcome}" + (f" ({said.why})" if said.why else ""))
    if welcome and said.outcome.value in ("added", "updated"):
        _welcome(context, said.address, chosen)


def _welcome(context: Context, address: str, newsletters: Sequence[str]) -> None:
    from newsletter import letters
    from newsletter.store import subscribers as stored

    with context.publisher.store.write() as tx:
        person = stored.find(tx, address)
        if person is None:
            return
        for one in newsletters:
            letters.request(tx, letters.NoticeKind.WELCOME, person, one, now=datetime.now(UTC))


FORMATS = ("newsletter", "mailchimp", "listmonk", "ghost", "substack", "buttondown")


def _standing(_: click.Context, __: click.Parameter, given: str | None) -> Standing | None:
    return Standing(given) if given else None


def _tags(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Read `TAG=NEWSLETTER`."""
    pairs = [one.rpartition("=") for one in given]
    if not all(tag and newsletter for tag, _, newsletter in pairs):
        raise click.BadParameter("write TAG=NEWSLETTER")
    return {tag: newsletter for tag, _, newsletter in pairs}


@subscribers.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--newsletter", "to", multiple=True, metavar="NAME", help="For rows that name none.")
@click.option("--consent", default="", help="How and when these people agreed, for rows that do not say.")
@click.option("--wording", default="", help="The exact words they were shown, for rows that do not say.")
@click.option("--wording-language", default="", metavar="TAG", help="The language of those words.")
@click.option(
    "--format", "program", type=click.Choice(FORMATS), help="Whose export it is (default: its header tells)."
)
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG=NEWSLETTER", callback=_tags, help="What a tag stands for."
)
@click.option(
    "--standing",
    type=click.Choice(("unsubscribed", "suppressed")),
    callback=_standing,
    help="That of everybody in the file, when it cannot say so itself.",
)
@click.option("--dry-run", is_flag=True, help="Report by line and change nothing.")
@click.option("--all-lines", is_flag=True, help="Report every line, not only those that need saying.")
@json_option
@pass_context
def import_(
    context: Context, /, file: Path, program: str | None, all_lines: bool, as_json: bool, **options: Any
) -> int:
    """Import a CSV file; nobody unsubscribed or suppressed is revived."""
    told: list[Any] = []
    on_line = (told.append if as_json else _say_line) if all_lines else None
    report = context.publisher.import_subscribers(
        file, program=program or "", on_line=on_line, now=datetime.now(UTC), **options
    )
    if as_json:
        say_json({**jsonable(report), "lines": told} if all_lines else report)
        return 2 if report.refused else 0
    for line in () if all_lines else report.lines:
        _say_line(line)
    if report.more:
        say(f"  and {report.more} more lines, see --all-lines")
    say(
        f"{file} ({report.format}): {report.added} added, {report.updated} updated, {report.unchanged} unchanged, "
        f"{report.refused} refused" + (" (nothing was changed: dry run)" if report.dry_run else "")
    )
    return 2 if report.refused else 0


def _say_line(line: ImportLine) -> None:
    say(f"  line {line.line}: {line.address or '?'}: {line.outcome}" + (f": {line.why}" if line.why else ""))


@subscribers.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--newsletter", metavar="NAME", help="Of this newsletter alone.")
@click.option("--format", "program", type=click.Choice(FORMATS), default=FORMATS[0], help="For whose import.")
@click.option(
    "--standing",
    type=click.Choice(("pending", "active", "paused", "unsubscribed", "suppressed")),
    callback=_standing,
    help="Of people who stand so alone (default: all; for another program: active).",
)
@pass_context
def export(context: Context, /, file: Path, **options: Any) -> None:
    """Export everybody into a CSV file (readable by you alone); it can be imported again."""
    count = context.publisher.export_subscribers(file, **options)
    say(f"{file}: {count} rows. It holds personal data: keep it safe.")


@subscribers.command()
@click.argument("address")
@click.option("--proof", is_flag=True, help="The record of consent as JSON that can be verified alone.")
@json_option
@pass_context
def show(context: Context, address: str, proof: bool, as_json: bool) -> None:
    """Show all that is stored about one person."""
    if proof:
        document = context.publisher.prove_consent(address, now=datetime.now(UTC))
        if document is None:
            raise InputError(f"nobody is stored under {address}", remedy="See: newsletter subscribers list")
        say_json(document)
        return
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


@subscribers.command()
@click.argument("proof", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@pass_context
def verify(context: Context, proof: Path | None, as_json: bool) -> int:
    """Check the ledger of consents, or one proof that `show --proof` wrote; exit 1 on a broken line."""
    if proof is not None:
        return _verify_proof(proof, as_json)
    chain = context.publisher.verify_consents()
    if as_json:
        say_json(chain)
    elif chain.broken:
        number, why = chain.broken[0]
        say(f"line {number}: {why}. It is the first of {len(chain.broken)} broken lines")
    else:
        say(f"{chain.lines} lines are whole ({chain.erased} of people who were erased). Head: {chain.head}")
    return 1 if chain.broken else 0


def _verify_proof(file: Path, as_json: bool) -> int:
    from newsletter.subscriptions import check_proof

    try:
        broken = check_proof(json.loads(file.read_bytes()))
    except (OSError, ValueError) as e:
        raise InputError(f"it is not JSON: {e}", where=str(file), remedy="Name a proof") from e
    if as_json:
        say_json({"broken": broken})
    elif broken:
        say(f"{file}: line {broken[0][0]}: {broken[0][1]}")
    else:
        say(f"{file}: every line is what was written.")
    return 1 if broken else 0
