"""Read a page of an old site: title, date, author, pictures, quotations, citation and references from its text.

What is recognised stays in the text, but for the title, which is the post's own.
"""

from __future__ import annotations

import html as entities
import re
from collections import Counter
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime

from newsletter.content.characters import clean_line
from newsletter.content.dates import find_written_date
from newsletter.content.limits import MAX_HTML, check_depth, check_size
from newsletter.content.plain import paragraphs
from newsletter.content.quotations import read_citation
from newsletter.content.reading import summarise
from newsletter.content.sanitise import intake
from newsletter.content.tidy import clear_empty, regularise
from newsletter.content.tree import Element, is_blank, make, parse, remove, serialise, text_of
from newsletter.errors import InputError
from newsletter.model import Citation, Reference

_HEAD = 12  # lines in which title, date and author are looked for
_AUTHOR = re.compile(
    r"^(?:(?i:posted|written|published|filed|reported)\b(?P<when>[^\n]{0,60}?)\b(?i:by)\b[:\s]*|(?i:author)\s*:\s*|[Bb][Yy][:\s]\s*)"
    r"(?P<name>@?\w[^|,;:()\n]{0,59}?)(?=\s+on\s|\s+at\s|\s*[|,;(–—]|\s+-\s|\s*\.?\s*$)"
)
_DATE_LINE = re.compile(
    r"^(?:posted|published|written|date|dated|updated|filed|on|am|le|op)?(?:\s+on)?\s*:?\s*$", re.IGNORECASE
)
_PICTURE = re.compile(
    r"^[\[(]?\s*(?P<name>[\w][\w ./()-]{0,120}\.(?:jpe?g|png|gif|webp))\s*[\])]?(?P<rest>(?:\s*[:–—|-]\s*|\s+|$).*)$",
    re.IGNORECASE,
)
_CAPTION = re.compile(
    r"^(?:photo|picture|image|caption|foto|illustration|graphic|logo)\b|^\(.*\)$", re.IGNORECASE
)
_DASH = re.compile(r"[—―–]|--\s")
_QUOTES = {"“": "”", "„": "“”", "«": "»", "»": "«", "‘": "’"}
_SEE = re.compile(
    r"\b[Ss]ee(?:\s+also)?:?\s+(?P<site>[^,“”\"\n]{2,80}),\s*[“\"„](?P<title>[^”\"\n]{3,200}?),?[”\"],?\s*"
    r"(?P<date>\d{1,2}[./]\d{1,2}[./]\d{2,4})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What was recognised; `html` is the body before it is sanitised, `notes` say in words what was found."""

    title: str
    published: datetime
    date_only: bool
    author: str = ""
    html: str = ""
    summary: str = ""
    citations: tuple[Citation, ...] = ()
    references: tuple[Reference, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Reading:
    root: Element
    zone: str
    site_lines: frozenset[str]
    notes: list[str] = field(default_factory=list)
    head: list[Element] = field(default_factory=list)


def recognise(
    text: str,
    *,
    html: bool,
    zone: str,
    site_lines: frozenset[str] = frozenset(),
    has_picture: Callable[[str], bool],
    find_post: Callable[[str], str],
) -> Page:
    """Read a page without front matter.

    `has_picture` tells whether a picture's file is there, `find_post` gives the URL of the own post with a
    title, or nothing. Raises InputError when there is no title or no date.
    """
    reading = _Reading(_open(text, html), zone, site_lines)
    _split_lines(reading)
    title = _take_title(reading) or (_title_tag(text, site_lines) if html else "")
    if not title:
        raise InputError(
            "no title was found in the text", remedy="Give it a heading, or front matter with title:"
        )
    published, date_only = _find_date(reading)
    author = _find_author(reading)
    _make_pictures(reading, has_picture)
    _make_quotations(reading)
    citations = _find_citation(reading)
    references = _find_references(reading, find_post)
    site = [block for block in reading.root[:_HEAD] if _key(text_of(block)) in site_lines]
    reading.head = sorted({*reading.head, *site}, key=reading.root.index)
    for element in reading.head:
        remove(element)
    summary = summarise(reading.root)
    for place, element in enumerate(reading.head):
        reading.root.insert(place, element)
    found = [f"title {title!r}", f"date {published.isoformat()}", *([f"author {author!r}"] if author else [])]
    return Page(
        title=title,
        published=published,
        date_only=date_only,
        author=author,
        html=serialise(reading.root),
        summary=summary,
        citations=citations,
        references=references,
        notes=("recognised " + ", ".join(found), *reading.notes),
    )


def title_of(text: str, *, html: bool, site_lines: frozenset[str] = frozenset()) -> str:
    """Return only the title of a page, empty when there is none."""
    reading = _Reading(_open(text, html), "UTC", site_lines)
    _split_lines(reading)
    return _take_title(reading) or (_title_tag(text, site_lines) if html else "")


def head_lines(text: str, *, html: bool) -> list[str]:
    """Return a page's first three lines and headings: what several pages share there is the site's own title."""
    lines = [text_of(line) for block in _open(text, html)[:3] for line in _lines(block)]
    return [_key(line) for line in lines[:3] if len(line) < 200]


def repeated(heads: Iterable[list[str]]) -> frozenset[str]:
    """Return the lines that begin more than one page."""
    counted = Counter(line for head in heads for line in set(head))
    return frozenset(line for line, times in counted.items() if times > 1 and line)


def _key(text: str) -> str:
    return clean_line(text).casefold()


def _open(text: str, html: bool) -> Element:
    check_size(text, MAX_HTML)
    markup = text if html else paragraphs(text)
    check_depth(markup)
    root = parse(intake(markup))
    regularise(root)
    clear_empty(root)
    for child in root:
        child.tail = None
    return root


def _split_lines(reading: _Reading) -> None:
    """Make each line of the first blocks a paragraph where one of them is a date, an author, a picture or the
    site's title."""
    for place, block in enumerate(list(reading.root)[:_HEAD]):
        if block.tag != "p" or block.find("br") is None:
            continue
        lines = _lines(block)
        texts = [text_of(line) for line in lines]
        furniture = any(_is_furniture(text, reading) for text in texts)
        heads = place == 0 and len(texts) <= 4 and not any(text.endswith(".") for text in texts)
        if any(len(text) > 200 for text in texts) or not (furniture or heads):
            continue
        for line in lines:
            block.addprevious(line)
        reading.root.remove(block)


def _lines(block: Element) -> list[Element]:
    """Copy the lines of a block, each as a paragraph."""
    block = deepcopy(block)
    lines = [make("p", block.text or "")]
    for child in list(block):
        if child.tag == "br":
            lines.append(make("p", child.tail or ""))
        else:
            lines[-1].append(child)
    return [line for line in lines if not is_blank(text_of(line)) or len(line)]


def _is_furniture(text: str, reading: _Reading) -> bool:
    return _key(text) in reading.site_lines or bool(_author(text)) or _is_date_line(text, reading.zone)


def _is_date_line(text: str, zone: str) -> bool:
    """Tell whether a line says little more than a date."""
    if len(text) > 120:
        return False
    found = find_written_date(text, zone)
    if found is None:
        return False
    rest = text.replace(found[2], "", 1).strip(" .,|-–—()")
    return not rest or bool(_DATE_LINE.match(rest)) or bool(_author(text)) or bool(_author(rest))


def _take_title(reading: _Reading) -> str:
    for heading in reading.root.iterdescendants("h1", "h2", "h3", "h4", "h5", "h6"):
        title = clean_line(text_of(heading))
        if title and _key(title) not in reading.site_lines:
            remove(heading)
            return title
    for block in list(reading.root)[:_HEAD]:
        title = clean_line(text_of(block))
        if block.tag == "p" and _is_title_like(title, reading):
            remove(block)
            return title
    return ""


def _is_title_like(text: str, reading: _Reading) -> bool:
    if not 3 <= len(text) <= 160 or (text.endswith((".", ",", ";", ":")) and not text.endswith("...")):
        return False
    return not (
        _is_furniture(text, reading) or _PICTURE.match(text) or (text[0] in _QUOTES and text[-1] in "”»“")
    )


def _title_tag(text: str, site_lines: frozenset[str]) -> str:
    match = re.search(r"<title[^<>]{0,200}>([^<]{1,500})", text, re.IGNORECASE)
    if not match:
        return ""
    parts = re.split(r"\s+[|»«–—-]\s+|\s+::\s+", clean_line(entities.unescape(match[1])))
    return next((part for part in parts if part and _key(part) not in site_lines), "")


def _find_date(reading: _Reading) -> tuple[datetime, bool]:
    for element in reading.root.iterdescendants("time"):
        found = find_written_date(element.get("datetime") or text_of(element), reading.zone)
        if found:
            return found[0], found[1]
    blocks = list(reading.root)
    for block in [*blocks[:_HEAD], *blocks[-3:]]:
        text = text_of(block)
        if _is_date_line(text, reading.zone):
            found = find_written_date(text, reading.zone)
            if found:
                if block in blocks[:_HEAD]:
                    reading.head.append(block)
                return found[0], found[1]
    raise InputError(
        "no date was found in the text",
        remedy="Give it a line such as 29 December 2011, or front matter with title: and date:",
    )


def _find_author(reading: _Reading) -> str:
    blocks = list(reading.root)
    for block in [*blocks[:_HEAD], *blocks[-3:]]:
        text = text_of(block)
        date = find_written_date(text, reading.zone)
        texts = [text, text.replace(date[2], "", 1).lstrip(" ,|–—-")] if date else [text]
        match = next(filter(None, map(_author, texts)), None)
        if match and len(text) <= 160:
            if block in blocks[:_HEAD] and block not in reading.head:
                reading.head.append(block)
            return clean_line(match["name"]).rstrip(".")
    return ""


def _author(text: str) -> re.Match[str] | None:
    match = _AUTHOR.match(text)
    if match is None or (match["name"][0].islower() and " " in match["name"]):
        return None
    is_sentence = text[:2].lower() == "by" and (len(text) > 80 or text.endswith("."))
    return None if is_sentence else match


def _make_pictures(reading: _Reading, has_picture: Callable[[str], bool]) -> None:
    """Turn a picture's file name into a figure, the words beside it into its caption."""
    for block in [b for b in reading.root.iterdescendants("p") if b.getparent() is not None]:
        lines = _lines(block)
        names = [_PICTURE.match(text_of(line)) if line.find(".//img") is None else None for line in lines]
        match = names[0] if names else None
        if match is None or block.find(".//a") is not None:
            continue
        name = match["name"].strip()
        if not has_picture(name):
            reading.notes.append(f"the text names the picture {name}, which is not there")
            continue
        beside = match["rest"].strip(" :–—|-")
        caption = clean_line(" ".join(filter(None, [beside, *(text_of(line) for line in lines[1:])])))
        after = block.getnext()
        if not caption and after is not None and _is_caption(after):
            caption = clean_line(text_of(after))
            remove(after)
        block.addprevious(_figure(name, caption))
        remove(block)
        reading.notes.append(
            f"recognised the picture {name}" + (f" with the caption {caption!r}" if caption else "")
        )


def _is_caption(block: Element) -> bool:
    text = text_of(block)
    return block.tag == "p" and len(text) <= 200 and bool(_CAPTION.match(text))


def _figure(name: str, caption: str) -> Element:
    figure, picture = make("figure"), make("img")
    picture.text = None
    picture.set("src", name.replace("%", "%25").replace(" ", "%20"))
    picture.set("alt", "")
    figure.append(picture)
    if caption:
        figure.append(make("figcaption", caption))
    return figure


def _make_quotations(reading: _Reading) -> None:
    """Turn paragraphs that are wholly in typographic quotation marks into quotations, with the line of dash and
    name behind them. In a long quotation only the last paragraph has a closing mark."""
    for block in [block for block in reading.root if block.tag == "p" and block.find("br") is not None]:
        lines = _lines(block)
        if text_of(block)[:1] in _QUOTES and _DASH.match(text_of(lines[-1])):
            for line in lines:
                block.addprevious(line)
            remove(block)
    blocks = [block for block in reading.root if block.tag == "p"]
    place = 0
    while place < len(blocks):
        taken = _quoted(blocks[place:])
        if taken:
            quotation = make("blockquote")
            taken[0].addprevious(quotation)
            for block in taken:
                quotation.append(block)
            after = quotation.getnext()
            if after is not None and after.tag == "p" and _DASH.match(text_of(after)):
                quotation.append(after)
            reading.notes.append(f"recognised the quotation {text_of(taken[0])[:40]!r}…")
        place += max(1, len(taken))


def _quoted(blocks: list[Element]) -> list[Element]:
    taken: list[Element] = []
    for block in blocks:
        text = text_of(block)
        if len(text) < 2 or text[0] not in _QUOTES or (taken and block.getprevious() is not taken[-1]):
            return []
        closing = _QUOTES[text[0]]
        inner = text[1:].rstrip(".,")
        taken.append(block)
        if inner and inner[-1] in closing:
            return taken if not any(mark in inner[:-1] for mark in closing if mark not in "’“") else []
        if any(mark in inner for mark in closing if mark not in "’“"):
            return []
    return []


def _find_citation(reading: _Reading) -> tuple[Citation, ...]:
    """Read a last line that names organisation, place, title, kind and date."""
    for block in reversed(list(reading.root)[-3:]):
        text = clean_line(text_of(block))
        if block.tag != "p" or not 15 <= len(text) <= 400 or _SEE.search(text) or block in reading.head:
            continue
        citation = read_citation(text, reading.zone)
        if citation is not None:
            reading.notes.append(f"recognised the citation {text!r}")
            return (citation,)
    return ()


def _find_references(reading: _Reading, find_post: Callable[[str], str]) -> tuple[Reference, ...]:
    found: dict[str, Reference] = {}
    for match in _SEE.finditer(clean_line(" ".join(text_of(block) for block in reading.root))):
        title = clean_line(match["title"])
        url = find_post(title)
        if url:
            found[url] = Reference(url=url, title=title)
            reading.notes.append(f"recognised the reference to {title!r} of {match['date']}")
        else:
            reading.notes.append(f"the text refers to {title!r} of {match['date']}, which is no post here")
    return tuple(found.values())
