"""The web part over real HTTP: what links do, what files answer, and what no request can do."""

from __future__ import annotations

import gzip
import http.client
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from conftest import PublicationFactory
from newsletter import subscriptions, tokens, web
from newsletter.config import Config
from newsletter.errors import OutsideError
from newsletter.model import ConsentAct, SuppressionReason
from newsletter.store import Store, open_store, schema, subscribers
from newsletter.tokens import Purpose
from newsletter.web.guard import LARGEST_BODY, redact
from newsletter.web.patience import LARGEST_REQUEST

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Site:
    """A served publication and somebody who asks it."""

    def __init__(self, config: Config, store: Store, port: int) -> None:
        self.config = config
        self.store = store
        self.port = port

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        return self.ask("GET", path, headers={name.replace("_", "-"): v for name, v in headers.items()})

    def post(self, path: str, body: bytes = b"") -> tuple[http.client.HTTPResponse, str]:
        response, page = self.ask("POST", path, body, FORM)
        return response, page.decode()

    def token(self, address: str, newsletter: str = "weekly", purpose: Purpose = Purpose.UNSUBSCRIBE) -> str:
        with self.store.read() as tx:
            person = subscribers.find(tx, address)
        assert person is not None
        return tokens.make(self.config.token_keys(), purpose, f"{person.id}.{newsletter}")

    def standing(self, address: str) -> dict[str, str]:
        record = subscriptions.show(self.store, address)
        return {s.newsletter: s.standing.value for s in record.subscriptions} if record else {}

    def everything(self) -> list[list[str]]:
        with self.store.read() as tx:
            return [[str(row) for row in tx.execute(select(t))] for t in schema.METADATA.sorted_tables]


def two_newsletters(factory: PublicationFactory, **changes: object) -> Config:
    each = {"sender": "weekly@harbour.example.org"}
    return factory(
        {
            "newsletters": [
                {"name": "weekly", "title": "The Harbour Weekly", **each},
                {"name": "daily", "title": "The <Daily>", "description": "Each morning.", **each},
            ],
            **changes,
        }
    )


@pytest.fixture
def site(publication: PublicationFactory, sqlite_store: Store) -> Iterator[Site]:
    """Serve a publication with one subscriber."""
    config = two_newsletters(publication)
    subscriptions.add(sqlite_store, "ada@example.org", ["weekly"], consent="said so", now=NOW)
    with web.Server(web.create_app(sqlite_store, config, lambda: NOW), "127.0.0.1", 0) as server:
        yield Site(config, sqlite_store, server.port)


def publish(site: Site, path: str, data: bytes) -> Path:
    file = site.config.public / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


# Unsubscribing

MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n',
    "multipart/form-data; boundary=x",
)
URLENCODED = (b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded")


@pytest.mark.parametrize(("body", "kind"), [MULTIPART, URLENCODED])
def test_one_click_unsubscribes_before_it_answers(site: Site, body: bytes, kind: str) -> None:
    path = f"/u/{site.token('ada@example.org')}"
    for _ in range(2):
        response, _ = site.ask("POST", path, body, {"content-type": kind})
        assert response.status == 200
        assert response.headers["set-cookie"] is None
        assert response.headers["location"] is None
        assert site.standing("ada@example.org") == {"weekly": "unsubscribed"}
    record = subscriptions.show(site.store, "ada@example.org")
    assert record is not None
    assert [(c.act, c.channel) for c in record.consents[1:]] == [(ConsentAct.WITHDRAWN, "one-click")]


@pytest.mark.parametrize("body", [b"", b"\xff" * 100, b"--", b"a=1&" * 99])
def test_any_post_unsubscribes_whatever_its_body(site: Site, body: bytes) -> None:
    response, page = site.post(f"/u/{site.token('ada@example.org').upper()}", body)
    assert (response.status, site.standing("ada@example.org")) == (200, {"weekly": "unsubscribed"})
    assert "You are unsubscribed" in page


def test_a_person_unsubscribes_by_one_button_and_may_undo_it(site: Site) -> None:
    path = f"/u/{site.token('ada@example.org')}"
    response, page = site.get(path)
    assert response.status == 200
    forms = re.findall(rb'<form method="post" action="([^"]+)">', page)
    assert forms == [f"..{path}".encode()]
    assert page.count(b"<button") == 1
    assert b"<script" not in page
    assert b"ada@" not in page
    _, left = site.post(path, b"unsubscribe=yes")
    assert site.standing("ada@example.org") == {"weekly": "unsubscribed"}
    assert f'action="..{path}/undo"' in left
    back, page_back = site.post(f"{path}/undo")
    assert back.status == 200
    assert "You stay subscribed" in page_back
    assert f'action="../..{path}"' in page_back
    assert site.standing("ada@example.org") == {"weekly": "active"}
    site.post(path)
    assert "You are unsubscribed" in site.get(path)[1].decode()


def test_who_is_suppressed_is_told_the_same_and_cannot_undo(site: Site) -> None:
    with site.store.write() as tx:
        subscriptions.suppress(tx, "ada@example.org", SuppressionReason.COMPLAINT, now=NOW)
    path = f"/u/{site.token('ada@example.org')}"
    for _, page in (site.get(path), site.post(path), site.post(f"{path}/undo")):
        assert "<button" not in str(page) or "undo" not in str(page)
    assert site.standing("ada@example.org") == {"weekly": "suppressed"}


def test_an_erased_person_is_answered_as_anybody(site: Site) -> None:
    link, page = site.token("ada@example.org"), site.token("ada@example.org", purpose=Purpose.PREFERENCES)
    subscriptions.forget(site.store, "ada@example.org", now=NOW)
    for method, path in (("GET", f"/u/{link}"), ("POST", f"/u/{link}"), ("POST", f"/u/{link}/undo")):
        response, body = site.ask(method, path, None, FORM)
        assert response.status == 200
        assert b"undo" not in body
    response, body = site.get(f"/p/{page}")
    assert response.status == 200
    assert b"Nothing is stored about you" in body


def test_a_link_that_is_not_ours_is_answered_kindly_and_changes_nothing(site: Site) -> None:
    good = site.token("ada@example.org")
    before = site.everything()
    for bad in (
        good[:-1],
        good[:-1] + ("b" if good.endswith("a") else "a"),
        "x",
        "%00",
        "k1.1.weekly." + "a" * 26,
        "ü",
    ):
        for method, suffix in (("GET", ""), ("POST", ""), ("POST", "/undo")):
            response, page = site.ask(
                method, f"/u/{bad.encode().hex() if bad == 'ü' else bad}{suffix}", b"", FORM
            )
            assert response.status == 404
            assert b"This link does not work" in page
    assert site.ask("POST", f"/p/{good}", b"newsletter=weekly&wish=unsubscribe", FORM)[0].status == 404
    assert site.everything() == before


# Preferences


def test_preferences_change_one_newsletter_at_a_time(site: Site) -> None:
    path = f"/p/{site.token('ada@example.org', purpose=Purpose.PREFERENCES)}"
    page = site.get(path)[1].decode()
    assert "a…@example.org" in page
    assert "ada@example.org" not in page
    assert "The &lt;Daily&gt;" in page
    assert site.post(path, b"newsletter=daily&wish=subscribe")[0].status == 200
    assert "paused until" in site.post(path, b"newsletter=weekly&wish=pause")[1]
    assert site.standing("ada@example.org") == {"daily": "active", "weekly": "paused"}
    site.post(path, b"newsletter=daily&wish=unsubscribe")
    assert "Saved." in site.post(path, b"newsletter=weekly&wish=subscribe")[1]
    assert site.standing("ada@example.org") == {"daily": "unsubscribed", "weekly": "active"}


@pytest.mark.parametrize(
    "body",
    [b"", b"newsletter=hourly&wish=subscribe", b"newsletter=daily&wish=x", b"newsletter=daily&wish=pause"],
)
def test_a_choice_that_is_not_offered_is_refused(site: Site, body: bytes) -> None:
    before = site.everything()
    response, page = site.post(f"/p/{site.token('ada@example.org', purpose=Purpose.PREFERENCES)}", body)
    assert (response.status, site.everything()) == (400, before)
    assert "That did not work" in page


def test_a_pause_that_has_passed_is_over(publication: PublicationFactory, sqlite_store: Store) -> None:
    config = two_newsletters(publication)
    subscriptions.add(sqlite_store, "ada@example.org", ["weekly"], consent="said so", now=NOW)
    later = web.create_app(sqlite_store, config, lambda: NOW + timedelta(weeks=5))
    with web.Server(later, "127.0.0.1", 0) as server:
        site = Site(config, sqlite_store, server.port)
        link = site.token("ada@example.org", purpose=Purpose.PREFERENCES)
        keys = config.token_keys()
        subscriptions.ask(sqlite_store, keys, link, "weekly", subscriptions.Wish.PAUSE, now=NOW)
        assert b"You are subscribed.</p>" in site.get(f"/p/{link}")[1]


def test_get_and_head_change_nothing(site: Site) -> None:
    """Mail scanners follow every link of a mail and of the page behind it."""
    link, page = site.token("ada@example.org"), site.token("ada@example.org", purpose=Purpose.PREFERENCES)
    before = site.everything()
    todo, seen = [f"/u/{link}", f"/u/{link}/undo", f"/p/{page}", f"/p/{page}?wish=unsubscribe"], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for method in ("HEAD", "OPTIONS", "GET"):
            _, body = site.ask(method, path)
        for href in re.findall(r'(?:href|action)="([^"#:]+)"', body.decode()):
            todo.append(urljoin(path, unescape(href)))
    assert len(seen) > 6
    assert site.everything() == before


@pytest.mark.parametrize("path", ["/u/{}", "/p/{}", "/u/bad"])
def test_pages_of_links_keep_to_themselves(site: Site, path: str) -> None:
    purpose = Purpose.PREFERENCES if path.startswith("/p") else Purpose.UNSUBSCRIBE
    response, page = site.get(path.format(site.token("ada@example.org", purpose=purpose)))
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-robots-tag"] == "noindex, nofollow"
    assert response.headers["server"] is None
    assert not re.search(rb'(?i)<script| style="| on[a-z]+="', page)
    (style,) = re.findall(rb'rel="stylesheet" href="([^"]+)"', page)
    answer, css = site.get("/" + style.decode().removeprefix("../"))
    assert (answer.status, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert b"--accent" in css


def test_the_pages_answer_below_the_path_of_the_web_url(
    publication: PublicationFactory, sqlite_store: Store
) -> None:
    config = two_newsletters(publication, web={"url": "https://harbour.example.org/news/"})
    subscriptions.add(sqlite_store, "ada@example.org", ["weekly"], consent="said so", now=NOW)
    with web.Server(web.create_app(sqlite_store, config, lambda: NOW), "127.0.0.1", 0) as server:
        site = Site(config, sqlite_store, server.port)
        publish(site, "index.html", b"home")
        path = f"/news/u/{site.token('ada@example.org')}"
        assert b'action="../u/' in site.get(path)[1]
        assert site.post(path)[0].status == 200
        assert site.get("/news/")[1] == site.get("/")[1] == b"home"
    assert site.standing("ada@example.org") == {"weekly": "unsubscribed"}


def test_a_locked_store_asks_to_try_again(publication: PublicationFactory, tmp_path: Path) -> None:
    config = two_newsletters(publication)
    url = f"sqlite:///{tmp_path}/locked/newsletter.db"
    with open_store(url, patience=0.05) as store, open_store(url) as other:
        subscriptions.add(store, "ada@example.org", ["weekly"], consent="said so", now=NOW)
        with web.Server(web.create_app(store, config), "127.0.0.1", 0) as server:
            site = Site(config, store, server.port)
            path = f"/u/{site.token('ada@example.org')}"
            with other.write():
                response, page = site.ask("POST", path, *URLENCODED[:1])
            assert (response.status, response.headers["retry-after"]) == (503, "60")
            assert b"Nothing was changed" in page
            assert site.ask("POST", path, *URLENCODED[:1])[0].status == 200


# Files


@pytest.mark.parametrize(
    ("path", "kind", "caching"),
    [
        ("index.html", "text/html; charset=utf-8", "max-age=300"),
        ("feeds/atom.xml", "application/atom+xml; charset=utf-8", "max-age=1800"),
        ("feeds/tags/x/rss.xml", "application/rss+xml; charset=utf-8", "max-age=1800"),
        ("feeds/feed.json", "application/feed+json; charset=utf-8", "max-age=1800"),
        ("feeds/feeds.opml", "text/x-opml; charset=utf-8", "max-age=300"),
        ("media/0a1b.jpg", "image/jpeg", "immutable"),
        ("style-0a1b.css", "text/css; charset=utf-8", "immutable"),
        ("a b/ü.bin", "application/octet-stream", "max-age=300"),
    ],
)
def test_a_file_is_answered_honestly(site: Site, path: str, kind: str, caching: str) -> None:
    file = publish(site, path, b"bytes")
    os.utime(file, (1_790_000_000, 1_790_000_000.5))
    url = "/" + quote(path)
    response, body = site.get(url)
    headers = response.headers
    assert (response.status, body, headers["content-length"]) == (200, b"bytes", "5")
    assert headers["content-type"] == kind
    assert caching in headers["cache-control"]
    assert headers["last-modified"] == "Mon, 21 Sep 2026 14:13:20 GMT"
    assert re.fullmatch(r'"[0-9a-f]{32}"', headers["etag"])
    head, nothing = site.ask("HEAD", url)
    assert (head.status, nothing, head.headers["content-length"]) == (200, b"", "5")
    assert head.headers["etag"] == headers["etag"]


def test_what_has_not_changed_is_304(site: Site) -> None:
    file = publish(site, "feeds/atom.xml", b"one")
    etag, dated = (site.get("/feeds/atom.xml")[0].headers[name] for name in ("etag", "last-modified"))
    for conditions in (
        {"if_none_match": etag},
        {"if_none_match": f'"x", W/{etag}'},
        {"if_none_match": "*"},
        {"if_modified_since": dated},
        {"if_none_match": etag, "if_modified_since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        response, body = site.get("/feeds/atom.xml", **conditions)
        assert (response.status, body, response.headers["etag"]) == (304, b"", etag)
    for conditions in (
        {"if_none_match": '"x"'},
        {"if_none_match": '"x"', "if_modified_since": dated},
        {"if_modified_since": "yesterday"},
        {"if_modified_since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        assert site.get("/feeds/atom.xml", **conditions)[0].status == 200
    kept = file.stat()
    replacement = publish(site, "feeds/new", b"two")
    replacement.replace(file)
    os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    response, body = site.get("/feeds/atom.xml", if_none_match=etag)
    assert (response.status, body) == (200, b"two"), "the ETag is over the bytes, not over a date"


def test_a_zipped_form_is_sent_to_who_takes_it(site: Site) -> None:
    publish(site, "feeds/atom.xml", b"plain")
    publish(site, "feeds/atom.xml.gz", gzip.compress(b"plain"))
    plain, _ = site.get("/feeds/atom.xml")
    zipped, body = site.get("/feeds/atom.xml", accept_encoding="br, gzip;q=0.8")
    assert gzip.decompress(body) == b"plain"
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.headers["content-type"] == plain.headers["content-type"]
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert plain.headers["vary"] == zipped.headers["vary"] == "Accept-Encoding"
    assert site.get("/feeds/atom.xml", accept_encoding="gzip;q=0")[1] == b"plain"
    again, _ = site.get("/feeds/atom.xml", accept_encoding="gzip", if_none_match=zipped.headers["etag"])
    assert again.status == 304


def test_a_large_file_comes_whole(site: Site) -> None:
    data = os.urandom(1024) * 1500
    publish(site, "media/large.bin", data)
    assert site.get("/media/large.bin")[1] == data


def test_folders_and_what_is_not_there(site: Site) -> None:
    publish(site, "posts/one/index.html", b"one")
    publish(site, "posts/.secret", b"x")
    assert site.get("/posts/one/")[1] == b"one"
    moved, _ = site.get("/posts/one")
    assert (moved.status, moved.headers["location"]) == (308, "one/")
    for path in ("/posts/", "/nothing", "/posts/.secret", "/posts/one/index.html/x", "//example.com", "//"):
        response, page = site.get(path)
        assert response.status == 404, path
        assert b"Nothing here" in page
    response, _ = site.ask("POST", "/posts/one/")
    assert (response.status, set(response.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


def test_only_the_page_of_an_issue_may_style_itself(site: Site) -> None:
    publish(site, "issues/weekly/1/index.html", b"<p style='color:red'>")
    publish(site, "index.html", b"")
    assert "'unsafe-inline'" in site.get("/issues/weekly/1/")[0].headers["content-security-policy"]
    assert "unsafe" not in site.get("/")[0].headers["content-security-policy"]


def test_a_link_out_of_the_folder_leads_nowhere(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    publish(site, "index.html", b"home")
    (site.config.public / "out.txt").symlink_to(tmp_path / "secret.txt")
    (site.config.public / "up").symlink_to(tmp_path)
    os.mkfifo(site.config.public / "pipe")
    for path in ("/out.txt", "/up/secret.txt", "/pipe"):
        assert site.get(path)[0].status == 404


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(
            [
                "..",
                ".",
                "",
                "%2e%2e",
                "%2E.",
                "..%2f",
                "%5c..",
                "..\\",
                "%00",
                "secret.txt",
                "u",
                "~",
                "....",
                "%252e",
            ]
        ),
        max_size=6,
    )
)
def test_no_path_leads_out_of_the_folder(site: Site, parts: list[str]) -> None:
    secret = site.config.folder / "secret.txt"
    secret.write_text("secret")
    response, body = site.get("/" + "/".join([*parts, "secret.txt"]))
    assert body != b"secret"
    assert response.status in (400, 404)


# Limits, logs, stopping


def test_health(site: Site) -> None:
    response, body = site.get("/healthz")
    assert (response.status, body) == (200, b"ok\n")


def test_a_body_larger_than_any_form_is_refused(site: Site) -> None:
    path = f"/u/{site.token('ada@example.org')}"
    assert site.post(path, b"x" * (LARGEST_BODY + 1))[0].status == 413
    assert site.standing("ada@example.org") == {"weekly": "active"}


def test_a_request_larger_than_any_of_ours_ends_the_connection(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * LARGEST_REQUEST)
        assert client.recv(100).startswith(b"HTTP/1.1 431")


def test_tokens_are_never_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    link = site.token("ada@example.org")
    for path in (f"/u/{link}", f"/u/{link}/undo", f"/p/{link}", f"/u/{link}?x=/u/{link}"):
        site.get(path)
        site.post(path)
    lines = "\n".join(record.getMessage() for record in caplog.records)
    assert "/u/[token]" in lines
    assert "/p/[token]" in lines
    assert link not in lines
    assert link.rpartition(".")[2] not in lines


def test_redacting_keeps_the_rest() -> None:
    assert redact('1.2.3.4 - "GET /u/k1.7.weekly.abc/undo?x HTTP/1.1" 200') == (
        '1.2.3.4 - "GET /u/[token]/undo?x HTTP/1.1" 200'
    )
    assert redact("/c/k1.7.weekly.abc?lang=fr") == "/c/[token]?lang=fr"
    for path in ("/posts/up/", "/feeds/tags/f/atom.xml", "/issues/c/3/", "/authors/u/index.html"):
        assert redact(path) == path


def test_a_port_in_use_says_so(site: Site) -> None:
    with pytest.raises(OutsideError, match="cannot listen"):
        web.serve(web.create_app(site.store, site.config), "127.0.0.1", site.port)
    with pytest.raises(OutsideError, match="cannot listen"):
        web.Server(web.create_app(site.store, site.config), "name.invalid", 0)


def test_stopping_waits_for_nobody_for_long(publication: PublicationFactory, sqlite_store: Store) -> None:
    before = threading.active_count()
    server = web.Server(web.create_app(sqlite_store, publication()), "127.0.0.1", 0)
    server.start()
    with socket.create_connection((server.host, server.port), timeout=10) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in idle.recv(1000)
        server.stop()
        assert idle.recv(1000) in (b"ok\n", b"")
    assert threading.active_count() <= before + 1, "the thread pool of asyncio may linger"
    with pytest.raises(OSError):
        socket.create_connection((server.host, server.port), timeout=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving_ends_with_a_signal(tmp_path: Path, publication: PublicationFactory, number: int) -> None:
    config = publication()
    program = (
        "import sys; from pathlib import Path; from newsletter import web, config, store\n"
        "c = config.load(Path(sys.argv[1]), {})\n"
        "with store.open_store(c.store_url) as s:\n"
        "    app = web.create_app(s, c)\n"
        "    import newsletter.web.server as server\n"
        "    with server.until_signalled() as wait, web.Server(app, '127.0.0.1', 0) as one:\n"
        "        print(one.port, flush=True)\n"
        "        import threading; wait(threading.Event())\n"
        "print('stopped')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(config.folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert Site(config, None, port).get("/healthz")[0].status == 200  # type: ignore[arg-type]  # not asked
        process.send_signal(number)
        out, _ = process.communicate(timeout=10)
        assert (process.returncode, out) == (0, "stopped\n")
    finally:
        process.kill()
        process.wait()
