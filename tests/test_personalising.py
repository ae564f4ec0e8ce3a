"""One compiled message for many readers: the same bytes as rendering each reader alone, or each is rendered alone."""

from __future__ import annotations

import dataclasses
import quopri
import tracemalloc
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import cast

import dkim
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from letters import ANN, CRANES, FRENCH_LOOKS, PLAIN, compiled, mailer, mailer_of
from newsletter.digest import Design, Mailer, templates
from newsletter.digest.encoding import Segments, encode_value, quoted_printable
from newsletter.digest.slots import Place, Slot
from newsletter.errors import InputError, TemplateError
from newsletter.model import Reader
from newsletter.templating import environment, template_set

#: Templates that put the reader everywhere a template may, and ask everything it may ask.
CURIOUS = """<!DOCTYPE html>
<html lang="{{ looks.language }}"><head><title>{{ issue.subject }}</title></head><body><div>
{% set greeting = "Good morning" %}
<p>{{ greeting }}, {{ reader.name or "reader" }}! {{ reader.name|default("friend", true) }}
   {{ "<&>" ~ reader.name ~ "." }}   {{ reader.name }}{{ reader.address }}

</p><p title="for {{ reader.name }} &amp; {{ reader.address }}">
{% if reader.name == "Zoë" %}Oh, Zoë{% elif not reader.name and reader.since %}Since {{ reader.since }}
{% elif reader.language in ("fr", "nl") or reader.timezone != "" %}{{ reader.timezone }}
{%- else %}You{% endif %}</p>
{% if reader %}<a href="{{ reader.unsubscribe }}">out</a> <a href='{{ reader.preferences }}'>x</a>{% endif %}
{% for story in stories %}<h2>{{ story.title }} {{ reader.since if reader.since else "never" }}</h2>
{% if loop.first %}{{ reader.name }}{% endif %}{% endfor %}
{{ "{who} is at {where}" | sentence(who=reader.name, where=reader.address) }}
</div></body></html>
"""
PLAINLY = """{{ reader.name }}
  {{ reader.name }}

{{ reader.since }}

Dear {{ reader.name or "reader" }}, {{ reader.address }} {{ reader.since }}
{% if reader.name %}.{{ reader.name }}{% endif %}
From {{ reader.name }}
{{ reader.unsubscribe }}
{{ reader.name }}"""

PIECES = (
    *(
        "<b>",
        "&",
        "&amp;",
        '"',
        "'",
        "\n",
        "\r\n",
        "Bcc: x",
        "=",
        "=20",
        ".",
        "From ",
        "  ",
        "\t",
        "{{ x }}",
        "%",
    ),
    *(
        "😀",
        "👩\u200d👩\u200d👧",
        "\u202e",
        "\u200f",
        "\u00a0",
        "\u2028",
        "\ufdd0name\ufdd1",
        "\uffff",
        "中",
        "slotname",
    ),
    *("é" * 200, "x" * 200),
)
NASTY = st.lists(st.sampled_from(PIECES) | st.text(st.characters(codec="utf-8"), max_size=5), max_size=6).map(
    "".join
)
ADDRESSES = ("a@example.org", "o'hara&co@example.org", "jörg@bücher.example", f"{'x' * 60}@example.org")
READERS = st.builds(
    Reader,
    subscriber_id=st.integers(1, 2**40),
    address=st.sampled_from(ADDRESSES),
    name=NASTY | st.sampled_from(["", " ", "Zoë", "Ann Example"]),
    language=st.sampled_from(["", "en", "fr", "fr-BE", "nl", "zz"]) | NASTY,
    timezone=st.sampled_from(["", "UTC", "Australia/Sydney", "Pacific/Honolulu", "Nowhere/At_All"]),
    since=st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC)),
)


relaxed = dkim.canonicalization.Relaxed.canonicalize_body


def parts(content: bytes) -> list[str]:
    message = BytesParser(policy=policy.default).parsebytes(content)
    return [str(cast(EmailMessage, part).get_content()) for part in message.iter_parts()]


def alone(make: Mailer) -> Mailer:
    """Return a mailer that renders every reader alone, as templates that cannot be traced have it."""
    other = Mailer(make.issue, make._frozen, make._variants._templates, make.settings)
    other._variants._traceable = False
    return other


def folder_of(folder: Path, page: str, text: str) -> Path:
    for design in ("letter", "front"):
        (folder / "digest" / design).mkdir(parents=True, exist_ok=True)
        (folder / "digest" / design / "digest.html.j2").write_text(page, encoding="utf-8")
        (folder / "digest" / design / "digest.txt.j2").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Mailer, Mailer]]:
    folder = folder_of(tmp_path_factory.mktemp("curious"), CURIOUS, PLAINLY)
    made = [
        mailer(),
        mailer(full_text=True, looks=FRENCH_LOOKS),
        mailer(design=Design.FRONT, sections=("trade",)),
        mailer(folder=folder, posts=(CRANES, PLAIN), corrections=(), intro_html=""),
    ]
    return [(one, alone(one)) for one in made]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(reader=READERS)
@example(reader=dataclasses.replace(ANN, name="Zoë", language="fr", timezone="Pacific/Honolulu"))
@example(reader=Reader(subscriber_id=1, address="a@example.org", name=" \ufdd0 "))
@example(reader=Reader(subscriber_id=1, address="a@example.org", name='"'))
def test_a_compiled_message_is_the_one_rendered_alone(
    pairs: list[tuple[Mailer, Mailer]], reader: Reader
) -> None:
    for compiled_, alone_ in pairs:
        try:
            expected = alone_(reader)
        except InputError:
            with pytest.raises(InputError):
                compiled_(reader)
            continue
        made = compiled_(reader)
        assert made == compiled_(reader)
        head, _, body = made.content.partition(b"\r\n\r\n")
        assert head == expected.content.partition(b"\r\n\r\n")[0]
        assert parts(made.content) == parts(expected.content)
        assert (made.sender, made.recipient, made.key) == (expected.sender, expected.recipient, expected.key)
        assert all(len(line) <= 998 for line in head.split(b"\r\n"))
        assert relaxed(body) == body
        assert all(
            len(line) <= 76
            and not line.startswith((b".", b"From ", b" "))
            and not line.endswith((b" ", b"\t"))
            for line in body.split(b"\r\n")
        )
        assert b"  " not in body


def test_readers_who_are_spoken_to_alike_share_one_rendering(pairs: list[tuple[Mailer, Mailer]]) -> None:
    make = mailer()
    for number in range(200):
        make(
            Reader(
                subscriber_id=number, address=f"r{number}@example.org", name=f"R {number}", since=ANN.since
            )
        )
    assert make._variants.rendered == 1
    make(Reader(subscriber_id=1, address="r@example.org"))
    assert make._variants.rendered == 2
    make(dataclasses.replace(ANN, language="fr"))
    make(dataclasses.replace(ANN, language="fr", timezone="Europe/Brussels"))
    assert make._variants.rendered == 4
    make(dataclasses.replace(ANN, language="fr", timezone="Europe/Paris"))
    make(dataclasses.replace(ANN, language="de", timezone="Nowhere"))
    assert make._variants.rendered == 4
    assert make.alone == 0


def test_the_variants_that_are_kept_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsletter.digest.variants._MOST", 2)
    make = mailer()
    readers = [dataclasses.replace(ANN, language=one) for one in ("en", "fr", "en-GB", "en")]
    first = [make(one).content for one in readers]
    assert [make(one).content for one in readers] == first
    assert len(make._variants._known.kept) <= 2


def test_days_and_words_are_the_reader_s_own() -> None:
    make = mailer()
    _, sydney = make.fill(ANN)
    _, honolulu = make.fill(dataclasses.replace(ANN, timezone="Pacific/Honolulu", language="fr-BE"))
    assert "No. 3 · Monday, 23 November 2026" in sydney
    assert "N° 3 · dimanche 22 novembre 2026" in honolulu
    assert "depuis le 28 février 2026" in honolulu


@pytest.mark.parametrize(
    "line",
    [
        "{{ reader.name|upper }}",
        "{{ reader.name|e }}",
        "{{ (reader.name ~ 'x')|length }}",
        "{{ (reader.name ~ '') or 'x' }}",
        "{% set who = reader.name %}{{ who }}",
        "{% set who %}{{ reader.name }}{% endset %}{{ who|upper }}",
        "{% filter upper %}{{ reader.name }}{% endfilter %}",
        "{% macro m() %}{{ reader.name }}{% endmacro %}{{ m()|upper }}",
        "{% macro m(who) %}{{ who.name }}{% endmacro %}{{ m(reader) }}",
        "{% for sign in reader.name %}{{ sign }}{% endfor %}",
        "{% if reader.name|length > 3 %}x{% endif %}",
        "{% if reader.name > 'm' %}x{% endif %}",
        "{% if reader.name == reader.address %}x{% endif %}",
        "{% if reader is defined %}x{% endif %}",
        "{% with who = reader %}{{ who.name }}{% endwith %}",
        "{{ reader.name[:2] }}",
        "{{ reader.name.upper() }}",
        "{{ '%s'|format(reader.name) }}",
        "{{ reader.name|sentence }}",
        "{% block a %}{{ reader.name }}{% endblock %}{{ self.a()|upper }}",
        "{% call(x) loop.index(reader.name) %}{% endcall %}",
    ],
)
def test_whatever_else_is_done_with_a_reader_is_rendered_alone(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.html.j2").write_text("a\n" + line, encoding="utf-8")
    chosen = template_set(environment(tmp_path), "x.html.j2")
    assert (
        list(templates.untraceable(chosen.trees)) == ["x.html.j2:2"] or "set who" in line or "macro" in line
    )
    assert list(templates.untraceable(chosen.trees))


def test_a_template_that_includes_a_reader_where_text_is_kept_is_rendered_alone(tmp_path: Path) -> None:
    (tmp_path / "inner.txt.j2").write_text("{{ reader.name }}")
    for outer, found in (
        ("{% include 'inner.txt.j2' %}", []),
        ("{% filter upper %}{% include 'inner.txt.j2' %}{% endfilter %}", ["outer.txt.j2:1"]),
        ("{% import 'inner.txt.j2' as inner with context %}{{ inner|upper }}", ["outer.txt.j2:1"]),
        ("{% extends 'inner.txt.j2' %}", []),
        ("{% extends 'inner.txt.j2' %}{% block a %}{{ super()|upper }}{% endblock %}", ["outer.txt.j2:1"]),
    ):
        (tmp_path / "outer.txt.j2").write_text(outer)
        chosen = template_set(environment(tmp_path), "outer.txt.j2")
        assert list(templates.untraceable(chosen.trees)) == found


def test_rendering_alone_is_right_counted_and_said(tmp_path: Path) -> None:
    packaged = CURIOUS.replace("{{ greeting }}", "{{ greeting }} {{ reader.name|upper }}")
    digest = compiled(folder=folder_of(tmp_path, packaged, "{{ reader.name|upper }}\n"), corrections=())
    assert any("rendered alone" in note and "digest.html.j2:4" in note for note in digest.notes)
    make = mailer_of(digest)
    for number, name in enumerate(["straße", "Ann <b>"]):
        page, text = make.fill(dataclasses.replace(ANN, subscriber_id=number, name=name))
        assert text.strip() == name.upper()
        assert name.upper().replace("<", "&lt;").replace(">", "&gt;") in page
    assert make.alone == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{{ nonsense }}", r"nothing is called 'nonsense'.*There are: .*stories"),
        ("{% if false %}{{ nonsense }}{% endif %}", "nothing is called 'nonsense'"),
        ("{{ reader.nme }}", "a reader has no 'nme'.*There are: name"),
        ("{{ issue.numbr }}", "Material has no 'numbr'"),
        ("{{ words.unsubscrib }}", "Wording has no 'unsubscrib'"),
        ("{% for one in stories %}{{ one.titel }}{% endfor %}", "Story has no 'titel'"),
        ("{{ stories[0].lead.imag }}", None),
        ("{% if %}", "Expected an expression"),
        ("{% include name %}", "must be named"),
        ("{% include 'digest/none.j2' %}", "missing"),
        ("{{ looks.__class__ }}", "Looks has no|unsafe"),
        ("<!-- {{ reader.name }} -->", "may not stand in a comment"),
        ("<style>{{ reader.name }}</style>", "may not stand in a comment, a style"),
        ("<title>{{ reader.name }}</title>", "or the title"),
        ("<p {{ reader.name }}>x</p>", "may not stand there in a tag"),
        ("<p class={{ reader.name }}>x</p>", "may not stand there in a tag"),
        ('<p style="color: {{ reader.name }}">x</p>', "may not stand there in a tag"),
        ('<p onclick="{{ reader.name }}">x</p>', "may not stand there in a tag"),
        ('<a href="{{ reader.name }}">x</a>', "reader.name may not stand in href"),
        ('<a href="{{ reader.unsubscribe }}?x">x</a>', "reader.unsubscribe may not stand in href"),
        (
            '{% if reader.name == "never" %}<!-- {{ reader.name }} -->{% endif %}',
            "may not stand in a comment",
        ),
        ("{% if reader.name == 'never' %}{{ 1 // 0 }}{% endif %}", None),
    ],
)
def test_a_mistake_in_a_template_is_an_error_when_it_is_loaded(
    tmp_path: Path, line: str, said: str | None
) -> None:
    page = f"<html><body><div>\n{line}\n</div></body></html>"
    folder = folder_of(tmp_path, page, "x")
    if said is None:
        with pytest.raises(Exception, match=r"."):
            compiled(folder=folder)
        return
    with pytest.raises(TemplateError, match=f"(?s){said}") as caught:
        compiled(folder=folder)
    assert str(caught.value).startswith("digest/letter/digest.html.j2:2: ")


WHERE = st.sampled_from([Slot("name", place) for place in Place])


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text(st.sampled_from("aé .=\n<&中"), max_size=90) | WHERE, max_size=8), NASTY)
def test_segments_are_the_text_with_its_values(pieces: list[str | Slot], value: str) -> None:
    value = " ".join(value.split())
    whole = [*pieces, "\n"]
    expected = "".join(one if isinstance(one, str) else one.escape(value) for one in whole)
    filled = Segments(_joined(whole)).fill({"name": value})
    assert quopri.decodestring(filled).decode("utf-8", "surrogatepass").replace("\r\n", "\n") == expected
    for line in filled.split(b"\r\n"):
        assert len(line) <= 76
        assert b"  " not in line
        assert not line.startswith((b".", b"From ", b" "))
        assert not line.endswith((b" ", b"\t"))


def _joined(pieces: list[str | Slot]) -> list[str | Slot]:
    """Put texts that follow each other together, as rendering gives them."""
    joined: list[str | Slot] = []
    for piece in pieces:
        if joined and isinstance(piece, str) and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


@settings(deadline=None)
@given(NASTY.map(lambda value: " ".join(value.split())))
def test_a_value_alone_is_encoded_as_a_line_is(value: str) -> None:
    assert encode_value(value) + b"\r\n" == quoted_printable(value)


def test_a_composed_issue_does_not_read_its_templates_again(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, CURIOUS, PLAINLY)
    digest = compiled(folder=folder, corrections=())
    before = mailer_of(digest)(ANN)
    folder_of(tmp_path, "changed", "changed")
    assert mailer_of(digest)(ANN) == before


def test_memory_is_flat_in_the_number_of_readers() -> None:
    make = mailer()

    def send(start: int, count: int) -> None:
        for number in range(start, start + count):
            make(Reader(subscriber_id=number, address=f"r{number}@d{number}.example.org", name=f"R {number}"))

    tracemalloc.start()
    try:
        send(0, 6000)
        before = tracemalloc.get_traced_memory()[0]
        send(6000, 4000)
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
