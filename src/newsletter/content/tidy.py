"""Make a tree valid inside a `<div>`: blocks hold blocks or a line of text, lists hold items, nothing is empty."""

from __future__ import annotations

import re
from itertools import pairwise

from lxml import etree

from newsletter.content.sanitise import BLOCK, INLINE, RENAMED
from newsletter.content.tree import (
    Element,
    append_text,
    has_block,
    is_blank,
    make,
    remove,
    unwrap,
    wrap_children,
    wrap_runs,
)

_LINE_ONLY = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "pre", "caption", "dt", "summary"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_ONLY_IN = {
    "li": frozenset({"ul", "ol"}),
    "dt": frozenset({"dl"}),
    "dd": frozenset({"dl"}),
    "figcaption": frozenset({"figure"}),
    "footer": frozenset({"blockquote"}),
}
_TRIMMED = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6"})
_MAY_BE_EMPTY = frozenset({"br", "hr", "img", "wbr", "col", "colgroup", "td", "th"})
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*", re.ASCII)
_NUMBER = re.compile(r"\d{1,5}", re.ASCII)
_CHECKED = {
    "lang": _LANGUAGE,
    "dir": re.compile("ltr|rtl|auto"),
    **dict.fromkeys(("colspan", "rowspan", "span", "width", "height"), _NUMBER),
    **dict.fromkeys(("start", "value"), re.compile(r"-?\d{1,6}", re.ASCII)),
    "type": re.compile("[1aAiI]"),
    "scope": re.compile("row|col|rowgroup|colgroup"),
}


_WITH_ATTRIBUTES = etree.XPath(".//*[@*]")
_WITH_IDS = etree.XPath(".//*[@id or self::a/@name]")


def regularise(root: Element) -> None:
    """Bring the tree into the shape that every later step relies on."""
    _rename(root)
    for element in [e for e in root.iterdescendants() if len(e) and e.tag in INLINE and has_block(e)]:
        if has_block(element):  # an outer one may have been moved into its lines meanwhile
            _push_down(element)
    for element in reversed(list(root.iterdescendants())):
        _settle(element)
    wrap_runs(root)
    for paragraph in list(root.iterdescendants("p")):
        _split_at_double_breaks(paragraph)


def _rename(root: Element) -> None:
    for element in list(root.iterdescendants()):
        to = RENAMED.get(element.tag)
        if to:
            element.tag = to
        elif to is not None:
            unwrap(element)


def _push_down(inline: Element) -> None:
    """Move an inline element that holds blocks into each line of text inside; a `span` is only opened."""
    wrap_lines = inline.tag != "span"
    wrap_runs(inline)
    for block in list(inline.iterdescendants("p", *_HEADINGS)):
        if wrap_lines and not has_block(block) and next(block.iterdescendants(inline.tag), None) is None:
            moved = wrap_children(block, inline.tag, dict(inline.attrib))
            moved.attrib.pop("id", None)
    unwrap(inline)


def _settle(element: Element) -> None:
    """Make one element right, its content being right already."""
    tag = element.tag
    if tag in _ONLY_IN and element.getparent().tag not in _ONLY_IN[tag]:
        element.tag = tag = "div"
    if tag == "p" and len(element) and any(child.tag in BLOCK for child in element):
        element.tag = tag = "div"
    if tag == "div":
        _settle_division(element)
    elif tag in _LINE_ONLY:
        _open_blocks(element, " " if tag != "pre" else "\n")
    elif tag == "blockquote":
        wrap_runs(element)
    elif tag in ("ul", "ol"):
        _only(element, {"li"}, "li")
    elif tag == "dl":
        _only(element, {"dt", "dd"}, "dd")
    elif tag in ("figcaption", "footer"):
        _open_blocks(element, "br")
    elif tag == "ruby":
        _only_annotations(element)


def _settle_division(element: Element) -> None:
    blocks = any(child.tag in BLOCK for child in element)
    if not blocks:
        element.tag = "p"
        return
    wrap_runs(element)
    if not any(_CHECKED[name].fullmatch(element.get(name, "")) for name in ("lang", "dir")):
        unwrap(element)


def _open_blocks(element: Element, between: str) -> None:
    """Leave only a line of text inside, its former blocks set apart by a space or a `<br>`."""
    for block in [e for e in element.iterdescendants() if e.tag in BLOCK]:
        if between == "br":
            if block.getprevious() is not None or not is_blank(block.getparent().text):
                block.addprevious(make_break())
            if block.getnext() is not None or not is_blank(block.tail):
                tail, block.tail = block.tail, None
                after = make_break()
                block.addnext(after)
                after.tail = tail
        else:
            append_text(block.getparent(), block.getprevious(), between)
            block.tail = between + (block.tail or "")
        unwrap(block)


def make_break() -> Element:
    """Make a `<br>`."""
    line_break = make("br")
    line_break.text = None
    return line_break


def _only(container: Element, allowed: set[str], wrapper: str) -> None:
    """Let a list hold items only: anything else becomes one, or joins the item before."""
    if not is_blank(container.text):
        first = make(wrapper, container.text or "")
        container.insert(0, first)
    container.text = None
    for child in list(container):
        tail, child.tail = child.tail, None
        if child.tag not in allowed:
            child = _into_item(child, wrapper)
        if not is_blank(tail):
            append_text(child, child[-1] if len(child) else None, tail)


def _into_item(child: Element, wrapper: str) -> Element:
    before = child.getprevious()
    if before is not None and before.tag == wrapper:
        before.append(child)
        return before
    item = make(wrapper)
    child.addprevious(item)
    item.append(child)
    return item


def _only_annotations(ruby: Element) -> None:
    for inner in list(ruby.iterdescendants("rt", "rp")):
        if inner.getparent().tag != "ruby":
            unwrap(inner)


def _split_at_double_breaks(paragraph: Element) -> None:
    """Old pages part paragraphs by two line breaks."""
    if paragraph.getparent().tag not in ("div", "blockquote"):
        return
    previous = None
    for line_break in list(paragraph.iterchildren("br")):
        if previous is not None and is_blank(previous.tail) and previous.getnext() is line_break:
            head = make("p")
            head.text, paragraph.text = paragraph.text, line_break.tail
            for child in list(paragraph.iterchildren()):
                if child is line_break:
                    break
                if child is not previous:
                    head.append(child)
                else:
                    paragraph.remove(child)
            line_break.tail = None
            paragraph.remove(line_break)
            paragraph.addprevious(head)
            previous = None
        else:
            previous = line_break


def clear_empty(root: Element) -> None:
    """Remove what shows nothing, break marks at the ends of a block, and white space between blocks."""
    for element in reversed(list(root.iterdescendants())):
        tag = element.tag
        if tag in BLOCK:
            if len(element):
                _trim(element)
            else:
                _trim_text(element)
        if tag not in _MAY_BE_EMPTY and len(element) == 0 and is_blank(element.text):
            if tag in INLINE:
                append_text(element.getparent(), element.getprevious(), element.text)
            remove(element)
        elif tag == "pre" and element.text:
            element.text = element.text.lstrip("\n")  # a parser drops the first line break
    for table in list(root.iterdescendants("table")):
        if next(table.iterdescendants("td", "th"), None) is None:
            remove(table)
    _trim(root)
    for child in root:
        child.tail = "\n" if child.getnext() is not None else None


def _trim_text(block: Element) -> None:
    text = block.text
    if text and block.tag in _TRIMMED:
        trimmed = text.strip(" \t\n")
        if len(trimmed) < len(text):
            block.text = trimmed


def _trim(block: Element) -> None:
    """Drop line breaks at both ends of a line, and blanks between the blocks of a container."""
    _trim_breaks(block)
    if len(block) == 0:
        _trim_text(block)
        return
    if block.tag != "pre":
        if block[0].tag in BLOCK and is_blank(block.text):
            block.text = None
        for child, after in pairwise([*block, None]):
            beside_block = child.tag in BLOCK or (after is not None and after.tag in BLOCK)
            if beside_block and is_blank(child.tail):
                child.tail = None
    if block.tag in _TRIMMED:
        block.text = block.text.lstrip(" \t\n") if block.text else None
        if block[-1].tail:
            block[-1].tail = block[-1].tail.rstrip(" \t\n") or None


def _trim_breaks(block: Element) -> None:
    while len(block) and block[0].tag == "br" and is_blank(block.text):
        block.text = None
        remove(block[0])
    while len(block) and block[-1].tag == "br" and is_blank(block[-1].tail):
        block[-1].tail = None
        remove(block[-1])


def outline(root: Element) -> None:
    """Let headings begin at h2 and never skip a level; `h1` is the post's own title."""
    stack: list[tuple[int, int]] = []
    headings = list(root.iterdescendants(*_HEADINGS))
    shift = 1 if any(e.tag == "h1" for e in headings) else 0
    for heading in headings:
        level = int(heading.tag[1]) + shift
        while stack and stack[-1][0] >= level:
            stack.pop()
        stack.append((level, len(stack) + 2))
        heading.tag = f"h{min(stack[-1][1], 6)}"


def check_attributes(root: Element) -> None:
    """Drop attributes whose value makes no sense, and those that were only read on the way."""
    for element in _WITH_ATTRIBUTES(root):
        for name, value in element.attrib.items():
            pattern = _CHECKED.get(name)
            if (pattern is not None and not pattern.fullmatch(value)) or _is_read_only(
                element.tag, name, value
            ):
                del element.attrib[name]
            elif "\n" in value or "\t" in value:
                element.attrib[name] = " ".join(value.split())
    for element in list(root.iterdescendants("a", "span")):
        if not element.attrib:
            unwrap(element)


def _is_read_only(tag: str, name: str, value: str) -> bool:
    if name == "class":
        return not (tag == "small" and value == "credit")
    return name == "name" or name.startswith("data-")


def settle_ids(root: Element, prefix: str, base_url: str) -> None:
    """Keep the ids that a link of the same text points to, under the prefix, and point those links at the page."""
    links = {}
    for link in root.iterdescendants("a"):
        page, mark, fragment = link.get("href", "").partition("#")
        if mark and fragment and page in ("", base_url):
            links[link] = fragment.removeprefix(f"{prefix}-")
    wanted, seen = set(links.values()), set()
    for element in _WITH_IDS(root):
        name = element.get("id") or (element.get("name") if element.tag == "a" else None)
        if name is None:
            continue
        name = name.removeprefix(f"{prefix}-")
        if name in wanted and name not in seen and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,60}", name):
            seen.add(name)
            element.set("id", f"{prefix}-{name}")
        else:
            element.attrib.pop("id", None)
    for link, name in links.items():
        if name in seen:
            link.set("href", f"{base_url}#{prefix}-{name}")
