"""The editor's word on a frozen issue: approve it, hold it."""

from __future__ import annotations

from datetime import datetime

from newsletter.errors import InputError
from newsletter.model import Issue, IssueState
from newsletter.store import Store, Tx, deliveries
from newsletter.store import issues as stored


def approve(store: Store, issue_id: int, *, now: datetime, reason: str = "") -> Issue:
    """Let an issue be delivered; one that was held while it was delivered goes on."""
    with store.write() as tx:
        issue = _existing(tx, issue_id)
        if issue.state in (IssueState.COMPOSED, IssueState.HELD):
            state = IssueState.RELEASED if issue.released_at else IssueState.APPROVED
            stored.set_state(tx, issue_id, state, now=now, reason=reason)
            if issue.released_at:
                deliveries.resume(tx, issue_id, now=now)
        elif issue.state is IssueState.FINISHED:
            raise _wrong_state(issue, "approved")
        return _existing(tx, issue_id)


def hold(store: Store, issue_id: int, *, now: datetime, reason: str) -> Issue:
    """Stop an issue: nothing more of it is sent until it is approved or delivered again."""
    with store.write() as tx:
        issue = _existing(tx, issue_id)
        if issue.state is IssueState.FINISHED:
            raise _wrong_state(issue, "held")
        stored.set_state(tx, issue_id, IssueState.HELD, now=now, reason=reason)
        return _existing(tx, issue_id)


def _existing(tx: Tx, issue_id: int) -> Issue:
    issue = stored.by_id(tx, issue_id)
    if issue is None:
        raise InputError(f"there is no issue with the id {issue_id}", remedy="See: newsletter issues list")
    return issue


def _wrong_state(issue: Issue, what: str) -> InputError:
    return InputError(
        f"an issue that is {issue.state.value} cannot be {what}",
        where=f"{issue.newsletter} {issue.number}",
        remedy="Its deliveries are over: newsletter issues audit",
    )
