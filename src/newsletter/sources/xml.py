"""Foreign XML, made safe before anything parses it: the one parser factory, and checks on raw bytes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from newsletter.errors import InputError

MAX_DEPTH = 100
MAX_OPEN = 1_000  # tags without their >; parsers that forgive them take a time that grows with the square
_BOMS = (  # the longer ones first: UTF-32's begins as UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_CONTROLS = bytes(one for one in range(32) if one not in b"\t\n\r")
_DECLARATION = re.compile(rb"^\s*<\?xml[^>]*\?>")
_PASSIVE = re.compile(rb"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)", re.DOTALL)
_TAG = re.compile(rb"<(/?)([A-Za-z_][^\s/<>]*)[^<>]*?(/?)>")
_OPEN = re.compile(rb"<[A-Za-z/!?][^<>]*(?=<|\Z)")
_SUBSET = re.compile(rb"<!DOCTYPE[^<>\[]*\[", re.IGNORECASE)
_VOID = frozenset(b"area base br col embed hr img input link meta param source track wbr p li".split())


class XmlError(InputError):
    """A document is not well-formed; `where` is `:LINE` in it."""


def iterate(path: Path, tags: tuple[str, ...]) -> Iterator[Any]:
    """Yield each element of these names when it ends, streaming from a file; it is emptied afterwards.

    Entities, DTDs and the network are off and lxml's own limits on depth and size stay on. Control characters,
    which old exports carry and XML forbids, are passed over. Raises XmlError.
    """
    from lxml import etree

    with path.open("rb") as file:
        head = _PASSIVE.sub(b"", file.read(65536))
        if _SUBSET.search(head):
            raise XmlError(
                "its DOCTYPE has an internal subset, which can define entities without end",
                where=":1",
                remedy="Remove the DOCTYPE",
            )
        file.seek(0)
        try:
            for _, element in etree.iterparse(
                file if b"\0" in head else _Readable(file),
                events=("end",),
                tag=tags,
                resolve_entities=False,
                load_dtd=False,
                no_network=True,
                huge_tree=False,
                remove_comments=True,
                remove_pis=True,
            ):
                yield element
                _forget(element)
        except etree.XMLSyntaxError as e:
            line, column = e.position
            raise XmlError(
                f"it is not well-formed XML: {(e.msg or 'no reason given').partition(', line ')[0]} "
                f"(line {line}, column {column}); what stands before was read",
                where=f":{line}",
                remedy="Export it anew, or mend it there",
            ) from e


def _forget(element: Any) -> None:
    """Empty an element and drop those before it."""
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]


class _Readable:
    """A file without the control characters that XML forbids."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Read on; fewer bytes than asked for do not mean the end, none do."""
        while chunk := self._file.read(size):
            clean = chunk.translate(None, _CONTROLS)
            if clean:
                return clean
        return b""


def locate(data: bytes) -> str:
    """Say where and why a document is not well-formed, empty when it is."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False)
    try:
        etree.fromstring(data, parser)
    except etree.XMLSyntaxError as e:
        line, column = e.position
        reason = (e.msg or "it is not XML").partition(", line ")[0]
        return f"{reason} (line {line}, column {column})"
    return ""


def to_utf8(data: bytes, content_type: str) -> bytes:
    """Return a document as UTF-8 by its byte order mark, HTTP type, declaration or likeness, in this order."""
    from feedparser.encodings import convert_to_utf8

    for mark, encoding in _BOMS:
        if data.startswith(mark):
            text = data.decode(encoding, "replace").encode("utf-8", "replace")
            return _DECLARATION.sub(b"", text)
    try:
        converted: bytes = convert_to_utf8({"content-type": content_type}, data, {})
    except (LookupError, ValueError) as e:
        raise InputError(f"its encoding cannot be read: {e}", remedy="Save it as UTF-8") from e
    return _DECLARATION.sub(b"", converted)


def check_shape(data: bytes) -> None:
    """Raise InputError for a UTF-8 document that declares entities or nests more than 100 elements."""
    bare = _PASSIVE.sub(lambda passive: b"\n" * passive[0].count(b"\n"), data)
    if b"\0" in bare:
        raise InputError("it is not text", remedy="Check what the file or URL holds")
    if _SUBSET.search(bare):
        raise InputError(
            "its DOCTYPE has an internal subset, which can define entities without end",
            remedy="Remove the DOCTYPE",
        )
    if sum(1 for _ in _OPEN.finditer(bare)) > MAX_OPEN:
        raise InputError(f"more than {MAX_OPEN} tags in it have no end", remedy="Check what made it")
    depth = 0
    for match in _TAG.finditer(bare):
        if match[3] or match[2].lower() in _VOID:
            continue
        depth = max(0, depth - 1) if match[1] else depth + 1
        if depth > MAX_DEPTH:
            line = bare.count(b"\n", 0, match.start()) + 1
            raise InputError(
                f"elements are nested more than {MAX_DEPTH} deep (near line {line})",
                remedy="Check what made it",
            )
