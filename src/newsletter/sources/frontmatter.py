"""Front matter: YAML between two `---` lines, every scalar read as a string and typed here.

Unknown, doubled and mistyped keys are refused with their line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from newsletter.content import clean_line, parse_date
from newsletter.errors import InputError
from newsletter.model import Author, Citation, ContentNote, Correction, Relation

_MAX_SIZE = 64_000  # characters
_MAX_DEPTH = 8
_LOADER: type[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", re.ASCII)
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_MAY_BE_ANCHOR = re.compile(r"(?:^|[\s\[{,:-])[&*][^\s,\]}]")
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0", ""}


@dataclass(frozen=True, slots=True)
class Node:
    """A YAML value and its line in the file: a string, a list of nodes, or a mapping of nodes."""

    value: str | list[Node] | dict[str, Node]
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The lead picture as written."""

    src: str
    alt: str = ""
    caption: str = ""
    credit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReference:
    """An own earlier post as written: a slug, a file or a URL."""

    post: str
    relation: Relation = Relation.RELATED
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMatter:
    """What stands above a post's text, typed."""

    title: str
    published: datetime
    date_only: bool
    updated: datetime | None = None
    authors: tuple[Author, ...] = ()
    tags: tuple[str, ...] = ()
    summary: str = ""
    slug: str = ""
    language: str = ""
    image: Picture | None = None
    sources: tuple[Citation, ...] = ()
    references: tuple[WrittenReference, ...] = ()
    corrections: tuple[Correction, ...] = ()
    content_note: ContentNote | None = None
    minor: bool = False
    draft: bool = False


def split(text: str) -> tuple[str, str] | None:
    """Return the YAML and the text behind it, or None where there is no front matter.

    The text has LF line breaks and no byte order mark. The YAML begins in line 2. Raises InputError when the
    second `---` is missing.
    """
    first, _, rest = text.partition("\n")
    if first.rstrip() != "---":
        return None
    end = re.search(r"^---[ \t]*$\n?", rest, re.MULTILINE)
    if end is None:
        raise InputError(
            "the front matter is not closed", where=":1", remedy="Put a line of three hyphens behind it"
        )
    return rest[: end.start()], rest[end.end() :]


def read(text: str, zone: str) -> FrontMatter:
    """Type a front matter; InputError carries `:LINE` as its `where`."""
    root = _load(text)
    if not isinstance(root.value, dict):
        raise _wrong(root, "the front matter is not a list of keys", "Write one `key: value` a line")
    _only_known(root.value, frozenset(FIELDS))
    found: dict[str, Any] = {}
    for key, node in root.value.items():
        FIELDS[key](found, key, node, zone)
    for key in ("title", "date"):
        if not found.get(key):
            line = root.value[key].line if key in root.value else 1
            raise InputError(f"the post has no {key}", where=f":{line}", remedy=f"Add: {key}: …")
    found["published"], found["date_only"] = found.pop("date")
    updated = found.get("updated")
    if updated and updated < found["published"]:
        raise _wrong(root.value["updated"], "updated is before date", "Correct one of the two")
    return FrontMatter(**found)


# YAML


def _load(text: str) -> Node:
    if len(text) > _MAX_SIZE:
        raise InputError("the front matter is too long", where=":1", remedy="Close it with a line of ---")
    try:
        _check_structure(text)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line = mark.line + 2 if mark else 1
        what = clean_line(" ".join(filter(None, (e.context, e.problem))))
        raise InputError(
            f"the front matter is not valid YAML: {what}",
            where=f":{line}",
            remedy="Put quotes around a text that holds a colon or begins with a special character",
        ) from e
    except yaml.YAMLError as e:
        raise InputError(f"the front matter is not valid YAML: {clean_line(str(e))}", where=":1") from e
    return Node({}, 1) if node is None else _convert(node)


def _check_structure(text: str) -> None:
    """Refuse anchors, aliases and deep nesting before anything is built from them."""
    if not _MAY_BE_ANCHOR.search(text) and sum(map(text.count, ("[", "{", "- -", "? "))) <= _MAX_DEPTH:
        return
    depth = 0
    event: Any
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InputError(
                "anchors and aliases are not allowed",
                where=f":{event.start_mark.line + 2}",
                remedy="Put quotes around a text that begins with & or *",
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise InputError("the front matter is nested too deeply", where=f":{event.start_mark.line + 2}")


def _convert(node: Any) -> Node:
    line = node.start_mark.line + 2
    if isinstance(node, yaml.ScalarNode):
        return Node(node.value, line)
    if isinstance(node, yaml.SequenceNode):
        return Node([_convert(item) for item in node.value], line)
    found: dict[str, Node] = {}
    for key_node, value in node.value:
        key_line = key_node.start_mark.line + 2
        if not isinstance(key_node, yaml.ScalarNode):
            raise InputError("a key is not a word", where=f":{key_line}", remedy="Write `key: value`")
        key = str(key_node.value)
        if key in found:
            raise InputError(
                f"the key {key!r} is there twice", where=f":{key_line}", remedy="Remove one of them"
            )
        converted = _convert(value)
        found[key] = Node(converted.value, key_line)
    return Node(found, line)


# Types


def _wrong(node: Node, what: str, remedy: str) -> InputError:
    return InputError(what, where=f":{node.line}", remedy=remedy)


def _only_known(mapping: dict[str, Node], known: frozenset[str]) -> None:
    for key, node in mapping.items():
        if key not in known:
            near = difflib.get_close_matches(key.lower(), sorted(known), 1)
            remedy = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(sorted(known))}"
            raise _wrong(node, f"the key {key!r} is not known", remedy)


def _text(key: str, node: Node) -> str:
    if not isinstance(node.value, str):
        raise _wrong(node, f"{key} must be a text", f"Write {key}: … on one line")
    return clean_line(node.value)


def _list(node: Node) -> list[Node]:
    """Return the items of a list; one item may stand without being one."""
    if isinstance(node.value, list):
        return node.value
    return [] if node.value == "" else [node]


def _mapping(key: str, node: Node, known: str, needed: str = "") -> dict[str, str] | None:
    """Return a mapping of texts with only known keys, or None when the node is not a mapping."""
    if not isinstance(node.value, dict):
        return None
    _only_known(node.value, frozenset(known.split()))
    texts = {name: _text(name, value) for name, value in node.value.items()}
    if needed and not texts.get(needed):
        raise _wrong(node, f"{key} has no {needed}", f"Add: {needed}: …")
    return texts


def _date(node: Node, text: str, zone: str) -> tuple[datetime, bool]:
    try:
        return parse_date(text, zone)
    except InputError as e:
        raise InputError(e.what, where=f":{node.line}", remedy=e.remedy) from e


def _line(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    found[key] = _text(key, node)


def _published(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    text = _text(key, node)
    if text:
        found[key] = _date(node, text, zone)


def _updated(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    text = _text(key, node)
    if text:
        found[key] = _date(node, text, zone)[0]


def _authors(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    if "authors" in found:
        raise _wrong(node, "author and authors are both there", "Keep one of them")
    if key == "author" and isinstance(node.value, list):
        raise _wrong(node, "author is one name", "Write authors: for several")
    authors = []
    for item in _list(node):
        texts = _mapping("author", item, "name uri", "name")
        author = Author(name=_text(key, item)) if texts is None else Author(**texts)
        if author.name:
            authors.append(author)
    found["authors"] = tuple(authors)


def _tags(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    items = _list(node) if isinstance(node.value, list) else []
    texts = [_text(key, item) for item in items] if items else _text_or_empty(key, node).split(",")
    tags: dict[str, str] = {}
    for text in map(str.strip, texts):
        if text:
            tags.setdefault(text.casefold(), text)
    found["tags"] = tuple(tags.values())


def _text_or_empty(key: str, node: Node) -> str:
    return "" if node.value == [] else _text(key, node)


def _slug(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    slug = _text(key, node)
    if slug and (len(slug) > 100 or not SLUG.fullmatch(slug)):
        raise _wrong(
            node, f"the slug {slug!r} is not allowed", "Use a-z, 0-9 and single hyphens between them"
        )
    found[key] = slug


def _language(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    language = _text(key, node)
    if language and not _LANGUAGE.fullmatch(language):
        raise _wrong(node, f"{language!r} is not a language tag", "Write one such as en-AU (BCP 47)")
    found[key] = language


def _image(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    texts = _mapping(key, node, "src alt caption credit", "src")
    src = _text(key, node) if texts is None else ""
    if texts is not None:
        found[key] = Picture(**texts)
    elif src:
        found[key] = Picture(src=src)


def _sources(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    citations = []
    for item in _list(node):
        texts = _mapping("a source", item, "author title publisher place kind date url")
        if texts is None:
            text = _text("a source", item)
            url = re.search(r"https?://[^\s<>\"']+[^\s<>\"'.,;:)\]]", text)
            citation = Citation(text=text, url=url[0] if url else "")
        else:
            citation = Citation(text=cite(texts), **texts)
        if citation.url and not re.match(r"https?://[^\s/]+", citation.url):
            raise _wrong(item, f"{citation.url!r} is not a URL", "Write one that begins with https://")
        if not citation.text:
            raise _wrong(item, "a source says nothing", "Give it an author, a title or a publisher")
        citations.append(citation)
    found[key] = tuple(citations)


def cite(parts: dict[str, str]) -> str:
    """Write a citation: organisation or author, place, title, kind, date; the URL alone where there is nothing."""
    title = f"“{parts['title']}”" if parts.get("title") else ""
    order = [
        parts.get("author"),
        parts.get("publisher"),
        parts.get("place"),
        title,
        parts.get("kind"),
        parts.get("date"),
    ]
    return ", ".join(filter(None, order)) or parts.get("url", "")


def _references(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    references = []
    for item in _list(node):
        texts = _mapping("a reference", item, "post relation title", "post")
        if texts is None:
            texts = {"post": _text("a reference", item)}
        relation = texts.pop("relation", "") or "related"
        if relation not in set(Relation):
            raise _wrong(
                item, f"the relation {relation!r} is not known", f"Write one of {', '.join(Relation)}"
            )
        if texts["post"]:
            references.append(WrittenReference(relation=Relation(relation), **texts))
    found[key] = tuple(references)


def _corrections(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    corrections = []
    for item in _list(node):
        texts = _mapping("a correction", item, "date text", "text")
        if texts is None or not texts.get("date"):
            raise _wrong(item, "a correction needs its date and text", "Write - date: 2026-09-14 and text: …")
        corrections.append(Correction(when=_date(item, texts["date"], zone)[0], text=texts["text"]))
    found[key] = tuple(corrections)


def _content_note(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    texts = _mapping(key, node, "text title", "text")
    if texts is None:
        text = _text(key, node)
        found[key] = ContentNote(text=text) if text else None
        return
    if texts.get("title", "show") not in ("show", "hide"):
        raise _wrong(
            node, f"title: {texts['title']!r} is not allowed in a content note", "Write show or hide"
        )
    found[key] = ContentNote(text=texts["text"], show_title=texts.get("title", "show") == "show")


def _flag(found: dict[str, Any], key: str, node: Node, zone: str) -> None:
    word = _text(key, node).lower()
    if word not in _TRUE | _FALSE:
        raise _wrong(node, f"{key} is {word!r}", "Write true or false")
    found[key] = word in _TRUE


#: Every key of a front matter and what reads it.
FIELDS: dict[str, Callable[[dict[str, Any], str, Node, str], None]] = {
    "title": _line,
    "date": _published,
    "updated": _updated,
    "author": _authors,
    "authors": _authors,
    "tags": _tags,
    "summary": _line,
    "slug": _slug,
    "language": _language,
    "image": _image,
    "sources": _sources,
    "references": _references,
    "corrections": _corrections,
    "content_note": _content_note,
    "minor": _flag,
    "draft": _flag,
}
