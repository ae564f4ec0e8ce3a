"""`newsletter check …`: every rule that a program can check."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.accounts import chosen_newsletter
from newsletter.cli.output import json_option, say, say_json
from newsletter.errors import FetchError, InputError, NewsletterError

if TYPE_CHECKING:
    from newsletter.model import Finding


@click.group()
def check() -> None:
    """Check feeds, digests or the configuration; exit 1 on a finding."""


def _say(findings: list[Finding], checked: str, *, as_json: bool) -> int:
    if as_json:
        say_json(findings)
    else:
        for one in findings:
            word = "error" if one.error else "advice"
            story = f" in “{one.post}”" if one.post else ""
            spec = f" ({one.spec})" if one.spec else ""
            place = f"{one.place}{story}: " if one.place else ""
            say(f"{one.where}: {place}{word}: {one.rule}{spec}. {one.remedy}")
        if not findings:
            say(f"{checked}: nothing found")
    return 1 if any(one.error for one in findings) else 0


@check.command()
@json_option
@pass_context
def config(context: Context, as_json: bool) -> int:
    """Check newsletter.toml, its files and its secrets."""
    from newsletter.publisher import check_config

    findings = check_config(context.config, now=datetime.now(UTC))
    return _say(findings, str(context.folder / "newsletter.toml"), as_json=as_json)


@check.command()
@click.argument("names", nargs=-1, metavar="FEEDS")
@json_option
@pass_context
def feeds(context: Context, names: tuple[str, ...], as_json: bool) -> int:
    """Check FEEDS, files or URLs of anybody's, or every feed in public/feeds."""
    chosen = names or tuple(
        str(p)
        for p in sorted((context.config.public / "feeds").rglob("*"))
        if p.suffix in (".xml", ".json", ".opml")
    )
    findings: list[Finding] = []
    failed: NewsletterError | None = None
    for name in chosen:
        try:
            findings += _examined(context, name, own=not names)
        except FetchError as e:  # the others are checked all the same
            if failed is not None:
                click.echo(f"newsletter: {failed}", err=True)
            failed = e
    count = "1 feed" if len(chosen) == 1 else f"{len(chosen)} feeds"
    told = findings if as_json else _gathered(findings)
    status = _say(told, count, as_json=as_json) if told or as_json or failed is None else 0
    if failed is not None:
        raise failed
    return status


def _examined(context: Context, name: str, *, own: bool) -> list[Finding]:
    """Check a feed by its name; a configuration is needed only for our own."""
    from newsletter.checks.feeds import check_file
    from newsletter.config import FILE_NAME
    from newsletter.fetch import FetchRules, rules_of
    from newsletter.publish.examining import examine

    config = context.config if own or (context.folder / FILE_NAME).is_file() else None
    if name.lower().startswith(("http://", "https://")):
        own = config is not None and name.startswith(config.publication.url)
        return examine(name, rules_of(config) if config else FetchRules(), own=own)
    path = Path(name)
    try:
        document = path.read_bytes()
    except OSError as e:
        raise InputError(
            f"it cannot be read: {e.strerror or e}", where=name, remedy="Name a file or a URL"
        ) from e
    own = own or (config is not None and path.resolve().is_relative_to(config.public.resolve()))
    return check_file(document, name, own=own)


def _gathered(findings: list[Finding]) -> list[Finding]:
    """Say once what is wrong alike with many entries, with the first of them and their number; errors first."""
    groups: dict[tuple[str, bool, str], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.where, one.error, one.rule), []).append(one)
    told = [
        replace(some[0], place=f"{some[0].place} and {len(some) - 1} more" if some[1:] else some[0].place)
        for some in groups.values()
    ]
    return sorted(told, key=lambda one: not one.error)


@check.command()
@json_option
@pass_context
def hubs(context: Context, as_json: bool) -> int:
    """Check whether the hubs could be told of every feed that changed."""
    from newsletter import websub

    findings = websub.findings(context.publisher.store)
    return _say(findings, f"{len(context.config.feeds.hubs)} hubs", as_json=as_json)


@check.command()
@click.argument("newsletter", required=False)
@click.option("-n", "--number", type=int, metavar="N", help="A composed issue instead of the next.")
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An .eml file instead."
)
@click.option("--remote", is_flag=True, help="Ask other sites whether the links lead somewhere.")
@json_option
@pass_context
def digest(
    context: Context,
    newsletter: str | None,
    number: int | None,
    file: Path | None,
    remote: bool,
    as_json: bool,
) -> int:
    """Check the digest of the next issue, a composed one, or an .eml file."""
    from newsletter.publisher import check_file

    if file is not None:
        found = check_file(context.config if remote else None, file)
        return _say(found, str(file), as_json=as_json)
    if newsletter is not None or number is not None:
        chosen = [chosen_newsletter(context, newsletter)]
    else:
        chosen = [one.name for one in context.config.newsletters]
    findings: list[Finding] = []
    for name in chosen:
        findings += context.publisher.check_digest(name, number, remote=remote, now=datetime.now(UTC))
    return _say(findings, ", ".join(chosen) or "no newsletter", as_json=as_json)
