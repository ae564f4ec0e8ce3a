"""`/u/TOKEN`: unsubscribing (RFC 8058) and its undo."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from newsletter import subscriptions
from newsletter.config import Config
from newsletter.model import Standing
from newsletter.store import Store
from newsletter.tokens import Purpose
from newsletter.web import wording
from newsletter.web.drawing import Drawing
from newsletter.web.guard import body_of
from newsletter.web.mailing import sender


class Readers:
    """The pages of unsubscribing links."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], datetime], drawing: Drawing) -> None:
        self._store = store
        self._config = config
        self._send = sender(config)
        self._keys = config.token_keys()
        self._clock = clock
        self._drawing = drawing

    def unsubscribe_page(self, request: Request) -> Response:
        """Show the page with the one button; changes nothing."""
        change = subscriptions.look(self._store, self._keys, request.path_params["token"])
        return self._page(
            request, change, asked=change.after in (None, Standing.UNSUBSCRIBED, Standing.SUPPRESSED)
        )

    async def unsubscribe(self, request: Request) -> Response:
        """Unsubscribe before answering: at once for a mail program's one click, with a page for a person."""
        body = await body_of(request)
        one_click = b"List-Unsubscribe" in body  # urlencoded or multipart, well formed or not
        return await run_in_threadpool(self._unsubscribe, request, one_click)

    def _unsubscribe(self, request: Request, one_click: bool) -> Response:
        token, channel = request.path_params["token"], "one-click" if one_click else "page"
        change = subscriptions.unsubscribe(self._store, self._keys, token, channel=channel, now=self._clock())
        if self._config.consent.goodbye and change.changed:
            subscriptions.say_goodbye(
                self._store,
                self._keys,
                token,
                now=self._clock(),
                send=self._send,
                language=self._speak(request),
            )
        if one_click:
            return PlainTextResponse("unsubscribed\n")
        return self._page(request, change, asked=True)

    async def undo(self, request: Request) -> Response:
        """Take an unsubscribing back."""
        await body_of(request)
        return await run_in_threadpool(self._undo, request)

    def _undo(self, request: Request) -> Response:
        speak = self._speak(request)
        change = subscriptions.resubscribe(
            self._store,
            self._keys,
            request.path_params["token"],
            channel="page",
            now=self._clock(),
            wording=self._drawing.words.say(speak, wording.UNDO),
            language=speak,
        )
        return self._page(request, change, asked=False, back=True)

    def _page(
        self, request: Request, change: subscriptions.Change, *, asked: bool, back: bool = False
    ) -> Response:
        titles = {one.name: one.title for one in self._config.newsletters}
        speak = self._speak(request)
        return self._drawing.draw(
            request,
            "web/unsubscribed.html.j2" if asked else "web/unsubscribe.html.j2",
            speak=speak,
            newsletter=titles.get(change.newsletter, self._config.publication.title),
            token=request.path_params["token"],
            may_undo=change.after is Standing.UNSUBSCRIBED,
            back=back and change.after is Standing.ACTIVE,
            undo=self._drawing.words.say(speak, wording.UNDO),
        )

    def _speak(self, request: Request) -> str:
        token = request.path_params["token"]
        person = subscriptions.person_of(self._store, self._keys, token, Purpose.UNSUBSCRIBE)
        return self._drawing.speak(request, person)
