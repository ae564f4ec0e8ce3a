"""Reports are read whatever their bytes, and judged by code and words: hard, soft, ours, complaint or nothing."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest
from bench.bounces import agreement
from hypothesis import given
from hypothesis import strategies as st

from newsletter.model import BounceKind
from newsletter.reports import read
from newsletter.reports.verdicts import Stage, code_in, judge
from returned import complaint, dsn, letter, notice

HARD, SOFT, OURS, UNCLEAR = BounceKind.HARD, BounceKind.SOFT, BounceKind.OURS, BounceKind.UNCLASSIFIED


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        ("5.1.1", "550 5.1.1 No such mailbox", HARD),
        ("5.1.2", "550 5.1.2 Bad destination system", HARD),
        ("5.1.3", "553 5.1.3 Syntax", HARD),
        ("5.1.6", "551 5.1.6 Moved", HARD),
        ("5.1.10", "556 5.1.10 Null MX", HARD),
        ("5.2.1", "550 5.2.1 Mailbox disabled", HARD),
        ("5.0.0", "550 5.0.0 Recipient unknown here", HARD),
        ("5.4.4", "Host or domain name not found", HARD),
        ("5.2.2", "552 5.2.2 Over quota", SOFT),
        ("4.2.2", "452 4.2.2 Mailbox full", SOFT),
        ("5.0.0", "550 The mailbox of this user is full", SOFT),
        ("5.3.4", "552 5.3.4 Message too big", SOFT),
        ("4.4.7", "", SOFT),
        ("4.4.1", "connect to mx.example.org: Connection timed out", SOFT),
        ("5.7.1", "550 5.7.1 Rejected", OURS),
        ("4.7.0", "421 4.7.0 Too many complaints", OURS),
        ("5.1.1", "550 5.7.1 Your address is on a block list", OURS),
        ("5.0.0", "554 Mail rejected for policy reasons", OURS),
        ("5.0.0", "550 Blocked: looks like spam", OURS),
        ("5.1.8", "553 5.1.8 Sender's domain does not exist", OURS),
        ("5.6.0", "554 5.6.0 Odd content", OURS),
        ("5.0.0", "554 Transaction failed", UNCLEAR),
        ("5.5.0", "500 Bad command", UNCLEAR),
    ],
)
def test_code_and_words_decide(status: str, words: str, kind: BounceKind) -> None:
    report = read(dsn(status, f"smtp; {words}" if words else ""))
    assert report.verdict.kind is kind
    assert report.verdict.recipient == "reader0@example.org"


def test_the_code_in_the_servers_words_is_the_better_one() -> None:
    assert read(dsn("5.0.0", "smtp; 550 5.1.1 gone")).verdict.status == "5.1.1"
    assert code_in("host 192.0.2.5 said: 550-5.2.1 disabled") == "5.2.1"
    assert code_in("host 5.1.1.9 said nothing") == ""
    assert code_in("said: 452 try later") == "4.0.0"


def test_a_word_in_an_address_or_link_decides_nothing() -> None:
    said = "550 5.1.1 <spam@blocked.example>: gone, see https://policy.example/blocklist"
    assert judge("5.1.1", said)[0] is HARD


def test_unknown_after_data_and_without_a_code_is_perhaps_a_filter() -> None:
    assert judge("5.0.0", "550 User unknown", Stage.DATA)[0] is UNCLEAR
    assert judge("5.0.0", "550 User unknown", Stage.RCPT)[0] is HARD
    assert judge("5.0.0", "550 User unknown")[0] is UNCLEAR
    assert judge("5.1.1", "550 5.1.1 User unknown", Stage.DATA)[0] is HARD
    assert read(dsn("5.0.0", "smtp; 550 User unknown", said_to="end of DATA")).verdict.kind is UNCLEAR


def test_what_was_refused_before_the_recipient_was_named_is_ours() -> None:
    assert read(dsn("5.0.0", "smtp; 550 no", said_to="MAIL FROM")).verdict.kind is OURS


def test_a_contradiction_is_taken_for_the_milder() -> None:
    raw = dsn().replace(b"the other host answered", b"the mailbox is full")
    assert read(raw).verdict.kind is SOFT


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_what_did_not_fail_acts_on_nothing(action: str) -> None:
    assert read(dsn("4.4.1", action=action)).verdict.kind is UNCLEAR


def test_a_notice_of_delay_in_prose_acts_on_nothing() -> None:
    said = "<a@example.org>: 450 try later\nDelivery attempts will continue for 3 days.\n"
    assert read(notice(said)).verdict.kind is UNCLEAR


def test_of_several_recipients_the_worst_weighs() -> None:
    more = b"Final-Recipient: rfc822; two@example.org\r\nAction: failed\r\nStatus: 5.2.2\r\n\r\n"
    raw = dsn().replace(b"Final-Recipient", more + b"Final-Recipient", 1)
    assert [one.kind for one in read(raw).verdicts] == [SOFT, HARD]
    assert read(raw).verdict.kind is HARD


@pytest.mark.parametrize(
    ("text", "kind", "recipient"),
    [
        ("<a@example.org>:\nSorry, no mailbox here by that name. (#5.1.1)\n", HARD, "a@example.org"),
        ("<a@example.org>:\nRemote host said: 552 5.2.2 full\n", SOFT, "a@example.org"),
        (
            "failed:\n\n  a@example.org\n    after RCPT TO:<a@example.org>: 550 unknown user\n",
            HARD,
            "a@example.org",
        ),
        ("  a@example.org\n    after end of data: 550 unknown user\n", UNCLEAR, "a@example.org"),
        ("<a@example.org>: mail expired: too long in the queue for too long\n", SOFT, "a@example.org"),
        ("It was rejected as spam.\n", OURS, ""),
        ("Something happened.\n", UNCLEAR, ""),
    ],
)
def test_notices_in_prose_are_understood(text: str, kind: BounceKind, recipient: str) -> None:
    end = "--- Below this line is a copy of the message.\nMessage-ID: <1.a@b>\nSubject: spam, user unknown\n"
    report = read(notice(text + end))
    assert (report.verdict.kind, report.verdict.recipient) == (kind, recipient)
    assert report.message_id == "<1.a@b>"


def test_complaints_are_complaints_and_their_opposite_is_none() -> None:
    assert read(complaint()).verdict.kind is BounceKind.COMPLAINT
    assert read(complaint(kind="not-spam")).verdict.kind is UNCLEAR
    assert read(complaint(kind="auth-failure")).verdict.kind is OURS
    assert "<b+k.1.2@x>" in read(complaint(mail_from="b+k.1.2@x")).addresses


@pytest.mark.parametrize(
    "fields",
    ["Auto-Submitted: auto-replied", "X-Autoreply: yes", "Precedence: auto_reply", "X-Autorespond: ooo"],
)
def test_automatic_replies_are_nothing_more(fields: str) -> None:
    assert read(letter(to="b@x", subject="Re: News", fields=fields)).verdict.kind is BounceKind.AUTO_REPLY
    assert read(letter(to="b@x", subject="Out of office: News")).verdict.kind is BounceKind.AUTO_REPLY


def test_a_person_who_writes_of_bounces_is_no_report() -> None:
    raw = letter(to="b@x", subject="Re: hello") + b"He told me: 550 5.1.1 user unknown\n"
    assert read(raw).verdict.kind is UNCLEAR


def test_a_report_that_was_passed_on_or_is_in_base64_is_read() -> None:
    passed = notice("See below.", fields='MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"')
    head = passed.partition(b"\n\n")[0]
    raw = head + b"\n\n--x\nContent-Type: message/rfc822\n\n" + dsn().replace(b"\r\n", b"\n") + b"\n--x--\n"
    assert read(raw).verdict.kind is HARD
    fields = b"Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n"
    coded = (
        head
        + b"\n\n--x\nContent-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(fields)
        + b"\n--x--\n"
    )
    assert (read(coded).verdict.status, read(coded).verdict.recipient) == ("5.1.1", "a@b.example")


def test_a_report_keeps_its_digest_on_every_way() -> None:
    raw = dsn()
    traced = b"Received: from a by b\r\nDelivered-To: b@x\r\n" + raw
    assert read(raw).digest == read(traced).digest == read(raw.replace(b"\r\n", b"\n")).digest
    assert read(raw).digest != read(dsn(serial="2")).digest


PIECES = [
    dsn(),
    complaint(),
    letter(to="u@x"),
    b'Content-Type: multipart/report; report-type=delivery-status; boundary="part"\r\n',
    b"Content-Type: message/rfc822\n\n",
    b"Content-Type: message/delivery-status\n\n",
    b"Content-Type: text/plain; charset=punycode\nContent-Transfer-Encoding: base64\n\n=",
    b"Content-Transfer-Encoding: quoted-printable\n",
    b"Content-Transfer-Encoding: x-uuencode\n",
    b"Subject: =?utf-8?b?=FF?= =?x?q?=00?=\n",
    b"--part\r\n",
    b"--part--\r\n",
    b"Final-Recipient: rfc822; \xff\xfe@\x00\nStatus: 9.9.9\n",
    b"\r\n\r\n",
]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=40)), max_size=12).map(b"".join))
def test_no_bytes_crash(raw: bytes) -> None:
    report = read(raw)
    assert report.verdicts
    assert "\n" not in report.verdict.recipient + report.verdict.status + report.said


@given(st.data())
def test_a_damaged_report_never_crashes(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(PIECES[:3])))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=10))
        raw = raw or bytearray(b"x")
    assert read(bytes(raw)).verdicts


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: message/rfc822\n\n" * 5000,
        b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(3000)),
        b'From: MAILER-DAEMON\nContent-Type: multipart/mixed; boundary="a"\n\n' + b"--a\n\n" * 200_000,
        b"From: MAILER-DAEMON\n\n" + b"a" * 1_000_000,
        b"From: MAILER-DAEMON\n\n" + b"<a@b.example> " * 80_000,
        b"From: MAILER-DAEMON\n\n" + b"user " * 200_000,
        b"From: MAILER-DAEMON\nContent-Type: text/html\n\n" + b"<style" * 150_000,
        b"X: " + b"=?utf-8?q?a?= " * 70_000 + b"\n\n",
        b"Content-Type: message/delivery-status\n\n" + b"A: b\n\n" * 150_000,
    ],
    ids=range(9),
)
def test_work_is_bounded(raw: bytes) -> None:
    began = time.process_time()
    read(raw)
    assert time.process_time() - began < 10


def test_the_judgement_agrees_with_another_programs(shared_data: Path) -> None:
    folder = shared_data / "bounces"
    labels = json.loads((folder / "labels.json").read_text())
    found = agreement(folder)
    assert len(found) == len(labels)
    agreed = sum(one.ours == one.theirs for one in found)
    assert agreed >= 0.97 * len(found)
    mild = {
        "mailboxfull",
        "policyviolation",
        "blocked",
        "spamdetected",
        "authfailure",
        "badreputation",
        "norelaying",
    }
    assert not [one.file for one in found if one.ours and not one.theirs and mild & one.reasons]
