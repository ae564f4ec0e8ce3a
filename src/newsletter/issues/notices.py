"""The short mails about a subscription, as an editor may look at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from newsletter import digest, templating
from newsletter.config import Config, NewsletterConfig
from newsletter.issues.drafting import looks_of
from newsletter.model import Reader


def sample_notices(
    config: Config, newsletter: NewsletterConfig, reader: Reader
) -> Iterator[tuple[digest.NoticeKind, digest.Notice]]:
    """Compose each notice for one reader, with links that lead nowhere."""
    names = digest.NOTICE_TEMPLATES
    templates = templating.template_set(templating.environment(config.templates), *names)
    looks = looks_of(config, newsletter)
    spoken = replace(looks, language=digest.tongue_of(looks, reader.language).language)
    links = digest.NoticeLinks(
        confirm=f"{config.web_url}c/sample",
        preferences=f"{config.web_url}p/sample",
        unsubscribe=f"{config.web_url}u/sample",
        resubscribe=f"{config.web_url}s/sample",
        archive=f"{config.publication.url}issues/{newsletter.name}/",
    )
    to = digest.Addressee(address=reader.address, name=reader.name)
    for kind in digest.NoticeKind:
        yield (
            kind,
            digest.compose_notice(kind, to, links, title=newsletter.title, looks=spoken, templates=templates),
        )
