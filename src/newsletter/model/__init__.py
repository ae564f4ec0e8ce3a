"""The nouns: frozen values that every other module speaks in.

Instants are aware datetimes in UTC. Texts are plain text unless the field's name ends in `html`.
"""

from newsletter.model.bounces import Bounce, BounceDeed, BounceKind
from newsletter.model.deliveries import (
    DELIVERY_EDGES,
    Account,
    Attempt,
    Delivery,
    DeliveryState,
    Lease,
    Message,
    Outcome,
    Reader,
    Receipt,
    RefusalReason,
    Settlement,
    Stage,
)
from newsletter.model.events import EventKind, WebhookEvent, WebhookState
from newsletter.model.findings import (
    Finding,
)
from newsletter.model.issues import (
    Issue,
    IssueState,
    Placement,
    Rendering,
    Slot,
    SlotState,
)
from newsletter.model.letters import Letter, NoticeKind
from newsletter.model.posts import (
    Author,
    Citation,
    ContentNote,
    Correction,
    Deleted,
    Enclosure,
    GatherReport,
    Image,
    Post,
    Quarantined,
    Reference,
    Rejected,
    Relation,
)
from newsletter.model.push import (
    HubNotice,
    PushMode,
    PushRequest,
    PushSubscription,
)
from newsletter.model.subscribers import (
    Consent,
    ConsentAct,
    FeedReaders,
    Standing,
    Subscriber,
    Subscription,
    SuppressionReason,
)

__all__ = [
    "DELIVERY_EDGES",
    "Account",
    "Attempt",
    "Author",
    "Bounce",
    "BounceDeed",
    "BounceKind",
    "Citation",
    "Consent",
    "ConsentAct",
    "ContentNote",
    "Correction",
    "Deleted",
    "Delivery",
    "DeliveryState",
    "Enclosure",
    "EventKind",
    "FeedReaders",
    "Finding",
    "GatherReport",
    "HubNotice",
    "Image",
    "Issue",
    "IssueState",
    "Lease",
    "Letter",
    "Message",
    "NoticeKind",
    "Outcome",
    "Placement",
    "Post",
    "PushMode",
    "PushRequest",
    "PushSubscription",
    "Quarantined",
    "Reader",
    "Receipt",
    "Reference",
    "RefusalReason",
    "Rejected",
    "Relation",
    "Rendering",
    "Settlement",
    "Slot",
    "SlotState",
    "Stage",
    "Standing",
    "Subscriber",
    "Subscription",
    "SuppressionReason",
    "WebhookEvent",
    "WebhookState",
]
