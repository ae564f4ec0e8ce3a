"""A person's own page over real HTTP: choose, tell, move, take along, erase; and the link to it by mail."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from urllib.parse import urljoin

import pytest

from conftest import PublicationFactory
from newsletter import letters, subscriptions
from newsletter.model import ConsentAct, NoticeKind, SuppressionReason
from newsletter.store import Store, addresses, subscribers, suppressions
from newsletter.tokens import Purpose
from visiting import NOW, Visit, visiting

ADA = "ada@example.org"
NEW = "ada@example.net"


@pytest.fixture
def visit(publication: PublicationFactory, store: Store) -> Iterator[Visit]:
    """Serve two newsletters and one subscriber, once over each database."""
    subscriptions.add(store, ADA, ["weekly"], consent="said so", now=NOW, name="Ada")
    with visiting(publication, store) as visit:
        yield visit


@pytest.fixture
def quick(publication: PublicationFactory, sqlite_store: Store) -> Iterator[Visit]:
    """Serve two newsletters and one subscriber over SQLite."""
    subscriptions.add(sqlite_store, ADA, ["weekly"], consent="said so", now=NOW, name="Ada")
    with visiting(publication, sqlite_store) as visit:
        yield visit


def test_a_pause_ends_on_the_day_that_was_chosen(quick: Visit) -> None:
    page = quick.page(ADA)
    quick.post(f"{page}/person", {"name": "Ada", "timezone": "Australia/Sydney"})
    told = {"newsletter": "weekly", "wish": "pause", "until": "2027-01-15"}
    assert "paused until" in quick.post(page, told).page
    record = subscriptions.show(quick.store, ADA)
    assert record is not None
    until = record.subscriptions[0].paused_until
    assert until is not None
    assert until.isoformat() == "2027-01-14T13:00:00+00:00", "midnight in Sydney"
    assert "15 January 2027" in quick.get(page).page or "January 15, 2027" in quick.get(page).page
    quick.post(page, {**told, "until": "2027-02-01"})
    assert "February" in quick.get(page).page


@pytest.mark.parametrize("until", ["", "2026-11-23", "2020-01-01", "2028-01-01", "tomorrow", "9999-12-31"])
def test_a_day_that_cannot_be_is_said_beside_its_field(quick: Visit, until: str) -> None:
    before = quick.everything()
    answer = quick.post(quick.page(ADA), {"newsletter": "weekly", "wish": "pause", "until": until})
    assert (answer.status, quick.everything()) == (400, before)
    assert 'aria-describedby="until-weekly-error"' in answer.page


def test_a_person_tells_name_language_and_time_zone(visit: Visit) -> None:
    told = {"name": "Ada Verstraete", "language": "fr", "timezone": "Europe/Brussels"}
    answer = visit.post(f"{visit.page(ADA)}/person", told, accept_language="en")
    assert "C’est enregistré." in answer.page
    with visit.store.read() as tx:
        person = subscribers.find(tx, ADA)
    assert person is not None
    assert (person.name, person.language, person.timezone) == tuple(told.values())
    record = subscriptions.show(visit.store, ADA)
    assert record is not None
    assert (record.consents[-1].act, record.consents[-1].detail) == (
        ConsentAct.CHANGED,
        "told: name, language, timezone",
    )
    before = visit.everything()
    visit.post(f"{visit.page(ADA)}/person", told)
    assert visit.everything() == before


@pytest.mark.parametrize(
    ("field", "value"), [("name", "A\u202eda"), ("language", "tlh"), ("timezone", "Mars/Olympus")]
)
def test_what_cannot_be_told_is_said_beside_its_field(quick: Visit, field: str, value: str) -> None:
    before = quick.everything()
    answer = quick.post(f"{quick.page(ADA)}/person", {field: value})
    assert (answer.status, quick.everything()) == (400, before)
    assert f'id="{field}-error"' in answer.page


def moving(visit: Visit, address: str = NEW, *, whose: str = ADA) -> str:
    with visit.store.read() as tx:
        hashed = suppressions.hash_of(tx, address)
    return visit.link(Purpose.CONFIRM, f"{visit.id(whose)}.address-{hashed[:16]}")


def test_a_new_address_is_confirmed_there(visit: Visit) -> None:
    page = visit.page(ADA)
    assert "ada@example.net" in visit.post(f"{page}/address", {"address": NEW}).page
    assert visit.letters() == [("address", NEW, "weekly")]
    link, before = moving(visit), visit.everything()
    shown = visit.get(link)
    assert "no longer at a…@example.org" in shown.page
    assert visit.everything() == before
    assert "From now on we write to you at this address" in visit.post(link).page
    with visit.store.read() as tx:
        assert subscribers.find(tx, ADA) is None
    assert visit.standing(NEW) == {"weekly": "active"}
    record = subscriptions.show(visit.store, NEW)
    assert record is not None
    assert record.consents[-1].wording.endswith("\nYes, this is my address")
    assert "does not work any more" in visit.post(moving(visit, whose=NEW)).page
    assert subscriptions.verify(visit.store).broken == ()


def test_what_waits_for_a_person_goes_to_the_new_address(visit: Visit) -> None:
    with visit.store.write() as tx:
        person = subscribers.find(tx, ADA)
        assert person is not None
        letters.request(tx, NoticeKind.LINK, person, "weekly", now=visit.clock.now)
    visit.sent()
    visit.post(f"{visit.page(ADA)}/address", {"address": NEW})
    visit.sent()
    visit.post(moving(visit))
    with visit.store.read() as tx:
        waiting = [one.reader.address for one in subscribers.deliveries_of(tx, person.id)]
    assert waiting == [NEW, NEW]


def test_who_moved_and_was_erased_comes_back_at_neither_address(visit: Visit) -> None:
    for address in (NEW, "third@example.net"):
        visit.post(f"{visit.page(ADA)}/address", {"address": address})
        visit.post(moving(visit, address))
        visit.post(f"{visit.page(address)}/address", {"address": ADA})
        visit.post(moving(visit, ADA, whose=address))
    assert json.loads(visit.get(f"{visit.page(ADA)}/data.json").page)["former_addresses"] == [
        NEW,
        ADA,
        "third@example.net",
    ]
    subscriptions.add(visit.store, "third@example.net", ["weekly"], consent="another person", now=NOW)
    subscriptions.forget(visit.store, ADA, now=NOW)
    for address, stands in ((ADA, {}), (NEW, {}), ("third@example.net", {"weekly": "active"})):
        visit.sign_up(address)
        assert visit.standing(address) == stands


def test_a_link_confirms_one_new_address(visit: Visit) -> None:
    for address in ("wrong@example.net", NEW):
        visit.post(f"{visit.page(ADA)}/address", {"address": address})
    before = visit.everything()
    assert "does not work any more" in visit.post(moving(visit, "wrong@example.net")).page
    assert visit.everything() == before
    visit.post(moving(visit))
    assert visit.standing(NEW) == {"weekly": "active"}


def test_an_address_of_another_and_a_suppressed_one_are_not_written_to(quick: Visit) -> None:
    subscriptions.add(quick.store, "bob@example.org", ["weekly"], consent="said so", now=NOW)
    with quick.store.write() as tx:
        subscriptions.suppress(tx, "no@example.org", SuppressionReason.COMPLAINT, now=NOW)
    pages = set()
    for address in ("bob@example.org", "no@example.org", "new@example.org"):
        answer = quick.post(f"{quick.page(ADA)}/address", {"address": address})
        pages.add((answer.status, answer.page.replace(address, "ADDRESS")))
    assert len(pages) == 1
    assert quick.letters() == [("address", "new@example.org", "weekly")]
    wrong = quick.post(f"{quick.page(ADA)}/address", {"address": "nonsense@"})
    assert wrong.status == 400
    assert 'id="address-error"' in wrong.page


def test_an_address_that_was_taken_meanwhile_stays_anothers(quick: Visit) -> None:
    quick.post(f"{quick.page(ADA)}/address", {"address": NEW})
    subscriptions.add(quick.store, NEW, ["daily"], consent="said so", now=NOW)
    assert "subscriptions of its own" in quick.post(moving(quick)).page
    assert quick.standing(ADA) == {"weekly": "active"}
    assert quick.standing(NEW) == {"daily": "active"}


def test_a_new_address_that_nobody_confirms_is_forgotten(visit: Visit) -> None:
    visit.post(f"{visit.page(ADA)}/address", {"address": NEW})
    visit.clock.turn(days=31)
    assert "does not work any more" in visit.post(moving(visit)).page
    with visit.store.write() as tx:
        subscriptions.expire(tx, now=visit.clock.now)
        assert addresses.waiting(tx, visit.id(ADA)) is None
    assert NEW not in str(visit.everything())


def test_own_data_is_taken_along(visit: Visit) -> None:
    visit.post(f"{visit.page(ADA)}/address", {"address": NEW})
    answer = visit.get(f"{visit.page(ADA)}/data.json")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["cache-control"] == "no-store"
    told = json.loads(answer.page)
    assert told["person"]["address"] == ADA
    assert told["subscriptions"][0]["newsletter"] == "weekly"
    assert told["consents"][0]["act"] == "imported"
    assert told["new_address"]["address"] == NEW
    assert told["exported"] == NOW.isoformat()


def test_a_person_erases_themselves_in_two_steps(visit: Visit) -> None:
    page = visit.page(ADA)
    visit.post(f"{page}/address", {"address": NEW})
    asked = visit.get(f"{page}/erase")
    assert "Yes, erase everything" in asked.page
    assert "Yes, erase everything" in visit.post(f"{page}/erase").page, "a POST alone is not the button"
    assert visit.standing(ADA) == {"weekly": "active"}
    assert "Nothing is stored about you" in visit.post(f"{page}/erase", {"sure": "yes"}).page
    record = subscriptions.show(visit.store, ADA)
    assert record is not None
    assert (record.subscriber.id, record.consents) == (0, ())
    assert record.suppression is not None
    assert record.suppression.reason is SuppressionReason.ERASURE
    left = str(visit.everything())
    assert ADA not in left
    assert NEW not in left
    for path in (page, f"{page}/data.json", f"{page}/erase"):
        assert "Nothing is stored about you" in visit.get(path).page
    for path in (f"{page}/person", f"{page}/address"):
        assert visit.post(path, {"address": NEW, "name": "x"}).status == 200
    visit.sign_up(ADA)
    assert visit.standing(ADA) == {}
    assert visit.letters() == []


def test_the_link_is_mailed_to_who_is_known(quick: Visit) -> None:
    for address in (ADA, "nobody@example.org"):
        answer = quick.post("/preferences/", {"address": address})
        assert (answer.status, "is known here" in answer.page) == (200, True)
    assert quick.letters() == [("link", ADA, "weekly")]
    wrong = quick.post("/preferences/", {"address": "nonsense"})
    assert wrong.status == 400
    assert 'aria-describedby="address-error"' in wrong.page


def test_opening_pages_changes_nothing(quick: Visit) -> None:
    """Mail scanners follow every link, and every address that a form has."""
    quick.sign_up("bob@example.org")
    quick.post(f"{quick.page(ADA)}/address", {"address": NEW})
    todo = [
        quick.page(ADA),
        quick.confirming("bob@example.org"),
        moving(quick),
        "/subscribe/",
        "/preferences/",
    ]
    before, seen = quick.everything(), set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for method in ("HEAD", "OPTIONS", "GET"):
            answer = quick.ask(method, path)
        for href in re.findall(r'(?:href|action)="([^"#:]+)"', answer.page):
            todo.append(urljoin(path, unescape(href)))
    assert len(seen) > 12
    assert quick.everything() == before


@pytest.mark.parametrize("wanted", [False, True])
def test_a_goodbye_is_said_only_when_configured(
    publication: PublicationFactory, sqlite_store: Store, wanted: bool
) -> None:
    subscriptions.add(sqlite_store, ADA, ["weekly"], consent="said so", now=NOW)
    with visiting(publication, sqlite_store, consent={"goodbye": wanted}) as visit:
        link = visit.link(Purpose.UNSUBSCRIBE, f"{visit.id(ADA)}.weekly")
        for _ in range(2):
            assert visit.post(link, {"List-Unsubscribe": "One-Click"}).page == "unsubscribed\n"
        assert visit.letters() == ([("goodbye", ADA, "weekly")] if wanted else [])
        assert visit.standing(ADA) == {"weekly": "unsubscribed"}


def test_pages_of_links_keep_to_themselves(quick: Visit) -> None:
    quick.sign_up("bob@example.org")
    for path in (quick.page(ADA), quick.confirming("bob@example.org"), f"{quick.page(ADA)}/erase"):
        answer = quick.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r'(?i)<script| style="| on[a-z]+="', answer.page)


def test_limits_and_waiting_addresses_leave_with_their_time(store: Store) -> None:
    subscriptions.add(store, ADA, ["weekly"], consent="said so", now=NOW)
    with store.write() as tx:
        person = subscribers.find(tx, ADA)
        assert person is not None
        for one in ("a@x.test", "b@x.test"):
            assert addresses.ask(tx, person.id, one, now=NOW).address == one
        addresses.settle(tx, person.id)
        assert addresses.waiting(tx, person.id) is None
        addresses.ask(tx, person.id, "c@x.test", now=NOW)
        assert addresses.drop(tx, before=NOW + timedelta(days=1)) == 1
