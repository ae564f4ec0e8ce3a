"""What makes the messages of an issue."""

from __future__ import annotations

import threading

from newsletter import digest, templating
from newsletter.config import Config, NewsletterConfig, read_secret
from newsletter.crew.mailroom import Mailroom
from newsletter.issues.slots import zone_of
from newsletter.model import Issue
from newsletter.store import Store
from newsletter.store import issues as stored


def mail_settings(config: Config, newsletter: NewsletterConfig) -> digest.MailSettings:
    """Return what messages of a newsletter need beside the issue; reads the DKIM keys."""
    publication = config.publication
    return digest.MailSettings(
        newsletter=newsletter.name,
        title=newsletter.title,
        sender=newsletter.sender,
        sender_name=newsletter.sender_name,
        reply_to=newsletter.reply_to or publication.contact,
        contact=publication.contact,
        url=publication.url,
        web_url=config.web_url,
        list_id=config.list_id(newsletter),
        bounce_domain=config.smtp.bounce_domain or newsletter.sender.rpartition("@")[2],
        keys=config.token_keys(),
        sender_id=newsletter.sender_id,
        language=publication.language,
        timezone=zone_of(config, newsletter),
        signers=signers_of(config),
    )


def signers_of(config: Config) -> tuple[digest.Signer, ...]:
    """Return what signs messages; reads the keys."""
    return tuple(
        digest.read_signer(
            one.domain,
            one.selector,
            read_secret(config.path(one.key_file), "[dkim] key_file").encode(),
            f"[dkim] key_file = {one.key_file}",
        )
        for one in config.dkim
    )


def mailer(config: Config, issue: Issue, frozen: str) -> digest.Mailer:
    """Return what makes the messages of an issue out of what was frozen."""
    settings, thawed = mail_settings(config, config.newsletter(issue.newsletter)), digest.thaw(frozen)
    templates = templating.TemplateSet(thawed.templates)
    return digest.Mailer(issue, thawed, templates, settings, threading.Lock())


def mailroom(store: Store, config: Config, issue: Issue) -> Mailroom:
    """Return what makes the messages of an issue's newest rendering, and of those before that some readers are owed."""
    with store.read() as tx:
        made = [stored.rendering(tx, issue, revision) for revision in range(1, issue.revision + 1)]
    renderings = {one.revision: (one, frozen) for one, frozen in made}
    return Mailroom(renderings, mail_settings(config, config.newsletter(issue.newsletter)))
