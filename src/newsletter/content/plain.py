"""Plain text: paragraphs apart by empty lines."""

from __future__ import annotations

import re
from html import escape

from newsletter.content.characters import strip_controls
from newsletter.content.limits import MAX_HTML, check_size
from newsletter.content.pipeline import from_html
from newsletter.content.surroundings import Content, Surroundings

_RULER = re.compile(r"^(?P<title>[^\n]{1,200})\n[ \t]*(?:={3,}|-{3,})[ \t]*(?:\n|$)")


def from_plain_text(text: str, surroundings: Surroundings) -> Content:
    """Make each block of lines a paragraph and keep its line breaks; raises InputError as from_html does."""
    check_size(text, MAX_HTML)
    return from_html(paragraphs(strip_controls(text)), surroundings)


def paragraphs(text: str) -> str:
    """Write the blocks of a text as HTML; a first line underlined with = or - is a heading."""
    blocks = [block.strip() for block in re.split(r"\n[ \t]*\n", text)]
    return "\n".join(_block(block) for block in blocks if block)


def _block(block: str) -> str:
    ruled = _RULER.match(block)
    if ruled:
        rest = block[ruled.end() :].strip()
        return f"<h2>{escape(ruled['title'].strip())}</h2>" + (_block(rest) if rest else "")
    return f"<p>{'<br>'.join(escape(line.strip()) for line in block.split(chr(10)))}</p>"
