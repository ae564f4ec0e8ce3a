"""What WordPress stores in a post beside HTML: shortcodes, captions, galleries, bare embeds, lines as paragraphs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape, unescape

from newsletter.content.characters import clean_line, strip_controls
from newsletter.content.limits import MAX_HTML, check_size
from newsletter.model import Image

#: Gives the pictures with these attachment ids, or all that belong to the post when there are none.
FindPictures = Callable[[tuple[str, ...]], Sequence[Image]]

_CAPTION = re.compile(
    r"\[(?:wp_)?caption\b(?P<attributes>[^\]]{0,4000})\](?P<inner>(?:(?!\[(?:wp_)?caption\b).){0,20000}?)\[/(?:wp_)?caption\]",
    re.DOTALL | re.IGNORECASE,
)
_MEDIA = re.compile(
    r"\s*(?P<media>(?:<p>\s*)?(?:<a\b[^>]{0,2000}>\s*)?<img\b[^>]{0,4000}>(?:\s*</a>)?)(?P<text>.*)",
    re.DOTALL | re.IGNORECASE,
)
_DIVISION = re.compile(
    r"<div\b[^>]{0,1000}\bwp-caption\b[^>]{0,1000}>(?P<media>(?:(?!<div\b).){0,10000}?)<p\b[^>]{0,500}\bwp-caption-text\b[^>]{0,500}>"
    r"(?P<text>(?:(?!<div\b|<p\b).){0,10000}?)</p>\s*</div>",
    re.DOTALL | re.IGNORECASE,
)
_GALLERY_ITEM = re.compile(  # as themes without HTML 5 have it
    r"<dl\b[^>]{0,500}\bgallery-item\b[^>]{0,500}>\s*<dt\b[^>]{0,500}>(?P<media>(?:(?!<d[lt]\b).){0,10000}?)</dt>\s*"
    r"(?:<dd\b[^>]{0,500}>(?P<text>(?:(?!<d[ldt]\b).){0,10000}?)</dd>\s*)?</dl>",
    re.DOTALL | re.IGNORECASE,
)
_SHORTCODE = re.compile(
    r"(?P<escaped>\[)?\[(?P<end>/)?(?P<name>[A-Za-z][\w-]{1,40})(?P<attributes>(?:\s[^\[\]<>]{0,2000}|\s(?:[^\[\]<>]|<a\b[^<>]{0,500}>|</a>){0,2000})?)/?\](?(escaped)\]|)"
)
_ATTRIBUTE = re.compile(r"([\w-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'\]]+))")
_URL = re.compile(r"https?://[^\s\"'<>\[\]]+")
_BARE_URL = re.compile(r"(?P<before>^|>)[ \t]*(?P<url>https?://[^\s<>\"']+)[ \t]*(?=$|<)", re.MULTILINE)
_EMBEDS = frozenset(
    {
        "embed",
        "video",
        "audio",
        "youtube",
        "vimeo",
        "soundcloud",
        "twitter",
        "tweet",
        "instagram",
        "wpvideo",
        "videopress",
        "ted",
    }
)
#: Shortcodes without attributes that are certainly not words in brackets.
_KNOWN = frozenset(
    {
        "gallery",
        "playlist",
        "caption",
        "contact-form",
        "contact-form-7",
        "toc",
        "archives",
        "sitemap",
        "more",
        "nextpage",
        "jetpack_subscription_form",
        "contact-field",
        "subscribe2",
        "wpforms",
        "gravityform",
        "recent-posts",
        "latest_posts",
    }
)
_BLOCK_START = re.compile(
    r"\s*</?(?:address|article|aside|blockquote|center|dd|details|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|"
    r"header|hr|iframe|li|main|nav|object|ol|p|pre|script|section|style|table|tbody|td|tfoot|th|thead|tr|ul|video|audio)\b",
    re.IGNORECASE,
)
_BLOCK_TAG = re.compile(
    r"</?(?:blockquote|div|dl|figure|h[1-6]|li|ol|p|pre|table|tr|td|th|ul)\b", re.IGNORECASE
)
#: A block without HTML of its own: WordPress makes its content anew whenever the page is shown.
_DYNAMIC = re.compile(r"<!--\s{1,9}wp:([\w/-]{1,80})\s{1,9}(\{[^\n]{0,4000}?\}\s{1,9})?/-->")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_VERBATIM = re.compile(r"<(pre|script|style|textarea)\b", re.IGNORECASE)


def prepare(
    html: str, find_pictures: FindPictures | None = None, *, rendered: bool = False
) -> tuple[str, list[str]]:
    """Turn captions and galleries into figures, embeds into links, blank lines into paragraphs.

    In what WordPress has `rendered` paragraphs are made already. Returns HTML that still needs to be sanitised,
    and what was dropped.
    """
    check_size(html, MAX_HTML)
    dropped: list[str] = []
    html = strip_controls(html)
    blocks = rendered or "<!-- wp:" in html
    dropped += dict.fromkeys(map(_dynamic, _DYNAMIC.finditer(html))) if blocks else ()
    html = _CAPTION.sub(_caption, html)
    html = _DIVISION.sub(lambda match: _figure(match["media"], match["text"]), html)
    html = _GALLERY_ITEM.sub(lambda match: _figure(match["media"], match["text"] or ""), html)
    html = _replace_shortcodes(html, find_pictures, dropped)
    html = _BARE_URL.sub(lambda match: f'{match["before"]}<a href="{match["url"]}">{match["url"]}</a>', html)
    return (html if blocks else _paragraphs(html)), dropped


def _dynamic(match: re.Match[str]) -> str:
    url = re.search(r'"url":"(https?:[^"]{1,200})"', match[2] or "")
    return f"the block {match[1]} was removed: it holds no text{f', only {url[1]}' if url else ''}"


def _caption(match: re.Match[str]) -> str:
    found = _MEDIA.match(match["inner"])
    if not found:
        return match["inner"]
    named = _attributes(match["attributes"]).get("caption", "")
    return _figure(found["media"], found["text"].strip() or escape(named, quote=False))


def _figure(media: str, text: str) -> str:
    text = re.sub(r"</?p\b[^>]{0,200}>", " ", text).strip()
    caption = f"<figcaption>{text}</figcaption>" if text else ""
    return f"\n\n<figure>{media.strip().removeprefix('<p>')}{caption}</figure>\n\n"


def _attributes(text: str) -> dict[str, str]:
    text = text.replace("”", '"').replace("″", '"').replace("“", '"')
    return {name.lower(): unescape(a or b or c) for name, a, b, c in _ATTRIBUTE.findall(text)}


def _replace_shortcodes(html: str, find_pictures: FindPictures | None, dropped: list[str]) -> str:
    closed = {match[1].lower() for match in re.finditer(r"\[/([A-Za-z][\w-]{1,40})\]", html)}

    def replace(match: re.Match[str]) -> str:
        name, attributes = match["name"].lower(), _attributes(match["attributes"] or "")
        if match["escaped"]:
            return match[0][1:-1]  # [[name]] shows a shortcode
        if not (match["end"] or name in closed or attributes or name in _KNOWN | _EMBEDS):
            return match[0]  # a word in brackets, such as [sic]
        if match["end"]:
            return "" if name in closed else match[0]
        if name == "gallery":
            return _gallery(attributes, find_pictures, dropped)
        if name in _EMBEDS or _media_url(attributes, match["attributes"]):
            return _embed(name, attributes, match, dropped)
        report = f"the shortcode [{name}] was removed"
        if report not in dropped:
            dropped.append(report)
        return ""

    return _SHORTCODE.sub(replace, html)


def _gallery(attributes: dict[str, str], find_pictures: FindPictures | None, dropped: list[str]) -> str:
    ids = tuple(re.findall(r"\d+", attributes.get("ids") or attributes.get("include") or ""))
    pictures = find_pictures(ids) if find_pictures else ()
    if not pictures:
        dropped.append("a gallery was removed: its pictures are not known")
        return ""
    if len(pictures) < len(ids):
        dropped.append(f"{len(ids) - len(pictures)} of the {len(ids)} pictures of a gallery are not known")
    return "".join(_picture(picture) for picture in pictures)


def _picture(picture: Image) -> str:
    size = f' width="{picture.width}" height="{picture.height}"' if picture.width and picture.height else ""
    media = f'<img src="{escape(picture.src)}" alt="{escape(picture.alt)}"{size}>'
    credit = f'<small class="credit">{escape(picture.credit)}</small>' if picture.credit else ""
    return _figure(media, f"{escape(picture.caption, quote=False)} {credit}")


def _media_url(attributes: dict[str, str], written: str | None) -> str:
    for name in ("src", "mp3", "mp4", "m4a", "m4v", "webm", "ogg", "ogv", "wav", "url", "href"):
        if _URL.match(attributes.get(name, "")):
            return attributes[name]
    bare = _URL.search(written or "")
    return unescape(bare[0]) if bare else ""


def _embed(name: str, attributes: dict[str, str], match: re.Match[str], dropped: list[str]) -> str:
    url = _media_url(attributes, match["attributes"])
    if not url:
        if not _URL.match(match.string, match.end()):  # [embed]URL[/embed]: the URL becomes a link by itself
            dropped.append(f"the shortcode [{name}] was removed: it names no URL")
        return "\n\n"
    dropped.append(f"the shortcode [{name}] became a link to {url[:200]}")
    return f'\n\n<p><a href="{escape(url)}">{escape(clean_line(url))}</a></p>\n\n'


def _paragraphs(html: str) -> str:
    """Make paragraphs of what blank lines part, as WordPress does when it shows a post."""
    out: list[str] = []
    lower, start = html.lower(), 0
    never_closed: set[str] = set()
    for match in _VERBATIM.finditer(html):
        name = match[1].lower()
        if match.start() < start or name in never_closed:
            continue
        end = lower.find(f"</{name}", match.end())
        if end < 0:
            never_closed.add(name)
            continue
        out += map(_paragraph, _BLANK_LINE.split(html[start : match.start()]))
        start = end + len(name) + 3
        out.append(html[match.start() : start])
    out += map(_paragraph, _BLANK_LINE.split(html[start:]))
    return "\n".join(filter(None, out))


def _paragraph(chunk: str) -> str:
    chunk = chunk.strip()
    if not chunk or _BLOCK_START.match(chunk):
        return chunk
    if not _BLOCK_TAG.search(chunk):
        chunk = re.sub(r"(?<!<br>)(?<!<br/>)(?<!<br />)\n", "<br>\n", chunk)
    return f"<p>{chunk}</p>"
