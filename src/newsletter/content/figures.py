"""Pictures: every one that stands alone becomes a figure with caption and credit."""

from __future__ import annotations

import re
from dataclasses import replace

from newsletter.content.characters import clean_line
from newsletter.content.surroundings import Surroundings
from newsletter.content.tree import Element, append_text, is_blank, make, remove, text_of, unwrap
from newsletter.errors import NewsletterError
from newsletter.model import Image

_LAZY = ("data-src", "data-lazy-src", "data-original", "data-orig-src")
_CREDIT = re.compile(
    r"^(?P<caption>.*?)[\s|–—-]*[(\[]?(?P<credit>(?:(?:Photo|Foto|Picture|Image|Illustration|Graphic|Credit)s?"
    r"(?:\s+credit)?(?:\s*:|\s+by\b|\s+courtesy\b)|©)\s*[^()\[\]]{1,120}?)[)\]]?\s*$",
    re.DOTALL,
)


#: What a figure may be about; one without any of these is opened.
_SHOWN = ("img", "table", "pre", "blockquote")


def make_figures(root: Element) -> bool:
    """Turn paragraphs that hold nothing but pictures into figures, and put figures in order.

    Returns whether something turned out not to be a figure and became a `div`.
    """
    for paragraph in list(root.iterdescendants("p")):
        if next(paragraph.iterdescendants("img"), None) is not None:
            _paragraph_to_figures(paragraph)
    figures = list(root.iterdescendants("figure"))
    for figure in figures:
        if next(figure.iterdescendants("figure"), None) is not None:
            _open_gallery(figure)
    for figure in reversed(figures):
        _order(figure)
    return any(figure.tag == "div" for figure in figures)


def _paragraph_to_figures(paragraph: Element) -> None:
    parts = [child for child in paragraph if child.tag != "br"]
    alone = is_blank(paragraph.text) and all(is_blank(child.tail) and _is_picture(child) for child in parts)
    if not alone or any(child.tag == "br" and not is_blank(child.tail) for child in paragraph):
        return
    if any(above.tag == "figure" for above in paragraph.iterancestors()):
        unwrap(paragraph)
        return
    if paragraph.getparent().tag not in ("div", "blockquote", "td", "li", "dd"):
        return
    for child in parts:
        figure = make("figure")
        child.tail = None
        paragraph.addprevious(figure)
        figure.append(child)
    remove(paragraph)


def _open_gallery(figure: Element) -> None:
    """Let the figures of a gallery stand by themselves, its own caption behind them as a paragraph."""
    for caption in figure.iterchildren("figcaption"):
        caption.tag = "p"
    for item in list(figure.iterdescendants("li")):
        if (
            len(item)
            and all(child.tag == "figure" and is_blank(child.tail) for child in item)
            and is_blank(item.text)
        ):
            container = item.getparent()
            unwrap(item)
            if next(container.iterchildren("li"), None) is None:
                unwrap(container)
    figure.tag = "div"


def _is_picture(element: Element) -> bool:
    if element.tag == "img":
        return True
    return element.tag in ("a", "span", "em", "strong", "b", "i") and (
        is_blank(text_of(element)) and len(element) == 1 and _is_picture(element[0])
    )


def _order(figure: Element) -> None:
    """Put the caption last, as one; a figure that shows nothing becomes paragraphs."""
    captions = list(figure.iterchildren("figcaption"))
    for more in captions[1:]:
        line_break = make("br")
        line_break.text = None
        captions[0].append(line_break)
        append_text(captions[0], line_break, more.text)
        for child in list(more):
            captions[0].append(child)
        more.text = None
        remove(more)
    if next(figure.iterdescendants(*_SHOWN), None) is None:
        for caption in captions[:1]:
            caption.tag = "p"
        figure.tag = "div"
        return
    if captions:
        tail, captions[0].tail = captions[0].tail, None
        if not is_blank(tail):
            append_text(figure, captions[0].getprevious(), tail)
        figure.append(captions[0])
        _mark_credit(captions[0])


def _mark_credit(caption: Element) -> None:
    """Put the credit into `<small class="credit">` at the caption's end."""
    for element in list(caption.iterdescendants()):
        if (
            element.tag in ("small", "span", "cite", "em", "i")
            and "credit" in (element.get("class") or "").lower()
        ):
            element.tag = "small"
            element.attrib.clear()
            element.set("class", "credit")
            tail, element.tail = element.tail, None
            if not is_blank(tail):
                append_text(element.getparent(), element.getprevious(), tail)
            caption.append(element)
            return
    match = _CREDIT.match(caption.text or "") if len(caption) == 0 else None
    if match:
        credit = make("small", match["credit"].strip())
        credit.set("class", "credit")
        caption.text = match["caption"].rstrip() + (" " if match["caption"].strip() else "")
        caption.append(credit)


def resolve_images(root: Element, surroundings: Surroundings, dropped: list[str]) -> dict[Element, Image]:
    """Give every picture its absolute URL and its dimensions; what cannot be had is left out and said."""
    images = {}
    for element in list(root.iterdescendants("img")):
        image = _read(element)
        reason = "it is not available"
        try:
            found = surroundings.image(image) if image.src else None
        except (NewsletterError, ValueError) as e:
            found, reason = None, e.what if isinstance(e, NewsletterError) else "its URL is malformed"
        if found is None or not re.match(r"https?://[^\s/]", found.src):
            _drop(element, image, reason, dropped)
            continue
        _write(element, found)
        if not found.alt:
            dropped.append(f"the picture {_name(image)} has no alternative text")
        images[element] = found
    return images


def _read(element: Element) -> Image:
    src = (element.get("src") or "").strip()
    if not src:  # data: URLs are gone by now; a page that loads late keeps the real one here
        src = next((element.get(name).strip() for name in _LAZY if element.get(name)), "")
    return Image(
        src=src,
        alt=clean_line(element.get("alt") or ""),
        width=_pixels(element.get("width")),
        height=_pixels(element.get("height")),
    )


def _pixels(value: str | None) -> int:
    match = re.fullmatch(r"\s*(\d{1,5})(?:px)?\s*", value or "", re.ASCII)
    return int(match[1]) if match else 0


def _write(element: Element, image: Image) -> None:
    title = clean_line(element.get("title") or "")
    element.attrib.clear()
    element.set("src", image.src)
    element.set("alt", image.alt)
    if image.width and image.height:
        element.set("width", str(image.width))
        element.set("height", str(image.height))
    if title and title != image.alt:
        element.set("title", title)


def _name(image: Image) -> str:
    return repr(image.src[-80:]) if image.src else f"{image.alt!r} without a source"


def _drop(element: Element, image: Image, reason: str, dropped: list[str]) -> None:
    figure = next(element.iterancestors("figure"), None)
    remove(element)
    said = ""
    if figure is not None and next(figure.iterdescendants(*_SHOWN), None) is None:
        for caption in list(figure.iterdescendants("figcaption")):
            said = f"; its caption was {text_of(caption)!r}"
            remove(caption)
    dropped.append(f"the picture {_name(image)} was left out: {reason}{said}")


def caption_images(root: Element, images: dict[Element, Image]) -> tuple[Image, ...]:
    """Return the pictures with the captions and credits of their figures, in the order of the text."""
    return tuple(_captioned(element, images[element]) for element in root.iterdescendants("img"))


def _captioned(element: Element, image: Image) -> Image:
    figure = next(element.iterancestors("figure"), None)
    if figure is None or figure[-1].tag != "figcaption":
        return image
    marked = next(
        (small for small in figure[-1].iterchildren("small") if small.get("class") == "credit"), None
    )
    return replace(
        image,
        caption=clean_line(text_of(figure[-1], skip=marked)),
        credit=clean_line(text_of(marked)) if marked is not None else "",
    )
