"""The text part: the same blocks as plain text, wrapped at 72 columns, links as numbered notes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from newsletter.digest.markup import Element, Figure, text_of

COLUMNS = 72


@dataclass(slots=True)
class Notes:
    """The numbered notes of an issue: they count on from story to story; `taken` are those not yet printed."""

    count: int = 0
    taken: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, label: str, url: str) -> int:
        """Take a note and return its number; the same link in one story is one note."""
        for number, known, target in self.taken:
            if url and target == url and known == label:
                return number
        self.count += 1
        self.taken.append((self.count, label, url))
        return self.count

    def lines(self) -> list[str]:
        """Print and forget the notes taken: each URL alone on its line."""
        printed: list[str] = []
        for number, label, url in self.taken:
            printed += wrap(label, first=f"[{number}] ", rest="    ")
            printed += [f"    {url}"] if url else []
        self.taken.clear()
        return printed


def columns(text: str) -> int:
    """Return how many columns a text takes up in a fixed-width font."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrap(text: str, *, first: str = "", rest: str = "", width: int = COLUMNS) -> list[str]:
    """Wrap a text at spaces, and between wide characters; a longer word (a URL) stays whole on its line."""
    lines: list[str] = []
    current, empty = first, True
    for word in text.split():
        for piece, glue in _pieces(word, width - columns(rest)):
            space = "" if empty or not glue else " "
            if empty or columns(current) + len(space) + columns(piece) <= width:
                current, empty = current + space + piece, False
            else:
                lines.append(current.rstrip())
                current = rest + piece
    return lines if empty else [*lines, current.rstrip()]


def _pieces(word: str, room: int) -> list[tuple[str, bool]]:
    """Return a word's unbreakable pieces, each with whether a space stands before it."""
    if columns(word) <= room or not any(_columns(c) == 2 for c in word):
        return [(word, True)]
    return [(character, place == 0) for place, character in enumerate(word)]


def underlined(text: str, stroke: str) -> list[str]:
    """Return a heading with a line under it."""
    lines = wrap(text)
    return [*lines, stroke * min(COLUMNS, max(map(columns, lines), default=0))]


def figure_lines(figure: Figure, picture: str) -> list[str]:
    """Return a picture as text: its alternative text, its caption and its credit."""
    image = figure.image
    lines = wrap(f"[{picture.format(alt=image.alt)}]") if image.alt else []
    return [*lines, *wrap(image.caption), *wrap(f"({image.credit})" if image.credit else "")]


def thumbnail_lines(figure: Figure, picture: str) -> list[str]:
    """Return a small picture as text: its alternative text and its credit."""
    return figure_lines(replace(figure, image=replace(figure.image, caption="")), picture)


def block_lines(block: Element, notes: Notes, *, width: int = COLUMNS) -> list[str]:
    """Return a block that is not a figure as wrapped lines; links become notes."""
    render = _RENDERERS.get(block.tag)
    if render is not None:
        return render(block, notes, width)
    return _paragraph(block, notes, width)


def _paragraph(block: Element, notes: Notes, width: int) -> list[str]:
    lines: list[str] = []
    for line in inline(block, notes).split("\n"):
        lines += wrap(line, width=width)
    return lines


def inline(element: Element, notes: Notes) -> str:
    """Return inline content as text: `<br>` is a line end, links get their note's number behind them."""
    parts = [_squeeze(element.text)]
    for child in element:
        if child.tag == "br":
            parts.append("\n")
        elif child.tag == "img":
            parts.append(child.get("alt", ""))
        elif child.tag == "a":
            parts.append(_link(child, notes))
        elif child.tag == "q":
            parts.append(f"“{inline(child, notes)}”")
        else:
            parts.append(inline(child, notes))
        parts.append(_squeeze(child.tail))
    return "".join(parts)


def _link(element: Element, notes: Notes) -> str:
    label, url = inline(element, notes), element.get("href", "")
    if not url.startswith(("http://", "https://", "mailto:")):
        return label
    if label.strip() == url:
        label = label.partition("://")[2]  # URLs stand alone on their lines, so here it is only named
    return f"{label} [{notes.add(text_of(element) or url, url)}]"


def _squeeze(text: str | None) -> str:
    return (text or "").replace("\n", " ").replace("\r", " ").replace("\t", " ")


def _heading(block: Element, notes: Notes, width: int) -> list[str]:
    return underlined(" ".join(inline(block, notes).split()), "~")


def _quotation(block: Element, notes: Notes, width: int) -> list[str]:
    lines = _children(block, notes, width - 2)
    return [f"> {line}".rstrip() for line in lines]


def _children(block: Element, notes: Notes, width: int) -> list[str]:
    """Return the blocks inside a container, a blank line between them."""
    if not any(child.tag in _BLOCKS for child in block):
        return _paragraph(block, notes, width)
    lines: list[str] = []
    if block.text and block.text.strip():
        lines += wrap(_squeeze(block.text), width=width)
    for child in block:
        inner = block_lines(child, notes, width=width)
        lines += ["", *inner] if lines and inner else inner
        if child.tail and child.tail.strip():
            lines += wrap(_squeeze(child.tail), width=width)
    return lines


def _list(block: Element, notes: Notes, width: int) -> list[str]:
    lines: list[str] = []
    start = block.get("start", "1")
    number = int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 1
    for item in block.findall("li"):
        sign = f"{number}. " if block.tag == "ol" else "* "
        lines += _item(item, notes, width, sign)
        number += 1
    return lines


def _item(item: Element, notes: Notes, width: int, sign: str) -> list[str]:
    inner = width - len(sign)
    lines = _children(item, notes, inner)
    indent = " " * len(sign)
    return [((indent if place else sign) + line).rstrip() for place, line in enumerate(lines)]


def _table(block: Element, notes: Notes, width: int) -> list[str]:
    lines = [line for one in block.iter("caption") for line in _paragraph(one, notes, width)]
    for row in block.iter("tr"):
        cells = [" ".join(inline(cell, notes).split()) for cell in row if cell.tag in ("td", "th")]
        lines += wrap(" | ".join(cells), rest="  ", width=width)
    return lines


def _preformatted(block: Element, notes: Notes, width: int) -> list[str]:
    text = "".join(block.itertext()).expandtabs(4)
    lines: list[str] = []
    for line in text.rstrip().split("\n"):
        lines += [line[at : at + width].rstrip() for at in range(0, max(len(line), 1), width)]
    signs = [_link(link, notes).rpartition(" [")[2] for link in block.iter("a") if link.get("href")]
    return lines + wrap(" ".join(f"[{sign}" for sign in signs if sign.endswith("]")))


def _rule(block: Element, notes: Notes, width: int) -> list[str]:
    return ["* * *"]


def _terms(block: Element, notes: Notes, width: int) -> list[str]:
    lines: list[str] = []
    for child in block:
        indent = "  " if child.tag == "dd" else ""
        lines += [indent + line for line in _paragraph(child, notes, width - len(indent))]
    return lines


_RENDERERS: dict[str, Callable[[Element, Notes, int], list[str]]] = {
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), _heading),
    **dict.fromkeys(("ul", "ol"), _list),
    **dict.fromkeys(("div", "section"), _children),
    "blockquote": _quotation,
    "table": _table,
    "pre": _preformatted,
    "hr": _rule,
    "dl": _terms,
}
_BLOCKS = frozenset({"p", "footer", "figure", *_RENDERERS})


def settle(text: str) -> str:
    """Leave at most one empty line between lines, no space at their ends, one line end at the end."""
    lines = [line.rstrip() for line in text.splitlines()]
    kept = [line for place, line in enumerate(lines) if line or (place and lines[place - 1])]
    return "\n".join(kept).strip("\n") + "\n"


def _wrapped(text: str, first: str = "", rest: str = "") -> str:
    return "\n".join(wrap(text, first=first, rest=rest))


def _underlined(text: str, stroke: str) -> str:
    return "\n".join(underlined(text, stroke))


#: What templates of the text part shape their lines with.
SHAPES: Mapping[str, Callable[..., str]] = {"wrap": _wrapped, "underlined": _underlined}
