"""`newsletter letters …`."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import partial

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, say, say_json, table
from newsletter.model import Account, Letter

_SUMS = ("audience", "accepted", "presumed", "refused", "suppressed", "unknown", "waiting", "next_at")


@click.group()
def letters() -> None:
    """Show and send letters: the short mails about a subscription itself."""


@letters.command("list")
@click.argument("newsletter", required=False)
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, help="How many, the newest first.")
@json_option
@pass_context
def list_(context: Context, newsletter: str | None, limit: int, as_json: bool) -> None:
    """List letters, the newest first, and what became of each."""
    from newsletter.letters import listed

    if newsletter is not None:
        context.config.newsletter(newsletter)
    with context.publisher.store.read() as tx:
        found = listed(tx, newsletter, limit=limit)
    if as_json:
        say_json([_told(one) for one in found])
        return
    columns = ("id", "asked_at", "newsletter", "kind", "address", "state", "not_before", "reason")
    table(columns, ([_told(one)[name] for name in columns] for one in found))


@letters.command()
@click.argument("newsletter", required=False)
@json_option
@pass_context
def send(context: Context, newsletter: str | None, as_json: bool) -> None:
    """Send the letters that wait now, of one newsletter or of all; those that a fault has held go on."""
    from newsletter import letterbox

    config, stop = context.config, threading.Event()
    chosen = config.newsletters if newsletter is None else (config.newsletter(newsletter),)
    clock, sent = partial(datetime.now, UTC), list[tuple[str, Account]]()
    for one in chosen:
        sums = letterbox.send(context.publisher.store, config, one, clock=clock, stop=stop, word=True)
        sent += [(one.name, each) for each in sums]
    if as_json:
        say_json(
            [{"newsletter": name, **{sum_: getattr(each, sum_) for sum_ in _SUMS}} for name, each in sent]
        )
        return
    for name, each in sent:
        later = f", the next at {each.next_at:%Y-%m-%d %H:%M}Z" if each.waiting and each.next_at else ""
        say(
            f"{name}: {each.audience} = {each.accepted} accepted + {each.refused} refused + "
            f"{each.suppressed} suppressed + {each.unknown} unknown + {each.waiting} waiting{later}"
        )
    if not sent:
        say("No letter waits.")


def _told(one: Letter) -> dict[str, object]:
    names = ("id", "newsletter", "kind", "subscriber_id", "address", "language", "asked_at", "expires_at")
    state = one.state.value if one.state is not None else "queued"
    told = {name: getattr(one, name) for name in names}
    return {**told, "state": state, "reason": one.reason, "not_before": one.not_before}
