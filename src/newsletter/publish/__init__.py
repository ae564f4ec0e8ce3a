"""Publish: write feeds and pages into the public folder, only bytes that changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from newsletter.config import Config
from newsletter.errors import NewsletterError, OutsideError
from newsletter.model import Finding
from newsletter.publish.plan import Plan, make_plan
from newsletter.publish.reading import read, site
from newsletter.publish.tree import Tree, is_safe
from newsletter.store import Store

__all__ = ["PublishReport", "publish", "site"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReport:
    """What publishing did. Paths are below the public folder; `foreign` are files there that are not ours."""

    written: tuple[str, ...] = ()
    unchanged: int = 0
    removed: tuple[str, ...] = ()
    refused: tuple[Finding, ...] = ()
    foreign: tuple[str, ...] = ()


def publish(store: Store, config: Config, *, now: datetime) -> PublishReport:
    """Write what changed and remove what is no longer wanted; what cannot be published stays as it was.

    Raises OutsideError when another process publishes, or the folder cannot be written.
    """
    with store.lock("publish") as mine:
        if not mine:
            raise OutsideError(
                "it is being published already", where=str(config.public), remedy="Try again when it is done"
            )
        try:
            return _publish(store, config)
        except OSError as e:
            if isinstance(e, NewsletterError):
                raise
            raise OutsideError(
                f"it cannot be written: {e.strerror or e}",
                where=str(e.filename or config.public),
                remedy="Check the folder, its permissions and the space left",
            ) from e


def _publish(store: Store, config: Config) -> PublishReport:
    tree = Tree(public=config.public, manifest=config.state / "published.json")
    tree.open()
    tree.public.mkdir(parents=True, exist_ok=True)
    plan = make_plan(config, read(store), known=tree.same)
    every = plan.files.keys() | plan.copies.keys()
    paths = {path for path in every if is_safe(path)}
    refused = [_unsafe(path) for path in sorted(every - paths)]
    foreign = tree.reserve(paths)
    for path in sorted(paths, key=_order):
        if tree.copied(path, plan.copies.get(path)):
            continue
        data, told = _made(plan, path)
        if told is not None:
            refused.append(told)
        elif data is None:
            continue  # nothing better is to be had: the old file stays
        elif path not in foreign:
            tree.write(path, data, plan.dates.get(path))
        elif tree.holds(path, data):
            tree.wanted.add(path)
            tree.unchanged += 1
        else:
            refused.append(_occupied(path))
    left = tree.finish()
    return PublishReport(
        written=tuple(tree.written),
        unchanged=tree.unchanged,
        removed=tuple(tree.removed),
        refused=tuple(_once([*plan.refused, *refused])),
        foreign=tuple(left),
    )


def _order(path: str) -> tuple[int, str]:
    """Put what others point to first: pictures and style, pages, then feeds."""
    kind = 0 if path.startswith("media/") or "/" not in path else 2 if path.startswith("feeds/") else 1
    return kind, path


def _made(plan: Plan, path: str) -> tuple[bytes | None, Finding | None]:
    make: Callable[[], bytes | None] | None = plan.files.get(path)
    try:
        return (plan.copies[path].read_bytes() if make is None else make()), None
    except FileNotFoundError as e:
        remedy = "Gather again, or restore the folder of pictures"
        return None, Finding(where=path, place=str(e.filename), rule="the picture is kept", remedy=remedy)
    except NewsletterError as e:
        return None, Finding(where=e.where or path, place=path, rule=e.what, remedy=e.remedy)
    except Exception as e:  # one page that cannot be made must not stop the others
        rule = f"it can be rendered: {type(e).__name__}: {e}"
        return None, Finding(where=path, place="", rule=rule, remedy="Mend the post or the template")


def _occupied(path: str) -> Finding:
    return Finding(
        where=path,
        place="",
        rule="a file is there that was not published by us",
        remedy="Move it away or delete it, then publish again",
    )


def _unsafe(path: str) -> Finding:
    return Finding(
        where=path,
        place="",
        rule="this path cannot be a file below the root",
        remedy="Give the post another slug",
    )


def _once(findings: list[Finding]) -> list[Finding]:
    """Say once what is wrong with many files alike, such as a template."""
    seen: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        seen.setdefault((one.where, one.rule), []).append(one)
    return [group[0] for group in seen.values()]
