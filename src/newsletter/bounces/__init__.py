"""Bounces and complaints: read from mailboxes, matched with deliveries, acted upon, recorded.

    Maildir | mbox | standard input | LMTP > reports (bytes to verdicts, pure) > matching > taking > store

Only what bears a token of ours acts. Whatever comes twice changes nothing.
"""

from newsletter.bounces.lmtp import LmtpServer
from newsletter.bounces.mailboxes import Taken, read_maildir, read_mbox
from newsletter.bounces.matching import Letterhead, Match
from newsletter.bounces.taking import Office, office

__all__ = ["Letterhead", "LmtpServer", "Match", "Office", "Taken", "office", "read_maildir", "read_mbox"]
