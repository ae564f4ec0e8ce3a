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
        say(f"{file}: {sum(report.rows.values())} rows. It holds personal data: keep it safe.")


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
        say(
            f"Restored {sum(report.rows.values())} rows. Nothing is delivered from it until you say: newsletter resume"
        )


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_context
def resume(context: Context, yes: bool) -> None:
    """Let a restored, copied or moved store deliver, on your word that no other copy of it does."""
    if not yes:
        click.confirm("Does no other copy of this store deliver any more?", abort=True)
    reason = context.publisher.resume()
    say(f"Delivery goes on ({reason})." if reason else "Delivery was not paused.")
