"""Issues: compose, explain, preview, approve, hold, correct, and what makes their messages."""

from newsletter.issues.approval import approve, end_pauses, hold, note_of, refuse_broken
from newsletter.issues.checking import LONGEST, check_issue
from newsletter.issues.composing import (
    Composition,
    Preview,
    compose,
    compose_again,
    explain,
    preview,
    upcoming,
)
from newsletter.issues.correcting import Revision, correct
from newsletter.issues.drafting import fingerprint, looks_of
from newsletter.issues.links import check_remote
from newsletter.issues.messages import mail_settings, mailer, mailroom, signers_of
from newsletter.issues.notices import sample_notices
from newsletter.issues.slots import Overdue, instant_of, overdue, schedule_of, settle_slot, slot_decision

__all__ = [
    "LONGEST",
    "Composition",
    "Overdue",
    "Preview",
    "Revision",
    "approve",
    "check_issue",
    "check_remote",
    "compose",
    "compose_again",
    "correct",
    "end_pauses",
    "explain",
    "fingerprint",
    "hold",
    "instant_of",
    "looks_of",
    "mail_settings",
    "mailer",
    "mailroom",
    "note_of",
    "overdue",
    "preview",
    "refuse_broken",
    "sample_notices",
    "schedule_of",
    "settle_slot",
    "signers_of",
    "slot_decision",
    "upcoming",
]
