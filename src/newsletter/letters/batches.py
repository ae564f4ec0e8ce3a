"""Batches of letters: frozen and released like an issue, so that whatever delivers issues delivers them."""

from __future__ import annotations

import threading
from datetime import datetime

from newsletter import digest, templating
from newsletter.errors import InputError
from newsletter.model import IssueState, Message, NoticeKind, Reader
from newsletter.store import Store, Tx, deliveries
from newsletter.store import letters as stored


def release(
    store: Store, newsletter: str, stationery: digest.Stationery, *, welcome: bool, now: datetime
) -> None:
    """Put a newsletter's letters that are queued into a batch and release it; none while an older batch is held.

    Without `welcome` those of that kind are taken back. A pause that is over ends here.

    Raises InputError while a batch is held.
    """
    with store.write() as tx:
        if not welcome:
            stored.drop_queued(tx, newsletter, NoticeKind.WELCOME)
        for batch, state, reason, until in stored.open_batches(tx, newsletter):
            if state is not IssueState.HELD:
                continue
            if until is None or until > now:
                when = f" until {until:%Y-%m-%d %H:%M}Z" if until is not None else ""
                raise InputError(
                    f"the letters are held{when}: {reason}",
                    where=newsletter,
                    remedy=f"When that is mended: newsletter letters send {newsletter}",
                )
            deliveries.release(tx, batch, now=now)
        stored.release(tx, newsletter, frozen=digest.freeze_stationery(stationery), now=now)


def resume(store: Store, newsletter: str, *, now: datetime) -> None:
    """Let batches go on that a fault has held, by the editor's word."""
    with store.write() as tx:
        for batch, state, _, _ in stored.open_batches(tx, newsletter):
            if state is IssueState.HELD:
                deliveries.release(tx, batch, now=now)


def outlook(store: Store, newsletter: str, *, now: datetime) -> tuple[bool, list[int]]:
    """Return whether there is anything to release, and the batches of which something is to be done now."""
    with store.read() as tx:
        found = stored.open_batches(tx, newsletter)
        held = any(state is IssueState.HELD for _, state, _, _ in found)
        released = [batch for batch, state, _, _ in found if state is IssueState.RELEASED]
        return held or stored.has_queued(tx, newsletter), [one for one in released if _is_due(tx, one, now)]


def _is_due(tx: Tx, batch: int, now: datetime) -> bool:
    """Tell whether something may be sent, or was left by an owner who died."""
    sums = deliveries.account(tx, batch)
    return (
        bool(sums.attempting)
        or not sums.waiting
        or bool(deliveries.due(tx, batch, after=0, now=now, limit=1))
    )


class Messages:
    """Makes the messages of a batch out of what was frozen, read when the first is asked for."""

    def __init__(self, store: Store, batch: int, settings: digest.MailSettings) -> None:
        self._store = store
        self._batch = batch
        self._settings = settings
        self._guard = threading.Lock()
        self._made: digest.LetterMailer | None = None

    def __call__(self, reader: Reader) -> Message:
        """Make the message of one person's letter."""
        with self._guard:
            if self._made is None:
                self._made = self._prepare()
        return self._made(reader)

    def _prepare(self) -> digest.LetterMailer:
        with self._store.read() as tx:
            frozen, letters = stored.thaw(tx, self._batch)
        stationery = digest.thaw_stationery(frozen)
        templates = templating.TemplateSet(stationery.templates)
        return digest.LetterMailer(
            self._batch, stationery, templates, self._settings, letters, threading.Lock()
        )
