"""What every page shares: the publication, the way to its root, the frame's values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import jinja2

from newsletter.digest.wording import direction, wording

_TAG = re.compile(r"<[a-zA-Z][^>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """A feed as pages announce it: its title and the addresses of its forms."""

    title: str
    page: str
    atom: str
    rss: str
    json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsletterLink:
    """A newsletter as pages name it; `folder` is its folder of issues in the published tree."""

    name: str
    title: str
    description: str = ""

    @property
    def folder(self) -> str:
        """Where its issues stand."""
        return f"issues/{self.name}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The publication as its pages know it.

    `site` is its URL with a final slash. `style`, `logo` and `icon` are file names in the root of the
    published tree, the last two perhaps empty. `feeds` are those that every page announces, the main one
    first. `signup` is the address of the form, empty without one.
    """

    title: str
    site: str
    style: str
    subtitle: str = ""
    description: str = ""
    language: str = "en"
    timezone: str = "UTC"
    author: str = ""
    rights: str = ""
    contact: str = ""
    postal_address: str = ""
    logo: str = ""
    icon: str = ""
    generator: str = ""
    feeds: tuple[Discovery, ...] = ()
    newsletters: tuple[NewsletterLink, ...] = ()
    signup: str = ""

    @property
    def path(self) -> str:
        """The path of the root on its host, with a final slash."""
        return urlsplit(self.site).path or "/"

    def href(self, up: str, url: str) -> str:
        """Return a link as it is written on a page: relative when it stays in the published tree."""
        return (up + url.removeprefix(self.site)) if url.startswith(self.site) else url

    def local(self, up: str, html: str) -> str:
        """Make the addresses of the published tree relative in a sanitised HTML text."""
        near, whole = f'="{up}', f'="{self.site}'
        return _TAG.sub(lambda match: match[0].replace(whole, near), html)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page to be rendered: where it goes below the root, by which template, from which values."""

    path: str
    template: str
    values: dict[str, Any]


def frame(site: Site, path: str, title: str, *, language: str = "", description: str = "") -> dict[str, Any]:
    """Return the values that `web/base.html.j2` needs, for a page at `path` (a folder ends in a slash)."""
    language = language or site.language
    return {
        "site": site,
        "title": title,
        "description": description,
        "canonical": site.site + path,
        "up": "../" * path.count("/") or "./",
        "language": language,
        "direction": direction(language),
        "words": wording(language),
    }


def stylesheet(env: jinja2.Environment, theme: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and text of the one style sheet: the theme's colours and fonts, then the rules.

    The name carries the text's hash: the file may be cached for ever.
    """
    assert env.loader is not None
    rules, _, _ = env.loader.get_source(env, "web/style.css")
    light = {key: value for key, value in theme.items() if not key.startswith("dark_")}
    dark = {key.removeprefix("dark_"): value for key, value in theme.items() if key.startswith("dark_")}
    text = (
        f":root {{\n{_properties(light)}  color-scheme: light dark;\n}}\n"
        f"@media (prefers-color-scheme: dark) {{\n:root {{\n{_properties(dark)}}}\n}}\n"
        f"@media print {{\n:root {{\n{_properties(light)}}}\n}}\n{rules}"
    )
    return f"style-{sha256(text.encode()).hexdigest()[:12]}.css", text


def _properties(values: Mapping[str, str]) -> str:
    return "".join(f"  --{key.replace('_', '-')}: {_css(value)};\n" for key, value in values.items())


def _css(value: str) -> str:
    """Drop what would end a declaration; fonts are the site owner's own words."""
    return re.sub(r"[;{}<>\\\n\r]", "", value)
