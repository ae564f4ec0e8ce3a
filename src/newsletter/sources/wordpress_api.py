"""The REST API of a WordPress site: where it is, its pages of posts, and what it says when it refuses."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from newsletter.content import clean_line, plain_text
from newsletter.errors import InputError, SourceError
from newsletter.fetch import Fetched

REMEDY = (
    'Gather its feed (kind = "feed") or an export file (kind = "wordpress-export") instead, '
    "or have the site's operator open wp/v2/posts"
)
STATUSES = (200, 400, 401, 403, 404, 405, 500, 501)  # those that WordPress explains in JSON
SIZES = (100, 20, 4)  # posts a page: a page that is too much for us or them is asked for in smaller ones
_LONGEST = 300.0  # seconds that one gathering spends on listing; the rest waits for the next
_MOST = 200_000  # posts, in one listing
_REL = "https://api.w.org/"
_LINK = re.compile(r'<([^<>]*)>\s*;[^<]*?\brel="?' + re.escape(_REL) + r'"?(?=[\s;,]|$)')
_LINK_TAG = re.compile(r"<link\b[^<>]{0,2000}>", re.IGNORECASE)
_HREF = re.compile(r"\bhref\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_JSON_BEGINS = re.compile(r'\[\s*\{\s*"(?:id|modified_gmt)"|\[\s*\]\s*\Z|\{\s*"(?:code|name)"')

#: Asks for a URL: raises SourceError for what is no answer.
Ask = Callable[[str], Fetched]


class Refused(SourceError):
    """The API answers, but not with posts; `code` is WordPress's word for it, empty when it is none of its own."""

    def __init__(self, what: str, *, where: str, code: str = "") -> None:
        super().__init__(what, where=where, remedy=REMEDY)
        self.code = code


class Interrupted(Exception):
    """A listing stopped on its way; what came before is good. The message says why."""


def find_root(site: str, ask: Ask) -> str:
    """Return the root of a site's API: as its page names it, else where WordPress has it.

    Raises SourceError when there is none.
    """
    if "/wp-json" in urlsplit(site).path or "rest_route=" in urlsplit(site).query:
        root = re.sub(r"(/wp-json|[?&]rest_route=/).*", r"\1", site)
        return f"{root.rstrip('/')}/"
    page = ask(site)
    named = named_root(page)
    if named:
        return named
    base = page.url.partition("?")[0].partition("#")[0]
    base = base if base.endswith("/") else base.rpartition("/")[0] + "/"
    refused: Refused | None = None
    for root in (f"{base}wp-json/", f"{base}?rest_route=/"):
        try:
            told = read(ask(root))
        except Refused as e:
            refused = e if e.code not in ("", "rest_no_route") else refused
            continue
        except SourceError:
            continue
        if isinstance(told, dict) and "wp/v2" in (told.get("namespaces") or ()):
            return root
    raise refused or Refused("no REST API of WordPress is found there", where=site)


def named_root(page: Fetched) -> str:
    """Return the API root that a page names in its Link header or its head, empty when it names none."""
    header = _LINK.search(page.headers.get("link", ""))
    if header:
        return str(urljoin(page.url, header[1]))
    for tag in _LINK_TAG.findall(page.body[:200_000].decode("utf-8", "replace")):
        href = _HREF.search(tag)
        if _REL in tag and href and href[1] != _REL:
            return str(urljoin(page.url, unescape(href[1] or href[2])))
    return ""


def read(answer: Fetched) -> Any:
    """Return what was answered in JSON, also behind a byte order mark or warnings of PHP.

    Raises Refused for an error of WordPress, and for what is no JSON.
    """
    text = answer.body.decode("utf-8-sig", "replace")
    begin = _JSON_BEGINS.search(text) if text.lstrip()[:1] not in ("[", "{") else None
    try:
        told = json.loads(text[begin.start() :] if begin else text)
    except (ValueError, RecursionError) as e:
        page = "a page of HTML" if text.lstrip()[:1] == "<" else "something that is no JSON"
        raise Refused(f"it answers with {page} ({answer.status})", where=answer.url) from e
    if isinstance(told, dict) and "code" in told:
        code, message = clean_line(str(told["code"]))[:80], _words(told.get("message"))
        raise Refused(f"the site refuses: {message} ({answer.status} {code})", where=answer.url, code=code)
    if answer.status != 200:
        raise Refused(f"the server answered {answer.status}", where=answer.url)
    return told


def _words(message: Any) -> str:
    try:
        return clean_line(plain_text(str(message)[:2000])).rstrip(".")[:200] or "no reason given"
    except InputError:
        return "no reason given"


@dataclass(slots=True)
class Api:
    """The posts of one site; `size` is how many come on a page."""

    root: str
    ask: Ask
    size: int = SIZES[0]
    total: int | None = None  # as the last page told
    _began: float = field(default_factory=time.monotonic)

    def url(self, parameters: Mapping[str, str]) -> str:
        """Return the URL of a question for posts, on a site with or without pretty permalinks."""
        query = "&".join(f"{name}={quote(value, safe=',:')}" for name, value in parameters.items())
        joint = "&" if "?" in self.root else "?"
        return f"{self.root.rstrip('/')}/wp/v2/posts{joint}{query}"

    def pages(self, parameters: Mapping[str, str]) -> Iterator[list[dict[str, Any]]]:
        """Yield one page of posts after the other, each post once.

        Raises SourceError when the first page fails, Interrupted when a later one does.
        """
        seen: set[Any] = set()
        taken, last = 0, 1
        while taken < last * self.size:
            if len(seen) >= _MOST:
                raise Interrupted(f"it has more than {_MOST:,} posts")
            if taken and time.monotonic() - self._began > _LONGEST:
                raise Interrupted(f"it takes longer than {_LONGEST / 60:.0f} minutes")
            try:
                found = self._page(parameters, taken)
            except SourceError as e:
                if not taken:
                    raise
                raise Interrupted(str(e)) from e
            if found is None:
                return
            answer, items = found
            fresh = [one for one in items if one.get("id") not in seen]
            seen.update(one.get("id") for one in fresh)
            taken += self.size
            last = self._last(answer, bool(fresh), taken)
            yield fresh

    def _page(self, parameters: Mapping[str, str], taken: int) -> tuple[Fetched, list[dict[str, Any]]] | None:
        """Ask for the page behind so many posts; None when there is none any more."""
        while True:
            place = {"per_page": str(self.size), "page": str(taken // self.size + 1)}
            answer: Fetched | None = None
            try:
                answer = self.ask(self.url({**parameters, **place}))
                return answer, _posts(answer)
            except Refused as e:
                if taken and e.code in ("rest_post_invalid_page_number", "rest_invalid_page_number"):
                    return None
                smaller = e.code == "rest_invalid_param" or (answer is not None and answer.status >= 500)
                if not smaller or not self._shrink():
                    raise
            except SourceError as e:
                if not self._too_much(e) or not self._shrink():
                    raise

    def _too_much(self, error: SourceError) -> bool:
        return getattr(error.__cause__, "status", 0) in (200, 500, 502, 504)  # 200: larger than we take

    def _shrink(self) -> bool:
        smaller = [size for size in SIZES if size < self.size]
        self.size = smaller[0] if smaller else self.size
        return bool(smaller)

    def _last(self, answer: Fetched, fresh: bool, taken: int) -> int:
        """Return the number of the last page; servers that do not tell it are asked until nothing new comes."""
        total, pages = (answer.headers.get(f"x-wp-{name}", "") for name in ("total", "totalpages"))
        self.total = int(total) if total.isascii() and total.isdigit() and len(total) < 10 else None
        if not fresh:
            return 0
        if pages.isascii() and pages.isdigit() and len(pages) < 10:
            return int(pages)
        return taken // self.size + 1


def _posts(answer: Fetched) -> list[dict[str, Any]]:
    told = read(answer)
    if not isinstance(told, list):
        raise Refused("it answers with something that is no list of posts", where=answer.url)
    return [one for one in told if isinstance(one, dict) and type(one.get("id")) is int]
