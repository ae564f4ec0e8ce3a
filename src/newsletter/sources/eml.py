"""E-mails as a source: a file or a folder of `.eml` files (RFC 5322), each a post.

The subject is the title, From the author, Date the date. Of a message in several forms the HTML is taken, else the
plain text; pictures in the mail that its text shows are kept. Other attachments are named as dropped.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from dataclasses import replace
from email import policy
from email.errors import MessageError
from email.message import EmailMessage, Message
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from newsletter import pictures
from newsletter.content import clean_line
from newsletter.errors import InputError, SourceError
from newsletter.model import Author, Image, Post, Rejected
from newsletter.sources import SourceContext, SourceState
from newsletter.sources.entries import Entry, make_author, to_post

_LIMIT = 30 * 1024 * 1024  # bytes of one message
_MOST_PARTS = 500
_DEEPEST = 50  # message parts within one another
_CID = re.compile(r"(\bsrc\s*=\s*)(\"|')cid:([^\"'<>]{1,500})\2", re.IGNORECASE)
_LOST = re.compile(r"<img\b[^<>]{0,2000}\bsrc\s*=\s*[\"']cid:[^<>]{0,2500}>", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,300}@[^<>\s]{1,300})>")


class EmlSource:
    """Reads one file, or every `.eml` file in a folder and those below it."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._path = context.path()

    def posts(self, state: SourceState) -> Iterator[Post | Rejected]:
        """Yield the messages that are new or have changed."""
        former = dict(state.memory.get("files", {}))
        again = state.again - set(state.memory.get("rejected", ()))
        files: dict[str, list[Any]] = {}
        rejected = []
        for path in self._files():
            name = self._name(path)
            stamp, known = self._stamp(path), former.get(name)
            if known and known[:2] == stamp and known[2] not in again:
                files[name] = known
                state.unchanged.add(known[2])
                rejected += [known[2]] if known[2] in state.memory.get("rejected", ()) else []
                continue
            one = self._read(path, name)
            files[name] = [*stamp, one.source_key]
            if isinstance(one, Rejected):
                rejected.append(one.source_key)
            yield one
        if not files:
            state.notes.append(f"{self._context.source.path} holds no .eml file")
        state.complete = True
        state.memory = {"files": files, "rejected": rejected}

    def _files(self) -> list[Path]:
        try:
            if not self._path.is_dir():
                with self._path.open("rb"):
                    return [self._path]
            list(self._path.iterdir())  # says what is wrong with it; walking on would not
        except OSError as e:
            raise SourceError(
                f"it cannot be read: {e.strerror}",
                where=str(self._path),
                remedy="Check the path and its permissions",
            ) from e
        found = (one for one in self._path.rglob("*") if one.suffix.lower() == ".eml")
        return sorted(
            one
            for one in found
            if one.is_file()
            and not any(part.startswith(".") for part in one.relative_to(self._path).parts)
            and one.resolve().is_relative_to(self._path)
        )

    def _name(self, path: Path) -> str:
        return path.name if path == self._path else path.relative_to(self._path).as_posix()

    def _stamp(self, path: Path) -> list[int]:
        try:
            status = path.stat()
        except OSError:
            return [0, 0]  # said when it is read
        return [status.st_mtime_ns, status.st_size]

    def _read(self, path: Path, name: str) -> Post | Rejected:
        key = name
        message: EmailMessage | None = None
        try:
            message = _parse(path)
            found = _MESSAGE_ID.search(_header(message, "Message-ID"))
            key = f"mid:{quote(found[1], safe='@')}" if found else name  # RFC 2392
            return self._post(message, key, name)
        except InputError as e:
            return Rejected(
                source=self._context.source.name,
                source_key=key,
                where=f"{self._context.source.path}: {name}",
                reason=e.what,
                remedy=e.remedy,
                excerpt=clean_line(_header(message, "Subject"))[:200] if message else "",
            )

    def _post(self, message: EmailMessage, key: str, name: str) -> Post:
        parts = list(_leaves(message))
        html, text = _body(parts, "text/html"), _body(parts, "text/plain")
        if not html and not text:
            raise InputError("it has no text", remedy="Save the message with its text, or remove the file")
        kept, dropped = self._pictures(parts, html)
        author = _author(message)
        post = to_post(
            Entry(
                key=key,
                where=name,
                id=key if key.startswith("mid:") else "",
                title=clean_line(_header(message, "Subject")),
                published=_date(message),
                html=_LOST.sub("", _CID.sub(lambda one: _shown(one, kept), html)),
                text="" if html else text,
                authors=(author,) if author else (),
                dropped=tuple(dropped),
            ),
            self._context,
        )
        by_src = {one.src: one for one in kept.values()}
        images = tuple(_described(one, by_src.get(one.src)) for one in post.images)
        return replace(post, images=images)

    def _pictures(self, parts: list[Message], html: str) -> tuple[dict[str, Image], list[str]]:
        """Keep the pictures that the text shows, by their Content-ID; say what else is left out."""
        wanted = {unquote(one[3]) for one in _CID.finditer(html)}
        kept: dict[str, Image] = {}
        dropped = []
        for part in parts:
            cid = _header(part, "Content-ID").strip().strip("<>")
            if cid in wanted and cid not in kept:
                try:
                    image = pictures.keep(_bytes(part), self._context.media)
                    url = f"{self._context.config.publication.url}media/{image.large}"
                    kept[cid] = replace(image, src=url)
                except InputError as e:
                    dropped.append(f"a picture was left out: {e.what}")
            elif part.get_content_type() not in ("text/html", "text/plain") or part.get_filename():
                named = clean_line(str(part.get_filename() or part.get_content_type()))[:100]
                dropped.append(f"the attachment {named} was left out")
        dropped += [f"the picture cid:{one[:80]} is not shown" for one in sorted(wanted - kept.keys())]
        return kept, dropped


def _parse(path: Path) -> EmailMessage:
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as e:
        raise InputError(f"it cannot be read: {e.strerror}", remedy="Check its permissions") from e
    if len(data) > _LIMIT:
        raise InputError(f"it has more than {_LIMIT // 1024**2} MiB", remedy="Save it without attachments")
    try:
        message = email.message_from_bytes(data, policy=policy.default)
    except (MessageError, ValueError, LookupError, RecursionError) as e:
        raise InputError(f"it is not an e-mail: {e}", remedy="Save it anew as .eml") from e
    if not isinstance(message, EmailMessage) or not (
        message.keys() and ("From" in message or "Date" in message)
    ):
        raise InputError("it is not an e-mail: it has no From and no Date", remedy="Save it anew as .eml")
    return message


def _leaves(message: Message, depth: int = 0) -> Iterator[Message]:
    """Yield the parts that hold something, but not those of messages that are attached."""
    if depth > _DEEPEST:
        raise InputError(f"its parts are nested more than {_DEEPEST} deep", remedy="Save it anew")
    if not message.is_multipart() or message.get_content_maintype() == "message":
        yield message
        return
    inner = message.get_payload()
    if len(inner) > _MOST_PARTS:
        raise InputError(f"it has more than {_MOST_PARTS} parts", remedy="Save it without attachments")
    for part in inner:
        if isinstance(part, Message):
            yield from _leaves(part, depth + 1)


def _body(parts: list[Message], kind: str) -> str:
    for part in parts:
        if part.get_content_type() == kind and part.get_content_disposition() != "attachment":
            charset = part.get_content_charset("utf-8")
            try:
                return _bytes(part).decode(charset, "replace")
            except LookupError:
                return _bytes(part).decode("utf-8", "replace")
    return ""


def _bytes(part: Message) -> bytes:
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _header(message: Message, name: str) -> str:
    """Return a header decoded; one that cannot be is as good as none."""
    try:
        return str(message.get(name, ""))
    except (MessageError, ValueError, LookupError, IndexError, AttributeError, TypeError):
        return ""  # the standard library stumbles over some malformed headers


def _author(message: Message) -> Author | None:
    """Return who is named first in From."""
    try:
        first = next(iter(getattr(message["From"], "addresses", ())), None)
    except (MessageError, ValueError, LookupError, AttributeError, TypeError):
        first = None
    if first is None:
        return make_author(_header(message, "From"))
    return make_author(first.display_name or first.addr_spec, email=first.addr_spec)


def _date(message: Message) -> str:
    """Return the date as it is written: the standard library would read a zone it does not know as UTC."""
    raw = [value for name, value in message.raw_items() if name.lower() == "date"]
    return clean_line(str(raw[0])) if raw else ""


def _shown(match: re.Match[str], kept: dict[str, Image]) -> str:
    image = kept.get(unquote(match[3]))
    if image is None:
        return match[0]
    return f'{match[1]}"{image.src}" width="{image.width}" height="{image.height}"'


def _described(image: Image, kept: Image | None) -> Image:
    if kept is None:
        return image
    return replace(kept, alt=image.alt, caption=image.caption, credit=image.credit, lead=image.lead)
