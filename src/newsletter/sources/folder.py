"""A folder of posts: which files it holds, and what their links and pictures point to."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

from newsletter import pictures
from newsletter.errors import InputError, SourceError
from newsletter.model import Image

ENDINGS = frozenset({".md", ".markdown", ".html", ".htm", ".txt"})
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif"})
_LEADING_DATE = re.compile(r"\d{4}-\d\d-\d\d[-_ ]?")
_SLUG_LINE = re.compile(r"^slug:[ \t]*[\"']?([a-z0-9-]+)[\"']?[ \t]*\r?$", re.MULTILINE)
_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class File:
    """A file that may be a post: its path relative to the folder in POSIX form, and its state on disk."""

    key: str
    mtime_ns: int
    size: int

    @property
    def is_markdown(self) -> bool:
        """Whether its text is Markdown."""
        return self.key.lower().endswith((".md", ".markdown"))

    @property
    def is_html(self) -> bool:
        """Whether its text is HTML."""
        return self.key.lower().endswith((".html", ".htm"))


def slugify(text: str) -> str:
    """Make a slug of ASCII letters and digits; empty when the text has none."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:100].strip("-")


def slug_of(key: str) -> str:
    """Return a file's own slug: its name without a leading date; an index file is named by its folder."""
    path = PurePosixPath(key)
    name = path.parent.name if path.stem.lower() == "index" and path.parent.name else path.stem
    slug = slugify(_LEADING_DATE.sub("", name, count=1)) or slugify(name)
    return slug or "post-" + "-".join(f"{ord(letter):x}" for letter in name[:8])


class Folder:
    """Reads one gathering's view of the folder; pictures are kept once however often they are shown."""

    def __init__(self, root: Path, public_url: str, media: Path) -> None:
        self.root = root.resolve()
        self.public_url = public_url
        self._media = media
        self._kept: dict[Path, Image] = {}
        self._by_src: dict[str, Image] = {}
        self._slugs: dict[Path, str | None] = {}

    def files(self) -> list[File]:
        """List the files that may be posts, sorted; hidden ones and README are none."""
        try:
            return sorted(self._walk(str(self.root), ""), key=lambda file: file.key)
        except OSError as e:
            raise SourceError(
                f"the folder cannot be read: {e.strerror}",
                where=str(e.filename or self.root),
                remedy="Make it, or correct `path` of the source",
            ) from e

    def _walk(self, folder: str, prefix: str) -> Iterator[File]:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from self._walk(entry.path, f"{prefix}{name}/")
                elif os.path.splitext(name)[1].lower() in ENDINGS and not name.lower().startswith("readme."):  # noqa: PTH122 - ten thousand of them
                    if entry.is_symlink() and not self._is_inside(Path(entry.path)):
                        continue
                    if entry.is_file():
                        status = entry.stat()
                        yield File(prefix + name, status.st_mtime_ns, status.st_size)

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root)

    def page(self, slug: str) -> str:
        """Return the URL of a post's page."""
        return f"{self.public_url}posts/{slug}/"

    def is_post(self, url: str) -> bool:
        """Tell whether a URL is a post's page of this publication."""
        return url.startswith(f"{self.public_url}posts/")

    def link(self, key: str, base_url: str, url: str) -> str:
        """Return the absolute URL of a link in the file `key`."""
        if _HAS_SCHEME.match(url):
            return url
        if url.startswith("//"):
            return "https:" + url
        parts = urlsplit(url)
        path = unquote(parts.path)
        ending = PurePosixPath(path).suffix.lower()
        fragment = f"#{parts.fragment}" if parts.fragment else ""
        if ending in ENDINGS:
            return self.page(self._slug_at(self._locate(key, path)) or slug_of(path)) + fragment
        if ending in PICTURES:
            try:
                return self.picture(key, Image(src=url)).src
            except InputError:
                pass  # not ours: a page's own relative URL
        if url.startswith("/"):
            return self.public_url + url.lstrip("/")
        return urljoin(base_url, url)

    def _slug_at(self, path: Path) -> str | None:
        """Return the slug that a file names in its front matter."""
        if path not in self._slugs:
            self._slugs[path] = None
            if path.is_file() and path.is_relative_to(self.root):
                try:
                    head = path.read_bytes()[:8000].decode("utf-8", "ignore")
                except OSError:
                    head = ""
                found = _SLUG_LINE.search(head.split("\n---", 1)[0])
                key = path.relative_to(self.root).as_posix()
                self._slugs[path] = found[1] if found else slug_of(key)
        return self._slugs[path]

    def url_of(self, key: str) -> str:
        """Return the page of the post that a file is."""
        return self.page(self._slug_at(self.root / key) or slug_of(key))

    def _locate(self, key: str, path: str) -> Path:
        start = self.root if path.startswith("/") else (self.root / key).parent
        try:
            return (start / path.lstrip("/")).resolve()
        except (OSError, ValueError, RuntimeError) as e:
            raise InputError(f"the path {path[:80]!r} cannot be followed") from e

    def picture_path(self, key: str, src: str) -> Path:
        """Return the file a picture's path names; InputError when it lies outside the folder."""
        path = self._locate(key, unquote(urlsplit(src).path))
        if not path.is_relative_to(self.root):
            raise InputError("it lies outside the source's folder")
        return path

    def picture(self, key: str, image: Image) -> Image:
        """Keep a picture's copies and point to the large one; a picture elsewhere on the web stays there."""
        if image.src in self._by_src:
            return replace(self._by_src[image.src], alt=image.alt)
        if image.src.startswith("//"):
            return replace(image, src="https:" + image.src)
        if _HAS_SCHEME.match(image.src):
            return image
        path = self.picture_path(key, image.src)
        if path not in self._kept:
            try:
                kept = pictures.keep(pictures.read(path), self._media)
            except OSError as e:
                raise InputError(f"{e.strerror or 'it cannot be read'}".lower()) from e
            kept = replace(kept, src=f"{self.public_url}media/{kept.large}")
            self._kept[path] = self._by_src[kept.src] = kept
        return replace(self._kept[path], alt=image.alt)
