"""The SMTP transport against a server that misbehaves at one point: whom it blames, and what is certain."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faults.certificates import Authority
from faults.server import (
    DROP,
    MODES,
    OFFERS,
    SILENCE,
    TAKE_AND_DROP,
    TAKE_IN_SILENCE,
    USUAL,
    Act,
    FaultServer,
    say,
)
from newsletter.config import Config
from newsletter.errors import ConfigError, TransportError
from newsletter.model import Outcome, Receipt, Stage
from newsletter.transports import TransportContext
from newsletter.transports.smtp import SmtpTransport
from newsletter.transports.smtp.envelope import address_fault, content_fault, stuff
from talking import Ground, check_truth, message

PublicationFactory = Callable[..., Config]
Table = Mapping[tuple[Stage, int], Act]
A, D, R, U, N = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REFUSED, Outcome.UNKNOWN, Outcome.NOT_SENT


@pytest.fixture
def ground(publication: PublicationFactory, tmp_path: Path) -> Callable[..., Any]:
    """Make the ground for a table of faults."""

    @contextmanager
    def make(
        table: Table | None = None, *, smtp: dict[str, Any] | None = None, **more: Any
    ) -> Iterator[Ground]:
        delivery = more.pop("delivery", {})
        with FaultServer(tmp_path / "accepted", table or {}, **more) as server:
            settings = {"host": "127.0.0.1", "port": server.port, "security": "none", **(smtp or {})}
            yield Ground(server, publication({"smtp": settings, "delivery": delivery}))

    return make


def at(stage: Stage, act: Act) -> Table:
    """Let the act happen at the second message of a stage."""
    return {(stage, 2): act}


TWICE = Act(say=b"250 2.1.0 ok\r\n250 2.1.0 ok\r\n")
LONG = Act(say=b"250 " + b"x" * 600 + b"\r\n")
ENDLESS = Act(say=b"250-x\r\n" * 200 + b"250 x\r\n")
GARBAGE = Act(say=b"\xff\xfe hello\r\n")
BARE = Act(say=b"250 ok\n")

FAULTS: list[tuple[str, Stage, Act, Outcome, Stage, int]] = [
    # name, where, what, expected outcome and stage of the second of three messages, messages then accepted
    ("drop at MAIL", Stage.MAIL, DROP, N, Stage.MAIL, 2),
    ("drop at RCPT", Stage.RCPT, DROP, N, Stage.RCPT, 2),
    ("drop at DATA", Stage.DATA, DROP, N, Stage.DATA, 2),
    ("drop at the end of data", Stage.END_OF_DATA, DROP, U, Stage.END_OF_DATA, 2),
    ("take and drop", Stage.END_OF_DATA, TAKE_AND_DROP, U, Stage.END_OF_DATA, 3),
    ("take in silence", Stage.END_OF_DATA, TAKE_IN_SILENCE, U, Stage.END_OF_DATA, 3),
    ("silence at RCPT", Stage.RCPT, SILENCE, N, Stage.RCPT, 2),
    ("silence at DATA", Stage.DATA, SILENCE, N, Stage.DATA, 2),
    ("421 at MAIL", Stage.MAIL, say("421 4.3.2 closing", close=True), N, Stage.MAIL, 2),
    ("421 at RCPT", Stage.RCPT, say("421 4.3.2 closing", close=True), N, Stage.RCPT, 2),
    ("421 at DATA", Stage.DATA, say("421 4.3.2 closing", close=True), N, Stage.DATA, 2),
    (
        "421 at the end of data",
        Stage.END_OF_DATA,
        say("421 4.3.2 closing", close=True),
        N,
        Stage.END_OF_DATA,
        2,
    ),
    ("450 at RCPT", Stage.RCPT, say("450 4.2.0 greylisted"), D, Stage.RCPT, 2),
    ("452 at RCPT", Stage.RCPT, say("452 4.2.2 mailbox full"), D, Stage.RCPT, 2),
    ("too many recipients", Stage.RCPT, say("452 4.5.3 too many"), N, Stage.RCPT, 2),
    ("550 at RCPT", Stage.RCPT, say("550 5.1.1 no such user"), R, Stage.RCPT, 2),
    ("552 at RCPT", Stage.RCPT, say("552 5.2.2 over quota"), D, Stage.RCPT, 2),
    ("554 at RCPT", Stage.RCPT, say("554 5.7.1 relay denied"), N, Stage.RCPT, 2),
    ("451 at the end of data", Stage.END_OF_DATA, say("451 4.3.0 later"), D, Stage.END_OF_DATA, 2),
    ("552 at the end of data", Stage.END_OF_DATA, say("552 5.2.2 over quota"), D, Stage.END_OF_DATA, 2),
    ("554 at the end of data", Stage.END_OF_DATA, say("554 5.6.0 odd"), N, Stage.END_OF_DATA, 2),
    ("policy at the end of data", Stage.END_OF_DATA, say("550 5.7.1 spam"), N, Stage.END_OF_DATA, 2),
    ("550 at MAIL", Stage.MAIL, say("550 5.7.1 sender rejected"), N, Stage.MAIL, 2),
    ("451 at MAIL", Stage.MAIL, say("451 4.3.0 later"), N, Stage.MAIL, 2),
    ("extra reply at MAIL", Stage.MAIL, TWICE, N, Stage.MAIL, 2),
    ("extra reply at RCPT", Stage.RCPT, TWICE, N, Stage.RCPT, 2),
    ("extra reply at the end of data", Stage.END_OF_DATA, TWICE, U, Stage.END_OF_DATA, 2),
    ("a yes to DATA that is none", Stage.DATA, say("250 2.0.0 ok"), N, Stage.DATA, 2),
    ("354 at the end of data", Stage.END_OF_DATA, say("354 go on"), U, Stage.END_OF_DATA, 2),
    ("garbage at RCPT", Stage.RCPT, GARBAGE, N, Stage.RCPT, 2),
    ("garbage at the end of data", Stage.END_OF_DATA, GARBAGE, U, Stage.END_OF_DATA, 2),
    ("bare LF at RCPT", Stage.RCPT, BARE, N, Stage.RCPT, 2),
    ("an over-long reply", Stage.RCPT, LONG, N, Stage.RCPT, 2),
    ("an endless reply", Stage.RCPT, ENDLESS, N, Stage.RCPT, 2),
    ("two codes in one reply", Stage.RCPT, Act(say=b"250-a\r\n550 b\r\n"), N, Stage.RCPT, 2),
    ("503 at DATA", Stage.DATA, say("503 5.5.1 out of order"), N, Stage.DATA, 2),
    ("half a reply", Stage.END_OF_DATA, Act(say=b"250 2.0", close=True), U, Stage.END_OF_DATA, 2),
]


@pytest.mark.parametrize("mode", ["plain", "pipelined"])
@pytest.mark.parametrize(
    ("where", "act", "outcome", "stage", "accepted"),
    [row[1:] for row in FAULTS],
    ids=[row[0] for row in FAULTS],
)
def test_one_fault_costs_one_message_its_certain_outcome(
    ground: Callable[..., Any],
    where: Stage,
    act: Act,
    outcome: Outcome,
    stage: Stage,
    accepted: int,
    mode: str,
) -> None:
    shifted = mode == "pipelined" and act is TWICE  # noticed at the next reply of another kind
    with ground(at(where, act), offers=MODES[mode]) as here:
        receipts = here.send(message(1), message(2), message(3))
        log = here.server.accepted()
        assert receipts[1].server == f"127.0.0.1:{here.server.port}"
    assert [r.key for r in receipts] == [1, 2, 3]
    check_truth(receipts, log, 3)
    if shifted and where is Stage.END_OF_DATA:
        assert {r.outcome for r in receipts} & {U, N}
        return
    if mode == "plain" or where is not Stage.END_OF_DATA:
        third = receipts[2].outcome
        assert third is A or (mode == "pipelined" and third is N)  # taken already when the connection broke
        assert [r.outcome for r in receipts] == [A, outcome, third]
        assert sum(log.values()) == accepted - (third is N)
    assert receipts[1].outcome is outcome
    assert receipts[1].stage is stage or (shifted and receipts[1].stage is Stage.DATA)
    assert receipts[1].text
    assert receipts[1].suppress is (outcome is R)
    assert log[2] == (1 if act.take else 0)


def what_becomes_of_a_chunk(where: Stage, act: Act, outcome: Outcome) -> set[Outcome]:
    """Say what may be made of a fault when the message itself went along with its envelope."""
    if outcome is A or act is TWICE:
        return {A, U}
    if where is Stage.DATA:  # never asked for
        return {A}
    hangs_up = act.say.startswith(b"421")
    return {outcome, U} if hangs_up else {outcome} if act.say[:1] in b"45" and act.say else {U}


@pytest.mark.parametrize(
    ("where", "act", "outcome"),
    [row[1:4] for row in FAULTS],
    ids=[row[0] for row in FAULTS],
)
def test_one_fault_among_several_on_their_way(
    ground: Callable[..., Any], where: Stage, act: Act, outcome: Outcome
) -> None:
    with ground({(where, 4): act}, offers=MODES["chunked"]) as here:
        receipts = here.send(*map(message, range(1, 9)))
        check_truth(receipts, here.server.accepted(), 8)
        assert here.server.commands[-2].startswith(b"BDAT") or here.server.count(Stage.GREETING) > 1
    outcomes = {r.key: r.outcome for r in receipts}
    assert {outcomes[1], outcomes[2], outcomes[3]} == {A}
    assert outcomes[4] in what_becomes_of_a_chunk(where, act, outcome)
    assert [r.key for r in receipts] == list(range(1, 9))
    assert sum(one is not A for one in outcomes.values()) <= 4


FAREWELL = Act(say=b"250 2.0.0 queued\r\n421 4.3.2 enough for today\r\n", take=True, close=True)


def test_an_answer_with_a_farewell_behind_it_counts(ground: Callable[..., Any]) -> None:
    with ground(at(Stage.END_OF_DATA, FAREWELL), offers=("8BITMIME",)) as here:
        assert [r.outcome for r in here.send(message(1), message(2), message(3))] == [A, A, A]
        assert here.error is not None
        assert here.server.count(Stage.GREETING) == 2


def test_a_farewell_refuses_what_was_begun_behind_the_answer(ground: Callable[..., Any]) -> None:
    with ground(at(Stage.END_OF_DATA, FAREWELL), offers=MODES["pipelined"]) as here:
        first, second, third = here.send(message(1), message(2), message(3))
        assert (first.outcome, second.outcome) == (A, A)
        assert third.outcome in (A, N)  # it was begun behind the dot, or not yet
        assert sorted(here.server.accepted()) == ([1, 2, 3] if third.outcome is A else [1, 2])


def test_a_refusal_that_comes_before_the_dot_leaves_no_doubt(ground: Callable[..., Any]) -> None:
    early = Act(say=b"354 go on\r\n552 5.3.4 enough\r\n")
    with ground(at(Stage.DATA, early)) as here:
        first, second, third = here.send(message(1), message(2), message(3))
        assert (first.outcome, second.outcome) == (A, N)
        assert third.outcome in (A, N)  # it was taken already, or not yet
        assert sorted(here.server.accepted()) == ([1, 3] if third.outcome is A else [1])


@pytest.mark.parametrize("close", [False, True])
def test_what_is_said_during_the_body_keeps_the_dot_back(ground: Callable[..., Any], close: bool) -> None:
    head = b"Message-ID: <1.1@example.com>\r\n\r\n"
    big = message(1, content=head + b"a long line of a message bigger than any buffer\r\n" * 400_000)
    with ground({(Stage.BODY, 1): say("552 5.3.4 enough", close=close)}, offers=("8BITMIME",)) as here:
        here.timeouts = dict.fromkeys(Stage, 20.0)
        receipts = here.send(big, message(2))
        assert [(r.outcome, r.stage) for r in receipts] == [(N, Stage.BODY), (A, Stage.END_OF_DATA)]
        assert here.server.accepted() == {2: 1}


def test_a_slow_drip_is_not_an_answer(ground: Callable[..., Any]) -> None:
    with ground({(Stage.RCPT, 1): Act(say=USUAL[Stage.RCPT], drip=0.05)}) as here:
        receipts = here.send(message(1), message(2))
        assert [r.outcome for r in receipts] == [N, A]
        assert receipts[0].stage is Stage.RCPT
        assert "no answer within 0.3 s" in receipts[0].text


@pytest.mark.parametrize(
    ("stage", "act", "lasting", "words"),
    [
        (Stage.GREETING, DROP, False, "closed the connection"),
        (Stage.GREETING, SILENCE, False, "no answer within"),
        (Stage.GREETING, say("421 4.3.2 too busy", close=True), False, "421 4.3.2 too busy"),
        (Stage.GREETING, say("554 5.7.1 go away", close=True), True, "554 5.7.1 go away"),
        (Stage.GREETING, GARBAGE, False, "malformed"),
        (Stage.EHLO, say("550 5.7.1 not you"), True, "550"),
        (Stage.EHLO, say("421 4.3.2 busy", close=True), False, "421"),
        (Stage.EHLO, DROP, False, "closed the connection"),
    ],
)
def test_a_connection_that_cannot_be_made(
    ground: Callable[..., Any], stage: Stage, act: Act, lasting: bool, words: str
) -> None:
    with ground({(stage, 0): act}) as here:
        with pytest.raises(TransportError, match=words) as caught, here.transport():
            pass
        assert caught.value.lasting is lasting
        assert str(here.server.port) in caught.value.where


def test_nobody_listens(ground: Callable[..., Any]) -> None:
    with ground() as here:
        config = here.config
    with pytest.raises(TransportError, match="Connection refused") as caught:
        SmtpTransport(TransportContext(config=config)).__enter__()
    assert not caught.value.lasting


def test_no_server_is_configured(publication: PublicationFactory) -> None:
    config = publication({"smtp": {"host": ""}})
    with pytest.raises(ConfigError, match=r"smtp\.host"):
        SmtpTransport(TransportContext(config=config))


def test_what_arrives_is_what_was_given(ground: Callable[..., Any]) -> None:
    body = b"Message-ID: <1.1@example.com>\r\n\r\n.one dot\r\n..two\r\n.\r\nend.\r\n"
    with ground() as here:
        assert here.send(message(1, content=body))[0].outcome is A
        unstuffed = b"\r\n".join(line.removeprefix(b".") for line in here.server.contents[0].split(b"\r\n"))
        assert unstuffed == body
        assert here.server.commands[:4] == [
            b"EHLO [127.0.0.1]",
            b"MAIL FROM:<b+1@example.com> SIZE=%d" % len(body),
            b"RCPT TO:<reader1@example.org>",
            b"DATA",
        ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"A: b\r\n\r\nsmuggled\n.\nMAIL FROM:<x@example.com>\r\n", "bare CR or LF"),
        (b"A: b\r\n\r\nsmuggled\r.\rMAIL\r\n", "bare CR or LF"),
        (b"A: b\r\n\r\nno end", "does not end with CRLF"),
        (b"A: b\r\n\r\nnul\0\r\n", "NUL"),
        (b"A: b\r\n\r\n" + b"x" * 999 + b"\r\n", "more than 998"),
    ],
)
def test_what_would_change_on_the_wire_is_refused(
    ground: Callable[..., Any], content: bytes, words: str
) -> None:
    with ground() as here:
        receipts = here.send(message(1, content=content), message(2))
        assert [r.outcome for r in receipts] == [R, A]
        assert words in receipts[0].text
        assert list(here.server.accepted()) == [2]
    assert content_fault(b"A: b\r\n\r\n" + b"x" * 998 + b"\r\n") == ""


def test_what_the_server_cannot_carry_is_refused_with_the_reason(ground: Callable[..., Any]) -> None:
    with ground(offers=("SIZE 200",)) as here:
        foreign = replace(message(1), recipient="zoë@example.org")
        eight = replace(message(2), content="A: b\r\n\r\nzoë\r\n".encode())
        big = replace(message(3), content=b"A: b\r\n\r\n" + b"x\r\n" * 100)
        receipts = here.send(foreign, eight, big, message(4))
        assert [r.outcome for r in receipts] == [R, R, N, A]
        assert "SMTPUTF8" in receipts[0].text
        assert "8BITMIME" in receipts[1].text
        assert (receipts[2].code, receipts[2].enhanced, receipts[2].stage) == (552, "5.3.4", Stage.MAIL)
        assert not receipts[0].suppress
        assert here.server.count(Stage.MAIL) == 1


def test_smtputf8_is_asked_for_when_it_is_needed(ground: Callable[..., Any]) -> None:
    with ground(offers=OFFERS) as here:
        header = replace(message(1), content="To: zoë@example.org\r\n\r\nHello\r\n".encode())
        here.send(replace(header, recipient="zoë@example.org"), message(2))
        mails = [line for line in here.server.commands if line.startswith(b"MAIL")]
        assert mails[0].endswith(b" BODY=8BITMIME SMTPUTF8")
        assert b"SMTPUTF8" not in mails[1]


def test_a_bad_sender_is_our_fault(ground: Callable[..., Any]) -> None:
    with ground() as here:
        receipts = here.send(replace(message(1), sender="a b@example.com"), replace(message(2), sender=""))
        assert [(r.outcome, r.stage) for r in receipts] == [(N, Stage.MAIL), (A, Stage.END_OF_DATA)]
        assert b"MAIL FROM:<> SIZE=40" in here.server.commands


def test_a_connection_carries_only_so_many(ground: Callable[..., Any]) -> None:
    with ground(delivery={"per_connection": 2}) as here:
        with here.transport() as transport:
            receipts = list(transport.send(message(key) for key in range(1, 6)))
        assert {r.outcome for r in receipts} == {A}
        assert here.server.count(Stage.GREETING) == 3
        assert here.server.commands.count(b"QUIT") == 3


def test_a_server_that_left_in_the_meantime_is_noticed_before_a_message_is_taken(
    ground: Callable[..., Any],
) -> None:
    leave = Act(say=USUAL[Stage.END_OF_DATA], take=True, close=True)
    with ground({(Stage.END_OF_DATA, 1): leave}) as here:
        receipts = here.send(message(1), message(2))
        assert [r.outcome for r in receipts].count(U) == 0
        assert receipts[0].outcome is A
        assert max(here.server.accepted().values()) == 1


def test_abort_without_doubt_waits_for_the_answer(ground: Callable[..., Any]) -> None:
    answered, aborted = threading.Event(), threading.Event()

    def hold_back() -> None:
        answered.set()
        aborted.wait(5)

    slow = Act(say=USUAL[Stage.END_OF_DATA], take=True, call=hold_back)
    with ground({(Stage.END_OF_DATA, 1): slow}) as here:
        transport = here.transport(dict.fromkeys(Stage, 5.0))
        receipts: list[Receipt] = []

        def work() -> None:
            with transport:
                receipts.extend(transport.send([message(1), message(2)]))

        thread = threading.Thread(target=work)
        thread.start()
        assert answered.wait(5)
        transport.abort(doubt=False)
        aborted.set()
        thread.join(5)
        assert [r.outcome for r in receipts] == [A]


@pytest.mark.parametrize(("stage", "outcome"), [(Stage.RCPT, N), (Stage.END_OF_DATA, U)])
def test_abort_with_doubt_cuts_at_once(ground: Callable[..., Any], stage: Stage, outcome: Outcome) -> None:
    reached = threading.Event()
    with ground({(stage, 1): Act(silent=True, call=reached.set)}) as here:
        transport = here.transport(dict.fromkeys(Stage, 30.0))
        receipts: list[Receipt] = []

        def work() -> None:
            with transport:
                receipts.extend(transport.send([message(1), message(2)]))

        thread = threading.Thread(target=work)
        thread.start()
        assert reached.wait(5)
        transport.abort(doubt=True)
        thread.join(2)
        assert not thread.is_alive()
        assert [r.outcome for r in receipts] == [outcome]


# Credentials


def test_credentials_go_only_over_tls(publication: PublicationFactory) -> None:
    with pytest.raises(ConfigError, match="never sent without TLS"):
        publication({"smtp": {"host": "127.0.0.1", "security": "none", "username": "ada"}})


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Give an authority that nobody trusts unless told."""
    return Authority(tmp_path)


def starttls(authority: Authority, **more: Any) -> dict[str, Any]:
    """Configure required STARTTLS that trusts the authority."""
    return {"security": "starttls", "ca_file": str(authority.file), **more}


def test_starttls_with_credentials(ground: Callable[..., Any], authority: Authority) -> None:
    smtp = starttls(authority, username="ada", password="käse")
    offers = (*OFFERS, "STARTTLS", "AUTH PLAIN LOGIN")
    with ground(smtp=smtp, tls=authority.context(), offers=offers) as here:
        assert [r.outcome for r in here.send(message(1), message(2))] == [A, A]
        assert [line.split()[0] for line in here.server.commands[:4]] == [
            b"EHLO",
            b"STARTTLS",
            b"EHLO",
            b"AUTH",
        ]
        secret = here.server.commands[3].split()[2]
        assert base64.b64decode(secret) == "\0ada\0käse".encode()
        assert not any(b"AUTH" in line for line in here.server.commands[:2])


@pytest.mark.parametrize(
    ("days", "address", "trusted", "words"),
    [
        (-1, "127.0.0.1", True, "expired"),
        (1, "127.0.0.2", True, "IP address mismatch"),
        (1, "127.0.0.1", False, "unable to get local issuer"),
    ],
)
def test_a_bad_certificate_fails_closed(
    ground: Callable[..., Any], authority: Authority, days: int, address: str, trusted: bool, words: str
) -> None:
    smtp = starttls(authority, username="ada", password="secret")
    if not trusted:
        smtp["ca_file"] = None
        smtp = {key: value for key, value in smtp.items() if value is not None}
    context = authority.context(days=days, address=address)
    with ground(smtp=smtp, tls=context, offers=("STARTTLS", "AUTH PLAIN")) as here:
        with pytest.raises(TransportError, match=words) as caught, here.transport():
            pass
        assert caught.value.lasting
        assert not any(line.startswith((b"AUTH", b"MAIL")) for line in here.server.commands)


def test_starttls_that_is_not_offered_fails_closed(ground: Callable[..., Any], authority: Authority) -> None:
    with ground(smtp=starttls(authority, username="ada", password="x"), offers=("AUTH PLAIN",)) as here:
        with pytest.raises(TransportError, match="does not offer STARTTLS") as caught, here.transport():
            pass
        assert caught.value.lasting
        assert [line.split()[0] for line in here.server.commands] == [b"EHLO"]


def test_what_is_said_before_tls_does_not_survive_it(
    ground: Callable[..., Any], authority: Authority
) -> None:
    injected = Act(say=b"220 2.0.0 go ahead\r\n250 2.0.0 injected\r\n")
    with ground(
        {(Stage.STARTTLS, 0): injected},
        smtp=starttls(authority),
        tls=authority.context(),
        offers=("STARTTLS",),
    ) as here:
        with pytest.raises(TransportError, match="spoke unasked"), here.transport():
            pass


@pytest.mark.parametrize(
    ("reply", "lasting"), [("535 5.7.8 wrong password", True), ("454 4.7.0 try later", False)]
)
def test_a_refused_password_is_tried_once(
    ground: Callable[..., Any], authority: Authority, reply: str, lasting: bool
) -> None:
    smtp = starttls(authority, username="ada", password="secret")
    with ground(
        {(Stage.AUTH, 0): say(reply)},
        smtp=smtp,
        tls=authority.context(),
        offers=("STARTTLS", "AUTH CRAM-MD5 PLAIN LOGIN"),
    ) as here:
        with pytest.raises(TransportError, match=reply) as caught, here.transport():
            pass
        assert caught.value.lasting is lasting
        assert "secret" not in str(caught.value)
        assert here.server.count(Stage.AUTH) == 1


def test_tls_from_the_start_refuses_plain_text(ground: Callable[..., Any], authority: Authority) -> None:
    with ground(smtp={"security": "tls", "ca_file": str(authority.file)}) as here:
        with pytest.raises(TransportError), here.transport():
            pass
        assert not any(line.startswith((b"EHLO", b"MAIL")) for line in here.server.commands)


# Envelopes


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@example.org",
        "a@",
        "a b@example.org",
        "a@b c",
        "a@example.org\r\nRCPT TO:<x@example.org>",
        "a@example.org>",
        "<a@example.org>",
        "a\0@example.org",
        "a\x85@example.org",
        "a\u2028@example.org",
        "a\u202e@example.org",
        "a@exa_\u00a0mple.org",
        "a@-example.org",
        "x" * 65 + "@example.org",
        "a@" + "b" * 260,
        '"a b"@example.org',
        "a,b@example.org",
    ],
)
def test_an_address_that_no_envelope_carries(address: str) -> None:
    assert address_fault(address)


@pytest.mark.parametrize(
    "address",
    [
        "a@b",
        "o'brien+tag=x@example.org",
        "zoë@bücher.example",
        "a..b@example.org",
        "a@[127.0.0.1]",
        "a@x-y.test",
    ],
)
def test_an_address_that_goes_as_it_is(address: str) -> None:
    assert address_fault(address) == ""


def test_dots_are_doubled_at_line_starts_only() -> None:
    assert stuff(b".a\r\n.\r\nb.c\r\n..d\r\n") == b"..a\r\n..\r\nb.c\r\n...d\r\n"
