"""The web part: the published tree, and the pages that a signed link opens. No page needs a script.

    request > guard (headers, limits) > readers (links) | static (public/)

GET and HEAD never change anything: mail scanners follow every link.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from newsletter.web.server import Server, serve

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from newsletter.config import Config
    from newsletter.store import Store

__all__ = ["Server", "create_app", "serve"]


def _now() -> datetime:
    return datetime.now(UTC)


def create_app(store: Store, config: Config, clock: Callable[[], datetime] = _now) -> Starlette:
    """Return the ASGI application over an open store; `clock` gives the instant of what readers do."""
    from newsletter.web.routes import application

    return application(store, config, clock)
