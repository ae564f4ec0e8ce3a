"""The editor's word on a frozen issue: approve it, hold it; and what no rule lets go without that word."""

from __future__ import annotations

from datetime import datetime

from newsletter.config import Config
from newsletter.errors import InputError
from newsletter.issues.checking import broken, check_issue
from newsletter.model import Issue, IssueState, Slot
from newsletter.store import Store, Tx, deliveries, turns
from newsletter.store import issues as stored


def approve(store: Store, config: Config, issue_id: int, *, now: datetime, force: str = "") -> Issue:
    """Let an issue be delivered; one that was held while it was delivered goes on.

    Of one whose canary was delivered the others follow. A canary that was held goes on alone: the others need a
    word of their own.

    Raises InputError for one whose digest breaks a rule, unless `force` says why it goes all the same: that is
    kept with the issue until its release, and with its slot for good.
    """
    with store.write() as tx:
        issue = _existing(tx, issue_id)
        if issue.state is IssueState.FINISHED:
            raise _wrong_state(issue, "approved")
        if issue.released_at is not None:
            if issue.state is IssueState.HELD:
                stored.set_state(tx, issue_id, IssueState.RELEASED, now=now)
                deliveries.resume(tx, issue_id, now=now)
            elif turns.stand(tx, issue_id).canary:
                turns.open_to(tx, issue_id, 1, now=now)
        elif issue.state is not IssueState.APPROVED or (force and not issue.reason):
            fault = broken(check_issue(tx, config, issue))
            if fault and not force:
                raise fault_of(issue, fault)
            stored.set_state(tx, issue_id, IssueState.APPROVED, now=now, reason=force and f"forced: {force}")
            if force:
                add_note(tx, issue, f"forced: {force}")
        return _existing(tx, issue_id)


def hold(store: Store, issue_id: int, *, now: datetime, reason: str, until: datetime | None = None) -> Issue:
    """Stop an issue: nothing more of it is sent until it is approved or delivered again, or until an instant.

    Raises InputError for a pause of an issue that was not released: nothing goes by itself before its first word.
    """
    with store.write() as tx:
        issue = _existing(tx, issue_id)
        if issue.state is IssueState.FINISHED:
            raise _wrong_state(issue, "held")
        if until is not None and issue.released_at is None:
            raise InputError(
                "this issue is not being delivered yet, so it cannot be paused until an instant",
                where=f"{issue.newsletter} {issue.number}",
                remedy="Hold it without --until; `newsletter issues approve` lets it go",
            )
        if until is not None and until <= now:
            raise InputError(f"{until:%Y-%m-%d %H:%M}Z is not in the future", where="--until")
        stored.set_state(tx, issue_id, IssueState.HELD, now=now, reason=reason, until=until)
        return _existing(tx, issue_id)


def end_pauses(store: Store, *, now: datetime) -> list[Issue]:
    """Let the issues go on whose pause is over; return them."""
    with store.read() as tx:
        if not stored.paused(tx, until=now):
            return []
    with store.write() as tx:
        over = stored.paused(tx, until=now)
        for issue_id in over:
            stored.set_state(tx, issue_id, IssueState.RELEASED, now=now)
            deliveries.resume(tx, issue_id, now=now)
        return [_existing(tx, issue_id) for issue_id in over]


def refuse_broken(store: Store, config: Config, issue_id: int, *, now: datetime) -> None:
    """Hold an issue about to be released whose digest breaks a rule, and raise InputError; what was forced may go.

    Composing checks too; since then a post that is linked may have gone, or the configuration changed.
    """
    with store.read() as tx:
        issue = stored.by_id(tx, issue_id)
        if issue is None or issue.released_at is not None or issue.state is IssueState.COMPOSED:
            return
        if issue.state is IssueState.APPROVED and issue.reason:
            return
        fault = broken(check_issue(tx, config, issue))
    if fault and issue.state is IssueState.APPROVED:
        hold(store, issue_id, now=now, reason=fault)
    if fault:
        raise fault_of(issue, fault)


def note_of(store: Store, issue: Issue) -> str:
    """Return what an editor should know of an issue: what composing left out, and why it was forced."""
    with store.read() as tx:
        known = stored.slot_of(tx, Slot(newsletter=issue.newsletter, due=issue.due))
    return known[2] if known is not None and known[1] == issue.id else ""


def add_note(tx: Tx, issue: Issue, note: str) -> None:
    """Keep a note with the slot of an issue, behind those it has."""
    slot = Slot(newsletter=issue.newsletter, due=issue.due)
    known = stored.slot_of(tx, slot)
    if known is not None and known[1] == issue.id:
        note = "; ".join(filter(None, (known[2], note)))
        stored.settle_slot(tx, slot, known[0], issue_id=issue.id, note=note)


def _existing(tx: Tx, issue_id: int) -> Issue:
    issue = stored.by_id(tx, issue_id)
    if issue is None:
        raise InputError(f"there is no issue with the id {issue_id}", remedy="See: newsletter issues list")
    return issue


def fault_of(issue: Issue, fault: str, *, verb: str = "approve") -> InputError:
    """Return the error that a digest breaks a rule; `verb` is the command that takes it all the same."""
    which = f"{issue.newsletter} -n {issue.number}"
    return InputError(
        fault,
        where=f"{issue.newsletter} {issue.number}",
        remedy=f"All of them: newsletter check digest {which}. To send it all the same: newsletter issues {verb} "
        f"{which} --force --reason TEXT",
    )


def _wrong_state(issue: Issue, what: str) -> InputError:
    return InputError(
        f"an issue that is {issue.state.value} cannot be {what}",
        where=f"{issue.newsletter} {issue.number}",
        remedy="Its deliveries are over: newsletter issues audit",
    )
