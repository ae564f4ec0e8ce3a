"""The pages of subscribers in Chromium: WCAG 2.2 AA, every width and scheme, both languages, and no script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from configurations import DEFAULT, merge
from conftest import write_toml
from newsletter import subscriptions, web
from newsletter.config import FILE_NAME, load
from newsletter.store import open_store
from newsletter.tokens import Purpose
from visiting import NEWSLETTERS, NOW, Clock, Visit

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[2] / ".venv" / "oracles" / "axe.min.js"
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
ADA = "ada@example.org"
VIEWS = tuple(product(("en", "fr"), (320, 1200), (False, True)))


@dataclass(frozen=True)
class Opened:
    """A window at a served publication."""

    page: Page
    visit: Visit

    def go(self, path: str) -> None:
        answer = self.page.goto(f"http://127.0.0.1:{self.visit.port}{path}")
        assert answer is not None
        assert answer.ok


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """Serve two newsletters, one subscriber and one who has not confirmed."""
    folder = tmp_path_factory.mktemp("publication")
    (folder / "posts").mkdir()
    text = write_toml(merge(DEFAULT, {"newsletters": NEWSLETTERS}))
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    config, clock = load(folder, {}), Clock()
    with open_store(config.store_url) as store:
        subscriptions.add(store, ADA, ["weekly"], consent="said so", now=NOW)
        with web.Server(web.create_app(store, config, clock), "127.0.0.1", 0) as server:
            visit = Visit(config, store, server.port, clock)
            visit.sign_up("bob@example.org")
            yield visit


@pytest.fixture
def window(browser: Browser, served: Visit, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Open a window of a width, a scheme and a language; pages bring no script, so the policy is set aside for axe."""
    language, width, dark = getattr(request, "param", ("en", 1200, False))
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if dark else "light",
        locale=language,
        bypass_csp=True,
    )
    yield Opened(context.new_page(), served)
    context.close()


def check(page: Page, what: str) -> None:
    """Find nothing against WCAG 2.2 AA, nothing that scrolls sideways, and no target that is too small."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(f"axe.run({{runOnly: {RULES}}})")
    told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]
    assert told == [], what
    assert len(found["passes"]) > 15
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), what
    small = """[...document.querySelectorAll("button, input:not([type=hidden]):not([tabindex]), select, summary")]
        .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
        .filter(([, r]) => r.width && (r.height < 21 || r.width < 21)).map(([e]) => e)"""
    assert page.evaluate(small) == [], what


@pytest.mark.skipif(not AXE.exists(), reason=f"there is no axe-core at {AXE}")
@pytest.mark.parametrize("window", VIEWS, indirect=True)
def test_every_page_is_accessible(window: Opened) -> None:
    page, visit = window.page, window.visit
    own = visit.page(ADA)
    pages = {
        "/subscribe/": "email",
        "/subscribe/daily": "email",
        "/preferences/": "email",
        own: "date",
        f"{own}/erase": "",
        visit.confirming("bob@example.org"): "",
        visit.link(Purpose.CONFIRM, f"{visit.id(ADA)}.address-0"): "",
        visit.link(Purpose.UNSUBSCRIBE, f"{visit.id(ADA)}.weekly"): "",
    }
    for path, kind in pages.items():
        window.go(path)
        for summary in page.locator("summary").all():
            summary.click()
        if kind:
            assert page.locator(f"input[type={kind}]").count()
        check(page, path)
    window.go("/subscribe/")
    page.eval_on_selector("form", "form => form.noValidate = true")
    page.fill("#address", "nonsense@")
    page.locator("form button").click()
    assert page.locator(".error").count() == 2
    check(page, "errors")
    window.go("/preferences/")
    page.fill("#address", "nobody@example.org")
    page.locator("form button").click()
    check(page, "asked")


def test_a_reader_signs_up_by_the_keyboard_alone(window: Opened) -> None:
    page = window.page
    window.go("/subscribe/")
    page.focus("#address")
    page.keyboard.type("cy@example.org")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.value") == "daily"
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid", "the focus is seen"
    window.visit.clock.turn(seconds=10)
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "BUTTON", "the hidden field is not met"
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Look into your mailbox")
    assert window.visit.standing("cy@example.org") == {"daily": "pending"}


def test_without_script_and_under_the_policy_every_button_works(browser: Browser, served: Visit) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en")
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    opened = Opened(page, served)
    served.sign_up("dora@example.org")
    opened.go(served.confirming("dora@example.org"))
    page.click("text=Yes, subscribe me")
    page.wait_for_selector("text=You are subscribed")
    opened.go(served.page("dora@example.org"))
    page.click("text=Pause >> nth=-1")
    page.wait_for_selector("text=paused until")
    page.fill("#name", "Dora")
    page.select_option("#timezone", "Europe/Brussels")
    page.click("text=Save")
    page.wait_for_selector("text=Saved.")
    page.fill("#address", "dora@example.net")
    page.click("text=Change the address")
    page.wait_for_selector("text=A message is on its way")
    page.click("text=Erase everything about me")
    page.click("text=Yes, erase everything")
    page.wait_for_selector("text=Nothing is stored about you")
    context.close()
    assert refused == []
