"""Subscribers and their subscriptions: adding, importing, exporting, leaving, coming back, erasing.

    CSV file > table, formats (lines to rows) > deciding (rows to standings) > exchange > store > export > CSV file
    link > standing (tokens to standings) > store

Nobody who unsubscribed or is suppressed is ever brought back but by their own act.
"""

from newsletter.subscriptions.address import name_of, normalise
from newsletter.subscriptions.deciding import LineOutcome
from newsletter.subscriptions.exchange import ImportLine, ImportReport, Options, add, import_csv
from newsletter.subscriptions.export import export_csv
from newsletter.subscriptions.feeds import feed_address, feed_holds, feed_readers, own_feed
from newsletter.subscriptions.formats import FORMATS
from newsletter.subscriptions.people import Record, amend, forget, listed, show, suppress, verify
from newsletter.subscriptions.proof import check_proof, proof
from newsletter.subscriptions.row import language_of, said, timezone_of
from newsletter.subscriptions.standing import (
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
    "Change",
    "ImportLine",
    "ImportReport",
    "LineOutcome",
    "Options",
    "Record",
    "Wish",
    "add",
    "amend",
    "ask",
    "check_proof",
    "export_csv",
    "feed_address",
    "feed_holds",
    "feed_readers",
    "forget",
    "import_csv",
    "language_of",
    "leave",
    "listed",
    "look",
    "name_of",
    "normalise",
    "own_feed",
    "preferences",
    "proof",
    "resubscribe",
    "said",
    "show",
    "subject",
    "suppress",
    "timezone_of",
    "unsubscribe",
    "verify",
]
