"""What a reader reads: plain text, words, a summary."""

from __future__ import annotations

import re
from copy import deepcopy
from html import unescape

from newsletter.content.characters import clean_line, strip_controls
from newsletter.content.limits import MAX_HTML, check_depth, check_size
from newsletter.content.sanitise import BLOCK, RENAMED, intake, text_only
from newsletter.content.tree import Element, parse, remove, text_of

SUMMARY_LENGTH = 300
_ENOUGH = 140  # characters after which no further paragraph is taken into a summary
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CJK = re.compile(f"[{_IDEOGRAPH}]")
_SPACED_WORD = re.compile(r"\w+(?:['’.,-]\w+)*")
_TAG = re.compile(r"<[^>]*>")
_BLOCK_TAG = re.compile(rf"</?(?:br|{'|'.join(sorted(BLOCK))})\b[^>]*>")
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W{_IDEOGRAPH}]+(?:['’.,-][^\W{_IDEOGRAPH}]+)*")
_HALF_LETTER = re.compile(r"[\w\u200d\ufe0f]?[\u0300-\u036f\u200d\ufe0f]*$")
_ELLIPSIS = re.compile(r"\s*(?:\[?(?:…|\.\.\.)\]?)?$")
_APART = ("figure", "blockquote", "table", "ul", "ol", "dl", "pre")


def plain_text(html: str) -> str:
    """Return the text of any HTML: blocks apart by an empty line, items by `- `, no markup, no URL."""
    check_size(html, MAX_HTML)
    html = strip_controls(html)
    if "<" not in html and "&" not in html:
        return "\n".join(filter(None, (" ".join(line.split()) for line in html.split("\n"))))
    check_depth(html)
    blocks: list[str] = [""]
    _write_blocks(parse(text_only(html)), blocks)
    out = ""
    for block in filter(None, map(_clean_block, blocks)):
        items = block.startswith("- ") and out.rpartition("\n")[2].startswith("- ")
        out += ("\n" if items else "\n\n" if out else "") + block
    return out


def _clean_block(block: str) -> str:
    """Collapse white space but for the line breaks that `<br>` made, written U+001E on the way."""
    return "\n".join(filter(None, (" ".join(line.split()) for line in block.split("\x1e"))))


def _write_blocks(element: Element, blocks: list[str]) -> None:
    blocks[-1] += element.text or ""
    for child in element:
        if child.tag == "br":
            blocks[-1] += "\x1e"
        elif child.tag in BLOCK or RENAMED.get(child.tag) == "div":
            blocks.append("- " if child.tag == "li" else "")
            _write_blocks(child, blocks)
            blocks.append("")
        else:
            _write_blocks(child, blocks)
        blocks[-1] += child.tail or ""


def count_words(html: str) -> int:
    """Count the words of sanitised HTML; each Chinese or Japanese character counts as one."""
    text = unescape(_TAG.sub("", _BLOCK_TAG.sub(" ", html)))
    return len((_WORD if _CJK.search(text) else _SPACED_WORD).findall(text))


def summarise(root: Element) -> str:
    """Return the first running text, at most 300 characters, cut between words; never a caption."""
    taken: list[str] = []
    length = 0
    for paragraph in root.iterdescendants("p"):
        if next(paragraph.iterancestors(*_APART), None) is not None:
            continue
        text = clean_line(_running_text(paragraph))
        if not text:
            continue
        if taken and length + len(text) + 1 > SUMMARY_LENGTH:
            break
        taken.append(text)
        length += len(text) + 1
        if length >= _ENOUGH:
            break
    if not taken:
        taken = [text for text in (_first_text(root),) if text]
    return shorten(" ".join(taken))


def opens_with(html: str, summary: str) -> bool:
    """Tell whether a sanitised text begins with its summary, so that showing both would say it twice."""
    start = _ELLIPSIS.sub("", clean_line(summary))
    if not start or start == _ELLIPSIS.sub("", summarise(parse(intake(html)))):
        return bool(start)
    return clean_line(plain_text(html)).startswith(start)


def _running_text(paragraph: Element) -> str:
    """Return a paragraph's text without the marks of footnotes."""
    if len(paragraph) == 0 or not any(
        mark.find("a") is not None for mark in paragraph.iterdescendants("sup")
    ):
        return text_of(paragraph)
    without = deepcopy(paragraph)
    for mark in list(without.iterdescendants("sup")):
        if mark.find("a") is not None:
            remove(mark)
    return text_of(without)


def _first_text(root: Element) -> str:
    for element in root.iterdescendants("li", "blockquote", "td", "pre", "dd"):
        if next(element.iterancestors("figure"), None) is None:
            return clean_line(text_of(element))
    return ""


def shorten(text: str, limit: int = SUMMARY_LENGTH) -> str:
    """Cut a line at a word's end so that it has at most `limit` characters with the ellipsis."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    space = cut.rfind(" ")
    if not text[limit - 1].isspace():
        cut = cut[:space] if space > limit // 2 else _HALF_LETTER.sub("", cut)
    return cut.rstrip(" ,;:–—-(") + "…"
