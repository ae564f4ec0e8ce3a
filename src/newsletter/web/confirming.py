"""`/c/TOKEN`: a subscription, or a new address, is confirmed by the button of a page, never by opening it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from newsletter import subscriptions
from newsletter.config import Config
from newsletter.model import Subscriber
from newsletter.store import Store
from newsletter.subscriptions import Confirmation, Move, Shown
from newsletter.web import asking, wording
from newsletter.web.drawing import Drawing
from newsletter.web.guard import body_of
from newsletter.web.mailing import sender


class Confirming:
    """The pages behind confirming links."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], datetime], drawing: Drawing) -> None:
        self._store = store
        self._config = config
        self._send = sender(config)
        self._keys = config.token_keys()
        self._clock = clock
        self._drawing = drawing

    def page(self, request: Request) -> Response:
        """Show what the link would do, with its button; changes nothing."""
        token, now = str(request.path_params["token"]), self._clock()
        if subscriptions.is_move(self._keys, token):
            return self._moved(request, *subscriptions.look_at_move(self._store, self._keys, token, now=now))
        return self._draw(request, subscriptions.look_up(self._store, self._keys, token, now=now))

    async def confirm(self, request: Request) -> Response:
        """Do what the page said."""
        await body_of(request)
        return await run_in_threadpool(self._confirm, request)

    def _confirm(self, request: Request) -> Response:
        token, now = str(request.path_params["token"]), self._clock()
        if subscriptions.is_move(self._keys, token):
            return self._move(request, token, now)
        found = subscriptions.look_up(self._store, self._keys, token, now=now)
        speak = self._drawing.speak(request, found.subscriber)
        shown = Shown(
            channel="page",
            wording="\n".join(self._agreed(found, speak)),
            language=speak,
            form=wording.FORM_CONFIRM,
            ip=asking.peer_of(request, self._config),
            keep_ip=self._config.consent.keep_ip,
        )
        done = subscriptions.confirm(self._store, self._keys, token, shown, now=now, send=self._send)
        return self._draw(request, done)

    def _move(self, request: Request, token: str, now: datetime) -> Response:
        _, person = subscriptions.look_at_move(self._store, self._keys, token, now=now)
        speak = self._drawing.speak(request, person)
        said = "\n".join(self._agreed_move(person, speak))
        done = subscriptions.confirm_move(
            self._store, self._keys, token, now=now, wording=said, language=speak
        )
        return self._moved(request, *done)

    def _draw(self, request: Request, found: Confirmation) -> Response:
        speak = self._drawing.speak(request, found.subscriber)
        agree, button = self._agreed(found, speak)
        return self._drawing.draw(
            request,
            "web/confirm.html.j2",
            speak=speak,
            newsletter=self._title(found.newsletter),
            stands=found.request.value,
            agree=agree,
            button=button,
            token=request.path_params["token"],
        )

    def _moved(self, request: Request, move: Move, person: Subscriber | None) -> Response:
        speak = self._drawing.speak(request, person)
        agree, button = self._agreed_move(person, speak)
        return self._drawing.draw(
            request,
            "web/address.html.j2",
            speak=speak,
            stands=move.value,
            agree=agree,
            button=button,
            token=request.path_params["token"],
        )

    def _agreed(self, found: Confirmation, speak: str) -> tuple[str, str]:
        """Return the sentence and the button that somebody agrees by."""
        words = self._drawing.words
        address = masked(found.subscriber.address) if found.subscriber else ""
        told = {"newsletter": self._title(found.newsletter), "address": address}
        return words.say(speak, wording.CONFIRM) % told, words.say(speak, wording.YES)

    def _agreed_move(self, person: Subscriber | None, speak: str) -> tuple[str, str]:
        words = self._drawing.words
        told = {"address": masked(person.address) if person else ""}
        return words.say(speak, wording.MOVE) % told, words.say(speak, wording.YES_MOVE)

    def _title(self, name: str) -> str:
        titles = {one.name: one.title for one in self._config.newsletters}
        return titles.get(name, self._config.publication.title)


def masked(address: str) -> str:
    """Show whose page it is to who knows, and not the address to who does not."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"
