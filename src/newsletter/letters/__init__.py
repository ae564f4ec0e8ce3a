"""Letters: the short mails about a subscription itself, queued in the transaction that is their reason.

    request > limits > queue > release: a batch of the ledger | deliver, as any issue

`request` queues one, or withholds it; `release` and `Messages` are what a delivery of them is made of. Who sends them
is `letterbox`.
"""

from newsletter.letters.asking import ASKED_FOR, LIFETIME, request
from newsletter.letters.batches import Messages, outlook, release, resume
from newsletter.model import Letter, NoticeKind
from newsletter.store.letters import listed

__all__ = [
    "ASKED_FOR",
    "LIFETIME",
    "Letter",
    "Messages",
    "NoticeKind",
    "listed",
    "outlook",
    "release",
    "request",
    "resume",
]
