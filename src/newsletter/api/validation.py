"""What a client sends, checked against its model; every fault is named, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

from newsletter.api.problems import Fault, Problem, invalid

JSON = "application/json"
_MOST_FAULTS = 20


def read_body(model: type[BaseModel], raw: bytes, content_type: str) -> BaseModel:
    """Read a JSON body; nothing at all is an empty object. Raises Problem (400, 415, 422)."""
    if raw and content_type.partition(";")[0].strip().lower() != JSON:
        detail = f"A body of the type {JSON} is needed, not {content_type[:60] or 'one without a type'}."
        raise Problem(415, "wrong-type", "The body is of another type", detail, headers={"accept": JSON})
    try:
        return model.model_validate_json(raw or b"{}", strict=True)
    except ValidationError as e:
        for one in e.errors(include_input=False, include_url=False):
            if one["type"] == "json_invalid":
                raise Problem(400, "not-json", "The body is not JSON", f"{one['msg']}.") from None
        raise _explained(e, model, "the body") from None  # pydantic's own error carries the values


def read_query(model: type[BaseModel] | None, pairs: Sequence[tuple[str, str]]) -> BaseModel | None:
    """Read the parameters of a URL; raises Problem (422)."""
    names = [name for name, _ in pairs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise invalid(
            "A parameter stands there twice.", [Fault(pointer=twice[0][:60], detail="Give it once.")]
        )
    if model is None:
        if pairs:
            fault = Fault(pointer=names[0][:60], detail="This parameter is not known; there is none.")
            raise invalid("A parameter is not known.", [fault])
        return None
    try:
        return model.model_validate(dict(pairs))
    except ValidationError as e:
        raise _explained(e, model, "the parameters") from None


def _explained(error: ValidationError, model: type[BaseModel], what: str) -> Problem:
    faults = []
    query = what != "the body"
    for one in error.errors(include_input=False, include_url=False)[:_MOST_FAULTS]:
        detail = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            detail = _known(model, str(one["loc"][-1]))
        elif one["type"] == "missing":
            detail = "This is needed and missing."
        place = [str(part)[:60].replace("~", "~0").replace("/", "~1") for part in one["loc"]]
        faults.append(
            Fault(pointer=".".join(place) if query else "".join(f"/{p}" for p in place), detail=detail)
        )
    count = error.error_count()
    return invalid(f"{'One thing' if count == 1 else f'{count} things'} in {what} must be mended.", faults)


def _known(model: type[BaseModel], name: str) -> str:
    known = list(model.model_fields)
    near = difflib.get_close_matches(name, known, 1)
    meant = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known) or 'nothing'}."
    return f"This is not known. {meant}"
