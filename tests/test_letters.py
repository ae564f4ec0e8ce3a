"""Letters: who may be sent one and how often, what they look like, and that the ledger loses and doubles none."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from functools import partial
from pathlib import Path
from typing import Any, cast

import dkim as oracle
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa

from conftest import PublicationFactory
from faults.ground import add_readers, make_issue, set_standing
from faults.server import TAKE_AND_DROP, Act, FaultServer, Table, say
from letters import LOOKS, settings
from newsletter import daemon, digest, letterbox, letters, subscriptions, templating, tokens
from newsletter.bounces import office
from newsletter.checks.digest import check_message
from newsletter.cli import program
from newsletter.config import Config
from newsletter.deliver import release as release_issue
from newsletter.errors import InputError
from newsletter.letters import NoticeKind
from newsletter.model import (
    Account,
    BounceDeed,
    DeliveryState,
    IssueState,
    Letter,
    Reader,
    Stage,
    Standing,
    Subscriber,
    SuppressionReason,
)
from newsletter.publisher import Publisher
from newsletter.store import (
    Store,
    deliveries,
    facts,
    issues,
    meta,
    open_store,
    schema,
    subscribers,
    suppressions,
)
from newsletter.store import letters as stored
from newsletter.transports.smtp.transactions import window_of
from processes import child
from returned import dsn

NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = timedelta(minutes=1)
KINDS = list(NoticeKind)
SUITS = {
    NoticeKind.CONFIRMATION: Standing.PENDING,
    NoticeKind.WELCOME: Standing.ACTIVE,
    NoticeKind.GOODBYE: Standing.UNSUBSCRIBED,
    NoticeKind.LINK: Standing.ACTIVE,
    NoticeKind.ADDRESS: Standing.ACTIVE,
}
Clock = Callable[[], datetime]


def people(
    store: Store, count: int = 1, standing: Standing = Standing.PENDING, who: str = "reader"
) -> list[Subscriber]:
    """Store this many people and return them."""
    ids = add_readers(store, count, standing=standing, address=f"{who}{{}}@example.org".format)
    with store.read() as tx:
        return [found for one in ids if (found := subscribers.by_id(tx, one)) is not None]


def ask(
    store: Store,
    person: Subscriber,
    kind: NoticeKind = NoticeKind.CONFIRMATION,
    *,
    now: datetime = NOW,
    address: str = "",
    language: str = "",
) -> bool:
    """Ask for a letter in a transaction of its own."""
    with store.write() as tx:
        return letters.request(tx, kind, person, "weekly", now=now, address=address, language=language)


def listed(store: Store) -> list[Letter]:
    """Return the letters, the newest first."""
    with store.read() as tx:
        return letters.listed(tx, limit=10_000)


def states(store: Store) -> Counter[str]:
    """Count letters by state and reason."""
    return Counter(f"{one.state or 'queued'} {one.reason}".strip() for one in listed(store))


def at(moment: datetime) -> Clock:
    """Return a clock that stands."""
    return lambda: moment


@pytest.fixture
def to_server(publication: PublicationFactory) -> Callable[[FaultServer], Config]:
    """Configure the SMTP server of a test."""
    return lambda server: publication({"smtp": {"port": server.port}})


def send(store: Store, config: Config, *, clock: Clock = lambda: NOW, word: bool = False) -> list[Account]:
    """Send what waits."""
    stop = threading.Event()
    return letterbox.send(store, config, config.newsletters[0], clock=clock, stop=stop, word=word)


def parsed(content: bytes) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(content)


def texts(content: bytes) -> tuple[str, str]:
    """Return the HTML and the text of a message."""
    text, page = (cast(EmailMessage, part).get_content() for part in parsed(content).iter_parts())
    return page, text


# Asking: limits, suppressions, what still holds


def test_a_second_letter_waits_ten_minutes_then_twice_as_long_up_to_a_day(store: Store) -> None:
    """A request every five minutes for four days: those that go are the allowed ones."""
    person = people(store)[0]
    went: list[int] = []
    with store.write() as tx:
        for minute in range(0, 60 * 24 * 4, 5):
            kind, now = NoticeKind.LINK, NOW + minute * MINUTE
            if letters.request(tx, kind, person, "weekly", now=now):
                went.append(minute)
                stored.drop_queued(tx, "weekly", kind)
    waits = [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]
    expected = [sum(waits[:n]) for n in range(len(waits) + 1)]
    assert went == [one for one in expected if one < 60 * 24 * 4]


def test_a_thousand_requests_in_an_hour_are_three_letters_of_each_kind(store: Store) -> None:
    person = people(store)[0]
    allowed: Counter[NoticeKind] = Counter()
    with store.write() as tx:
        for second in range(0, 3600, 7):
            for kind in (NoticeKind.CONFIRMATION, NoticeKind.LINK):
                now = NOW + timedelta(seconds=second)
                spelt = replace(person, address=person.address.upper() if second % 2 else person.address)
                allowed[kind] += letters.request(tx, kind, spelt, "weekly", now=now)
                stored.release(tx, "weekly", frozen="", now=now)
    assert allowed == {NoticeKind.CONFIRMATION: 3, NoticeKind.LINK: 3}
    assert len(listed(store)) == 6


def test_limits_are_of_the_address_and_not_of_the_person(store: Store) -> None:
    one, other = people(store, 2, Standing.ACTIVE)
    assert ask(store, one, NoticeKind.ADDRESS, address="new@example.org")
    assert not ask(store, other, NoticeKind.ADDRESS, address="NEW@example.org")
    assert ask(store, other, NoticeKind.ADDRESS, address="newer@example.org")


def test_limits_survive_a_restart_and_are_forgiven_in_the_end(store_url: str) -> None:
    with open_store(store_url) as store:
        person = people(store)[0]
        assert ask(store, person)
        with store.write() as tx:
            stored.release(tx, "weekly", frozen="", now=NOW)
    with open_store(store_url) as store:
        assert not ask(store, person, now=NOW + 9 * MINUTE)
        assert ask(store, person, now=NOW + 10 * MINUTE)
        with store.write() as tx:
            stored.release(tx, "weekly", frozen="", now=NOW)
        assert not ask(store, person, now=NOW + 29 * MINUTE)
        assert not ask(store, person, now=NOW - timedelta(hours=3)), "a clock that was set back"
        later = NOW + timedelta(days=8)
        assert ask(store, person, now=later)
        with store.write() as tx:
            stored.release(tx, "weekly", frozen="", now=later)
        assert ask(store, person, now=later + 10 * MINUTE), "it begins anew"


def test_no_hash_in_the_store_is_one_that_anybody_could_compute(store: Store) -> None:
    person = people(store)[0]
    ask(store, person)
    (letter,) = listed(store)
    assert re.fullmatch("[0-9a-f]{64}", letter.address_hash)
    assert letter.address_hash != hashlib.sha256(person.address.encode()).hexdigest()


def test_the_same_letter_waits_once(store: Store) -> None:
    person = people(store, standing=Standing.ACTIVE)[0]
    assert [ask(store, person, NoticeKind.WELCOME) for _ in range(3)] == [True, False, False]
    assert ask(store, person, NoticeKind.GOODBYE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reason", list(SuppressionReason))
def test_a_suppressed_address_is_sent_nothing_ever(
    sqlite_store: Store, kind: NoticeKind, reason: SuppressionReason
) -> None:
    person = people(sqlite_store)[0]
    address = "new@example.org" if kind is NoticeKind.ADDRESS else ""
    with sqlite_store.write() as tx:
        suppressions.put(tx, address or person.address, reason, now=NOW)
    assert not ask(sqlite_store, person, kind, address=address)
    assert listed(sqlite_store) == []


def test_an_address_belongs_to_a_letter_to_a_new_one_alone(sqlite_store: Store) -> None:
    person = people(sqlite_store)[0]
    with pytest.raises(ValueError, match="has no address"):
        ask(sqlite_store, person, NoticeKind.LINK, address="new@example.org")
    with pytest.raises(ValueError, match="needs an address"):
        ask(sqlite_store, person, NoticeKind.ADDRESS)


@pytest.mark.parametrize("standing", list(Standing))
def test_what_a_letter_tells_is_looked_at_when_it_is_sent(
    store: Store, standing: Standing, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    """An unsubscribed address gets what it asked for and its goodbye; a suppressed one nothing."""
    wanted = {
        Standing.PENDING: {NoticeKind.CONFIRMATION, NoticeKind.LINK, NoticeKind.ADDRESS},
        Standing.ACTIVE: {NoticeKind.WELCOME, NoticeKind.LINK, NoticeKind.ADDRESS},
        Standing.PAUSED: {NoticeKind.WELCOME, NoticeKind.LINK, NoticeKind.ADDRESS},
        Standing.UNSUBSCRIBED: {
            NoticeKind.CONFIRMATION,
            NoticeKind.GOODBYE,
            NoticeKind.LINK,
            NoticeKind.ADDRESS,
        },
        Standing.SUPPRESSED: {NoticeKind.ADDRESS},  # that goes to another address
    }[standing]
    person = people(store)[0]
    for kind in KINDS:
        assert ask(store, person, kind, address="new@example.org" if kind is NoticeKind.ADDRESS else "")
    if standing is Standing.SUPPRESSED:
        with store.write() as tx:
            subscribers.suppress(tx, person.address, SuppressionReason.COMPLAINT, now=NOW)
    else:
        set_standing(store, person.id, standing)
    with FaultServer(tmp_path / "log") as server:
        while not all(one.state for one in listed(store)):
            send(store, to_server(server))
    found = {one.kind: one for one in listed(store)}
    assert {kind for kind, one in found.items() if one.state is DeliveryState.ACCEPTED} == wanted
    rest = [one for kind, one in found.items() if kind not in wanted]
    assert {one.state for one in rest} <= {DeliveryState.SUPPRESSED}
    assert {one.reason for one in rest} <= {standing.value}


# What they look like


def message_of(
    kind: NoticeKind, *, language: str = "", name: str = "Ann", signers: tuple[digest.Signer, ...] = ()
) -> bytes:
    """Make the message of one letter."""
    templates = templating.template_set(templating.environment(), *digest.NOTICE_TEMPLATES)
    stationery = digest.Stationery(title="The Herald Weekly", looks=LOOKS, templates=templates.sources)
    stationery = digest.thaw_stationery(digest.freeze_stationery(stationery))
    one = Letter(
        id=5,
        newsletter="weekly",
        subscriber_id=12,
        kind=kind,
        address="ann@example.org",
        address_hash="ab" * 32,
        asked_at=NOW,
        expires_at=NOW,
    )
    make = digest.LetterMailer(
        7,
        stationery,
        templating.TemplateSet(stationery.templates),
        settings(signers=signers),
        {12: one},
    )
    reader = Reader(subscriber_id=12, address="ann@example.org", name=name, language=language)
    first, again = make(reader), make(reader)
    assert first == again
    assert first.canonical
    assert tokens.read(settings().keys, tokens.Purpose.BOUNCE, first.sender[2:].partition("@")[0]) == "7.12"
    return first.content


SUBJECTS = {
    "en": {
        NoticeKind.CONFIRMATION: "Please confirm your subscription to The Herald Weekly",
        NoticeKind.WELCOME: "Welcome to The Herald Weekly",
        NoticeKind.GOODBYE: "You have left The Herald Weekly",
        NoticeKind.LINK: "Your preferences for The Herald Weekly",
        NoticeKind.ADDRESS: "Please confirm your new address for The Herald Weekly",
    },
    "fr": {
        NoticeKind.CONFIRMATION: "Veuillez confirmer votre abonnement à The Herald Weekly",
        NoticeKind.WELCOME: "Bienvenue à The Herald Weekly",
        NoticeKind.GOODBYE: "Fin de votre abonnement à The Herald Weekly",
        NoticeKind.LINK: "Vos préférences pour The Herald Weekly",
        NoticeKind.ADDRESS: "Veuillez confirmer votre nouvelle adresse pour The Herald Weekly",
    },
}
LINKS = {
    NoticeKind.CONFIRMATION: {("c", tokens.Purpose.CONFIRM, "12.weekly")},
    NoticeKind.WELCOME: {
        ("p", tokens.Purpose.PREFERENCES, "12"),
        ("u", tokens.Purpose.UNSUBSCRIBE, "12.weekly"),
    },
    NoticeKind.GOODBYE: {("u", tokens.Purpose.UNSUBSCRIBE, "12.weekly")},
    NoticeKind.LINK: {("p", tokens.Purpose.PREFERENCES, "12")},
    NoticeKind.ADDRESS: {("c", tokens.Purpose.CONFIRM, f"12.address-{'ab' * 8}")},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_letter_says_and_leads_to_what_it_is_for(kind: NoticeKind, language: str) -> None:
    content = message_of(kind, language=language)
    message = parsed(content)
    assert message["Subject"] == SUBJECTS[language][kind]
    assert message["Content-Language"].startswith(language)
    assert message["To"] == ("Ann <ann@example.org>")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Reply-To"] == "editor@herald.example.org"
    assert message["Date"].datetime == NOW
    assert re.fullmatch(r"<l5\.[0-9a-f]{24}@herald\.example\.org>", message["Message-ID"])
    of_a_list = sorted(name for name in message if name.lower().startswith("list-"))
    expected = ["Archive", "Help", "Id", "Owner", "Unsubscribe", "Unsubscribe-Post"]
    assert of_a_list == ([f"List-{name}" for name in expected] if kind is NoticeKind.WELCOME else [])
    page, text = texts(content)
    for part in (page, text):
        found = set(re.findall(r"https://letters\.example\.org/([a-z])/([a-z0-9._-]+)", part))
        read = {
            (letter, purpose, tokens.read(settings().keys, purpose, token))
            for letter, token in found
            for purpose in tokens.Purpose
            if purpose.value == letter
        }
        assert read == LINKS[kind]
    assert "<img" not in page
    assert "<script" not in page


def test_a_welcome_keeps_every_rule_of_a_digest() -> None:
    assert [str(one) for one in check_message(message_of(NoticeKind.WELCOME))] == []


def test_a_letter_is_signed() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signer = digest.Signer(domain="herald.example.org", selector="r1", key=key)
    _, record = digest.record_of(signer)
    for kind in KINDS:
        content = message_of(kind, signers=(signer,))
        assert oracle.DKIM(content).verify(dnsfunc=lambda name, timeout=5: record.encode())
        changed = content.replace(b"Auto-Submitted: auto-generated", b"Auto-Submitted: no")
        try:
            assert not oracle.DKIM(changed).verify(dnsfunc=lambda name, timeout=5: record.encode())
        except oracle.ValidationError:
            continue


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "Ann\r\nBcc: victim@example.org",
        "Ann\nSubject: other",
        "Ann\x00",
        "Ann\u202emoc",
        "Ann\u2028x",
        '"><a href="https://evil.example/">x</a>',
        "{{ 7 * 7 }}",
        "A" * 10_000,
    ],
)
def test_no_name_becomes_a_header_or_an_element(kind: NoticeKind, name: str) -> None:
    content, usual = message_of(kind, name=name), message_of(kind)
    head, body = content.split(b"\r\n\r\n", 1)
    names = [line.split(b":")[0] for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert names == [
        line.split(b":")[0] for line in usual.partition(b"\r\n\r\n")[0].split(b"\r\n") if line[:1] != b" "
    ]
    assert b"\n" not in body.replace(b"\r\n", b"")
    page, _ = texts(content)
    assert '<a href="https://evil' not in page
    assert parsed(content)["Bcc"] is None
    assert parsed(content)["To"].addresses[0].addr_spec == "ann@example.org"


# Through the ledger


def test_letters_go_by_smtp_once_and_leave_issues_alone(
    store: Store, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    everybody = {kind: people(store, 3, SUITS[kind], who=kind.value) for kind in KINDS}
    issue_id = make_issue(store)
    release_issue(store, issue_id, now=NOW)
    for kind, some in everybody.items():
        for n, person in enumerate(some):
            new = f"new{n}@example.org" if kind is NoticeKind.ADDRESS else ""
            assert ask(store, person, kind, address=new, language="fr" if n == 2 else "")
    with FaultServer(tmp_path / "log") as server:
        config = to_server(server)
        (sums,) = send(store, config)
        assert sums.balances
        assert (sums.audience, sums.accepted) == (15, 15)
        assert send(store, config) == []
    assert len(server.contents) == 15
    assert len({parsed(one)["Message-ID"] for one in server.contents}) == 15
    to = {line.split()[1].decode() for line in (tmp_path / "log").read_bytes().splitlines()}
    expected = {p.address for kind, some in everybody.items() for p in some if kind is not NoticeKind.ADDRESS}
    assert to == expected | {f"new{n}@example.org" for n in range(3)}
    named = [parsed(one)["To"].addresses[0].display_name for one in server.contents]
    assert Counter(bool(one) for one in named) == {True: 6, False: 9}, "whose address was never confirmed"
    assert Counter(parsed(one)["Content-Language"] for one in server.contents) == {"en-AU": 10, "fr": 5}
    assert states(store) == {"accepted": 15}
    with store.read() as tx:
        assert [one.id for one in issues.find(tx)] == [issue_id]
        assert [one.id for one in facts.read(tx, tombstones=1).issues] == [issue_id]
        assert [one.id for one in issues.find(tx, states=(IssueState.RELEASED,))] == [issue_id]
        assert issues.frozen(tx, listed(store)[0].issue_id) == "", "what nobody needs any longer is let go of"


def test_a_letter_put_off_is_sent_when_it_is_due_across_restarts(
    store_url: str, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    table: Table = {(Stage.RCPT, 1): say("451 4.7.1 greylisted, try again later")}
    with FaultServer(tmp_path / "log", table) as server:
        config = to_server(server)
        with open_store(store_url) as store:
            ask(store, people(store)[0])
            (sums,) = send(store, config)
            assert sums.waiting == 1
            assert sums.next_at is not None
            assert send(store, config, clock=at(NOW + MINUTE)) == []
        with open_store(store_url) as store:
            (sums,) = send(store, config, clock=at(sums.next_at + MINUTE))
            assert (sums.accepted, sums.waiting) == (1, 0)
    assert len(server.contents) == 1


def test_a_letter_expires_with_its_reason(
    store: Store, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    table: Table = {(Stage.RCPT, 0): say("451 4.7.1 greylisted, try again later")}
    one, other = people(store, 2)
    ask(store, one)
    late = NOW + letters.LIFETIME
    with FaultServer(tmp_path / "log", table) as server:
        config = to_server(server)
        send(store, config, clock=at(late - MINUTE))
        ask(store, other, now=late)
        send(store, config, clock=at(late + timedelta(hours=5)))
    found = {letter.subscriber_id: letter for letter in listed(store)}
    assert found[one.id].state is DeliveryState.REFUSED
    assert found[one.id].reason.startswith("expired: 451 4.7.1")
    assert found[other.id].state is DeliveryState.WAITING


def test_a_letter_that_was_queued_too_long_is_never_tried(
    store: Store, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    ask(store, people(store)[0])
    with FaultServer(tmp_path / "log") as server:
        send(store, to_server(server), clock=at(NOW + letters.LIFETIME))
    assert states(store) == {"refused expired": 1}
    assert server.contents == []


def test_no_letter_is_tried_while_one_before_it_is_held(
    store: Store, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    """A server that refuses our sender is asked once, not once for every sign-up."""
    table = {(Stage.MAIL, 1): say("550 5.7.1 sender not allowed")}
    some = people(store, 3)
    ask(store, some[0])
    with FaultServer(tmp_path / "log", table) as server:
        config = to_server(server)
        assert [sums.waiting for sums in send(store, config)] == [1]
        for person in some[1:]:
            ask(store, person)
            with pytest.raises(InputError, match=r"the letters are held: .*5\.7\.1.*letters send weekly"):
                send(store, config)
        assert server.count(Stage.MAIL) == 1
        assert sum(sums.accepted for sums in send(store, config, word=True)) == 3
    assert states(store) == {"accepted": 3}


def test_a_refused_address_is_suppressed_and_its_subscription_ends(
    store: Store, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    person = people(store)[0]
    ask(store, person)
    with FaultServer(tmp_path / "log", {(Stage.RCPT, 1): say("550 5.1.1 no such user")}) as server:
        send(store, to_server(server))
    with store.read() as tx:
        (mine,) = subscribers.subscriptions_of(tx, [person])[person.id].values()
    assert mine.standing is Standing.SUPPRESSED
    assert not ask(store, person, now=NOW + timedelta(days=30))


def test_a_bounce_of_a_confirmation_ends_the_pending_subscription(
    store: Store, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    person = people(store)[0]
    ask(store, person)
    with FaultServer(tmp_path / "log") as server:
        config = to_server(server)
        send(store, config)
    (sender,) = [line for line in server.commands if line.startswith(b"MAIL")]
    envelope = sender.split(b"<")[1].split(b">")[0].decode()
    taken = office(store, config, lambda token, now: None).take(
        dsn(to=envelope, recipient=person.address), now=NOW, envelope=[envelope]
    )
    assert (taken.matched, taken.deed) == ("token", BounceDeed.SUPPRESSED)
    with store.read() as tx:
        (mine,) = subscribers.subscriptions_of(tx, [person])[person.id].values()
    assert mine.standing is Standing.SUPPRESSED


def test_a_bounce_of_a_new_address_leaves_the_old_one_alone(
    store: Store, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    person = people(store, standing=Standing.ACTIVE)[0]
    ask(store, person, NoticeKind.ADDRESS, address="new@example.org")
    with FaultServer(tmp_path / "log") as server:
        config = to_server(server)
        send(store, config)
    (sender,) = [line for line in server.commands if line.startswith(b"MAIL")]
    envelope = sender.split(b"<")[1].split(b">")[0].decode()
    taken = office(store, config, lambda token, now: None).take(
        dsn(to=envelope, recipient="new@example.org"), now=NOW, envelope=[envelope]
    )
    assert (taken.matched, taken.deed) == ("token", BounceDeed.NOTHING)
    with store.read() as tx:
        (mine,) = subscribers.subscriptions_of(tx, [person])[person.id].values()
    assert mine.standing is Standing.ACTIVE


def test_the_token_of_a_new_address_confirms_exactly_that_one(
    store: Store, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    person = people(store, standing=Standing.ACTIVE)[0]
    for n in range(3):
        assert ask(store, person, NoticeKind.ADDRESS, address=f"New{n}@example.org")
    with FaultServer(tmp_path / "log") as server:
        config = to_server(server)
        while not all(one.state for one in listed(store)):
            send(store, config)
    keys = config.token_keys()
    for content in server.contents:
        (token,) = set(re.findall(r"/c/([a-z0-9._-]+)", texts(content)[1]))
        to = parsed(content)["To"].addresses[0].addr_spec
        with store.write() as tx:
            hashed = suppressions.hash_of(tx, to)
        assert tokens.read(keys, tokens.Purpose.CONFIRM, token) == f"{person.id}.address-{hashed[:16]}"


def test_a_welcome_is_not_sent_where_the_configuration_says_so(
    store: Store, tmp_path: Path, publication: PublicationFactory
) -> None:
    for person in people(store, 2, Standing.ACTIVE):
        ask(store, person, NoticeKind.WELCOME)
    with FaultServer(tmp_path / "log") as server:
        config = publication({"smtp": {"port": server.port}, "consent": {"welcome": False}})
        assert send(store, config) == []
    assert listed(store) == []


def test_an_import_sends_nothing(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email,status,consent_at,consent_source\nann@example.org,active,2026-01-05,a fair\n")
    report = subscriptions.import_csv(store, file, newsletters=["weekly"], now=NOW)
    assert report.added == 1
    assert listed(store) == []


def test_leaving_ends_what_waits_of_an_issue_and_not_the_link_that_was_asked_for(
    store: Store, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    person = people(store, standing=Standing.ACTIVE)[0]
    issue_id = make_issue(store)
    release_issue(store, issue_id, now=NOW)
    ask(store, person, NoticeKind.LINK)
    table: Table = {(Stage.RCPT, 1): say("451 4.7.1 greylisted, try again later")}
    with FaultServer(tmp_path / "log", table) as server:
        config = to_server(server)
        send(store, config)
        token = tokens.make(config.token_keys(), tokens.Purpose.UNSUBSCRIBE, f"{person.id}.weekly")
        subscriptions.unsubscribe(store, config.token_keys(), token, channel="page", now=NOW)
        with store.read() as tx:
            assert deliveries.account(tx, issue_id).suppressed == 1
        send(store, config, clock=at(NOW + timedelta(hours=1)))
    assert states(store) == {"accepted": 1}


# Killed in the midst

SENDER = """
    import sys, threading
    from datetime import UTC, datetime
    from functools import partial
    from pathlib import Path
    from newsletter import config, letterbox
    from newsletter.store import open_store

    made = config.load(Path(sys.argv[1]), {})
    with open_store(sys.argv[2]) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        clock = partial(datetime.now, UTC)
        letterbox.send(store, made, made.newsletters[0], clock=clock, stop=threading.Event())
"""


@pytest.mark.parametrize(
    ("moment", "boxed"), [(Stage.RCPT, True), (Stage.END_OF_DATA, True), (Stage.END_OF_DATA, False)]
)
def test_kill_9_in_the_midst_loses_and_doubles_no_letter(
    store: Store,
    store_url: str,
    tmp_path: Path,
    to_server: Callable[[FaultServer], Config],
    moment: Stage,
    boxed: bool,
) -> None:
    """Killed again and again at this moment: each letter arrives once, or the ledger says that it is in doubt."""
    some = people(store, 24)
    for person in some:
        assert ask(store, person)
    running: list[subprocess.Popen[str]] = []

    def strike(stage: Stage, nth: int) -> None:
        if stage is moment and nth % 8 == 0 and running:
            os.kill(running[-1].pid, signal.SIGKILL)

    with FaultServer(tmp_path / "log", watch=strike) as server:
        config = to_server(server)
        for _ in range(60):
            if not boxed:
                for box in (config.state / "boxes").glob("*"):
                    box.unlink()
            with child(SENDER, str(config.folder), store_url) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                running.append(process)
                process.communicate("go\n", timeout=60)
            if process.returncode == 0:
                break
        assert process.returncode == 0
    assert len(running) > 2
    lines = (tmp_path / "log").read_text().splitlines()
    arrived = Counter(line.split()[1] for line in lines)
    found = {one.address: one for one in listed(store)}
    assert set(found) == {person.address for person in some}
    assert {one.state for one in found.values()} == {DeliveryState.ACCEPTED}
    with store.read() as tx:
        table = schema.deliveries
        presumed = {row.address for row in tx.execute(table.select()) if row.presumed}
    assert {address for address in found if not arrived[address]} <= presumed, "lost in silence"
    assert [address for address, count in arrived.items() if count > 1] == []
    in_flight = 4 * (
        2 if boxed else window_of({"pipelining": ""})
    )  # without its box all that was taken is in doubt
    assert len(presumed) <= in_flight * (len(running) - 1)


def test_what_is_sent_again_after_a_doubt_is_the_same_message(
    store: Store, tmp_path: Path, publication: PublicationFactory
) -> None:
    """Also when the templates were changed in between."""
    ask(store, people(store)[0])
    drop: Act = TAKE_AND_DROP
    with FaultServer(tmp_path / "log", {(Stage.END_OF_DATA, 1): drop}) as server:
        config = publication({"smtp": {"port": server.port}, "delivery": {"on_silence": "resend"}})
        (sums,) = send(store, config)
        assert (sums.waiting, sums.accepted) == (1, 0)
        own = config.folder / "templates" / "digest"
        own.mkdir(parents=True)
        (own / "notice.txt.j2").write_text("Something else entirely.\n")
        (sums,) = send(store, config, clock=at(NOW + 11 * MINUTE))
        assert sums.accepted == 1
    first, again = server.contents
    assert first == again


def test_two_processes_send_a_letter_once(
    store: Store, store_url: str, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    some = people(store, 60)
    for person in some:
        ask(store, person)
    with FaultServer(tmp_path / "log") as server:
        config = to_server(server)
        with (
            child(SENDER, str(config.folder), store_url) as one,
            child(SENDER, str(config.folder), store_url) as other,
        ):
            for process in (one, other):
                assert process.stdout is not None
                assert process.stdin is not None
                assert process.stdout.readline() == "ready\n"
            for process in (one, other):
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            one.wait(60)
            other.wait(60)
        send(store, config, clock=partial(datetime.now, UTC))
    assert len(server.contents) == len({parsed(content)["Message-ID"] for content in server.contents}) == 60
    assert states(store) == {"accepted": 60}


def test_a_letter_reveals_nothing_after_its_person_was_erased(
    store: Store, tmp_path: Path, to_server: Callable[[FaultServer], Config]
) -> None:
    one, other = people(store, 2, Standing.ACTIVE)
    ask(store, one, NoticeKind.LINK)
    ask(store, other, NoticeKind.ADDRESS, address=one.address)
    ask(store, one, NoticeKind.ADDRESS, address="elsewhere@example.org")
    with FaultServer(tmp_path / "log") as server:
        config = to_server(server)
        send(store, config)
        with store.write() as tx:
            assert subscribers.erase(tx, one.address, now=NOW, channel="test")
        assert listed(store) == []
        assert send(store, config) == []
    with store.read() as tx:
        rows = [
            repr(tuple(row))
            for name in ("letters", "deliveries", "attempts", "letter_limits")
            for row in tx.execute(schema.METADATA.tables[name].select())
        ]
    assert rows
    assert not [row for row in rows if one.address in row or "elsewhere" in row]


# The daemon and the command line


@pytest.fixture
def into_maildir(publication: PublicationFactory) -> Config:
    """Make a publication whose mails go into a Maildir."""
    return publication({"delivery": {"transport": "maildir"}, "web": {"port": 0}})


def mails(config: Config) -> list[EmailMessage]:
    folder = config.path(config.maildir.path) / "new"
    return [parsed(one.read_bytes()) for one in sorted(folder.iterdir())] if folder.exists() else []


class Stuck(Publisher):
    """Its delivery of an issue does not end until the test says so."""

    def __init__(self, config: Config, store: Store) -> None:
        super().__init__(config, store)
        self.begun, self.over = threading.Event(), threading.Event()

    def deliver(self, issue_id: int, **_: Any) -> Account:
        """Wait."""
        self.begun.set()
        assert self.over.wait(120)
        return Account(audience=0)


def test_a_letter_waits_for_no_issue(into_maildir: Config) -> None:
    """Nothing but the next tick lies between a sign-up and its confirmation, however long an issue takes."""
    with Stuck.open(into_maildir) as publisher:
        person = people(publisher.store)[0]
        release_issue(publisher.store, make_issue(publisher.store), now=NOW)
        stop = threading.Event()

        def watch(port: int) -> None:
            def wait() -> None:
                publisher.begun.wait(60)
                ask(publisher.store, person)
                deadline = time.monotonic() + 60
                while not mails(into_maildir) and time.monotonic() < deadline:
                    time.sleep(0.05)
                stop.set()
                publisher.over.set()

            threading.Thread(target=wait, daemon=True).start()

        daemon.run(publisher, web=False, stop=stop, tick=timedelta(seconds=0.2), ready=watch)
        (mail,) = mails(into_maildir)
        assert mail["Subject"] == "Please confirm your subscription to The Harbour Weekly"
        assert states(publisher.store) == {"accepted": 1}


def test_a_held_batch_is_an_error_of_its_stage_and_stops_no_other(
    into_maildir: Config, caplog: pytest.LogCaptureFixture
) -> None:
    with Publisher.open(into_maildir) as publisher:
        ask(publisher.store, people(publisher.store)[0])
        with publisher.store.write() as tx:
            batch = stored.release(tx, "weekly", frozen="", now=NOW)
            issues.set_state(tx, batch, IssueState.HELD, now=NOW, reason="the server said no")
        daemon.Daemon(publisher).letters()
    (said,) = [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]
    assert said.startswith("letters of weekly: weekly: the letters are held: the server said no")


def test_a_restored_store_sends_no_letter_by_itself(into_maildir: Config) -> None:
    with Publisher.open(into_maildir) as publisher:
        ask(publisher.store, people(publisher.store)[0])
        with publisher.store.write() as tx:
            meta.put(tx, "restored_from", "a backup")
        daemon.Daemon(publisher).letters()
        assert states(publisher.store) == {"queued": 1}
    assert mails(into_maildir) == []


def call(config: Config, *arguments: str) -> Any:
    """Call the program and return what it answers in JSON, or its lines."""
    said = CliRunner().invoke(program, ["-p", str(config.folder), *arguments], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return json.loads(said.output) if "--json" in arguments else said.output


def test_letters_are_listed_and_sent_by_hand(into_maildir: Config) -> None:
    add = ("subscribers", "add", "--consent", "asked me", "--welcome")
    call(into_maildir, *add, "ann@example.org", "--name", "Ann")
    (queued,) = call(into_maildir, "letters", "list", "--json")
    assert {name: queued[name] for name in ("kind", "address", "newsletter", "state")} == {
        "kind": "welcome",
        "address": "ann@example.org",
        "newsletter": "weekly",
        "state": "queued",
    }
    (sums,) = call(into_maildir, "letters", "send", "--json")
    assert (sums["newsletter"], sums["audience"], sums["accepted"]) == ("weekly", 1, 1)
    assert call(into_maildir, "letters", "send", "weekly") == "No letter waits.\n"
    assert "ann@example.org\taccepted" in call(into_maildir, "letters", "list", "weekly")
    (mail,) = mails(into_maildir)
    assert mail["To"] == "Ann <ann@example.org>"
    assert call(into_maildir, "issues", "list", "--json")["issues"] == []
    call(into_maildir, "subscribers", "add", "bob@example.org", "--consent", "asked me")
    assert len(call(into_maildir, "letters", "list", "--json")) == 1, "without the word nothing is sent"
