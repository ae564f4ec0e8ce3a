"""The way out over HTTP, against servers and name servers that mean harm."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate

import brotli
import dns.flags
import dns.message
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest

from misbehaving import Misbehaving, redirect, response
from misbehaving import server as server
from newsletter.errors import FetchError
from newsletter.fetch import FetchRules, fetch

RULES = FetchRules(allow_private=True, connect=2, total=5, limit=1024 * 1024)
OUTSIDE = "93.184.215.14"

# Names


class NameServer(threading.Thread):
    """Answers questions for A over UDP on loopback: each name's addresses in turn, the last one for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.turns: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self.silent: set[str] = set()

    def run(self) -> None:
        while True:
            data, peer = self.socket.recvfrom(4096)
            if not data:
                return
            question = dns.message.from_wire(data)
            (one,) = question.question
            answer = dns.message.make_response(question)
            answer.flags |= dns.flags.RA
            name = str(one.name).rstrip(".")
            if name in self.silent:
                continue
            if dns.rdatatype.to_text(one.rdtype) == "A" and name in self.turns:
                self.asked.append(name)
                turns = self.turns[name]
                addresses = turns.pop(0) if len(turns) > 1 else turns[0]
                answer.answer.append(dns.rrset.from_text(one.name, 0, "IN", "A", *addresses))
            self.socket.sendto(answer.to_wire(), peer)

    def stop(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
            knock.sendto(b"", self.socket.getsockname())
        self.join()
        self.socket.close()


@pytest.fixture
def names() -> Iterator[NameServer]:
    """Have every name of this process resolved by a name server of our own."""
    running = NameServer()
    running.start()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = running.socket.getsockname()[1]
    resolver.lifetime = 5
    dns.resolver.override_system_resolver(resolver)
    try:
        yield running
    finally:
        dns.resolver.restore_system_resolver()
        running.stop()


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Route every connection to loopback, and give the addresses that were asked for."""
    asked: list[str] = []
    connect = socket.create_connection

    def route(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        asked.append(address[0])
        return connect(("127.0.0.1", address[1]), timeout=2)

    monkeypatch.setattr(socket, "create_connection", route)
    return asked


def test_a_name_that_changes_between_check_and_connection_gains_nothing(
    server: Misbehaving, names: NameServer, connected: list[str]
) -> None:
    names.turns["rebind.test"] = [[OUTSIDE], ["127.0.0.1"]]
    port = server.server_address[1]
    server.on("/", response(b"here"))
    assert fetch(f"http://rebind.test:{port}/", FetchRules(total=5)).body == b"here"
    assert connected == [OUTSIDE]
    assert names.asked == ["rebind.test"], "asked once: the address that was checked is the one connected to"


def test_a_name_that_changes_between_a_page_and_its_redirect_is_refused(
    server: Misbehaving, names: NameServer, connected: list[str]
) -> None:
    names.turns["rebind.test"] = [[OUTSIDE], ["127.0.0.1"]]
    port = server.server_address[1]
    server.on("/", redirect(f"http://rebind.test:{port}/inside"))
    server.on("/inside", response(b"secret"))
    with pytest.raises(FetchError, match=r"leads to 127\.0\.0\.1, which is not a public address"):
        fetch(f"http://rebind.test:{port}/", FetchRules(total=5))
    assert connected == [OUTSIDE]
    assert len(server.requests) == 1


def test_a_name_server_that_does_not_answer_ends_with_the_deadline(names: NameServer) -> None:
    names.silent.add("silent.test")
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"did not answer within 0\.3 seconds"):
        fetch("http://silent.test/", FetchRules(total=0.3))
    assert time.monotonic() - began < 3


def test_one_private_address_among_public_ones_refuses_all(
    server: Misbehaving, names: NameServer, connected: list[str]
) -> None:
    names.turns["mixed.test"] = [[OUTSIDE, "10.0.0.1"]]
    with pytest.raises(FetchError, match=r"10\.0\.0\.1, which is not a public address"):
        fetch(f"http://mixed.test:{server.server_address[1]}/", FetchRules(total=5))
    assert connected == []


@pytest.mark.parametrize(
    "to",
    [
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "//[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost./",
    ],
)
def test_no_spelling_of_a_private_address_is_followed(
    server: Misbehaving, names: NameServer, connected: list[str], to: str
) -> None:
    names.turns["outside.test"] = [[OUTSIDE]]
    names.turns["localhost"] = [["127.0.0.1"]]
    for number in ("2130706433", "0x7f.1", "0177.0.0.1"):
        names.turns[number] = [["127.0.0.1"]]
    server.on("/", redirect(to))
    with pytest.raises(FetchError, match=r"not a public address|not a URL"):
        fetch(f"http://outside.test:{server.server_address[1]}/", FetchRules(total=5))
    assert connected == [OUTSIDE]


@pytest.mark.parametrize(
    "url", ["http://user@example.org/", "http://user:secret@example.org/", "http://:x@a.test/"]
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(FetchError, match="user name or password") as caught:
        fetch(url, FetchRules(total=5))
    assert "secret" not in str(caught.value)
    assert "user@" not in str(caught.value)


# Bodies


def bomb(encoding: str, size: int = 200 * 1024 * 1024) -> bytes:
    piece = bytes(1024 * 1024)
    if encoding == "br":
        made = brotli.Compressor(quality=1)
        return b"".join(made.process(piece) for _ in range(size // len(piece))) + bytes(made.finish())
    packed = zlib.compressobj(6, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    return b"".join(packed.compress(piece) for _ in range(size // len(piece))) + packed.flush()


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("gzip", "larger than 1 MiB"),
        ("deflate", "not asked for"),
        ("br", "not asked for"),
        ("gzip, gzip", "not asked for"),
    ],
)
def test_a_bomb_is_refused_within_little_memory_and_time(
    server: Misbehaving, encoding: str, said: str
) -> None:
    body = gzip.compress(bomb("gzip")) if "," in encoding else bomb(encoding)
    url = server.on("/bomb", response(body, f"Content-Encoding: {encoding}"))
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(FetchError, match=said):
            fetch(url, RULES)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 20


def test_an_endless_body_in_chunks_or_gzip_is_cut(server: Misbehaving) -> None:
    def endless(peer: socket.socket, _: bytes) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                piece = gzip.compress(b"x" * 65536)
                peer.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))

    with pytest.raises(FetchError, match="larger than 1 MiB"):
        fetch(server.on("/endless", endless), RULES)


def test_headers_without_end_are_refused(server: Misbehaving) -> None:
    def endless(peer: socket.socket, _: bytes) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(OSError):
            while True:
                peer.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")

    with pytest.raises(FetchError, match="connection failed"):
        fetch(server.on("/endless", endless), RULES)


@pytest.mark.parametrize("pause", [0.05, 0.25])
def test_the_whole_time_counts_over_redirects(server: Misbehaving, pause: float) -> None:
    stop = threading.Event()

    def slowly(peer: socket.socket, _: bytes) -> None:
        stop.wait(pause)
        peer.sendall(redirect("/slow"))

    began = time.monotonic()
    with pytest.raises(FetchError, match=r"did not answer within 0\.4 seconds|more than 5 times"):
        fetch(server.on("/slow", slowly), FetchRules(allow_private=True, total=0.4))
    stop.set()
    assert time.monotonic() - began < 20
    assert len(server.requests) <= 6


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 100",
        "Content-Length: nine",
        "Content-Length: -9",
        "Content-Length: 9\r\nContent-Length: 3",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
    ],
)
def test_a_length_that_cannot_be_is_no_answer(server: Misbehaving, head: str) -> None:
    url = server.on("/", f"HTTP/1.1 200 OK\r\n{head}\r\n\r\nonly this".encode())
    with pytest.raises(FetchError, match="connection failed"):
        fetch(url, RULES)


def test_what_stands_behind_the_length_told_is_not_read(server: Misbehaving) -> None:
    url = server.on("/", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nonly this")
    assert fetch(url, RULES).body == b"only"


def test_a_charset_that_is_none_changes_no_byte(server: Misbehaving) -> None:
    url = server.on("/", response(b"\xe9\xff", "Content-Type: text/xml; charset=utf-9\xe9"))
    got = fetch(url, RULES)
    assert got.body == b"\xe9\xff"
    assert got.content_type == "text/xml; charset=utf-9Ã©"


# Validators, refusals, redirects


def test_validators_come_back_byte_by_byte(server: Misbehaving) -> None:
    told = b'ETag: W/"caf\xe9 \xc3\xa9"\r\nLast-Modified: gestern fr\xfch\r\n'
    head = b"HTTP/1.1 200 OK\r\n" + told + b"Content-Length: 0\r\n\r\n"
    got = fetch(server.on("/", head), RULES)
    server.on("/", response(b"", status="304 Not Modified"))
    again = fetch(server.url + "/", RULES, etag=got.etag, last_modified=got.last_modified)
    assert again.not_modified
    assert b'If-None-Match: W/"caf\xe9 \xc3\xa9"\r\n' in server.requests[-1]
    assert b"If-Modified-Since: gestern fr\xfch\r\n" in server.requests[-1]


def test_304_to_who_has_nothing_is_a_failure(server: Misbehaving) -> None:
    url = server.on("/", response(b"", status="304 Not Modified"))
    for _ in range(3):
        with pytest.raises(FetchError, match=r"nothing has changed \(304\) to who has nothing"):
            fetch(url, RULES)
    assert len(server.requests) == 3, "it is not asked again and again at once"


def in_minutes(minutes: float) -> str:
    return formatdate(time.time() + minutes * 60, usegmt=True)


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Unavailable"])
@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        (["Retry-After: 90"], 90, 90),
        ([f"Retry-After: {in_minutes(300)}", f"Date: {in_minutes(295)}"], 299, 301),
        ([f"Retry-After: {in_minutes(60)}"], 600, 3600),
        ([f"Retry-After: {in_minutes(-5)}"], 0, 0),
        (["Retry-After: Mon, 23 Nov 2026 12:05:00", "Date: Mon, 23 Nov 2026 12:00:00 GMT"], 300, 300),
    ],
)
def test_both_forms_of_retry_after_are_read(
    server: Misbehaving, status: str, headers: list[str], least: float, most: float
) -> None:
    with pytest.raises(FetchError, match="come later") as caught:
        fetch(server.on("/", response(b"", *headers, status=status)), RULES)
    assert caught.value.retry_after is not None
    assert least <= caught.value.retry_after <= most


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "99999999999999", "1.5", "Mon, 99 Nov 2026 12:05:00 GMT"]
)
def test_what_is_no_retry_after_says_nothing(server: Misbehaving, value: str) -> None:
    with pytest.raises(FetchError, match="come later") as caught:
        fetch(server.on("/", response(b"", f"Retry-After: {value}", status="429 Slow")), RULES)
    assert caught.value.retry_after is None


def test_statuses_that_are_wanted_come_back_with_their_body(server: Misbehaving) -> None:
    url = server.on("/", response(b'{"code":"rest_forbidden"}', "X-WP-Total: 7", status="403 Forbidden"))
    got = fetch(url, RULES, statuses=(200, 403))
    assert (got.status, got.body, got.headers["x-wp-total"]) == (403, b'{"code":"rest_forbidden"}', "7")


@pytest.mark.parametrize("hops", [5, 6])
def test_five_redirects_are_followed_and_no_more(server: Misbehaving, hops: int) -> None:
    for number in range(hops):
        server.on(f"/{number}", redirect(f"/{number + 1}", "308 Permanent Redirect"))
    end = server.on(f"/{hops}", response(b"end"))
    if hops == 5:
        assert fetch(f"{server.url}/0", RULES).moved_to == end
    else:
        with pytest.raises(FetchError, match="more than 5 times"):
            fetch(f"{server.url}/0", RULES)


def test_a_redirect_to_nowhere_is_told(server: Misbehaving) -> None:
    url = server.on("/", b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(FetchError, match="answered 302"):
        fetch(url, replace(RULES, total=2))
