"""The command line. Each command's module is imported when it is called: `--help` stays quick."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter import __version__
from newsletter.errors import NewsletterError

if TYPE_CHECKING:
    from newsletter.config import Config
    from newsletter.publisher import Publisher

#: command -> (module:function, one line of help)
COMMANDS = {
    "init": ("setup:init", "Make a new publication, ready to run."),
    "demo": ("setup:demo", "Go the whole way on this publication; the mails go into a mailbox of its own."),
    "gather": ("posts:gather", "Read the sources: new, changed, unchanged, quarantined and why."),
    "quarantine": ("quarantine:quarantine", "Show what could not become a post and why; retry or ignore it."),
    "sources": ("sources:sources", "Find sources, show how they stand, let them be asked again."),
    "publish": ("posts:publish", "Write feeds and pages into public/ (only bytes that changed)."),
    "feeds": ("feeds:feeds", "Who reads the feeds, and where that went which was published once."),
    "issues": ("issues:issues", "Compose, preview, deliver and account for issues."),
    "run": ("serving:run", "Run the daemon: schedule, delivery, web."),
    "serve": ("serving:serve", "Serve the web part alone."),
    "subscribers": ("subscribers:subscribers", "Import, export, add, show and forget subscribers."),
    "websub": ("push:websub", "Show and tell who waits for changed feeds: hubs and subscribers."),
    "letters": ("letters:letters", "Show and send letters: confirmations, welcomes, goodbyes, links."),
    "api-keys": ("keys:api_keys", "Make, list and revoke keys of the API."),
    "webhooks": ("webhooks:webhooks", "Show, try and repeat what webhooks are told."),
    "bounces": ("bounces:bounces", "Read bounces and complaints, judge them, show and undo what followed."),
    "check": ("checking:check", "Check feeds, digests or the configuration; exit 1 on a finding."),
    "prove": ("setup:prove", "Deliver while being killed, on this machine, and print the account."),
    "dkim": ("signing:dkim", "Make keys that sign mails, and show their records in DNS."),
    "backup": ("storing:backup", "Write the whole store into one file."),
    "restore": ("storing:restore", "Restore a backup into an empty store."),
    "resume": ("storing:resume", "Let a restored or copied store deliver again."),
}


@dataclass
class Context:
    """What every command gets: the publication's folder and how to speak."""

    folder: Path
    debug: bool = False
    opened: list[Publisher] = field(default_factory=list)

    @cached_property
    def config(self) -> Config:
        """The publication's configuration."""
        from newsletter.config import load

        return load(self.folder)

    @cached_property
    def publisher(self) -> Publisher:
        """The facade, its store open until the command ends."""
        from newsletter.publisher import Publisher

        publisher = Publisher.open(self.config)
        self.opened.append(publisher)
        return publisher

    def close(self) -> None:
        """Close what was opened."""
        for publisher in self.opened:
            publisher.close()


pass_context = click.make_pass_decorator(Context)


class Commands(click.Group):
    """A group that imports a command's module only when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"newsletter.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Gather a site's posts, publish them as feeds, and deliver a digest by e-mail.",
)
@click.version_option(__version__, "-V", "--version", prog_name="newsletter")
@click.option(
    "-p",
    "--publication",
    "folder",
    default=".",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The publication's folder (default: this one).",
)
@click.option("--debug", is_flag=True, help="Show the trace of an error.")
@click.option("-v", "--verbose", is_flag=True, help="Log what is done.")
@click.pass_context
def program(ctx: click.Context, folder: Path, debug: bool, verbose: bool) -> None:
    """Set up what every command gets."""
    import logging
    import time

    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)sZ %(levelname)s %(name)s: %(message)s")
    logging.Formatter.converter = time.gmtime
    logging.Formatter.default_msec_format = "%s.%03d"
    ctx.obj = Context(folder, debug)
    ctx.call_on_close(ctx.obj.close)


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit: 0 done, 1 a check failed, 2 the user's input is wrong, 3 the outside world
    failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        status: Any = program.main(args=arguments, prog_name="newsletter", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        status = 130
    except click.exceptions.Exit as e:
        status = e.exit_code
    except click.ClickException as e:
        e.show()
        status = 2
    except NewsletterError as e:
        if "--debug" in arguments:
            raise
        click.echo(f"newsletter: {e}", err=True)
        status = e.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        status = 0
    sys.exit(status if isinstance(status, int) else 0)
