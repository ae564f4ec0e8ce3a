"""A folder of Markdown posts, and of HTML and text files: one file is one post.

files -> unchanged? -> read -> front matter or recognition -> content -> Post
             |            \\-> Rejected
             \\-> state.unchanged
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

from newsletter.content import (
    Content,
    Surroundings,
    clean_line,
    from_html,
    from_markdown,
    recognition,
    strip_controls,
)
from newsletter.content.markdown import figcaption
from newsletter.content.plain import paragraphs
from newsletter.errors import InputError
from newsletter.model import Author, Image, Post, Reference, Rejected
from newsletter.sources import SourceContext, SourceState, frontmatter
from newsletter.sources.folder import File, Folder, slug_of
from newsletter.sources.frontmatter import FrontMatter, Picture, WrittenReference
from newsletter.sources.places import mark_of, placed

_RULES = 1  # raised when the same file would now give another post, so that all are read again
_MAX_FILE = 10_000_000  # bytes
_RACE_NS = 2_000_000_000  # a file written this shortly before `now` may be written again in the same instant


@dataclass(slots=True)
class _Run:
    """What one gathering learns: who has which slug, what to remember, which own posts are linked."""

    state: SourceState
    known: dict[str, dict[str, Any]]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    slugs: dict[str, str] = field(default_factory=dict)
    links: dict[str, list[str]] = field(default_factory=dict)
    site_lines: frozenset[str] = frozenset()
    titles: dict[str, str] | None = None


@dataclass(slots=True)
class _Draft:
    """One file on its way to a post."""

    file: File
    text: str
    front: FrontMatter
    body: str
    slug: str
    is_markdown: bool = False
    references: tuple[Reference, ...] = ()
    pictures: dict[str, list[int] | None] = field(default_factory=dict)


class MarkdownSource:
    """Yields the posts of a folder; files that did not change are not read again."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._config = context.config
        self._folder = Folder(context.path(), context.config.publication.url, context.media)

    def posts(self, state: SourceState) -> Iterator[Post | Rejected]:
        """Yield new and changed posts; SourceError when the folder cannot be read."""
        inputs = self._inputs()
        known = state.memory.get("files", {}) if state.memory.get("inputs") == inputs else {}
        run = _Run(state, known)
        files = self._folder.files()
        run.site_lines, heads = self._site_lines(files, known)
        if frozenset(state.memory.get("site_lines", ())) != run.site_lines:
            known = {key: entry for key, entry in known.items() if "head" not in entry}
            run.known = known
        for file in files:
            if self._is_unchanged(file, run):
                continue
            item = self._read(file, run)
            if item is not None:
                yield item
        for key, head in heads.items():
            if key in run.files:
                run.files[key]["head"] = head
        self._note_broken_links(run)
        state.memory = {"inputs": inputs, "files": run.files, "site_lines": sorted(run.site_lines)}
        state.complete = True

    # Memory

    def _inputs(self) -> str:
        """Digest what else decides how a file becomes a post."""
        publication = self._config.publication
        inputs = [
            _RULES, str(self._folder.root), str(self._context.media), publication.url, publication.author,
            publication.author_uri, self._context.timezone, self._context.language, self._context.source.name,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()

    def _is_unchanged(self, file: File, run: _Run) -> bool:
        entry = run.known.get(file.key)
        if entry is None or entry["stat"] != [file.mtime_ns, file.size] or entry["slug"] in run.slugs:
            return False
        if file.key in run.state.again:
            return False
        if any(self._stat(path) != was for path, was in entry["pictures"].items()):
            return False
        run.files[file.key] = entry
        run.slugs[entry["slug"]] = file.key
        run.state.unchanged.add(file.key)
        return True

    def _stat(self, path: str) -> list[int] | None:
        try:
            status = (self._folder.root / path).stat()
        except (OSError, ValueError):
            return None
        return [status.st_mtime_ns, status.st_size]

    def _remember(self, draft: _Draft, run: _Run) -> None:
        now = int(self._context.now.timestamp() * 1_000_000_000)
        if abs(now - draft.file.mtime_ns) >= _RACE_NS:
            run.files[draft.file.key] = {
                "stat": [draft.file.mtime_ns, draft.file.size],
                "slug": draft.slug,
                "pictures": draft.pictures,
            }

    def _site_lines(
        self, files: list[File], known: dict[str, dict[str, Any]]
    ) -> tuple[frozenset[str], dict[str, list[str]]]:
        """Find the lines with which several old pages begin: the site's own title, not a post's."""
        heads: dict[str, list[str]] = {}
        for file in files:
            if file.is_markdown:
                continue
            entry = known.get(file.key)
            if entry is not None and entry["stat"] == [file.mtime_ns, file.size]:
                if "head" in entry:
                    heads[file.key] = entry["head"]
                continue
            head = self._head(file)
            if head is not None:
                heads[file.key] = head
        return recognition.repeated(heads.values()), heads

    def _head(self, file: File) -> list[str] | None:
        try:
            text = self._load(file)
            return (
                recognition.head_lines(text, html=file.is_html) if frontmatter.split(text) is None else None
            )
        except InputError:
            return None  # said when the file is read

    # One file

    def _read(self, file: File, run: _Run) -> Post | Rejected | None:
        text = ""
        try:
            text = self._load(file)
            draft = self._draft(file, text, run)
            if draft.front.draft:
                run.state.notes.append(f"{file.key} is a draft and was left out")
                return None
            self._claim_slug(draft, run)
            post = self._post(draft, run)
        except InputError as e:
            return self._rejected(file, text, e)
        self._remember(draft, run)
        return post

    def _load(self, file: File) -> str:
        path = self._folder.root / file.key
        if file.size > _MAX_FILE:
            raise InputError(
                f"the file has more than {_MAX_FILE:,} bytes", remedy="Split it into several posts"
            )
        try:
            data = path.read_bytes()
        except OSError as e:
            raise InputError(f"the file cannot be read: {e.strerror}", remedy="Check its permissions") from e
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as e:
            line = data[: e.start].count(b"\n") + 1
            raise InputError(
                f"the file is not UTF-8 text: byte {e.start + 1} is 0x{data[e.start]:02x}",
                where=f":{line}",
                remedy="Save it as UTF-8",
            ) from e
        return strip_controls(text)

    def _draft(self, file: File, text: str, run: _Run) -> _Draft:
        parts = frontmatter.split(text)
        if parts is None:
            return self._old_page(file, text, run)
        front, body = frontmatter.read(parts[0], self._context.timezone), parts[1]
        slug = front.slug or slug_of(file.key)
        if file.key.lower().endswith(".txt"):
            body = paragraphs(body)
        return _Draft(file, text, front, body, slug, is_markdown=file.is_markdown)

    def _old_page(self, file: File, text: str, run: _Run) -> _Draft:
        if file.is_markdown:
            raise InputError(
                "the post has no front matter",
                where=":1",
                remedy="Begin it with a line of ---, title: …, date: … and another line of ---",
            )
        page = recognition.recognise(
            text,
            html=file.is_html,
            zone=self._context.timezone,
            site_lines=run.site_lines,
            has_picture=lambda name: self._has_picture(file.key, name),
            find_post=lambda title: self._find_post(title, run),
        )
        run.state.notes += [f"{file.key}: {note}" for note in page.notes]
        front = FrontMatter(
            title=page.title,
            published=page.published,
            date_only=page.date_only,
            authors=(Author(name=page.author),) if page.author else (),
            summary=page.summary,
            sources=page.citations,
        )
        return _Draft(file, text, front, page.html, slug_of(file.key), references=page.references)

    def _find_post(self, title: str, run: _Run) -> str:
        """Return the URL of the post with a title; the titles of all files are read the first time."""
        if run.titles is None:
            run.titles = {}
            for file in self._folder.files():
                with suppress(InputError):
                    run.titles.setdefault(_letters(self._title(file, run)), self._folder.url_of(file.key))
        return run.titles.get(_letters(title), "")

    def _title(self, file: File, run: _Run) -> str:
        text = self._load(file)
        parts = frontmatter.split(text)
        if parts is not None:
            return frontmatter.read(parts[0], self._context.timezone).title
        return recognition.title_of(text, html=file.is_html, site_lines=run.site_lines)

    def _has_picture(self, key: str, name: str) -> bool:
        try:
            return self._folder.picture_path(key, name).is_file()
        except (InputError, OSError):
            return False

    def _claim_slug(self, draft: _Draft, run: _Run) -> None:
        first = run.slugs.get(draft.slug)
        if first is not None:
            raise InputError(
                f"{draft.file.key} has the same slug {draft.slug!r} as {first}",
                remedy="Give one of them another slug: in its front matter",
            )
        run.slugs[draft.slug] = draft.file.key

    def _rejected(self, file: File, text: str, error: InputError) -> Rejected:
        line = re.fullmatch(r":(\d+)", error.where)
        lines = text.split("\n")
        number = int(line[1]) if line else 0
        return Rejected(
            source=self._context.source.name,
            source_key=file.key,
            where=f"{self._context.path() / file.key}{error.where if line else ''}",
            reason=error.what,
            remedy=error.remedy,
            excerpt=clean_line(lines[number - 1])[:200] if 0 < number <= len(lines) else "",
            mark=mark_of(error.what, text),
        )

    # Content

    def _post(self, draft: _Draft, run: _Run) -> Post:
        front, url = draft.front, self._folder.page(draft.slug)
        content = self._content(draft, url)
        images = content.images
        if front.image and images and self._is_lead(draft, images[0]):
            images = (replace(images[0], lead=True), *images[1:])
        references = self._references(draft, content, url)
        run.links[draft.file.key] = [reference.url for reference in references]
        publication = self._config.publication
        house = (Author(name=publication.author, uri=publication.author_uri),) if publication.author else ()
        return Post(
            source=self._context.source.name,
            source_key=draft.file.key,
            title=front.title,
            published=front.published,
            updated=front.updated or front.published,
            body_html=content.html,
            summary=front.summary or content.summary,
            url=url,
            slug=draft.slug,
            own_page=True,
            language=front.language or self._context.language,
            authors=front.authors or house,
            tags=front.tags,
            images=images,
            citations=(*front.sources, *(c for c in content.citations if not _cited(c.url, c.text, front))),
            references=references,
            corrections=front.corrections,
            content_note=front.content_note,
            minor=front.minor,
            word_count=content.word_count,
            date_only=front.date_only,
            dropped=placed(content.dropped, draft.text),
        )

    def _content(self, draft: _Draft, url: str) -> Content:
        key = draft.file.key

        def image(found: Image) -> Image:
            self._watch(draft, found.src)
            return self._folder.picture(key, found)

        surroundings = Surroundings(
            base_url=url,
            resolve_link=lambda link: self._folder.link(key, url, link),
            resolve_image=image,
            is_own_post=self._folder.is_post,
            id_prefix=draft.slug,
        )
        before = _lead(draft.front.image)
        if draft.is_markdown:
            return from_markdown(draft.body, surroundings, before=before)
        return from_html(before + draft.body, surroundings)

    def _watch(self, draft: _Draft, src: str) -> None:
        """Remember which files a post shows, so that it is read again when one of them changes."""
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|//", src):
            return
        try:
            path = self._folder.picture_path(draft.file.key, src).relative_to(self._folder.root).as_posix()
        except (InputError, ValueError):
            return
        draft.pictures[path] = self._stat(path)

    def _is_lead(self, draft: _Draft, first: Image) -> bool:
        assert draft.front.image is not None
        try:
            found = self._folder.picture(draft.file.key, Image(src=draft.front.image.src))
        except InputError:
            return False
        return found.src == first.src

    def _references(self, draft: _Draft, content: Content, url: str) -> tuple[Reference, ...]:
        found = {reference.url: reference for reference in draft.references}
        for written in draft.front.references:
            target = self._target(draft.file.key, written, url)
            found.setdefault(target, Reference(url=target, title=written.title, relation=written.relation))
        for linked in content.references:
            known = found.get(linked.url)
            if known is None:
                found[linked.url] = linked
            elif not known.title:
                found[linked.url] = replace(known, title=linked.title)
        return tuple(found.values())

    def _target(self, key: str, written: WrittenReference, url: str) -> str:
        if frontmatter.SLUG.fullmatch(written.post):
            return self._folder.page(written.post)
        return self._folder.link(key, url, written.post)

    def _note_broken_links(self, run: _Run) -> None:
        pages = {self._folder.page(slug) for slug in run.slugs}
        for key, urls in run.links.items():
            for url in urls:
                if self._folder.is_post(url) and url not in pages:
                    run.state.notes.append(f"{key} refers to {url}, which is no post of this folder")


def _letters(title: str) -> str:
    """Reduce a title to what people retype correctly."""
    return "".join(letter for letter in title.casefold() if letter.isalnum())


def _lead(picture: Picture | None) -> str:
    if picture is None:
        return ""
    caption = figcaption(picture.caption, picture.credit)
    return f'<figure><img src="{escape(picture.src)}" alt="{escape(picture.alt)}">{caption}</figure>\n\n'


def _cited(url: str, text: str, front: FrontMatter) -> bool:
    """Tell whether the front matter names a work already."""
    return any((url and citation.url == url) or citation.text == text for citation in front.sources)
