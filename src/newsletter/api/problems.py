"""What went wrong, as a document that programs and people can read (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

TYPE = "application/problem+json"


class Fault(BaseModel):
    """One thing that is wrong with what was sent."""

    model_config = ConfigDict(extra="forbid")

    pointer: str = Field(description="Where: a JSON pointer into the body, or the name of a parameter.")
    detail: str


class ProblemBody(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="`urn:newsletter:problem:` and a word that stays the same.")
    title: str
    status: int
    detail: str
    errors: list[Fault] | None = None


class Problem(Exception):
    """An answer that is not what was asked for; `word` is what `type` ends in."""

    def __init__(
        self,
        status: int,
        word: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.body = ProblemBody(
            type=f"urn:newsletter:problem:{word}",
            title=title,
            status=status,
            detail=detail,
            errors=list(errors) or None,
        )


def conflict(word: str, detail: str) -> Problem:
    """Return the answer that something stands in the way."""
    return Problem(409, word, "Not possible as things stand", detail)


def invalid(detail: str, errors: Sequence[Fault] = ()) -> Problem:
    """Return the answer that what was sent is wrong."""
    return Problem(422, "invalid", "The request is not valid", detail, errors=errors)


def missing(what: str) -> Problem:
    """Return the answer that there is nothing."""
    return Problem(404, "not-found", "There is nothing here", what)
