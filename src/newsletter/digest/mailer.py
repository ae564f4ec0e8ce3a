"""Make the exact bytes of one message for one reader: slots filled, headers, MIME, signatures.

Same issue, settings and reader: same bytes. Whatever does not depend on the reader is made once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import cast

from newsletter import tokens
from newsletter.digest import dkim, headers, wording
from newsletter.digest.frozen import Frozen
from newsletter.digest.rendering import tongue_of
from newsletter.digest.slots import NONCHARACTERS
from newsletter.digest.templates import TemplateSet
from newsletter.digest.tracing import Values
from newsletter.digest.variants import Known, Variants
from newsletter.model import Issue, Message, Reader

_LONGEST_LOCAL = 64  # octets of a local part, RFC 5321 §4.5.3.1.1
_PART = "Content-Type: text/{}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"


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
    """Makes the messages of one issue; safe to call from several threads when it has a `guard`.

    A call raises InputError for a reader whose name or address cannot stand in a header: nothing was sent then.
    `alone` counts the messages whose templates made it necessary to render them for one reader alone.
    """

    def __init__(
        self,
        issue: Issue,
        frozen: Frozen,
        templates: TemplateSet,
        settings: MailSettings,
        guard: AbstractContextManager[object] | None = None,
        known: Known | None = None,
    ) -> None:
        """Prepare all that is the same for everybody; `templates` are those that are frozen with the issue.

        `known` is what another process had rendered of it.
        """
        self.issue = issue
        self.settings = settings
        self._frozen = frozen
        boundary = f"=_{hashlib.sha256(f'{issue.id} {issue.sha256}'.encode()).hexdigest()[:28]}"
        around = part_of(boundary, "plain"), part_of(boundary, "html"), f"--{boundary}--\r\n".encode()
        self._variants = Variants(frozen, templates, around, guard, known)
        self._domain = domain_of(settings.sender, "sender")
        self._bounce = domain_of(f"b@{settings.bounce_domain}", "bounce_domain")
        self._seed = seed(settings.list_id, issue.number, issue.sha256)
        self._same = list(_same_for_all(issue, settings, boundary))
        self._head = b"".join(self._same)
        self._seal = dkim.Seal(self._same, _OF_ONE, settings.signers, issue.dated)
        self._canonical = headers.are_canonical(self._same)

    @property
    def alone(self) -> int:
        """How many messages were rendered for one reader alone."""
        return self._variants.alone

    def __call__(self, reader: Reader) -> Message:
        """Return the message for one reader."""
        number = reader.subscriber_id
        recipient = headers.ascii_address(reader.address, f"subscriber {number}")
        token, page = self._unsubscribing(number)
        fields = (
            headers.mailbox("To", recipient, reader.name),
            headers.tokens("Message-ID", self._message_id(number)),
            headers.tokens("List-Unsubscribe", f"<{page}>", f"<{mailto(token, self._bounce)}>"),
        )
        body = self._variants.body(self._values(reader, page))
        sealed = self._seal.sign(fields, body)
        bounce = self._token(tokens.Purpose.BOUNCE, f"{self.issue.id}.{number}")
        return Message(
            key=number,
            sender=f"b+{bounce}@{self._bounce}",
            recipient=recipient,
            content=b"".join((sealed, self._head, *fields, b"\r\n", body)),
            canonical=self._canonical and headers.are_canonical(fields),
        )

    def fill(self, reader: Reader) -> tuple[str, str]:
        """Return the HTML and the text that one reader sees, read back from their message."""
        message = BytesParser(policy=policy.default).parsebytes(self(reader).content)
        text, page = (
            cast(EmailMessage, part).get_content().replace("\r\n", "\n") for part in message.iter_parts()
        )
        return page, text

    @property
    def known(self) -> Known | None:
        """What was rendered so far, for another process, if readers share it."""
        return self._variants.known

    def know(self, reader: Reader) -> None:
        """Render what a reader shares with others, if anything, unless it is known."""
        if self.known is not None:
            self._variants.segments(self._values(reader, self._unsubscribing(reader.subscriber_id)[1]))

    def _unsubscribing(self, number: int) -> tuple[str, str]:
        settings = self.settings
        token = self._token(tokens.Purpose.UNSUBSCRIBE, f"{number}.{settings.newsletter}")
        return token, f"{settings.web_url}u/{token}"

    def _token(self, purpose: tokens.Purpose, subject: str) -> str:
        return tokens.make(self.settings.keys, purpose, subject)

    def _message_id(self, number: int) -> str:
        return f"<{self.issue.number}.{unique_part(self._seed, number)}@{self._domain}>"

    def _values(self, reader: Reader, page: str) -> Values:
        settings, number = self.settings, reader.subscriber_id
        token = self._token(tokens.Purpose.PREFERENCES, f"{number}.{settings.newsletter}")
        since = ""
        if reader.since is not None:
            tongue = tongue_of(self._frozen.material.looks, reader.language, reader.timezone)
            since = wording.day(reader.since, tongue.timezone, tongue.language)
        return {
            "name": _line(reader.name, number),
            "address": _line(reader.address, number),
            "since": since,
            "language": _line(reader.language, number),
            "timezone": _line(reader.timezone, number),
            "unsubscribe": page,
            "preferences": f"{settings.web_url}p/{token}",
        }


def seed(list_id: str, number: int, sha256: str) -> tuple[str, str]:
    """Return what of a rendering goes into its messages' ids."""
    return f"{list_id} {number} ", f" {sha256}"


def unique_part(seed: tuple[str, str], subscriber_id: int) -> str:
    """Return what stands in a Message-ID between the issue's number and the domain."""
    return hashlib.sha256(f"{subscriber_id}".join(seed).encode()).hexdigest()[:24]


#: The fields that differ between readers, in their order.
_OF_ONE = ("To", "Message-ID", "List-Unsubscribe")


def part_of(boundary: str, kind: str) -> bytes:
    """Return what stands before the text part (`plain`) or the `html` part of a message."""
    return f"--{boundary}\r\n{_PART.format(kind)}".encode()


def mailto(token: str, domain: str) -> str:
    """Return the address to which a message unsubscribes, as a URI."""
    local = f"u+{token}"
    if len(local) <= _LONGEST_LOCAL:
        return f"mailto:{local}@{domain}?subject=unsubscribe"
    return f"mailto:u@{domain}?subject={token}"


def domain_of(address: str, where: str) -> str:
    """Return the domain of an address in IDNA form; raises InputError."""
    return headers.ascii_address(address, where).rpartition("@")[2]


def _line(value: str, number: int) -> str:
    """Return what a person told us as one line that can stand in a text."""
    if value.isascii() and value.isalnum():
        return value
    return " ".join(NONCHARACTERS.sub("", headers.checked(value, f"subscriber {number}")).split())


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
    yield b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    yield headers.tokens("Feedback-ID", feedback)
    yield b"Auto-Submitted: auto-generated\r\n"
    yield headers.tokens("Content-Language", settings.language)
    yield b"MIME-Version: 1.0\r\n"
    yield f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n'.encode()
