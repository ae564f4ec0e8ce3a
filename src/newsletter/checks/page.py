"""A digest's page as its checks see it: what was found in it, where, and in whose story."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from lxml import html as lxml_html

Element: TypeAlias = Any  # lxml ships no types


class Found(NamedTuple):
    """What a check found; `post` is the title of the post whose story it lies in, empty when there is none."""

    place: str
    rule: str
    remedy: str
    post: str = ""


def parse(page: str) -> Element:
    """Parse a whole page; whatever the bytes are, there is a body."""
    root = lxml_html.document_fromstring(
        page.encode("utf-8", "replace") or b"<html>", parser=lxml_html.HTMLParser(encoding="utf-8")
    )
    if root.find("body") is None:
        root.append(lxml_html.Element("body"))
    return root


def words_of(element: Element) -> str:
    """Return the text inside, on one line."""
    return " ".join("".join(element.itertext()).split())


def place_of(element: Element) -> str:
    """Name an element by its tag and its first words."""
    words = words_of(element)
    return f"{element.tag} “{words[:30]}”" if words else f"{element.tag} in line {element.sourceline}"


def found_in(element: Element, place: str, rule: str, remedy: str) -> Found:
    """Return what was found at an element, with the post it belongs to."""
    return Found(place, rule, remedy, post_of(element))


def post_of(element: Element) -> str:
    """Return the title of the post whose story an element stands in.

    A story is what surrounds one h2 with a link: the smallest such ancestor, unless the page's own h1 or another h2
    is in it too. What stands between stories or in the footer belongs to no post.
    """
    if not isinstance(element.tag, str) or element.tag in ("html", "head", "body"):
        return ""
    for one in (element, *element.iterancestors()):
        titles = list(one.iter("h2"))
        if not titles:
            continue
        alone = len(titles) == 1 and next(one.iter("h1"), None) is None
        return words_of(titles[0]) if alone and next(titles[0].iter("a"), None) is not None else ""
    return ""
