"""Delivery: never silently lost, never silently doubled.

    release | lease and recovery | run | finish; and the accounts of it

Each (issue, subscriber) has one durable row whose state is true at every moment: an intent is written before
a server could accept the message, an outcome after it answered, and what a crash leaves in between is settled
by name when the next owner comes.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from newsletter.config import Config, NewsletterConfig
from newsletter.crew.blackbox import Fate, await_end, boot_id, read_box
from newsletter.deliver.accounts import DomainAccount, LogLine, Trouble, domains, log, troubles
from newsletter.deliver.engine import DeliveryOptions, Run
from newsletter.deliver.settling import settle_crash
from newsletter.deliver.turns import Turns, open_when_due, plan_next, turns_of, write_turns
from newsletter.errors import InputError, LeaseLost
from newsletter.model import (
    Account,
    Attempt,
    Delivery,
    DeliveryState,
    Issue,
    IssueState,
    Lease,
    Message,
    Reader,
    Settlement,
)
from newsletter.store import Store, Tx, deliveries, issues, leases, meta
from newsletter.store import turns as stored_turns
from newsletter.transports import Transport

__all__ = [
    "Audit",
    "DeliveryOptions",
    "DomainAccount",
    "LogLine",
    "Trouble",
    "Turns",
    "audit",
    "deliver",
    "log",
    "options_of",
    "release",
    "retry",
    "summary",
    "turns_of",
]

_AT_ONCE = Turns()
_SHOWN = 20  # domains and troubles in an audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The balancing sum, also by domain; what was said beside acceptances; and every delivery by name.

    `attempts` is the history of each by its subscriber's id.
    """

    account: Account
    domains: tuple[DomainAccount, ...]
    troubles: tuple[Trouble, ...]
    deliveries: tuple[Delivery, ...]
    attempts: Mapping[int, tuple[Attempt, ...]]


def options_of(
    config: Config,
    newsletter: NewsletterConfig,
    *,
    revision: int | None = None,
    released_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> DeliveryOptions:
    """Take the options of an issue's delivery from the configuration."""
    chosen = config.delivery
    within = chosen.finish_within
    return DeliveryOptions(
        connections=chosen.connections,
        revision=revision,
        processes=chosen.processes,
        rate_per_second=chosen.rate,
        finish_by=released_at + within if released_at is not None and within is not None else None,
        expire_after=chosen.expire_after,
        expires_at=expires_at,
        on_crash=chosen.on_crash,
        on_power_cut=chosen.on_power_cut,
        on_silence=chosen.on_silence,
        transport=chosen.transport,
        canary_wait=newsletter.canary_wait,
        wave_pause=newsletter.wave_pause,
        boxes=config.state / "boxes",
    )


def release(
    store: Store, issue_id: int, *, now: datetime, turns: Turns = _AT_ONCE, everybody: bool = False
) -> Account:
    """Freeze an issue's audience and let it be delivered; again changes nothing, an issue held since goes on.

    Whose turn comes when is written in the same transaction. `everybody` is the editor's word that nobody waits
    for a canary or a wave any longer.

    Raises InputError for an issue that was not approved, or was held before its release, and for a store that
    was restored or copied.
    """
    with store.write() as tx:
        _check_copy(tx)
        issue = issues.by_id(tx, issue_id)
        _check_approval(issue)
        if everybody:
            _check_hold(issue)
        _check_pause(issue, now)
        if deliveries.release(tx, issue_id, now=now):
            write_turns(tx, issue_id, turns, now=now)
        if everybody:
            stored_turns.open_to(tx, issue_id, stored_turns.stand(tx, issue_id).last, now=now)
        return deliveries.account(tx, issue_id)


def _check_copy(tx: Tx) -> None:
    """Refuse to deliver from a second copy of a store, which would write to everybody twice."""
    reason = meta.pause_reason(tx)
    if reason:
        raise InputError(
            f"nothing is delivered: {reason}",
            where="store",
            remedy="When no other copy delivers, say so with: newsletter resume",
        )


def _check_approval(issue: Issue | None) -> None:
    if issue is None or issue.released_at is not None:
        return
    if issue.state in (IssueState.COMPOSED, IssueState.HELD):
        why = issue.reason or "it waits for approval"
        raise InputError(
            f"this issue may not be delivered yet: {why}",
            where=f"{issue.newsletter} {issue.number}",
            remedy=f"Look at it, then: newsletter issues approve {issue.newsletter} -n {issue.number}",
        )


def _check_hold(issue: Issue | None) -> None:
    """Refuse to let the rest go together with a canary that was held."""
    if issue is not None and issue.released_at is not None and issue.state is IssueState.HELD:
        which = f"{issue.newsletter} -n {issue.number}"
        raise InputError(
            f"this issue is held, and nobody else gets it before that is mended: {issue.reason}",
            where=f"{issue.newsletter} {issue.number}",
            remedy=f"First: newsletter issues deliver {which}, then again with --all",
        )


def _check_pause(issue: Issue | None, now: datetime) -> None:
    if issue is not None and issue.held_until is not None and issue.held_until > now:
        raise InputError(
            f"this issue is paused until {issue.held_until:%Y-%m-%d %H:%M}Z: {issue.reason}",
            where=f"{issue.newsletter} {issue.number}",
            remedy=f"To go on at once: newsletter issues approve {issue.newsletter} -n {issue.number}",
        )


def deliver(
    store: Store,
    issue_id: int,
    render: Callable[[Reader], Message],
    connect: Callable[[], Transport],
    options: DeliveryOptions,
    *,
    clock: Callable[[], datetime],
    progress: Callable[[Account], None] | None = None,
    stop: threading.Event | None = None,
    lock: str = "",
) -> Account:
    """Deliver what is due of a released issue; return when nothing is due, `stop` is set, or it was held.

    The Account's `next_at` says when those put off are due. An issue that was held by a fault carries its
    reason. Raises LeaseLost when another process delivers it, TransportError when no connection could be
    made, StoreError when the ledger cannot be written: then nothing is sent either. `lock` keeps other processes
    away, by default from this issue.
    """
    idempotent = connect().capabilities.idempotent
    with store.lock(lock or f"issue-{issue_id}") as alone:
        if not alone:
            raise LeaseLost(
                "another process is delivering this issue",
                where=f"issue {issue_id}",
                remedy="Wait for it, or stop it",
            )
        if (box := options.box_of(issue_id)) is not None:
            await_end(box)
        if idempotent:  # the same key twice is one message
            options = replace(options, on_crash="resend", on_power_cut="resend", on_silence="resend")
        lease = _begin(store, issue_id, options, idempotent=idempotent, now=clock())
        with store.read() as tx:
            meta.write_mark(tx)
            account = deliveries.account(tx, issue_id)
        if lease is None:
            return account
        run = Run(store, lease, render, connect, options, account=account, clock=clock)
        try:
            run.run(stop or threading.Event(), progress)
        finally:
            if run.ledger.error is None:
                account = _end(store, lease, options, now=clock())
            if run.box is not None:
                run.box.close(remove=run.ledger.error is None and not account.attempting)
        return account


def _begin(
    store: Store, issue_id: int, options: DeliveryOptions, *, idempotent: bool, now: datetime
) -> Lease | None:
    """Take the lease, settle what an earlier owner left and give up what is too old, in one transaction."""
    with store.write() as tx:
        _check_copy(tx)
        issue = issues.by_id(tx, issue_id)
        if issue is not None and issue.state is IssueState.FINISHED:
            return None
        if issue is not None:
            _check_stand(issue, options)
        before = leases.owner_before(tx, issue_id)
        lease = leases.take_lease(tx, issue_id, owner=_owner())
        leases.inherit(tx, lease, _settle_left(tx, lease, options, before, idempotent, now), now=now)
        if issue is not None and issue.revision > 1:
            deliveries.renew(tx, issue_id)
        too_late = options.expires_at is not None and options.expires_at <= now
        leases.expire(
            tx,
            lease,
            tried_before=now - options.expire_after,
            settled_before=options.expires_at if too_late else None,
            now=now,
        )
        open_when_due(tx, issue_id, now=now)
        return lease


def _owner() -> str:
    """Name this process, its machine, and that machine's run."""
    return f"{socket.gethostname()}:{os.getpid()}:{boot_id().hex()}"


def _is_another_run(owner: str) -> bool:
    """Tell whether an owner's machine was started anew since, or was another one."""
    run, ours = owner.rpartition(":")[2], boot_id()
    return len(run) == 32 and any(ours) and run != ours.hex() and run.strip("0") != ""


def _settle_left(
    tx: Tx, lease: Lease, options: DeliveryOptions, before: str, idempotent: bool, now: datetime
) -> list[Settlement]:
    """Settle what the owner before left attempting, by what ended it; who was in doubt before gets no second copy."""
    left = leases.in_doubt(tx, lease)
    if not left:
        return []
    box = options.box_of(lease.issue_id)
    fates = read_box(box, lease) if box is not None else None
    power_cut = _is_another_run(before)
    how, cause = (options.on_power_cut, "a power cut") if power_cut else (options.on_crash, "a crash")
    again = set() if idempotent else deliveries.doubted_before(tx, lease.issue_id)
    return [
        settle_crash(
            one,
            "hold" if how == "resend" and one in again else how,
            None if fates is None else fates.get(one, Fate.NOT_ENDED),
            epoch=lease.epoch,
            now=now,
            cause=cause,
        )
        for one in left
    ]


def _check_stand(issue: Issue, options: DeliveryOptions) -> None:
    where = f"{issue.newsletter} {issue.number}"
    again = f"newsletter issues deliver {issue.newsletter} -n {issue.number}"
    if issue.state is IssueState.HELD:
        what = f"this issue is held: {issue.reason or 'by the editor'}"
        raise InputError(what, where=where, remedy=f"When that is mended: {again}")
    if options.revision not in (None, issue.revision):
        raise InputError("this issue was corrected just now", where=where, remedy=f"Try again: {again}")


def _end(store: Store, lease: Lease, options: DeliveryOptions, *, now: datetime) -> Account:
    with store.write() as tx:
        if leases.fence(tx, lease) and not leases.finish(tx, lease, now=now):
            wait, pause = options.canary_wait, options.wave_pause
            plan_next(tx, lease.issue_id, canary_wait=wait, wave_pause=pause, now=now)
        return deliveries.account(tx, lease.issue_id)


def audit(store: Store, issue_id: int) -> Audit:
    """Account for every subscriber of an issue by name."""
    with store.read() as tx:
        return Audit(
            account=deliveries.account(tx, issue_id),
            domains=domains(tx, issue_id, limit=_SHOWN),
            troubles=troubles(tx, issue_id, limit=_SHOWN),
            deliveries=tuple(deliveries.listed(tx, issue_id)),
            attempts=deliveries.history(tx, issue_id),
        )


def summary(
    store: Store, issue_id: int, *, limit: int
) -> tuple[tuple[DomainAccount, ...], tuple[Trouble, ...]]:
    """Return the largest domains' sums and the most frequent troubles."""
    with store.read() as tx:
        return domains(tx, issue_id, limit=limit), troubles(tx, issue_id, limit=limit)


def retry(
    store: Store,
    issue_id: int,
    *,
    refused_temporarily: bool = False,
    unknown: bool = False,
    presumed: bool = False,
    now: datetime,
) -> int:
    """Let deliveries wait again, by the editor's explicit word; return how many do.

    Refused temporarily are those that expired or could not be rendered. A retry of the unknown, or of those presumed
    accepted, may give a reader a second copy; the history says so.
    """
    states = {DeliveryState.REFUSED} if refused_temporarily else set()
    if unknown:
        states.add(DeliveryState.UNKNOWN)
    with store.write() as tx:
        return deliveries.retry(tx, issue_id, states=states, presumed=presumed, now=now)
