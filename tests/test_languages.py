"""Pages speak the reader's language: which, from what, and that nothing is left untranslated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from conftest import PublicationFactory
from newsletter import subscriptions
from newsletter.errors import TemplateError
from newsletter.store import Store
from newsletter.templating import environment
from newsletter.tokens import Purpose
from newsletter.web import choices
from newsletter.web.drawing import accepted
from speaking import ROOT, messages
from visiting import NOW, Visit, visiting

ADA = "ada@example.org"
CATALOGUES = sorted((ROOT / "templates" / "web" / "words").glob("*.po"))
DUTCH = """msgid ""
msgstr ""
"Language: nl\\n"
"Content-Type: text/plain; charset=utf-8\\n"

msgid "Sign up"
msgstr "Inschrijven"
"""


@pytest.fixture
def visit(publication: PublicationFactory, sqlite_store: Store) -> Iterator[Visit]:
    """Serve an English publication with one subscriber."""
    subscriptions.add(sqlite_store, ADA, ["weekly"], consent="said so", now=NOW)
    with visiting(publication, sqlite_store) as visit:
        yield visit


def language(page: str) -> str:
    found = re.search(r'<html lang="([^"]+)"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_a_catalogue_is_whole(path: Path) -> None:
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.stem, abort_invalid=True)
    told = {str(one.id): str(one.string) for one in catalogue if one.id}
    assert set(told) == messages()
    for message, said in told.items():
        assert said
        for pattern in (r"%\(\w+\)s", r"<[^>]+>"):
            assert sorted(re.findall(pattern, said)) == sorted(re.findall(pattern, message)), message


def test_there_is_a_french_catalogue() -> None:
    assert "fr" in [path.stem for path in CATALOGUES]


def test_a_page_follows_the_browser_unless_its_address_says_otherwise(visit: Visit) -> None:
    for asked, address, spoken in (
        ("", "", "en"),
        ("fr-BE,en;q=0.5", "", "fr"),
        ("nl,fr;q=0.1,en;q=0.9", "", "en"),
        ("de", "", "en"),
        ("fr", "?lang=en", "en"),
        ("en", "?lang=fr", "fr"),
        ("fr", "?lang=../../etc", "fr"),
    ):
        page = visit.get(f"/subscribe/{address}", accept_language=asked).page
        assert language(page) == spoken
        assert ("S’inscrire" in page) is (spoken == "fr")
    moved = visit.get("/subscribe")
    assert (moved.status, moved.headers["location"]) == (308, "subscribe/")
    page = visit.get("/subscribe/?lang=fr").page
    assert 'action="../subscribe/?lang=fr"' in page
    assert "Tous les articles" in page


def test_a_persons_own_language_comes_first(visit: Visit) -> None:
    page, link = visit.page(ADA), visit.link(Purpose.UNSUBSCRIBE, f"{visit.id(ADA)}.weekly")
    assert language(visit.get(page, accept_language="fr").page) == "fr"
    visit.post(f"{page}/person", {"language": "fr"})
    for path in (page, f"{page}?lang=en", link):
        assert language(visit.get(path, accept_language="en").page) == "fr"
    assert "Votre abonnement a pris fin" in visit.post(link).page
    undone = visit.post(f"{link}/undo").page
    assert "Votre abonnement continue" in undone
    record = subscriptions.show(visit.store, ADA)
    assert record is not None
    assert (record.consents[-1].wording, record.consents[-1].language) == ("Garder mon abonnement", "fr")


def test_a_french_publication_speaks_french_where_nobody_says_otherwise(
    publication: PublicationFactory, sqlite_store: Store
) -> None:
    with visiting(publication, sqlite_store, publication={"language": "fr-BE"}) as visit:
        assert language(visit.get("/subscribe/").page) == "fr"
        absent = visit.get("/nothing", accept_language="en").page
        assert "Rien ici" in absent


def test_a_publication_adds_a_language_by_a_file(
    publication: PublicationFactory, sqlite_store: Store
) -> None:
    folder = publication().templates / "web" / "words"
    folder.mkdir(parents=True)
    (folder / "nl.po").write_text(DUTCH, encoding="utf-8")
    with visiting(publication, sqlite_store) as visit:
        page = visit.get("/subscribe/", accept_language="nl-BE").page
        assert language(page) == "nl"
        assert "<h1>Inschrijven</h1>" in page
        assert "E-mail address" in page, "what is not translated stays English"
        assert 'hreflang="nl"' in page


WRONG_NAME = 'msgid "Unsubscribe from %(newsletter)s"\nmsgstr "Uitschrijven van %(brief)s"\n'


@pytest.mark.parametrize("text", ["hello world\n", WRONG_NAME])
def test_a_catalogue_that_cannot_be_used_says_where(publication: PublicationFactory, text: str) -> None:
    folder = publication().templates / "web" / "words"
    folder.mkdir(parents=True)
    (folder / "nl.po").write_text(text, encoding="utf-8")
    env = environment(publication().templates)
    with pytest.raises(TemplateError, match=r"web/words/nl\.po"):
        env.words.say("nl", "Sign up")  # type: ignore[attr-defined]


def test_what_is_filled_into_a_translation_is_escaped() -> None:
    env = environment()
    page = env.from_string('{{ _("Unsubscribe from %(newsletter)s", newsletter=title) }}')
    assert page.render(speak="fr", title="<b>") == "Se désabonner de &lt;b&gt;"


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("", []),
        ("fr", ["fr"]),
        ("en;q=0.2, fr-BE;q=0.9,*;q=0.1", ["fr-BE", "en"]),
        ("en;q=0,fr;q=x,nl", ["nl"]),
        (",,;q=1", []),
    ],
)
def test_accept_language(header: str, tags: list[str]) -> None:
    assert accepted(header) == tags


def test_places_are_named_in_the_language() -> None:
    assert dict(dict(choices.zones("fr"))["Europe"])["Europe/Brussels"] == "Bruxelles"
    assert dict(dict(choices.zones("en"))["America"])["America/Argentina/Ushuaia"] == "Argentina/Ushuaia"
    assert choices.is_zone("Australia/Sydney")
    assert not choices.is_zone("Etc/GMT+3")
    assert choices.languages(["en", "fr"], also="nl") == [
        ("en", "English"),
        ("fr", "Français"),
        ("nl", "Nederlands"),
    ]
    assert choices.language_name("x-?") == "x-?"
