"""The allow-list, and the only use of nh3.

`intake` makes any text a fragment of known elements; it still carries the few attributes the tidying reads.
`gate` is the last word on what leaves: absolute URLs of four schemes, no foreign class, nothing else. Both return
markup that is HTML and well-formed XML at once.
"""

from __future__ import annotations

import re

import nh3

from newsletter.content.characters import strip_controls

SCHEMES = frozenset({"http", "https", "mailto", "tel"})
VOID = frozenset({"br", "hr", "img", "wbr", "col"})
INLINE = frozenset(
    {
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "br",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "i",
        "img",
        "ins",
        "kbd",
        "mark",
        "q",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "time",
        "u",
        "var",
        "wbr",
    }
)
BLOCK = frozenset(
    {
        "blockquote",
        "caption",
        "col",
        "colgroup",
        "dd",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "footer",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    }
)
#: Elements of old or richer pages, and what they become; the empty name means that only the content stays.
RENAMED: dict[str, str] = {
    **dict.fromkeys(
        (
            "address",
            "article",
            "aside",
            "center",
            "details",
            "dir",
            "fieldset",
            "form",
            "header",
            "hgroup",
            "main",
            "menu",
            "nav",
            "section",
            "summary",
        ),
        "div",
    ),
    **{"acronym": "abbr", "strike": "s", "tt": "code", "big": "", "font": "", "legend": "div"},
}
#: Elements whose content is not for readers. What stands in an object is shown where the object cannot be.
_SILENT = frozenset(
    {
        "script",
        "style",
        "noscript",
        "template",
        "title",
        "head",
        "svg",
        "math",
        "textarea",
        "select",
        "option",
        "button",
        "canvas",
        "iframe",
        "embed",
        "audio",
        "video",
        "map",
        "noembed",
        "noframes",
        "frameset",
        "xmp",
        "plaintext",
        "dialog",
    }
)
_ATTRIBUTES: dict[str, set[str]] = {
    "*": {"lang", "dir", "id"},
    "a": {"href", "title", "hreflang"},
    "abbr": {"title"},
    "blockquote": {"cite"},
    "col": {"span"},
    "colgroup": {"span"},
    "data": {"value"},
    "del": {"cite", "datetime"},
    "dfn": {"title"},
    "img": {"src", "alt", "width", "height", "title"},
    "ins": {"cite", "datetime"},
    "li": {"value"},
    "ol": {"start", "reversed", "type"},
    "q": {"cite"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope", "abbr"},
    "time": {"datetime"},
}
_READ_ONLY = {
    "*": {"class"},
    "img": {"data-src", "data-lazy-src", "data-original", "data-orig-src"},
    "a": {"name"},
}
_VOID_TAG = re.compile(r'<((?:br|hr|img|wbr|col)(?: [a-z-]+="[^"]*")*)>')


def _merge(first: dict[str, set[str]], second: dict[str, set[str]]) -> dict[str, set[str]]:
    return {tag: first.get(tag, set()) | second.get(tag, set()) for tag in first.keys() | second.keys()}


_INTAKE = nh3.Cleaner(
    tags=set(INLINE | BLOCK | RENAMED.keys()),
    clean_content_tags=set(_SILENT),
    attributes=_merge(_ATTRIBUTES, _READ_ONLY),
    url_schemes=set(SCHEMES),
    link_rel=None,
)
_GATE = nh3.Cleaner(
    tags=set(INLINE | BLOCK - {"h1"}),
    clean_content_tags=set(_SILENT),
    attributes=_ATTRIBUTES,
    tag_attribute_values={"small": {"class": {"credit"}}},
    url_schemes=set(SCHEMES),
    url_relative="deny",
    link_rel=None,
)
_TEXT = nh3.Cleaner(
    tags=set(INLINE | BLOCK | RENAMED.keys()),
    clean_content_tags=set(_SILENT),
    attributes={},
    link_rel=None,
)


def intake(html: str) -> str:
    """Return known elements only, well-formed, with relative URLs still in place."""
    return _polyglot(_INTAKE.clean(html))


def gate(html: str) -> str:
    """Return what may leave the pipeline."""
    return _polyglot(_GATE.clean(html))


def text_only(html: str) -> str:
    """Return the elements without any attribute, well-formed."""
    return _polyglot(_TEXT.clean(html))


def _polyglot(html: str) -> str:
    # Character references may have brought control characters back.
    return _VOID_TAG.sub(r"<\1/>", strip_controls(html)).replace("&nbsp;", "\xa0")
