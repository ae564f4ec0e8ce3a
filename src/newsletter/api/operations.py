"""What an operation is: one row of the table that routes, checks and the OpenAPI document are made of."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel

from newsletter.api.keys import Scope
from newsletter.api.problems import invalid
from newsletter.publisher import Publisher

M = TypeVar("M", bound=BaseModel)
_ID = r"([0-9]{1,18})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, checked: `publisher` works in the request's own transaction when it writes."""

    publisher: Publisher
    now: datetime
    id: int = 0
    query: BaseModel | None = None
    body: BaseModel | None = None
    if_match: str = ""

    def sent(self, model: type[M]) -> M:
        """Return the body."""
        assert isinstance(self.body, model)
        return self.body

    def asked(self, model: type[M]) -> M:
        """Return the parameters."""
        assert isinstance(self.query, model)
        return self.query


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer; `subscriber_id` is whom it tells of, 0 when nobody."""

    body: BaseModel | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    subscriber_id: int = 0


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path; `statuses` are those beside what every operation may answer.

    `refusal` is the status of an error in what was asked for that only doing it shows.
    """

    method: str
    path: str  # `{id}` is a number
    name: str
    summary: str
    scope: Scope
    do: Callable[[Call], Reply]
    answer: type[BaseModel] | None
    success: tuple[int, ...] = (200,)
    statuses: tuple[int, ...] = ()
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    needs_match: bool = False
    refusal: int = 422
    before: Callable[[Call], None] | None = None  # in a transaction of its own, which stays whatever comes

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What its path looks like."""
        return re.compile(re.escape(self.path).replace(re.escape("{id}"), _ID))

    @property
    def all_statuses(self) -> tuple[int, ...]:
        """Every status that it may answer with."""
        every = {*self.success, *self.statuses, 401, 403, 422, 429, 500, 503}
        if "{id}" in self.path:
            every.add(404)
        if self.body is not None:
            every |= {400, 413, 415}
        if self.method == "POST":
            every |= {400, 409}
        if self.needs_match:
            every |= {412, 428}
        return tuple(sorted(every))


def cursor_of(last: Any) -> str:
    """Write the cursor of a page behind an id."""
    return base64.urlsafe_b64encode(f"id:{last}".encode()).decode().rstrip("=")


def id_of(cursor: str | None) -> int | None:
    """Read a cursor; raises Problem for one that was not ours."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        text = ""
    match = re.fullmatch(f"id:{_ID}", text, re.ASCII)
    if match is None:
        raise invalid("The cursor is not one that was given: use `next` of the page before.")
    return int(match[1])
