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
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from newsletter import moves
from newsletter.api import Api
from newsletter.config import Config
from newsletter.errors import InputError, OutsideError, TemplateError, TokenError
from newsletter.store import Store, meta
from newsletter.web.asking import Foreign, origins, own
from newsletter.web.confirming import Confirming
from newsletter.web.drawing import Drawing
from newsletter.web.front import Front
from newsletter.web.guard import Guard, origin_of
from newsletter.web.hub import Hub
from newsletter.web.leavings import Leavings
from newsletter.web.preferences import Preferences
from newsletter.web.private import Private
from newsletter.web.readers import Readers
from newsletter.web.signups import SignUps
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
        Route("/u/{token}/undo", own(readers.undo, origins(config)), methods=["POST"]),
        *_of_subscribers(store, config, clock, drawing),
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


def _of_subscribers(
    store: Store, config: Config, clock: Callable[[], datetime], drawing: Drawing
) -> list[BaseRoute]:
    """Return the routes to the pages where people sign up, confirm, and choose."""
    told = store, config, clock, drawing
    signups, confirming, mine = SignUps(*told), Confirming(*told), Preferences(*told)
    ours = origins(config)
    posts = {
        "/c/{token}": confirming.confirm,
        "/preferences/": mine.mail_link,
        "/p/{token}": mine.choose,
        "/p/{token}/person": mine.tell,
        "/p/{token}/address": mine.move,
        "/p/{token}/erase": mine.erase,
    }
    pages = {
        "/c/{token}": confirming.page,
        "/preferences/": mine.link_page,
        "/p/{token}": mine.page,
        "/p/{token}/data.json": mine.export,
        "/p/{token}/erase": mine.erase_page,
    }
    routes = [Route(path, own(posts[path], ours), methods=["POST"]) for path in posts]
    routes += [Route(path, pages[path]) for path in pages]
    routes.append(Route("/preferences", _with_slash))
    if config.web.signup:  # a form on another site may post here: it checks for itself
        routes.append(Route("/subscribe", _with_slash))
        for path in ("/subscribe/", "/subscribe/{newsletter}"):
            routes += [Route(path, signups.page), Route(path, signups.take, methods=["POST"])]
    return list(routes)


def _with_slash(request: Request) -> Response:
    return RedirectResponse(request.url.path.rpartition("/")[2] + "/", 308)


def _failures(drawing: Drawing) -> dict[Any, Callable[[Request, Exception], Response]]:
    """Return what is answered for each kind of error; a fault of ours is a bare 500."""

    def wrong_link(request: Request, error: Exception) -> Response:
        return drawing.draw(request, "web/link.html.j2", status=404)

    def wrong_input(request: Request, error: Exception) -> Response:
        return drawing.draw(request, "web/failed.html.j2", status=400, reason="input")

    def broken(request: Request, error: Exception) -> Response:
        log.error("a page could not be rendered: %s", error)
        return PlainTextResponse("This page could not be made.\n", 500, {"cache-control": "no-store"})

    def foreign(request: Request, error: Exception) -> Response:
        return drawing.draw(request, "web/failed.html.j2", status=403, reason="foreign")

    def outside(request: Request, error: Exception) -> Response:
        log.error("a page could not be answered: %s", error)
        answer = drawing.draw(request, "web/failed.html.j2", status=503, reason="busy")
        answer.headers["retry-after"] = "60"
        return answer

    return {
        TokenError: wrong_link,
        InputError: wrong_input,
        Foreign: foreign,
        TemplateError: broken,
        OutsideError: outside,
    }
