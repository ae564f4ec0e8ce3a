"""What people agree to, word for word: shown on the pages, and kept in the ledger of consents.

The versions of forms are those of these words: who changes them raises the number.
"""

from __future__ import annotations


def noop(message: str) -> str:
    """Mark a message for translation."""
    return message


UNDO = noop("Stay subscribed")
SUBSCRIBE = noop("Subscribe")
AGREE = noop(
    "Please send me what I have chosen here by e-mail. I can leave at any time, by a link in every message."
)
SIGN_UP = noop("Sign up")
CONFIRM = noop("Please send me %(newsletter)s at %(address)s. I can leave at any time.")
YES = noop("Yes, subscribe me")
MOVE = noop("Please write to me at this address from now on, and no longer at %(address)s.")
YES_MOVE = noop("Yes, this is my address")

FORM_SIGN_UP = "subscribe/1"
FORM_CONFIRM = "confirm/1"

REGIONS = (
    noop("Africa"),
    noop("America"),
    noop("Antarctica"),
    noop("Arctic"),
    noop("Asia"),
    noop("Atlantic"),
    noop("Australia"),
    noop("Europe"),
    noop("Indian"),
    noop("Pacific"),
)
