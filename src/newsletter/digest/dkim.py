"""DKIM signatures (RFC 6376) by RSA and Ed25519 (RFC 8463), relaxed/relaxed.

The fields that must not be added or changed behind our back are signed once more than they occur. Never `l=`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from newsletter.errors import ConfigError

SIGNED = (
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Language",
    "Auto-Submitted",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Archive",
    "List-Help",
    "List-Owner",
    "List-Post",
    "Feedback-ID",
)
_OVERSIGNED = (
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Content-Type",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
)
_SPACE = re.compile(rb"[ \t]+")
_NOT_RELAXED = (b"  ", b"\t", b" \r\n")
_TRAILING = re.compile(rb"[ \t]+(?=\r\n)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One key under its name `SELECTOR._domainkey.DOMAIN`."""

    domain: str
    selector: str
    key: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        """The value of the `a=` tag."""
        return "rsa-sha256" if isinstance(self.key, RSAPrivateKey) else "ed25519-sha256"


def read_signer(domain: str, selector: str, pem: bytes, where: str) -> Signer:
    """Return a signer from a private key in PEM; raises ConfigError that never shows the key."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as e:
        raise ConfigError(
            "this is not a private key without a password, in PEM", where=where, remedy="Make a new key"
        ) from e
    if isinstance(key, Ed25519PrivateKey):
        return Signer(domain=domain, selector=selector, key=key)
    if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
        raise ConfigError(
            "a DKIM key must be RSA of at least 2048 bits, or Ed25519", where=where, remedy="Make a new key"
        )
    return Signer(domain=domain, selector=selector, key=key)


def sign(fields: Sequence[bytes], body: bytes, signers: Sequence[Signer], when: datetime) -> bytes:
    """Return one DKIM-Signature field for each signer, to be put before the fields; the same input, the same bytes."""
    if not signers:
        return b""
    digest = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
    chosen = _choose(fields)
    names = ":".join(name for name, _ in chosen)
    canonical = b"".join(_relaxed(field) for _, field in chosen if field)
    return b"".join(_signature(one, names, digest, canonical, when) for one in signers)


def relaxed_body(body: bytes) -> bytes:
    """Return the relaxed form of a body (RFC 6376 §3.4.4)."""
    if any(found in body for found in _NOT_RELAXED):
        body = _TRAILING.sub(b"", _SPACE.sub(b" ", body))
    stripped = body.rstrip(b"\r\n") if body.endswith(b"\r\n\r\n") else body.removesuffix(b"\r\n")
    return stripped + b"\r\n" if stripped else b""


def _choose(fields: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Return the signed names in order, each with its field; an empty field for one that does not occur (again)."""
    by_name = {field.partition(b":")[0].decode().lower(): field for field in fields}
    present = Counter(field.partition(b":")[0].decode().lower() for field in fields)
    assert all(count == 1 for count in present.values())
    chosen = [(name, by_name[name.lower()]) for name in SIGNED if name.lower() in by_name]
    absent = [(name, b"") for name in ("List-Post",) if name.lower() not in by_name]
    return [*chosen, *((name, b"") for name in _OVERSIGNED), *absent]


def _relaxed(field: bytes) -> bytes:
    name, _, value = field.partition(b":")
    value = _SPACE.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.lower().strip(b" \t") + b":" + value + b"\r\n"


def _signature(signer: Signer, names: str, digest: str, canonical: bytes, when: datetime) -> bytes:
    head = (
        f"DKIM-Signature: v=1; a={signer.algorithm}; c=relaxed/relaxed;\r\n"
        f" d={signer.domain}; s={signer.selector};\r\n"
        f" t={int(when.timestamp())}; bh={digest};\r\n"
        f" h={_fold_names(names)};\r\n b="
    )
    signed = canonical + _relaxed(head.encode()).removesuffix(b"\r\n")
    if isinstance(signer.key, RSAPrivateKey):
        raw = signer.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        raw = signer.key.sign(hashlib.sha256(signed).digest())
    value = base64.b64encode(raw).decode()
    return (head + "\r\n ".join(value[at : at + 72] for at in range(0, len(value), 72)) + "\r\n").encode()


def _fold_names(names: str) -> str:
    lines = [""]
    for name in names.split(":"):
        if len(lines[-1]) + len(name) > 70:
            lines.append("")
        lines[-1] += f"{name}:"
    return "\r\n ".join(lines).removesuffix(":")
