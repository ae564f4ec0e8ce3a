"""Subscribers and their subscriptions: adding, importing, exporting, leaving, coming back, erasing.

    CSV file > table (lines to rows, pure) > exchange (rows to standings) > store > export > CSV file
    link > standing (tokens to standings) > store

Nobody who unsubscribed or is suppressed is ever brought back but by their own act.
"""

from newsletter.subscriptions.address import normalise
from newsletter.subscriptions.exchange import (
    ImportLine,
    ImportReport,
    LineOutcome,
    add,
    import_csv,
)
from newsletter.subscriptions.export import export_csv
from newsletter.subscriptions.feeds import feed_address, feed_holds, feed_readers, own_feed
from newsletter.subscriptions.people import Record, forget, listed, show, suppress, verify
from newsletter.subscriptions.standing import (
    Change,
    Wish,
    ask,
    look,
    preferences,
    resubscribe,
    subject,
    unsubscribe,
)

__all__ = [
    "Change",
    "ImportLine",
    "ImportReport",
    "LineOutcome",
    "Record",
    "Wish",
    "add",
    "ask",
    "export_csv",
    "feed_address",
    "feed_holds",
    "feed_readers",
    "forget",
    "import_csv",
    "listed",
    "look",
    "normalise",
    "own_feed",
    "preferences",
    "resubscribe",
    "show",
    "subject",
    "suppress",
    "unsubscribe",
    "verify",
]
