"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found: in which document, where in it, by which rule, and what to do.

    `post` is the title of the post whose story the place lies in, empty when it lies in none. `spec` names
    the document that the rule comes from and its section, empty when the rule is this program's own.
    """

    where: str
    place: str
    rule: str
    remedy: str
    error: bool = True
    post: str = ""
    spec: str = ""
