"""Newsletters' slots and issues, and a post's place in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One instant at which a newsletter is due."""

    newsletter: str
    due: datetime


class SlotState(StrEnum):
    """What became of a slot."""

    CLAIMED = "claimed"  # taken by one process, its issue not yet composed
    COMPOSED = "composed"
    EMPTY = "empty"  # nothing to send: said, and settled
    HELD = "held"  # later than its maximum lateness: waits for the editor
    MISSED = "missed"  # passed over by the catch-up policy


class IssueState(StrEnum):
    """Where an issue stands; FINISHED only when nothing waits and the sum balances."""

    COMPOSED = "composed"  # frozen, its audience not yet fixed
    APPROVED = "approved"  # may be released
    RELEASED = "released"  # audience frozen, being delivered
    HELD = "held"  # stopped by the editor or by a fault, resumable
    FINISHED = "finished"


class Placement(StrEnum):
    """Why a post stands in the (newsletter, post) ledger."""

    INCLUDED = "included"
    CORRECTION = "correction"  # sent before, corrected since: in the Corrections section
    SKIPPED = "skipped"  # explicitly never to be sent (backlog before the newsletter began, editor's word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One numbered sending of a newsletter, frozen when composed.

    `html` is the page of the archive, `sha256` the hash over everything that was frozen: also over what its messages
    are made of, which the store keeps beside it. `dated` is the Date of every message. `intro_html` is the pinned
    introduction.
    """

    newsletter: str
    number: int
    due: datetime
    state: IssueState
    subject: str
    dated: datetime
    html: str
    sha256: str
    id: int = 0
    intro_html: str = ""
    post_ids: tuple[str, ...] = ()
    correction_ids: tuple[str, ...] = ()
    composed_at: datetime | None = None
    released_at: datetime | None = None
    finished_at: datetime | None = None
    epoch: int = 0
    reason: str = ""  # why it is held
    revision: int = 1  # of its rendering: raised by every correction while it is delivered
    corrected_at: datetime | None = None
    held_until: datetime | None = None  # when its pause ends by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """One rendering of an issue: the first, or what a correction made of it; `note` says what was changed by it."""

    revision: int
    sha256: str
    subject: str
    made_at: datetime
    note: str = ""
