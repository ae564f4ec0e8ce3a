"""Check what a configuration points at: plugs, files and secrets. `newsletter check config` shows the findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from newsletter import digest, templating
from newsletter.config import Config, NewsletterConfig, read_secret
from newsletter.errors import NewsletterError
from newsletter.model import Finding
from newsletter.sources import SourceContext, open_source
from newsletter.transports import transport_factory


def findings(config: Config, *, now: datetime) -> list[Finding]:
    """Return everything that would fail later, each with its key and a remedy; nothing is sent or fetched."""
    return [*_sources(config, now), *_newsletters(config), *_delivery(config), *_secrets(config)]


def _finding(place: str, rule: str, remedy: str, *, error: bool = True) -> Finding:
    return Finding(where="newsletter.toml", place=place, rule=rule, remedy=remedy, error=error)


def _tried(place: str, action: Callable[[], object]) -> Iterator[Finding]:
    try:
        action()
    except NewsletterError as e:
        where = f"{e.where}: " if e.where and not e.where.startswith("newsletter.toml") else ""
        yield _finding(place, f"{where}{e.what}", e.remedy)


def _sources(config: Config, now: datetime) -> Iterator[Finding]:
    if not config.sources:
        yield _finding("sources", "no source is configured", "Add one under [[sources]]", error=False)
    for source in config.sources:
        context = SourceContext(config=config, source=source, now=now)
        place = f"sources.{source.name}"
        yield from _tried(place, partial(open_source, context))
        if source.path is not None and not config.path(source.path).exists():
            yield _finding(f"{place}.path", f"{source.path} does not exist", "Make it, or change the key")


def _newsletters(config: Config) -> Iterator[Finding]:
    for one in config.newsletters:
        place = f"newsletters.{one.name}"
        if one.intro is not None and not config.path(one.intro).is_file():
            yield _finding(f"{place}.intro", f"{one.intro} does not exist", "Write it, or remove the key")
        yield from _templates(config, one)
        for key in config.dkim:
            if not one.sender.endswith((f"@{key.domain}", f".{key.domain}")):
                yield _finding(
                    f"{place}.sender",
                    f"{one.sender} is not of the DKIM domain {key.domain}",
                    "Sign with the sender's domain, or receivers will not count the signature",
                )
    if config.newsletters and not config.publication.postal_address:
        yield _finding(
            "publication.postal_address",
            "no postal address stands in the digest's footer",
            "Mail law in many countries wants one",
            error=False,
        )


def _templates(config: Config, newsletter: NewsletterConfig) -> Iterator[Finding]:
    names = digest.template_names(digest.Design(newsletter.design))
    place, env = f"newsletters.{newsletter.name}.design", templating.environment(config.templates)
    try:
        for note in digest.check_templates(templating.template_set(env, *names)):
            yield _finding(place, note, "Print and compare only, or send to few", error=False)
    except NewsletterError as e:
        yield _finding(place, f"{e.where}: {e.what}", e.remedy)


def _delivery(config: Config) -> Iterator[Finding]:
    yield from _tried("delivery.transport", lambda: transport_factory(config, config.delivery.transport))
    if config.delivery.transport == "smtp" and not config.smtp.host:
        yield _finding("smtp.host", "no SMTP server is named", "Set smtp.host, or another delivery.transport")
    for server in config.smtp.servers:
        if server.password_file is not None:
            file = config.path(server.password_file)
            yield from _tried("smtp.password_file", partial(read_secret, file, "smtp.password_file"))
    for index, key in enumerate(config.dkim):
        if not config.path(key.key_file).is_file():
            yield _finding(f"dkim[{index}].key_file", f"{key.key_file} does not exist", "Make the key first")


def _secrets(config: Config) -> Iterator[Finding]:
    yield from _tried("store", lambda: config.store_url)
    yield from _tried("secrets", config.token_keys)
