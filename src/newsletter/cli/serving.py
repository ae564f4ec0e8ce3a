"""`newsletter run` and `newsletter serve`."""

from __future__ import annotations

import logging

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import say


def _log_to_terminal() -> None:
    root = logging.getLogger()
    if root.level > logging.INFO:
        root.setLevel(logging.INFO)
    for name in ("apscheduler", "alembic", "httpx2", "httpcore2", "watchfiles"):
        logging.getLogger(name).setLevel(logging.WARNING)


@click.command()
@click.option("--no-web", is_flag=True, help="Without the built-in server.")
@pass_context
def run(context: Context, no_web: bool) -> None:
    """Run the daemon until it is stopped: gather, publish, compose and deliver on schedule, serve pages."""
    from newsletter import daemon

    _log_to_terminal()
    daemon.run(context.publisher, web=not no_web)


@click.command()
@click.option("--host", help="Where to listen (default: web.host).")
@click.option("--port", type=click.IntRange(0, 65535), help="The port (default: web.port).")
@pass_context
def serve(context: Context, host: str | None, port: int | None) -> None:
    """Serve public/ and the subscribers' pages until Ctrl-C."""
    from newsletter import web

    _log_to_terminal()
    host = host or context.config.web.host
    port = context.config.web.port if port is None else port
    say(f"Serving {context.config.public} on http://{host}:{port}/ until Ctrl-C")
    web.serve(web.create_app(context.publisher.store, context.config), host, port)
