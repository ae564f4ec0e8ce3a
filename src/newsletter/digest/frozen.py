"""An issue as it is frozen: all that its renderings are made of, in one text that can be stored and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from newsletter.digest.material import Material
from newsletter.digest.rendering import Plan

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What is told, how much of it, and by which templates (sources by name)."""

    material: Material
    plan: Plan
    templates: Mapping[str, str]


def thaw(text: str) -> Frozen:
    """Return what was frozen."""
    return _adapter().validate_json(text)


def freeze(frozen: Frozen) -> str:
    """Write as JSON: the same in, the same out."""
    return _adapter().dump_json(frozen).decode()


def seed_of(frozen: Frozen) -> str:
    """Return 32 hexadecimal digits that no text in the issue can know."""
    return hashlib.sha256(freeze(frozen).encode()).hexdigest()[:32]


@cache
def _adapter() -> TypeAdapter[Frozen]:
    from pydantic import TypeAdapter

    return TypeAdapter(Frozen)
