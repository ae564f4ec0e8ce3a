"""Signing up over real HTTP: one answer for all, limits that outlive a restart, and a button that confirms."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from conftest import PublicationFactory
from newsletter import subscriptions, web
from newsletter.model import Consent, ConsentAct, NoticeKind, Standing, Subscription, SuppressionReason
from newsletter.store import Store, limits, schema, subscribers
from newsletter.store.limits import Bucket
from newsletter.tokens import Purpose
from newsletter.web.asking import network_of
from visiting import NEWSLETTERS, NOW, Visit, visiting

ADA = "ada@example.org"


@pytest.fixture
def visit(publication: PublicationFactory, store: Store) -> Iterator[Visit]:
    """Serve two newsletters, once over each database."""
    with visiting(publication, store) as visit:
        yield visit


@pytest.fixture
def quick(publication: PublicationFactory, sqlite_store: Store) -> Iterator[Visit]:
    """Serve two newsletters over SQLite."""
    with visiting(publication, sqlite_store) as visit:
        yield visit


def lines(visit: Visit, address: str) -> list[Consent]:
    record = subscriptions.show(visit.store, address)
    assert record is not None
    return list(record.consents)


# The whole way


def test_a_reader_signs_up_and_confirms_by_a_button(visit: Visit) -> None:
    answer = visit.sign_up("Ada@Example.ORG", name="Ada", timezone="Europe/Brussels", language="fr")
    assert (answer.status, visit.standing("Ada@example.org")) == (200, {"weekly": "pending"})
    assert "Ada@Example.ORG" in answer.page
    assert visit.letters() == [(NoticeKind.CONFIRMATION, "Ada@example.org", "weekly")]
    link, before = visit.confirming("Ada@example.org"), visit.everything()
    shown = visit.get(link)
    assert visit.ask("HEAD", link).status == 200
    assert visit.everything() == before, "a mail scanner that opens the link agrees to nothing"
    assert re.findall(r'<form method="post" action="([^"]+)">', shown.page) == [f"..{link}"]
    assert "Oui, je m’abonne" in shown.page
    visit.clock.turn(hours=1)
    for _ in range(2):
        done = visit.post(link, {"confirm": "yes"})
        assert (done.status, visit.standing("Ada@example.org")) == (200, {"weekly": "active"})
        assert "Abonnement confirmé" in done.page
    assert [kind for kind, *_ in visit.letters()] == [NoticeKind.CONFIRMATION, NoticeKind.WELCOME]
    requested, confirmed = lines(visit, "Ada@example.org")
    assert (requested.act, requested.channel, requested.form) == (ConsentAct.REQUESTED, "page", "subscribe/1")
    assert requested.language == "en"
    assert requested.wording.startswith("Please send me what I have chosen here by e-mail.")
    assert requested.wording.endswith("\nThe Harbour Weekly\nSign up")
    assert (confirmed.act, confirmed.language, confirmed.form) == (ConsentAct.CONFIRMED, "fr", "confirm/1")
    assert confirmed.wording == (
        "Veuillez m’envoyer The Harbour Weekly à A…@example.org. Je peux partir à tout moment.\n"
        "Oui, je m’abonne"
    )
    assert re.fullmatch(r"[0-9a-f]{16}", confirmed.token)
    assert subscriptions.verify(visit.store).broken == ()
    with visit.store.read() as tx:
        person = subscribers.find(tx, "ada@example.org")
    assert person is not None
    assert (person.name, person.language, person.timezone) == ("Ada", "fr", "Europe/Brussels")


def test_the_words_that_are_kept_are_those_that_were_shown(quick: Visit) -> None:
    page = quick.get("/subscribe/", accept_language="fr-BE,fr;q=0.9,en;q=0.5").page
    quick.headers["accept-language"] = "fr-BE,fr;q=0.9,en;q=0.5"
    quick.sign_up(ADA)
    (line,) = lines(quick, ADA)
    agreed, _, button = line.wording.split("\n")
    assert line.language == "fr"
    assert f'<p class="agree">{agreed}</p>' in page
    assert f"<button>{button}</button>" in page


def test_the_address_of_the_computer_is_kept_only_when_asked(
    publication: PublicationFactory, sqlite_store: Store
) -> None:
    with visiting(publication, sqlite_store, consent={"keep_ip": "30d"}) as visit:
        visit.network = "192.0.2.7"
        visit.sign_up(ADA)
        assert lines(visit, ADA)[0].ip == "192.0.2.7"
        visit.post(visit.confirming(ADA))
        assert lines(visit, ADA)[1].ip == "192.0.2.7"


# One answer for all


def suppress(visit: Visit, address: str, reason: SuppressionReason) -> None:
    with visit.store.write() as tx:
        subscriptions.suppress(tx, address, reason, now=NOW)


def stand(visit: Visit, address: str, standing: str) -> None:
    """Bring an address to a standing."""
    if standing in ("unknown", "bounced"):
        if standing == "bounced":
            suppress(visit, address, SuppressionReason.BOUNCE)
        return
    subscriptions.add(visit.store, address, ["weekly"], consent="said so", now=NOW)
    if standing == "unsubscribed":
        token = visit.link(Purpose.UNSUBSCRIBE, f"{visit.id(address)}.weekly").removeprefix("/u/")
        subscriptions.unsubscribe(visit.store, visit.config.token_keys(), token, channel="one-click", now=NOW)
    elif standing == "complained":
        suppress(visit, address, SuppressionReason.COMPLAINT)
    elif standing == "erased":
        subscriptions.forget(visit.store, address, now=NOW)


STANDINGS = ("unknown", "active", "unsubscribed", "complained", "erased", "bounced")


@pytest.mark.parametrize("path", ["/subscribe/", "/preferences/"])
def test_every_address_is_answered_alike(visit: Visit, path: str) -> None:
    seen = set()
    for standing in STANDINGS:
        address = f"{standing}@example.org"
        stand(visit, address, standing)
        for _ in range(2):
            answer = (
                visit.sign_up(address) if path == "/subscribe/" else visit.post(path, {"address": address})
            )
            headers = {k: v for k, v in answer.headers.items() if k not in ("date", "content-length")}
            seen.add((answer.status, json.dumps(headers), answer.page.replace(address, "ADDRESS")))
    assert len(seen) == 1


def test_who_is_suppressed_gets_nothing_and_who_reads_already_gets_their_link(quick: Visit) -> None:
    for standing in STANDINGS:
        stand(quick, f"{standing}@example.org", standing)
        quick.sign_up(f"{standing}@example.org")
    assert sorted((kind, address) for kind, address, _ in quick.letters()) == [
        ("confirmation", "unknown@example.org"),
        ("confirmation", "unsubscribed@example.org"),
        ("link", "active@example.org"),
    ]
    assert quick.standing("unsubscribed@example.org") == {"weekly": "unsubscribed"}, "until they confirm"
    assert quick.standing("complained@example.org") == {"weekly": "suppressed"}
    assert quick.standing("erased@example.org") == {}


def test_the_time_of_an_answer_tells_nothing(quick: Visit) -> None:
    suppress(quick, "no@example.org", SuppressionReason.REQUEST)
    took: dict[str, list[float]] = {"no": [], "new": []}
    quick.sign_up("first@example.org")  # what is loaded once
    for number in range(6):
        for kind in took:
            begun = time.perf_counter()
            fields = {
                "address": f"{kind}{number if kind == 'new' else ''}@example.org",
                "newsletter": "weekly",
            }
            assert quick.post("/subscribe/", fields).status == 200
            took[kind].append(time.perf_counter() - begun)
    assert abs(statistics.median(took["no"]) - statistics.median(took["new"])) < 0.1, took


# What is wrong


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"address": "", "newsletter": "weekly"}, "address"),
        ({"address": "ada@", "newsletter": "weekly"}, "address"),
        ({"address": "ada@example.org\r\nBcc: eve@example.org", "newsletter": "weekly"}, "address"),
        ({"address": "ada@exa\u202emple.org", "newsletter": "weekly"}, "address"),
        ({"address": ADA}, "newsletters"),
        ({"address": ADA, "newsletter": "hourly"}, "newsletters"),
        ({"address": ADA, "newsletter": "weekly", "name": "A\x00da"}, "name"),
        ({"address": ADA, "newsletter": "weekly", "timezone": "Mars/Olympus"}, "timezone"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(quick: Visit, fields: dict[str, str], field: str) -> None:
    before = quick.everything()
    answer = quick.post("/subscribe/", fields)
    assert (answer.status, quick.everything()) == (400, before)
    assert f'id="{field}-error"' in answer.page
    assert re.search(rf'aria-describedby="{field}-error[^"]*" aria-invalid="true"', answer.page)
    assert 'role="alert"' in answer.page


def test_a_form_of_one_newsletter_needs_no_choice(quick: Visit) -> None:
    page = quick.get("/subscribe/daily").page
    assert "Sign up for The &lt;Daily&gt;" in page
    assert 'action="../subscribe/daily"' in page
    assert 'type="checkbox"' not in page
    assert quick.post("/subscribe/daily", {"address": ADA}).status == 200
    assert quick.standing(ADA) == {"daily": "pending"}
    assert (
        quick.get("/subscribe/hourly").status
        == quick.post("/subscribe/hourly", {"address": ADA}).status
        == 404
    )


def test_signing_up_can_be_switched_off(publication: PublicationFactory, sqlite_store: Store) -> None:
    with visiting(publication, sqlite_store, web={"signup": False}) as visit:
        assert visit.get("/subscribe/").status == 404
        assert visit.post("/subscribe/", {"address": ADA, "newsletter": "weekly"}).status in (404, 405)
        assert visit.letters() == []


# JSON


def test_programs_sign_people_up_by_json(quick: Visit) -> None:
    def ask(told: object) -> tuple[int, object]:
        answer = quick.ask("POST", "/subscribe/", json.dumps(told).encode(), content_type="application/json")
        assert answer.headers["content-type"] == "application/json"
        return answer.status, json.loads(answer.page)

    good = {"address": ADA, "newsletters": ["weekly", "daily"], "name": "Ada", "language": "fr"}
    assert ask(good) == ask(good) == (202, {"status": "requested"})
    assert quick.standing(ADA) == {"daily": "pending", "weekly": "pending"}
    assert [line.channel for line in lines(quick, ADA)] == ["form", "form"]
    assert ask({"address": "ada@", "newsletters": "weekly", "pet": "cat"}) == (
        400,
        {"errors": {"newsletters": "a list of names is needed", "pet": "there is no such field"}},
    )
    assert ask({"address": "ada@", "newsletters": ["x"], "timezone": "x", "language": "?"}) == (
        400,
        {
            "errors": {
                "address": "is not one that can be used",
                "newsletters": "is not known here",
                "timezone": "is not one that can be used",
                "language": "is not one that can be used",
            }
        },
    )
    assert ask({"newsletters": ["weekly"]}) == (400, {"errors": {"address": "is needed"}})
    wrongs: tuple[object, ...] = ([], None, "x")
    for wrong in wrongs:
        assert ask(wrong) == (400, {"errors": {"form": "a JSON object is needed"}})
    deep = quick.ask("POST", "/subscribe/", b"[" * 60_000, content_type="application/json")
    assert deep.status == 400


# Robots


def test_what_fills_the_hidden_field_is_answered_alike_and_ignored(quick: Visit) -> None:
    good = quick.sign_up(ADA)
    before = quick.everything()
    robot = quick.sign_up("eve@example.org", website="https://example.org/")
    assert (robot.status, robot.page) == (200, good.page.replace(ADA, "eve@example.org"))
    assert quick.everything() == before


@pytest.mark.parametrize(("seconds", "kept"), [(1, True), (90_000, False)])
def test_a_form_sent_at_once_or_a_day_later_is_asked_again(quick: Visit, seconds: int, kept: bool) -> None:
    stamp = re.findall(r'name="shown" value="([^"]+)"', quick.get("/subscribe/").page)[0]
    quick.clock.turn(seconds=seconds)
    told = {"address": ADA, "newsletter": "weekly", "shown": stamp}
    again = quick.post("/subscribe/", told)
    assert (again.status, quick.letters()) == (400, [])
    assert "nothing has been sent yet" in again.page
    assert f'value="{ADA}"' in again.page
    (new,) = re.findall(r'name="shown" value="([^"]+)"', again.page)
    assert (new == stamp) is kept
    quick.clock.turn(seconds=3)
    assert quick.post("/subscribe/", {**told, "shown": new}).status == 200
    assert len(quick.letters()) == 1


def test_a_forged_stamp_is_none(quick: Visit) -> None:
    told = {"address": ADA, "newsletter": "weekly", "shown": "k1.1790000000.aaaaaaaaaaaaaaaaaaaaaaaaaa"}
    assert quick.post("/subscribe/", told).status == 400


# Limits


def test_a_network_is_bounded_and_a_restart_does_not_help(
    publication: PublicationFactory, store: Store
) -> None:
    def ask(visit: Visit, network: str, number: int) -> int:
        visit.network = network
        return visit.post("/subscribe/daily", {"address": f"r{number}@example.org"}).status

    with visiting(publication, store) as visit:
        first = [ask(visit, f"192.0.2.{number}", number) for number in range(12)]
        assert first == [200] * 10 + [429] * 2, "a form that shows no time counts twice"
        assert len(visit.letters()) == 10
        refused = visit.post("/subscribe/daily", {"address": ADA})
        assert int(refused.headers["retry-after"]) > 0
        assert "try again a little later" in refused.page
        assert ask(visit, "198.51.100.1", 20) == 200
        assert visit.post("/preferences/", {"address": ADA}).status == 200
        visit.network = "192.0.2.200"
        assert visit.post("/preferences/", {"address": ADA}).status == 429
    with visiting(publication, store) as visit:
        assert ask(visit, "192.0.2.99", 30) == 429
        visit.clock.turn(minutes=6)
        assert ask(visit, "192.0.2.99", 31) == 200
    with store.read() as tx:
        told = " ".join(str(row) for row in tx.execute(select(schema.limits)))
    assert "192.0.2" not in told
    assert "example.org" not in told


def test_all_together_are_bounded(publication: PublicationFactory, sqlite_store: Store) -> None:
    with visiting(publication, sqlite_store, web={"signups_per_hour": 3}) as visit:
        codes = [visit.post("/subscribe/daily", {"address": f"r{n}@example.org"}).status for n in range(4)]
        assert codes == [200, 200, 200, 429]


def test_an_address_typed_again_and_again_is_written_to_seldom(quick: Visit) -> None:
    for number in range(10):
        quick.network = f"198.51.{number}.1"
        assert quick.sign_up(ADA).status == 200
    assert len(quick.letters()) == 1
    assert len(lines(quick, ADA)) == 1
    quick.clock.turn(minutes=11)
    quick.network = "203.0.113.1"
    quick.sign_up(ADA)
    assert len(quick.letters()) == 1, "six at once, and one more each four hours"
    quick.sent()
    quick.clock.turn(hours=5)
    quick.sign_up(ADA)
    assert len(quick.letters()) == 2


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:22ff:3::1", "2001:db8:1:2200::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_networks(address: str, network: str) -> None:
    assert network_of(address) == network


def test_buckets_leak_and_are_forgotten(store: Store) -> None:
    bucket = Bucket(name="x", burst=3, every=timedelta(minutes=1))
    with store.write() as tx:
        assert [limits.take(tx, bucket, now=NOW) for _ in range(3)] == [timedelta()] * 3
        assert limits.take(tx, bucket, now=NOW) == timedelta(minutes=1)
        assert limits.take(tx, bucket, now=NOW + timedelta(minutes=1)) == timedelta()
        assert limits.expire(tx, now=NOW + timedelta(minutes=3)) == 0
        assert limits.expire(tx, now=NOW + timedelta(minutes=4)) == 1


# Confirming


def imported(visit: Visit) -> None:
    subscriptions.add(visit.store, ADA, ["daily"], consent="said so", now=NOW)
    with visit.store.write() as tx:
        person = subscribers.find(tx, ADA)
        assert person is not None
        pending = Subscription(subscriber=person, newsletter="weekly", standing=Standing.PENDING, since=NOW)
        subscribers.put(tx, [pending])


def test_one_who_was_imported_as_pending_may_confirm(quick: Visit) -> None:
    imported(quick)
    assert "Yes, subscribe me" in quick.get(quick.confirming(ADA)).page
    quick.post(quick.confirming(ADA))
    assert quick.standing(ADA) == {"daily": "active", "weekly": "active"}


def too_late(visit: Visit) -> None:
    visit.clock.turn(days=31)


def left_since(visit: Visit) -> None:
    visit.post(visit.confirming(ADA))
    visit.post(visit.link(Purpose.UNSUBSCRIBE, f"{visit.id(ADA)}.weekly"))


def complained(visit: Visit) -> None:
    suppress(visit, ADA, SuppressionReason.COMPLAINT)


def erased(visit: Visit) -> None:
    subscriptions.forget(visit.store, ADA, now=NOW)


@pytest.mark.parametrize("happen", [too_late, left_since, complained, erased])
def test_a_link_that_is_over_subscribes_nobody(quick: Visit, happen: Callable[[Visit], None]) -> None:
    quick.sign_up(ADA)
    link = quick.confirming(ADA)
    happen(quick)
    before = quick.everything()
    for answer in (quick.get(link), quick.post(link)):
        assert answer.status == 200
        assert "This link is too old" in answer.page
        assert "<button" not in answer.page
    assert quick.everything() == before


def test_what_nobody_confirms_is_forgotten_and_may_be_asked_again(visit: Visit) -> None:
    for address in (ADA, "bob@example.org", "cy@example.org"):
        visit.sign_up(address)
    visit.post(visit.confirming("bob@example.org"))
    subscriptions.add(visit.store, "cy@example.org", ["daily"], consent="said so", now=NOW)
    link = visit.confirming(ADA)
    visit.clock.turn(days=20)
    with visit.store.write() as tx:
        subscriptions.expire(tx, now=visit.clock.now)
    assert visit.standing(ADA) == {"weekly": "pending"}
    visit.clock.turn(days=11)
    with visit.store.write() as tx:
        subscriptions.expire(tx, now=visit.clock.now)
        told = str(list(tx.execute(select(schema.subscribers))))
    assert ADA not in told
    assert visit.standing("bob@example.org") == {"weekly": "active"}
    assert visit.standing("cy@example.org") == {"daily": "active"}
    assert subscriptions.verify(visit.store).broken == ()
    assert "This link is too old" in visit.post(link).page
    assert subscriptions.show(visit.store, ADA) is None, "it was not suppressed"
    visit.clock.turn(days=30)
    visit.sign_up(ADA)
    visit.post(visit.confirming(ADA))
    assert visit.standing(ADA) == {"weekly": "active"}


def test_who_left_comes_back_by_signing_up_anew(quick: Visit) -> None:
    quick.sign_up(ADA)
    left_since(quick)
    quick.clock.turn(hours=3)
    quick.sign_up(ADA)
    quick.post(quick.confirming(ADA))
    assert quick.standing(ADA) == {"weekly": "active"}


def test_what_a_stranger_types_changes_nothing_of_a_known_person(quick: Visit) -> None:
    subscriptions.add(quick.store, ADA, ["weekly"], consent="said so", now=NOW, name="Ada")
    quick.sign_up(ADA, newsletter="daily", name="Buy pills", language="fr", timezone="Asia/Tokyo")
    with quick.store.read() as tx:
        person = subscribers.find(tx, ADA)
    assert person is not None
    assert (person.name, person.language, person.timezone) == ("Ada", "", "")
    assert quick.standing(ADA) == {"daily": "pending", "weekly": "active"}


def test_a_confirming_link_opens_nothing_else(quick: Visit) -> None:
    quick.sign_up(ADA)
    token = quick.confirming(ADA).removeprefix("/c/")
    for path in (f"/u/{token}", f"/p/{token}", f"/c/{token[:-1]}", "/c/x"):
        assert quick.get(path).status == 404
        assert quick.post(path).status == 404
    own = quick.page(ADA).removeprefix("/p/")
    assert quick.post(f"/c/{own}").status == 404
    assert quick.standing(ADA) == {"weekly": "pending"}


# Other sites

EVIL = {"origin": "https://evil.example", "sec_fetch_site": "cross-site"}


def test_only_the_sites_that_are_named_may_embed_the_form(
    publication: PublicationFactory, sqlite_store: Store
) -> None:
    blog = "https://blog.example.org"
    with visiting(publication, sqlite_store, web={"signup_origins": [blog]}) as visit:
        told = {"address": ADA, "newsletter": "weekly"}
        refused = visit.post("/subscribe/", told, **EVIL)
        assert (refused.status, visit.letters()) == (403, [])
        assert "a site that we do not know" in refused.page
        assert f'value="{ADA}"' in refused.page
        assert visit.post("/subscribe/", told, origin="null", sec_fetch_site="cross-site").status == 403
        assert visit.post("/subscribe/", told, origin="https://harbour.example.org").status == 200
        assert visit.post("/subscribe/", told, origin=blog, sec_fetch_site="cross-site").status == 200
        assert lines(visit, ADA)[0].channel == "form on https://harbour.example.org"


def test_no_other_site_acts_in_a_readers_name(quick: Visit) -> None:
    """Every POST but the one click of RFC 8058 looks at who asks."""
    subscriptions.add(quick.store, ADA, ["weekly"], consent="said so", now=NOW)
    leaving, own = quick.link(Purpose.UNSUBSCRIBE, f"{quick.id(ADA)}.weekly"), quick.page(ADA)
    paths = {
        route.path
        for route in web.create_app(quick.store, quick.config).routes
        if "POST" in (getattr(route, "methods", None) or ()) and hasattr(route, "path")
    }
    assert len(paths) == 10
    before = quick.everything()
    for path in paths - {"/u/{token}"}:
        token = own if path.startswith("/p") else leaving
        filled = path.replace("{token}", token.rpartition("/")[2]).replace("{newsletter}", "weekly")
        told = {"address": "eve@example.org", "newsletter": "weekly", "wish": "unsubscribe", "sure": "yes"}
        for headers in (EVIL, {"origin": "https://evil.example"}, {"sec_fetch_site": "same-site"}):
            assert quick.post(filled, told, **headers).status == 403, filled
    assert quick.everything() == before
    page = quick.post(
        own, {"newsletter": "weekly", "wish": "pause"}, origin="null", sec_fetch_site="same-origin"
    )
    assert page.status == 200, "a page without referrer says that its origin is null"
    assert quick.post(leaving, **EVIL).status == 200
    assert quick.standing(ADA) == {"weekly": "unsubscribed"}


def test_a_publication_of_one_newsletter(publication: PublicationFactory, sqlite_store: Store) -> None:
    with visiting(publication, sqlite_store, newsletters=NEWSLETTERS[:1]) as visit:
        assert 'type="checkbox"' not in visit.get("/subscribe/").page
        assert visit.post("/subscribe/", {"address": ADA}).status == 200
        assert visit.standing(ADA) == {"weekly": "pending"}
