"""What every check of feeds needs: one strict XML reader, the shapes of dates and addresses, HTML's look."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from hashlib import blake2b
from typing import Any, NamedTuple

from newsletter.model import Finding

#: RFC 3339 as RFC 4287 §3.3 narrows it.
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
#: An absolute IRI without white space or what no IRI may hold.
ABSOLUTE = re.compile(r'[A-Za-z][A-Za-z0-9+.-]*:[^\s<>"{}|\\^`\x00-\x1f\x7f]+')
#: An IRI, absolute or not.
REFERENCE = re.compile(r'[^\s<>"{}|\\^`\x00-\x1f\x7f]+')
WEB = re.compile(r'https?://[^\s/?#<>"{}|\\^`]+[^\s<>"{}|\\^`\x00-\x1f\x7f]*', re.IGNORECASE)
MEDIA_TYPE = re.compile(r"[^\s/;]+/[^\s/;]+\s*(;.*)?")
LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")
ADDRESS = re.compile(r"[^\s@<>()]+@[^\s@<>()]+")

#: No document is larger while it holds more than one entry, in bytes.
LARGEST = 250_000

_URL_ATTRIBUTES = ("href", "src", "cite", "poster", "data", "action", "formaction", "background")
_SCRIPTED = re.compile(r"\s*(javascript|vbscript|data:text/html)", re.IGNORECASE)
_FORBIDDEN = {"script", "iframe", "object", "embed", "form", "style", "link", "meta", "base"}
_NUMBERED = re.compile(r"\d+", re.ASCII)
_MEDIA = "{http://search.yahoo.com/mrss/}"


class Weight(Enum):
    """How much a rule weighs: what a specification demands, what it advises, what we ask of our own feeds."""

    MUST = "must"
    SHOULD = "should"
    OURS = "ours"


class Told(NamedTuple):
    """What a check of a feed tells: where, the rule that is broken, what to do, where the rule stands."""

    place: str
    rule: str
    remedy: str
    spec: str = ""
    weight: Weight = Weight.MUST


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What an entry says of itself, to be found again by a feed reader."""

    id: str
    title: str
    link: str = ""
    published: datetime | None = None
    updated: datetime | None = None


def ours(place: str, rule: str, remedy: str) -> Told:
    """Return what breaks a rule of our own: an error in our feeds, advice about others'."""
    return Told(place, rule, remedy, "", Weight.OURS)


def advice(place: str, rule: str, remedy: str, spec: str = "") -> Told:
    """Return what had better be otherwise, in whoever's feed."""
    return Told(place, rule, remedy, spec, Weight.SHOULD)


def findings(where: str, tolds: Iterable[Told], *, own: bool) -> list[Finding]:
    """Return findings of a document, errors first, each once."""
    found = [
        Finding(
            where=where,
            place=one.place,
            rule=one.rule,
            remedy=one.remedy,
            spec=one.spec,
            error=one.weight is Weight.MUST or (own and one.weight is Weight.OURS),
        )
        for one in dict.fromkeys(tolds)
    ]
    return sorted(found, key=lambda one: not one.error)


class BadDocument(Exception):
    """The document cannot be read as XML."""

    def __init__(self, told: Told) -> None:
        self.told = told
        super().__init__(told.rule)


#: What stands in a parser's message, and what to do then.
_REMEDIES = (
    ("declaration", "Remove what stands before <?xml: often an empty line in a theme's or plug-in's file"),
    ("Entity '", "XML knows no names of HTML such as &nbsp;: write the character itself"),
    ("EntityRef", "Write &amp; where an & is meant"),
    ("Opening and ending tag", "Close each element in the order in which it was opened"),
    ("Namespace prefix", "Declare the namespace in the root"),
    ("ncoding", "Declare the encoding that the bytes are in, or write UTF-8"),
    ("Char", "Remove the control characters that XML does not allow"),
    ("Premature end", "It ends in the middle: publish it again"),
    ("empty", "It is empty: publish it again"),
)


def parse_xml(document: bytes, *, typed: bool = False) -> Any:
    """Parse without entities, network, DTD or huge trees; a document type is refused unless `typed`."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as e:
        raise BadDocument(_malformed(f"line {e.lineno}", e.msg or "it cannot be read")) from e
    except (ValueError, LookupError) as e:
        raise BadDocument(_malformed("", str(e))) from e
    if root.getroottree().docinfo.doctype and not typed:
        raise BadDocument(Told("", "the document has no document type", "Remove <!DOCTYPE …>"))
    return root


def _malformed(place: str, message: str) -> Told:
    remedy = next((remedy for part, remedy in _REMEDIES if part in message), "Write well-formed XML")
    return Told(place, f"the document is well-formed: {message}", remedy, "XML 1.0 §2.1")


def text_of(element: Any) -> str:
    """Return all the text of an element, empty when there is no element."""
    return "" if element is None else "".join(element.itertext())


def as_date(text: str | None) -> datetime | None:
    """Return the instant of an RFC 3339 date, None when it is not one."""
    if text is None or not DATE.fullmatch(text):
        return None
    try:  # 60 is a leap second
        return datetime.fromisoformat(text[:17] + text[17:19].replace("60", "59") + text[19:])
    except ValueError:
        return None


class Passed:
    """Remembers by their hashes what was found right, so that it is not looked through again in every feed."""

    def __init__(self, most: int = 32_768) -> None:
        self._most = most
        self._marks: dict[bytes, None] = {}

    def __contains__(self, mark: bytes) -> bool:
        return mark in self._marks

    def add(self, marks: Iterable[bytes]) -> None:
        """Remember some, and forget the oldest."""
        self._marks.update(dict.fromkeys(marks))
        while len(self._marks) > self._most:
            self._marks.pop(next(iter(self._marks)), None)


_harmless = Passed()


def html_findings(text: str, place: str) -> Iterator[Told]:
    """Yield what is wrong with the HTML of an entry: script, addresses that are not absolute."""
    if "<" not in text:
        return
    mark = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if mark not in _harmless:
        told = list(_html_findings(text, place))
        yield from told
        if not told:
            _harmless.add([mark])


def _html_findings(text: str, place: str) -> Iterator[Told]:
    from lxml import etree, html

    try:
        tree = html.fragment_fromstring(text, create_parent="div")
    except (etree.ParserError, ValueError, AssertionError) as e:
        yield ours(place, f"the content can be read as HTML: {e}", "Mend the post")
        return
    for element in tree.iter():
        if not isinstance(element.tag, str):
            continue
        if element.tag in _FORBIDDEN:
            yield ours(place, f"the content holds no <{element.tag}>", "Remove it from the post")
        for name, value in element.attrib.items():
            if name.startswith("on"):
                yield ours(place, f"the content holds no {name} handler", "Remove it from the post")
            elif name in _URL_ATTRIBUTES and _SCRIPTED.match(value):
                yield ours(place, f"{name} is no script", "Remove it from the post")
            elif name in _URL_ATTRIBUTES and not ABSOLUTE.match(value) and not value.startswith("#"):
                yield ours(
                    place, f"{name} is absolute, not {value[:200]!r}", "Give the whole address in the post"
                )


def media_findings(element: Any, place: str) -> Iterator[Told]:
    """Yield what is wrong with the pictures of an entry or item (Media RSS 1.5.1)."""
    for name in ("content", "thumbnail"):
        for media in element.iter(f"{_MEDIA}{name}"):
            spec = f"Media RSS 1.5.1, <media:{name}>"
            url = media.get("url", "")
            if not ABSOLUTE.fullmatch(url) and (url or media.find(f"{_MEDIA}player") is None):
                yield Told(
                    place, f"media:{name} has a whole address, not {url[:200]!r}", "Mend its url", spec
                )
            for key in ("width", "height", "fileSize"):
                if not _NUMBERED.fullmatch(media.get(key, "0")):
                    rule = f"the {key} of media:{name} is a number, not {media.get(key)!r}"
                    yield Told(place, rule, "Write digits alone", spec)
            kind = media.get("type")
            if kind is not None and not MEDIA_TYPE.fullmatch(kind):
                yield Told(place, f"the type of media:{name} is a media type, not {kind!r}", "Mend it", spec)


def as_reread(text: str) -> str:
    """Return a text as feedparser mends it: what is Latin-1 to look at and UTF-8 in its bytes.

    A title that really is “Â¡” is read as “¡”, although the document is right.
    """
    try:
        return text.encode("iso-8859-1").decode("utf-8")
    except UnicodeError:
        return text
