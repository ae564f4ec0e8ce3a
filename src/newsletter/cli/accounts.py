"""`newsletter issues show, retry, audit, log`: what became of an issue, and the words that both halves share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, jsonable, say, say_json, table
from newsletter.errors import InputError

if TYPE_CHECKING:
    from newsletter.deliver import DomainAccount, Trouble
    from newsletter.issues import Overdue
    from newsletter.model import Account, DeliveryState, Issue, Rendering
    from newsletter.store.turns import Stand


def chosen_newsletter(context: Context, name: str | None) -> str:
    """Return the newsletter that is meant: the one named, or the only one."""
    known = [one.name for one in context.config.newsletters]
    if name is not None:
        return context.config.newsletter(name).name
    if len(known) == 1:
        return known[0]
    raise InputError(
        "which newsletter is meant?" if known else "no newsletter is configured",
        where="issues",
        remedy=f"Name one: {', '.join(known)}" if known else "Add [[newsletters]] to newsletter.toml",
    )


newsletter_argument = click.argument("newsletter", required=False)
number_option = click.option(
    "-n", "--number", type=int, metavar="N", help="Issue number (default: the newest)."
)


def issue_of(context: Context, newsletter: str | None, number: int | None) -> Issue:
    """Find the issue that is meant."""
    return context.publisher.issue(chosen_newsletter(context, newsletter), number)


def past_issue(context: Context, newsletter: str | None, number: int | None) -> Issue:
    """Find an issue to look at or to hold: its newsletter may be configured no longer."""
    if newsletter is not None and context.publisher.issues(newsletter):
        return context.publisher.issue(newsletter, number)
    return issue_of(context, newsletter, number)


@click.command()
@newsletter_argument
@number_option
@json_option
@pass_context
def show(context: Context, newsletter: str | None, number: int | None, as_json: bool) -> None:
    """Show one issue: its posts and its sum."""
    issue = past_issue(context, newsletter, number)
    account = context.publisher.account(issue.id)
    posts = context.publisher.posts_of(issue.id)
    upcoming = context.publisher.upcoming(issue.id)
    stand = context.publisher.stand(issue.id)
    summary = context.publisher.summary(issue.id)
    renderings = context.publisher.renderings(issue)
    late = [one for one in overdue(context, issue.newsletter) if one.slot.due == issue.due]
    if as_json:
        say_json(
            {
                **facts(issue),
                "note": context.publisher.note_of(issue),
                "account": account,
                "posts": [{"id": p.id, "title": p.title} for p in posts],
                "upcoming": [{"at": at, "waiting": count} for at, count in upcoming],
                "waves": stand,
                "domains": summary[0],
                "troubles": summary[1],
                "renderings": rendering_facts(renderings),
                "overdue": overdue_facts(late),
            }
        )
        return
    say_overdue(late)
    say(f"{issue.newsletter} {issue.number}: {issue.subject}")
    why = " ".join(filter(None, (paused(issue), f"({issue.reason})" if issue.reason else "")))
    say(f"state {issue.state.value} {why}".rstrip())
    if note := context.publisher.note_of(issue):
        say(f"note: {note}")
    say(f"due {issue.due:%Y-%m-%d %H:%M}Z, frozen as {issue.sha256[:16]}")
    say_renderings(renderings)
    for post in posts:
        say(f"  {post.published:%Y-%m-%d}  {post.title}")
    say_account(account)
    for at, count in upcoming:
        say(f"  {at:%Y-%m-%d %H:%M}Z  {count} due")
    if where := waves(issue, stand):
        say(where)
    _say_summary(*summary)


def rendering_facts(
    found: Sequence[tuple[Rendering, dict[DeliveryState, int]]],
) -> list[dict[str, object]]:
    """Return what JSON says of an issue's renderings, and of whose they are."""
    return [{**jsonable(one), "states": states} for one, states in found]


def say_renderings(found: Sequence[tuple[Rendering, dict[DeliveryState, int]]]) -> None:
    """Print the renderings of an issue that was corrected."""
    for one, states in found if len(found) > 1 else ():
        whose = ", ".join(f"{state} {count}" for state, count in sorted(states.items())) or "nobody"
        note = f": {one.note}" if one.note else ""
        say(f"  rendering {one.revision} of {one.made_at:%Y-%m-%d %H:%M}Z, {one.sha256[:16]} ({whose}){note}")


def _say_summary(domains: Sequence[DomainAccount], troubles: Sequence[Trouble]) -> None:
    """Print the sum by domain, and what servers said beside acceptances."""
    states = ("accepted", "refused", "suppressed", "unknown", "waiting")
    table(
        ("domain", "audience", *states),
        (
            (
                one.domain or "(erased)",
                one.audience,
                *(one.states.get(state, 0) for state in states[:-1]),
                one.states.get("waiting", 0) + one.states.get("attempting", 0),
            )
            for one in domains
        ),
        title="by domain",
    )
    table(
        ("count", "outcome", "stage", "code", "enhanced", "text"),
        ((one.count, one.outcome, one.stage, one.code or "", one.enhanced, one.text) for one in troubles),
        title="by reply",
    )


def waves(issue: Issue, stand: Stand) -> str:
    """Say how far the canary and the waves are; nothing when nobody waits for them."""
    if not stand.closed:
        return ""
    when = f" from {stand.opens_at:%Y-%m-%d %H:%M}Z on" if stand.opens_at else ""
    if not stand.canary:
        return f"wave {stand.wave} of {stand.last} is open; {stand.closed} wait for the next{when}"
    word = f"newsletter issues approve {issue.newsletter} -n {issue.number}"
    return f"the canary is out; {stand.closed} others wait{when}, or for your word: {word}"


def say_account(account: Account) -> None:
    """Print the balancing sum on one line."""
    presumed = f" (presumed {account.presumed})" if account.presumed else ""
    waiting = account.waiting + account.attempting
    say(
        f"audience {account.audience} = accepted {account.accepted}{presumed} + refused {account.refused} + "
        f"suppressed {account.suppressed} + unknown {account.unknown} + waiting {waiting}"
        f": {'balances' if account.balances else 'DOES NOT BALANCE'}"
    )


def paused(issue: Issue) -> str:
    """Say until when an issue is paused; nothing when it is not."""
    return f"until {issue.held_until:%Y-%m-%d %H:%M}Z" if issue.held_until else ""


def overdue(context: Context, newsletter: str | None) -> list[Overdue]:
    """Return the slots that passed and whose issues did not go."""
    now = datetime.now(UTC)
    names = [one.name for one in context.publisher.newsletters() if newsletter in (None, one.name)]
    found = (context.publisher.overdue(name, now=now) for name in names)
    return [one for one in found if one is not None]


def say_overdue(found: Sequence[Overdue]) -> None:
    """Print what did not go."""
    for one in found:
        say(
            f"OVERDUE: {one.slot.newsletter}, the issue of {one.slot.due:%Y-%m-%d %H:%M}Z did not go: {one.why}"
        )


def overdue_facts(found: Sequence[Overdue]) -> list[dict[str, object]]:
    """Return what JSON says of what did not go."""
    return [{"newsletter": one.slot.newsletter, "due": one.slot.due, "why": one.why} for one in found]


def facts(issue: Issue) -> dict[str, object]:
    """Return what JSON says of an issue."""
    return {
        "newsletter": issue.newsletter,
        "number": issue.number,
        "state": issue.state,
        "reason": issue.reason,
        "due": issue.due,
        "subject": issue.subject,
        "sha256": issue.sha256,
        "revision": issue.revision,
        "held_until": issue.held_until,
    }


@click.command()
@newsletter_argument
@number_option
@click.option("--refused-temporarily", is_flag=True, help="Those given up after temporary refusals.")
@click.option("--unknown", is_flag=True, help="Those whose fate is not known: some may get a second copy.")
@click.option("--presumed", is_flag=True, help="Those presumed accepted after a crash: likewise.")
@pass_context
def retry(
    context: Context,
    newsletter: str | None,
    number: int | None,
    refused_temporarily: bool,
    unknown: bool,
    presumed: bool,
) -> None:
    """Let deliveries wait again, by your explicit word."""
    if not (refused_temporarily or unknown or presumed):
        raise InputError(
            "what is to be tried again?", remedy="Add --refused-temporarily, --unknown or --presumed"
        )
    issue = issue_of(context, newsletter, number)
    count = context.publisher.retry(
        issue.id,
        refused_temporarily=refused_temporarily,
        unknown=unknown,
        presumed=presumed,
        now=datetime.now(UTC),
    )
    say(
        f"{count} wait again. Deliver them with: newsletter issues deliver {issue.newsletter} -n {issue.number}"
    )


@click.command()
@newsletter_argument
@number_option
@json_option
@pass_context
def audit(context: Context, newsletter: str | None, number: int | None, as_json: bool) -> int:
    """Name every subscriber's outcome and check the sum; exit 1 when it does not balance."""
    issue = past_issue(context, newsletter, number)
    result = context.publisher.audit(issue.id)
    renderings = context.publisher.renderings(issue)
    if as_json:
        say_json({**facts(issue), "renderings": rendering_facts(renderings), "audit": result})
    else:
        say_renderings(renderings)
        table(
            ("address", "state", "rendering", "attempts", "reason"),
            ((d.reader.address, d.state, d.reader.revision, d.attempts, d.reason) for d in result.deliveries),
            title=f"{issue.newsletter} {issue.number}",
        )
        _say_summary(result.domains, result.troubles)
        say_account(result.account)
    return 0 if result.account.balances else 1


@click.command()
@newsletter_argument
@number_option
@click.option("--addresses", is_flag=True, help="With the readers' addresses; without it by their numbers.")
@pass_context
def log(context: Context, newsletter: str | None, number: int | None, addresses: bool) -> None:
    """Write every attempt of an issue as one line of JSON."""
    issue = past_issue(context, newsletter, number)
    for line in context.publisher.log(issue.id, addresses=addresses):
        said = jsonable(line)
        if not addresses:
            del said["address"]
        click.echo(json.dumps(said, ensure_ascii=False))
