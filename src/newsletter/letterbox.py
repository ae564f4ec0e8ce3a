"""The letterbox: sends letters by what delivers issues, each batch under a lease of the same ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from newsletter import deliver as delivering
from newsletter import digest, letters, templating
from newsletter import issues as composing
from newsletter.config import Config, NewsletterConfig
from newsletter.model import Account
from newsletter.store import Store
from newsletter.transports import transport_factory

#: Held by the one process that sends letters.
_LOCK = "letters"


def send(
    store: Store,
    config: Config,
    newsletter: NewsletterConfig,
    *,
    clock: Callable[[], datetime],
    stop: threading.Event,
    word: bool = False,
) -> list[Account]:
    """Send a newsletter's letters that wait, and those that are due again; return the sum of each batch.

    `word` is the editor's, that batches which a fault has held go on. Raises InputError while one is held, and what
    `deliver.deliver` raises.
    """
    if word:
        letters.resume(store, newsletter.name, now=clock())
    wanted, due = letters.outlook(store, newsletter.name, now=clock())
    if wanted:
        stationery = _stationery(config, newsletter)
        welcome = config.consent.welcome
        letters.release(store, newsletter.name, stationery, welcome=welcome, now=clock())
        _, due = letters.outlook(store, newsletter.name, now=clock())
    return [_send(store, config, newsletter, batch, clock, stop) for batch in due if not stop.is_set()]


def _send(
    store: Store,
    config: Config,
    newsletter: NewsletterConfig,
    batch: int,
    clock: Callable[[], datetime],
    stop: threading.Event,
) -> Account:
    return delivering.deliver(
        store,
        batch,
        render=letters.Messages(store, batch, composing.mail_settings(config, newsletter)),
        connect=transport_factory(config, config.delivery.transport),
        options=replace(delivering.options_of(config, newsletter), processes=0),
        clock=clock,
        stop=stop,
        lock=_LOCK,
    )


def _stationery(config: Config, newsletter: NewsletterConfig) -> digest.Stationery:
    templates = templating.template_set(templating.environment(config.templates), *digest.NOTICE_TEMPLATES)
    looks = composing.looks_of(config, newsletter)
    return digest.Stationery(title=newsletter.title, looks=looks, templates=templates.sources)
