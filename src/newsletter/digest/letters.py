"""The exact bytes of a letter: a notice under headers of its own, signed.

Same batch, settings and letter: same bytes, so that what is sent again after a doubt is the same message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from newsletter import tokens
from newsletter.digest import dkim, headers
from newsletter.digest.encoding import quoted_printable
from newsletter.digest.mailer import MailSettings, domain_of, mailto, part_of
from newsletter.digest.material import Looks
from newsletter.digest.notices import Addressee, NoticeLinks, compose_notice
from newsletter.digest.rendering import tongue_of
from newsletter.digest.templates import TemplateSet
from newsletter.errors import InputError
from newsletter.model import Letter, Message, NoticeKind, Reader

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_LONGEST_NAME = 100
HASH_SHOWN = 16  # characters of an address's hash in the token that confirms it


@dataclass(frozen=True, slots=True, kw_only=True)
class Stationery:
    """What the letters of a batch are made of; the templates are sources by name."""

    title: str
    looks: Looks
    templates: Mapping[str, str]


def freeze_stationery(stationery: Stationery) -> str:
    """Write as JSON: the same in, the same out."""
    return _adapter().dump_json(stationery).decode()


def thaw_stationery(text: str) -> Stationery:
    """Return what was frozen."""
    return _adapter().validate_json(text)


@cache
def _adapter() -> TypeAdapter[Stationery]:
    from pydantic import TypeAdapter

    return TypeAdapter(Stationery)


class LetterMailer:
    """Makes the messages of one batch; safe to call from several threads when it has a `guard`.

    `batch` is the issue of the ledger, `letters` are by subscriber. A call raises InputError for an address that
    cannot stand in a header: nothing was sent then.
    """

    def __init__(
        self,
        batch: int,
        stationery: Stationery,
        templates: TemplateSet,
        settings: MailSettings,
        letters: Mapping[int, Letter],
        guard: AbstractContextManager[object] | None = None,
    ) -> None:
        self._batch = batch
        self._stationery = stationery
        self._templates = templates
        self._settings = settings
        self._letters = letters
        self._guard = guard or nullcontext()
        self._domain = domain_of(settings.sender, "sender")
        self._bounce = domain_of(f"b@{settings.bounce_domain}", "bounce_domain")

    def __call__(self, reader: Reader) -> Message:
        """Return the message of one person's letter."""
        number, letter = reader.subscriber_id, self._letters[reader.subscriber_id]
        recipient = headers.ascii_address(reader.address, f"subscriber {number}")
        tongue = tongue_of(self._stationery.looks, reader.language)
        looks = replace(self._stationery.looks, language=tongue.language)
        to = Addressee(address=reader.address, name=reader.name)
        links = self._links(letter)
        with self._guard:
            notice = compose_notice(
                letter.kind,
                to,
                links,
                title=self._stationery.title,
                looks=looks,
                templates=self._templates,
            )
        unique = self._unique(letter)
        boundary = f"=_{hashlib.sha256(f'{unique} boundary'.encode()).hexdigest()[:28]}"
        fields = [
            *self._fields(letter, notice.subject, looks.language, links),
            headers.mailbox("To", recipient, _name(reader.name)),
            headers.tokens("Message-ID", f"<l{letter.id}.{unique}@{self._domain}>"),
            f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n'.encode(),
        ]
        parts = (part_of(boundary, "plain"), notice.text), (part_of(boundary, "html"), notice.html)
        body = b"".join(head + quoted_printable(text) for head, text in parts)
        body += f"--{boundary}--\r\n".encode()
        seal = dkim.Seal(fields, (), self._settings.signers, letter.asked_at)
        bounce = self._token(tokens.Purpose.BOUNCE, f"{self._batch}.{number}")
        return Message(
            key=number,
            sender=f"b+{bounce}@{self._bounce}",
            recipient=recipient,
            content=b"".join((seal.sign((), body), *fields, b"\r\n", body)),
            canonical=headers.are_canonical(fields),
        )

    def _unique(self, letter: Letter) -> str:
        said = f"letter {self._settings.list_id} {letter.id} {letter.asked_at.isoformat()}"
        return hashlib.sha256(said.encode()).hexdigest()[:24]

    def _links(self, letter: Letter) -> NoticeLinks:
        """Return the links of a kind and no others: a token is made only where it is needed."""
        settings, number, kind = self._settings, letter.subscriber_id, letter.kind
        mine = f"{number}.{settings.newsletter}"
        new = f"{number}.address-{letter.address_hash[:HASH_SHOWN]}"
        confirms = {NoticeKind.CONFIRMATION: mine, NoticeKind.ADDRESS: new}.get(kind)
        leaves = self._url("u", tokens.Purpose.UNSUBSCRIBE, mine)
        chooses = kind in (NoticeKind.WELCOME, NoticeKind.LINK)
        return NoticeLinks(
            confirm=self._url("c", tokens.Purpose.CONFIRM, confirms) if confirms else "",
            preferences=self._url("p", tokens.Purpose.PREFERENCES, str(number)) if chooses else "",
            unsubscribe=leaves if kind is NoticeKind.WELCOME else "",
            resubscribe=leaves if kind is NoticeKind.GOODBYE else "",  # its page can undo
            archive=f"{settings.url}issues/{settings.newsletter}/",
        )

    def _url(self, page: str, purpose: tokens.Purpose, subject: str) -> str:
        return f"{self._settings.web_url}{page}/{self._token(purpose, subject)}"

    def _token(self, purpose: tokens.Purpose, subject: str) -> str:
        return tokens.make(self._settings.keys, purpose, subject)

    def _fields(self, letter: Letter, subject: str, language: str, links: NoticeLinks) -> Iterator[bytes]:
        settings = self._settings
        yield headers.mailbox(
            "From",
            headers.ascii_address(settings.sender, "sender"),
            settings.sender_name or self._stationery.title,
        )
        yield headers.mailbox("Reply-To", headers.ascii_address(settings.reply_to, "reply_to"))
        yield headers.text("Subject", subject)
        yield headers.date("Date", letter.asked_at)
        if letter.kind is NoticeKind.WELCOME:
            yield from self._list_fields(letter, links)
        yield headers.tokens(
            "Feedback-ID", f"{letter.kind}:{settings.newsletter}:letter:{settings.sender_id}"
        )
        yield b"Auto-Submitted: auto-generated\r\n"
        yield headers.tokens("Content-Language", language)
        yield b"MIME-Version: 1.0\r\n"

    def _list_fields(self, letter: Letter, links: NoticeLinks) -> Iterator[bytes]:
        """Give the fields of RFC 2369, 2919 and 8058: only who is subscribed gets mail of a list."""
        settings = self._settings
        contact = headers.ascii_address(settings.contact, "contact")
        subject = f"{letter.subscriber_id}.{settings.newsletter}"
        way = mailto(self._token(tokens.Purpose.UNSUBSCRIBE, subject), self._bounce)
        yield headers.tokens("List-Id", f"<{settings.list_id}>")
        yield headers.tokens("List-Archive", f"<{links.archive}>")
        yield headers.tokens("List-Help", f"<mailto:{contact}?subject=help>")
        yield headers.tokens("List-Owner", f"<mailto:{contact}>")
        yield headers.tokens("List-Unsubscribe", f"<{links.unsubscribe}>", f"<{way}>")
        yield b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


def _name(name: str) -> str:
    """Return a display name, nothing where it cannot well stand in a header: a letter goes without it."""
    try:
        return headers.checked(name, "name") if len(name) <= _LONGEST_NAME else ""
    except InputError:
        return ""
