"""What a digest says in its own voice, by language, and how it writes dates.

A language that has no wording here gets the English one; dates follow the whole language tag wherever the
Unicode locale data know it.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError
from babel.dates import format_date

_SENTENCE_ENDS = ".!?…。！？؟"
_UPRIGHT = frozenset(
    {"ja", "ko", "th", "zh"}
)  # whose letters have no italics; nor have those that run to the left
_RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The sentences of one language; `{…}` are filled with plain text."""

    number: str
    colon: str
    in_this_issue: str
    also_in_this_issue: str
    other_stories: str
    by: str
    join: str
    and_more: tuple[str, str]
    read_on: str
    read_noted: str
    whole: str
    source: tuple[str, str]
    notes: str
    related: str
    follows: str
    corrects: str
    corrections: str
    sent_in: str
    content_note: str
    noted_title: str
    noted_earlier: str
    noted_correction: str
    picture: str
    why: str
    why_this_address: str
    since: str
    unsubscribe: str
    preferences: str
    on_the_web: str
    contact: str
    archived: str
    corrected: str
    home: str
    fallback_subject: str


ENGLISH = Wording(
    number="No. {number}",
    colon=":",
    in_this_issue="In this issue",
    also_in_this_issue="Also in this issue",
    other_stories="Other stories",
    by="By {names}",
    join=" and ",
    and_more=("And one more story.", "And {count} more stories."),
    read_on="Read “{title}”",
    read_noted="Read the story of {date} behind this note",
    whole="Read “{title}” on the web",
    source=("Source", "Sources"),
    notes="Notes",
    related="Earlier: {title}",
    follows="Follows: {title}",
    corrects="Corrects: {title}",
    corrections="Corrections",
    sent_in="first sent in issue {number}",
    content_note="Content note",
    noted_title="A story with a content note",
    noted_earlier="an earlier story with a content note",
    noted_correction="This story has been corrected; the correction stands on its page.",
    picture="Picture: {alt}",
    why="You receive this letter because {address} is subscribed to {title}{since}.",
    why_this_address="You receive this letter because this address is subscribed to {title}",
    since=" since {date}",
    unsubscribe="Unsubscribe from {title}",
    preferences="Change your preferences",
    on_the_web="Read this issue on the web",
    contact="Write to {address}",
    archived="You are reading the archived issue {number} of {title}.",
    corrected="It was corrected on {date}.",
    home="More from {publication}",
    fallback_subject="{title}, No. {number}",
)

FRENCH = Wording(
    number="N° {number}",
    colon="\u00a0:",
    in_this_issue="Dans ce numéro",
    also_in_this_issue="Également dans ce numéro",
    other_stories="Autres articles",
    by="Par {names}",
    join=" et ",
    and_more=("Et un autre article.", "Et {count} autres articles."),
    read_on="Lire « {title} »",
    read_noted="Lire l'article du {date} que concerne cet avertissement",
    whole="Lire « {title} » sur le site",
    source=("Source", "Sources"),
    notes="Notes",
    related="À relire : {title}",
    follows="Suite de : {title}",
    corrects="Corrige : {title}",
    corrections="Corrections",
    sent_in="paru dans le numéro {number}",
    content_note="Avertissement",
    noted_title="Un article précédé d'un avertissement",
    noted_earlier="un article plus ancien, précédé d'un avertissement",
    noted_correction="Cet article a été corrigé ; la correction figure sur sa page.",
    picture="Image : {alt}",
    why="Vous recevez cette lettre parce que {address} est abonné à {title}{since}.",
    why_this_address="Vous recevez cette lettre parce que cette adresse est abonnée à {title}",
    since=" depuis le {date}",
    unsubscribe="Se désabonner de {title}",
    preferences="Modifier vos préférences",
    on_the_web="Lire ce numéro sur le site",
    contact="Écrire à {address}",
    archived="Vous lisez le numéro {number} archivé de {title}.",
    corrected="Il a été corrigé le {date}.",
    home="Plus d'articles de {publication}",
    fallback_subject="{title}, n° {number}",
)

_BY_LANGUAGE = {"en": ENGLISH, "fr": FRENCH}


def wording(language: str) -> Wording:
    """Return the wording of a language tag, English when there is none."""
    return _BY_LANGUAGE.get(language.split("-")[0].lower(), ENGLISH)


def direction(language: str) -> str:
    """Return `ltr` or `rtl`."""
    return "rtl" if language.split("-")[0].lower() in _RIGHT_TO_LEFT else "ltr"


def speaks(language: str) -> bool:
    """Tell whether there is wording in a language."""
    return language.split("-")[0].lower() in _BY_LANGUAGE


@lru_cache(maxsize=1024)
def is_zone(name: str) -> bool:
    """Tell whether a name is that of a zone in the IANA database."""
    try:
        return bool(name) and ZoneInfo(name) is not None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def local_day(when: datetime, zone: str) -> date:
    """Return the day on which an instant falls in a zone."""
    return when.astimezone(ZoneInfo(zone)).date()


def slants(language: str) -> bool:
    """Tell whether a language's letters have italics."""
    return direction(language) == "ltr" and language.split("-")[0].lower() not in _UPRIGHT


def ended(sentence: str) -> str:
    """Return a sentence with a full stop where it has no end."""
    return sentence if sentence.endswith(tuple(_SENTENCE_ENDS)) else f"{sentence}."


def day(when: datetime, zone: str, language: str, *, style: str = "long") -> str:
    """Write an instant's day in a zone as the language does: `long`, or `full` with the weekday."""
    return _written(local_day(when, zone), language, style)


@lru_cache(maxsize=4096)
def _written(day: date, language: str, style: str) -> str:
    return str(format_date(day, format=style, locale=_locale(language)))


def names(people: list[str], words: Wording) -> str:
    """Join names as the language does."""
    if len(people) < 2:
        return "".join(people)
    return ", ".join(people[:-1]) + words.join + people[-1]


def apart(text: str, language: str) -> str:
    """Return a text that stands beside names: in a sentence that runs to the left, its digits stay together."""
    return f"\u2068{text}\u2069" if direction(language) == "rtl" else text


def isolate(text: str, language: str) -> str:
    """Return a text that keeps to itself in a sentence of the language: its direction moves nothing around it.

    FSI and PDI (UAX #9) stand around a text only where it holds letters of the other direction.
    """
    other = ("L",) if direction(language) == "rtl" else ("R", "AL")
    if any(unicodedata.bidirectional(character) in other for character in text):
        return f"\u2068{text}\u2069"
    return text


def _locale(language: str) -> Locale:
    tag = language
    while tag:
        try:
            return Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            tag = tag.rpartition("-")[0]
    return Locale("en")
