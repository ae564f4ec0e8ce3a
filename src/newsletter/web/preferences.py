"""`/p/TOKEN`, a person's own page, and `/preferences/`, which mails the link to it to who has none at hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from newsletter import subscriptions
from newsletter.config import Config, NewsletterConfig
from newsletter.digest.wording import day
from newsletter.errors import InputError
from newsletter.model import Standing, Subscriber, Subscription
from newsletter.store import Store
from newsletter.subscriptions import Wish
from newsletter.tokens import Purpose
from newsletter.web import asking, choices, wording
from newsletter.web.confirming import masked
from newsletter.web.drawing import Drawing
from newsletter.web.mailing import sender

_TOLD: tuple[str, ...] = ("name", "language", "timezone")
LONGEST_PAUSE = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How a newsletter stands on the page of preferences; `every` is day, week or month."""

    name: str
    title: str
    description: str
    every: str
    standing: str
    paused_until: datetime | None
    paused_until_day: str


class Preferences:
    """The pages of one publication's subscribers."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], datetime], drawing: Drawing) -> None:
        self._store = store
        self._config = config
        self._send = sender(config)
        self._keys = config.token_keys()
        self._clock = clock
        self._drawing = drawing

    # The link by mail

    def link_page(self, request: Request) -> Response:
        """Show the form that asks for the link; changes nothing."""
        return self._link(request)

    async def mail_link(self, request: Request) -> Response:
        """Mail the link to who is known; the answer is the same for everybody, also in time."""
        address = asking.first(await asking.form_of(request), "address")
        return await asking.evenly(run_in_threadpool(self._mail_link, request, address))

    def _mail_link(self, request: Request, address: str) -> Response:
        try:
            known = subscriptions.normalise(address)
        except InputError:
            return self._link(request, address, error="wrong" if address else "missing", status=400)
        wait = subscriptions.mail_link(
            self._store,
            known,
            bounds=asking.bounds(request, self._config),
            now=self._clock(),
            send=self._send,
            language=self._drawing.speak(request),
        )
        if wait:
            answer = self._link(request, address, error="many", status=429)
            answer.headers["retry-after"] = str(math.ceil(wait.total_seconds()))
            return answer
        return self._drawing.draw(request, "web/asked.html.j2", address=address, link=True)

    def _link(self, request: Request, address: str = "", *, error: str = "", status: int = 200) -> Response:
        return self._drawing.draw(
            request, "web/link_by_mail.html.j2", address=address, error=error, status=status
        )

    # The page itself

    def page(self, request: Request) -> Response:
        """Show how each newsletter stands; changes nothing."""
        return self._draw(request)

    async def choose(self, request: Request) -> Response:
        """Do what one button of a newsletter asks, and show the page again."""
        form = await asking.form_of(request)
        return await run_in_threadpool(self._choose, request, form)

    def _choose(self, request: Request, form: asking.Form) -> Response:
        token, newsletter, wish = (
            self._token(request),
            *(asking.first(form, n) for n in ("newsletter", "wish")),
        )
        person = subscriptions.person_of(self._store, self._keys, token, Purpose.PREFERENCES)
        if wish not in [*Wish] or newsletter not in [one.name for one in self._config.newsletters]:
            raise InputError("there is no such choice", remedy="Go back and use the buttons of the page")
        until = None
        if wish == Wish.PAUSE and "until" in form:
            until = self._until(asking.first(form, "until"), person)
            if until is None:
                return self._draw(request, errors={f"until {newsletter}": "wrong"})
        speak = self._drawing.speak(request, person)
        subscribing = wish == Wish.SUBSCRIBE
        subscriptions.ask(
            self._store,
            self._keys,
            token,
            newsletter,
            Wish(wish),
            now=self._clock(),
            wording=self._drawing.words.say(speak, wording.SUBSCRIBE) if subscribing else "",
            language=speak if subscribing else "",
            until=until,
        )
        return self._draw(request, saved="newsletters")

    def _until(self, typed: str, person: Subscriber | None) -> datetime | None:
        """Return the beginning of a day where the person lives, None for none in the year to come."""
        try:
            zone = ZoneInfo((person and person.timezone) or self._config.publication.timezone)
            until = datetime.combine(date.fromisoformat(typed), time(), zone)
        except (ValueError, OSError, KeyError):
            return None
        return until if self._clock() < until <= self._clock() + LONGEST_PAUSE else None

    async def tell(self, request: Request) -> Response:
        """Write name, language and time zone."""
        form = await asking.form_of(request)
        return await run_in_threadpool(self._tell, request, form)

    def _tell(self, request: Request, form: asking.Form) -> Response:
        token = self._token(request)
        person = subscriptions.person_of(self._store, self._keys, token, Purpose.PREFERENCES)
        told = {name: asking.first(form, name) for name in _TOLD if name in form}
        if not told:
            raise InputError("the form says nothing", remedy="Go back and use the buttons of the page")
        errors = {}
        try:
            subscriptions.name_of(told.get("name", ""))
        except InputError:
            errors["name"] = "wrong"
        kept, zone = person.timezone if person else "", told.get("timezone", "")
        if zone not in ("", kept) and not choices.is_zone(zone):
            errors["timezone"] = "wrong"
        kept = person.language if person else ""
        if told.get("language", "") not in ("", kept, *self._drawing.words.languages):
            errors["language"] = "wrong"
        if errors:
            return self._draw(request, errors=errors, typed=told)
        subscriptions.tell(self._store, self._keys, token, now=self._clock(), **told)
        return self._draw(request, saved="person")

    async def move(self, request: Request) -> Response:
        """Ask at a new address whether it is theirs; the answer is the same for every address."""
        address = asking.first(await asking.form_of(request), "address")
        return await asking.evenly(run_in_threadpool(self._move, request, address))

    def _move(self, request: Request, address: str) -> Response:
        token = self._token(request)
        subscriptions.person_of(
            self._store, self._keys, token, Purpose.PREFERENCES
        )  # the token, before all else
        try:
            known = subscriptions.normalise(address)
        except InputError:
            errors = {"address": "wrong" if address else "missing"}
            return self._draw(request, errors=errors, typed={"address": address})
        speak = self._drawing.speak(request)
        now = self._clock()
        subscriptions.move(self._store, self._keys, token, known, now=now, send=self._send, language=speak)
        return self._draw(request, saved="address", typed={"address": address})

    def export(self, request: Request) -> Response:
        """Give a person all that is stored about them, as JSON."""
        token = self._token(request)
        told = subscriptions.own_data(self._store, self._keys, token, now=self._clock())
        if told is None:
            return self._draw(request)
        body = json.dumps(told, ensure_ascii=False, indent=2, default=_written)
        headers = {"content-disposition": 'attachment; filename="my-data.json"'}
        return Response(f"{body}\n", media_type="application/json", headers=headers)

    def erase_page(self, request: Request) -> Response:
        """Show what erasing means, with its button; changes nothing."""
        token = self._token(request)
        person = subscriptions.person_of(self._store, self._keys, token, Purpose.PREFERENCES)
        if person is None:
            return self._draw(request)
        speak = self._drawing.speak(request, person)
        return self._drawing.draw(
            request, "web/erase.html.j2", speak=speak, token=token, address=masked(person.address)
        )

    async def erase(self, request: Request) -> Response:
        """Erase a person."""
        form = await asking.form_of(request)
        return await run_in_threadpool(self._erase, request, asking.first(form, "sure"))

    def _erase(self, request: Request, sure: str) -> Response:
        token = self._token(request)
        person = subscriptions.person_of(self._store, self._keys, token, Purpose.PREFERENCES)
        if sure != "yes":
            return self.erase_page(request)
        speak = self._drawing.speak(request, person)
        subscriptions.erase(self._store, self._keys, token, now=self._clock())
        return self._draw(request, speak=speak)

    def _draw(
        self,
        request: Request,
        *,
        saved: str = "",
        errors: Mapping[str, str] | None = None,
        typed: Mapping[str, str] | None = None,
        speak: str = "",
    ) -> Response:
        token = self._token(request)
        person, mine, suppressed = subscriptions.preferences(self._store, self._keys, token)
        speak = speak or self._drawing.speak(request, person)
        told = {name: getattr(person, name, "") for name in _TOLD}
        today = self._clock().date()
        return self._drawing.draw(
            request,
            "web/subscriptions.html.j2",
            status=400 if errors else 200,
            speak=speak,
            address=masked(person.address) if person else "",
            suppressed=suppressed,
            saved=saved,
            errors=asking.Errors(errors or {}),
            subscribe=self._drawing.words.say(speak, wording.SUBSCRIBE),
            token=token,
            lines=[
                self._line(one, mine.get(one.name), speak, told["timezone"])
                for one in self._config.newsletters
            ],
            typed={"address": "", **told, **(typed or {})},
            languages=choices.languages(self._drawing.words.languages, also=told["language"]),
            zones=choices.zones(speak),
            earliest=(today + timedelta(days=2)).isoformat(),
            latest=(today + timedelta(days=365)).isoformat(),
            proposed=(today + subscriptions.PAUSE).isoformat(),
        )

    def _line(self, one: NewsletterConfig, mine: Subscription | None, speak: str, timezone: str) -> Line:
        standing = mine.standing if mine else Standing.UNSUBSCRIBED
        until = mine.paused_until if mine else None
        if standing is Standing.PAUSED and until is not None and until <= self._clock():
            standing, until = Standing.ACTIVE, None
        zone = timezone or self._config.publication.timezone
        return Line(
            name=one.name,
            title=one.title,
            description=one.description,
            every=one.schedule.every,
            standing=standing.value,
            paused_until=until,
            paused_until_day=day(until, zone, speak) if until else "",
        )

    @staticmethod
    def _token(request: Request) -> str:
        return str(request.path_params["token"])


def _written(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
