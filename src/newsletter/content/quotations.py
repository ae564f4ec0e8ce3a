"""Quotations with their attribution, and the works a text cites."""

from __future__ import annotations

import re
from itertools import islice

from newsletter.content.characters import clean_line
from newsletter.content.dates import find_written_date
from newsletter.content.tree import Element, append_text, is_blank, make, remove, text_of, wrap_children
from newsletter.model import Citation

_DASH = re.compile(r"\s*(?:[—―–]|--+(?=\s))\s*")
_SOURCE = re.compile(r"(?:Sources?|Quellen?|Bron(?:nen)?)\s*:\s*", re.IGNORECASE)

_KIND = re.compile(
    r"\b(?:press release|media release|press statement|statement|report|article|communiqué|communique|notice|ruling|"
    r"judgment|study|white paper|working paper|newsletter|interview|speech|letter|decision|regulation|opinion|"
    r"briefing|fact ?sheet|news(?: item)?|note|announcement|book|paper)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[“„\"«](?P<title>[^”\"»]{3,200})[”\"»]")


def attribute_quotations(root: Element) -> None:
    """Move a last line `— Name, role` of a quotation into `<footer>— <cite>…</cite></footer>`."""
    for quotation in root.iterdescendants("blockquote"):
        if len(quotation) == 0:
            continue
        footer = _footer(quotation)
        if footer is None:
            continue
        quotation.append(footer)
        link = next((a.get("href") for a in footer.iterdescendants("a") if a.get("href")), None)
        if link and not quotation.get("cite"):
            quotation.set("cite", link)


def _footer(quotation: Element) -> Element | None:
    """Return the attribution, taken out of the quotation's last block, as a footer."""
    footers = list(quotation.iterchildren("footer"))
    if footers:
        footer = footers[-1]
        if next(footer.iterdescendants("cite"), None) is None:
            _cite(footer)
        return footer
    last = quotation[-1]
    if last.tag != "p":
        return None
    if len(last) and last[-1].tag == "cite" and is_blank(last[-1].tail) and _begins_line(last[-1]):
        return _from_cite(last)
    return _from_dash(last)


def _cite(footer: Element) -> None:
    footer.text = _DASH.sub("", footer.text or "", count=1)
    wrap_children(footer, "cite")
    footer.text = "— "


def _begins_line(element: Element) -> bool:
    before = element.getprevious()
    text = element.getparent().text if before is None else before.tail
    return (before is None or before.tag == "br") and (
        is_blank(text) or bool(re.fullmatch(r"\s*[—―–-]+\s*", text))
    )


def _from_cite(paragraph: Element) -> Element:
    cite, before = paragraph[-1], paragraph[-1].getprevious()
    if before is None:
        paragraph.text = None
    else:
        before.tail = None
    footer = make("footer", "— ")
    cite.tail = None
    footer.append(cite)
    if cite.text:
        cite.text = _DASH.sub("", cite.text, count=1)
    if len(paragraph) == 0:
        remove(paragraph)
    return footer


def _from_dash(paragraph: Element) -> Element | None:
    """Cut the last line off when it begins with a dash: the whole paragraph, or what stands behind a break."""
    start = None
    lines = list(paragraph.iterchildren("br"))
    if lines and _DASH.match(lines[-1].tail or ""):
        start = lines[-1]
    elif not lines and _DASH.match(paragraph.text or "") and paragraph.getprevious() is not None:
        footer = make("footer", "— ")
        cite = make("cite", _DASH.sub("", paragraph.text, count=1))
        for child in list(paragraph):
            cite.append(child)
        footer.append(cite)
        paragraph.text = None
        remove(paragraph)
        return footer
    elif "\n" in text_tail(paragraph) and _DASH.match(text_tail(paragraph).rsplit("\n", 1)[1]):
        return _from_last_text_line(paragraph)
    if start is None:
        return None
    cite = make("cite", _DASH.sub("", start.tail or "", count=1))
    start.tail = None
    behind = list(start.itersiblings())
    for child in behind:
        cite.append(child)
    remove(start)
    footer = make("footer", "— ")
    footer.append(cite)
    return footer


def text_tail(paragraph: Element) -> str:
    """Return the text at the very end of a paragraph."""
    return (paragraph[-1].tail if len(paragraph) else paragraph.text) or ""


def _from_last_text_line(paragraph: Element) -> Element:
    kept, line = text_tail(paragraph).rsplit("\n", 1)
    if len(paragraph):
        paragraph[-1].tail = kept
    else:
        paragraph.text = kept
    footer = make("footer", "— ")
    cite = make("cite", _DASH.sub("", line, count=1))
    footer.append(cite)
    append_text(footer, cite, None)
    return footer


def find_citations(root: Element) -> tuple[Citation, ...]:
    """Return attributed quotations with a URL, and last paragraphs that begin with "Source:"."""
    found: dict[tuple[str, str], Citation] = {}
    for quotation in root.iterdescendants("blockquote"):
        footer = next(quotation.iterchildren("footer"), None)
        if footer is not None and quotation.get("cite"):
            text = clean_line(_DASH.sub("", text_of(footer), count=1))
            found[text, quotation.get("cite")] = Citation(text=text, url=quotation.get("cite"))
    for paragraph in [child for child in root if child.tag == "p"][-3:]:
        if not _SOURCE.match("".join(islice(paragraph.itertext(), 3)).lstrip()):
            continue
        text = clean_line(text_of(paragraph))
        match = _SOURCE.match(text)
        if match and match.end() < len(text) < 400:
            url = next((a.get("href") for a in paragraph.iterdescendants("a") if a.get("href")), "")
            found[text[match.end() :], url] = Citation(text=text[match.end() :], url=url)
    return tuple(found.values())


def read_citation(text: str, zone: str) -> Citation | None:
    """Read a line that names organisation, place, title, kind and date, or return None for any other."""
    line = re.sub(r"^(?:sources?|quelle|bron)\s*:\s*", "", text, flags=re.IGNORECASE).rstrip(".")
    date = find_written_date(line, zone)
    quoted = _QUOTED.search(line)
    outside = line.replace(quoted[0], ",", 1) if quoted else line
    if date is not None:
        outside = outside.replace(date[2], "", 1)
    kind = next(
        (
            part
            for part in map(str.strip, re.split(r"[,;]", outside))
            if _KIND.search(part) and len(part) < 60
        ),
        "",
    )
    parts = [part for part in (p.strip(" ().") for p in re.split(r"[,;:]", outside)) if part and part != kind]
    if (
        date is None
        or not (quoted or kind)
        or not parts
        or len(parts) > 4
        or any(len(part) > 90 for part in parts)
    ):
        return None
    return Citation(
        text=text,
        publisher=parts[0],
        place=parts[1] if len(parts) > 1 else "",
        title=quoted["title"].strip(" ,") if quoted else (parts[2] if len(parts) > 2 else ""),
        kind=kind,
        date=date[2],
    )
