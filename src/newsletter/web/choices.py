"""What a person may choose from: languages by their own names, and time zones by their places."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from zoneinfo import available_timezones

from babel import Locale, UnknownLocaleError
from babel.dates import get_timezone_location

from newsletter.web.wording import REGIONS

Zones = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


@lru_cache(maxsize=64)
def language_name(tag: str) -> str:
    """Return what a language calls itself, its tag when that is not known."""
    try:
        locale = Locale.parse(tag, sep="-")
    except (ValueError, UnknownLocaleError):
        return tag
    name = locale.get_display_name(tag.replace("-", "_")) or tag
    return name[:1].upper() + name[1:]


def languages(tags: Iterable[str], *, also: str = "") -> list[tuple[str, str]]:
    """Return languages with their names; `also` is one that somebody has chosen before."""
    known = list(tags)
    return [(tag, language_name(tag)) for tag in ([*known, also] if also and also not in known else known)]


@lru_cache(maxsize=16)
def zones(language: str) -> Zones:
    """Return the time zones of places by region, each with its place in a language."""
    found: dict[str, list[tuple[str, str]]] = {region: [] for region in REGIONS}
    for name in sorted(available_timezones()):
        region, _, place = name.partition("/")
        if place and region in found:
            found[region].append((name, _place(name, language)))
    return tuple((region, tuple(sorted(found[region], key=lambda one: one[1]))) for region in REGIONS)


def is_zone(name: str) -> bool:
    """Tell whether a name is one of the zones that are offered."""
    return any(name == known for _, some in zones("en") for known, _ in some)


def _place(name: str, language: str) -> str:
    said = name.partition("/")[2].replace("_", " ")
    if language == "en":
        return said
    try:
        city = get_timezone_location(name, locale=language.replace("-", "_"), return_city=True)
    except (LookupError, ValueError, UnknownLocaleError):
        return said
    return city or said
