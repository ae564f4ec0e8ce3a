"""What a request asks for beside a path: a coding (RFC 9110 §12.5.3), and whether anything changed (§13)."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from functools import lru_cache

IDENTITY = "identity"
_TAG = re.compile(r'"[^"]*"')
_LONGEST = 300  # characters of Accept-Encoding that are looked at


def codings(offers: str) -> tuple[str, ...]:
    """Return the codings that we may send, the best one first; the last is always none at all."""
    return _codings(offers[:_LONGEST])


@lru_cache(maxsize=256)
def _codings(offers: str) -> tuple[str, ...]:
    weights: dict[str, float] = {}
    for offer in offers.lower().split(","):
        coding, *parameters = (part.strip() for part in offer.split(";"))
        weights[coding.removeprefix("x-")] = _weight(parameters)
    any_other = weights.get("*", 0.0)
    weights.setdefault(IDENTITY, 0.0)
    ranked = sorted(("br", "gzip", IDENTITY), key=lambda one: -weights.get(one, any_other))
    return (*(one for one in ranked[: ranked.index(IDENTITY)] if weights.get(one, any_other) > 0), IDENTITY)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def tags(asked: str) -> list[str]:
    """Return the entity tags of an `If-None-Match`, for weak comparison."""
    return _TAG.findall(asked)


def unchanged(asked: str | None, since: str | None, etag: str, modified: int) -> bool:
    """Judge the conditions of a request: `If-None-Match` decides alone where it is given (RFC 9110 §13.2.2)."""
    if asked is not None:
        return asked.strip() == "*" or etag in tags(asked)
    try:
        return since is not None and modified <= parsedate_to_datetime(since).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False
