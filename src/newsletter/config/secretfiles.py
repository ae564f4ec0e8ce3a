"""Secrets in files: read them, make the one we need, and never show what is in them."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
from pathlib import Path

from newsletter.errors import ConfigError

_KEY_ID = re.compile(r"[A-Za-z0-9]{1,8}")
_SHORTEST_KEY = 16  # bytes


def read_secret(path: Path, key: str) -> str:
    """Read a secret from a file; errors name the key and the file, never the content."""
    try:
        content = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"the secret cannot be read: {reason}",
            where=f"{key} = {path}",
            remedy="Make it readable or change the key",
        ) from None  # a decoding error carries the bytes
    if not content:
        raise ConfigError("the secret is empty", where=f"{key} = {path}", remedy="Write it into that file")
    return content


def make_key_file(path: Path) -> None:
    """Make a file (mode 0600) with one new token key; when another was first, theirs stays."""
    line = f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}\n"
    with contextlib.suppress(FileExistsError):
        _write_new(path, line.encode(), f"[secrets] token_key_file = {path}")


def make_dkim_key(path: Path, *, ed25519: bool) -> bytes:
    """Make a file (mode 0600) with a new DKIM key in PEM and return it; ConfigError where there is a file already."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = (
        Ed25519PrivateKey.generate()
        if ed25519
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        _write_new(path, pem, str(path))
    except FileExistsError:
        raise ConfigError(
            "there is a file already, and a key is never overwritten",
            where=str(path),
            remedy="Choose another file and another selector; remove the old ones when no mail of theirs is on its way",
        ) from None
    return pem


def _write_new(path: Path, content: bytes, where: str) -> None:
    """Write a file whole or not at all, and never over another: FileExistsError then."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    wrong = ConfigError("the key cannot be made", where=where, remedy="Check the folder's permissions")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as e:
        raise wrong from e
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, content)
            os.fsync(handle)
            os.link(temporary, path)
        finally:
            os.close(handle)
            temporary.unlink()
    except FileExistsError:
        raise
    except OSError as e:
        raise wrong from e


def parse_keys(text: str, where: str) -> tuple[tuple[str, bytes], ...]:
    """Read token keys, `ID:BASE64` apart by white space; errors say which one is wrong, never what it is."""
    keys: dict[str, bytes] = {}
    for number, word in enumerate(text.split(), 1):
        key_id, _, value = word.partition(":")
        try:
            key = base64.b64decode(value, validate=True)
        except ValueError:
            key = b""
        wrong = ""
        if not _KEY_ID.fullmatch(key_id) or len(key) < _SHORTEST_KEY:
            wrong = f"token key {number} is malformed"
        elif key_id in keys:
            wrong = f"token key {number} has the id of an earlier one"
        if wrong:
            remedy = f"Write ID:BASE64, one a line, at least {_SHORTEST_KEY} bytes each, ids of their own"
            raise ConfigError(wrong, where=where, remedy=remedy)
        keys[key_id] = key
    if not keys:
        raise ConfigError("there is no token key", where=where, remedy="Remove the file to have one made")
    return tuple(keys.items())
