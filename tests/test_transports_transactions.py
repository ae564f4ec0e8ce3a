"""Several messages on their way at once: whatever the server says, and wherever it stops, receipts are true."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults.server import CHUNKED, MODES, OFFERS, PLAIN, USUAL, Act, FaultServer, Table, say
from newsletter.config import Config
from newsletter.model import Message, Outcome, Receipt, Stage
from newsletter.transports import Capabilities
from newsletter.transports.smtp.envelope import command, content_fault, mail_command, rcpt_command
from talking import Ground, check_truth, message

PublicationFactory = Callable[..., Config]
A, D, R, U, N = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REFUSED, Outcome.UNKNOWN, Outcome.NOT_SENT
POINTS = (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA)
COUNT = 7


@contextmanager
def grounded(
    publication: PublicationFactory, log: Path, table: Table | None = None, **more: Any
) -> Iterator[Ground]:
    """Start a server with this table of faults, and what talks to it."""
    log.unlink(missing_ok=True)
    with FaultServer(log, table or {}, **more) as server:
        smtp = {"host": "127.0.0.1", "port": server.port, "security": "none"}
        yield Ground(server, publication({"smtp": smtp}))


def send(publication: PublicationFactory, log: Path, table: Table, **more: Any) -> list[Receipt]:
    """Send a few messages over a server with these faults; check the receipts against its log."""
    with grounded(publication, log, table, **more) as here:
        receipts = here.send(*map(message, range(1, COUNT + 1)))
        check_truth(receipts, here.server.accepted(), COUNT)
    return receipts


# What goes over the wire


def test_an_envelope_follows_the_dot_without_an_answer_in_between(
    publication: PublicationFactory, tmp_path: Path
) -> None:
    asked = threading.Event()
    came: list[bool] = []

    def source() -> Iterator[Message]:
        yield message(1)
        yield message(2)
        asked.set()  # for the third, while the second one's dot is not answered
        yield message(3)

    held = Act(say=USUAL[Stage.END_OF_DATA], take=True, call=lambda: came.append(asked.wait(5)))
    with grounded(publication, tmp_path / "log", {(Stage.END_OF_DATA, 2): held}) as here:
        here.timeouts = dict.fromkeys(Stage, 10.0)
        with here.transport() as transport:
            assert [r.outcome for r in transport.send(source())] == [A, A, A]
    assert came == [True]


def test_chunks_follow_each_other_with_nothing_answered(
    publication: PublicationFactory, tmp_path: Path
) -> None:
    enough = threading.Event()
    came: list[bool] = []

    def source() -> Iterator[Message]:
        for key in range(1, 9):
            if key == 7:
                enough.set()  # 4 is not answered, and 5 and 6 are behind it
            yield message(key)

    held = Act(say=USUAL[Stage.END_OF_DATA], take=True, call=lambda: came.append(enough.wait(5)))
    with grounded(publication, tmp_path / "log", {(Stage.END_OF_DATA, 4): held}, offers=CHUNKED) as here:
        here.timeouts = dict.fromkeys(Stage, 10.0)
        with here.transport() as transport:
            assert transport.capabilities.window == 4
            assert [r.key for r in transport.send(source())] == list(range(1, 9))
        assert came == [True]
        verbs = [line.split()[0] for line in here.server.commands]
        assert verbs[:4] == [b"EHLO", b"MAIL", b"RCPT", b"DATA"]
        assert verbs.count(b"BDAT") == 7
        assert sorted(here.server.contents) == sorted(message(key).content for key in range(1, 9))


@pytest.mark.parametrize("offers", [("CHUNKING", "PIPELINING"), ("CHUNKING", "ENHANCEDSTATUSCODES")])
def test_no_chunks_where_replies_cannot_be_told_apart(
    publication: PublicationFactory, tmp_path: Path, offers: tuple[str, ...]
) -> None:
    with grounded(publication, tmp_path / "log", offers=offers) as here:
        assert {r.outcome for r in here.send(*map(message, range(1, 6)))} == {A}
        assert not any(line.startswith(b"BDAT") for line in here.server.commands)


def test_no_chunks_where_codes_do_not_differ(publication: PublicationFactory, tmp_path: Path) -> None:
    with grounded(publication, tmp_path / "log", {(Stage.RCPT, 0): say("250 2.0.0 ok")}, offers=CHUNKED) as h:
        assert {r.outcome for r in h.send(*map(message, range(1, 6)))} == {A}
        assert not any(line.startswith(b"BDAT") for line in h.server.commands)


@pytest.mark.parametrize("mode", MODES)
def test_a_big_message_among_small_ones(publication: PublicationFactory, tmp_path: Path, mode: str) -> None:
    head = b"Message-ID: <1.3@example.com>\r\n\r\n"
    big = message(3, content=head + b".a line of a message bigger than any buffer\r\n" * 200_000)
    with grounded(publication, tmp_path / "log", offers=MODES[mode]) as here:
        here.timeouts = dict.fromkeys(Stage, 20.0)
        receipts = here.send(message(1), message(2), big, *map(message, range(4, 7)))
        assert [r.outcome for r in receipts] == [A] * 6
        arrived = here.server.contents[2].replace(b"\r\n..", b"\r\n.")
        assert arrived == big.content


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lenient", [False, True])
def test_refused_recipients_among_others(
    publication: PublicationFactory, tmp_path: Path, mode: str, lenient: bool
) -> None:
    table = {
        (Stage.RCPT, 1): say("450 4.2.0 greylisted"),
        (Stage.RCPT, 4): say("550 5.1.1 no such user"),
        (Stage.RCPT, 5): say("452 4.5.3 too many"),
        (Stage.MAIL, 7): say("451 4.3.0 later"),
    }
    receipts = send(publication, tmp_path / "log", table, offers=MODES[mode], lenient=lenient)
    assert [r.outcome for r in receipts] == [D, A, A, R, N, A, N]
    assert receipts[3].suppress


def test_a_lone_dot_that_is_taken_ends_the_connection(
    publication: PublicationFactory, tmp_path: Path
) -> None:
    table = {(Stage.RCPT, 2): say("550 5.1.1 no such user"), (Stage.DATA, 2): say("250 2.0.0 done already")}
    with grounded(publication, tmp_path / "log", table, lenient=True) as here:
        receipts = here.send(*map(message, range(1, 5)))
        assert [r.outcome for r in receipts] == [A, R, N, A]  # the third was to go with the second
        assert here.server.count(Stage.GREETING) == 2


# Whatever the server does


@pytest.mark.parametrize("take", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_drop_at_each_octet_of_a_reply(
    publication: PublicationFactory, tmp_path: Path, mode: str, take: bool
) -> None:
    for stage in POINTS if not take else (Stage.END_OF_DATA,):
        for size in range(len(USUAL[stage]) + 1):
            act = Act(say=USUAL[stage][:size], take=take or size == len(USUAL[stage]), close=True)
            receipts = send(publication, tmp_path / "log", {(stage, 4): act}, offers=MODES[mode])
            outcomes = [r.outcome for r in receipts]
            assert outcomes[:3] == [A, A, A]
            assert sum(one is U for one in outcomes) <= {"plain": 1, "pipelined": 2, "chunked": 4}[mode]
            if stage is not Stage.END_OF_DATA and mode != "chunked":
                assert U not in outcomes


@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_says_421_and_leaves_puts_nothing_in_doubt(
    publication: PublicationFactory, tmp_path: Path, mode: str
) -> None:
    for stage in (Stage.MAIL, Stage.RCPT):
        act = say("421 4.3.2 enough for today", close=True)
        with grounded(publication, tmp_path / "log", {(stage, 4): act}, offers=MODES[mode]) as here:
            receipts = here.send(*map(message, range(1, COUNT + 1)))
            check_truth(receipts, here.server.accepted(), COUNT)
        assert receipts[3].outcome in (N, U)  # a reset may swallow the farewell
        if mode != "chunked":
            assert receipts[3].outcome is N


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stage", POINTS)
def test_a_slow_drip_is_cut(publication: PublicationFactory, tmp_path: Path, mode: str, stage: Stage) -> None:
    drip = Act(say=USUAL[stage], take=True, drip=0.05)
    receipts = send(publication, tmp_path / "log", {(stage, 4): drip}, offers=MODES[mode])
    assert [r.outcome for r in receipts[:3]] == [A, A, A]
    if mode != "chunked":
        assert receipts[3].outcome is (U if stage is Stage.END_OF_DATA else N)


def test_abort_without_doubt_waits_for_all_that_is_on_its_way(
    publication: PublicationFactory, tmp_path: Path
) -> None:
    reached, aborted = threading.Event(), threading.Event()

    def hold_back() -> None:
        reached.set()
        aborted.wait(5)

    act = Act(say=USUAL[Stage.END_OF_DATA], take=True, call=hold_back)
    with grounded(publication, tmp_path / "log", {(Stage.END_OF_DATA, 5): act}, offers=CHUNKED) as here:
        transport = here.transport(dict.fromkeys(Stage, 5.0))
        receipts: list[Receipt] = []

        def work() -> None:
            with transport:
                receipts.extend(transport.send(message(key) for key in range(1, 100)))

        thread = threading.Thread(target=work)
        thread.start()
        assert reached.wait(5)
        transport.abort(doubt=False)
        aborted.set()
        thread.join(5)
        assert not thread.is_alive()
        assert 5 <= len(receipts) <= 9
        assert {r.outcome for r in receipts} <= {A, N}
        check_truth(receipts, here.server.accepted(), len(receipts))


REPLIES = st.sampled_from(
    [
        b"250 2.0.0 ok\r\n",
        b"250 2.1.0 ok\r\n",
        b"250 2.1.5 ok\r\n",
        b"250 ok\r\n",
        b"354 go on\r\n",
        b"421 4.3.2 bye\r\n",
        b"450 4.2.0 later\r\n",
        b"451 4.3.0 later\r\n",
        b"503 5.5.1 out of order\r\n",
        b"550 5.1.1 no such user\r\n",
        b"554 5.6.0 odd\r\n",
        b"550 5.7.1 spam\r\n",
        b"250-a\r\n250 b\r\n",
        b"250-a\r\n550 b\r\n",
        b"\xff\xfe\r\n",
        b"25",
        b"",
    ]
)
ACTS = st.builds(Act, say=REPLIES, close=st.booleans())
TWO = st.builds(Act, say=st.builds(bytes.__add__, REPLIES, REPLIES))
ONCE = st.sampled_from(POINTS)
TABLES = st.one_of(
    st.dictionaries(st.tuples(ONCE, st.integers(1, COUNT)), ACTS, max_size=5),
    st.dictionaries(st.tuples(ONCE, st.integers(1, COUNT)), TWO, min_size=1, max_size=1),
)


def honest(stage: Stage, act: Act) -> Act:
    """Let the server keep a message exactly when the first thing that it says of it is yes."""
    taken = act.say.startswith((b"250 ", b"250-a\r\n250 "))
    return replace(act, take=taken) if stage is Stage.END_OF_DATA else act


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mode=st.sampled_from(sorted(MODES)), acts=TABLES)
def test_receipts_are_true_whatever_is_said(
    publication: PublicationFactory, tmp_path: Path, mode: str, acts: dict[tuple[Stage, int], Act]
) -> None:
    table = {point: honest(point[0], act) for point, act in acts.items()}
    with grounded(publication, tmp_path / "log", table, offers=MODES[mode]) as here:
        here.timeouts = dict.fromkeys(Stage, 0.1) | dict.fromkeys(
            (Stage.CONNECT, Stage.GREETING, Stage.EHLO), 10.0
        )
        receipts = here.send(*map(message, range(1, COUNT + 1)))
        check_truth(receipts, here.server.accepted(), COUNT)


# Commands


def test_dsn_is_asked_for_where_it_is_offered(publication: PublicationFactory, tmp_path: Path) -> None:
    with grounded(publication, tmp_path / "log", offers=(*OFFERS, "DSN")) as here:
        odd = replace(message(1), recipient="a+b=c@example.org")
        assert [r.outcome for r in here.send(odd, message(2))] == [A, A]
        mail, rcpt = here.server.commands[1:3]
        assert mail == b"MAIL FROM:<b+1@example.com> SIZE=40 RET=HDRS ENVID=b+2B1"
        assert rcpt == b"RCPT TO:<a+b=c@example.org> NOTIFY=FAILURE ORCPT=rfc822;a+2Bb+3Dc@example.org"


def test_a_foreign_address_in_dsn_is_printable_ascii() -> None:
    offered = Capabilities(smtputf8=True, eight_bit=True, dsn=True)
    line = rcpt_command(replace(message(1), recipient="zoë+a@bücher.example"), offered)
    assert line.endswith(b"ORCPT=utf-8;zo\\x{EB}\\x{2B}a@b\\x{FC}cher.example\r\n")
    empty = mail_command(replace(message(7), sender=""), offered, sized=False)
    assert empty == b"MAIL FROM:<> RET=HDRS ENVID=7\r\n"


@given(st.text(max_size=20), st.booleans())
def test_a_command_is_one_printable_line_or_none(text: str, utf8: bool) -> None:
    try:
        line = command(text, utf8=utf8)
    except ValueError:
        return
    assert line.endswith(b"\r\n")
    assert not any(octet < 32 or octet == 127 for octet in line[:-2])
    assert utf8 or line.isascii()


@given(st.lists(st.integers(0, 1010), min_size=1, max_size=8))
def test_the_longest_line_is_found_wherever_it_stands(lengths: list[int]) -> None:
    content = b"".join(b"x" * length + b"\r\n" for length in lengths)
    assert bool(content_fault(content)) is (max(lengths) > 998)


def test_offers_name_three_ways() -> None:
    assert set(MODES.values()) == {PLAIN, OFFERS, CHUNKED}
