"""`newsletter issues …`: compose, look, approve, deliver, account."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.accounts import (
    audit,
    chosen_newsletter,
    facts,
    issue_of,
    log,
    newsletter_argument,
    number_option,
    overdue,
    overdue_facts,
    past_issue,
    paused,
    retry,
    say_account,
    say_overdue,
    show,
    waves,
)
from newsletter.cli.output import json_option, say, say_json, table
from newsletter.errors import InputError

if TYPE_CHECKING:
    from newsletter.issues import Composition
    from newsletter.model import Account, Issue, Slot


@click.group()
def issues() -> None:
    """Compose, preview, deliver and account for issues."""


for one in (show, retry, audit, log):
    issues.add_command(one)


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
    late = overdue(context, newsletter)
    if as_json:
        listed = [{**facts(one), "account": account} for one, account in rows]
        say_json({"issues": listed, "overdue": overdue_facts(late)})
        return
    say_overdue(late)
    if not rows:
        say("There is no issue yet. Compose one with: newsletter issues compose")
    sums = ("audience", "accepted", "refused", "suppressed", "unknown")
    table(
        ("issue", "state", "due", *sums, "waiting", "subject"),
        (
            (
                f"{one.newsletter} {one.number}",
                f"{one.state} {paused(one)}".rstrip(),
                one.due,
                *(getattr(account, name) for name in sums),
                account.waiting + account.attempting,
                one.subject,
            )
            for one, account in rows
        ),
    )


@issues.command()
@newsletter_argument
@click.option("--explain", is_flag=True, help="Say of each post why it is in or out; compose nothing.")
@click.option("--again", is_flag=True, help="Compose an issue anew that was not released; its number stays.")
@number_option
@json_option
@pass_context
def compose(
    context: Context,
    newsletter: str | None,
    explain: bool,
    again: bool,
    number: int | None,
    as_json: bool,
) -> None:
    """Compose the issue that is due: the newest slot that has come."""
    name = chosen_newsletter(context, newsletter)
    now = datetime.now(UTC)
    publisher = context.publisher
    if (explain and again) or (number is not None and not again):
        raise InputError("-n goes with --again, and --explain without it", where="issues compose")
    slot = publisher.due_slot(name, now=now)
    if explain:
        explained = publisher.explain(name, slot, now=now)
        if as_json:
            say_json(explained)
        else:
            table(("post", "in", "why"), ((e.title, "in" if e.included else "out", e.why) for e in explained))
        return
    if again:
        composition = publisher.compose_again(publisher.issue(name, number).id, now=now)
    else:
        composition = publisher.compose(name, slot, now=now)
    _say_composition(name, slot, composition, as_json)


def _say_composition(name: str, slot: Slot, composition: Composition, as_json: bool) -> None:
    if as_json:
        issue = composition.issue
        say_json(
            {"state": composition.state, "note": composition.note, "issue": facts(issue) if issue else None}
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
    except OSError as e:
        raise InputError(
            f"the preview cannot be written: {e.strerror}",
            where=str(output),
            remedy="Choose another folder with -o",
        ) from e
    for file in files:
        say(str(output / file))


@issues.command()
@newsletter_argument
@number_option
@click.option("--force", is_flag=True, help="Although the digest breaks a rule; needs --reason.")
@click.option("--reason", default="", metavar="TEXT", help="Why it goes all the same; kept with the issue.")
@pass_context
def approve(context: Context, newsletter: str | None, number: int | None, force: bool, reason: str) -> None:
    """Let an issue be delivered; one whose digest breaks a rule only with --force and a reason."""
    reason = _forced(force, reason)
    issue = issue_of(context, newsletter, number)
    context.publisher.approve(issue.id, now=datetime.now(UTC), force=reason)
    say(f"{issue.newsletter} {issue.number} is approved" + (f", by force: {reason}" if force else "."))


def _forced(force: bool, reason: str) -> str:
    """Return why something goes all the same, empty when it is not forced."""
    reason = " ".join(reason.split())
    if force != bool(reason):
        raise InputError(
            "--force and --reason go together",
            where="issues",
            remedy='Say why it goes all the same: --force --reason "…"',
        )
    return reason


@issues.command()
@newsletter_argument
@number_option
@click.option("--force", is_flag=True, help="Although the digest breaks a rule; needs --reason.")
@click.option("--reason", default="", metavar="TEXT", help="Why it goes all the same; kept with the issue.")
@json_option
@pass_context
def correct(
    context: Context, newsletter: str | None, number: int | None, force: bool, reason: str, as_json: bool
) -> None:
    """Render a held issue anew, for those who were not served yet; its posts were mended and gathered before."""
    reason = _forced(force, reason)
    issue = issue_of(context, newsletter, number)
    made = context.publisher.correct(issue.id, now=datetime.now(UTC), force=reason)
    counts = {"renewed": made.renewed, "kept": made.kept, "size_before": made.size_before, "size": made.size}
    if as_json:
        say_json({**facts(made.issue), "changes": made.changes, **counts})
        return
    name = f"{issue.newsletter} {issue.number}"
    if not made.changes:
        say(f"{name}: nothing changed. Mend the post, then: newsletter gather")
        return
    for change in made.changes:
        say(f"  {change}")
    say(f"the longest message has {made.size:,} bytes, before {made.size_before:,}")
    say(
        f"{name} is corrected, rendering {made.issue.revision}: {made.renewed} get it; {made.kept} got an earlier one "
        f"or may have. Go on with: newsletter issues deliver {issue.newsletter} -n {issue.number}"
    )


@issues.command()
@newsletter_argument
@number_option
@click.option("--reason", default="held by the editor", help="Kept with the issue.")
@click.option(
    "--until",
    metavar="WHEN",
    help="Go on by itself then: a date and time in the newsletter's zone, or a duration such as 2h.",
)
@pass_context
def hold(
    context: Context, newsletter: str | None, number: int | None, reason: str, until: str | None
) -> None:
    """Hold an issue: nothing more of it is sent until it is delivered again. `stop` is the same."""
    issue, now = past_issue(context, newsletter, number), datetime.now(UTC)
    instant = None if until is None else context.publisher.instant(issue.newsletter, until, now=now)
    context.publisher.hold(issue.id, now=now, reason=reason, until=instant)
    say(
        f"{issue.newsletter} {issue.number} is held{f' until {instant:%Y-%m-%d %H:%M}Z' if instant else ''}: {reason}"
    )


issues.add_command(hold, "stop")


@issues.command()
@newsletter_argument
@number_option
@click.option("--all", "everybody", is_flag=True, help="Also those who wait for the canary or a wave.")
@json_option
@pass_context
def deliver(
    context: Context, newsletter: str | None, number: int | None, everybody: bool, as_json: bool
) -> int:
    """Release an issue and deliver it; Ctrl-C stops cleanly, the same command resumes."""
    from newsletter.cli.progress import Progress, stopping

    issue = issue_of(context, newsletter, number)
    publisher = context.publisher
    _refuse_nobody(publisher.audience(issue.newsletter, now=datetime.now(UTC)), issue)
    publisher.release(issue.id, now=datetime.now(UTC), everybody=everybody)
    stop = threading.Event()
    with stopping(stop), Progress(enabled=not as_json) as progress:
        account = publisher.deliver(issue.id, stop=stop, progress=progress.update)
    issue = publisher.issue(issue.newsletter, issue.number)
    if as_json:
        say_json({**facts(issue), "account": account})
    else:
        say_account(account)
        _say_what_next(issue, account, waves(issue, publisher.stand(issue.id)), stop.is_set())
    return 0 if account.balances and not issue.reason else 3


def _refuse_nobody(audience: int, issue: Issue) -> None:
    """Keep an editor from using up an issue before anybody could get it."""
    if issue.released_at is None and not audience:
        raise InputError(
            f"nobody is subscribed to {issue.newsletter} yet",
            where=f"{issue.newsletter} {issue.number}",
            remedy="Add people first: newsletter subscribers add, or import",
        )


def _say_what_next(issue: Issue, account: Account, where: str, stopped: bool) -> None:
    again = f"newsletter issues deliver {issue.newsletter} -n {issue.number}"
    if issue.reason:
        say(f"Held: {issue.reason}. When that is mended: {again}")
    elif stopped:
        say(f"Stopped. Resume with: {again}")
    elif where:
        say(f"{where[0].upper()}{where[1:]}")
    elif account.waiting:
        when = f", the next from {account.next_at:%Y-%m-%d %H:%M}Z on" if account.next_at else ""
        say(f"{account.waiting} wait for later{when}: `newsletter run` delivers them, or {again}")
    elif account.unknown:
        say(f"{account.unknown} are unknown: see `newsletter issues audit`, then `issues retry --unknown`")
    elif account.presumed:
        see = "see `newsletter issues audit`, then `issues retry --presumed`"
        say(f"{account.presumed} are only presumed accepted: {see}")
