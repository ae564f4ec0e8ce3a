"""Messages that come back, made for tests: reports of several kinds, in our own words."""

from __future__ import annotations

SENDER = "weekly@harbour.example.org"


def dsn(
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 No such mailbox",
    *,
    recipient: str = "reader0@example.org",
    to: str = SENDER,
    action: str = "failed",
    envelope_id: str = "",
    message_id: str = "<1.abc@harbour.example.org>",
    said_to: str = "RCPT TO",
    serial: str = "1",
) -> bytes:
    """Make a DSN as RFC 3464 has it, in the manner of a common server."""
    fields = f"Original-Envelope-Id: {envelope_id}\n" if envelope_id else ""
    answer = f"\nDiagnostic-Code: {diagnostic}" if diagnostic else ""
    return f"""Return-Path: <>
From: MAILER-DAEMON@relay.example.net (Mail Delivery System)
To: {to}
Subject: Undelivered Mail Returned to Sender
Date: Mon, 23 Nov 2026 12:00:0{serial} +0000
Message-ID: <{serial}.report@relay.example.net>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="part"

--part
Content-Type: text/plain; charset=utf-8

The message could not be delivered.

<{recipient}>: the other host answered (in reply to {said_to} command)

--part
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example.net
{fields}
Final-Recipient: rfc822; {recipient}
Original-Recipient: rfc822;{recipient}
Action: {action}
Status: {status}{answer}

--part
Content-Type: text/rfc822-headers

Return-Path: <{SENDER}>
From: The Harbour Post <{SENDER}>
To: {recipient}
Subject: News
Message-ID: {message_id}

--part--
""".replace("\n", "\r\n").encode()


def complaint(*, to: str = "fbl@example.org", mail_from: str = SENDER, kind: str = "abuse") -> bytes:
    """Make a complaint as RFC 5965 has it."""
    return f"""From: <feedback@provider.example>
To: {to}
Subject: FW: News
Message-ID: <complaint@provider.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="part"

--part
Content-Type: text/plain

This is a report of abuse.

--part
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: Provider/1.0
Version: 1
Original-Mail-From: <{mail_from}>
Original-Rcpt-To: <reader0@example.org>

--part
Content-Type: message/rfc822

From: {SENDER}
To: reader0@example.org
Subject: News

Text.
--part--
""".encode()


def notice(
    text: str, *, sender: str = "MAILER-DAEMON@relay.example.net", to: str = SENDER, fields: str = ""
) -> bytes:
    """Make a notice in prose."""
    return f"From: {sender}\nTo: {to}\nSubject: failure notice\n{fields}\n{text}".encode()


def letter(*, to: str, subject: str = "unsubscribe", fields: str = "") -> bytes:
    """Make a message as a person, or their mail program, sends it."""
    return (
        f"From: reader0@example.org\nTo: {to}\nSubject: {subject}\nMessage-ID: <a@b>\n{fields}\n\n".encode()
    )
