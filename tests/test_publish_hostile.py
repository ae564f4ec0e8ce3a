"""Whole publications of hostile text, from the store to the files: nothing invalid is there, nobody is lost unsaid."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from awkward import post
from conftest import PublicationFactory
from newsletter.checks.feeds import check_file
from newsletter.config import Config
from newsletter.model import Post
from newsletter.publish import publish
from newsletter.store import open_store
from test_feeds import NASTY
from test_feeds_hostile import hostile
from test_publish import NOW, change, fill, send

GOOD = post(1, "A good post", tags=("trade",))
FORMS = ("atom.xml", "rss.xml", "feed.json")


def storable(value: Any) -> Any:
    """Return a value as a store can hold it: no lone surrogates in any text."""
    if isinstance(value, str):
        return value.encode("utf-8", "ignore").decode()
    if isinstance(value, tuple):
        return tuple(map(storable, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: storable(getattr(value, one.name)) for one in fields(value)})
    return value


@st.composite
def publications(draw: st.DrawFn) -> tuple[list[Post], dict[str, str]]:
    """Draw posts, each with an id and a key of its own, and what a publication says of itself."""
    posts = [GOOD]
    for seq, one in enumerate(draw(st.lists(hostile(), min_size=2, max_size=6)), 2):
        key, slug = f"{seq} {draw(NASTY)}", draw(st.just(f"post-{seq}") | NASTY)
        identity = one.id if one.id not in {other.id for other in posts} else f"{GOOD.id}{seq}"
        own = draw(st.booleans())
        told = replace(one, seq=seq, id=identity, slug=f"{seq}{slug}", source_key=key, own_page=own)
        posts.append(storable(told))
    names = ("title", "subtitle", "rights", "author", "author_uri", "description", "postal_address")
    return posts, {name: "x" + str(storable(draw(NASTY))) for name in names}


def ids(public: Path, form: str) -> list[str]:
    data = (public / "feeds" / form).read_bytes()
    if form.endswith(".json"):
        return [item["id"] for item in json.loads(data)["items"]]
    path = "//*[local-name()='item']/guid/text() | //*[local-name()='entry']/*[local-name()='id']/text()"
    return [str(one) for one in etree.fromstring(data).xpath(path)]


def valid(public: Path) -> None:
    """Assert that each feed that lies there may lie there."""
    documents = [path for path in public.glob("feeds/**/*") if path.suffix in (".xml", ".json", ".opml")]
    assert len(documents) > len(FORMS)
    for path in documents:
        assert not [one for one in check_file(path.read_bytes(), path.name) if one.error], path


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(publications(), NASTY)
def test_a_hostile_publication_is_published(
    publication: PublicationFactory,
    sqlite_pattern: Path,
    drawn: tuple[list[Post], dict[str, str]],
    later: str,
) -> None:
    some, told = drawn
    base = publication()
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(sqlite_pattern, f"{name}/newsletter.db")
        config = base.model_copy(
            update={"folder": Path(name), "publication": base.publication.model_copy(update=told)}
        )
        with open_store(f"sqlite:///{name}/newsletter.db") as store:
            fill(store, some)
            send(store, [one.seq for one in some])
            lost = _published(store, config, some)
            changed = replace(some[-1], title=f"x{storable(later)}", summary=storable(later))
            change(store, changed)
            again = _published(store, config, [*some[:-1], changed])
            assert lost - {changed.source_key} == again - {changed.source_key}, "others are as they were"
            assert publish(store, config, now=NOW).written == ()


def _published(store: Any, config: Config, some: list[Post]) -> set[str]:
    """Publish; return the keys of the posts that are left out, each with a reason."""
    report = publish(store, config, now=NOW)
    valid(config.public)
    refused = {one.where: one for one in report.refused}
    assert not [where for where in refused if where.startswith("feeds/")], "no feed is stopped by one post"
    out = {one.source_key for one in some if f"{one.source}: {one.source_key}" in refused}
    assert all(one.rule and one.remedy for one in report.refused)
    for form in FORMS:
        there = ids(config.public, form)
        assert GOOD.id in there
        assert len(there) == len(set(there)) >= len(some) - len(out)
    assert GOOD.source_key not in out
    return out
