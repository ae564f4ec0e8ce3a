"""The OpenAPI 3.1 document, made of the table of operations and the models that check requests."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from newsletter import __version__
from newsletter.api.keys import Scope
from newsletter.api.operations import Operation
from newsletter.api.problems import TYPE, ProblemBody
from newsletter.api.routes import OPERATIONS

_REF = "#/components/schemas/{model}"
_HEADERS: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "description": "The same key with the same request gives the same answer for 24 hours.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "If-Match": {
        "description": "The ETag of the version that is to be changed.",
        "required": True,
        "schema": {"type": "string"},
    },
}


def document(root: str) -> dict[str, Any]:
    """Return the document of an API below this URL, which ends in a slash."""
    used: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemBody, "serialization"): None}
    for one in OPERATIONS:
        if one.answer is not None:
            used[one.answer, "serialization"] = None
        if one.body is not None:
            used[one.body, "validation"] = None
    refs, schemas = models_json_schema(list(used), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, refs)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "newsletter",
            "version": __version__,
            "description": "Subscribers, issues and deliveries of one publication.",
        },
        "servers": [{"url": f"{root}api/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": f"A key's token. Scopes: {', '.join(Scope)}.",
                }
            },
        },
    }


_Refs = Mapping[Any, dict[str, Any]]  # by model and mode


def _operation(one: Operation, refs: _Refs) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "description": f"Needs the scope `{one.scope.value}`.",
        "security": [{"token": [one.scope.value]}],
        "responses": {str(status): _response(status, one, refs) for status in one.all_statuses},
    }
    if parameters := _parameters(one):
        found["parameters"] = parameters
    if one.body is not None:
        needed = any(field.is_required() for field in one.body.model_fields.values())
        content = {"application/json": {"schema": refs[one.body, "validation"]}}
        found["requestBody"] = {"required": needed, "content": content}
    return found


def _response(status: int, one: Operation, refs: _Refs) -> dict[str, Any]:
    said: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if status not in one.success:
        said["content"] = {TYPE: {"schema": refs[ProblemBody, "serialization"]}}
    elif one.answer is not None:
        said["content"] = {"application/json": {"schema": refs[one.answer, "serialization"]}}
    return said


def _parameters(one: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "{id}" in one.path:
        number = {"type": "integer", "minimum": 0}
        found.append({"name": "id", "in": "path", "required": True, "schema": number})
    if one.query is not None:
        properties = one.query.model_json_schema(ref_template=_REF)
        inner = properties.get("$defs", {})
        for name, schema in properties["properties"].items():
            found.append({"name": name, "in": "query", "required": False, "schema": _inlined(schema, inner)})
    names = [
        *(["Idempotency-Key"] if one.method == "POST" else []),
        *(["If-Match"] if one.needs_match else []),
    ]
    return found + [{"name": name, "in": "header", **_HEADERS[name]} for name in names]


def _inlined(schema: Any, inner: dict[str, Any]) -> Any:
    """Put an enumeration where it is named; a parameter that is left out is not null."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(inner[schema["$ref"].rpartition("/")[2]], inner)
        some = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
        if len(some) == 1:
            rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
            return {**_inlined(some[0], inner), **rest}
        return {name: _inlined(value, inner) for name, value in schema.items()}
    return [_inlined(one, inner) for one in schema] if isinstance(schema, list) else schema
