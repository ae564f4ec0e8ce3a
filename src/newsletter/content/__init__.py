"""Any text, made safe and regular once: the only home of sanitising."""

from newsletter.content.characters import clean_line, strip_controls
from newsletter.content.dates import parse_date
from newsletter.content.markdown import from_markdown
from newsletter.content.pipeline import from_html, unsaid
from newsletter.content.plain import from_plain_text
from newsletter.content.reading import opens_with, plain_text, shorten
from newsletter.content.surroundings import Content, Surroundings

__all__ = [
    "Content",
    "Surroundings",
    "clean_line",
    "from_html",
    "from_markdown",
    "from_plain_text",
    "opens_with",
    "parse_date",
    "plain_text",
    "shorten",
    "strip_controls",
    "unsaid",
]
