"""The ledger: one row for each (issue, subscriber), and a line for each attempt.

Here are its beginning, its accounts and the editor's word; what happens while somebody delivers is in `leases`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    ScalarSelect,
    bindparam,
    case,
    func,
    insert,
    select,
    text,
    type_coerce,
    update,
)

from newsletter.errors import InputError
from newsletter.model import (
    Account,
    Attempt,
    Delivery,
    DeliveryState,
    EventKind,
    IssueState,
    Outcome,
    Reader,
    RefusalReason,
    Stage,
)
from newsletter.store import webhooks
from newsletter.store.columns import Instant
from newsletter.store.engine import Tx
from newsletter.store.schema import attempts, deliveries, issues

#: The line in a delivery's history that an editor's retry leaves; its time to expire runs from there.
RETRIED = "to be tried again by the editor's word"
#: What the reason of a delivery begins with that may have been accepted and is to be tried again, or is unknown.
DOUBTFUL = "in doubt"

_SAID = ("at", "epoch", "outcome", "stage", "transport", "server", "code", "enhanced", "text")

# Release


def release(tx: Tx, issue_id: int, *, now: datetime) -> bool:
    """Freeze an issue's audience and release it; return whether it was frozen now, for it stays as it is.

    A held issue goes on, and its readers' time to expire runs from now; one that is released or finished already
    is left alone.
    """
    issue = tx.execute(select(issues).where(issues.c.id == issue_id)).one_or_none()
    if issue is None:
        raise _no_issue(issue_id)
    if issue.state in (IssueState.RELEASED, IssueState.FINISHED):
        return False
    values: dict[str, Any] = {"state": IssueState.RELEASED, "reason": "", "held_until": None}
    if issue.released_at is None:
        values |= {
            "released_at": now,
            "audience": tx.execute(_FREEZE, {"issue": issue_id, "now": now}).rowcount,
        }
    else:
        resume(tx, issue_id, now=now)
    tx.execute(update(issues).where(issues.c.id == issue_id).values(values))
    if issue.released_at is None:
        webhooks.tell_issue(tx, EventKind.ISSUE_RELEASED, issue_id, now=now)
    return issue.released_at is None


def resume(tx: Tx, issue_id: int, *, now: datetime) -> None:
    """Let the time to expire of everybody who waits run from now, also of those who were tried before a hold.

    A canary that was held is looked at anew before the rest may go by itself.
    """
    tx.execute(update(issues).where(issues.c.id == issue_id).values(opens_at=None))
    waiting = (deliveries.c.issue_id == issue_id, deliveries.c.state == DeliveryState.WAITING)
    tx.execute(update(deliveries).where(*waiting).values(changed_at=now))
    had_a_turn = deliveries.c.due_at.is_(None) | (deliveries.c.due_at <= now)
    put_off = select(deliveries.c.subscriber_id).where(
        *waiting, deliveries.c.not_before.is_not(None), had_a_turn
    )
    epoch = tx.execute(select(issues.c.epoch).where(issues.c.id == issue_id)).scalar_one()
    _note_retried(tx, issue_id, tx.execute(put_off).scalars().all(), epoch=epoch, now=now)


def renew(tx: Tx, issue_id: int) -> int:
    """Let everybody who waits and certainly got nothing get the newest rendering; return how many that changes.

    Who was ever in doubt may have got theirs: if it is sent again, it is sent byte for byte.
    """
    return tx.execute(_RENEW, {"issue": issue_id}).rowcount


_RENEW = text(
    """UPDATE deliveries SET revision = (SELECT i.revision FROM issues i WHERE i.id = :issue)
    WHERE issue_id = :issue AND state IN ('waiting', 'attempting') AND state = 'waiting'
    AND revision < (SELECT i.revision FROM issues i WHERE i.id = :issue)
    AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.issue_id = deliveries.issue_id
        AND a.subscriber_id = deliveries.subscriber_id AND a.outcome = 'unknown')"""
)


def by_revision(tx: Tx, issue_id: int) -> dict[int, dict[DeliveryState, int]]:
    """Count an issue's deliveries by the rendering that is theirs, and by state."""
    query = (
        select(deliveries.c.revision, deliveries.c.state, func.count())
        .where(deliveries.c.issue_id == issue_id)
        .group_by(deliveries.c.revision, deliveries.c.state)
    )
    found: dict[int, dict[DeliveryState, int]] = {}
    for revision, state, count in tx.execute(query):
        found.setdefault(revision, {})[state] = count
    return found


def doubted_before(tx: Tx, issue_id: int) -> set[int]:
    """Return who of those being tried was in doubt before this try."""
    mine = (
        deliveries.c.issue_id == issue_id,
        text("deliveries.state IN ('waiting', 'attempting')"),
        deliveries.c.state == DeliveryState.ATTEMPTING,
        deliveries.c.reason.startswith(DOUBTFUL),
    )
    return set(tx.execute(select(deliveries.c.subscriber_id).where(*mine)).scalars())


def audience(tx: Tx, newsletter: str, *, now: datetime) -> int:
    """Count those to whom an issue of this newsletter would go if it were released now."""
    return int(tx.execute(_COUNT, {"newsletter": newsletter, "now": now}).scalar_one())


_READERS = "(p.standing = 'active' OR (p.standing = 'paused' AND p.paused_until <= :now))"
_COUNT = text(
    f"SELECT count(*) FROM subscriptions p WHERE p.newsletter = :newsletter AND {_READERS}"  # noqa: S608 — constants
).bindparams(bindparam("now", type_=Instant()))
_FREEZE = text(
    f"""INSERT INTO deliveries
    (issue_id, subscriber_id, address, name, language, timezone, since, state, changed_at)
    SELECT i.id, s.id, s.address, s.name, s.language, s.timezone, p.since, 'waiting', :now
    FROM issues i JOIN subscriptions p ON p.newsletter = i.newsletter JOIN subscribers s ON s.id = p.subscriber_id
    WHERE i.id = :issue AND {_READERS}"""  # noqa: S608 — constants
).bindparams(bindparam("now", type_=Instant()))


def due(tx: Tx, issue_id: int, *, after: int, now: datetime, limit: int) -> list[Delivery]:
    """Return deliveries that may be tried now, in the order of subscribers behind `after`."""
    query = (
        select(*ROW)
        .where(
            deliveries.c.issue_id == issue_id,
            deliveries.c.subscriber_id > after,
            text("deliveries.state IN ('waiting', 'attempting')"),  # the partial index's own words
            deliveries.c.state == DeliveryState.WAITING,
            (deliveries.c.not_before.is_(None)) | (deliveries.c.not_before <= now),
            deliveries.c.wave <= open_wave(issue_id),
        )
        .order_by(deliveries.c.subscriber_id)
        .limit(limit)
    )
    return [delivery_of(row) for row in tx.execute(query)]


def open_wave(issue_id: int) -> ScalarSelect[int]:
    """Return the subquery for the newest wave of an issue that is open."""
    return select(issues.c.wave).where(issues.c.id == issue_id).scalar_subquery()


# Accounts


def account(tx: Tx, issue_id: int) -> Account:
    """Count an issue's deliveries by state."""
    issue = tx.execute(select(issues).where(issues.c.id == issue_id)).one_or_none()
    if issue is None:
        raise _no_issue(issue_id)
    query = (
        select(
            deliveries.c.state,
            func.count(),
            func.sum(type_coerce(deliveries.c.presumed, Integer)),
            func.min(case((deliveries.c.wave <= issue.wave, deliveries.c.not_before))),
        )
        .where(deliveries.c.issue_id == issue_id)
        .group_by(deliveries.c.state)
    )
    rows = {row[0]: row for row in tx.execute(query)}
    counts = {state.value: rows[state][1] for state in rows}
    accepted, waiting = rows.get(DeliveryState.ACCEPTED), rows.get(DeliveryState.WAITING)
    coming = [at for at in (waiting[3], issue.opens_at) if at is not None] if waiting else []
    return Account(
        audience=issue.audience,
        presumed=int(accepted[2] or 0) if accepted else 0,
        next_at=min(coming, default=None),
        **counts,
    )


def listed(tx: Tx, issue_id: int) -> Iterator[Delivery]:
    """Give every delivery of an issue, in the order of subscribers."""
    query = select(*ROW).where(deliveries.c.issue_id == issue_id).order_by(deliveries.c.subscriber_id)
    return (delivery_of(row) for row in tx.execute(query))


def history(tx: Tx, issue_id: int) -> dict[int, tuple[Attempt, ...]]:
    """Return every line of an issue's history by subscriber, the oldest first."""
    found: dict[int, list[Attempt]] = {}
    for row in tx.execute(select(attempts).where(attempts.c.issue_id == issue_id).order_by(attempts.c.id)):
        found.setdefault(row.subscriber_id, []).append(attempt_of(row))
    return {subscriber_id: tuple(lines) for subscriber_id, lines in found.items()}


def retry(
    tx: Tx, issue_id: int, *, states: Collection[DeliveryState], presumed: bool = False, now: datetime
) -> int:
    """Let those in these states wait again, and those only presumed accepted; reopen the issue.

    Refused for good are those that a server rejected; expired and quarantined ones are not.
    """
    issue = tx.execute(select(issues.c.state, issues.c.epoch).where(issues.c.id == issue_id)).one_or_none()
    if issue is None:
        raise _no_issue(issue_id)
    for_good = deliveries.c.reason.startswith(RefusalReason.REJECTED.value)
    chosen: ColumnElement[bool] = deliveries.c.state.in_(sorted(states))
    if presumed:
        only_presumed = type_coerce(deliveries.c.presumed, Integer) == 1
        chosen |= (deliveries.c.state == DeliveryState.ACCEPTED) & only_presumed
    again = (
        update(deliveries)
        .where(
            deliveries.c.issue_id == issue_id,
            chosen,
            (deliveries.c.state != DeliveryState.REFUSED) | ~for_good,
            deliveries.c.address != "",  # of one who was erased nobody is left to write to
        )
        .values(
            state=DeliveryState.WAITING,
            attempts=0,
            not_before=None,
            changed_at=now,
            reason=RETRIED,
            presumed=False,
        )
        .returning(deliveries.c.subscriber_id)
    )
    ids = list(tx.execute(again).scalars())
    if ids:
        _note_retried(tx, issue_id, ids, epoch=issue.epoch, now=now)
        if issue.state is IssueState.FINISHED:
            reopened = {"state": IssueState.RELEASED, "finished_at": None}
            tx.execute(update(issues).where(issues.c.id == issue_id).values(reopened))
    return len(ids)


def _note_retried(tx: Tx, issue_id: int, ids: Sequence[int], *, epoch: int, now: datetime) -> None:
    line = Attempt(at=now, epoch=epoch, outcome=Outcome.NOT_SENT, stage=Stage.LOCAL, text=RETRIED)
    if ids:
        tx.execute(insert(attempts), [line_of(issue_id, subscriber_id, line) for subscriber_id in ids])


def line_of(issue_id: int, subscriber_id: int, attempt: Attempt) -> dict[str, Any]:
    """Make a row of a line of history."""
    return {
        "issue_id": issue_id,
        "subscriber_id": subscriber_id,
        **{name: getattr(attempt, name) for name in _SAID},
    }


def attempt_of(row: Row[Any]) -> Attempt:
    """Make a line of history of a row."""
    return Attempt(**{name: getattr(row, name) for name in _SAID})


ROW = (
    deliveries.c.subscriber_id,
    deliveries.c.address,
    deliveries.c.name,
    deliveries.c.language,
    deliveries.c.timezone,
    deliveries.c.since,
    deliveries.c.revision,
    deliveries.c.issue_id,
    deliveries.c.state,
    deliveries.c.attempts,
    deliveries.c.not_before,
    deliveries.c.reason,
    deliveries.c.presumed,
    deliveries.c.epoch,
)


def delivery_of(row: Row[*tuple[Any, ...]]) -> Delivery:
    """Make a noun of a row that begins with `ROW`."""
    values = tuple(row)
    number, address, name, language, timezone, since, revision, *rest = values
    issue_id, state, attempts, not_before, reason, presumed, epoch = rest[:7]
    return Delivery(
        reader=Reader(
            subscriber_id=number,
            address=address,
            name=name,
            language=language,
            timezone=timezone,
            since=since,
            revision=revision,
        ),
        issue_id=issue_id,
        state=state,
        attempts=attempts,
        not_before=not_before,
        reason=reason,
        presumed=presumed,
        epoch=epoch,
    )


def _no_issue(issue_id: int) -> InputError:
    return InputError(f"there is no issue {issue_id}", where="issues", remedy="See: newsletter issues list")
