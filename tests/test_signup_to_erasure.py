"""The whole way of one reader, by what a reader has: pages, buttons, and the mails that arrive by real SMTP."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import PublicationFactory
from mailing import World, link_of, mailing, one_click, to
from newsletter import subscriptions
from newsletter.model import ConsentAct, SuppressionReason
from newsletter.store import Store

OLD, NEW = "wilhelmina.old@reader.example.org", "wilhelmina.new@reader.example.net"
NAME = "Wilhelmina Unheard"


def sign_up(world: World) -> str:
    """Sign up, confirm by the mailed link's button; return the page that the welcome leads to."""
    assert world.visit.sign_up(OLD, name=NAME).status == 200
    confirmation = world.letter()
    assert to(confirmation) == OLD
    assert NAME not in str(confirmation), "who typed it is not known yet"
    link = link_of(confirmation, "c")
    asked = world.visit.get(link)
    assert world.visit.standing(OLD) == {"weekly": "pending"}
    assert world.letters() == []
    world.press(link, asked)
    assert world.visit.standing(OLD) == {"weekly": "active"}
    welcome = world.letter()
    assert (to(welcome), welcome["To"].addresses[0].display_name) == (OLD, NAME)
    assert world.letters() == []
    return link_of(welcome, "p")


def leave_and_return(world: World, path: str) -> None:
    """Unsubscribe by the header of an issue, and take it back on the page of the goodbye."""
    one = {"List-Unsubscribe": "One-Click"}
    answer = world.visit.post(path, one, origin="https://mail.example", sec_fetch_site="cross-site")
    assert (answer.status, "set-cookie" in answer.headers, "location" in answer.headers) == (
        200,
        False,
        False,
    )
    assert world.visit.standing(OLD) == {"weekly": "unsubscribed"}
    assert world.visit.post(path, one).status == 200
    goodbye = world.letter()
    assert to(goodbye) == OLD
    back = link_of(goodbye, "u")
    world.press(back, world.visit.get(back), "/undo")
    assert world.visit.standing(OLD) == {"weekly": "active"}


def mail_link(world: World) -> str:
    """Ask for the link to the preferences without any mail at hand."""
    world.visit.clock.turn(hours=1)
    world.press("/preferences/", world.visit.get("/preferences/"), address=OLD)
    return link_of(world.letter(), "p")


def move(world: World, own: str) -> None:
    """Change the address, confirmed by the mail that goes to the new one."""
    world.press(own, world.visit.get(own), "/address", address=NEW)
    mail = world.letter()
    assert to(mail) == NEW
    assert world.visit.standing(OLD) == {"weekly": "active"}
    link = link_of(mail, "c")
    world.press(link, world.visit.get(link))
    assert world.visit.standing(NEW) == {"weekly": "active"}


def erase(world: World, own: str) -> None:
    """Erase everything by the two buttons of the page."""
    path = f"{own}/erase"
    world.press(path, world.visit.get(path))
    gone = subscriptions.show(world.visit.store, NEW)
    assert gone is not None
    assert gone.subscriber.id == 0
    assert gone.suppression is not None
    assert gone.suppression.reason is SuppressionReason.ERASURE


def left_of(world: World, folder: Path) -> list[str]:
    """Tell where either address, or the name, still stands: in a table, or in the bytes of the store's files."""
    secrets = [OLD, NEW, NAME, "wilhelmina", "reader.example"]
    told = [
        f"table: {row}"
        for table in world.visit.everything()
        for row in table
        if any(one.lower() in row.lower() for one in secrets)
    ]
    files = [one for one in folder.glob("store/*") if one.is_file()]
    return told + [
        f"{file.name}: {one}"
        for file in files
        for one in secrets
        if one.lower().encode() in file.read_bytes().lower()
    ]


def test_a_reader_goes_the_whole_way(publication: PublicationFactory, store: Store, tmp_path: Path) -> None:
    with mailing(publication, store, tmp_path, consent={"goodbye": True}) as world:
        sign_up(world)
        first, *others = world.issue("Boats")
        assert (to(first), others) == (OLD, [])
        leave_and_return(world, one_click(first))
        own = mail_link(world)
        move(world, own)
        world.visit.clock.turn(days=7)
        second, *others = world.issue("Lights")
        assert (to(second), others) == (NEW, [])
        assert OLD not in second.as_string()
        data = json.loads(world.visit.get(f"{own}/data.json").page)
        assert data["person"]["address"] == NEW
        assert [one["act"] for one in data["consents"]] == [
            ConsentAct.REQUESTED,
            ConsentAct.CONFIRMED,
            ConsentAct.WITHDRAWN,
            ConsentAct.CONFIRMED,
            ConsentAct.CHANGED,
        ]
        assert [one["state"] for one in data["deliveries"]] == ["accepted"] * 7, "five letters, two issues"
        assert subscriptions.verify(store).broken == ()
        assert left_of(world, tmp_path), "what is looked for would be found"
        erase(world, own)
        assert left_of(world, tmp_path) == []
        assert subscriptions.verify(store).broken == ()
        for path in (one_click(first), one_click(second)):
            assert world.visit.post(path, {"List-Unsubscribe": "One-Click"}).status == 200
        world.visit.clock.turn(days=7)
        assert world.visit.sign_up(NEW).status == 200
        assert world.letters() == []
