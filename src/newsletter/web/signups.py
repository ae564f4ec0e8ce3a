"""`/subscribe/`: the page, forms on other sites, and JSON. The answer is one, whatever the address's standing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from newsletter import subscriptions
from newsletter.config import Config, NewsletterConfig
from newsletter.errors import InputError, TokenError
from newsletter.store import Store
from newsletter.subscriptions import Shown, SignUp
from newsletter.tokens import Purpose, make, read
from newsletter.web import asking, choices, wording
from newsletter.web.asking import Errors
from newsletter.web.drawing import Drawing
from newsletter.web.guard import body_of
from newsletter.web.mailing import sender

FASTEST = 2  # seconds in which a person fills the form
SLOWEST = 86_400  # after which a form must be shown anew
BARE = 2  # what a sign-up costs of its network's limit when no form of ours was shown
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_TEXTS = ("address", "name", "language", "timezone")
#: What is wrong, to programs; the pages say it in their language.
_SAID = {
    "missing": "is needed",
    "wrong": "is not one that can be used",
    "unknown": "is not known here",
    "foreign": "this site is not among [web] signup_origins",
    "again": "the form must be sent once more",
    "many": "too many sign-ups came from there",
}


@dataclass(slots=True, kw_only=True)
class Typed:
    """What came in: fields as they were typed, and what is wrong with them by field."""

    newsletters: list[str]
    texts: dict[str, str]
    stamp: str = ""
    trap: str = ""
    errors: Errors = field(default_factory=Errors)


class SignUps:
    """Takes sign-ups for one publication."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], datetime], drawing: Drawing) -> None:
        self._store = store
        self._config = config
        self._send = sender(config)
        self._keys = config.token_keys()
        self._clock = clock
        self._drawing = drawing
        self._ours = asking.origins(config)
        self._embedding = self._ours | frozenset(config.web.signup_origins)

    def page(self, request: Request) -> Response:
        """Show the form; changes nothing."""
        if not self._offered(request):
            return self._drawing.missing(request)
        return self._form(request, Typed(newsletters=[], texts={}))

    async def take(self, request: Request) -> Response:
        """Take a form, or JSON, and answer at a time that tells nothing."""
        if not self._offered(request):
            return self._drawing.missing(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            typed = _from_json(await body_of(request))
            return await asking.evenly(run_in_threadpool(self._answer_program, request, typed))
        form = await asking.form_of(request)
        typed = Typed(
            newsletters=[one[:60] for one in form.get("newsletter", []) if one],
            texts={name: asking.first(form, name) for name in _TEXTS},
            stamp=asking.first(form, "shown"),
            trap=asking.first(form, "website"),
        )
        return await asking.evenly(run_in_threadpool(self._answer_person, request, typed))

    def _answer_person(self, request: Request, typed: Typed) -> Response:
        speak = self._drawing.speak(request)
        wait = 0 if typed.trap else self._take(request, typed, speak)
        if wait:
            typed.errors["form"] = "many"
            answer = self._form(request, typed, status=429)
            answer.headers["retry-after"] = str(wait)
            return answer
        if typed.errors:
            return self._form(request, typed, status=403 if typed.errors.get("form") == "foreign" else 400)
        return self._drawing.draw(request, "web/asked.html.j2", address=typed.texts["address"], link=False)

    def _answer_program(self, request: Request, typed: Typed) -> Response:
        wait = 0 if typed.errors else self._take(request, typed, typed.texts.get("language", ""))
        if wait:
            headers = {"retry-after": str(wait), "cache-control": "no-store"}
            return JSONResponse({"errors": {"form": _SAID["many"]}}, 429, headers)
        if typed.errors:
            said = {name: _SAID.get(error, error) for name, error in typed.errors.items()}
            status = 403 if typed.errors.get("form") == "foreign" else 400
            return JSONResponse({"errors": said}, status, {"cache-control": "no-store"})
        return JSONResponse({"status": "requested"}, 202, {"cache-control": "no-store"})

    def _take(self, request: Request, typed: Typed, speak: str) -> int:
        """Note what is wrong, or sign up; return for how many seconds to wait."""
        asked = self._read(request, typed)
        now = self._clock()
        bare = not typed.stamp
        if asked is None:
            return 0
        if asking.foreign(request, self._embedding):
            typed.errors["form"] = "foreign"
        elif not bare and not self._is_fresh(typed, now):
            typed.errors["form"] = "again"
        if typed.errors:
            return 0
        wait = subscriptions.sign_up(
            self._store,
            asked,
            self._shown(request, asked, speak, bare=bare),
            bounds=asking.bounds(request, self._config, cost=BARE if bare else 1),
            now=now,
            send=self._send,
        )
        return math.ceil(wait.total_seconds())

    def _read(self, request: Request, typed: Typed) -> SignUp | None:
        offered = [one.name for one in self._offered(request)]
        texts = {name: typed.texts.get(name, "") for name in _TEXTS}
        wanted = typed.newsletters or (offered if len(offered) == 1 else [])
        if not wanted:
            typed.errors["newsletters"] = "missing"
        elif not set(wanted) <= {one.name for one in self._config.newsletters}:
            typed.errors["newsletters"] = "unknown"
        if not texts["address"]:
            typed.errors["address"] = "missing"
        for name, right in (("address", subscriptions.normalise), ("name", subscriptions.name_of)):
            try:
                texts[name] = right(texts[name]) if texts[name] else ""
            except InputError:
                typed.errors[name] = "wrong"
        if texts["language"] and not _LANGUAGE.fullmatch(texts["language"]):
            typed.errors["language"] = "wrong"
        if texts["timezone"] and not choices.is_zone(texts["timezone"]):
            typed.errors["timezone"] = "wrong"
        return None if typed.errors else SignUp(newsletters=tuple(dict.fromkeys(wanted)), **texts)

    def _shown(self, request: Request, asked: SignUp, speak: str, *, bare: bool) -> Shown:
        """Return what the ledger keeps; of a form on another site we do not know the words."""
        ip, keep_ip = asking.peer_of(request, self._config), self._config.consent.keep_ip
        if bare:
            origin = request.headers.get("origin", "")[:200]
            channel = f"form on {origin}" if origin else "form"
            return Shown(channel=channel, language=speak, ip=ip, keep_ip=keep_ip)
        titles = [one.title for one in self._config.newsletters if one.name in asked.newsletters]
        words = self._drawing.words
        said = (words.say(speak, wording.AGREE), ", ".join(titles), words.say(speak, wording.SIGN_UP))
        return Shown(
            channel="page",
            wording="\n".join(said),
            language=speak,
            form=wording.FORM_SIGN_UP,
            ip=ip,
            keep_ip=keep_ip,
        )

    def _is_fresh(self, typed: Typed, now: datetime) -> bool:
        try:
            shown = int(read(self._keys, Purpose.FORM, typed.stamp))
        except (TokenError, ValueError):
            shown = 0
        age = now.timestamp() - shown
        if not 0 <= age <= SLOWEST:
            typed.stamp = ""
        return FASTEST <= age <= SLOWEST

    def _form(self, request: Request, typed: Typed, status: int = 200) -> Response:
        speak, offered = self._drawing.speak(request), self._offered(request)
        words = self._drawing.words
        one = offered[0].name if len(offered) == 1 else ""
        return self._drawing.draw(
            request,
            "web/subscribe.html.j2",
            status=status,
            speak=speak,
            newsletters=offered,
            only=one,
            chosen=typed.newsletters,
            typed={name: typed.texts.get(name, "") for name in _TEXTS},
            errors=typed.errors,
            stamp=typed.stamp or make(self._keys, Purpose.FORM, str(int(self._clock().timestamp()))),
            zones=choices.zones(speak),
            agree=words.say(speak, wording.AGREE),
            button=words.say(speak, wording.SIGN_UP),
        )

    def _offered(self, request: Request) -> list[NewsletterConfig]:
        name = request.path_params.get("newsletter", "")
        return [one for one in self._config.newsletters if name in ("", one.name)]


def _from_json(body: bytes) -> Typed:
    """Read `{"address": …, "newsletters": […], "name": …, "language": …, "timezone": …}`."""
    typed = Typed(newsletters=[], texts={})
    try:
        told: Any = json.loads(body)
        json.dumps(told, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        typed.errors["form"] = "a JSON object is needed"
        return typed
    for name, value in told.items():
        if name == "newsletters" and isinstance(value, list) and all(isinstance(one, str) for one in value):
            typed.newsletters = [one[:60] for one in value[:100]]
        elif name in _TEXTS and isinstance(value, str):
            typed.texts[name] = value.strip()[:400]
        elif name in (*_TEXTS, "newsletters"):
            typed.errors[name] = "a list of names is needed" if name == "newsletters" else "a text is needed"
        else:
            typed.errors[str(name)[:60]] = "there is no such field"
    return typed
