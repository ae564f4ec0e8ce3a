"""What feeds in any XML dialect often get wrong without breaking a rule of theirs: advice about others' documents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from newsletter.checks.reading import WEB, Told, advice, as_date, text_of

_ATOM = "http://www.w3.org/2005/Atom"
_DC = "http://purl.org/dc/elements/1.1/"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
_NAMESPACE = re.compile(r"\{([^}]*)\}")
_CONTROLS = re.compile("[\x80-\x84\x86-\x9f\ufffd]")
_HTTP = re.compile("https?:", re.IGNORECASE)
_DATES = (f"{{{_ATOM}}}updated", f"{{{_ATOM}}}published", f"{{{_DC}}}date", "pubDate", "lastBuildDate")
_EARLIEST = 1970  # a year before is a clock that was not set, or a field that was empty

_KNOWN = frozenset(
    f"http://{one}"
    for one in (
        "www.w3.org/2005/Atom",
        "www.w3.org/1999/xhtml",
        "www.w3.org/1999/02/22-rdf-syntax-ns#",
        "www.w3.org/XML/1998/namespace",
        "www.w3.org/1998/Math/MathML",
        "www.w3.org/2000/svg",
        "www.w3.org/1999/xlink",
        "www.w3.org/2003/01/geo/wgs84_pos#",
        "www.w3.org/2007/app",
        "purl.org/rss/1.0/",
        "my.netscape.com/rdf/simple/0.9/",
        "purl.org/atom/ns#",
        "purl.org/dc/elements/1.1/",
        "purl.org/dc/terms/",
        "purl.org/rss/1.0/modules/content/",
        "purl.org/rss/1.0/modules/syndication/",
        "purl.org/rss/1.0/modules/slash/",
        "purl.org/rss/1.0/modules/taxonomy/",
        "purl.org/syndication/history/1.0",
        "purl.org/syndication/thread/1.0",
        "purl.org/atompub/tombstones/1.0",
        "purl.org/atompub/rank/1.0",
        "purl.org/net/rss1.1/payload#",
        "search.yahoo.com/mrss/",
        "search.yahoo.com/mrss",
        "www.itunes.com/dtds/podcast-1.0.dtd",
        "www.google.com/schemas/play-podcasts/1.0",
        "www.georss.org/georss",
        "www.opengis.net/gml",
        "a9.com/-/spec/opensearch/1.1/",
        "a9.com/-/spec/opensearchrss/1.0/",
        "wellformedweb.org/CommentAPI/",
        "webns.net/mvcb/",
        "rssnamespace.org/feedburner/ext/1.0",
        "backend.userland.com/creativeCommonsRssModule",
        "cyber.law.harvard.edu/rss/creativeCommonsRssModule.html",
        "web.resource.org/cc/",
        "blogs.law.harvard.edu/tech/rss",
        "source.scripting.com/",
        "schemas.google.com/blogger/2008",
        "www.pheedo.com/namespace/pheedo",
        "podlove.org/simple-chapters",
        "xmlns.com/foaf/0.1/",
        "madskills.com/public/xml/rss/module/trackback/",
        "madskills.com/public/xml/rss/module/pingback/",
    )
) | {"https://podcastindex.org/namespace/1.0", "com-wordpress:feed-additions:1"}
#: Relations of links in feeds that are registered.
_RELATION_NAMES = """
about alternate amphtml appendix archives author bookmark canonical collection contents copyright
current describedby edit edit-media enclosure external first glossary help hub icon index item last
latest-version license me memento monitor next next-archive nofollow payment ping pingback preview
prev prev-archive previous privacy-policy related replies search section self service shortlink
source start successor-version tag terms-of-service up via webmention working-copy
"""
_RELATIONS = frozenset(_RELATION_NAMES.split())
_TWO_LETTERS = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de
dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id
ie ig ii ik in io is it iu iw ja ji jv jw ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li
ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa
pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th
ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
_LANGUAGES = frozenset(_TWO_LETTERS.split())


def habits(root: Any) -> Iterator[Told]:
    """Yield advice about a parsed feed, whatever its dialect."""
    elements = [one for one in root.iter() if isinstance(one.tag, str)]
    yield from _namespaces(elements)
    yield from _languages(root, elements)
    yield from _dates(root, elements)
    for one in elements:
        text = one.text or ""
        if _CONTROLS.search(text):
            rule = f"<{_name(one)}> holds no control characters, not {_CONTROLS.findall(text)[0]!r}"
            yield advice(
                _name(one), rule, "It was read in a wrong encoding: write the text as UTF-8", "XML 1.0 §2.2"
            )
        if one.tag == f"{{{_ATOM}}}link":
            yield from _link(one)
        elif one.tag == "item" and one.find(_CONTENT) is not None:
            yield from _order(one)


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _namespaces(elements: list[Any]) -> Iterator[Told]:
    used = {found[1] for one in elements if (found := _NAMESPACE.match(one.tag))}
    for namespace in sorted(used - _KNOWN):
        rule = f"the namespace is one that readers know, not {namespace[:200]!r}"
        yield advice("root", rule, "Look for a slip of the pen, or accept that it is not read")


def _languages(root: Any, elements: list[Any]) -> Iterator[Told]:
    told = [(_name(one), one.get(_XML_LANG)) for one in elements if one.get(_XML_LANG)]
    told += [("language", text_of(one).strip()) for one in root.iterfind("channel/language")]
    for place, language in told:
        primary = language.partition("-")[0].lower()
        if len(primary) == 2 and primary not in _LANGUAGES:
            rule = f"a language is registered, not {language[:80]!r}"
            yield advice(place, rule, "Name one of ISO 639: the country stands behind it", "RFC 5646 §2.2.1")


def _dates(root: Any, elements: list[Any]) -> Iterator[Told]:
    """Yield years that are none, and entries that changed at one instant."""
    for one in elements:
        if one.tag in _DATES and (year := _year(text_of(one).strip())) and year < _EARLIEST:
            yield advice(_name(one), f"a date is plausible, not of {year}", "Set the date of the post")
    at = Counter(
        date for one in root.iterfind(f"{{{_ATOM}}}entry/{{{_ATOM}}}updated") if (date := as_date(one.text))
    )
    for date, count in at.items():
        if count > 1:
            rule = f"entries differ in when they changed: {count} at {date.isoformat()}"
            yield advice("feed", rule, "Give each its own instant", "RFC 4287 §4.2.15")


def _year(text: str) -> int | None:
    if re.match("[0-9]{4}-", text):
        return int(text[:4])
    try:
        return parsedate_to_datetime(text).year
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _link(link: Any) -> Iterator[Told]:
    relation, href = link.get("rel", "alternate"), link.get("href", "")
    if relation.strip() and ":" not in relation and relation.lower() not in _RELATIONS:
        rule = f"a link's relation is registered or an address, not {relation[:80]!r}"
        yield advice("link", rule, "Name a registered one", "RFC 4287 §4.2.7.2")
    if _HTTP.match(href) and not WEB.fullmatch(href):
        yield advice("link", f"an http address names a host, not {href[:200]!r}", "Mend it", "RFC 9110 §4.2")


def _order(item: Any) -> Iterator[Told]:
    names = [one.tag for one in item if one.tag in ("description", _CONTENT)]
    if "description" in names and names[0] == _CONTENT:
        rule = "the description stands before content:encoded: some readers show the one that comes last"
        yield advice("item", rule, "Change their order", "RSS Advisory Board, Best Practices Profile")
