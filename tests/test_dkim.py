"""DKIM signatures: dkimpy must find them good, and bad after any change."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import dkim as oracle
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import ed25519 as ed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from letters import ANN, NOW, mailer
from newsletter.config import make_dkim_key
from newsletter.digest import Signer, read_signer, record_of
from newsletter.errors import ConfigError

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED_KEY = ed.Ed25519PrivateKey.generate()
RSA = Signer(domain="herald.example.org", selector="r1", key=RSA_KEY)
ED = Signer(domain="herald.example.org", selector="e1", key=ED_KEY)
MESSAGE = mailer(RSA, ED)(ANN).content


def resolver() -> Callable[..., bytes]:
    public = RSA_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw = ED_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    records = {
        b"r1._domainkey.herald.example.org.": b"v=DKIM1; k=rsa; p=" + base64.b64encode(public),
        b"e1._domainkey.herald.example.org.": b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw),
    }
    return lambda name, timeout=5: records[name]


def verifies(content: bytes, index: int) -> bool:
    """Ask dkimpy; for Ed25519 only for what is signed, because it verifies that with a library we do not need."""
    if index == 0:
        try:
            return bool(oracle.DKIM(content).verify(dnsfunc=resolver()))
        except oracle.ValidationError:
            return False
    fields, body = oracle.rfc822_parse(content)
    name, value = [one for one in fields if one[0].lower() == b"dkim-signature"][index]
    tags = oracle.util.parse_tag_value(value)
    policy = oracle.CanonicalizationPolicy.from_c_value(tags[b"c"])
    hashed = hashlib.sha256(policy.canonicalize_body(body)).digest()
    signed = oracle.HashThrough(hashlib.sha256())
    names = [one.strip().lower() for one in tags[b"h"].split(b":")]
    oracle.hash_headers(signed, policy, policy.canonicalize_headers(fields), names, (name, value), tags)
    try:
        ED_KEY.public_key().verify(base64.b64decode(tags[b"b"]), signed.digest())
    except InvalidSignature:
        return False
    return bool(base64.b64encode(hashed) == tags[b"bh"])


@pytest.mark.parametrize("index", [0, 1])
def test_both_signatures_verify(index: int) -> None:
    assert verifies(MESSAGE, index)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Subject: The", b"Subject: A"),
        (b"From: The Herald", b"From: The Herold"),
        (b"List-Unsubscribe-Post: List", b"List-Unsubscribe-Post: Lust"),
        (b"letters.example.org/u/", b"letters.example.com/u/"),
        (b"Feedback-ID: 3", b"Feedback-ID: 4"),
        (b"To: ", b"To: x"),
        (b"The quay costs", b"The quay pays"),
        (b"\r\nReply-To:", b"\r\nFrom: Somebody <x@example.com>\r\nReply-To:"),
        (b"\r\nReply-To:", b"\r\nSubject: Another\r\nReply-To:"),
        (b"\r\nReply-To:", b"\r\nList-Post: <mailto:x@example.com>\r\nReply-To:"),
        (b"--\r\n", b"--\r\nmore text\r\n"),
    ],
)
def test_any_change_breaks_them(old: bytes, new: bytes) -> None:
    assert old in MESSAGE
    changed = MESSAGE.replace(old, new, 1) if old != b"--\r\n" else MESSAGE[: -len(old)] + new
    assert not verifies(changed, 0)
    assert not verifies(changed, 1)


def test_what_relaxed_form_forgives_does_not_break_them() -> None:
    changed = MESSAGE.replace(b"Subject: The Herald", b"subject:   The \t Herald", 1) + b"\r\n\r\n"
    assert verifies(changed, 0)


def test_the_signature_covers_what_it_must_and_no_length() -> None:
    head = MESSAGE.partition(b"\r\nFrom:")[0].replace(b"\r\n ", b" ").replace(b": ", b":")
    first, second = re.findall(rb"DKIM-Signature:(.*?)(?=\r\n|$)", head)
    for one in (first, second):
        tags = dict(re.findall(r"(\w+)=([^;]*)", one.decode().replace(" ", "")))
        names = tags["h"].lower().split(":")
        assert names.count("from") == 2
        assert {"list-unsubscribe", "list-unsubscribe-post", "feedback-id", "list-id", "date"} <= set(names)
        assert "l" not in tags
        assert tags["c"] == "relaxed/relaxed"
        assert tags["t"] == str(int(NOW.timestamp()))
    assert b"a=rsa-sha256" in first
    assert b"a=ed25519-sha256" in second
    assert all(len(line) <= 78 for line in MESSAGE.partition(b"\r\nFrom:")[0].split(b"\r\n"))


def test_signing_again_gives_the_same_bytes() -> None:
    assert mailer(RSA, ED)(ANN).content == MESSAGE


def pem(key: rsa.RSAPrivateKey | ed.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_keys_are_read_and_weak_or_foreign_ones_refused() -> None:
    assert read_signer("d.example", "s", pem(RSA_KEY), "key").algorithm == "rsa-sha256"
    assert read_signer("d.example", "s", pem(ED_KEY), "key").algorithm == "ed25519-sha256"
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    locked = RSA_KEY.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    for bad in (pem(short), pem(ec.generate_private_key(ec.SECP256R1())), locked, b"secret words"):
        with pytest.raises(ConfigError) as caught:
            read_signer("d.example", "s", bad, "[dkim] key_file")
        assert "[dkim] key_file" in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("ed25519", [False, True])
def test_a_made_key_signs_what_its_record_verifies(tmp_path: Path, ed25519: bool) -> None:
    path = tmp_path / "secrets" / "dkim.pem"
    pem = make_dkim_key(path, ed25519=ed25519)
    assert path.read_bytes() == pem
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    signer = read_signer("herald.example.org", "s1", pem, "key")
    name, text = record_of(signer)
    assert name == "s1._domainkey.herald.example.org"
    tags = dict(one.split("=", 1) for one in text.split("; "))
    assert (tags["v"], tags["k"]) == ("DKIM1", "ed25519" if ed25519 else "rsa")
    if not ed25519:
        content = mailer(signer)(ANN).content
        assert oracle.DKIM(content).verify(
            dnsfunc=lambda asked, timeout=5: {f"{name}.".encode(): text.encode()}[asked]
        )
    else:
        assert isinstance(signer.key, ed.Ed25519PrivateKey)
        assert base64.b64decode(tags["p"]) == signer.key.public_key().public_bytes(
            Encoding.Raw, PublicFormat.Raw
        )
    with pytest.raises(ConfigError, match="never overwritten"):
        make_dkim_key(path, ed25519=ed25519)
    assert path.read_bytes() == pem
    with pytest.raises(ConfigError, match="cannot be made"):
        make_dkim_key(tmp_path / "secrets" / "dkim.pem" / "x", ed25519=ed25519)


def test_a_key_never_shows_itself() -> None:
    assert "PRIVATE" not in repr(RSA)
    assert "0x" in repr(RSA_KEY)
