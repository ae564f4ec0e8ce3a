"""A publication that is served and that sends: what people are mailed, and where its links and buttons lead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from threading import Event
from urllib.parse import urljoin, urlsplit

from lxml import html

from conftest import PublicationFactory
from faults.server import FaultServer
from gathering import write
from newsletter import web
from newsletter.daemon import Daemon
from newsletter.publisher import Publisher
from newsletter.store import Store
from visiting import NEWSLETTERS, Answer, Clock, Visit

HOST = "harbour.example.org"


@dataclass
class World:
    """A visitor, the publisher, and the server that takes its mail."""

    visit: Visit
    publisher: Publisher
    server: FaultServer
    _read: int = 0

    def mails(self) -> list[EmailMessage]:
        """Return what has come since the last look."""
        new = self.server.contents[self._read :]
        self._read += len(new)
        return [parsed(one) for one in new]

    def letters(self) -> list[EmailMessage]:
        """Let the daemon send the letters that wait."""
        Daemon(self.publisher, self.visit.clock).letters()
        return self.mails()

    def letter(self) -> EmailMessage:
        """Send the one letter that waits."""
        (mail,) = self.letters()
        return mail

    def issue(self, title: str) -> list[EmailMessage]:
        """Write a post, and compose and deliver the issue that is due."""
        publisher, now = self.publisher, self.visit.clock.now
        write(publisher.config, f"{title.lower()}.md", title, f"{now:%Y-%m-%d} 00:00")
        publisher.gather(now=now)
        publisher.publish(now=now)
        composition = publisher.compose("weekly", publisher.due_slot("weekly", now=now), now=now)
        assert composition.issue is not None, composition.note
        publisher.release(composition.issue.id, now=now)
        publisher.deliver(composition.issue.id, stop=Event())
        return self.mails()

    def press(self, path: str, answer: Answer, ending: str = "", **fields: str) -> Answer:
        """Press the button of a page's one form whose address ends so."""
        forms = [one for one in forms_of(path, answer.page) if one[0].endswith(ending)]
        assert len(forms) == 1, (path, ending, forms)
        ((action, hidden),) = forms
        return self.visit.post(action, {**hidden, **fields})


@contextmanager
def mailing(factory: PublicationFactory, store: Store, folder: Path, **changes: object) -> Iterator[World]:
    """Serve a publication with two newsletters, and let it send to a server on loopback."""
    with FaultServer(folder / "taken") as server:
        smtp = {"port": server.port}
        config = factory({"newsletters": NEWSLETTERS, "smtp": smtp, "delivery": {"processes": 0}, **changes})
        clock = Clock()
        clock.now = datetime.now(UTC).replace(microsecond=0)  # issues are delivered by the clock on the wall
        with web.Server(web.create_app(store, config, clock), "127.0.0.1", 0) as served:
            yield World(Visit(config, store, served.port, clock), Publisher(config, store), server)


def parsed(content: bytes) -> EmailMessage:
    """Parse a message."""
    return message_from_bytes(content, policy=policy.default)


def to(mail: EmailMessage) -> str:
    """Return the one address that a mail's header names."""
    (one,) = mail["To"].addresses
    found: str = one.addr_spec
    return found


def links_of(mail: EmailMessage) -> list[str]:
    """Return the paths on our site that a mail leads to: in its headers, its text, its page."""
    found = re.findall(r"<(https://[^>]+)>", str(mail["List-Unsubscribe"] or ""))
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body is not None
        text = body.get_content()
        if kind == "plain":
            found += re.findall(r"https://[^\s<>()]+", text)
        else:
            found += [link for _, _, link, _ in html.fromstring(text).iterlinks()]
    ours = [urlsplit(one) for one in found if urlsplit(one).netloc == HOST]
    return list(dict.fromkeys(one.path for one in ours))


def link_of(mail: EmailMessage, purpose: str) -> str:
    """Return the one link of a purpose."""
    (found,) = {one for one in links_of(mail) if one.startswith(f"/{purpose}/")}
    return found


def one_click(mail: EmailMessage) -> str:
    """Return the path of the header that RFC 8058 is about."""
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    (found,) = re.findall(r"<(https://[^>]+)>", mail["List-Unsubscribe"])
    return str(urlsplit(found).path)


def forms_of(path: str, page: str) -> list[tuple[str, dict[str, str]]]:
    """Return where the forms of a page are posted to, each with its fields as they stand and its only button."""
    found = []
    for one in html.fromstring(page).forms:
        buttons = [(b.get("name", ""), b.get("value", "")) for b in one.xpath(".//button")]
        fields = [*one.form_values(), *(buttons if len(buttons) == 1 else [])]
        if one.method.lower() == "post":
            told = {name: value for name, value in fields if name and isinstance(value, str)}
            found.append((urljoin(path, one.get("action", "")), told))
    return found


def leads(path: str, page: str) -> list[str]:
    """Return every address of our own that a page names, its forms' as well."""
    if not page.lstrip().startswith("<"):
        return []
    found = [urljoin(path, link) for _, _, link, _ in html.fromstring(page).iterlinks()]
    inside = [urlsplit(one) for one in found if urlsplit(one).netloc in ("", HOST)]
    return [one.path for one in inside if one.scheme in ("", "https") and one.path.startswith("/")]
