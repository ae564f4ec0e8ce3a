"""From a request to its answer: route, token, scope, body, one transaction, and the same answer to the same key."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from newsletter.api import keys, openapi
from newsletter.api.operations import Call, Operation, Reply
from newsletter.api.problems import TYPE, Problem, conflict, missing
from newsletter.api.routes import OPERATIONS
from newsletter.api.validation import JSON, read_body, read_query
from newsletter.config import Config
from newsletter.errors import InputError, OutsideError
from newsletter.publisher import Publisher
from newsletter.store import Store, apikeys
from newsletter.store.apikeys import ApiKey, Kept
from newsletter.store.joined import Joined

LARGEST_BODY = 64 * 1024  # bytes
KEPT_FOR = timedelta(hours=24)
_WORD = re.compile(r"[\x21-\x7e]{1,255}")

log = logging.getLogger(__name__)


class Api:
    """The application below `/api/v1/`; `path` is what follows."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._busy: set[tuple[int, str]] = set()
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            raw = await _body_of(request)
            response = await run_in_threadpool(self._answer, request, raw)
        except ClientDisconnect:
            return
        except Problem as e:
            response = _problem(e)
        await response(scope, receive, send)

    def _answer(self, request: Request, raw: bytes) -> Response:
        try:
            return self._do(request, raw)
        except Problem as e:
            return _problem(e)
        except OutsideError as e:
            log.error("the API could not answer: %s", e)
            detail = "This could not be done just now, and nothing was changed. Try again in a minute."
            return _problem(
                Problem(503, "unavailable", "Try again later", detail, headers={"retry-after": "60"})
            )
        except Exception:
            log.exception("the API failed")
            return _problem(
                Problem(500, "internal", "A fault of ours", "Nothing was changed; the log says more.")
            )

    def _do(self, request: Request, raw: bytes) -> Response:
        path = f"/{request.path_params['path']}"
        method = "GET" if request.method == "HEAD" else request.method
        if path == "/openapi.json" and method == "GET":
            return _response(200, {}, self._document)
        operation, number = _find(method, path)
        key = keys.authenticate(self._store, request.headers.get("authorization"), now=self._clock())
        keys.require(key, operation.scope)
        query = read_query(operation.query, request.query_params.multi_items())
        body = None
        if operation.body is not None:
            body = read_body(operation.body, raw, request.headers.get("content-type", ""))
        call = Call(
            publisher=Publisher(self._config, self._store),
            now=self._clock(),
            id=number,
            query=query,
            body=body,
            if_match=_match_of(operation, request),
        )
        try:
            if not operation.writes:
                return _rendered(operation.do(call))
            word = _word_of(request) if operation.method == "POST" else ""
            said = hashlib.sha256(b"\0".join((operation.method.encode(), path.encode(), raw))).hexdigest()
            return self._write(operation, call, key, word, said)
        except InputError as e:
            title = "Not possible as things stand" if operation.refusal == 409 else "The request is not valid"
            word = "refused" if operation.refusal == 409 else "invalid"
            raise Problem(operation.refusal, word, title, str(e)) from e

    def _write(self, operation: Operation, call: Call, key: ApiKey, word: str, said: str) -> Response:
        """Do it, and keep the answer, in one transaction; or give the answer that was kept."""
        with self._alone(key, word):
            if operation.before is not None:
                operation.before(call)
            with self._store.write() as tx:
                kept = apikeys.answered(tx, key.id, word, now=call.now) if word else None
                if kept is not None:
                    return _again(kept, said)
                joined = Publisher(self._config, Joined(self._store, tx))
                reply = operation.do(replace(call, publisher=joined))
                response = _rendered(reply)
                if word:
                    answer = Kept(
                        request=said,
                        status=reply.status,
                        headers=dict(reply.headers),
                        body=bytes(response.body).decode(),
                        subscriber_id=reply.subscriber_id or None,
                    )
                    apikeys.keep(tx, key.id, word, answer, until=call.now + KEPT_FOR)
            if operation.method == "DELETE":
                self._store.scrub()
        return response

    @contextmanager
    def _alone(self, key: ApiKey, word: str) -> Iterator[None]:
        """Refuse a second request under an idempotency key while the first is being done."""
        mine = (key.id, word)
        with self._lock:
            if word and mine in self._busy:
                problem = conflict(
                    "in-progress", "The first request with this Idempotency-Key is being done."
                )
                problem.headers["retry-after"] = "1"
                raise problem
            self._busy.add(mine)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(mine)

    @cached_property
    def _document(self) -> str:
        return json.dumps(openapi.document(self._config.web_url), ensure_ascii=False)


async def _body_of(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            detail = f"At most {LARGEST_BODY // 1024} KiB are taken."
            raise Problem(413, "too-large", "The body is too large", detail)
    return bytes(body)


def _find(method: str, path: str) -> tuple[Operation, int]:
    """Return the operation and the number in its path; raises Problem (404, 405)."""
    allowed = []
    for one in OPERATIONS:
        match = one.pattern.fullmatch(path)
        if match is None:
            continue
        if one.method == method:
            return one, int(match[1]) if match.groups() else 0
        allowed.append(one.method)
    if path == "/openapi.json":
        allowed.append("GET")
    if not allowed:
        raise missing("See /api/v1/openapi.json for what there is.")
    allow = ", ".join(sorted({*allowed, *(["HEAD"] if "GET" in allowed else [])}))
    headers = {"allow": allow}
    raise Problem(405, "wrong-method", "Not this way", f"Allowed here: {allow}.", headers=headers)


def _match_of(operation: Operation, request: Request) -> str:
    given = request.headers.get("if-match", "")
    if operation.needs_match and not given.strip():
        detail = "Say with If-Match which version you saw: the ETag of the answer to GET."
        raise Problem(428, "match-needed", "If-Match is needed", detail)
    return given


def _word_of(request: Request) -> str:
    word = request.headers.get("idempotency-key", "").strip()
    if word and not _WORD.fullmatch(word):
        detail = "An Idempotency-Key is 1 to 255 printable ASCII characters without spaces, such as a UUID."
        raise Problem(400, "wrong-key", "The Idempotency-Key is malformed", detail)
    return word


def _again(kept: Kept, said: str) -> Response:
    if kept.request != said:
        detail = "This Idempotency-Key came before with another request: use a new one for each."
        raise Problem(422, "key-reused", "The Idempotency-Key was used before", detail)
    return _response(kept.status, {**kept.headers, "idempotent-replayed": "true"}, kept.body)


def _rendered(reply: Reply) -> Response:
    body = "" if reply.body is None else reply.body.model_dump_json()
    return _response(reply.status, dict(reply.headers), body)


def _response(status: int, headers: dict[str, str], body: str, kind: str = JSON) -> Response:
    headers = {**headers, "cache-control": "no-store"}
    if body:
        headers["content-type"] = kind
    return Response(body, status, headers)


def _problem(problem: Problem) -> Response:
    text = problem.body.model_dump_json(exclude_none=True)
    return _response(problem.status, problem.headers, text, TYPE)
