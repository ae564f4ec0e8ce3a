"""Keys of the API: made once, shown once, kept as a hash; wrong tokens are slowed down.

`nl_PREFIX_SECRET`: the prefix names the key, the secret is 256 bits of chance. So a plain SHA-256 is enough to keep it:
there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from newsletter.api.problems import Problem
from newsletter.errors import InputError
from newsletter.store import Store, apikeys
from newsletter.store.apikeys import ApiKey

FREE = 5  # wrong tokens of one prefix before it rests
FIRST_REST = timedelta(seconds=1)
LONGEST_REST = timedelta(minutes=15)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")
_TOKEN = re.compile(r"nl_([0-9a-z]{10})_([A-Za-z0-9_-]{43})")
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
_STRANGERS = 256  # prefixes that are nobody's share so many counts


class Scope(StrEnum):
    """What a key may do."""

    SUBSCRIBERS_READ = "subscribers:read"
    SUBSCRIBERS_WRITE = "subscribers:write"
    ISSUES_READ = "issues:read"
    ISSUES_WRITE = "issues:write"
    DELIVERIES_READ = "deliveries:read"


# The editor's side


def make(
    store: Store, name: str, scopes: Iterable[Scope], *, now: datetime, until: datetime | None = None
) -> str:
    """Make a key and return its token, which is shown this once; raises InputError for a name that is taken."""
    if not _NAME.fullmatch(name):
        remedy = "Use lower-case letters, digits, dots and hyphens"
        raise InputError(f"{name[:40]!r} is no name for a key", remedy=remedy)
    wanted = tuple(sorted({scope.value for scope in scopes}))
    if not wanted:
        raise InputError("a key without a scope may do nothing", where=name, remedy="Give one with --scope")
    if until is not None and until <= now:
        raise InputError("that instant has passed", where=name, remedy="Name a later one")
    prefix = "".join(secrets.choice(_LETTERS) for _ in range(10))
    token = f"nl_{prefix}_{secrets.token_urlsafe(32)}"
    with store.write() as tx:
        if not apikeys.add(
            tx, name=name, prefix=prefix, digest=_hash(token), scopes=wanted, now=now, until=until
        ):
            remedy = "Choose another; a name is never used again, so that it stays clear whose a key was"
            raise InputError(f"there is, or was, a key {name!r}", remedy=remedy)
    return token


def listed(store: Store) -> list[ApiKey]:
    """Return every key, also those that hold no longer."""
    with store.read() as tx:
        return apikeys.every(tx)


def revoke(store: Store, name: str, *, now: datetime) -> None:
    """Let a key hold no longer, from the next request on."""
    with store.write() as tx:
        if not apikeys.revoke(tx, name, now=now):
            raise InputError(f"no key {name[:40]!r} holds", remedy="See: newsletter api-keys list")


# The request's side


def authenticate(store: Store, header: str | None, *, now: datetime) -> ApiKey:
    """Return the key of an `Authorization` header; raises Problem (401, or 429 after several wrong ones)."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unknown("A bearer token is needed: Authorization: Bearer nl_…", bare=True)
    match = _TOKEN.fullmatch(token.strip())
    if match is None:
        raise _unknown("This is not a token of this program's. Use it whole, as it was shown once.")
    prefix = match[1]
    with store.read() as tx:
        key = apikeys.by_prefix(tx, prefix)
        counted = prefix if key is not None else _stranger(prefix)
        failures, last = apikeys.failures(tx, counted)
    if last is not None and (rest := last + rest_after(failures) - now) > timedelta():
        raise Problem(
            429,
            "too-many-failures",
            "Too many wrong tokens",
            "Several wrong tokens with this prefix came one after another. Wait before the next try.",
            headers={"retry-after": str(max(1, -(-rest // timedelta(seconds=1))))},
        )
    right = hmac.compare_digest(_hash(token.strip()), key.hash if key is not None else "0" * 64)
    if key is None or not right:
        with store.write() as tx:
            apikeys.failed(tx, counted, now=now)
        raise _unknown("No key has this token.")
    _check_holds(key, now)
    _note_use(store, key, now, forgive=counted if failures else "")
    return key


def require(key: ApiKey, scope: Scope) -> None:
    """Refuse a key that lacks a scope (403)."""
    if scope.value not in key.scopes:
        detail = f"The key {key.name} lacks the scope {scope.value}; it has {', '.join(key.scopes)}."
        challenge = f'Bearer error="insufficient_scope", scope="{scope.value}"'
        raise Problem(
            403,
            "insufficient-scope",
            "The key may not do this",
            detail,
            headers={"www-authenticate": challenge},
        )


def rest_after(failures: int) -> timedelta:
    """Return how long a prefix rests after so many wrong tokens on end: nothing at first, then it doubles."""
    if failures < FREE:
        return timedelta()
    return min(FIRST_REST * (1 << min(failures - FREE, 20)), LONGEST_REST)


def _check_holds(key: ApiKey, now: datetime) -> None:
    if key.revoked_at is not None:
        raise _unknown(f"The key {key.name} was revoked on {key.revoked_at:%Y-%m-%d}.")
    if key.expires_at is not None and key.expires_at <= now:
        raise _unknown(f"The key {key.name} expired on {key.expires_at:%Y-%m-%d}.")


def _note_use(store: Store, key: ApiKey, now: datetime, *, forgive: str) -> None:
    """Note the day, and forget wrong tokens; most requests write nothing."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if key.last_used == today and not forgive:
        return
    with store.write() as tx:
        apikeys.used(tx, key.id, today)
        apikeys.forgive(tx, forgive)


def _unknown(detail: str, *, bare: bool = False) -> Problem:
    challenge = 'Bearer realm="newsletter"' + ("" if bare else ', error="invalid_token"')
    headers = {"www-authenticate": challenge}
    return Problem(401, "unauthorised", "No valid token", detail, headers=headers)


def _stranger(prefix: str) -> str:
    """Return the count of a prefix that is nobody's: the same for the same one, and few in all."""
    return f"?{int.from_bytes(hashlib.sha256(prefix.encode()).digest()[:2], 'big') % _STRANGERS}"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
