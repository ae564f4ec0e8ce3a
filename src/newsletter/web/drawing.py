"""Pages of the web part in the frame of the published ones."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse

from newsletter import pages
from newsletter.config import Config
from newsletter.pages import site
from newsletter.publish import reading
from newsletter.templating import environment, render


class Drawing:
    """The templates and the frame of one publication, loaded once."""

    def __init__(self, config: Config) -> None:
        self._env = environment(config.templates)
        name, text = pages.stylesheet(self._env, config.theme.model_dump())
        self.stylesheet = (name, text.encode())
        self._site = reading.site(config, name)

    def draw(
        self, request: Request, template: str, title: str, *, status: int = 200, **values: object
    ) -> HTMLResponse:
        """Render a page; links lead back to the root that this request came in by."""
        words = site.frame(self._site, "", title)
        words.update(values, canonical="", up=up(request))
        return HTMLResponse(render(self._env, template, **words), status_code=status)

    def missing(self, request: Request) -> HTMLResponse:
        """Return the page for an address where there is nothing."""
        return self.draw(request, "web/404.html.j2", "Nothing here", status=404)

    def gone(self, request: Request) -> HTMLResponse:
        """Return the page for an address where there was something once."""
        return self.draw(request, "web/gone.html.j2", "No longer here", status=410)


def up(request: Request) -> str:
    """Return the way from a page to the root, for an application mounted anywhere."""
    path = str(request.scope["path"]).removeprefix(str(request.scope.get("root_path", "")))
    return "../" * (path.count("/") - 1) or "./"
