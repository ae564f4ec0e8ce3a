"""Issues: compose, explain, preview, approve, hold, and what makes their messages."""

from newsletter.issues.approval import approve, hold, note_of, refuse_broken
from newsletter.issues.checking import LONGEST, check_issue
from newsletter.issues.composing import Composition, Preview, compose, explain, preview, upcoming
from newsletter.issues.drafting import fingerprint
from newsletter.issues.links import check_remote
from newsletter.issues.messages import mail_settings, mailer, signers_of
from newsletter.issues.notices import sample_notices
from newsletter.issues.slots import Overdue, overdue, schedule_of, settle_slot, slot_decision

__all__ = [
    "LONGEST",
    "Composition",
    "Overdue",
    "Preview",
    "approve",
    "check_issue",
    "check_remote",
    "compose",
    "explain",
    "fingerprint",
    "hold",
    "mail_settings",
    "mailer",
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
