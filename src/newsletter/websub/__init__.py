"""WebSub (W3C Recommendation of 23 January 2018): tell hubs of changed feeds, and be a small hub of our own.

publish > note > store > push: hubs are told, callbacks are sent the feed
POST /hub > ask > store > push: the callback is asked, then the subscription begins or ends
"""

from newsletter.websub.hub import Reply, ask
from newsletter.websub.listing import Overview, overview, remove, try_again
from newsletter.websub.publisher import findings, note
from newsletter.websub.pushing import push
from newsletter.websub.topics import links, topic_of

__all__ = [
    "Overview",
    "Reply",
    "ask",
    "findings",
    "links",
    "note",
    "overview",
    "push",
    "remove",
    "topic_of",
    "try_again",
]
