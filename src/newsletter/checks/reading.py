"""What every check of feeds needs: one strict XML reader, the shapes of dates and addresses, HTML's look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from newsletter.model import Finding

#: RFC 3339 as RFC 4287 §3.3 narrows it.
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
#: An absolute IRI without white space or what no IRI may hold.
ABSOLUTE = re.compile(r'[A-Za-z][A-Za-z0-9+.-]*:[^\s<>"{}|\\^`\x00-\x1f\x7f]+')

_URL_ATTRIBUTES = ("href", "src", "cite", "poster", "data", "action", "formaction", "background")
_SCRIPTED = re.compile(r"\s*(javascript|vbscript|data:text/html)", re.IGNORECASE)
_FORBIDDEN = {"script", "iframe", "object", "embed", "form", "style", "link", "meta", "base"}


class BadDocument(Exception):
    """The document cannot be read as XML."""

    def __init__(self, place: str, rule: str) -> None:
        self.place, self.rule = place, rule
        super().__init__(rule)


def told(where: str, place: str, rule: str, remedy: str) -> Finding:
    """Return a finding of a document."""
    return Finding(where=where, place=place, rule=rule, remedy=remedy)


def parse_xml(document: bytes) -> Any:
    """Parse without entities, network, DTD or huge trees; a document type is refused."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as e:
        raise BadDocument(f"line {e.lineno}", f"the document is well-formed: {e.msg}") from e
    except ValueError as e:
        raise BadDocument("", f"the document is well-formed: {e}") from e
    if root.getroottree().docinfo.doctype:
        raise BadDocument("", "the document has no document type")
    return root


def html_findings(text: str, place: str) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the HTML of an entry: script, addresses that are not absolute."""
    if "<" not in text:
        return
    from lxml import etree, html

    try:
        tree = html.fragment_fromstring(text, create_parent="div")
    except (etree.ParserError, ValueError) as e:
        yield place, f"the content can be read as HTML: {e}", "Mend the post"
        return
    for element in tree.iter():
        if not isinstance(element.tag, str):
            continue
        if element.tag in _FORBIDDEN:
            yield place, f"the content holds no <{element.tag}>", "Remove it from the post"
        for name, value in element.attrib.items():
            if name.startswith("on"):
                yield place, f"the content holds no {name} handler", "Remove it from the post"
            elif name in _URL_ATTRIBUTES and _SCRIPTED.match(value):
                yield place, f"{name} is no script", "Remove it from the post"
            elif name in _URL_ATTRIBUTES and not ABSOLUTE.match(value) and not value.startswith("#"):
                yield place, f"{name} is absolute, not {value!r}", "Give the whole address in the post"
