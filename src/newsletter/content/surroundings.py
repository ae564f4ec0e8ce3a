"""What goes into the pipeline beside the text, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from newsletter.model import Citation, Image, Reference


def _no(url: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a text stands.

    `base_url` is its page's absolute URL. `resolve_link` and `resolve_image` turn what is written there into
    absolute URLs (both default to joining with `base_url`); they must leave what is absolute as it is.
    `resolve_image` may add dimensions and copies, raise InputError, or return None: the picture is then left
    out and reported.
    `is_own_post` tells which absolute URLs are posts of this publication. `id_prefix` begins every id kept.
    """

    base_url: str = ""
    resolve_link: Callable[[str], str] | None = None
    resolve_image: Callable[[Image], Image | None] | None = None
    is_own_post: Callable[[str], bool] = _no
    id_prefix: str = "note"

    def link(self, url: str) -> str:
        """Return a link's absolute URL; may raise ValueError for what is not a URL."""
        return self.resolve_link(url) if self.resolve_link else urljoin(self.base_url, url)

    def image(self, image: Image) -> Image | None:
        """Return the picture as it will stand in the text, or None to leave it out."""
        if self.resolve_image:
            return self.resolve_image(image)
        return replace(image, src=urljoin(self.base_url, image.src))


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A text made safe and regular: `html` is valid inside a `<div>`, every URL in it absolute.

    `summary` is plain text of at most 300 characters. `dropped` says in words what could not be kept.
    """

    html: str
    summary: str = ""
    images: tuple[Image, ...] = ()
    citations: tuple[Citation, ...] = ()
    references: tuple[Reference, ...] = ()
    word_count: int = 0
    dropped: tuple[str, ...] = ()
