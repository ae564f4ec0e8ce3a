"""Visits to the server that holds a source: when to come, what it said the last time, where it has gone.

What is remembered of them stands in the source's memory: `not_before`, `failed` (why the last visit brought nothing),
`gone`, `etag`, `last_modified`, `read_at`, `moved` and `url`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from newsletter.errors import FetchError, SourceError
from newsletter.fetch import Fetched, fetch, rules_of
from newsletter.sources import SourceContext, SourceState

_EACH = timedelta(minutes=10)  # never more often than this
_LONGEST = timedelta(days=1)  # and never less often, whatever the server calls fresh
_TRUSTED = timedelta(days=7)  # how long "nothing has changed" is believed without seeing it


def too_early(memory: dict[str, Any], context: SourceContext, url: str) -> str:
    """Say why a source is not visited now, empty when it is time.

    Raises SourceError for one that is gone, and again for one that failed, until it may be asked again.
    """
    if memory.get("gone"):
        raise _gone(url, context.source.name)
    wait = str(memory.get("not_before", ""))
    if not wait or not context.now < datetime.fromisoformat(wait) <= context.now + _LONGEST:
        return ""
    if memory.get("failed"):
        raise SourceError(str(memory["failed"]), where=url, remedy=f"It is asked again after {wait}")
    return f"{url} is read again after {wait}"


def visit(
    url: str,
    memory: dict[str, Any],
    context: SourceContext,
    *,
    anew: bool = False,
    accept: str = "*/*",
    statuses: Collection[int] = (200,),
) -> Fetched:
    """Ask for a document by its validators, unless `anew`, and note when to come again.

    Raises SourceError, which remembers when to ask again.
    """
    now = context.now
    read_at = str(memory.get("read_at", ""))
    anew = anew or not (read_at and now - datetime.fromisoformat(read_at) < _TRUSTED)
    try:
        answer = fetch(
            url,
            rules_of(context.config),
            etag="" if anew else memory.get("etag", ""),
            last_modified="" if anew else memory.get("last_modified", ""),
            accept=accept,
            statuses=statuses,
        )
    except FetchError as e:
        raise failure_of(e, context, url) from e
    memory["failed"] = ""
    memory["not_before"] = (now + min(max(answer.max_age, _EACH), _LONGEST)).isoformat()
    if not answer.not_modified:
        memory["etag"], memory["last_modified"] = answer.etag, answer.last_modified
        memory["read_at"] = now.isoformat()
    return answer


def failure_of(error: FetchError, context: SourceContext, url: str) -> SourceError:
    """Turn a failed fetch into what the editor is told; a server that answered is left alone for a while."""
    if error.status == 410:
        return _gone(url, context.source.name)
    if not error.status:
        return SourceError(error.what, where=error.where, remedy=error.remedy)
    return refusal(
        error.what, context, where=error.where, remedy=error.remedy, seconds=error.retry_after or 0
    )


def refusal(what: str, context: SourceContext, *, where: str, remedy: str, seconds: float = 0) -> SourceError:
    """Return an error after which a source is not asked again for so many seconds, 10 minutes at the least."""
    wait = min(max(timedelta(seconds=seconds), _EACH), _LONGEST)
    remember = {"not_before": (context.now + wait).isoformat(), "failed": what}
    return SourceError(what, where=where, remedy=remedy, remember=remember)


def _gone(url: str, name: str) -> SourceError:
    return SourceError(
        "it is gone for good (410)",
        where=url,
        remedy="Remove this source from newsletter.toml, or give its new URL; "
        f"if it is back, say so with: newsletter sources enable {name}",
        remember={"gone": "yes"},
    )


def note_move(answer: Fetched, memory: dict[str, Any], state: SourceState) -> None:
    """Use a permanent redirect's target once it was seen twice."""
    seen = memory.get("moved", ["", 0])
    times = seen[1] + 1 if answer.moved_to and seen[0] == answer.moved_to else 1
    memory["moved"] = [answer.moved_to, times if answer.moved_to else 0]
    if answer.moved_to and times >= 2:
        memory["url"] = answer.moved_to
        state.notes.append(f"it has moved for good: write url = {answer.moved_to!r} into newsletter.toml")
