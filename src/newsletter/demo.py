"""The whole way on one machine: the publication's own posts, a mailbox server of ours on loopback.

The mailbox speaks real SMTP (aiosmtpd) and keeps what it accepts in a Maildir. Everything the demo writes lies
in `var/demo/`, so that it never touches the publication's own store, feeds or subscribers.
"""

from __future__ import annotations

import asyncio
import mailbox
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from newsletter.config import Config, SmtpConfig
from newsletter.model import Account, GatherReport
from newsletter.publisher import Publisher


class _Keep:
    """Keeps each accepted message in a Maildir, with its envelope in two headers as a delivery agent writes."""

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.box = mailbox.Maildir(str(folder), create=True)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 — aiosmtpd's name
        """Store one message durably, then answer."""
        trace = f"Return-Path: <{envelope.mail_from}>\r\nDelivered-To: {envelope.rcpt_tos[0]}\r\n"
        self.box.add(trace.encode() + envelope.original_content)
        return "250 2.0.0 kept"


@contextmanager
def mailbox_server(folder: Path) -> Iterator[int]:
    """Run the mailbox server on a free loopback port and yield that port."""
    from aiosmtpd.smtp import SMTP

    keep, loop = _Keep(folder), asyncio.new_event_loop()

    def protocol() -> SMTP:
        return SMTP(keep, hostname="localhost", enable_SMTPUTF8=True, loop=loop)

    server = loop.run_until_complete(loop.create_server(protocol, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, name="mailbox", daemon=True)
    thread.start()
    try:
        port: int = server.sockets[0].getsockname()[1]
        yield port
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """What one run of the demo did."""

    reports: list[GatherReport]
    feeds: list[Path]
    public: Path
    mailbox: Path
    messages: int
    issue: str
    note: str
    account: Account | None
    imported: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def balances(self) -> bool:
        """Whether every delivery is accounted for and none waits."""
        return self.account is None or (self.account.balances and not self.account.waiting)

    def rows(self) -> list[tuple[str, str]]:
        """Return the short table."""
        new = sum(len(r.new) for r in self.reports)
        unchanged = sum(r.unchanged for r in self.reports)
        bad = sum(len(r.quarantined) for r in self.reports)
        rows = [
            ("posts", f"{new} new, {unchanged} unchanged, {bad} quarantined"),
            ("feeds", f"{len(self.feeds)} in {self.public / 'feeds'}"),
            ("issue", self.issue or "nothing is due"),
        ]
        if self.note:
            rows.append(("", self.note))
        if self.account is not None:
            a = self.account
            waiting = a.waiting + a.attempting
            sum_ = f"{a.audience} = {a.accepted} + {a.refused} + {a.suppressed} + {a.unknown} + {waiting}"
            states = (
                f"{a.accepted} accepted, {a.refused} refused, {a.suppressed} suppressed, {a.unknown} unknown"
            )
            rows.append(("deliveries", f"{states}, {waiting} waiting"))
            rows.append(("the sum", f"{sum_}: {'balances' if a.balances else 'DOES NOT BALANCE'}"))
        rows.append(("sent now", f"{self.messages} messages"))
        return rows

    def hints(self, folder: Path) -> list[str]:
        """Say what to open."""
        return [
            "",
            f"Pages    {(self.public / 'index.html').as_uri()}",
            f"Feed     {(self.public / 'feeds' / 'atom.xml').as_uri()}",
            f"Mailbox  {self.mailbox}  (for example: mutt -f {self.mailbox})",
            f"To click through pages, mails and unsubscribe links: newsletter -p {folder} demo --serve",
        ]


def demo_config(config: Config, port: int) -> Config:
    """Return the configuration with everything that is written moved into `var/demo/`, sending to `port`.

    Links and pictures point to the built-in server, so that `demo --serve` shows them.
    """
    folder = config.state / "demo"
    url = f"http://{config.web.host}:{config.web.port}/"
    return config.model_copy(
        update={
            "publication": config.publication.model_copy(update={"url": url}),
            "folders": config.folders.model_copy(update={"public": folder / "public", "state": folder}),
            "store": type(config.store).model_validate({"url": f"sqlite:///{folder / 'newsletter.db'}"}),
            "secrets": config.secrets.model_copy(
                update={"token_keys": None, "token_key_file": folder / "token.keys"}
            ),
            "smtp": SmtpConfig(host="127.0.0.1", port=port, security="none"),
            "delivery": config.delivery.model_copy(update={"transport": "smtp"}),
            "web": config.web.model_copy(update={"url": url}),
            "dkim": (),
        }
    )


def run(config: Config, *, now: datetime) -> Demonstration:
    """Go the whole way once: gather, publish, compose what is due, deliver, publish again."""
    folder = config.state / "demo"
    with mailbox_server(folder / "mailbox") as port, Publisher.open(demo_config(config, port)) as publisher:
        box = mailbox.Maildir(str(folder / "mailbox"))
        before = len(box)
        reports = publisher.gather(now=now)
        readers = _import_readers(publisher, config.path("subscribers/example.csv"), now)
        issue, note, account = "", "", None
        for newsletter in publisher.newsletters()[:1]:
            slot = publisher.due_slot(newsletter.name, now=now)
            composition = publisher.compose(newsletter.name, slot, now=now)
            note = composition.note
            if composition.issue is not None:
                one = composition.issue
                if composition.fresh:
                    issue = f"{one.newsletter} {one.number}: {one.subject}"
                else:
                    note = f"{one.newsletter} {one.number} was composed for this slot before"
                publisher.release(one.id, now=now)
                account = publisher.deliver(one.id, stop=threading.Event())
        publisher.publish(now=now)
        public = publisher.config.public
        feeds = sorted(p for p in (public / "feeds").rglob("*") if p.suffix in (".xml", ".json", ".opml"))
        return Demonstration(
            reports=reports,
            feeds=feeds,
            public=public,
            mailbox=folder / "mailbox",
            messages=len(box) - before,
            issue=issue,
            note=note,
            account=account,
            imported=readers,
        )


def _import_readers(publisher: Publisher, file: Path, now: datetime) -> int:
    if not file.exists():
        chosen = tuple(one.name for one in publisher.newsletters())
        publisher.add_subscriber(
            "reader@example.org", chosen, name="", consent="invented for the demo", now=now
        )
        return 1
    return publisher.import_subscribers(file, now=now).added


def serve(config: Config, say: Callable[[str], None]) -> None:
    """Serve the demo's pages until interrupted."""
    from newsletter import web

    with Publisher.open(demo_config(config, 2525)) as publisher:
        say(f"Serving {publisher.config.web_url} until Ctrl-C")
        web.serve(web.create_app(publisher.store, publisher.config), config.web.host, config.web.port)
