"""Links that arrive by mail: scanners open all of them, and forgers post to what looks like them."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from conftest import PublicationFactory
from mailing import World, leads, link_of, links_of, mailing, one_click
from newsletter import subscriptions, tokens
from newsletter.store import Store
from newsletter.tokens import Purpose
from visiting import Visit, visiting

ADA, NEW = "ada@example.org", "ada@example.net"
CLICK = {"List-Unsubscribe": "One-Click"}
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


@pytest.fixture
def quick(publication: PublicationFactory, sqlite_store: Store) -> Iterator[Visit]:
    """Serve two newsletters and a subscriber of both over SQLite."""
    with visiting(publication, sqlite_store) as visit:
        subscriptions.add(
            sqlite_store, ADA, ["weekly", "daily"], consent="said so", now=visit.clock.now, name="Ada"
        )
        yield visit


# Scanners


def mails_of_every_kind(world: World) -> Iterator[tuple[str, EmailMessage]]:
    """Give a mail of each kind while what it leads to can still be done."""
    visit = world.visit
    visit.sign_up(ADA)
    yield "confirmation", (mail := world.letter())
    visit.post(link_of(mail, "c"))
    yield "welcome", world.letter()
    (issue,) = world.issue("Boats")
    yield "issue", issue
    visit.clock.turn(hours=1)
    visit.post("/preferences/", {"address": ADA})
    yield "link", (mail := world.letter())
    visit.post(f"{link_of(mail, 'p')}/address", {"address": NEW})
    yield "address", world.letter()
    visit.post(one_click(issue), CLICK)
    yield "goodbye", world.letter()


def open_all(world: World, paths: list[str]) -> set[str]:
    """Open paths as a scanner does, and every address on the pages so reached; return what was opened."""
    opened: set[str] = set()
    for deep in (True, False):
        found: list[str] = []
        for path in dict.fromkeys(paths):
            if path in opened:
                continue
            opened.add(path)
            world.visit.ask("HEAD", path)
            answer = world.visit.get(path)
            assert answer.status < 500, path
            if deep and answer.headers.get("content-type", "").startswith("text/html"):
                found += leads(path, answer.page)
        paths = found
    return opened


def test_a_scanner_that_opens_every_link_of_every_mail_changes_nothing(
    publication: PublicationFactory, store: Store, tmp_path: Path
) -> None:
    wanted = {
        "confirmation": "c",
        "welcome": "up",
        "issue": "up",
        "link": "p",
        "address": "c",
        "goodbye": "u",
    }
    seen = []
    with mailing(publication, store, tmp_path, consent={"goodbye": True}) as world:
        for kind, mail in mails_of_every_kind(world):
            paths = links_of(mail)
            assert {one[1] for one in paths if one[2:3] == "/"} >= set(wanted[kind]), kind
            before = world.visit.everything()
            opened = open_all(world, paths)
            assert world.visit.everything() == before, kind
            assert len(opened) > len(paths), kind
            seen.append(kind)
    assert sorted(seen) == sorted(wanted)


# Forgers


def token_of(visit: Visit, purpose: Purpose, subject: str) -> str:
    return tokens.make(visit.config.token_keys(), purpose, subject)


def test_a_token_for_something_else_unsubscribes_nobody(quick: Visit) -> None:
    number, before = quick.id(ADA), quick.everything()
    for purpose in set(Purpose) - {Purpose.UNSUBSCRIBE}:
        for subject in (f"{number}.weekly", f"{number}", f"1.{number}"):
            path = f"/u/{token_of(quick, purpose, subject)}"
            assert quick.post(path, CLICK).status == 404, path
            assert quick.post(f"{path}/undo", CLICK).status == 404, path
    assert quick.everything() == before


def test_a_token_of_one_newsletter_and_reader_is_good_for_no_other(quick: Visit) -> None:
    subscriptions.add(quick.store, "bob@example.org", ["weekly"], consent="said so", now=quick.clock.now)
    ada, bob = quick.id(ADA), quick.id("bob@example.org")
    key, *_, mac = token_of(quick, Purpose.UNSUBSCRIBE, f"{ada}.weekly").split(".")
    before = quick.everything()
    for subject in (f"{ada}.daily", f"{bob}.weekly", f"{ada}", f"{ada}.weekly.daily", f"0{ada}.weekly"):
        assert quick.post(f"/u/{key}.{subject}.{mac}", CLICK).status == 404, subject
    assert quick.everything() == before
    assert quick.post(f"/u/{key}.{ada}.weekly.{mac}", CLICK).status == 200
    assert quick.standing(ADA) == {"daily": "active", "weekly": "unsubscribed"}
    assert quick.standing("bob@example.org") == {"weekly": "active"}


def test_no_character_of_a_token_may_be_another(quick: Visit) -> None:
    token = token_of(quick, Purpose.UNSUBSCRIBE, f"{quick.id(ADA)}.weekly")
    before = quick.everything()
    for place, one in enumerate(token):
        other = BASE32[(BASE32.find(one) + 1 + place) % 32]
        other = other if other != one else "2" if one != "2" else "3"
        for forged in (other, "", one + one, "%00", "%ff", "."):
            path = f"/u/{token[:place]}{forged}{token[place + 1 :]}"
            if forged == one:
                continue
            assert quick.post(path, CLICK).status == 404, path
    for wrong in (token + "a", token[:-1], token * 9, "%20" + token, token + "%0a", "x", "."):
        assert quick.post(f"/u/{wrong}", CLICK).status in (404, 405), wrong
    assert quick.everything() == before


def test_a_click_after_erasing_finds_nobody_and_brings_nobody_back(quick: Visit) -> None:
    path = quick.link(Purpose.UNSUBSCRIBE, f"{quick.id(ADA)}.weekly")
    quick.post(path, CLICK)
    subscriptions.forget(quick.store, ADA, now=quick.clock.now)
    before = quick.everything()
    for _ in range(2):
        assert (quick.post(path, CLICK).status, quick.post(f"{path}/undo").status) == (200, 200)
    assert quick.everything() == before
