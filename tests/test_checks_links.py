"""Where links lead: into our own site only to what is published; elsewhere asked for politely, on request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest

from conftest import PublicationFactory
from letters import ANN, CRANES, HARBOUR, SITE, compiled, issue_of, mailer, post
from misbehaving import Answer, Misbehaving, redirect, response
from newsletter import issues
from newsletter.checks.digest import check_message
from newsletter.checks.links import Site, links_of, path_in
from newsletter.checks.page import parse
from newsletter.config import Config
from newsletter.feeds import word_slug
from newsletter.identity import PostState
from newsletter.issues import links
from newsletter.issues.checking import site_of
from newsletter.model import Author, Finding, Post
from newsletter.publish import publish
from newsletter.store import Store
from newsletter.store import posts as stored_posts

GOOD = mailer()(ANN).content
KNOWN = {
    "posts/post-3/",
    "posts/hidden/",
    "media/aa-1200.jpg",
    "media/logo.png",
    *(f"posts/post-{n}/" for n in range(30, 60)),
}
KNOWN |= {"issues/weekly/2/", "issues/weekly/3/"}  # fmt: skip


# Our own site


def test_links_that_lead_to_what_is_published_are_no_findings() -> None:
    assert check_message(GOOD, site=Site(SITE, KNOWN.__contains__)) == []
    assert check_message(GOOD, site=Site("https://other.example.org/", lambda _: False)) == []


@pytest.mark.parametrize(
    ("gone", "place", "title"),
    [
        ("posts/post-40/", f"link “{CRANES.title}", CRANES.title),
        ("posts/post-3/", "link “The quay”", ""),
        ("media/aa-1200.jpg", "picture https://herald.example.org/media/aa-1200.jpg", CRANES.title),
    ],
)
def test_a_link_that_leads_to_nothing_of_ours_is_an_error(gone: str, place: str, title: str) -> None:
    found = check_message(GOOD, site=Site(SITE, (KNOWN - {gone}).__contains__))
    assert found
    assert {one.rule for one in found} == {f"nothing that we publish is at {SITE}{gone}"}
    assert (place[:30], title) in [(one.place[:30], one.post) for one in found]
    assert all(one.error for one in found)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.example/base/posts/x/?y=1", "posts/x/"),
        ("http://A.example/base/posts/caf%C3%A9/", "posts/café/"),
        ("https://a.example/base/", ""),
        ("https://a.example/", None),
        ("https://a.example:8443/base/posts/x/", None),
        ("https://b.example/base/posts/x/", None),
        ("mailto:a@a.example", None),
        ("https://[a.example/base/", None),
    ],
)
def test_the_path_of_a_link_below_our_site(url: str, path: str | None) -> None:
    assert path_in(Site("https://a.example/base/", lambda _: False), url) == path


def put(store: Store, now: datetime, *new: Post) -> None:
    with store.write() as tx:
        stored_posts.add(tx, [stored_posts.Filed(one, PostState.LIVE, f"{one.seq}") for one in new], now=now)


def test_what_is_published_is_known_before_it_is(
    sqlite_store: Store, publication: PublicationFactory, now: datetime
) -> None:
    """Every page and feed that publishing writes is known from the store alone, and nothing else is."""
    config = publication()
    config.media.mkdir(parents=True)
    (config.media / str(HARBOUR.large)).write_bytes(b"a picture")
    (config.media / str(HARBOUR.small)).write_bytes(b"a picture")
    new = [
        post(1, "One", tags=("Ships & quays", "café"), authors=(Author(name="@kj"),), images=(HARBOUR,)),
        post(2, "Two", slug="café-2", authors=(Author(name="Zoë Ström"),), tags=("ships",)),
        post(3, "Three", own_page=False, url="https://harbour.example.org/posts/of-old"),
    ]
    put(sqlite_store, now, *new)
    issue = replace(issue_of(compiled()), number=1)
    with sqlite_store.read() as tx:
        site = site_of(tx, config, issue)
        unknown = [path for path in (*PAGES, "posts/of-old") if not site.published(path)]
    assert unknown == []
    publish(sqlite_store, config, now=now)
    written = {one.relative_to(config.public).as_posix() for one in config.public.rglob("*") if one.is_file()}
    assert {one for one in written if one.endswith("index.html")} == {
        f"{one}index.html" for one in PAGES if one[-1:] in "/"
    }
    feeds = {one for one in written if one.startswith("feeds/")}
    config.public.rename(config.public.with_name("elsewhere"))
    assert [one for one in feeds if not one.endswith(".opml.gz") and not site.published(one)] == []


PAGES = (
    *("", "posts/", "posts/post-1/", "posts/café-2/", "feeds/", "issues/weekly/"),
    *(
        f"tags/{word_slug('Ships & quays')}/",
        "tags/café/",
        "tags/ships/",
        "authors/kj/",
        "authors/zoë-ström/",
    ),
)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "posts/x/",
            "posts/../posts/post-1/",
            "issues/weekly/2/",
            "media/x.jpg",
            "media/../../newsletter.toml",
        ),
        *("feeds/x.xml", "tags/x/", "x" * 5000, "media/\0", "posts/old/"),
    ],
)
def test_what_is_not_published_is_not_known(
    sqlite_store: Store, publication: PublicationFactory, now: datetime, path: str
) -> None:
    config = publication()
    put(sqlite_store, now, post(1, "One"))
    stale = config.public / "posts" / "old" / "index.html"
    stale.parent.mkdir(parents=True)
    stale.write_text("a page that outlived its post")
    with sqlite_store.read() as tx:
        site = site_of(tx, config, replace(issue_of(compiled()), number=1))
    assert not site.published(path)
    assert site.published("issues/weekly/1/")
    (config.public / "media").mkdir()
    (config.public / "media" / "own.pdf").write_bytes(b"put there by hand")
    assert site.published("media/own.pdf")


# Elsewhere


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with Misbehaving() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def open_config(publication: PublicationFactory) -> Config:
    return publication({"gather": {"allow_private_addresses": True}})


def page(*urls: str) -> str:
    return (
        "<html><body>"
        + "".join(f'<p><a href="{url}">to {n}</a></p>' for n, url in enumerate(urls))
        + "</body></html>"
    )


def asked(server: Misbehaving) -> list[str]:
    return [" ".join(one.decode().split(" ")[:2]) for one in server.requests]


def check(config: Config, *urls: str) -> list[Finding]:
    return issues.check_remote(config, page(*urls), where="here")


def by_method(head: bytes, get: bytes) -> Answer:
    return lambda connection, request: connection.sendall(head if request.startswith(b"HEAD") else get)


def status(line: str) -> bytes:
    return response(b"", status=line)


@pytest.mark.parametrize(
    ("answer", "said", "error"),
    [
        (status("404 Not Found"), "the server answered 404", True),
        (status("410 Gone"), "gone for good", True),
        (by_method(status("200 OK"), status("404 Not Found")), "", False),
        (by_method(status("405 Not Allowed"), status("200 OK")), "", False),
        (by_method(status("404 Not Found"), response(b"x" * 2_000_000)), "", False),
        (by_method(status("200 OK"), b"never asked"), "", False),
        (status("403 Forbidden"), "the server answered 403", False),
        (status("500 Oops"), "the server answered 500", False),
        (status("503 Unavailable"), "come later", False),
        (redirect("/gone"), "the server answered 404", True),
        (redirect("/loop"), "redirects more than", True),
        (b"no http at all\r\n\r\n", "the connection failed", False),
    ],
)
def test_what_a_link_answers(
    server: Misbehaving, open_config: Config, answer: Answer | bytes, said: str, error: bool
) -> None:
    server.on("/gone", status("404 Not Found"))
    server.on("/loop", redirect("/loop"))
    url = server.on("/link", answer)
    found = check(open_config, url)
    if not said:
        assert found == []
    else:
        (finding,) = found
        assert (finding.place, finding.error) == ("link “to 0”", error)
        assert finding.rule.startswith(f"{url}: ")
        assert said in finding.rule
        assert finding.remedy
    assert asked(server)[0] == "HEAD /link"


def test_silence_is_advice(server: Misbehaving, open_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "ANSWER", 0.2)
    over = threading.Event()

    def wait(*_: object) -> None:
        over.wait(5)

    (finding,) = check(open_config, server.on("/slow", wait))
    over.set()
    assert "did not answer" in finding.rule
    assert not finding.error


def test_a_name_that_is_not_there_is_an_error_and_a_resolver_that_fails_is_advice(
    open_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code, error in ((socket.EAI_NONAME, True), (socket.EAI_AGAIN, False)):

        def resolve(*_: object, code: int = code, **__: object) -> None:
            raise socket.gaierror(code, "no")

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        (finding,) = check(open_config, "https://nowhere.example/")
        assert "cannot be resolved" in finding.rule
        assert finding.error is error


def test_an_address_that_readers_cannot_reach_is_an_error(
    server: Misbehaving, publication: PublicationFactory
) -> None:
    (finding,) = check(publication(), server.on("/", status("200 OK")))
    assert "not a public address" in finding.rule
    assert finding.error
    assert server.requests == []


def test_each_link_is_asked_for_once_and_never_our_own(
    server: Misbehaving, publication: PublicationFactory
) -> None:
    changes = {"publication": {"url": f"{server.url}/"}, "gather": {"allow_private_addresses": True}}
    config = publication(changes)
    other = server.on("/about", status("200 OK"))
    own = [
        f"{server.url}/{path}"
        for path in ("posts/x/", "media/x.jpg", "issues/weekly/1/", "u/token", "p/token")
    ]
    assert check(config, *own, f"{other}#one", f"{other}#two", "mailto:a@example.org", other) == []
    assert asked(server) == ["HEAD /about"]


def test_two_hosts_are_asked_at_once_and_each_for_one_link_after_the_other(
    server: Misbehaving, open_config: Config
) -> None:
    lock, met = threading.Lock(), threading.Barrier(2)
    busy, most = {"127.0.0.1": 0, "localhost": 0}, []

    def answer(connection: socket.socket, request: bytes) -> None:
        host = request.partition(b"Host: ")[2].partition(b":")[0].decode()
        with lock:
            busy[host] += 1
            most.append(dict(busy))
        met.wait(5)  # goes on only when the other host is asked too
        with lock:
            busy[host] -= 1
        connection.sendall(status("200 OK"))

    near = [server.on(f"/{n}", answer) for n in range(3)]
    far = [one.replace("127.0.0.1", "localhost") for one in near]
    assert check(open_config, *near, *far) == []
    assert len(most) == 6
    assert max(max(one.values()) for one in most) == 1


def test_too_many_links_are_said(
    server: Misbehaving, open_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MOST", 2)
    urls = [server.on(f"/{n}", status("200 OK")) for n in range(3)]
    (finding,) = check(open_config, *urls)
    assert (finding.place, finding.error) == ("link “to 2”", False)
    assert "too many links" in finding.rule
    assert len(server.requests) == 2
    monkeypatch.setattr(links, "PATIENCE", -1.0)
    assert ["was not asked for" in one.rule for one in check(open_config, *urls)] == [True] * 3


def test_the_links_of_a_page() -> None:
    found = list(links_of(parse(compiled().html)))
    assert len({one.url for one in found}) == len(found)
    assert all(one.url.startswith("http") for one in found)
    assert ("link “nine euros”", CRANES.title) in [(one.place, one.post) for one in found]
