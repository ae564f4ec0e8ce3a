"""The built-in hub over HTTP, and the header by which feeds name their hubs (WebSub §4 and §5.1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from newsletter import websub
from newsletter.config import Config
from newsletter.store import Store
from newsletter.web.guard import body_of

_FORM = "application/x-www-form-urlencoded"


class Hub:
    """Takes the requests of subscribers; they are verified by the daemon."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._config = config
        self._clock = clock

    async def answer(self, request: Request) -> Response:
        """Answer a request to subscribe or to unsubscribe: 202, or one line that says what is wrong."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            return PlainTextResponse(f"a body of the type {_FORM} is needed\n", 415)
        body = await body_of(request)
        reply = await run_in_threadpool(websub.ask, self._store, self._config, body, now=self._clock())
        headers = {"cache-control": "no-store"}
        if reply.retry_after:
            headers["retry-after"] = str(reply.retry_after)
        return PlainTextResponse(f"{reply.text}\n", reply.status, headers)
