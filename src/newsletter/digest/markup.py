"""Post markup in the form that mail programs show: the body's tree is read once and rewritten block by block.

Input is sanitised, absolute and well-formed (the store's `body_html`); output holds only presentation tables,
real paragraphs, lists, quotations and pictures of known size.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from lxml import etree
from lxml import html as lxml_html

from newsletter.model import Image

Element: TypeAlias = Any  # lxml ships no types

WIDTH = 536  # CSS pixels between the paper's paddings
THUMBNAIL = (148, 148)  # CSS pixels of the box that a small picture fits in
LOGO = (240, 96)
_LETTER, _PHONE = 64, 30  # characters of a table that stand side by side on the paper, on a telephone
_CONTAINERS = frozenset({"div", "section", "article", "aside"})
_BLOCKS = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "blockquote", "figure", "table", "pre", "hr"}
)
_KEPT = {
    "a": {"href"},
    "blockquote": {"cite"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_PICTURES = frozenset({"image/jpeg", "image/png", "image/gif"})
_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif")


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as it is shown: URL and CSS pixels."""

    src: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture with its caption and credit; `shown` is None for one that mails cannot show."""

    image: Image
    shown: Shown | None


def parse(markup: str) -> Element:
    """Parse a fragment into a `<div>` whose children are blocks; loose text becomes paragraphs."""
    root = lxml_html.fragment_fromstring(
        f"<div>{markup}</div>", parser=lxml_html.HTMLParser(encoding="utf-8")
    )
    for element in list(root.iter(etree.Comment, etree.ProcessingInstruction)):
        element.drop_tree() if hasattr(element, "drop_tree") else element.getparent().remove(element)
    _flatten(root)
    return root


def _flatten(root: Element) -> None:
    """Dissolve containers and wrap inline runs of the top level."""
    for child in list(root):
        if child.tag in _CONTAINERS:
            _flatten(child)
            child.drop_tag()
    pieces = [root.text, *((child, child.tail) for child in root)]
    root.text = None
    run: Element | None = None
    for piece in pieces:
        child, text = piece if isinstance(piece, tuple) else (None, piece)
        if child is not None:
            child.tail = None
            if child.tag in _BLOCKS:
                root.append(child)
                run = None
            else:
                run = etree.SubElement(root, "p") if run is None else run
                run.append(child)
        if text and text.strip():
            run = etree.SubElement(root, "p") if run is None else run
            _append(run, text)
        elif text and run is not None:
            _append(run, " ")
    _drop_blank(root)


def _append(run: Element, text: str) -> None:
    if len(run):
        run[-1].tail = (run[-1].tail or "") + text
    else:
        run.text = (run.text or "") + text


def _drop_blank(root: Element) -> None:
    for child in list(root):
        if child.tag == "p" and child.find(".//img") is None and not text_of(child):
            root.remove(child)


def text_of(element: Element) -> str:
    """Return the text inside, on one line."""
    return " ".join("".join(element.itertext()).split())


def is_secure(url: str) -> bool:
    """Tell whether nobody on the way can change what a URL gives: https, or this machine itself (a demo)."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    )


def show(image: Image, media_url: str) -> Shown | None:
    """Return how a picture is shown: twice as many pixels as it takes up, where it has them.

    None for what a mail cannot show: unknown size, not https, or a format that mail programs do not read.
    """
    src = media_url + image.large if image.large else image.src
    if not _can_be_shown(image, src):
        return None
    width = WIDTH if image.width >= WIDTH else max(image.width // 2, min(image.width, 160))
    return Shown(src, image.alt, width, max(1, round(image.height * width / image.width)))


def show_small(image: Image, media_url: str, box: tuple[int, int]) -> Shown | None:
    """Return how a picture is shown inside a box of CSS pixels, uncut, from its small copy; never enlarged."""
    src = media_url + image.small if image.small else image.src
    if not _can_be_shown(image, src):
        return None
    scale = min(box[0] / image.width, box[1] / image.height, 1)
    width, height = (max(3, round(side * scale)) for side in (image.width, image.height))
    return Shown(src, image.alt, width, height)


def _can_be_shown(image: Image, src: str) -> bool:
    media_type = image.media_type in _PICTURES if image.media_type else True
    good = urlsplit(src).path.lower().endswith(_SUFFIXES) and media_type
    return good and is_secure(src) and image.width > 2 and image.height > 2


def clear_footnotes(root: Element, page: str, *, keep: bool) -> None:
    """Unlink what leads to a place on the post's own page; footnote signs go with their notes unless kept."""
    for link in list(root.iter("a")):
        before, sign, _ = link.get("href", "").partition("#")
        if not sign or before not in ("", page):
            continue
        outer = link.getparent() if link.getparent().tag == "sup" else None
        back = text_of(link).strip("\ufe0e\ufe0f") in ("↩", "↑", "^", "⏎")
        if back or (outer is not None and not keep):
            (outer if outer is not None and not back else link).drop_tree()
        else:
            link.drop_tag()


def figure_of(element: Element, images: tuple[Image, ...], media_url: str) -> Figure | None:
    """Return the picture of a `<figure>`, or of a paragraph that holds nothing but one."""
    pictures = element.findall(".//img")
    if len(pictures) != 1 or (element.tag == "p" and text_of(element)) or element.tag not in ("figure", "p"):
        return None
    caption = element.find(".//figcaption")
    credit = caption.find(".//small") if caption is not None else None
    known = _image(pictures[0], images)
    whole, by = text_of(caption) if caption is not None else "", text_of(credit) if credit is not None else ""
    image = Image(
        src=known.src,
        alt=known.alt,
        caption=(whole.removesuffix(by).strip() if by else whole) or known.caption,
        credit=by or known.credit,
        width=known.width,
        height=known.height,
        media_type=known.media_type,
        large=known.large,
    )
    return Figure(image, show(image, media_url))


def _image(element: Element, images: tuple[Image, ...]) -> Image:
    src = element.get("src", "")
    for image in images:
        if src and (image.src == src or (image.large and src.endswith("/" + image.large))):
            return image
    return Image(
        src=src,
        alt=element.get("alt", ""),
        width=_pixels(element.get("width", "")),
        height=_pixels(element.get("height", "")),
    )


def _pixels(value: str) -> int:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else 0


def for_mail(block: Element, first_heading: int, ranks: list[str]) -> str:
    """Return a block that is not a figure in mail form; its headings begin at `first_heading`."""
    element = copy.deepcopy(block)
    element.tail = None
    holder = lxml_html.Element("div")  # its kind of element knows drop_tag
    holder.append(element)
    for inner in list(holder.iter()):
        if inner is not holder:
            _clean(inner, first_heading, ranks)
    for quote in list(holder.iter("blockquote")):
        _quote(quote)
    for table in list(holder.iter("table")):
        if table.get("role") is None:
            _keep_words(table)
        if table.get("role") is None and not table.xpath("./tr/th|./*/tr/th"):
            table.set("role", "presentation")
    return "".join(_serialise(child) for child in holder)


def _keep_words(table: Element) -> None:
    """Let no column be squeezed until its words break, unless the table is wider than a letter that way.

    In a table that is, columns of short words are still spared, as long as half a telephone holds them.
    """
    cells = [(number, cell) for row in table.iter("tr") for number, cell in enumerate(row)]
    columns: dict[int, int] = {}
    for number, cell in cells:
        longest = max(map(len, text_of(cell).split()), default=0)
        columns[number] = max(columns.get(number, 0), longest)
    width = sum(columns.values()) + len(columns)
    if width <= _LETTER:
        _mark(table, "whole" if width <= _PHONE else "whole wide")
        return
    room = _PHONE // 2
    for number in sorted(columns, key=columns.__getitem__):
        room -= columns[number] + 1
        for place, cell in cells:
            if place == number and room >= 0:
                _mark(cell, "whole")


def _mark(element: Element, name: str) -> None:
    element.set("class", f"{element.get('class', '')} {name}".strip())


def ranks_of(root: Element) -> list[str]:
    """Return the heading elements that occur, from the highest: they become consecutive levels."""
    return [tag for tag in _HEADINGS if root.find(f".//{tag}") is not None]


def heading_level(tag: str, first_heading: int, ranks: list[str]) -> int:
    """Return the level of a heading of the body."""
    return min(first_heading + ranks.index(tag), 6)


def _clean(element: Element, first_heading: int, ranks: list[str]) -> None:
    tag = element.tag
    if tag in _HEADINGS:
        element.tag = f"h{heading_level(tag, first_heading, ranks)}"
    alt = element.get("alt", "")
    kept = _KEPT.get(tag, set()) | {"lang", "dir"}
    for name in [name for name in element.attrib if name not in kept]:
        del element.attrib[name]
    rewrite = _REWRITTEN.get(tag)
    if tag == "pre" and not element.get("dir"):
        element.set("dir", "auto")  # code runs to the right also in a story that does not
    if tag == "img":
        _words_for_picture(element, alt)
    elif _is_only_words(element):
        element.drop_tag()
    elif rewrite is not None:
        element.tag = rewrite[0]
        if rewrite[1]:
            element.set("class", rewrite[1])
    elif tag in _CLASSES or element.tag in _HEADINGS:
        element.set("class", _CLASSES.get(tag, "sub"))


#: What becomes of elements that mail programs do not know: the element, its class.
_REWRITTEN = {"footer": ("p", "attribution"), "figcaption": ("p", "text"), "figure": ("div", "")}
_CLASSES = {
    "p": "text",
    "ul": "list",
    "ol": "list",
    "li": "item",
    "pre": "code",
    "table": "data",
    "td": "cell",
    "th": "cell",
    "a": "link",
    "hr": "rule",
    "dl": "text",
    "blockquote": "quotation",
}


def _is_only_words(element: Element) -> bool:
    """Tell whether an element's text is all that stays: a link to nowhere absolute, the name in an attribution."""
    if element.tag == "a":
        href: str = element.get("href", "")
        return not href.startswith(("http://", "https://", "mailto:"))
    parent = element.getparent()
    return bool(element.tag == "cite" and (parent.tag == "footer" or parent.get("class") == "attribution"))


def _words_for_picture(element: Element, alt: str) -> None:
    """Replace a picture inside a text by its alternative text."""
    words = etree.Element("span")
    words.text = alt
    words.tail = element.tail
    element.getparent().replace(element, words)


_TABLE = {"role": "presentation", "width": "100%", "cellpadding": "0", "cellspacing": "0", "border": "0"}


def _quote(quote: Element) -> None:
    """Put a quotation into a table, because only cells may have padding."""
    parent = quote.getparent()
    table = etree.Element("table", _TABLE)
    table.tail, quote.tail = quote.tail, None
    parent.replace(quote, table)
    frame = etree.SubElement(etree.SubElement(table, "tr"), "td", {"class": "quote-frame"})
    inner = etree.SubElement(frame, "table", _TABLE)
    cell = etree.SubElement(etree.SubElement(inner, "tr"), "td", {"class": "quote-cell"})
    cell.append(quote)
    last = quote[-1] if len(quote) else None
    if quote.text and quote.text.strip():
        first = etree.Element("p", {"class": "text"})
        first.text, quote.text = quote.text, None
        quote.insert(0, first)
    if last is not None and last.tag == "p":
        last.set("class", f"{last.get('class', 'text')} last")


def _serialise(element: Element) -> str:
    text: str = etree.tostring(element, method="html", encoding="unicode", with_tail=False)
    return text
