"""Notices: the short mails about a subscription itself, in the digest's hand, each for one reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from newsletter.content import clean_line
from newsletter.digest import plain, wording
from newsletter.digest.inlining import inline_styles
from newsletter.digest.markup import LOGO, WIDTH, show_small
from newsletter.digest.material import Looks, shorten
from newsletter.digest.stories import Linked
from newsletter.digest.templates import TemplateSet
from newsletter.model import NoticeKind

#: The templates of every notice, HTML first.
NOTICE_TEMPLATES = ("digest/notice.html.j2", "digest/notice.txt.j2")
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeLinks:
    """The URLs that a notice may lead to; all but `archive` are one reader's own.

    A confirmation and a new address need `confirm`, a welcome `preferences` and `unsubscribe`, a goodbye
    `resubscribe`, a link `preferences`.
    """

    confirm: str = ""
    preferences: str = ""
    unsubscribe: str = ""
    resubscribe: str = ""
    archive: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """Whom a notice is for; the name is what somebody once typed, and may be anything."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice ready to be put into a message."""

    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeWording:
    """What a notice says in one language; `{…}` are filled with plain text.

    `paragraphs` stand above the link, `after` below it. A `greeting` is left out where nobody's name is known.
    """

    subject: str
    heading: str
    preview: str
    greeting: str
    paragraphs: tuple[str, ...]
    action: str
    after: tuple[str, ...]
    why: str


_ENGLISH: Mapping[NoticeKind, NoticeWording] = {
    NoticeKind.CONFIRMATION: NoticeWording(
        subject="Please confirm your subscription to {title}",
        heading="One more step",
        preview="One link says that you want {title}. Without it, nothing is sent.",
        greeting="",  # anyone can type any name beside any address
        paragraphs=(
            "Somebody, most likely you, asked us to send {title} to {address}.",
            "We write only to people who want it. If you do, say so with this link:",
        ),
        action="Yes, send me {title}",
        after=(
            "If it was not you, or you have changed your mind, ignore this message. Nobody is subscribed without "
            "that link, and nothing more will be sent.",
        ),
        why="You receive this message once, because {address} was entered for {title}.",
    ),
    NoticeKind.WELCOME: NoticeWording(
        subject="Welcome to {title}",
        heading="Welcome",
        preview="{title} will come to {address}.",
        greeting="Hello {name},",
        paragraphs=("You are now subscribed to {title}. Each new issue will come to {address}.",),
        action="Read earlier issues",
        after=(
            "You can leave at any time, without a password. The links below are yours alone: do not pass them on.",
        ),
        why="You receive this message because {address} has just been subscribed to {title}.",
    ),
    NoticeKind.GOODBYE: NoticeWording(
        subject="You have left {title}",
        heading="Goodbye",
        preview="{address} is no longer subscribed to {title}.",
        greeting="Hello {name},",
        paragraphs=(
            "{address} is no longer subscribed to {title}. This is the last message about it; thank you for reading.",
            "If you did not ask for this, or think better of it one day, this link brings it back:",
        ),
        action="Subscribe to {title} again",
        after=(),
        why="You receive this message once, because the subscription of {address} to {title} has just ended.",
    ),
    NoticeKind.LINK: NoticeWording(
        subject="Your preferences for {title}",
        heading="Your preferences",
        preview="The page where {address} chooses what it receives.",
        greeting="",
        paragraphs=(
            "Somebody, most likely you, asked for the page where {address} chooses what it receives of {title}: "
            "which newsletters, in which language, and whether any at all.",
            "This link opens it:",
        ),
        action="Open my preferences",
        after=(
            "The link is yours alone: do not pass it on. If it was not you who asked, ignore this message; nothing "
            "has changed.",
        ),
        why="You receive this message once, because it was asked for on our site.",
    ),
    NoticeKind.ADDRESS: NoticeWording(
        subject="Please confirm your new address for {title}",
        heading="A new address",
        preview="One link says that {title} shall come to {address} from now on.",
        greeting="",
        paragraphs=(
            "A subscriber, most likely you, asked us to send {title} to {address} instead of another address.",
            "We write only where it is wanted. If it is, say so with this link:",
        ),
        action="Yes, this is my new address",
        after=("If it was not you, ignore this message. Nothing is sent to this address without that link.",),
        why="You receive this message once, because {address} was entered as a new address for {title}.",
    ),
}

_FRENCH: Mapping[NoticeKind, NoticeWording] = {
    NoticeKind.CONFIRMATION: NoticeWording(
        subject="Veuillez confirmer votre abonnement à {title}",
        heading="Encore une étape",
        preview="Un lien suffit pour recevoir {title}. Sans lui, rien n'est envoyé.",
        greeting="",
        paragraphs=(
            "Quelqu'un, sans doute vous, nous a demandé d'envoyer {title} à {address}.",
            "Nous n'écrivons qu'aux personnes qui le souhaitent. Si c'est votre cas, dites-le par ce lien\u00a0:",
        ),
        action="Oui, envoyez-moi {title}",
        after=(
            "Si la demande ne vient pas de vous, ou si vous avez changé d'avis, ignorez ce message. Sans ce lien, "
            "personne n'est abonné, et rien d'autre ne sera envoyé.",
        ),
        why="Vous recevez ce message, une seule fois, parce que {address} a été inscrit pour {title}.",
    ),
    NoticeKind.WELCOME: NoticeWording(
        subject="Bienvenue à {title}",
        heading="Bienvenue",
        preview="{title} sera envoyé à {address}.",
        greeting="Bonjour {name},",
        paragraphs=("Votre abonnement à {title} a commencé. Chaque nouveau numéro sera envoyé à {address}.",),
        action="Lire les numéros précédents",
        after=(
            "Vous pouvez partir à tout moment, sans mot de passe. Les liens ci-dessous ne sont qu'à vous\u00a0: ne "
            "les transmettez à personne.",
        ),
        why="Vous recevez ce message parce que {address} vient d'être abonné à {title}.",
    ),
    NoticeKind.GOODBYE: NoticeWording(
        subject="Fin de votre abonnement à {title}",
        heading="Au revoir",
        preview="{address} n'est plus abonné à {title}.",
        greeting="Bonjour {name},",
        paragraphs=(
            "{address} n'est plus abonné à {title}. Voici le dernier message à ce sujet\u00a0; merci de nous avoir "
            "lus.",
            "Si vous n'avez rien demandé, ou si vous changez un jour d'avis, ce lien rétablit l'abonnement\u00a0:",
        ),
        action="S'abonner de nouveau à {title}",
        after=(),
        why="Vous recevez ce message, une seule fois, parce que l'abonnement de {address} à {title} vient de finir.",
    ),
    NoticeKind.LINK: NoticeWording(
        subject="Vos préférences pour {title}",
        heading="Vos préférences",
        preview="La page où {address} choisit ce qu'il reçoit.",
        greeting="",
        paragraphs=(
            "Quelqu'un, sans doute vous, a demandé la page où {address} choisit ce qu'il reçoit de {title} : quels "
            "numéros, dans quelle langue, ou plus rien.",
            "Ce lien l'ouvre :",
        ),
        action="Ouvrir mes préférences",
        after=(
            "Ce lien n'est qu'à vous : ne le transmettez à personne. Si la demande ne vient pas de vous, ignorez ce "
            "message ; rien n'a changé.",
        ),
        why="Vous recevez ce message, une seule fois, parce qu'il a été demandé sur notre site.",
    ),
    NoticeKind.ADDRESS: NoticeWording(
        subject="Veuillez confirmer votre nouvelle adresse pour {title}",
        heading="Une nouvelle adresse",
        preview="Un lien suffit pour que {title} soit désormais envoyé à {address}.",
        greeting="",
        paragraphs=(
            "Une personne abonnée, sans doute vous, nous a demandé d'envoyer {title} à {address} au lieu d'une autre "
            "adresse.",
            "Nous n'écrivons que là où c'est souhaité. Si c'est le cas, dites-le par ce lien :",
        ),
        action="Oui, c'est ma nouvelle adresse",
        after=(
            "Si la demande ne vient pas de vous, ignorez ce message. Sans ce lien, rien n'est envoyé à cette adresse.",
        ),
        why="Vous recevez ce message, une seule fois, parce que {address} a été donnée comme nouvelle adresse pour "
        "{title}.",
    ),
}

NOTICES: Mapping[str, Mapping[NoticeKind, NoticeWording]] = {"en": _ENGLISH, "fr": _FRENCH}


def notice_wording(kind: NoticeKind, language: str) -> NoticeWording:
    """Return a notice's wording in a language, English when there is none."""
    return NOTICES.get(language.split("-")[0].lower(), _ENGLISH)[kind]


def compose_notice(
    kind: NoticeKind, to: Addressee, links: NoticeLinks, *, title: str, looks: Looks, templates: TemplateSet
) -> Notice:
    """Compose a notice about the newsletter `title` for one reader.

    Raises ValueError when a link that the kind needs is missing.
    """
    said = notice_wording(kind, looks.language)
    name = wording.isolate(shorten(clean_line(to.name), _LONGEST_NAME), looks.language)
    facts = {"title": clean_line(title), "address": clean_line(to.address), "name": name}
    action, more = _links(kind, links)
    words = wording.wording(looks.language)
    labels = {"preferences": words.preferences, "unsubscribe": words.unsubscribe.format(**facts)}
    subject = said.subject.format(**facts)
    view = {
        "subject": subject,
        "preview": said.preview.format(**facts),
        "heading": said.heading,
        "paragraphs": _filled((said.greeting if name else "", *said.paragraphs), facts),
        "action": Linked(text=said.action.format(**facts), url=action) if action else None,
        "after": _filled(said.after, facts),
        "links": [Linked(text=labels[which], url=url) for which, url in more.items()],
        "why": said.why.format(**facts),
        "looks": looks,
        "theme": looks.theme,
        "words": words,
        "column": WIDTH,
        "direction": wording.direction(looks.language),
        "logo": None if looks.logo is None else show_small(looks.logo, looks.media, LOGO),
    }
    return Notice(
        subject=subject,
        html=inline_styles(templates.render(NOTICE_TEMPLATES[0], **view)),
        text=plain.settle(templates.render(NOTICE_TEMPLATES[1], **view, **plain.SHAPES)),
    )


def _links(kind: NoticeKind, links: NoticeLinks) -> tuple[str, dict[str, str]]:
    """Return the link that a notice is about, and those beside it by their names."""
    match kind:
        case NoticeKind.CONFIRMATION | NoticeKind.ADDRESS:
            needed, action, more = [links.confirm], links.confirm, {}
        case NoticeKind.WELCOME:
            needed, action = [links.preferences, links.unsubscribe], links.archive
            more = {"preferences": links.preferences, "unsubscribe": links.unsubscribe}
        case NoticeKind.GOODBYE:
            needed, action, more = [links.resubscribe], links.resubscribe, {}
        case NoticeKind.LINK:
            needed, action, more = [links.preferences], links.preferences, {}
    if not all(needed):
        raise ValueError(f"a {kind} lacks a link")
    return action, more


def _filled(sentences: tuple[str, ...], facts: Mapping[str, str]) -> list[str]:
    return [one.format(**facts) for one in sentences if one]
