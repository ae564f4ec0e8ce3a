"""Maildir: write each message into a folder that any mail program opens.

A message's name comes from its key and Message-ID, so that a resend replaces the first copy: no reader is doubled.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from newsletter.errors import TransportError
from newsletter.model import Message, Outcome, Receipt
from newsletter.transports import Capabilities, TransportContext


class MaildirTransport:
    """Writes into `[maildir] path`; each message is durable before it is said to be accepted."""

    capabilities = Capabilities(smtputf8=True, eight_bit=True, idempotent=True)

    def __init__(self, context: TransportContext) -> None:
        self.folder = context.config.path(context.config.maildir.path)

    def __enter__(self) -> Self:
        try:
            for name in ("tmp", "new", "cur"):
                (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as e:
            raise _failure(self.folder, e) from e
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
        """Write each message; a full disk or the like ends it, with that message not sent."""
        for message in messages:
            try:
                name = self._write(message)
            except OSError as e:
                failure = _failure(self.folder, e)
                yield Receipt(key=message.key, outcome=Outcome.NOT_SENT, server="maildir", text=failure.what)
                raise failure from e
            yield Receipt(key=message.key, outcome=Outcome.ACCEPTED, server="maildir", text=f"new/{name}")

    def _write(self, message: Message) -> str:
        """Write under tmp/ and rename into new/, unless the reader of the maildir has it already in cur/."""
        name = file_name(message)
        if any((self.folder / "cur").glob(f"{name}*")):
            return name
        head = f"Return-Path: <{message.sender}>\nDelivered-To: {message.recipient}\n".encode()
        temporary = self.folder / "tmp" / f"{name}.{os.getpid()}"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(head + message.content.replace(b"\r\n", b"\n"))
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self.folder / "new" / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(self.folder / "new")
        return name


def file_name(message: Message) -> str:
    """Name a message: its key, and a hash over Message-ID and recipient, which a resend has in common."""
    head = message.content.partition(b"\r\n\r\n")[0].split(b"\r\n")
    mark = next((line for line in head if line.lower().startswith(b"message-id:")), message.content)
    digest = hashlib.sha256(mark + b"\0" + message.recipient.encode()).hexdigest()[:24]
    return f"{message.key}.{digest}.newsletter"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _failure(folder: Path, error: OSError) -> TransportError:
    return TransportError(
        f"the maildir cannot be written: {error.strerror}",
        where=str(folder),
        remedy="Check the folder, its permissions and the room on the disk",
    )
