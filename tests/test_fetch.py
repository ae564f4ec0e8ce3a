"""The way out over HTTP, against a server on loopback that misbehaves on request."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from misbehaving import Misbehaving, redirect, response
from misbehaving import server as server
from newsletter.config import Config
from newsletter.errors import FetchError
from newsletter.fetch import FetchRules, call, check_url, fetch, is_public, rules_of

RULES = FetchRules(allow_private=True, connect=2, total=5, limit=1024 * 1024)


def test_a_plain_answer_with_its_validators_verbatim(server: Misbehaving) -> None:
    url = server.on(
        "/feed",
        response(
            b"<feed/>",
            'ETag: W/"odd tag"',
            "Last-Modified: Tuesday last",
            "Cache-Control: public, max-age=1800",
            "Content-Type: application/atom+xml; charset=utf-8",
        ),
    )
    got = fetch(url, RULES)
    assert (got.status, got.body, got.url, got.moved_to) == (200, b"<feed/>", url, "")
    assert (got.etag, got.last_modified) == ('W/"odd tag"', "Tuesday last")
    assert got.max_age == dt.timedelta(minutes=30)
    assert got.content_type.startswith("application/atom+xml")


def test_head_brings_no_body_whatever_is_said_of_it(server: Misbehaving) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\nContent-Encoding: br\r\nConnection: close\r\n\r\n"
    server.on("/old", redirect("/"))
    got = fetch(server.on("/", head).removesuffix("/") + "/old", RULES, method="HEAD")
    assert (got.status, got.body, got.url) == (200, b"", f"{server.url}/")
    assert [one.split(b" ")[0] for one in server.requests] == [b"HEAD", b"HEAD"]


def test_validators_are_given_back_and_304_has_no_body(server: Misbehaving) -> None:
    url = server.on("/feed", response(b"", status="304 Not Modified"))
    got = fetch(url, RULES, etag='W/"odd tag"', last_modified="Tuesday last")
    assert got.not_modified
    assert got.body == b""
    sent = server.requests[0]
    assert b'If-None-Match: W/"odd tag"\r\n' in sent
    assert b"If-Modified-Since: Tuesday last\r\n" in sent


def test_the_user_agent_says_whom_to_write_to(
    server: Misbehaving, publication: Callable[..., Config]
) -> None:
    config = publication()
    rules = rules_of(config)
    assert not rules.allow_private
    assert config.publication.contact in rules.user_agent
    assert config.publication.url in rules.user_agent
    url = server.on("/", response(b""))
    fetch(url, FetchRules(allow_private=True, user_agent=rules.user_agent))
    assert f"User-Agent: {rules.user_agent}\r\n".encode() in server.requests[0]


def test_gzip_is_decoded_also_in_several_members(server: Misbehaving) -> None:
    body = gzip.compress(b"a" * 5000) + gzip.compress(b"b" * 5000)
    url = server.on("/gz", response(body, "Content-Encoding: gzip"))
    assert fetch(url, RULES).body == b"a" * 5000 + b"b" * 5000


def test_a_gzip_bomb_is_refused_within_little_memory(server: Misbehaving) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(bomb.compress(bytes(1024 * 1024)) for _ in range(60)) + bomb.flush()
    assert len(body) < 100_000
    url = server.on("/bomb", response(body, "Content-Encoding: gzip"))
    with pytest.raises(FetchError, match="larger than 1 MiB"):
        fetch(url, RULES)


@pytest.mark.parametrize(
    ("body", "said"),
    [(gzip.compress(b"x" * 999, mtime=0)[:-9], "ends early"), (b"not gzip at all", "is damaged")],
)
def test_damaged_gzip_is_said(server: Misbehaving, body: bytes, said: str) -> None:
    url = server.on("/gz", response(body, "Content-Encoding: gzip"))
    with pytest.raises(FetchError, match=said):
        fetch(url, RULES)


def test_an_encoding_nobody_asked_for_is_refused(server: Misbehaving) -> None:
    url = server.on("/br", response(b"xx", "Content-Encoding: br"))
    with pytest.raises(FetchError, match="'br', which was not asked for"):
        fetch(url, RULES)


def test_an_endless_body_is_cut(server: Misbehaving) -> None:
    def endless(peer: socket.socket, _: bytes) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.sendall(b"x" * 65536)

    with pytest.raises(FetchError, match="larger than 1 MiB"):
        fetch(server.on("/endless", endless), RULES)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_dripping_bytes_end_with_the_deadline(server: Misbehaving, head: bytes) -> None:
    stop = threading.Event()

    def drip(peer: socket.socket, _: bytes) -> None:
        peer.sendall(head)
        while not stop.wait(0.02):
            peer.sendall(b"x")

    began = time.monotonic()
    try:
        with pytest.raises(FetchError, match=r"did not answer within 0\.3 seconds"):
            fetch(server.on("/drip", drip), FetchRules(allow_private=True, total=0.3))
    finally:
        stop.set()
    assert time.monotonic() - began < 2


def test_a_body_that_ends_early_is_said(server: Misbehaving) -> None:
    url = server.on("/short", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
    with pytest.raises(FetchError, match="the connection failed"):
        fetch(url, RULES)


@pytest.mark.parametrize("junk", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 999999 X\r\n\r\n", b"\x00" * 300_000])
def test_what_is_not_http_is_said(server: Misbehaving, junk: bytes) -> None:
    with pytest.raises(FetchError):
        fetch(server.on("/junk", junk), RULES)


def test_redirects_are_followed_and_permanence_is_told(server: Misbehaving) -> None:
    end = server.on("/end", response(b"here"))
    server.on("/moved", redirect("/end", "301 Moved Permanently"))
    server.on("/for-now", redirect("/moved"))
    assert fetch(server.url + "/moved", RULES).moved_to == end
    got = fetch(server.url + "/for-now", RULES)
    assert (got.url, got.moved_to, got.body) == (end, "", b"here")


def test_a_redirect_loop_ends(server: Misbehaving) -> None:
    with pytest.raises(FetchError, match="redirects more than 5 times"):
        fetch(server.on("/loop", redirect("/loop")), RULES)
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("file:///etc/passwd", "only http:// and https://"),
        ("http://user:secret@127.0.0.1/", "user name or password"),
        ("http://[::1", "not a URL"),
    ],
)
def test_each_redirect_is_checked(server: Misbehaving, to: str, said: str) -> None:
    with pytest.raises(FetchError, match=said) as caught:
        fetch(server.on("/away", redirect(to)), RULES)
    assert "secret" not in str(caught.value)


PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "169.254.169.254",
    "192.168.0.1",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "::1",
    "::",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2002:c0a8:1::1",
    "2001:0:a00:1::f5ff:fffe",
    "2001:0:5db8:d70e::f5ff:fffe",
    "64:ff9b:1::7f00:1",
    "::7f00:1",
    "2606:2800:21f:cb07:0:5efe:a00:1",
    "192.0.0.8",
    "192.88.99.1",
    "198.18.0.1",
    "3fff::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "93.184.215.14",
        "2606:2800:21f:cb07::1",
        "::ffff:93.184.215.14",
        "64:ff9b::5db8:d70e",
        "2002:5db8:d70e::1",
        "2001:0:5db8:d70e::a247:28f1",
    ],
)
def test_global_addresses_are_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_inside_ipv6(address: object) -> None:
    assert is_public(f"::ffff:{address}") == is_public(str(address))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::1]",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "0",
    ],
)
def test_no_spelling_of_loopback_is_fetched(server: Misbehaving, host: str) -> None:
    port = server.server_address[1]
    with pytest.raises(FetchError, match=r"not a public address|is not a URL"):
        fetch(f"http://{host}:{port}/", FetchRules(total=5))
    assert server.requests == []


def test_the_address_is_checked_again_at_a_redirect(
    server: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name server and the network are the outside world: one public name is routed to our server."""
    port = server.server_address[1]
    server.on("/", redirect(f"http://inside.test:{port}/secret"))
    server.on("/secret", response(b"secret"))
    names = {"outside.test": "93.184.215.14", "inside.test": "127.0.0.1", "127.0.0.1": "127.0.0.1"}
    connected: list[str] = []
    connect = socket.create_connection

    def resolve(host: str, *_: object, **__: object) -> object:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (names[host], port))]

    def route(address: tuple[str, int], *rest: object, **more: object) -> socket.socket:
        connected.append(address[0])
        return connect(("127.0.0.1", address[1]), timeout=2)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", route)
    with pytest.raises(FetchError, match=r"127\.0\.0\.1, which is not a public address"):
        fetch(f"http://outside.test:{port}/", FetchRules(total=5))
    assert connected == ["93.184.215.14"], "the address that was checked is the one connected to"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http:///x",
        "",
        "//example.org/",
        "x",
    ],
)
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(FetchError, match="only http"):
        check_url(url)


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_a_clear_refusal(text: str) -> None:
    with contextlib.suppress(FetchError):
        parsed = check_url(text)
        assert parsed.scheme in ("http", "https")
        assert parsed.host


@pytest.mark.parametrize(
    ("status", "headers", "said", "wait"),
    [
        ("404 Not Found", [], "answered 404", None),
        ("410 Gone", [], "gone for good", None),
        ("429 Too Many Requests", ["Retry-After: 120"], "come later", 120.0),
        ("503 Unavailable", [], "come later", None),
        ("503 Unavailable", ["Retry-After: soon"], "come later", None),
        (
            "503 Unavailable",
            ["Date: Mon, 23 Nov 2026 12:00:00 GMT", "Retry-After: Mon, 23 Nov 2026 12:05:00 GMT"],
            "come later",
            300.0,
        ),
    ],
)
def test_a_refusal_says_its_status_and_when_to_come_back(
    server: Misbehaving, status: str, headers: list[str], said: str, wait: float | None
) -> None:
    with pytest.raises(FetchError, match=said) as caught:
        fetch(server.on("/", response(b"", *headers, status=status)), RULES)
    assert caught.value.status == int(status[:3])
    assert caught.value.retry_after == wait


def test_nobody_listening_is_said() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match="the connection failed"):
            fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/", RULES)


def certificate(folder: Path, name: str) -> Path:
    """Write a self-signed certificate and its key for a name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize(("name", "works"), [("localhost", True), ("other.test", False)])
def test_a_certificate_must_be_of_the_name_that_was_asked(
    server: Misbehaving, tmp_path: Path, name: str, works: bool
) -> None:
    path = certificate(tmp_path, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.on("/", response(b"over TLS"))
    client = ssl.create_default_context(cafile=str(path))
    url = f"https://localhost:{server.server_address[1]}/"
    rules = FetchRules(allow_private=True, total=5, tls=client)
    if works:
        assert fetch(url, rules).body == b"over TLS"
    else:
        with pytest.raises(FetchError, match="certificate"):
            fetch(url, rules)


# Calls


def test_a_call_posts_and_returns_whatever_was_answered(server: Misbehaving) -> None:
    url = server.on("/", response(b"no", "Retry-After: 30", status="503 Busy"))
    got = call(url, RULES, method="POST", body=b"a body", headers={"X-One": "two"})
    assert (got.status, got.body, got.retry_after, got.good) == (503, b"no", 30, False)
    head, _, _ = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\n")
    assert {b"X-One: two", b"Content-Length: 6", b"Connection: close"} <= set(head.split(b"\r\n"))


def test_a_call_follows_no_redirect(server: Misbehaving) -> None:
    url = server.on("/", redirect("/inside"))
    assert call(url, RULES).status == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize("limit", [0, 1, 1000])
def test_a_call_reads_no_more_than_it_needs(server: Misbehaving, limit: int) -> None:
    def endless(sock: socket.socket, _: bytes) -> None:
        with contextlib.suppress(OSError):
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                sock.sendall(b"x" * 65536)

    got = call(server.on("/", endless), replace(RULES, limit=limit))
    assert (got.good, len(got.body)) == (True, limit + 1 if limit else 0)


def test_a_call_to_who_does_not_read_ends_in_time(server: Misbehaving) -> None:
    over = threading.Event()

    def deaf(sock: socket.socket, _: bytes) -> None:
        over.wait(30)

    url = server.on("/", deaf)
    began = time.monotonic()
    with pytest.raises(FetchError, match="did not answer within 1 seconds"):
        call(url, replace(RULES, total=1), method="POST", body=b"x" * (64 * 1024 * 1024))
    over.set()
    assert time.monotonic() - began < 10


def test_a_call_goes_to_public_addresses_only_and_names_no_path(server: Misbehaving) -> None:
    url = server.on("/token", response(b""))
    with pytest.raises(FetchError, match="not a public address") as caught:
        call(url, FetchRules())
    assert "token" not in str(caught.value)
    assert server.requests == []
    with pytest.raises(FetchError, match="connection failed") as caught:
        call("http://127.0.0.1:1/token", RULES)
    assert "token" not in str(caught.value)
