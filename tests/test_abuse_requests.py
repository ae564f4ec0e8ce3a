"""Requests that no page of ours makes, to every route that takes a POST: foreign, malformed, oversized, endless."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from starlette.routing import BaseRoute, Mount, Route

from calling import serving
from conftest import PublicationFactory
from newsletter import subscriptions, web
from newsletter.api.routes import OPERATIONS
from newsletter.store import Store
from newsletter.tokens import Purpose
from newsletter.web import asking, patience
from visiting import Visit, visiting

ADA = "ada@example.org"
EVIL = "https://evil.example"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
#: Who may post from anywhere, and why: RFC 8058 has no page; a hub is for programs and asks the callback itself.
OPEN = {"/u/{token}", "/hub"}
EVERYTHING = {"websub": {"hub": True}, "consent": {"goodbye": True}}


@pytest.fixture
def visit(publication: PublicationFactory, sqlite_store: Store) -> Iterator[Visit]:
    """Serve all that can be switched on, to one subscriber and one who has not confirmed."""
    with visiting(publication, sqlite_store, **EVERYTHING) as visit:
        now = visit.clock.now
        subscriptions.add(sqlite_store, ADA, ["weekly"], consent="said so", now=now, name="Ada")
        visit.sign_up("bob@example.org")
        yield visit


def posts(visit: Visit) -> dict[str, str]:
    """Return each route that takes a POST, with its address filled as its link would be."""

    def walk(routes: list[BaseRoute], prefix: str = "") -> Iterator[str]:
        for route in routes:
            if isinstance(route, Mount):
                yield from walk(list(route.routes), prefix + route.path)
            elif isinstance(route, Route) and "POST" in (route.methods or ()):
                yield prefix + route.path

    found = dict.fromkeys(walk(web.create_app(visit.store, visit.config).routes))
    return {path: _filled(visit, path) for path in found}


def _filled(visit: Visit, path: str) -> str:
    links = {
        "u": visit.link(Purpose.UNSUBSCRIBE, f"{visit.id(ADA)}.weekly"),
        "p": visit.page(ADA),
        "c": visit.confirming("bob@example.org"),
    }
    token = links.get(path.split("/")[1], "//x").split("/")[2]
    return path.replace("{token}", token).replace("{newsletter}", "weekly")


# Other sites


FOREIGN = [
    {"origin": EVIL},
    {"origin": EVIL, "sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"origin": "null", "sec_fetch_site": "cross-site"},
    {"origin": "https://harbour.example.org.evil.example"},
    {"origin": "http://harbour.example.org"},
]


def test_no_route_takes_what_another_site_posts(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "QUANTUM", 0.001)
    told = {"address": "eve@example.org", "newsletter": "weekly", "wish": "unsubscribe", "sure": "yes"}
    sent = json.dumps({"address": "eve@example.org", "newsletters": ["weekly"]}).encode()
    paths, before = posts(visit), visit.everything()
    assert set(paths) > OPEN
    for headers in FOREIGN:
        for route in set(paths) - OPEN:
            assert visit.post(paths[route], told, **headers).status == 403, (route, headers)
        for path in ("/subscribe/", "/subscribe/weekly"):
            assert visit.ask("POST", path, sent, content_type=JSON, **headers).status == 403
            assert visit.ask("POST", path, sent, content_type="text/plain", **headers).status in (400, 403)
    assert visit.everything() == before


def test_what_may_be_posted_from_anywhere_is_the_one_click_alone(visit: Visit) -> None:
    paths = posts(visit)
    for route in OPEN:
        answer = visit.post(paths[route], {"x": "y"}, origin=EVIL, sec_fetch_site="cross-site")
        assert answer.status != 403
        assert "set-cookie" not in answer.headers
    assert visit.standing(ADA) == {"weekly": "unsubscribed"}


# Malformed


NESTED = b"[" * 10_000 + b"]" * 10_000
BODIES = [
    (FORM, b""),
    (FORM, b"\xff\xfe\x00\x80=%ff%fe"),
    (FORM, b"address=a%00b@example.org&name=%00&newsletter=%00&wish=%00&until=%00"),
    (FORM, b"address=%ED%A0%80@example.org&name=%ED%A0%80&newsletter=weekly"),
    (FORM, b"&".join(b"a=b" for _ in range(5_000))),
    (FORM, b"=" * 60_000),
    (f"{FORM}; charset=no-such-charset", b"address=ada"),
    (f"{FORM}; charset=utf-16", "address=ada".encode("utf-16")),
    ("multipart/form-data", b"--x\r\n\r\n\r\n--x--"),
    ("multipart/form-data; boundary=", b"--\r\n"),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a'),
    ("text/\x80", b"x"),
    ("", b"x"),
    (JSON, b""),
    (JSON, NESTED),
    (JSON, b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    (JSON, b"\xff\xfe"),
    (JSON, b"\x00"),
    (JSON, b"NaN"),
    (JSON, b'{"address": ' + b"9" * 5_000 + b"}"),
    (JSON, b'{"address": "\\ud800@example.org", "newsletters": ["weekly"]}'),
    (JSON, b'{"address": "eve@example.org", "newsletters": ["\\ud800"]}'),
    (JSON, b'{"address": "eve@example.org", "newsletters": ["weekly"], "name": "\\ud800"}'),
    (JSON, b'{"address": "eve@example.org", "newsletters": ["weekly"], "language": "\\ud800"}'),
    (JSON, b'{"address": "eve@example.org", "newsletters": ["weekly"], "timezone": "\\ud800"}'),
    (JSON, b'{"\\ud800": 1}'),
    (JSON, b'{"consent": "\\ud800", "address": "eve@example.org", "newsletters": ["weekly"]}'),
]
#: Whose button is all that is asked; the first is RFC 8058's, whose body may be anything.
ANY_BODY = {"/u/{token}", "/u/{token}/undo", "/c/{token}", "/p/{token}/erase"}


def test_a_malformed_body_is_refused_and_changes_nothing(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "QUANTUM", 0.001)
    paths = posts(visit)
    for route in ANY_BODY:
        for kind, body in BODIES:
            assert visit.ask("POST", paths[route], body, content_type=kind).status == 200, (route, body[:80])
    before = visit.everything()
    for route, path in paths.items():
        for kind, body in BODIES if route not in ANY_BODY else ():
            status = visit.ask("POST", path, body, content_type=kind).status
            assert 400 <= status < 500, (route, status, kind, body[:80])
    assert visit.everything() == before


def test_an_oversized_body_is_refused(visit: Visit) -> None:
    before = visit.everything()
    for kind in (FORM, JSON, "multipart/form-data; boundary=x", ""):
        for path in posts(visit).values():
            answer = visit.ask("POST", path, b"a" * (web.guard.LARGEST_BODY + 1), content_type=kind)
            assert answer.status in (413, 415), path
    assert visit.everything() == before


def test_no_path_is_a_fault_of_ours(visit: Visit) -> None:
    before = visit.everything()
    wrongs = ["\0", "\ud800", "é", "a" * 5_000, "..", "%", "\r\nx: y", "1" * 400, "weekly\0", " "]
    quoted = [quote(one.encode("utf-8", "surrogatepass"), safe="") for one in wrongs] + ["%ff", "%C3%28"]
    for route in posts(visit):
        for one in quoted if "{" in route else ():
            path = route.replace("{token}", one).replace("{newsletter}", one)
            for method in ("GET", "POST"):
                assert 400 <= visit.ask(method, path, b"", content_type=FORM).status < 500, (method, path)
    assert visit.everything() == before


def test_the_api_refuses_what_is_malformed(publication: PublicationFactory, sqlite_store: Store) -> None:
    raws = [body for _, body in BODIES if body] + [b"a" * 70_000]  # an empty body is an empty object
    with serving(publication(), sqlite_store) as client:
        subscriptions.add(sqlite_store, ADA, ["weekly"], consent="said so", now=client.clock.now)
        for one in OPERATIONS:
            for raw in raws if one.method in ("POST", "PATCH") else ():
                path = one.path.replace("{id}", "1")
                answer = client.ask(one.method, path, raw=raw, if_match="*")
                assert 400 <= answer.status < 500, (path, raw[:80], answer.raw)
        record = subscriptions.show(sqlite_store, ADA)
        assert record is not None
        assert [one.standing for one in record.subscriptions] == ["active"]


# Endless


def test_slow_clients_that_sign_up_are_dropped_and_keep_nobody_waiting(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 1.0)
    head = f"POST /subscribe/ HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: 5000\r\n\r\n"
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        open_ = [stack.enter_context(socket.create_connection(("127.0.0.1", visit.port))) for _ in range(60)]
        for one in open_:
            one.settimeout(0.01)
            one.sendall(head.encode())
        assert visit.post("/subscribe/weekly", {"address": "cy@example.org"}).status == 200
        while open_ and time.monotonic() - begun < 30:
            open_ = [one for one in open_ if _drips(one)]
        assert not open_, "each was dropped, however steadily it dripped"
    assert len(visit.letters()) == 2, "bob's and cy's"


def _drips(slow: socket.socket) -> bool:
    try:
        slow.sendall(b"a")
        return slow.recv(1000) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


def test_a_body_that_says_no_length_is_bounded_too(visit: Visit) -> None:
    def chunks() -> Iterator[bytes]:
        while True:
            yield b"address=" + b"a" * 8_000 + b"&"

    for path in ("/subscribe/", "/preferences/"):
        connection = http.client.HTTPConnection("127.0.0.1", visit.port, timeout=30)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", path, chunks(), {"content-type": FORM}, encode_chunked=True)
        with contextlib.suppress(ConnectionResetError, http.client.BadStatusLine):
            assert connection.getresponse().status in (413, 431)
        connection.close()
    assert visit.get("/healthz").status == 200
