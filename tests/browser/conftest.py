"""One browser for the tests of this folder, and tabs that show letters as mail programs do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, Route, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
PICTURE = (Path(__file__).parents[2] / "posts" / "pictures" / "harbour-dusk.jpg").read_bytes()
OURS = "https://herald.example.org/media/"


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab that shows one letter after the other; `pictures` says whether it loads them."""

    page: Page
    pictures: bool
    asked: list[str]

    def show(self, letter: str, *, bare: bool = False) -> None:
        """Show a letter, or what is left of it when a mail program takes out every `<style>`."""
        self.page.set_content(
            re.sub(r"<style.*?</style>", "", letter, flags=re.S) if bare else letter, wait_until="load"
        )
        assert all(url.startswith(OURS) for url in self.asked), "a letter asked for more than its pictures"

    def turn(self, *, width: int, dark: bool = False) -> None:
        """Give the window a width and the reader a preference."""
        self.page.set_viewport_size({"width": width, "height": 800})
        self.page.emulate_media(color_scheme="dark" if dark else "light")

    def screen(self, path: Path | None = None) -> bytes:
        """Take a screenshot of the whole letter; Chromium without a screen sometimes never draws one, so ask again."""
        for _ in range(2):
            self.page.bring_to_front()
            with contextlib.suppress(Error):
                return self.page.screenshot(path=path, full_page=True, timeout=8_000)
        return self.page.screenshot(path=path, full_page=True)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.page.evaluate(script, *arguments)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Run Chromium until a test of another folder comes: its event loop would be in the way there."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-gpu-rasterization",
                "--disable-background-networking",
            ],
        )
        yield opened
        opened.close()


@pytest.fixture(scope="package")
def tab(browser: Browser) -> Tab:
    """Open a tab that loads pictures."""
    return _open(browser, pictures=True)


@pytest.fixture(scope="package")
def plain_tab(browser: Browser) -> Tab:
    """Open a tab that loads no pictures, in a context of its own: no cache has them."""
    return _open(browser, pictures=False)


def _open(browser: Browser, *, pictures: bool) -> Tab:
    opened = Tab(browser.new_context().new_page(), pictures, [])

    def answer(route: Route) -> None:
        opened.asked.append(route.request.url)
        if pictures:
            route.fulfill(body=PICTURE, content_type="image/jpeg")
        else:
            route.abort()

    opened.page.route("**/*", answer)
    return opened
