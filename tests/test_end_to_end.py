"""The whole way with real parts: posts in, feeds out, a digest through real SMTP into a Maildir, and leaving."""

from __future__ import annotations

import base64
import http.client
import json
import mailbox
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dkim
import feedparser
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree, html

from newsletter import demo, web
from newsletter.config import Config, DkimConfig, load
from newsletter.demo import mailbox_server
from newsletter.model import Account, DeliveryState, IssueState, Standing
from newsletter.publisher import Publisher
from newsletter.store import posts

PublicationFactory = Callable[..., Config]
ROOT = Path(__file__).parent.parent
ATOM = "{http://www.w3.org/2005/Atom}"


@dataclass
class Sent:
    """What one run of the whole way left behind."""

    publisher: Publisher
    account: Account
    raw: list[bytes]

    @property
    def messages(self) -> list[EmailMessage]:
        """The messages, parsed."""
        return [message_from_bytes(one, policy=policy.default) for one in self.raw]


@contextmanager
def gone_the_whole_way(config: Config, folder: Path, now: datetime) -> Iterator[Sent]:
    """Gather, publish, compose and deliver over SMTP to the mailbox server."""
    with mailbox_server(folder / "mailbox") as port:
        smtp = config.smtp.model_copy(update={"host": "127.0.0.1", "port": port, "security": "none"})
        with Publisher.open(config.model_copy(update={"smtp": smtp})) as publisher:
            publisher.gather(now=now)
            publisher.publish(now=now)
            newsletter = publisher.newsletters()[0].name
            composition = publisher.compose(newsletter, publisher.due_slot(newsletter, now=now), now=now)
            assert composition.issue is not None, composition.note
            assert composition.issue.state is IssueState.APPROVED, composition.findings
            publisher.release(composition.issue.id, now=now)
            account = publisher.deliver(composition.issue.id, stop=threading.Event())
            publisher.publish(now=now)
            box = mailbox.Maildir(str(folder / "mailbox"))
            yield Sent(publisher, account, [box.get_bytes(key) for key in sorted(box.keys())])


def subscribe(config: Config, addresses: list[str], now: datetime) -> None:
    """Add people who agreed."""
    with Publisher.open(config) as publisher:
        for address in addresses:
            publisher.add_subscriber(address, ["weekly"], consent="asked for it", now=now, name="Zoë O'Neill")


def entries(feed: bytes) -> list[Any]:
    """Return what a feed reader sees."""
    parsed = feedparser.parse(feed)
    assert not parsed.bozo, parsed.bozo_exception
    return list(parsed.entries)


def words(text: str) -> str:
    """Return text as a reader compares it: white space and typography apart."""
    return re.sub(r"[\W_]+", " ", text).strip().casefold()


# The WordPress export


@pytest.fixture
def export(shared_data: Path) -> Path:
    """The export file of the WordPress theme unit test."""
    return shared_data / "wordpress" / "theme-unit-test.xml"


def published_posts(export: Path) -> list[etree._Element]:
    """Return the items an independent reading of the export finds published and open to everybody."""
    root = etree.parse(str(export)).getroot()
    wp = f"{{{root.nsmap['wp']}}}"
    return [
        item
        for item in root.iter("item")
        if item.findtext(f"{wp}post_type") == "post"
        and item.findtext(f"{wp}status") == "publish"
        and not item.findtext(f"{wp}post_password")
    ]


def captions_of(item: etree._Element) -> set[str]:
    """Return every caption in an item's content, found by pattern and not by our parser."""
    source = item.findtext("{http://purl.org/rss/1.0/modules/content/}encoded") or ""
    short = re.findall(r"\[caption[^\]]*\](.*?)\[/caption\]", source, re.S)
    block = re.findall(r"<figcaption[^>]*>(.*?)</figcaption>", source, re.S)
    attributes = re.findall(r'\[caption[^\]]*\scaption="([^"]*)"', source)
    texts = {" ".join(html.fromstring(f"<div>{one}</div>").text_content().split()) for one in short + block}
    return {words(one) for one in texts | set(attributes)} - {""}


def test_a_wordpress_export_goes_the_whole_way(
    export: Path, publication: PublicationFactory, tmp_path: Path, now: datetime, shared_data: Path
) -> None:
    items = published_posts(export)
    assert len(items) >= 30
    config = publication(
        {
            "sources": [{"name": "old-site", "kind": "wordpress-export", "path": str(export)}],
            "feeds": {"entries": 500},
            "newsletters": [
                {
                    "name": "weekly",
                    "title": "The Harbour Weekly",
                    "sender": "weekly@harbour.example.org",
                    "max_posts": 20,
                }
            ],
        }
    )
    subscribe(config, ["ana@example.org", "zoe@example.com"], now)
    with gone_the_whole_way(config, tmp_path, now) as sent:
        assert (sent.account.audience, sent.account.accepted) == (2, 2)
        assert len(sent.raw) == 2
        with sent.publisher.store.read() as tx:
            stored = posts.live_posts(tx)
    assert {post.url for post in stored} == {item.findtext("link") for item in items}
    told = told_by_feeds(config, shared_data)
    assert {post.id for post in stored} <= told.keys()
    by_url = {post.url: told[post.id] for post in stored}
    for item in items:
        for caption in captions_of(item):
            assert caption in by_url[item.findtext("link") or ""], (item.findtext("title"), caption)


def told_by_feeds(config: Config, shared_data: Path) -> dict[str, str]:
    """Return the words of each entry's content by id, from all Atom feeds, each valid by the grammar."""
    grammar = etree.RelaxNG(etree.parse(str(shared_data / "atom.rng")))
    told: dict[str, str] = {}
    for path in (config.public / "feeds").rglob("atom.xml"):
        tree = etree.fromstring(path.read_bytes())
        grammar.assertValid(tree)
        for entry in tree.findall(f"{ATOM}entry"):
            content = entry.findtext(f"{ATOM}content") or ""
            told[entry.findtext(f"{ATOM}id") or ""] = words(
                html.fromstring(f"<div>{content}</div>").text_content()
            )
    return told


def test_every_feed_file_is_gathered_without_a_crash(
    shared_data: Path, publication: PublicationFactory, now: datetime
) -> None:
    files = sorted(p for p in (shared_data / "feeds").rglob("*") if p.is_file())
    assert len(files) > 400
    sources = [
        {"name": f"f{number}", "kind": "feed", "path": str(path), "timezone": "UTC"}
        for number, path in enumerate(files)
    ]
    with Publisher.open(publication({"sources": sources})) as publisher:
        reports = publisher.gather(now=now)
    assert len(reports) == len(files)
    for path, report in zip(files, reports, strict=True):
        said = report.new + report.changed + report.held + report.quarantined + report.notes
        assert said or report.unchanged or report.failed, f"{path.name}: silently nothing"
        for one in report.quarantined:
            assert one.reason
            assert one.where
    assert sum(len(report.quarantined) for report in reports) > 300  # most of them bear no date


# The example publication


@pytest.fixture
def example(tmp_path: Path) -> Config:
    """The example publication, everything it writes moved below the test's folder, its links on https."""
    config = load(ROOT, environment={})
    shown = demo.demo_config(
        config.model_copy(update={"folders": config.folders.model_copy(update={"state": tmp_path})}), 2525
    )
    return shown.model_copy(update={"publication": config.publication, "web": config.web})


def signed(config: Config, folder: Path) -> tuple[Config, bytes]:
    """Add a DKIM key to a configuration; return its DNS record too."""
    key = rsa.generate_private_key(65537, 2048)
    path = folder / "dkim.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    one = DkimConfig(domain="dispatch.example.org", selector="s1", key_file=path)
    return config.model_copy(update={"dkim": (one,)}), b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


def test_the_example_goes_the_whole_way(
    example: Config, tmp_path: Path, now: datetime, shared_data: Path
) -> None:
    config, record = signed(example, tmp_path)
    with Publisher.open(config) as publisher:
        report = publisher.import_subscribers(ROOT / "subscribers" / "example.csv", now=now)
    assert report.refused == 0
    with gone_the_whole_way(config, tmp_path, now) as sent:
        publisher = sent.publisher
        active = [s for s in publisher.subscriptions() if s.standing is Standing.ACTIVE]
        assert sent.account.audience == sent.account.accepted == len(active) == len(sent.raw)
        assert sent.account.balances
        for raw, message in zip(sent.raw, sent.messages, strict=True):
            check_message(message)
            assert dkim.verify(without_trace(raw), dnsfunc=lambda *_, **__: record)
        check_feeds(config, shared_data)
        check_one_identity(config, publisher, sent.messages[0])
        leave_by_one_click(config, publisher, sent.messages[0])


def without_trace(raw: bytes) -> bytes:
    """Return a message as it was sent: the mailbox server's two header lines taken off, CRLF put back."""
    text = re.sub(rb"\r?\n", b"\r\n", raw)
    return re.sub(rb"\A(?:(?:Return-Path|Delivered-To):[^\r]*\r\n)+", b"", text)


def check_message(message: EmailMessage) -> None:
    """Hold one message against the rules a reader's program relies on."""
    for name in ("From", "To", "Reply-To", "Subject", "Date", "Message-ID", "List-Id", "List-Unsubscribe"):
        assert len(message.get_all(name, [])) == 1, name
    assert len(message["To"].addresses) == 1
    assert message["Delivered-To"] == message["To"].addresses[0].addr_spec
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "List-Post" not in message
    parts = [part.get_content_type() for part in message.iter_parts()]
    assert parts == ["text/plain", "text/html"]
    page = html.fromstring(message.get_body(("html",)).get_content())  # type: ignore[union-attr]  # checked above
    links = [link for _, _, link, _ in page.iterlinks()]
    assert len(links) > 20
    assert all(urlsplit(link).scheme in ("https", "mailto") for link in links if not link.startswith("#")), (
        links
    )
    assert not page.xpath("//script | //form | //iframe | //link")
    for image in page.xpath("//img"):
        assert image.get("alt") is not None
        assert image.get("width")


def check_feeds(config: Config, shared_data: Path) -> None:
    """Hold every Atom feed against the grammar, and what a reader gets out of it against our own."""
    grammar = etree.RelaxNG(etree.parse(str(shared_data / "atom.rng")))
    feeds = sorted((config.public / "feeds").rglob("atom.xml"))
    assert len(feeds) > 5
    for path in feeds:
        tree = etree.fromstring(path.read_bytes())
        grammar.assertValid(tree)
        read = entries(path.read_bytes())
        ours = tree.findall(f"{ATOM}entry")
        assert [one.id for one in read] == [one.findtext(f"{ATOM}id") for one in ours]
        assert [one.title for one in read] == [one.findtext(f"{ATOM}title") for one in ours]
        assert [one.published for one in read] == [one.findtext(f"{ATOM}published") for one in ours]


def check_one_identity(config: Config, publisher: Publisher, message: EmailMessage) -> None:
    """The same title and link in Atom, RSS, JSON Feed, digest, text part and the web archive."""
    feeds = config.public / "feeds"
    atom = {one.id: one for one in entries((feeds / "atom.xml").read_bytes())}
    rss = {one.id: one for one in entries((feeds / "rss.xml").read_bytes())}
    flat = {one["id"]: one for one in json.loads((feeds / "feed.json").read_text("utf-8"))["items"]}
    issue = publisher.issue("weekly")
    archive = (config.public / "issues" / "weekly" / str(issue.number) / "index.html").read_text("utf-8")
    letter = message.get_body(("html",)).get_content()  # type: ignore[union-attr]  # two parts, checked before
    plain = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]  # likewise
    assert len(issue.post_ids) == 6
    for post in publisher.posts_of(issue.id):
        assert atom[post.id].title == rss[post.id].title == flat[post.id]["title"]
        link = atom[post.id].link
        assert link == rss[post.id].link == flat[post.id]["url"]
        assert link in letter
        assert link in plain
        assert urlsplit(link).path in archive  # pages link relatively, so that the tree can be moved


def leave_by_one_click(config: Config, publisher: Publisher, message: EmailMessage) -> None:
    """Follow the header as a mailbox provider does: GET changes nothing, POST is enough and may be repeated."""
    found = re.search(r"<(https://[^>]+)>", message["List-Unsubscribe"])
    assert found is not None
    path, address = urlsplit(found[1]).path, message["To"].addresses[0].addr_spec

    def standing() -> Standing:
        record = publisher.show_subscriber(address)
        assert record is not None
        return record.subscriptions[0].standing

    with web.Server(web.create_app(publisher.store, config), "127.0.0.1", 0) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        for method, body, after in (
            ("GET", None, Standing.ACTIVE),
            ("HEAD", None, Standing.ACTIVE),
            ("POST", "List-Unsubscribe=One-Click", Standing.UNSUBSCRIBED),
            ("POST", "List-Unsubscribe=One-Click", Standing.UNSUBSCRIBED),
        ):
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            response.read()
            assert response.status == 200, (method, response.status)
            assert response.headers["Set-Cookie"] is None
            assert standing() is after
        connection.close()


def test_building_twice_touches_nothing(example: Config, now: datetime) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        files = (p for p in example.public.rglob("*") if p.is_file())
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    with Publisher.open(example) as publisher:
        publisher.gather(now=now)
        publisher.publish(now=now)
        before = state()
        publisher.gather(now=now.replace(hour=23))
        report = publisher.publish(now=now.replace(hour=23))
    assert not report.written
    assert state() == before


# The demo


def test_the_demo_twice(tmp_path: Path, now: datetime) -> None:
    config = load(ROOT, environment={})
    config = config.model_copy(update={"folders": config.folders.model_copy(update={"state": tmp_path})})
    first = demo.run(config, now=now)
    assert first.messages == 9
    assert first.account is not None
    assert first.account.balances
    assert first.balances
    assert len(first.feeds) > 10
    assert first.issue.startswith("weekly 1")
    again = demo.run(config, now=now.replace(hour=13))
    assert (again.messages, again.issue) == (0, "")
    assert "nothing is due" in dict(again.rows())["issue"]
    with Publisher.open(demo.demo_config(config, 2525)) as publisher:
        audit = publisher.audit(publisher.issue("weekly").id)
        assert {one.state for one in audit.deliveries} == {DeliveryState.ACCEPTED}


def test_the_wall_clock_does_not_matter_to_the_demo(tmp_path: Path) -> None:
    """Years from now the example still composes its issue."""
    config = load(ROOT, environment={})
    config = config.model_copy(update={"folders": config.folders.model_copy(update={"state": tmp_path})})
    assert demo.run(config, now=datetime(2031, 3, 5, 12, tzinfo=UTC)).messages == 9
