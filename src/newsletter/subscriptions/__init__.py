"""Subscribers and their subscriptions: adding, importing, exporting, leaving, coming back, erasing.

    CSV file > table, formats (lines to rows) > deciding (rows to standings) > exchange > store > export > CSV file
    link > standing (tokens to standings) > store
    form > signup > letter > link > signup (confirm) > store

Nobody who unsubscribed or is suppressed is ever brought back but by their own act.
"""

from newsletter.subscriptions.address import name_of, normalise
from newsletter.subscriptions.deciding import LineOutcome
from newsletter.subscriptions.exchange import ImportLine, ImportReport, Options, add, import_csv
from newsletter.subscriptions.export import export_csv
from newsletter.subscriptions.feeds import feed_address, feed_holds, feed_readers, own_feed
from newsletter.subscriptions.formats import FORMATS
from newsletter.subscriptions.letters import Send
from newsletter.subscriptions.own import (
    Move,
    confirm_move,
    erase,
    is_move,
    look_at_move,
    move,
    own_data,
    person_of,
    tell,
)
from newsletter.subscriptions.people import Record, amend, forget, listed, show, suppress, verify
from newsletter.subscriptions.proof import check_proof, proof
from newsletter.subscriptions.row import language_of, said, timezone_of
from newsletter.subscriptions.signup import (
    Confirmation,
    Request,
    Shown,
    SignUp,
    confirm,
    expire,
    look_up,
    mail_link,
    say_goodbye,
    sign_up,
)
from newsletter.subscriptions.standing import (
    PAUSE,
    Change,
    Wish,
    ask,
    leave,
    look,
    preferences,
    resubscribe,
    subject,
    unsubscribe,
)
from newsletter.subscriptions.table import OWN

__all__ = [
    "FORMATS",
    "OWN",
    "PAUSE",
    "Change",
    "Confirmation",
    "ImportLine",
    "ImportReport",
    "LineOutcome",
    "Move",
    "Options",
    "Record",
    "Request",
    "Send",
    "Shown",
    "SignUp",
    "Wish",
    "add",
    "amend",
    "ask",
    "check_proof",
    "confirm",
    "confirm_move",
    "erase",
    "expire",
    "export_csv",
    "feed_address",
    "feed_holds",
    "feed_readers",
    "forget",
    "import_csv",
    "is_move",
    "language_of",
    "leave",
    "listed",
    "look",
    "look_at_move",
    "look_up",
    "mail_link",
    "move",
    "name_of",
    "normalise",
    "own_data",
    "own_feed",
    "person_of",
    "preferences",
    "proof",
    "resubscribe",
    "said",
    "say_goodbye",
    "show",
    "sign_up",
    "subject",
    "suppress",
    "tell",
    "timezone_of",
    "unsubscribe",
    "verify",
]
