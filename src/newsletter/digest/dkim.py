"""DKIM signatures (RFC 6376) by RSA and Ed25519 (RFC 8463), relaxed/relaxed.

The fields that must not be added or changed behind our back are signed once more than they occur. Never `l=`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat

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
_PADDING, _SHA256 = padding.PKCS1v15(), hashes.SHA256()
_SPACE = re.compile(rb"[ \t]+")


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

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle for another process of this publisher, and for nowhere else: the key goes along in the clear."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, serialization.NoEncryption())
        return read_signer, (self.domain, self.selector, pem, f"[dkim] {self.selector}")


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


def record_of(signer: Signer) -> tuple[str, str]:
    """Return the name and the text of the TXT record that lets others verify a signer (RFC 6376 §3.6.1)."""
    if isinstance(signer.key, RSAPrivateKey):
        kind, format_ = "rsa", (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        kind, format_ = "ed25519", (Encoding.Raw, PublicFormat.Raw)
    public = base64.b64encode(signer.key.public_key().public_bytes(*format_)).decode()
    return f"{signer.selector}._domainkey.{signer.domain}", f"v=DKIM1; k={kind}; p={public}"


class Seal:
    """Signs the messages of one issue: what they have in common is made canonical once."""

    def __init__(
        self, same: Sequence[bytes], own: Sequence[str], signers: Sequence[Signer], when: datetime
    ) -> None:
        """Take the fields that all messages share, the names of those that each has of its own, in their order."""
        present = [_name(field) for field in same] + [name.lower() for name in own]
        assert len(present) == len(set(present)), "a field occurs once"
        chosen = [(field, name) for name in SIGNED for field in same if _name(field) == name.lower()]
        signed = [name for _, name in chosen] + [name for name in own if name in SIGNED]
        absent = [name for name in ("List-Post",) if name.lower() not in present]
        names = _fold_names(":".join([*signed, *_OVERSIGNED, *absent]))
        self._own = [name in SIGNED for name in own]
        self._same = b"".join(_relaxed(field) for field, _ in chosen)
        self._keys = [_Key(one, names, when) for one in signers]

    def sign(self, own: Sequence[bytes], body: bytes) -> bytes:
        """Return one DKIM-Signature field for each signer, to be put before all fields; the same in, the same out.

        `body` is its own relaxed form (RFC 6376 §3.4.4), as all that `encoding` makes is.
        """
        if not self._keys:
            return b""
        digest = base64.b64encode(hashlib.sha256(body).digest())
        canonical = self._same + b"".join(
            _relaxed(field) for field, signed in zip(own, self._own, strict=True) if signed
        )
        return b"".join(key.sign(canonical, digest) for key in self._keys)


class _Key:
    """One signer's field, as it is written and as it is signed, without the hash of a body."""

    def __init__(self, signer: Signer, names: str, when: datetime) -> None:
        before = (
            f"DKIM-Signature: v=1; a={signer.algorithm}; c=relaxed/relaxed;\r\n"
            f" d={signer.domain}; s={signer.selector};\r\n t={int(when.timestamp())}; bh="
        ).encode()
        after = f";\r\n h={names};\r\n b=".encode()
        self._written = before, after
        relaxed = _relaxed(before + b"|" + after).removesuffix(b"\r\n")
        self._before, _, self._after = relaxed.partition(b"|")
        self._key = signer.key

    def sign(self, canonical: bytes, digest: bytes) -> bytes:
        signed = b"".join((canonical, self._before, digest, self._after))
        if isinstance(self._key, RSAPrivateKey):
            raw = self._key.sign(signed, _PADDING, _SHA256)
        else:
            raw = self._key.sign(hashlib.sha256(signed).digest())
        value = base64.b64encode(raw)
        folded = b"\r\n ".join([value[at : at + 72] for at in range(0, len(value), 72)])
        return b"".join((self._written[0], digest, self._written[1], folded, b"\r\n"))


def _name(field: bytes) -> str:
    return field.partition(b":")[0].decode().lower()


def _relaxed(field: bytes) -> bytes:
    name, _, value = field.partition(b":")
    value = value.replace(b"\r\n", b"")
    if b"  " in value or b"\t" in value:
        value = _SPACE.sub(b" ", value)
    value = value.strip(b" \t")
    return name.lower().strip(b" \t") + b":" + value + b"\r\n"


def _fold_names(names: str) -> str:
    lines = [""]
    for name in names.split(":"):
        if len(lines[-1]) + len(name) > 70:
            lines.append("")
        lines[-1] += f"{name}:"
    return "\r\n ".join(lines).removesuffix(":")
