"""What a signed link opens: unsubscribing (RFC 8058), its undo, and the page of preferences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from newsletter import subscriptions
from newsletter.config import Config, NewsletterConfig
from newsletter.errors import InputError
from newsletter.model import Standing, Subscription
from newsletter.store import Store
from newsletter.subscriptions import Wish
from newsletter.tokens import Purpose
from newsletter.web.drawing import Drawing
from newsletter.web.guard import body_of

UNDO = "Stay subscribed"  # the words on the buttons; kept in the consent ledger
SUBSCRIBE = "Subscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How a newsletter stands on the page of preferences."""

    name: str
    title: str
    description: str
    standing: str
    paused_until: datetime | None


class Readers:
    """The pages of one publication's subscribers."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], datetime], drawing: Drawing) -> None:
        self._store = store
        self._config = config
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
        if one_click:
            return PlainTextResponse("unsubscribed\n")
        return self._page(request, change, asked=True)

    async def undo(self, request: Request) -> Response:
        """Take an unsubscribing back."""
        await body_of(request)
        return await run_in_threadpool(self._undo, request)

    def _undo(self, request: Request) -> Response:
        change = subscriptions.resubscribe(
            self._store,
            self._keys,
            request.path_params["token"],
            channel="page",
            now=self._clock(),
            wording=UNDO,
        )
        return self._page(request, change, asked=False, back=True)

    def _page(
        self, request: Request, change: subscriptions.Change, *, asked: bool, back: bool = False
    ) -> Response:
        one = self._newsletter(change.newsletter)
        title = one.title if one else self._config.publication.title
        template, heading = ("web/unsubscribe.html.j2", "Unsubscribe")
        if asked:
            template, heading = "web/unsubscribed.html.j2", "You are unsubscribed"
        elif back:
            heading = "You stay subscribed" if change.after is Standing.ACTIVE else "Unsubscribe"
        return self._drawing.draw(
            request,
            template,
            heading,
            newsletter=title,
            token=request.path_params["token"],
            may_undo=change.after is Standing.UNSUBSCRIBED,
            back=back and change.after is Standing.ACTIVE,
            undo=UNDO,
        )

    def preferences_page(self, request: Request) -> Response:
        """Show how each newsletter stands; changes nothing."""
        return self._preferences(request)

    async def preferences(self, request: Request) -> Response:
        """Do what one button of the page of preferences asks, and show the page again."""
        form = parse_qs((await body_of(request)).decode("utf-8", "replace"))
        newsletter, wish = (form.get(name, [""])[0] for name in ("newsletter", "wish"))
        return await run_in_threadpool(self._ask, request, newsletter, wish)

    def _ask(self, request: Request, newsletter: str, wish: str) -> Response:
        token = request.path_params["token"]
        subscriptions.subject(self._keys, token, Purpose.PREFERENCES)
        if wish not in [*Wish] or self._newsletter(newsletter) is None:
            raise InputError("there is no such choice", remedy="Go back and use the buttons of the page")
        subscriptions.ask(
            self._store,
            self._keys,
            token,
            newsletter,
            Wish(wish),
            now=self._clock(),
            wording=SUBSCRIBE if wish == Wish.SUBSCRIBE else "",
        )
        return self._preferences(request, saved=True)

    def _preferences(self, request: Request, saved: bool = False) -> Response:
        person, mine, suppressed = subscriptions.preferences(
            self._store, self._keys, request.path_params["token"]
        )
        return self._drawing.draw(
            request,
            "web/subscriptions.html.j2",
            "Your subscriptions",
            address=_masked(person.address) if person else "",
            suppressed=suppressed,
            saved=saved,
            subscribe=SUBSCRIBE,
            token=request.path_params["token"],
            lines=[self._line(one, mine.get(one.name)) for one in self._config.newsletters],
        )

    def _line(self, one: NewsletterConfig, mine: Subscription | None) -> Line:
        standing = mine.standing if mine else Standing.UNSUBSCRIBED
        until = mine.paused_until if mine else None
        if standing is Standing.PAUSED and until is not None and until <= self._clock():
            standing, until = Standing.ACTIVE, None
        return Line(
            name=one.name,
            title=one.title,
            description=one.description,
            standing=standing.value,
            paused_until=until,
        )

    def _newsletter(self, name: str) -> NewsletterConfig | None:
        return next((one for one in self._config.newsletters if one.name == name), None)


def _masked(address: str) -> str:
    """Show whose page it is to who knows, and not the address to who does not."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"
