"""The API `/api/v1`: JSON over HTTP for programs of the publication's own, and webhooks that tell them of events.

    request > serving (route, token, scope, body) > subscribers | issues > the publisher's own functions
    store (outbox) > webhooks > receivers

`routes` is the table of operations; what is served, checked and documented is made of it.
"""

from newsletter.api.serving import Api

__all__ = ["Api"]
