"""Issues: compose, explain, preview, approve, hold, and what makes their messages."""

from newsletter.issues.approval import approve, hold
from newsletter.issues.composing import Composition, Preview, compose, explain, preview
from newsletter.issues.drafting import fingerprint
from newsletter.issues.messages import mail_settings, mailer
from newsletter.issues.slots import schedule_of, settle_slot, slot_decision

__all__ = [
    "Composition",
    "Preview",
    "approve",
    "compose",
    "explain",
    "fingerprint",
    "hold",
    "mail_settings",
    "mailer",
    "preview",
    "schedule_of",
    "settle_slot",
    "slot_decision",
]
