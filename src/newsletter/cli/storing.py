"""`newsletter backup` and `newsletter restore`."""

from __future__ import annotations

from pathlib import Path

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, say, say_json


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@pass_context
def backup(context: Context, file: Path, as_json: bool) -> None:
    """Write the whole store into FILE (readable by you alone)."""
    report = context.publisher.backup(file)
    if as_json:
        say_json(report)
    else:
        say(f"{file}: {report.rows} rows. It holds personal data: keep it safe.")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@pass_context
def restore(context: Context, file: Path, as_json: bool) -> None:
    """Restore FILE into this publication's store, which must be empty."""
    from newsletter.publisher import restore as restore_store

    report = restore_store(context.config, file)
    if as_json:
        say_json(report)
    else:
        say(f"Restored {report.rows} rows. Delivery starts paused.")
