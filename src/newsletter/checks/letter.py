"""Check the HTML of a digest: structure, accessibility, what mail programs support, and what they must not get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlsplit

from lxml import etree

from newsletter.checks import contrast
from newsletter.checks.page import Element, Found, found_in, place_of, words_of
from newsletter.checks.support import unsupported
from newsletter.digest.markup import is_secure

STYLE_LIMIT = 16 * 1024
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


def check_letter(page: str, root: Element, *, subject: str, unsubscribe: str) -> Iterator[Found]:
    """Yield what breaks a rule in the HTML of a digest, given as text and parsed."""
    css = "\n".join(style.text or "" for style in root.iter("style"))
    yield from _document(page, root, subject)
    yield from _headings(root)
    yield from _tables(root)
    yield from _pictures(root)
    yield from _links(root, unsubscribe)
    yield from _styles(root, css)
    yield from _forbidden(root, css)
    yield from unsupported(root)
    for scheme, words, ratio, element in contrast.poor(root, css):
        yield found_in(
            element,
            f"“{words}”",
            f"contrast {ratio:.2f} in the {scheme} scheme is below {contrast.LEAST}",
            "Change the theme's colours",
        )


def _document(page: str, root: Element, subject: str) -> Iterator[Found]:
    if not page.startswith("<!DOCTYPE html>"):
        yield Found("html", "the page does not begin with <!DOCTYPE html>", "Put it there, upper case")
    if not (root.get("lang") and root.get("dir")):
        yield Found("html", "lang or dir is missing", "Say both")
    title = root.findtext(".//title") or ""
    if " ".join(title.split()) != " ".join(subject.split()):
        yield Found("title", f"the title {title[:60]!r} is not the subject", "Make them equal")
    metas = {meta.get("name") for meta in root.iter("meta")}
    for name in ("color-scheme", "supported-color-schemes", "viewport"):
        if name not in metas:
            yield Found("head", f"the meta {name} is missing", "Add it")
    yield from _wrapper(root.find("body"))


def _wrapper(body: Element) -> Iterator[Found]:
    children = list(body.iterchildren(etree.Element))
    if len(children) != 1:
        yield Found("body", "body has not exactly one child", "Wrap everything in one element")
    wrapper = children[0] if children else body
    for name, value in (("role", "article"), ("aria-roledescription", "email")):
        if wrapper.get(name) != value:
            yield Found("wrapper", f'{name}="{value}" is missing', "Put it on the one child of body")
    for name in ("lang", "dir", "aria-label"):
        if not wrapper.get(name):
            yield Found("wrapper", f"{name} is missing", "Put it on the one child of body")
    first = next((text.strip() for text in body.itertext() if text.strip()), "")
    if not first:
        yield Found("body", "there is no visible first line for the preview", "Begin with a sentence")


def _headings(root: Element) -> Iterator[Found]:
    headings = list(root.iter("h1", "h2", "h3", "h4", "h5", "h6"))
    count = sum(one.tag == "h1" for one in headings)
    if count != 1:
        yield Found("headings", f"there are {count} h1", "Have one")
    for before, after in pairwise(headings):
        if int(after.tag[1]) > int(before.tag[1]) + 1:
            yield found_in(after, place_of(after), f"{after.tag} follows {before.tag}", "Skip no level")
    for one in headings:
        if not words_of(one) and not any(image.get("alt") for image in one.iter("img")):
            yield found_in(one, place_of(one), "a heading says nothing", "Write it, or remove it")


def _tables(root: Element) -> Iterator[Found]:
    for table in root.iter("table"):
        if table.get("role") != "presentation" and not table.xpath("./tr/th|./*/tr/th"):
            yield found_in(table, place_of(table), "a layout table is not role=presentation", "Add the role")


def _pictures(root: Element) -> Iterator[Found]:
    for image in root.iter("img"):
        src, place = image.get("src") or "", f"picture {(image.get('src') or '')[-60:]}"
        if image.get("alt") is None:
            yield found_in(image, place, "a picture has no alt", "Describe it, or say alt= for decoration")
        width, height = image.get("width") or "", image.get("height") or ""
        if not (width.isdigit() and height.isdigit()):
            yield found_in(image, place, "a picture has no width and height in pixels", "Say both")
        elif int(width) <= 2 or int(height) <= 2:
            yield found_in(image, place, "a picture is a tracking pixel", "Remove it")
        if not is_secure(src):
            yield found_in(image, place, "a picture is not on https", "Serve it on https")
        if not urlsplit(src).path.lower().endswith(_PICTURES):
            yield found_in(image, place, "a picture is not JPEG, PNG or GIF", "Convert it")


def _links(root: Element, unsubscribe: str) -> Iterator[Found]:
    targets = set()
    for link in root.iter("a"):
        href = link.get("href") or ""
        targets.add(href)
        if not href.startswith(("https://", "http://", "mailto:")):
            yield found_in(
                link,
                f"link “{_text(link)[:40]}”",
                f"{href[:60]!r} is not an absolute link",
                "Write it with its host",
            )
    if unsubscribe and unsubscribe not in targets:
        yield Found("footer", "there is no link to unsubscribe", "Put the one of List-Unsubscribe there")


def advise_letter(root: Element) -> Iterator[Found]:
    """Yield what an editor could do better in the posts themselves."""
    for link in root.iter("a"):
        text = _text(link)
        if not text or text.casefold().strip(" .…:") in _EMPTY_WORDS:
            yield found_in(
                link,
                f"link to {(link.get('href') or '')[:60]}",
                f"{text!r} makes no sense alone",
                "Say where it leads",
            )


def _text(link: Element) -> str:
    return words_of(link) or " ".join(image.get("alt") or "" for image in link.iter("img")).strip()


def _styles(root: Element, css: str) -> Iterator[Found]:
    if any(True for _ in root.find("body").iter("style")):
        yield Found("style", "a style element stands in the body", "Move it into the head")
    if len(css.encode()) > STYLE_LIMIT:
        yield Found(
            "style", f"styles have {len(css.encode())} bytes, more than {STYLE_LIMIT}", "Shorten them"
        )
    depth = 0
    for sign in re.findall(r"@(?=[a-z])|[{}]", css):
        if sign == "@" and depth:
            yield Found(
                "style", "an at-rule stands inside another", "Take it out: Gmail drops the whole style"
            )
            break
        depth += {"{": 1, "}": -1}.get(sign, 0)
    for needed in ("prefers-color-scheme", "[data-ogsc]", "[data-ogsb]"):
        if needed not in css:
            yield Found("style", f"there is no rule for {needed}", "Add the dark scheme's rules")
    for element in root.iter():
        if isinstance(element.tag, str):
            yield from _style_of(element)
    if _PURE.search(css):
        yield Found("style", "a colour is pure black or white", "Choose one beside it")


def _style_of(element: Element) -> Iterator[Found]:
    style = element.get("style") or ""
    place = place_of(element)
    if _PURE.search(f"{style}; {element.get('bgcolor') or ''}"):
        yield found_in(element, place, "a colour is pure black or white", "Choose one beside it")
    if _HIDDEN.search(style) or element.get("hidden") is not None:
        yield found_in(element, place, "something is hidden", "Show it, or remove it")
    if element.tag not in ("td", "th", "ul", "ol", "body") and re.search(
        r"padding[a-z-]*\s*:\s*[^;]*[1-9]", style
    ):
        yield found_in(
            element, place, "padding stands on something that is not a table cell", "Put it on the cell"
        )


def _forbidden(root: Element, css: str) -> Iterator[Found]:
    for element in root.iter(etree.Element):
        for name in element.attrib:
            if name.startswith("on"):
                yield found_in(element, place_of(element), f"the attribute {name} is a script", "Remove it")
    if _HIDDEN.search(css):
        yield Found("style", "a rule hides something", "Show it, or remove it")
