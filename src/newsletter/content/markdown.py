"""Markdown: CommonMark with tables and footnotes; a titled picture alone in a paragraph is a figure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape

from markdown_it import MarkdownIt
from markdown_it.common.utils import mdTrim
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.footnote import footnote_plugin

from newsletter.content.characters import strip_controls
from newsletter.content.limits import MAX_DEPTH, MAX_MARKDOWN, check_depth, check_size
from newsletter.content.pipeline import from_html
from newsletter.content.surroundings import Content, Surroundings

_MEANS_SOMETHING = re.compile(r"[\n\\`*_\[\]!<>&^~:]")
_PLAIN_URL = re.compile(r"[a-z]+://[a-z0-9.-]+(?:/[A-Za-z0-9/._~?=+-]*)?", re.ASCII)


def from_markdown(text: str, surroundings: Surroundings, *, before: str = "") -> Content:
    """Render Markdown and make it Content, with the HTML `before` in front of it.

    Raises InputError as from_html does, and beyond 2,000,000 characters.
    """
    check_size(text, MAX_MARKDOWN)
    check_depth(text, 20 * MAX_DEPTH)  # looser: what looks like elements may be code
    rendered: str = _renderer().render(strip_controls(text))
    return from_html(before + rendered, surroundings)


class _Renderer(MarkdownIt):
    """Spares the URLs that are plain already the work of being taken apart and put together."""

    def normalizeLink(self, url: str) -> str:  # noqa: N802 - the library's name
        """Percent-encode a URL where it needs it."""
        return url if _PLAIN_URL.fullmatch(url) else super().normalizeLink(url)


class _Html(RendererHTML):
    """Writes the plain start and end tags of blocks at once: most of them."""

    def renderToken(  # noqa: N802 - the library's name
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        """Write a tag; a block's end, and its start before a line of text, need no look around."""
        token = tokens[idx]
        if token.block and not token.attrs and not token.hidden:
            if token.nesting == -1:
                return f"</{token.tag}>\n"
            if token.nesting and tokens[idx + 1].type == "inline" and not (idx and tokens[idx - 1].hidden):
                return f"<{token.tag}>"
        return super().renderToken(tokens, idx, options, env)


@cache
def _renderer() -> MarkdownIt:
    renderer = _Renderer("commonmark", {"html": True}, renderer_cls=_Html)
    renderer.enable("table").use(footnote_plugin)
    renderer.block.ruler.before("table", "prose", _prose)
    renderer.core.ruler.at("inline", _inline)
    renderer.core.ruler.after("inline", "figure", _figures)
    return renderer


def _prose(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Take a paragraph whose lines all begin with a letter, which begins no other block: most of them."""
    source, line, last = state.src, start, state.lineMax
    if state.sCount[start] - state.blkIndent > 3:
        return False
    while line < last:
        begin = state.bMarks[line] + state.tShift[line]
        if begin >= state.eMarks[line]:
            break
        if not source[begin].isalpha():
            return False
        line += 1
    token = state.push("paragraph_open", "p", 1)
    token.map = [start, line]
    token = state.push("inline", "", 0)
    token.content = mdTrim(state.getLines(start, line, state.blkIndent, False))
    token.map = [start, line]
    token.children = []
    state.push("paragraph_close", "p", -1)
    state.line = line
    return True


def _inline(state: StateCore) -> None:
    """Parse the lines of text, but for those without any character that means something: most of them."""
    for token in state.tokens:
        if token.type != "inline":
            continue
        token.children = []
        if _MEANS_SOMETHING.search(token.content):
            state.md.inline.parse(token.content, state.md, state.env, token.children)
        else:
            token.children.append(Token("text", "", 0, content=token.content))


def _figures(state: StateCore) -> None:
    """Replace paragraphs of titled pictures by figures."""
    for place in range(1, len(state.tokens) - 1):
        token = state.tokens[place]
        if token.type == "inline" and state.tokens[place - 1].type == "paragraph_open":
            pictures = _pictures(token.children or [])
            if pictures and any(picture.attrGet("title") for picture in pictures):
                _replace(state.tokens[place - 1 : place + 2], pictures)


def _pictures(children: Sequence[Token]) -> list[Token]:
    """Return the pictures of a line that holds nothing else, or nothing."""
    for child in children:
        if child.type not in ("image", "softbreak", "hardbreak") and (
            child.type != "text" or child.content.strip()
        ):
            return []
    return [child for child in children if child.type == "image"]


def _replace(tokens: Sequence[Token], pictures: Sequence[Token]) -> None:
    opening, inline, closing = tokens
    opening.type = closing.type = "html_block"
    opening.content = "".join(_figure(picture) for picture in pictures)
    opening.tag = closing.tag = ""
    closing.content = ""
    inline.children = []
    inline.content = ""
    opening.hidden = closing.hidden = False


def _figure(picture: Token) -> str:
    caption, credit = split_title(str(picture.attrGet("title") or ""))
    return (
        f'<figure><img src="{escape(str(picture.attrGet("src") or ""))}" alt="{escape(_plain(picture))}">'
        f"{figcaption(caption, credit)}</figure>\n"
    )


def split_title(title: str) -> tuple[str, str]:
    """Split `Caption | Credit`."""
    caption, _, credit = title.partition(" | ") if " | " in title else (title, "", "")
    return caption.strip(), credit.strip()


def figcaption(caption: str, credit: str) -> str:
    """Write a figure's caption and credit."""
    if not caption and not credit:
        return ""
    mark = f'<small class="credit">{escape(credit)}</small>' if credit else ""
    return f"<figcaption>{escape(caption, quote=False)}{' ' if caption and mark else ''}{mark}</figcaption>"


def _plain(token: Token) -> str:
    parts = [
        child.content if child.type in ("text", "code_inline") else _plain(child)
        for child in token.children or []
    ]
    return "".join(parts) or (token.content if token.type == "text" else "")
