"""Small moves on an lxml tree that keep every character of text in its place."""

from __future__ import annotations

from typing import Any, TypeAlias

from lxml import etree

from newsletter.content.sanitise import BLOCK, VOID

Element: TypeAlias = Any  # lxml ships no types

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
_APART = BLOCK | {"br"}
_SPACE = " \t\n\xa0\u200b"


def parse(polyglot: str) -> Element:
    """Parse well-formed markup into a `<div>`."""
    return etree.fromstring(f"<div>{polyglot}</div>", _PARSER)


def serialise(root: Element) -> str:
    """Write what is inside the root so that HTML and XML parsers read the same."""
    for element in root.iter():
        if element.text is None and len(element) == 0 and element.tag not in VOID:
            element.text = ""  # else it would be written as an empty-element tag
    root.tail = None
    text: str = etree.tostring(root, encoding="unicode")
    return text[len("<div>") : -len("</div>")]


def append_text(parent: Element, before: Element | None, text: str | None) -> None:
    """Put text behind `before`, or at the start of `parent` when it is None."""
    if not text:
        return
    if before is None:
        parent.text = (parent.text or "") + text
    else:
        before.tail = (before.tail or "") + text


def remove(element: Element) -> None:
    """Remove an element and its content; the text behind it stays."""
    parent = element.getparent()
    append_text(parent, element.getprevious(), element.tail)
    element.tail = None
    parent.remove(element)


def unwrap(element: Element) -> None:
    """Replace an element by its content."""
    parent, before = element.getparent(), element.getprevious()
    place = parent.index(element)
    append_text(parent, before, element.text)
    children = list(element)
    tail = element.tail
    element.tail = None
    parent.remove(element)
    for offset, child in enumerate(children):
        parent.insert(place + offset, child)
    append_text(parent, children[-1] if children else before, tail)


def wrap_children(element: Element, tag: str, attributes: dict[str, str] | None = None) -> Element:
    """Move all content of an element into one new child."""
    inner = etree.Element(tag, attributes or {})
    inner.text, element.text = element.text, None
    for child in list(element):
        inner.append(child)
    element.append(inner)
    return inner


def make(tag: str, text: str = "") -> Element:
    """Make an element."""
    element = etree.Element(tag)
    element.text = text
    return element


def is_blank(text: str | None) -> bool:
    """Tell whether a text shows nothing."""
    return not text or not text.strip(_SPACE)


def has_block(element: Element) -> bool:
    """Tell whether there is a block anywhere inside."""
    return any(inner.tag in BLOCK for inner in element.iterdescendants())


def wrap_runs(container: Element) -> None:
    """Put each run of text and inline elements between the blocks of a container into a paragraph."""
    children = list(container)
    if is_blank(container.text) and all(child.tag in BLOCK and is_blank(child.tail) for child in children):
        container.text = None
        for child in children:
            child.tail = None
        return
    run, container.text = make("p", container.text or ""), None
    for child in children:
        container.remove(child)
    for child in children:
        if child.tag not in BLOCK:
            run.append(child)
            continue
        if len(run) or not is_blank(run.text):
            container.append(run)
        run = make("p", child.tail or "")
        child.tail = None
        container.append(child)
    if len(run) or not is_blank(run.text):
        container.append(run)


def text_of(element: Element, skip: Element | None = None) -> str:
    """Return the text inside on one line, but for that of `skip`."""
    if len(element) == 0:
        return " ".join((element.text or "").split())
    if skip is None and not any(inner.tag in _APART for inner in element.iterdescendants()):
        return " ".join("".join(element.itertext()).split())
    parts: list[str] = []
    _collect(element, parts, skip)
    return " ".join("".join(parts).split())


def _collect(element: Element, parts: list[str], skip: Element | None) -> None:
    parts.append(element.text or "")
    for child in element:
        apart = child.tag in _APART
        if apart:
            parts.append(" ")
        if child is not skip:
            _collect(child, parts, skip)
        if apart:
            parts.append(" ")
        parts.append(child.tail or "")
