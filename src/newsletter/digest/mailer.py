"""Make the exact bytes of one message for one reader: slots filled, headers, MIME, signatures.

Same issue, settings and reader: same bytes. Whatever does not depend on the reader is encoded once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from newsletter import tokens
from newsletter.digest import dkim, headers, slots, wording
from newsletter.digest.encoding import quoted_printable
from newsletter.model import Issue, Message, Reader

_LONGEST_LOCAL = 64  # octets of a local part, RFC 5321 §4.5.3.1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """What messages of a newsletter need beside the issue.

    `url` and `web_url` end in a slash. `list_id` never changes once messages are out. `keys` make the tokens.
    """

    newsletter: str
    title: str
    sender: str
    sender_name: str
    reply_to: str
    contact: str
    url: str
    web_url: str
    list_id: str
    bounce_domain: str
    keys: tokens.Keys = field(repr=False)
    sender_id: str = "newsletter"
    language: str = "en"
    timezone: str = "UTC"
    signers: Sequence[dkim.Signer] = field(default=(), repr=False)


class Mailer:
    """Makes the messages of one issue; safe to call from several threads.

    A call raises InputError for a reader whose name or address cannot stand in a header: nothing was sent then.
    """

    def __init__(self, issue: Issue, settings: MailSettings) -> None:
        self.issue = issue
        self.settings = settings
        self._html = _Part(issue.html, slots.for_html)
        self._text = _Part(issue.text, slots.for_text)
        self._domain = headers.ascii_address(settings.sender, "sender").rpartition("@")[2]
        self._bounce = headers.ascii_address(f"b@{settings.bounce_domain}", "bounce_domain").rpartition("@")[
            2
        ]
        self._boundary = f"=_{hashlib.sha256(f'{issue.id} {issue.sha256}'.encode()).hexdigest()[:28]}"
        self._same = list(_same_for_all(issue, settings, self._boundary))

    def __call__(self, reader: Reader) -> Message:
        """Return the message for one reader."""
        settings, issue = self.settings, self.issue
        recipient = headers.ascii_address(reader.address, f"subscriber {reader.subscriber_id}")
        token = self._token(tokens.Purpose.UNSUBSCRIBE, f"{reader.subscriber_id}.{settings.newsletter}")
        page = f"{settings.web_url}u/{token}"
        fields = [
            *self._same,
            headers.mailbox("To", recipient, reader.name),
            headers.tokens("Message-ID", self._message_id(reader)),
            headers.tokens("List-Unsubscribe", f"<{page}>", f"<{self._mailto(token)}>"),
            b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        ]
        body = self._body(self._values(reader, page))
        signatures = dkim.sign(fields, body, self.settings.signers, issue.dated)
        bounce = self._token(tokens.Purpose.BOUNCE, f"{issue.id}.{reader.subscriber_id}")
        return Message(
            key=reader.subscriber_id,
            sender=f"b+{bounce}@{self._bounce}",
            recipient=recipient,
            content=signatures + b"".join(fields) + b"\r\n" + body,
        )

    def fill(self, reader: Reader) -> tuple[str, str]:
        """Return the HTML and the text that one reader sees."""
        token = self._token(tokens.Purpose.UNSUBSCRIBE, f"{reader.subscriber_id}.{self.settings.newsletter}")
        values = self._values(reader, f"{self.settings.web_url}u/{token}")
        return (
            slots.fill(self.issue.html, values, slots.for_html),
            slots.fill(self.issue.text, values, slots.for_text),
        )

    def _token(self, purpose: tokens.Purpose, subject: str) -> str:
        return tokens.make(self.settings.keys, purpose, subject)

    def _mailto(self, token: str) -> str:
        local = f"u+{token}"
        if len(local) <= _LONGEST_LOCAL:
            return f"mailto:{local}@{self._bounce}?subject=unsubscribe"
        return f"mailto:u@{self._bounce}?subject={token}"

    def _message_id(self, reader: Reader) -> str:
        seed = f"{self.settings.list_id} {self.issue.number} {reader.subscriber_id} {self.issue.sha256}"
        unique = hashlib.sha256(seed.encode()).hexdigest()[:24]
        return f"<{self.issue.number}.{unique}@{self._domain}>"

    def _values(self, reader: Reader, page: str) -> dict[str, str]:
        settings = self.settings
        token = self._token(tokens.Purpose.PREFERENCES, f"{reader.subscriber_id}.{settings.newsletter}")
        since = ""
        if reader.since is not None:
            day = wording.day(reader.since, settings.timezone, settings.language)
            since = wording.wording(settings.language).since.format(date=day)
        return {
            "unsubscribe": page,
            "preferences": f"{settings.web_url}p/{token}",
            "address": headers.checked(reader.address, f"subscriber {reader.subscriber_id}"),
            "since": since,
        }

    def _body(self, values: Mapping[str, str]) -> bytes:
        start = f"--{self._boundary}\r\n".encode()
        return b"".join(
            (
                start,
                _part_head("plain"),
                self._text.encode(values),
                start,
                _part_head("html"),
                self._html.encode(values),
                f"--{self._boundary}--\r\n".encode(),
            )
        )


class _Part:
    """A compiled body: lines without a slot encoded once, the others for each reader."""

    def __init__(self, compiled: str, escape: Callable[[str], str]) -> None:
        self._escape = escape
        self._runs: list[bytes | str] = []
        still: list[str] = []
        for line in compiled.removesuffix("\n").split("\n"):
            if slots.OPEN in line:
                self._keep(still)
                self._runs.append(line)
                still = []
            else:
                still.append(line)
        self._keep(still)

    def _keep(self, lines: list[str]) -> None:
        if lines:
            self._runs.append(quoted_printable("\n".join(lines) + "\n"))

    def encode(self, values: Mapping[str, str]) -> bytes:
        """Return the part for one reader, quoted-printable."""
        return b"".join(
            run if isinstance(run, bytes) else quoted_printable(slots.fill(run, values, self._escape) + "\n")
            for run in self._runs
        )


def _part_head(kind: str) -> bytes:
    return (
        f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    ).encode()


def _same_for_all(issue: Issue, settings: MailSettings, boundary: str) -> Iterator[bytes]:
    sender = headers.ascii_address(settings.sender, "sender")
    contact = headers.ascii_address(settings.contact, "contact")
    feedback = f"{issue.number}:{settings.newsletter}:digest:{settings.sender_id}"
    yield headers.mailbox("From", sender, settings.sender_name or settings.title)
    yield headers.mailbox("Reply-To", headers.ascii_address(settings.reply_to, "reply_to"))
    yield headers.text("Subject", issue.subject)
    yield headers.date("Date", issue.dated)
    yield headers.tokens("List-Id", f"<{settings.list_id}>")
    yield headers.tokens("List-Archive", f"<{settings.url}issues/{settings.newsletter}/>")
    yield headers.tokens("List-Help", f"<mailto:{contact}?subject=help>")
    yield headers.tokens("List-Owner", f"<mailto:{contact}>")
    yield headers.tokens("Feedback-ID", feedback)
    yield b"Auto-Submitted: auto-generated\r\n"
    yield headers.tokens("Content-Language", settings.language)
    yield b"MIME-Version: 1.0\r\n"
    yield f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n'.encode()


def archive_html(issue: Issue, *, title: str, publication: str, url: str, language: str = "en") -> str:
    """Return an issue's page for the web archive: nobody is spoken to, and no link is anybody's own."""
    words = wording.wording(language)
    said = slots.for_html(words.archived.format(number=issue.number, title=title))
    home = slots.for_html(words.home.format(publication=publication))
    link = f'<a class="foot-link" href="{slots.for_html(url)}">{home}</a>'
    return slots.impersonal(issue.html, f'<p class="foot" style="margin:0 0 10px 0">{said} {link}</p>')
