"""Newsletters, issues and deliveries: look, and give the editor's word."""

from __future__ import annotations

from collections.abc import Sequence

from newsletter import issues as composing
from newsletter.api import models
from newsletter.api.operations import Call, Reply, cursor_of, id_of
from newsletter.api.problems import conflict, invalid, missing
from newsletter.errors import ConfigError
from newsletter.model import Issue, IssueState
from newsletter.store import Tx, deliveries, listing
from newsletter.store import issues as stored


def newsletters(call: Call) -> Reply:
    """List the newsletters."""
    with call.publisher.store.read() as tx:
        items = [
            models.NewsletterBody(
                name=one.name,
                title=one.title,
                description=one.description,
                audience=deliveries.audience(tx, one.name, now=call.now),
            )
            for one in call.publisher.newsletters()
        ]
    return Reply(body=models.NewsletterList(items=items))


def find(call: Call) -> Reply:
    """List issues, the newest first."""
    asked = call.asked(models.IssueQuery)
    if asked.newsletter is not None:
        try:
            call.publisher.config.newsletter(asked.newsletter)
        except ConfigError as e:
            raise invalid(str(e)) from e
    with call.publisher.store.read() as tx:
        ids = listing.issue_ids(
            tx,
            before=id_of(asked.cursor),
            limit=asked.limit + 1,
            newsletter=asked.newsletter,
            state=asked.state,
        )
        items = _bodies(tx, ids[: asked.limit])
    more = cursor_of(ids[asked.limit - 1]) if len(ids) > asked.limit else None
    return Reply(body=models.IssuePage(items=items, next=more))


def show(call: Call) -> Reply:
    """Show an issue and its account."""
    with call.publisher.store.read() as tx:
        found = _bodies(tx, [call.id])
    if not found:
        raise _no_issue(call)
    return Reply(body=found[0])


def approve(call: Call) -> Reply:
    """Let an issue be delivered."""
    _issue(call)
    call.publisher.approve(call.id, now=call.now, force=call.sent(models.Approval).force or "")
    return show(call)


def hold(call: Call) -> Reply:
    """Stop an issue."""
    _issue(call)
    sent = call.sent(models.Hold)
    call.publisher.hold(call.id, now=call.now, reason=sent.reason, until=sent.until)
    return show(call)


def resume(call: Call) -> Reply:
    """Let an issue go on that was held while it was delivered."""
    issue = _issue(call)
    if issue.state is not IssueState.HELD or issue.released_at is None:
        detail = f"The issue is {issue.state}; only one that was held while it was delivered can go on."
        raise conflict("not-held", detail)
    call.publisher.approve(call.id, now=call.now)
    return show(call)


def before_release(call: Call) -> None:
    """Hold an issue whose digest breaks a rule; that stays although the release is refused."""
    _issue(call)
    composing.refuse_broken(call.publisher.store, call.publisher.config, call.id, now=call.now)


def release(call: Call) -> Reply:
    """Fix an issue's audience; the daemon delivers it."""
    _issue(call)
    call.publisher.release(call.id, now=call.now, everybody=call.sent(models.Release).everybody)
    return show(call)


def outcomes(call: Call) -> Reply:
    """List an issue's deliveries."""
    _issue(call)
    asked = call.asked(models.DeliveryQuery)
    with call.publisher.store.read() as tx:
        found = listing.of_issue(
            tx, call.id, after=id_of(asked.cursor) or 0, limit=asked.limit + 1, state=asked.state
        )
    page = found[: asked.limit]
    items = [
        models.DeliveryBody(
            subscriber_id=one.reader.subscriber_id,
            state=one.state,
            attempts=one.attempts,
            presumed=one.presumed,
            reason=one.reason,
            not_before=one.not_before,
            revision=one.reader.revision,
        )
        for one in page
    ]
    more = cursor_of(page[-1].reader.subscriber_id) if len(found) > asked.limit else None
    return Reply(body=models.DeliveryPage(items=items, next=more))


def _issue(call: Call) -> Issue:
    with call.publisher.store.read() as tx:
        issue = stored.by_id(tx, call.id)
    if issue is None:
        raise _no_issue(call)
    return issue


def _no_issue(call: Call) -> Exception:
    return missing(f"There is no issue with the id {call.id}.")


def _bodies(tx: Tx, ids: Sequence[int]) -> list[models.IssueBody]:
    found = []
    for issue_id in ids:
        issue = stored.by_id(tx, issue_id)
        if issue is not None:
            found.append(_body(tx, issue))
    return found


def _body(tx: Tx, issue: Issue) -> models.IssueBody:
    account = deliveries.account(tx, issue.id)
    sums = {name: getattr(account, name) for name in models.AccountBody.model_fields}
    names = models.IssueBody.model_fields.keys() - {"posts", "account"}
    told = {name: getattr(issue, name) for name in names}
    return models.IssueBody(
        **told, posts=[*issue.post_ids, *issue.correction_ids], account=models.AccountBody(**sums)
    )
