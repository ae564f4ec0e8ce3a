"""What is answered where there is nothing: where it went to, that it is gone, or that it was never there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from newsletter import moves
from newsletter.web.drawing import Drawing

FRESH = 1.0  # seconds


class Leavings:
    """Looks into the store at most once a second. `find` reads where everything went."""

    def __init__(self, find: Callable[[], moves.Moves], drawing: Drawing) -> None:
        self._find = find
        self._drawing = drawing
        self._found = moves.Moves(moved={}, gone=frozenset())
        self._read = -FRESH
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response:
        """Answer for the path of a request."""
        path = "/" + str(request.path_params["path"])
        found = self._now()
        spellings = (path, f"{path}/", path.removesuffix("index.html"))
        for one in spellings:
            if one in found.moved:
                return RedirectResponse(found.moved[one], 301, {"cache-control": "public, max-age=1800"})
        if found.gone.intersection(spellings):
            return self._drawing.gone(request)
        return self._drawing.missing(request)

    def _now(self) -> moves.Moves:
        with self._lock:
            if time.monotonic() - self._read >= FRESH:
                self._found, self._read = self._find(), time.monotonic()
            return self._found
