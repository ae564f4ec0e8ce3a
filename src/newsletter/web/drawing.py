"""Pages of the web part in the frame of the published ones."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import HTMLResponse

from newsletter import pages
from newsletter.config import Config
from newsletter.digest.wording import direction
from newsletter.model import Subscriber
from newsletter.pages import site
from newsletter.publish import reading
from newsletter.templating import Words, environment, render
from newsletter.web import choices


class Drawing:
    """The templates, the words and the frame of one publication, loaded once."""

    def __init__(self, config: Config) -> None:
        self._env = environment(config.templates)
        self.words: Words = self._env.words  # type: ignore[attr-defined]  # `environment` puts it there
        name, text = pages.stylesheet(self._env, config.theme.model_dump())
        self.stylesheet = (name, text.encode())
        self._site = reading.site(config, name)

    def draw(
        self, request: Request, template: str, *, status: int = 200, speak: str = "", **values: object
    ) -> HTMLResponse:
        """Render a page that is nobody else's; links lead back to the root that this request came in by.

        It speaks `speak`, or what the request asks for.
        """
        speak = speak or self.speak(request)
        words = site.frame(self._site, "", "", language=speak)
        known = self.words.languages
        asked = request.query_params.get("lang", "")
        words.update(
            canonical="",
            up=up(request),
            speak=speak,
            direction=direction(speak),
            languages=choices.languages(known),
            query=f"?lang={asked}" if asked in known else "",
        )
        words.update(values)
        headers = {"cache-control": "no-store"}
        return HTMLResponse(render(self._env, template, **words), status_code=status, headers=headers)

    def speak(self, request: Request, person: Subscriber | None = None) -> str:
        """Return the language of a page: the person's own, what the address asks for, or what the browser prefers."""
        return self.words.choose(self._wanted(request, person))

    def _wanted(self, request: Request, person: Subscriber | None) -> Iterator[str]:
        if person is not None and person.language:
            yield person.language
        yield request.query_params.get("lang", "")
        yield from accepted(request.headers.get("accept-language", ""))
        yield self._site.language

    def missing(self, request: Request) -> HTMLResponse:
        """Return the page for an address where there is nothing."""
        return self._absent(request, "web/404.html.j2", 404)

    def gone(self, request: Request) -> HTMLResponse:
        """Return the page for an address where there was something once."""
        return self._absent(request, "web/gone.html.j2", 410)

    def _absent(self, request: Request, template: str, status: int) -> HTMLResponse:
        answer = self.draw(request, template, status=status, speak=self.words.choose([self._site.language]))
        del answer.headers["cache-control"]
        return answer


def up(request: Request) -> str:
    """Return the way from a page to the root, for an application mounted anywhere."""
    path = str(request.scope["path"]).removeprefix(str(request.scope.get("root_path", "")))
    return "../" * (path.count("/") - 1) or "./"


def accepted(header: str) -> list[str]:
    """Return the language tags of an `Accept-Language`, the best first (RFC 9110 §12.5.4)."""
    weighed: list[tuple[float, str]] = []
    for one in header.split(",")[:20]:
        tag, _, weight = one.replace(" ", "").partition(";q=")
        try:
            quality = float(weight or 1)
        except ValueError:
            quality = 0
        if tag and tag != "*" and quality > 0:
            weighed.append((quality, tag))
    return [tag for _, tag in sorted(weighed, key=lambda one: -one[0])]
