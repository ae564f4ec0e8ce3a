"""Inline a digest's styles: the only home of premailer."""

from __future__ import annotations

import logging
import re

_IMPORT = re.compile(r"@import\b[^;<]*;?", re.I)
_STYLE = re.compile(r"(<style\b[^>]*>)(.*?)(</style>)", re.I | re.S)
_PRE = re.compile(r"(<pre\b.*?</pre>)", re.I | re.S)
_TAG = re.compile(r"<[a-z][^<>]*>")  # text holds no bare `<`, so this is never text
_ATTRIBUTE = re.compile(r"""(?<= )([\w:-]+)=("[^"]*"|'[^']*')""")
_AIR = re.compile(r"([;:,]) ")
_INDENT = re.compile(r"[ \t]*\n\s*")


def inline_styles(page: str) -> str:
    """Return a page whose `<style>` rules stand on the elements; blocks marked `data-premailer="ignore"` stay.

    premailer fetches `@import` even when told to stay off the network, so those are taken out first.
    """
    from premailer import Premailer

    safe = _STYLE.sub(lambda found: found[1] + _IMPORT.sub("", found[2]) + found[3], page)
    inlined: str = Premailer(
        safe,
        allow_network=False,
        strip_important=False,
        keep_style_tags=False,
        disable_validation=True,
        cssutils_logging_level=logging.CRITICAL,
        align_floating_images=False,
        disable_basic_attributes=["width", "height", "bgcolor", "align", "valign"],
        remove_classes=False,
    ).transform()
    return _tighten(inlined)


def _tighten(page: str) -> str:
    """Take out what readers pay for and nobody sees: indentation (never inside `<pre>`), spaces in styles.

    Attributes stand in double quotes, as values that are put into them later expect.
    """
    page = _TAG.sub(lambda tag: _ATTRIBUTE.sub(_attribute, tag[0]), page)
    pieces = _PRE.split(page)
    return "".join(piece if place % 2 else _INDENT.sub("\n", piece) for place, piece in enumerate(pieces))


def _attribute(found: re.Match[str]) -> str:
    """Write an attribute in double quotes, whatever stands in it; a style, which may hold some, keeps its own."""
    name, value = found.groups()
    if name == "style":
        return _AIR.sub(r"\1", found[0])
    return found[0] if value[0] == '"' else f'{name}="{value[1:-1].replace(chr(34), "&quot;")}"'
