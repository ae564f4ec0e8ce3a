"""`newsletter sources …`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, jsonable, say, say_json, table
from newsletter.errors import InputError

if TYPE_CHECKING:
    from newsletter.config import SourceConfig
    from newsletter.sources.discovery import Look


@click.group()
def sources() -> None:
    """Find sources, show how they stand, let them be asked again."""


@sources.command("list")
@json_option
@pass_context
def show(context: Context, as_json: bool) -> None:
    """Show each source: last gathered, next, failures, why it is disabled."""
    from newsletter.sources.standing import standings

    found = standings(context.publisher.store, context.config)
    if as_json:
        say_json(found)
        return
    if not found:
        say("No source is configured. Add one with: newsletter sources add URL")
    columns = ("name", "kind", "where", "gathered", "next", "failures", "quarantined", "etag")
    table(
        columns,
        (
            (
                s.name,
                s.kind,
                s.place,
                s.gathered,
                "never" if s.disabled else s.next,
                s.failures,
                s.quarantined,
                s.etag,
            )
            for s in found
        ),
    )
    for one in found:
        if one.disabled:
            say(f"{one.name}: disabled: {one.disabled}. If it is back: newsletter sources enable {one.name}")
        elif one.failure:
            say(f"{one.name}: {one.failure}")


@sources.command()
@click.argument("name")
@pass_context
def enable(context: Context, name: str) -> None:
    """Ask a source again at the next gathering: one that was gone (410), or that asked to come later."""
    from newsletter.sources import standing

    stood = standing.enable(context.publisher.store, context.config, name)
    say(f"{name}: it is asked at the next gathering." if stood else f"{name}: nothing stands against it.")


@sources.command()
@click.argument("target", metavar="PLACE")
@click.option("--name", default="", help="Its name, which never changes; made from the address by default.")
@click.option("--kind", default="", help="Take this kind of what is found, not the first.")
@click.option("--yes", is_flag=True, help="Add it without asking.")
@json_option
@pass_context
def add(context: Context, target: str, name: str, kind: str, yes: bool, as_json: bool) -> int:
    """Find what there is to gather at a URL or path, show what it would bring, write it into newsletter.toml."""
    from newsletter.config.editing import add_source
    from newsletter.sources.discovery import discover, look

    config = context.config
    _refuse_twice(context, target, name)
    found = discover(config, target, name=name)
    chosen = next((one for one in found.sources if kind in ("", one.kind)), None)
    if chosen is None:
        kinds = ", ".join(dict.fromkeys(one.kind for one in found.sources))
        raise InputError(
            f"no source of the kind {kind!r} is found there", where=target, remedy=f"Found: {kinds}"
        )
    _refuse_twice(context, str(chosen.url or chosen.path), chosen.name)
    seen = look(config, chosen, now=datetime.now(UTC))
    if not as_json:
        _say_look(seen, [one for one in found.sources if one is not chosen], found.notes)
    added = not seen.failed and (yes or (not as_json and click.confirm("Add it to newsletter.toml?")))
    if added:
        add_source(config.folder, _written(chosen))
    if as_json:
        say_json({"added": added, "notes": found.notes, "look": _told(seen)})
    elif added:
        say(f"Added to newsletter.toml. Gather it with: newsletter gather --source {chosen.name}")
    return 3 if seen.failed else 0


def _refuse_twice(context: Context, place: str, name: str) -> None:
    for one in context.config.sources:
        same_path = one.path is not None and context.config.path(one.path) == context.config.path(place)
        if one.name == name:
            raise InputError(f"there is a source {name!r} already", remedy="Choose another with --name")
        if same_path or (one.url is not None and one.url.rstrip("/") == place.rstrip("/")):
            raise InputError(
                f"it is a source already: {one.name}", where=place, remedy="Nothing is to be done"
            )


def _written(source: SourceConfig) -> dict[str, str]:
    told = {"name": source.name, "kind": source.kind}
    return {**told, "url": source.url} if source.url else {**told, "path": str(source.path)}


def _told(seen: Look) -> object:
    told = {**jsonable(seen), "source": _written(seen.source)}
    return {**told, "posts": [{"title": title, "published": date} for title, date in seen.posts]}


def _say_look(seen: Look, others: list[SourceConfig], notes: tuple[str, ...]) -> None:
    source = seen.source
    say(f"{source.kind} at {source.url or source.path}, as {source.name!r}:")
    if seen.failed:
        say(f"  it cannot be gathered: {seen.failed}")
    else:
        more = " or more" if seen.more else ""
        say(f"  {seen.count}{more} posts, {len(seen.quarantined)} quarantined")
    for title, date in seen.posts:
        say(f"  {date:%Y-%m-%d}  {title}")
    for bad in seen.quarantined:
        say(f"  quarantined: {bad.where}: {bad.reason}. {bad.remedy}".rstrip())
    for note in (*seen.notes, *notes):
        say(f"  note: {note}")
    for one in others:
        say(f"  also found: {one.kind} at {one.url}")
