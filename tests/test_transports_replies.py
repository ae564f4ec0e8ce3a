"""The table of replies: whom each blames, and that nothing a server says can be misread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.model import Outcome, Receipt, Stage
from newsletter.transports import replies
from newsletter.transports.replies import Blame, Reply, Schedule, compose_reply, judge, parse_line, verdict_of

STAGES = st.sampled_from([Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA])


@pytest.mark.parametrize(
    ("stage", "reply", "verdict"),
    [
        (Stage.MAIL, "250 2.1.0 ok", replies.TAKEN),
        (Stage.RCPT, "251 2.1.5 forwarded", replies.TAKEN),
        (Stage.DATA, "354 go on", replies.TAKEN),
        (Stage.END_OF_DATA, "250 2.0.0 queued", replies.TAKEN),
        (Stage.MAIL, "421 4.3.2 bye", replies.LOST_CONNECTION),
        (Stage.END_OF_DATA, "421 4.3.2 bye", replies.LOST_CONNECTION),
        (Stage.MAIL, "451 4.3.0 later", replies.BUSY_SERVER),
        (Stage.MAIL, "452 4.3.1 no room", replies.BUSY_SERVER),
        (Stage.MAIL, "550 5.7.1 sender rejected", replies.OUR_FAULT),
        (Stage.MAIL, "553 5.1.8 bad sender", replies.OUR_FAULT),
        (Stage.MAIL, "552 5.3.4 too big", replies.OUR_FAULT),
        (Stage.RCPT, "450 4.2.0 greylisted", replies.GREYLISTED),
        (Stage.RCPT, "451 4.7.1 try again in 5 minutes", replies.GREYLISTED),
        (Stage.RCPT, "450 try again", replies.GREYLISTED),
        (Stage.RCPT, "452 4.5.3 too many recipients", replies.LOST_CONNECTION),
        (Stage.RCPT, "452 4.2.2 full", replies.FULL),
        (Stage.RCPT, "552 5.2.2 full", replies.FULL),
        (Stage.RCPT, "552 mailbox is full", replies.FULL),
        (Stage.RCPT, "450 4.4.1 no route", replies.LATER),
        (Stage.RCPT, "451 4.3.2 shutting down", replies.BUSY_SERVER),
        (Stage.RCPT, "550 5.1.1 x", replies.BAD_ADDRESS),
        (Stage.RCPT, "553 5.1.3 x", replies.BAD_ADDRESS),
        (Stage.RCPT, "556 5.1.10 null MX", replies.BAD_ADDRESS),
        (Stage.RCPT, "550 No such user here", replies.BAD_ADDRESS),
        (Stage.RCPT, "550 5.2.1 disabled", replies.DISABLED),
        (Stage.RCPT, "550 5.4.1 access denied", replies.REJECTED),
        (Stage.RCPT, "550 no", replies.REJECTED),
        (Stage.RCPT, "550 5.7.1 not for you", replies.UNWANTED),
        (Stage.RCPT, "554 your host is listed on a blocklist", replies.UNWANTED),
        (Stage.RCPT, "503 5.5.1 order", replies.LOST_CONNECTION),
        (Stage.RCPT, "550 5.5.0 requested action not taken: mailbox unavailable", replies.REJECTED),
        (Stage.RCPT, "354 what", replies.LOST_CONNECTION),
        (Stage.DATA, "250 ok", replies.LOST_CONNECTION),
        (Stage.DATA, "554 5.5.1 no valid recipients", replies.LOST_CONNECTION),
        (Stage.DATA, "554 5.7.1 policy", replies.UNWANTED),
        (Stage.END_OF_DATA, "354 again", replies.DOUBT),
        (Stage.END_OF_DATA, "451 4.3.0 later", replies.LATER),
        (Stage.END_OF_DATA, "450 4.7.0 greylisted", replies.GREYLISTED),
        (Stage.END_OF_DATA, "550 5.1.1 unknown after all", replies.BAD_ADDRESS),
        (Stage.END_OF_DATA, "552 5.2.2 full", replies.FULL),
        (Stage.END_OF_DATA, "554 5.6.0 odd", replies.ODD_CONTENT),
        (Stage.END_OF_DATA, "552 too much", replies.ODD_CONTENT),
        (Stage.END_OF_DATA, "550 rejected: DMARC", replies.UNWANTED),
        (Stage.END_OF_DATA, "554 5.7.26 unauthenticated", replies.UNWANTED),
        (Stage.END_OF_DATA, "550 5.2.0 no", replies.REJECTED),
    ],
)
def test_the_table(stage: Stage, reply: str, verdict: replies.Verdict) -> None:
    code, _, text = reply.partition(" ")
    assert judge(stage, compose_reply(int(code), [text])) == verdict


@given(STAGES, st.integers(200, 599), st.text(max_size=40))
def test_every_reply_has_one_meaning(stage: Stage, code: int, text: str) -> None:
    reply = compose_reply(code, [text])
    verdict = judge(stage, reply)
    if verdict.outcome is Outcome.ACCEPTED:
        assert code // 100 == (3 if stage is Stage.DATA else 2)
    if verdict.outcome is Outcome.REFUSED:
        assert code // 100 == 5
        assert verdict.blame is Blame.RECIPIENT
    if verdict.outcome is Outcome.UNKNOWN:
        assert stage is Stage.END_OF_DATA
        assert code // 100 in (2, 3)
    assert (verdict.outcome is Outcome.DEFERRED) is (verdict.schedule is not Schedule.NONE)
    if code == 421:
        assert verdict.blame is Blame.CONNECTION
    if verdict.blame is not Blame.RECIPIENT:
        assert not verdict.suppress
        assert verdict.outcome in (Outcome.NOT_SENT, Outcome.UNKNOWN)


@given(STAGES, st.integers(200, 599), st.sampled_from(["", "5.1.1", "5.7.1", "4.2.2", "4.5.3", "5.6.0"]))
def test_a_receipt_tells_again_what_the_reply_told(stage: Stage, code: int, enhanced: str) -> None:
    reply = Reply(code, enhanced, "x")
    verdict = judge(stage, reply)
    receipt = Receipt(
        key=1,
        outcome=verdict.outcome,
        stage=stage,
        code=code,
        enhanced=enhanced,
        text="x",
        suppress=verdict.suppress,
    )
    again = verdict_of(receipt)
    assert (again.outcome, again.schedule, again.suppress) == (
        verdict.outcome,
        verdict.schedule,
        verdict.suppress,
    )
    if verdict.outcome is not Outcome.ACCEPTED:
        assert again.blame is verdict.blame


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_receipt_without_a_code_is_understood(outcome: Outcome) -> None:
    assert verdict_of(Receipt(key=1, outcome=outcome)).outcome is outcome


@given(st.binary(max_size=600))
def test_a_line_is_well_formed_or_nothing(line: bytes) -> None:
    parsed = parse_line(line)
    if parsed is not None:
        code, _, text = parsed
        assert line[:3] == b"%d" % code
        assert 200 <= code <= 599
        assert text.isprintable() or text == ""
        assert len(line) <= 512


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"250 ok\n",
        b"25 ok\r\n",
        b"250ok\r\n",
        b"650 ok\r\n",
        b"250 a\rb\r\n",
        b"250 " + b"x" * 520 + b"\r\n",
    ],
)
def test_malformed_lines(line: bytes) -> None:
    assert parse_line(line) is None


def test_several_lines_make_one_reply() -> None:
    assert compose_reply(550, ["5.1.1 no such user", "5.1.1 see the page"]) == Reply(
        550, "5.1.1", "no such user see the page"
    )
    assert compose_reply(250, ["5.1.1 odd"]) == Reply(250, "", "5.1.1 odd")
    assert str(Reply(550, "5.1.1", "no")) == "550 5.1.1 no"
