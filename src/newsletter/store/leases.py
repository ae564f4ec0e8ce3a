"""The lease on an issue: who holds it may move its deliveries, and nobody else.

A lease is the issue's epoch, raised when it was taken. Every statement made under it is fenced by that epoch,
so that an owner who was thought dead changes nothing. Rows move along `model.DELIVERY_EDGES` only: each UPDATE
names the states it starts from.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import TextClause, bindparam, func, select, text, update

from newsletter.errors import InputError, LeaseLost
from newsletter.model import DeliveryState, EventKind, IssueState, Lease, RefusalReason, Settlement
from newsletter.store import meta, webhooks
from newsletter.store.columns import Instant, bind_instant
from newsletter.store.deliveries import RETRIED, account
from newsletter.store.engine import Tx
from newsletter.store.schema import deliveries, issues

_STANDS = """EXISTS (SELECT 1 FROM subscriptions s WHERE s.subscriber_id = deliveries.subscriber_id
    AND s.newsletter = :newsletter
    AND (s.standing = 'active' OR (s.standing = 'paused' AND s.paused_until <= :now)))"""
#: To whom a letter may go at the moment of sending: what it tells is still so, and the address is not suppressed.
_AWAITS = """EXISTS (SELECT 1 FROM letters l JOIN subscribers p ON p.id = l.subscriber_id
    WHERE l.issue_id = deliveries.issue_id AND l.subscriber_id = deliveries.subscriber_id
    AND NOT EXISTS (SELECT 1 FROM suppressions x WHERE x.address_hash = l.address_hash)
    AND (l.kind IN ('link', 'address') OR EXISTS (
        SELECT 1 FROM subscriptions s WHERE s.subscriber_id = l.subscriber_id AND s.newsletter = :newsletter
        AND ((l.kind = 'confirmation' AND s.standing IN ('pending', 'unsubscribed'))
            OR (l.kind = 'welcome' AND s.standing IN ('active', 'paused'))
            OR (l.kind = 'goodbye' AND s.standing = 'unsubscribed')))))"""
_OURS = """EXISTS (SELECT 1 FROM issues i WHERE i.id = :issue AND i.epoch = :epoch AND i.state = 'released'
    AND i.wave >= deliveries.wave)"""


# Taking it, and what an earlier owner left


def take_lease(tx: Tx, issue_id: int, *, owner: str) -> Lease:
    """Raise the epoch: whoever delivered before is fenced off from here on."""
    taken = (
        update(issues)
        .where(issues.c.id == issue_id, issues.c.state == IssueState.RELEASED)
        .values(epoch=issues.c.epoch + 1, owner=owner)
        .returning(issues.c.newsletter, issues.c.number, issues.c.epoch)
    )
    row = tx.execute(taken).one_or_none()
    meta.count_lease(tx)
    if row is None:
        raise InputError(
            "this issue is not released",
            where=f"issue {issue_id}",
            remedy="Release it, or see why it is held",
        )
    letters = row.number < 0
    return Lease(issue_id=issue_id, newsletter=row.newsletter, epoch=row.epoch, letters=letters)


def owner_before(tx: Tx, issue_id: int) -> str:
    """Return who took the lease last, as they called themselves."""
    return tx.execute(select(issues.c.owner).where(issues.c.id == issue_id)).scalar() or ""


def in_doubt(tx: Tx, lease: Lease) -> list[int]:
    """Return the subscribers whose deliveries an earlier owner left attempting."""
    left = select(deliveries.c.subscriber_id).where(
        deliveries.c.issue_id == lease.issue_id,
        deliveries.c.state == DeliveryState.ATTEMPTING,
        deliveries.c.epoch < lease.epoch,
    )
    return list(tx.execute(left).scalars())


def inherit(tx: Tx, lease: Lease, settlements: Sequence[Settlement], *, now: datetime) -> None:
    """Settle what an earlier owner left in doubt."""
    _settle(tx, lease, settlements, now, "state = 'attempting' AND epoch < :epoch")


def fence(tx: Tx, lease: Lease) -> bool:
    """Make sure that the lease still holds; return whether the issue is still to be delivered.

    Raises LeaseLost when another owner has come.
    """
    row = tx.execute(_FENCE, {"issue": lease.issue_id}).one_or_none()
    if row is None or row.epoch != lease.epoch:
        raise LeaseLost(
            "another process delivers this issue now",
            where=f"issue {lease.issue_id}",
            remedy="Nothing was changed; look at the other process",
        )
    return bool(row.state is IssueState.RELEASED)


_FENCE = select(issues.c.epoch, issues.c.state).where(issues.c.id == bindparam("issue"))


# Delivering, always behind the fence in the same transaction


def claim(tx: Tx, lease: Lease, ids: Collection[int], *, now: datetime) -> tuple[set[int], set[int]]:
    """Write the intent to send to these; return those claimed and those found suppressed.

    One statement is claim, fence and last look at the reader's standing at once. A row that is in neither
    set is no longer due: somebody else moved it.
    """
    bound = {
        "issue": lease.issue_id,
        "epoch": lease.epoch,
        "newsletter": lease.newsletter,
        "now": now,
        "ids": among(tx, ids),
    }
    claimed = set(tx.execute(_claim(tx.dialect.name, lease.letters), bound).scalars())
    rest = set(ids) - claimed
    if not rest:
        return claimed, rest
    bound["ids"] = among(tx, rest)
    return claimed, set(tx.execute(_drop(tx.dialect.name, lease.letters), bound).scalars())


@cache
def _claim(dialect: str, letters: bool) -> TextClause:
    may = _AWAITS if letters else _STANDS
    return text(
        f"""UPDATE deliveries SET state = 'attempting', epoch = :epoch, attempts = attempts + 1, changed_at = :now
        WHERE issue_id = :issue AND state = 'waiting' AND {_AMONG[dialect]}
        AND (not_before IS NULL OR not_before <= :now) AND {_OURS} AND {may}
        RETURNING subscriber_id"""  # noqa: S608  (constant texts only)
    ).bindparams(bindparam("now", type_=Instant()))


@cache
def _drop(dialect: str, letters: bool) -> TextClause:
    may, why = (_AWAITS, _WHY_NO_LETTER) if letters else (_STANDS, _WHY_NOT)
    return text(
        f"""UPDATE deliveries SET state = 'suppressed', changed_at = :now, not_before = NULL, reason = {why}
        WHERE issue_id = :issue AND state = 'waiting' AND {_AMONG[dialect]} AND {_OURS} AND NOT {may}
        RETURNING subscriber_id"""  # noqa: S608  (constant texts only)
    ).bindparams(bindparam("now", type_=Instant()))


_WHY_NOT = """COALESCE((SELECT s.standing FROM subscriptions s
    WHERE s.subscriber_id = deliveries.subscriber_id AND s.newsletter = :newsletter), 'erased')"""
_WHY_NO_LETTER = f"""CASE WHEN EXISTS (SELECT 1 FROM letters l JOIN suppressions x ON x.address_hash = l.address_hash
    WHERE l.issue_id = deliveries.issue_id AND l.subscriber_id = deliveries.subscriber_id)
    THEN 'suppressed' ELSE {_WHY_NOT} END"""  # noqa: S608  (constant texts only)
_AMONG = {
    "sqlite": "subscriber_id IN (SELECT value FROM json_each(:ids))",
    "postgresql": "subscriber_id = ANY(:ids)",
}


def among(tx: Tx, ids: Iterable[int]) -> Any:
    """Bind ids as the dialect's own array."""
    return list(ids) if tx.dialect.name == "postgresql" else json.dumps(list(ids))


def settle(tx: Tx, lease: Lease, settlements: Sequence[Settlement], *, now: datetime) -> None:
    """Write outcomes of this owner's attempts, or of what was never tried.

    Raises LeaseLost when a row is not as it was left. Who was never tried may have left meanwhile: that stands.
    """
    tried = [one for one in settlements if one.before is DeliveryState.ATTEMPTING]
    _settle(tx, lease, tried, now, "state = 'attempting' AND epoch = :epoch")
    untried = {one.subscriber_id: one for one in settlements if one.before is DeliveryState.WAITING}
    if not untried:
        return
    bound = {"issue": lease.issue_id, "newsletter": lease.newsletter, "epoch": lease.epoch, "now": now}
    bound["ids"] = among(tx, untried)
    tx.execute(_drop(tx.dialect.name, lease.letters), bound)
    staying = tx.execute(_not_suppressed(tx.dialect.name), bound).scalars()
    _settle(tx, lease, [untried[one] for one in staying], now, "state = 'waiting'")


@cache
def _not_suppressed(dialect: str) -> TextClause:
    return text(
        f"""SELECT subscriber_id FROM deliveries
        WHERE issue_id = :issue AND state <> 'suppressed' AND {_AMONG[dialect]}"""  # noqa: S608  (constant texts only)
    )


def _settle(tx: Tx, lease: Lease, settlements: Sequence[Settlement], now: datetime, source: str) -> None:
    if not settlements:
        return
    plain = [one.subscriber_id for one in settlements if _is_plain(one)]
    count = _accept(tx, lease, plain, now, source) if plain else 0
    rows = [_values(lease, one, now) for one in settlements if not _is_plain(one)]
    count += tx.execute(_move(source), rows).rowcount if rows else 0
    if count != len(settlements):
        raise LeaseLost(
            "a delivery is not in the state in which it was left",
            where=f"issue {lease.issue_id}",
            remedy="Another process writes this ledger; nothing was changed",
        )
    _append(tx, lease, settlements)


def _is_plain(one: Settlement) -> bool:
    """Tell whether a message was simply taken, as nearly all are."""
    return one.state is DeliveryState.ACCEPTED and one.charged and not (one.presumed or one.reason)


def _accept(tx: Tx, lease: Lease, ids: Sequence[int], now: datetime, source: str) -> int:
    bound = {"issue": lease.issue_id, "epoch": lease.epoch, "now": now, "ids": among(tx, ids)}
    return tx.execute(_accepted(tx.dialect.name, source), bound).rowcount


@cache
def _accepted(dialect: str, source: str) -> TextClause:
    return text(
        f"""UPDATE deliveries SET state = 'accepted', reason = '', presumed = 0, not_before = NULL, changed_at = :now
        WHERE issue_id = :issue AND {_AMONG[dialect]} AND {source} AND {_EPOCH}"""  # noqa: S608  (constants)
    ).bindparams(bindparam("now", type_=Instant()))


def _values(lease: Lease, one: Settlement, now: datetime) -> dict[str, Any]:
    return {
        "issue": lease.issue_id,
        "epoch": lease.epoch,
        "now": now,
        "id": one.subscriber_id,
        "state": one.state.value,
        "reason": one.reason,
        "presumed": int(one.presumed),
        "not_before": one.not_before,
        "uncharged": 0 if one.charged else 1,
    }


def _append(tx: Tx, lease: Lease, settlements: Sequence[Settlement]) -> None:
    """Append the lines of history; by the driver itself, for there is one a message."""
    dialect, issue_id = tx.dialect.name, lease.issue_id
    lines = [
        (
            issue_id,
            one.subscriber_id,
            said.epoch,
            bind_instant(said.at, dialect),
            said.transport,
            said.server,
            said.stage.value,
            said.outcome.value,
            said.code,
            said.enhanced,
            said.text,
        )
        for one in settlements
        if (said := one.attempt) is not None
    ]
    if lines:
        tx.exec_driver_sql(_LINES[dialect], lines)


_COLUMNS = "issue_id, subscriber_id, epoch, at, transport, server, stage, outcome, code, enhanced, text"
_LINES = {
    dialect: f"INSERT INTO attempts ({_COLUMNS}) VALUES ({', '.join([mark] * 11)})"  # noqa: S608  (constants)
    for dialect, mark in (("sqlite", "?"), ("postgresql", "%s"))
}


@cache
def _move(source: str) -> TextClause:
    return text(
        f"""UPDATE deliveries SET state = :state, reason = :reason, presumed = :presumed, not_before = :not_before,
        attempts = attempts - :uncharged, changed_at = :now
        WHERE issue_id = :issue AND subscriber_id = :id AND {source} AND {_EPOCH}"""  # noqa: S608  (constants)
    ).bindparams(bindparam("now", type_=Instant()), bindparam("not_before", type_=Instant()))


_EPOCH = "EXISTS (SELECT 1 FROM issues i WHERE i.id = :issue AND i.epoch = :epoch)"


def put_off_domain(tx: Tx, lease: Lease, domain: str, *, until: datetime) -> int:
    """Let everybody at a domain wait until an instant; return how many do."""
    pattern = "%@" + domain.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    later = (
        update(deliveries)
        .where(
            deliveries.c.issue_id == lease.issue_id,
            text("deliveries.state IN ('waiting', 'attempting')"),
            deliveries.c.state == DeliveryState.WAITING,
            (deliveries.c.not_before.is_(None)) | (deliveries.c.not_before < until),
            func.lower(deliveries.c.address).like(pattern, escape="\\"),
        )
        .values(not_before=until)
    )
    return tx.execute(later).rowcount


def expire(
    tx: Tx, lease: Lease, *, tried_before: datetime, settled_before: datetime | None = None, now: datetime
) -> int:
    """Give up those put off whose first try lies before an instant, and whoever stood so before another.

    The second is the next issue's slot: those released, or let wait again, after it are not meant, nor those
    whose turn had not come by then. A letter has an instant of its own.
    """
    bound = {"issue": lease.issue_id, "epoch": lease.epoch, "now": now}
    count = tx.execute(
        _expire(_TRIED_LONG_AGO), {**bound, "instant": tried_before, "retried": RETRIED}
    ).rowcount
    if settled_before is not None:
        count += tx.execute(_expire(_HAD_ITS_TURN), {**bound, "instant": settled_before}).rowcount
    if lease.letters:
        count += tx.execute(_expire(_OUTLIVED), {**bound, "instant": now}).rowcount
    return count


_HAD_ITS_TURN = """changed_at < :instant AND (due_at IS NULL OR due_at < :instant)
    AND wave <= (SELECT i.wave FROM issues i WHERE i.id = :issue)"""

_OUTLIVED = """EXISTS (SELECT 1 FROM letters l WHERE l.issue_id = deliveries.issue_id
    AND l.subscriber_id = deliveries.subscriber_id AND l.expires_at <= :instant)"""

_TRIED_LONG_AGO = """not_before IS NOT NULL AND :instant >= (
    SELECT COALESCE(MAX(CASE WHEN a.text = :retried THEN a.at END), MIN(a.at)) FROM attempts a
    WHERE a.issue_id = deliveries.issue_id AND a.subscriber_id = deliveries.subscriber_id)"""


@cache
def _expire(when: str) -> TextClause:
    return text(
        f"""UPDATE deliveries SET state = 'refused', changed_at = :now, not_before = NULL,
        reason = '{RefusalReason.EXPIRED.value}' || CASE WHEN reason = '' THEN '' ELSE ': ' || reason END
        WHERE issue_id = :issue AND state = 'waiting' AND {_EPOCH} AND {when}"""  # noqa: S608  (constants)
    ).bindparams(bindparam("now", type_=Instant()), bindparam("instant", type_=Instant()))


def hold(tx: Tx, lease: Lease, reason: str, *, until: datetime | None = None) -> None:
    """Stop the issue, with the reason an editor reads; until an instant, if there is one."""
    mine = (issues.c.id == lease.issue_id, issues.c.epoch == lease.epoch)
    tx.execute(
        update(issues)
        .where(*mine, issues.c.state == IssueState.RELEASED)
        .values(state=IssueState.HELD, reason=reason, held_until=until)
    )


def finish(tx: Tx, lease: Lease, *, now: datetime) -> bool:
    """Call the issue finished if nothing waits and the sum balances; return whether it is."""
    sums = account(tx, lease.issue_id)
    if sums.waiting or sums.attempting or not sums.balances:
        return False
    mine = (
        issues.c.id == lease.issue_id,
        issues.c.epoch == lease.epoch,
        issues.c.state == IssueState.RELEASED,
    )
    values = {"state": IssueState.FINISHED, "finished_at": now, "owner": "", "reason": ""}
    if lease.letters:  # no letter is sent again once its batch is done
        values["frozen"] = ""
    finished = tx.execute(update(issues).where(*mine).values(values)).rowcount == 1
    if finished:
        webhooks.tell_issue(tx, EventKind.ISSUE_FINISHED, lease.issue_id, now=now)
    return finished
