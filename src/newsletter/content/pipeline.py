"""From any text to Content: control characters out, limits, sanitising, tidying, and the gate."""

from __future__ import annotations

import html as entities
import re
from urllib.parse import urlsplit

from newsletter.content.characters import clean_line, strip_controls
from newsletter.content.figures import caption_images, make_figures, resolve_images
from newsletter.content.limits import MAX_HTML, check_depth, check_size
from newsletter.content.quotations import attribute_quotations, find_citations
from newsletter.content.reading import count_words, summarise
from newsletter.content.sanitise import SCHEMES, gate, intake
from newsletter.content.surroundings import Content, Surroundings
from newsletter.content.tidy import check_attributes, clear_empty, outline, regularise, settle_ids
from newsletter.content.tree import Element, parse, serialise, text_of, unwrap
from newsletter.errors import InputError
from newsletter.model import Citation, Image, Reference

_ROUNDS = 6
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PLAYER = re.compile(
    r"<(iframe|video|audio|embed|object)\b((?:[^<>\"']|\"[^\"<>]*\"|'[^'<>]*'){0,2000})>", re.IGNORECASE
)
_PLAYER_URL = re.compile(r"""(?:src|data)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_INNER_URL = re.compile(r"<source\b[^<>]{0,2000}>", re.IGNORECASE)
_LOST = {
    "script": "a script",
    "form": "a form",
    "svg": "an SVG drawing",
    "math": "a MathML formula",
    "canvas": "a canvas",
    "template": "a template",
}
_SERVER = re.compile(r"https?://[^\s/?#]")
#: Where one of these is, what looks for a lone picture, a last line or a level must not meet empty elements.
_MEETS_EMPTY = ("img", "figure", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6")
_PLAYERS = frozenset({"iframe", "video", "audio", "embed", "object"})
_START = re.compile(r"<([A-Za-z]+)")


def from_html(html: str, surroundings: Surroundings) -> Content:
    """Sanitise and regularise a fragment of HTML.

    Raises InputError for more than 10,000,000 characters or more than 100 nested elements.
    """
    check_size(html, MAX_HTML)
    html = strip_controls(html)
    check_depth(html)
    names = dict.fromkeys(name.lower() for name in _START.findall(html))
    dropped = [f"{_LOST[name]} was removed" for name in names if name in _LOST]
    if not _PLAYERS.isdisjoint(names):
        html = _players_to_links(html, surroundings, dropped)
    root, images = _round(html, surroundings, dropped)
    out = serialise(root)
    passed = gate(out)
    for _ in range(_ROUNDS):
        if passed == out:
            break
        root, images = _round(passed, surroundings, [])
        out = serialise(root)
        passed = gate(out)
    return Content(
        html=passed,
        summary=summarise(root),
        images=images,
        citations=find_citations(root),
        references=_references(root, surroundings),
        word_count=count_words(passed),
        dropped=tuple(dict.fromkeys(dropped)),
    )


def _round(html: str, surroundings: Surroundings, dropped: list[str]) -> tuple[Element, tuple[Image, ...]]:
    try:
        root = parse(intake(html))
    except ValueError as e:  # lxml's own limits
        raise InputError(f"the text cannot be read as HTML: {e}", remedy="Simplify it") from e
    _resolve_links(root, surroundings, dropped)
    images = resolve_images(root, surroundings, dropped)
    regularise(root)
    if next(root.iterdescendants(*_MEETS_EMPTY), None) is not None:
        clear_empty(root)
    if make_figures(root):
        regularise(root)
    attribute_quotations(root)
    outline(root)
    settle_ids(root, surroundings.id_prefix, surroundings.base_url)
    check_attributes(root)
    clear_empty(root)
    return root, caption_images(root, images)


def _players_to_links(html: str, surroundings: Surroundings, dropped: list[str]) -> str:
    """Replace embedded players and pages by a link to what they show."""

    def link(match: re.Match[str]) -> str:
        attributes = match[2]
        end = (
            f"</{match[1]}>" if attributes.endswith("/") else ""
        )  # as XML has it; HTML would not end it here
        url = _PLAYER_URL.search(attributes)
        if url is None and match[1].lower() in ("video", "audio"):
            inner = _INNER_URL.search(html, match.end(), match.end() + 2000)
            url = _PLAYER_URL.search(inner[0]) if inner else None
        address = entities.unescape(next(filter(None, url.groups()), "")).strip() if url else ""
        try:
            address = surroundings.link(address) if address else ""
            parts = urlsplit(address)
        except (ValueError, InputError):
            address, parts = "", urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            dropped.append(f"an embedded {match[1].lower()} without a public address was removed")
            return match[0] + end
        dropped.append(f"an embedded {match[1].lower()} became a link to {address[:200]}")
        shown = entities.escape(clean_line(parts.netloc + parts.path))
        return f'<p><a href="{entities.escape(address)}">{shown}</a></p>{match[0]}{end}'

    return _PLAYER.sub(link, html)


def _resolve_links(root: Element, surroundings: Surroundings, dropped: list[str]) -> None:
    for element in list(root.iterdescendants("a", "blockquote", "q", "del", "ins")):
        name = "href" if element.tag == "a" else "cite"
        written = element.get(name)
        if written is not None:
            url = _absolute(written, surroundings)
            if url:
                element.set(name, url)
            else:
                del element.attrib[name]
                if element.tag == "a":
                    dropped.append(f"the link {written[:80]!r} on {text_of(element)[:60]!r} was removed")
        if (
            element.tag == "a"
            and element.get("href") is None
            and not (element.get("id") or element.get("name"))
        ):
            unwrap(element)


def _absolute(written: str, surroundings: Surroundings) -> str:
    """Return the absolute URL, or nothing when there is none that may be shown."""
    written = "".join(written.split()) if "\n" in written or "\t" in written else written.strip()
    if not written:
        return ""
    if written.startswith("#"):
        return surroundings.base_url + written
    try:
        url = surroundings.link(written)
        scheme = _SCHEME.match(url)
        if scheme is None or scheme[1].lower() not in SCHEMES:
            return ""
        if (
            scheme[1].lower() in ("http", "https")
            and ("[" in url or not _SERVER.match(url))
            and not urlsplit(url).netloc
        ):
            return ""
    except (ValueError, InputError):  # such as an IPv6 address without its bracket
        return ""
    return url.replace(" ", "%20")


def _references(root: Element, surroundings: Surroundings) -> tuple[Reference, ...]:
    found: dict[str, Reference] = {}
    for link in root.iterdescendants("a"):
        url = (link.get("href") or "").partition("#")[0]
        if url and url != surroundings.base_url and url not in found and surroundings.is_own_post(url):
            found[url] = Reference(url=url, title=clean_line(text_of(link)))
    return tuple(found.values())


def unsaid(citations: tuple[Citation, ...], html: str) -> tuple[Citation, ...]:
    """Return the citations that the body does not already show, so that nothing is said twice."""
    said = clean_line(text_of(parse(html))) if citations else ""
    return tuple(citation for citation in citations if clean_line(citation.text) not in said)
