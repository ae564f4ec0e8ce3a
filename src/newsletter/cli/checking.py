"""`newsletter check …`: every rule that a program can check."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.accounts import chosen_newsletter
from newsletter.cli.output import json_option, say, say_json

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
            say(f"{one.where}: {one.place}{story}: {word}: {one.rule}. {one.remedy}")
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
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@pass_context
def feeds(context: Context, files: tuple[Path, ...], as_json: bool) -> int:
    """Check feed FILES, or every feed in public/feeds."""
    from newsletter.checks import feeds as rules

    chosen = files or tuple(
        p for p in sorted((context.config.public / "feeds").rglob("*")) if p.suffix in (".xml", ".json")
    )
    findings = [finding for path in chosen for finding in rules.check_file(path.read_bytes(), str(path))]
    return _say(findings, f"{len(chosen)} feeds", as_json=as_json)


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
