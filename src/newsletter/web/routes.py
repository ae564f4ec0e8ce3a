"""The routes, and what is answered when something fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from newsletter import moves
from newsletter.api import Api
from newsletter.config import Config
from newsletter.errors import InputError, OutsideError, TokenError
from newsletter.store import Store, meta
from newsletter.web.drawing import Drawing
from newsletter.web.front import Front
from newsletter.web.guard import Guard, origin_of
from newsletter.web.hub import Hub
from newsletter.web.leavings import Leavings
from newsletter.web.private import Private
from newsletter.web.readers import Readers
from newsletter.web.static import Static

log = logging.getLogger(__name__)


def application(store: Store, config: Config, clock: Callable[[], datetime]) -> Starlette:
    """Wire the pages of one publication; they answer below the path of `web.url` and at the root."""
    drawing = Drawing(config)
    readers = Readers(store, config, clock, drawing)
    hub = Hub(store, config, clock)
    front = Front(store, config, clock)
    private = Private(store, config, front, drawing)
    leavings = Leavings(partial(moves.find, store, config), drawing)
    static = Static(config.public, front, drawing.stylesheet, leavings.answer)

    def healthz(request: Request) -> Response:
        with store.read() as tx:
            meta.get(tx, "instance")
        return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})

    routes: list[BaseRoute] = [
        Route("/healthz", healthz),
        Route("/u/{token}", readers.unsubscribe_page),
        Route("/u/{token}", readers.unsubscribe, methods=["POST"]),
        Route("/u/{token}/undo", readers.undo, methods=["POST"]),
        Route("/p/{token}", readers.preferences_page),
        Route("/p/{token}", readers.preferences, methods=["POST"]),
        *([Route("/hub", hub.answer, methods=["POST"])] if config.websub.hub else []),
        Route("/f/{token}/atom.xml", private.answer),
        Route("/api/v1/{path:path}", Api(store, config, clock)),
        Route("/{path:path}", static.answer),
    ]
    prefix = urlsplit(config.web_url).path.rstrip("/")
    if prefix:
        routes.insert(0, Mount(prefix, routes=list(routes)))

    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, origin=origin_of(config))],
        exception_handlers=_failures(drawing),
    )
    app.state.front = front
    return app


def _failures(drawing: Drawing) -> dict[Any, Callable[[Request, Exception], Response]]:
    """Return what is answered for each kind of error; a fault of ours is a bare 500."""

    def wrong_link(request: Request, error: Exception) -> Response:
        return drawing.draw(request, "web/link.html.j2", "This link does not work", status=404)

    def wrong_input(request: Request, error: Exception) -> Response:
        return drawing.draw(request, "web/failed.html.j2", "That did not work", status=400, said=str(error))

    def outside(request: Request, error: Exception) -> Response:
        log.error("a page could not be answered: %s", error)
        said = "We could not do this just now. Nothing was changed: please try again in a minute."
        answer = drawing.draw(request, "web/failed.html.j2", "Please try again", status=503, said=said)
        answer.headers["retry-after"] = "60"
        return answer

    return {TokenError: wrong_link, InputError: wrong_input, OutsideError: outside}
