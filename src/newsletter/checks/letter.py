"""Check the HTML of a digest: structure, accessibility, what mail programs support, and what they must not get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from lxml import etree
from lxml import html as lxml_html

from newsletter.checks import contrast
from newsletter.digest.markup import is_secure

Element: TypeAlias = Any  # lxml ships no types
#: (place, rule, remedy)
Found: TypeAlias = tuple[str, str, str]

STYLE_LIMIT = 16 * 1024
_FORBIDDEN = (
    "script", "form", "input", "button", "select", "textarea", "link", "iframe", "object", "embed", "video", "audio",
    "svg", "base",
)  # fmt: skip
_EMPTY_WORDS = frozenset(
    {
        "here",
        "click here",
        "read more",
        "more",
        "read on",
        "continue",
        "link",
        "this link",
        "learn more",
        "ici",
    }
    | {"cliquez ici", "lire la suite", "suite"}
)
_PURE = re.compile(
    r"(?:#(?:000000|ffffff|000|fff)\b|:\s*(?:black|white)\b|rgb\(\s*(?:0\s*,\s*0\s*,\s*0|255\s*,\s*255\s*,\s*255))",
    re.I,
)
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0(?![.\d])|font-size\s*:\s*0(?![.\d])|"
    r"max-height\s*:\s*0(?![.\d])|mso-hide|text-indent\s*:\s*-",
    re.I,
)
_PICTURES = (".jpg", ".jpeg", ".png", ".gif")


def check_letter(page: str, *, subject: str, unsubscribe: str) -> Iterator[Found]:
    """Yield what breaks a rule in the HTML of a digest."""
    root = _parse(page)
    css = "\n".join(style.text or "" for style in root.iter("style"))
    yield from _document(page, root, subject)
    yield from _headings(root)
    yield from _tables(root)
    yield from _pictures(root)
    yield from _links(root, unsubscribe)
    yield from _styles(root, css)
    yield from _forbidden(root, css)
    for scheme, words, ratio in contrast.poor(root, css):
        yield (
            f"“{words}”",
            f"contrast {ratio:.2f} in the {scheme} scheme is below {contrast.LEAST}",
            "Change the theme's colours",
        )


def _document(page: str, root: Element, subject: str) -> Iterator[Found]:
    if not page.startswith("<!DOCTYPE html>"):
        yield "html", "the page does not begin with <!DOCTYPE html>", "Put it there, upper case"
    if not (root.get("lang") and root.get("dir")):
        yield "html", "lang or dir is missing", "Say both"
    title = root.findtext(".//title") or ""
    if " ".join(title.split()) != " ".join(subject.split()):
        yield "title", f"the title {title[:60]!r} is not the subject", "Make them equal"
    metas = {meta.get("name") for meta in root.iter("meta")}
    for name in ("color-scheme", "supported-color-schemes", "viewport"):
        if name not in metas:
            yield "head", f"the meta {name} is missing", "Add it"
    yield from _wrapper(root.find("body"))


def _wrapper(body: Element) -> Iterator[Found]:
    if len(body) != 1:
        yield "body", "body has not exactly one child", "Wrap everything in one element"
    wrapper = body[0] if len(body) else body
    for name, value in (("role", "article"), ("aria-roledescription", "email")):
        if wrapper.get(name) != value:
            yield "wrapper", f'{name}="{value}" is missing', "Put it on the one child of body"
    for name in ("lang", "dir", "aria-label"):
        if not wrapper.get(name):
            yield "wrapper", f"{name} is missing", "Put it on the one child of body"
    first = next((text.strip() for text in body.itertext() if text.strip()), "")
    if not first:
        yield "body", "there is no visible first line for the preview", "Begin with a sentence"


def _headings(root: Element) -> Iterator[Found]:
    levels = [int(one.tag[1]) for one in root.iter("h1", "h2", "h3", "h4", "h5", "h6")]
    if levels.count(1) != 1:
        yield "headings", f"there are {levels.count(1)} h1", "Have one"
    for before, after in pairwise(levels):
        if after > before + 1:
            yield "headings", f"h{after} follows h{before}", "Skip no level"


def _tables(root: Element) -> Iterator[Found]:
    for table in root.iter("table"):
        if table.get("role") != "presentation" and not table.xpath("./tr/th|./*/tr/th"):
            yield f"line {table.sourceline}", "a layout table is not role=presentation", "Add the role"


def _pictures(root: Element) -> Iterator[Found]:
    for image in root.iter("img"):
        src, place = image.get("src") or "", f"picture {(image.get('src') or '')[-60:]}"
        if image.get("alt") is None:
            yield place, "a picture has no alt", "Describe it, or say alt= for decoration"
        width, height = image.get("width") or "", image.get("height") or ""
        if not (width.isdigit() and height.isdigit()):
            yield place, "a picture has no width and height in pixels", "Say both"
        elif int(width) <= 2 or int(height) <= 2:
            yield place, "a picture is a tracking pixel", "Remove it"
        if not is_secure(src):
            yield place, "a picture is not on https", "Serve it on https"
        if not urlsplit(src).path.lower().endswith(_PICTURES):
            yield place, "a picture is not JPEG, PNG or GIF", "Convert it"


def _links(root: Element, unsubscribe: str) -> Iterator[Found]:
    targets = set()
    for link in root.iter("a"):
        href = link.get("href") or ""
        targets.add(href)
        if not href.startswith(("https://", "http://", "mailto:")):
            yield (
                f"link “{_text(link)[:40]}”",
                f"{href[:60]!r} is not an absolute link",
                "Write it with its host",
            )
    if unsubscribe and unsubscribe not in targets:
        yield "footer", "there is no link to unsubscribe", "Put the one of List-Unsubscribe there"


def advise_letter(page: str) -> Iterator[Found]:
    """Yield what an editor could do better in the posts themselves."""
    for link in _parse(page).iter("a"):
        text = _text(link)
        if not text or text.casefold().strip(" .…:") in _EMPTY_WORDS:
            yield (
                f"link to {(link.get('href') or '')[:60]}",
                f"{text!r} makes no sense alone",
                "Say where it leads",
            )


def _parse(page: str) -> Element:
    return lxml_html.document_fromstring(page.encode(), parser=lxml_html.HTMLParser(encoding="utf-8"))


def _text(link: Element) -> str:
    text = " ".join("".join(link.itertext()).split())
    return text or " ".join(image.get("alt") or "" for image in link.iter("img")).strip()


def _styles(root: Element, css: str) -> Iterator[Found]:
    if any(True for _ in root.find("body").iter("style")):
        yield "style", "a style element stands in the body", "Move it into the head"
    if len(css.encode()) > STYLE_LIMIT:
        yield "style", f"styles have {len(css.encode())} bytes, more than {STYLE_LIMIT}", "Shorten them"
    depth = 0
    for sign in re.findall(r"@(?=[a-z])|[{}]", css):
        if sign == "@" and depth:
            yield "style", "an at-rule stands inside another", "Take it out: Gmail drops the whole style"
            break
        depth += {"{": 1, "}": -1}.get(sign, 0)
    for needed in ("prefers-color-scheme", "[data-ogsc]", "[data-ogsb]"):
        if needed not in css:
            yield "style", f"there is no rule for {needed}", "Add the dark scheme's rules"
    for element in root.iter():
        if isinstance(element.tag, str):
            yield from _style_of(element)
    if _PURE.search(css):
        yield "style", "a colour is pure black or white", "Choose one beside it"


def _style_of(element: Element) -> Iterator[Found]:
    style = element.get("style") or ""
    place = f"{element.tag} “{''.join(element.itertext()).strip()[:30]}”"
    if _PURE.search(f"{style}; {element.get('bgcolor') or ''}"):
        yield place, "a colour is pure black or white", "Choose one beside it"
    if _HIDDEN.search(style) or element.get("hidden") is not None:
        yield place, "something is hidden", "Show it, or remove it"
    if element.tag not in ("td", "th", "ul", "ol", "body") and re.search(
        r"padding[a-z-]*\s*:\s*[^;]*[1-9]", style
    ):
        yield place, "padding stands on something that is not a table cell", "Put it on the cell"


def _forbidden(root: Element, css: str) -> Iterator[Found]:
    for element in root.iter(*_FORBIDDEN):
        yield f"line {element.sourceline}", f"a {element.tag} element is not for mail", "Remove it"
    for element in root.iter(etree.Element):
        for name in element.attrib:
            if name.startswith("on"):
                yield f"line {element.sourceline}", f"the attribute {name} is a script", "Remove it"
    if re.search(r"@font-face|@import|url\(", css, re.I):
        yield "style", "a style fetches something (font, import or url)", "Remove it"
    if _HIDDEN.search(css):
        yield "style", "a rule hides something", "Show it, or remove it"
