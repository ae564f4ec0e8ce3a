"""What makes the messages of an issue."""

from __future__ import annotations

import threading

from newsletter import digest, templating
from newsletter.config import Config, NewsletterConfig, read_secret
from newsletter.issues.slots import zone_of
from newsletter.model import Issue, Message, Reader
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
        list_id=f"{newsletter.name}.{publication.id_authority.replace('@', '.')}",
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


class Renderer:
    """Makes each reader's message from the rendering of the issue that is theirs; safe to call from several threads."""

    def __init__(self, store: Store, config: Config, issue: Issue, frozen: str) -> None:
        self._store = store
        self._config = config
        self._issue_id = issue.id
        self._mailers = {issue.revision: mailer(config, issue, frozen)}
        self._guard = threading.Lock()

    def __call__(self, reader: Reader) -> Message:
        """Return the message for one reader."""
        make = self._mailers.get(reader.revision)
        return (make or self._another(reader.revision))(reader)

    @property
    def alone(self) -> int:
        """How many messages were rendered for one reader alone."""
        return sum(one.alone for one in self._mailers.values())

    def _another(self, revision: int) -> digest.Mailer:
        with self._guard:
            if revision not in self._mailers:
                with self._store.read() as tx:
                    issue = stored.by_id(tx, self._issue_id)
                    assert issue is not None
                    issue, frozen = stored.rendering(tx, issue, revision)
                self._mailers[revision] = mailer(self._config, issue, frozen)
            return self._mailers[revision]
