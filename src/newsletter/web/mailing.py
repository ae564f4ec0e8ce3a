"""What pages have mailed: letters, each in the name of a newsletter that is configured."""

from __future__ import annotations

from datetime import datetime

from newsletter import letters
from newsletter.config import Config
from newsletter.model import NoticeKind, Subscriber
from newsletter.store import Tx
from newsletter.subscriptions import Send


def sender(config: Config) -> Send:
    """Return how a page asks for a letter; one about all newsletters, or one that is no more, is the first one's."""
    names = [one.name for one in config.newsletters]

    def send(
        tx: Tx,
        kind: NoticeKind,
        subscriber: Subscriber,
        newsletter: str,
        *,
        now: datetime,
        language: str,
        address: str = "",
    ) -> bool:
        speaker = newsletter if newsletter in names else next(iter(names), "")
        asked = {"language": language, "address": address}
        return bool(speaker) and letters.request(tx, kind, subscriber, speaker, now=now, **asked)

    return send
