"""A post as a digest shows it, in both parts at once: what one part says, the other says too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from newsletter.compose import Corrected
from newsletter.content import opens_with
from newsletter.digest import plain, wording
from newsletter.digest.markup import (
    THUMBNAIL,
    Element,
    Figure,
    clear_footnotes,
    figure_of,
    for_mail,
    parse,
    ranks_of,
    show,
    show_small,
    text_of,
)
from newsletter.digest.material import Depth, Looks, issue_url, post_url, shorten, title_of, web_url
from newsletter.digest.plain import Notes
from newsletter.digest.wording import Wording
from newsletter.model import Citation, Image, Post, Reference, Relation

EXCERPT = 720  # characters of running text
_QUOTE_ROOM = 1.5  # a quotation may pass the excerpt's length by so much


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A block of a story: its HTML, or the figure to show."""

    html: str = ""
    figure: Figure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A line with a link in it; `before` and `after` stand around the link's text."""

    text: str
    url: str = ""
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A post as the templates see it; texts are plain unless the field's name ends in `html` or `lines`.

    `shape` is more classes of the cell it stands in.
    `note` set means that neither picture nor text of the post is shown. A brief has an `excerpt` and perhaps a
    `thumbnail`; any other story has `lead`, `summary` and `pieces`.
    """

    title: str
    url: str
    language: str
    direction: str
    shape: str
    byline: str
    note: str
    summary: str
    lead: Figure | None
    pieces: tuple[Piece, ...]
    read_on: str
    sources: tuple[Linked, ...]
    references: tuple[Linked, ...]
    depth: Depth
    lines: tuple[str, ...]
    excerpt: str = ""
    thumbnail: Figure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tellings:
    """What all stories of an issue share."""

    looks: Looks
    words: Wording
    titles: Mapping[str, str | None]
    notes: Notes
    timezone: str


def tell(post: Post, depth: Depth, room: int, shared: Tellings) -> Story:
    """Tell a post: wholly, or in at most `room` characters of its text, cut at the end of a block."""
    if post.content_note is not None:
        return _noted(post, shared)
    words, base = shared.words, shared.looks.url
    url, root = post_url(base, post), parse(post.body_html)
    keep = depth is Depth.FULL or _fits(post, room, shared)
    clear_footnotes(root, url, keep=keep)
    blocks = list(root)
    lead = _lead(post, blocks, shared.looks.media)
    ranks = ranks_of(root)
    shown = blocks if keep else _excerpt(blocks, room)
    summary = "" if shown and opens_with(post.body_html, post.summary) else post.summary
    whole = len(shown) == len(blocks)
    story = Story(
        **_named(post, shared),
        note="",
        summary=summary,
        lead=lead,
        pieces=tuple(_piece(block, post.images, shared.looks.media, ranks) for block in shown),
        read_on=(words.whole if whole else words.read_on).format(
            title=wording.isolate(title_of(post), shared.looks.language)
        ),
        sources=tuple(_source(one) for one in post.citations),
        references=tuple(_reference(one, shared) for one in post.references),
        depth=Depth.FULL if whole else depth if shown else Depth.SUMMARY,
        lines=(),
    )
    return _with_lines(story, shown, post, shared)


def brief(post: Post, room: int, shared: Tellings) -> Story:
    """Tell a post in one paragraph of at most `room` characters and a small picture."""
    if post.content_note is not None:
        return _noted(post, shared)
    root = parse(post.body_html)
    clear_footnotes(root, post_url(shared.looks.url, post), keep=False)
    said = post.summary.strip() or " ".join(text_of(one) for one in root if one.tag in ("p", "ul", "ol"))
    story = Story(
        **_named(post, shared),
        note="",
        summary="",
        lead=None,
        pieces=(),
        read_on=shared.words.read_on.format(title=wording.isolate(title_of(post), shared.looks.language)),
        sources=tuple(_source(one) for one in post.citations),
        references=tuple(_reference(one, shared) for one in post.references),
        depth=Depth.SUMMARY if post.summary.strip() else Depth.EXCERPT,
        lines=(),
        excerpt=shorten(said, room),
        thumbnail=_thumbnail(post, root, shared.looks.media),
    )
    return _with_lines(story, [], post, shared)


def _thumbnail(post: Post, root: Element, media: str) -> Figure | None:
    """Return the picture that stands for a post: the one marked so, else the first that mail can show."""
    marked = [image for image in post.images if image.lead]
    found = [figure.image for one in root if (figure := figure_of(one, post.images, media)) is not None]
    for image in (*marked, *found):
        shown = show_small(image, media, THUMBNAIL)
        if shown is not None:
            return Figure(image, shown)
    return None


def _named(post: Post, shared: Tellings) -> dict[str, Any]:
    """Return what every story that shows its title says of itself."""
    language = post.language or shared.looks.language
    return {
        "title": title_of(post),
        "url": post_url(shared.looks.url, post),
        "language": language,
        "direction": wording.direction(language),
        "shape": shape_of(language, shared.looks.language),
        "byline": _byline(post, shared),
    }


def _noted(post: Post, shared: Tellings) -> Story:
    """Tell a post with a content note: the note instead of everything else."""
    assert post.content_note is not None
    words = shared.words
    title = title_of(post) if post.content_note.show_title else ""
    when = wording.day(post.published, shared.timezone, shared.looks.language)
    story = Story(
        title=title or words.noted_title,
        url=post_url(shared.looks.url, post),
        language=(post.language if title else "") or shared.looks.language,
        direction=wording.direction((post.language if title else "") or shared.looks.language),
        shape="",
        byline=_byline(post, shared),
        note=post.content_note.text,
        summary="",
        lead=None,
        pieces=(),
        read_on=words.read_on.format(title=wording.isolate(title, shared.looks.language))
        if title
        else words.read_noted.format(date=when),
        sources=(),
        references=(),
        depth=Depth.NOTE,
        lines=(),
    )
    return _with_lines(story, [], post, shared)


def _byline(post: Post, shared: Tellings) -> str:
    when = wording.day(post.published, shared.timezone, shared.looks.language)
    named = [wording.isolate(one.name, shared.looks.language) for one in post.authors if one.name]
    people = wording.names(named, shared.words)
    if not people:
        return when
    return f"{shared.words.by.format(names=people)} · {wording.apart(when, shared.looks.language)}"


def shape_of(language: str, around: str) -> str:
    """Return the classes of a text in a language that stands in a page of another: its side, its italics."""
    turned = wording.direction(language) != wording.direction(around)
    return f"{' turned' if turned else ''}{'' if wording.slants(language) else ' upright'}"


def _lead(post: Post, blocks: list[Element], media: str) -> Figure | None:
    """Return the lead picture, and take it out of the body: the one marked so, else a large one at the start."""
    marked = next((image for image in post.images if image.lead), None)
    for block in blocks:
        figure = figure_of(block, post.images, media)
        if figure is None:
            continue
        same = marked is not None and figure.image.src == marked.src
        if same or (marked is None and block is blocks[0] and figure.image.width >= 400):
            blocks.remove(block)
            return figure
    return Figure(marked, show(marked, media)) if marked is not None else None


def _fits(post: Post, room: int, shared: Tellings) -> bool:
    """Tell whether an excerpt holds the whole text, its footnotes with it: then their signs stay too."""
    root = parse(post.body_html)
    clear_footnotes(root, post_url(shared.looks.url, post), keep=True)
    blocks = list(root)
    _lead(post, blocks, shared.looks.media)
    return len(_excerpt(blocks, room)) == len(blocks)


def _excerpt(blocks: list[Element], room: int) -> list[Element]:
    taken: list[Element] = []
    used = 0
    for block in blocks:
        if block.tag == "figure" or (block.tag == "p" and block.find(".//img") is not None):
            continue
        size = len(text_of(block))
        limit = room * _QUOTE_ROOM if block.tag == "blockquote" else room
        if used + size > limit:
            break
        taken.append(block)
        used += size
    while taken and taken[-1].tag in ("h1", "h2", "h3", "h4", "h5", "h6", "hr"):
        taken.pop()
    return taken


def _piece(
    block: Element, images: tuple[Image, ...], media: str, ranks: list[str], *, below: int = 2
) -> Piece:
    figure = figure_of(block, images, media)
    if figure is not None:
        return Piece(figure=figure)
    return Piece(html=for_mail(block, below + 1, ranks))


def pieces_of(markup: str, looks: Looks) -> tuple[Piece, ...]:
    """Return the blocks of a text of the editor's own."""
    root = parse(markup)
    ranks = ranks_of(root)
    return tuple(_piece(block, (), looks.media, ranks, below=1) for block in root)


def lines_of(markup: str, looks: Looks, words: Wording, notes: Notes) -> list[str]:
    """Return a text of the editor's own as lines, its notes below it."""
    lines: list[str] = []
    for block in parse(markup):
        lines += _block_lines(block, (), looks.media, words, notes)
    return lines + _after(notes.lines())


def _source(citation: Citation) -> Linked:
    """Link the cited title inside its citation, or the whole citation."""
    text, url = citation.text, web_url(citation.url)
    if url and citation.title and citation.title in text:
        before, _, after = text.partition(citation.title)
        return Linked(before=before, text=citation.title, after=after, url=url)
    return Linked(text=text, url=url)


def _reference(reference: Reference, shared: Tellings) -> Linked:
    words = shared.words
    titles = shared.titles
    known = titles.get(reference.post_id, titles.get(reference.url, reference.title))
    title = words.noted_earlier if known is None else known or reference.title or reference.url
    sentence = {
        Relation.RELATED: words.related,
        Relation.FOLLOW_UP: words.follows,
        Relation.CORRECTION: words.corrects,
    }[reference.relation]
    before, _, after = sentence.partition("{title}")
    title = wording.isolate(title, shared.looks.language)
    return Linked(before=before, text=title, after=after, url=web_url(reference.url))


def _with_lines(story: Story, shown: list[Element], post: Post, shared: Tellings) -> Story:
    words, notes = shared.words, shared.notes
    lines = [*plain.underlined(story.title, "-"), *plain.wrap(story.byline), ""]
    if story.note:
        lines += [*plain.wrap(f"{words.content_note}{words.colon} {story.note}"), ""]
    if story.lead is not None:
        lines += _after(plain.figure_lines(story.lead, words.picture))
    if story.thumbnail is not None:
        lines += _after(plain.thumbnail_lines(story.thumbnail, words.picture))
    lines += _after(plain.wrap(story.summary or story.excerpt))
    for block in shown:
        lines += _block_lines(block, post.images, shared.looks.media, words, notes)
    lines += _after([*plain.wrap(f"{story.read_on}{words.colon}"), story.url])
    for one in story.references:
        lines += _after([*plain.wrap(f"{one.before}{one.text}{one.after}"), one.url])
    linked = bool(notes.taken)
    for one in story.sources:
        notes.add(f"{one.before}{one.text}{one.after}", one.url)
    printed = notes.lines()
    if printed:
        label = words.notes if linked else words.source[len(story.sources) > 1]
        lines += [*plain.wrap(f"{label}{words.colon}"), *printed, ""]
    return Story(**{**{name: getattr(story, name) for name in Story.__slots__}, "lines": tuple(lines)})


def _block_lines(
    block: Element, images: tuple[Image, ...], media: str, words: Wording, notes: Notes
) -> list[str]:
    figure = figure_of(block, images, media)
    if figure is not None:
        return _after(plain.figure_lines(figure, words.picture))
    return _after(plain.block_lines(block, notes))


def _after(lines: list[str]) -> list[str]:
    """Put an empty line behind what is not empty."""
    return [*lines, ""] if lines else []


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionTold:
    """A correction as the templates see it; `sent_in` links to the issue that sent the post."""

    title: str
    url: str
    language: str
    direction: str
    texts: tuple[str, ...]
    sent_in: Linked
    lines: tuple[str, ...]


def tell_correction(corrected: Corrected, newsletter: str, shared: Tellings) -> CorrectionTold:
    """Tell what was put right in a post that an earlier issue sent."""
    post, words = corrected.post, shared.words
    hidden = post.content_note is not None
    title = (
        words.noted_title
        if post.content_note is not None and not post.content_note.show_title
        else title_of(post)
    )
    texts = (words.noted_correction,) if hidden else tuple(one.text for one in corrected.corrections)
    url = post_url(shared.looks.url, post)
    sent = words.sent_in.format(number=corrected.number)
    archive = issue_url(shared.looks.url, newsletter, corrected.number) if corrected.number else ""
    language = (post.language if title == title_of(post) else "") or shared.looks.language
    lines = [*plain.wrap(title), *[line for text in texts for line in plain.wrap(text)], url]
    if archive:
        lines += [*plain.wrap(f"({sent})"), archive]
    return CorrectionTold(
        title=title,
        url=url,
        language=language,
        direction=wording.direction(language),
        texts=texts,
        sent_in=Linked(text=sent, url=archive),
        lines=(*lines, ""),
    )
