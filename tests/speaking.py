"""The messages of pages, as they stand in templates and code, for comparing with the catalogues."""

from __future__ import annotations

from pathlib import Path

from babel.messages.extract import extract_from_dir

ROOT = Path(__file__).parents[1]


def messages() -> set[str]:
    """Return every message that pages can say."""
    options = {"extensions": "jinja2.ext.i18n", "trim_blocks": "true", "lstrip_blocks": "true"}
    found: set[str] = set()
    for folder, method, keywords in (
        (ROOT / "templates" / "web", "jinja2.ext:babel_extract", {"_": None, "gettext": None}),
        (ROOT / "src" / "newsletter" / "web", "python", {"noop": None}),
    ):
        pattern = "**.j2" if method.startswith("jinja2") else "**.py"
        for _, _, message, _, _ in extract_from_dir(
            folder, [(pattern, method)], {pattern: options}, keywords
        ):
            found.update((message,) if isinstance(message, str) else message)
    return found
