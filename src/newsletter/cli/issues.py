"""`newsletter issues …`: compose, look, approve, deliver, account."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, say, say_json, table
from newsletter.errors import InputError

if TYPE_CHECKING:
    from newsletter.model import Account, Issue


@click.group()
def issues() -> None:
    """Compose, preview, deliver and account for issues."""


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


def _issue(context: Context, newsletter: str | None, number: int | None) -> Issue:
    return context.publisher.issue(chosen_newsletter(context, newsletter), number)


def _past_issue(context: Context, newsletter: str | None, number: int | None) -> Issue:
    """Find an issue to look at or to hold: its newsletter may be configured no longer."""
    if newsletter is not None and context.publisher.issues(newsletter):
        return context.publisher.issue(newsletter, number)
    return _issue(context, newsletter, number)


@issues.command("list")
@newsletter_argument
@json_option
@pass_context
def list_(context: Context, newsletter: str | None, as_json: bool) -> None:
    """List the issues with their sums."""
    found = context.publisher.issues(newsletter)
    if newsletter and not found:
        chosen_newsletter(context, newsletter)  # known, or never heard of
    rows = [(one, context.publisher.account(one.id)) for one in found]
    if as_json:
        say_json([{**_facts(one), "account": account} for one, account in rows])
        return
    if not rows:
        say("There is no issue yet. Compose one with: newsletter issues compose")
    table(
        (
            "issue",
            "state",
            "due",
            "audience",
            "accepted",
            "refused",
            "suppressed",
            "unknown",
            "waiting",
            "subject",
        ),
        (
            (
                f"{one.newsletter} {one.number}",
                one.state,
                one.due,
                account.audience,
                account.accepted,
                account.refused,
                account.suppressed,
                account.unknown,
                account.waiting + account.attempting,
                one.subject,
            )
            for one, account in rows
        ),
    )


@issues.command()
@newsletter_argument
@number_option
@json_option
@pass_context
def show(context: Context, newsletter: str | None, number: int | None, as_json: bool) -> None:
    """Show one issue: its posts and its sum."""
    issue = _past_issue(context, newsletter, number)
    account = context.publisher.account(issue.id)
    posts = context.publisher.posts_of(issue.id)
    if as_json:
        say_json(
            {
                **_facts(issue),
                "note": context.publisher.note_of(issue),
                "account": account,
                "posts": [{"id": p.id, "title": p.title} for p in posts],
            }
        )
        return
    say(f"{issue.newsletter} {issue.number}: {issue.subject}")
    say(f"state {issue.state.value}" + (f" ({issue.reason})" if issue.reason else ""))
    if note := context.publisher.note_of(issue):
        say(f"note: {note}")
    say(f"due {issue.due:%Y-%m-%d %H:%M}Z, frozen as {issue.sha256[:16]}")
    for post in posts:
        say(f"  {post.published:%Y-%m-%d}  {post.title}")
    say_account(account)


def say_account(account: Account) -> None:
    """Print the balancing sum on one line."""
    presumed = f" (presumed {account.presumed})" if account.presumed else ""
    waiting = account.waiting + account.attempting
    say(
        f"audience {account.audience} = accepted {account.accepted}{presumed} + refused {account.refused} + "
        f"suppressed {account.suppressed} + unknown {account.unknown} + waiting {waiting}"
        f": {'balances' if account.balances else 'DOES NOT BALANCE'}"
    )


def _facts(issue: Issue) -> dict[str, object]:
    return {
        "newsletter": issue.newsletter,
        "number": issue.number,
        "state": issue.state,
        "reason": issue.reason,
        "due": issue.due,
        "subject": issue.subject,
        "sha256": issue.sha256,
    }


@issues.command()
@newsletter_argument
@click.option("--explain", is_flag=True, help="Say of each post why it is in or out; compose nothing.")
@json_option
@pass_context
def compose(context: Context, newsletter: str | None, explain: bool, as_json: bool) -> None:
    """Compose the issue that is due: the newest slot that has come."""
    name = chosen_newsletter(context, newsletter)
    now = datetime.now(UTC)
    publisher = context.publisher
    slot = publisher.due_slot(name, now=now)
    if explain:
        explained = publisher.explain(name, slot, now=now)
        if as_json:
            say_json(explained)
        else:
            table(("post", "in", "why"), ((e.title, "in" if e.included else "out", e.why) for e in explained))
        return
    composition = publisher.compose(name, slot, now=now)
    if as_json:
        issue = composition.issue
        say_json(
            {"state": composition.state, "note": composition.note, "issue": _facts(issue) if issue else None}
        )
    elif composition.issue is None:
        say(f"{name}, due {slot.due:%Y-%m-%d %H:%M}Z: {composition.note}")
    else:
        one = composition.issue
        fresh = "Composed" if composition.fresh else "Nothing new is due: already composed was"
        say(f"{fresh} {name} {one.number}, due {one.due:%Y-%m-%d %H:%M}Z: {one.subject}")
        if composition.note:
            say(composition.note)


@issues.command()
@newsletter_argument
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write (default: preview/ in the publication's folder).",
)
@click.option(
    "--to", "address", default="reader@example.org", metavar="ADDRESS", help="The reader it is made for."
)
@click.option("--name", default="", metavar="NAME", help="That reader's name.")
@click.option(
    "--language", default="", metavar="TAG", help="That reader's language (default: the newsletter's)."
)
@click.option(
    "--timezone", "zone", default="", metavar="ZONE", help="That reader's zone (default: likewise)."
)
@click.option("--notices", is_flag=True, help="Also the mails of welcome, confirmation and goodbye.")
@pass_context
def preview(
    context: Context,
    newsletter: str | None,
    output: Path | None,
    address: str,
    name: str,
    language: str,
    zone: str,
    notices: bool,
) -> None:
    """Write what the next issue would be: digest.html, digest.txt, digest.eml. Changes nothing."""
    from newsletter.model import Reader

    now = datetime.now(UTC)
    output = output or context.folder / "preview"
    chosen = chosen_newsletter(context, newsletter)
    reader = Reader(subscriber_id=0, address=address, name=name, language=language, timezone=zone, since=now)
    seen = context.publisher.preview(chosen, reader, now=now)
    files = {"digest.html": seen.html.encode(), "digest.txt": seen.text.encode(), "digest.eml": seen.eml}
    if notices:
        for kind, (page, text) in context.publisher.preview_notices(chosen, reader).items():
            files |= {f"{kind}.html": page.encode(), f"{kind}.txt": text.encode()}
    try:
        output.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (output / file).write_bytes(content)
            say(str(output / file))
    except OSError as e:
        raise InputError(
            f"the preview cannot be written: {e.strerror}",
            where=str(output),
            remedy="Choose another folder with -o",
        ) from e


@issues.command()
@newsletter_argument
@number_option
@click.option("--force", is_flag=True, help="Although the digest breaks a rule; needs --reason.")
@click.option("--reason", default="", metavar="TEXT", help="Why it goes all the same; kept with the issue.")
@pass_context
def approve(context: Context, newsletter: str | None, number: int | None, force: bool, reason: str) -> None:
    """Let an issue be delivered; one whose digest breaks a rule only with --force and a reason."""
    reason = " ".join(reason.split())
    if force != bool(reason):
        raise InputError(
            "--force and --reason go together",
            where="issues approve",
            remedy='Say why it goes all the same: --force --reason "…"',
        )
    issue = _issue(context, newsletter, number)
    context.publisher.approve(issue.id, now=datetime.now(UTC), force=reason)
    say(f"{issue.newsletter} {issue.number} is approved" + (f", by force: {reason}" if force else "."))


@issues.command()
@newsletter_argument
@number_option
@click.option("--reason", default="held by the editor", help="Kept with the issue.")
@pass_context
def hold(context: Context, newsletter: str | None, number: int | None, reason: str) -> None:
    """Hold an issue: nothing more of it is sent until it is delivered again. `stop` is the same."""
    issue = _past_issue(context, newsletter, number)
    context.publisher.hold(issue.id, now=datetime.now(UTC), reason=reason)
    say(f"{issue.newsletter} {issue.number} is held: {reason}")


issues.add_command(hold, "stop")


@issues.command()
@newsletter_argument
@number_option
@json_option
@pass_context
def deliver(context: Context, newsletter: str | None, number: int | None, as_json: bool) -> int:
    """Release an issue and deliver it; Ctrl-C stops cleanly, the same command resumes."""
    from newsletter.cli.progress import Progress, stopping

    issue = _issue(context, newsletter, number)
    publisher = context.publisher
    _refuse_nobody(publisher.audience(issue.newsletter, now=datetime.now(UTC)), issue)
    publisher.release(issue.id, now=datetime.now(UTC))
    stop = threading.Event()
    with stopping(stop), Progress(enabled=not as_json) as progress:
        account = publisher.deliver(issue.id, stop=stop, progress=progress.update)
    issue = publisher.issue(issue.newsletter, issue.number)
    if as_json:
        say_json({**_facts(issue), "account": account})
    else:
        say_account(account)
        _say_what_next(issue, account, stop.is_set())
    return 0 if account.balances and not issue.reason else 3


def _refuse_nobody(audience: int, issue: Issue) -> None:
    """Keep an editor from using up an issue before anybody could get it."""
    if issue.released_at is None and not audience:
        raise InputError(
            f"nobody is subscribed to {issue.newsletter} yet",
            where=f"{issue.newsletter} {issue.number}",
            remedy="Add people first: newsletter subscribers add, or import",
        )


def _say_what_next(issue: Issue, account: Account, stopped: bool) -> None:
    again = f"newsletter issues deliver {issue.newsletter} -n {issue.number}"
    if issue.reason:
        say(f"Held: {issue.reason}. When that is mended: {again}")
    elif stopped:
        say(f"Stopped. Resume with: {again}")
    elif account.waiting:
        say(f"{account.waiting} wait for a later attempt: `newsletter run` makes it, or {again}")
    elif account.unknown:
        say(f"{account.unknown} are unknown: see `newsletter issues audit`, then `issues retry --unknown`")
    elif account.presumed:
        see = "see `newsletter issues audit`, then `issues retry --presumed`"
        say(f"{account.presumed} are only presumed accepted: {see}")


@issues.command()
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
    issue = _issue(context, newsletter, number)
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


@issues.command()
@newsletter_argument
@number_option
@json_option
@pass_context
def audit(context: Context, newsletter: str | None, number: int | None, as_json: bool) -> int:
    """Name every subscriber's outcome and check the sum; exit 1 when it does not balance."""
    issue = _past_issue(context, newsletter, number)
    result = context.publisher.audit(issue.id)
    if as_json:
        say_json({**_facts(issue), "audit": result})
    else:
        table(
            ("address", "state", "attempts", "reason"),
            ((d.reader.address, d.state, d.attempts, d.reason) for d in result.deliveries),
            title=f"{issue.newsletter} {issue.number}",
        )
        say_account(result.account)
    return 0 if result.account.balances else 1
