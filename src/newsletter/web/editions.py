"""Earlier editions of feeds, and what is new since one of them (RFC 3229 with `feed`)."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

from newsletter.checks.reading import BadDocument, Told, parse_xml
from newsletter.feeds.jsonfeed import written

MOST = 2_000  # ETags whose entries are remembered
_ATOM = "{http://www.w3.org/2005/Atom}entry"
_PIECES = (_ATOM, "item", "{http://purl.org/atompub/tombstones/1.0}deleted-entry")


class Editions:
    """Remembers which entries a feed held, by the ETags under which it went out."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], frozenset[bytes]] = {}
        self._lock = threading.Lock()

    def remember(self, path: str, document: bytes, etags: list[str]) -> None:
        """Keep the entries of an edition that is replaced; a document that cannot be read has none."""
        try:
            if path.endswith(".json"):
                held = frozenset(map(_item_mark, _read(document)["items"]))
            else:
                held = frozenset(_mark(piece) for piece in _pieces(parse_xml(document)))
        except BadDocument:
            return
        with self._lock:
            for etag in etags:
                self._known.pop((path, etag), None)
                self._known[path, etag] = held
            while len(self._known) > MOST:
                self._known.pop(next(iter(self._known)))

    def since(self, path: str, etags: list[str], document: bytes) -> bytes | None:
        """Return the document without what any of these editions held; None when none of them is known."""
        with self._lock:
            held = [known for etag in etags if (known := self._known.get((path, etag))) is not None]
        if not held:
            return None
        if path.endswith(".json"):
            told = _read(document)
            told["items"] = [item for item in told["items"] if _item_mark(item) not in held[0]]
            return written(told)
        root = parse_xml(document)
        for piece in _pieces(root):
            if _mark(piece) in held[0]:
                piece.getparent().remove(piece)
        from lxml import etree

        made: bytes = etree.tostring(root, xml_declaration=True, encoding="utf-8")
        return made


def _read(document: bytes) -> dict[str, Any]:
    """Return a JSON Feed that has items."""
    try:
        told = json.loads(document)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("items"), list):
        raise BadDocument(Told("", "it is a JSON Feed", "Publish it again"))
    return told


def _item_mark(item: object) -> bytes:
    return hashlib.sha256(json.dumps(item, sort_keys=True).encode()).digest()[:16]


def _pieces(root: Any) -> list[Any]:
    return [piece for piece in root.iter(*_PIECES) if piece.getparent() is not None]


def _mark(piece: Any) -> bytes:
    from lxml import etree

    return hashlib.sha256(etree.tostring(piece, method="c14n", exclusive=True, with_tail=False)).digest()[:16]
