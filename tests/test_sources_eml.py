"""E-mails as a source."""

from __future__ import annotations

import datetime as dt
import io
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from conftest import PublicationFactory
from newsletter.config import SourceConfig
from newsletter.model import Post, Rejected
from newsletter.sources import SourceContext, SourceState
from newsletter.sources.eml import EmlSource

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
HEAD = "From: Zoë <zoe@example.org>\r\nDate: Mon, 02 Nov 2026 09:00:00 CET\r\n"


@pytest.fixture
def context(publication: PublicationFactory) -> SourceContext:
    config = publication({"sources": []})
    (config.folder / "mails").mkdir()
    source = SourceConfig(name="mails", kind="eml", path=Path("mails"))
    return SourceContext(config=config, source=source, now=NOW)


def read(
    context: SourceContext, *mails: bytes | str, state: SourceState | None = None
) -> list[Post | Rejected]:
    for number, mail in enumerate(mails):
        path = context.path() / f"{number}.eml"
        path.write_bytes(mail.encode() if isinstance(mail, str) else mail)
    return list(EmlSource(context).posts(state or SourceState()))


def post(context: SourceContext, mail: bytes | str) -> Post:
    (one,) = read(context, mail)
    assert isinstance(one, Post), one
    return one


def png() -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (30, 20), "navy").save(file, "PNG")
    return file.getvalue()


def whole() -> EmailMessage:
    message = EmailMessage()
    message["From"] = '"Verstraete, Ada" <ada@example.org>'
    message["Subject"] = "Kräne & Kais"
    message["Date"] = "Mon, 02 Nov 2026 09:00:00 -0000"
    message["Message-ID"] = "<one/two@example.org>"
    message.set_content("The plain form")
    message.add_alternative(
        '<p>The <b>HTML</b> form <script>x()</script></p><p><img src="cid:crane@x" alt="A crane"></p>'
        '<p><img src="cid:nowhere" alt=""></p>',
        subtype="html",
    )
    html = message.get_body(("html",))
    assert isinstance(html, EmailMessage)
    html.add_related(png(), "image", "png", cid="<crane@x>")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="report.pdf")
    return message


def test_a_message_is_a_post(context: SourceContext) -> None:
    one = post(context, whole().as_bytes().replace(b"09:00:00 -0000", b"09:00:00 AEDT"))
    assert (one.title, one.id) == ("Kräne & Kais", "mid:one%2Ftwo@example.org")
    assert [(author.name, author.email) for author in one.authors] == [("Verstraete, Ada", "ada@example.org")]
    assert one.published == dt.datetime(2026, 11, 1, 22, tzinfo=dt.UTC)
    assert "<b>HTML</b> form" in one.body_html or "<strong>HTML</strong> form" in one.body_html
    assert "script" not in one.body_html
    assert "cid:" not in one.body_html
    (crane,) = one.images
    assert (crane.alt, crane.width, crane.height) == ("A crane", 30, 20)
    assert (context.media / crane.large).exists()
    assert crane.src == f"https://harbour.example.org/media/{crane.large}"
    assert crane.src in one.body_html
    assert any("report.pdf" in what for what in one.dropped)
    assert any("cid:nowhere" in what for what in one.dropped), one.dropped


def test_plain_text_in_an_odd_charset(context: SourceContext) -> None:
    one = post(
        context,
        HEAD.encode()
        + b"Subject: =?iso-8859-1?q?Caf=E9?=\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\nFirst =E9 line.\r\n\r\n<b>no HTML</b>\r\n",
    )
    assert one.title == "Café"
    assert "First é line." in one.body_html
    assert "&lt;b&gt;" in one.body_html
    assert one.source_key == "0.eml"
    assert (
        post(context, HEAD + "Subject: X\r\nContent-Type: text/plain; charset=utf-9\r\n\r\nö").word_count == 1
    )


def test_without_a_subject_the_first_words_are_the_title(context: SourceContext) -> None:
    assert post(context, HEAD + "\r\nThe first words.").title == "The first words."


@pytest.mark.parametrize(
    ("mail", "said"),
    [
        (b"", "not an e-mail"),
        (b"\x00\xff" * 500, "not an e-mail"),
        ("Hello, this is a text", "not an e-mail"),
        ("From: a@example.org\r\nSubject: X\r\n\r\nText", "no date"),
        ("From: a@example.org\r\nDate: yesterday\r\n\r\nText", "is not a date"),
        ("From: a@example.org\r\nDate: Mon, 2 Nov 2026 09:00 XYZT\r\n\r\nText", "zone 'XYZT'"),
        (HEAD + "Subject: X\r\n\r\n", "no text"),
        (HEAD + "Content-Type: image/png\r\n\r\nxx", "no text"),
        (
            HEAD
            + "".join(f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(80))
            + "\r\nText",
            "nested more than 50",
        ),
        (HEAD + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + "--b\r\n\r\nx\r\n" * 600, "500 parts"),
    ],
)
def test_what_is_no_post_is_quarantined(context: SourceContext, mail: bytes | str, said: str) -> None:
    good = HEAD + "Subject: Good\r\n\r\nText"
    bad, fine = read(context, mail, good)
    assert isinstance(bad, Rejected)
    assert said in bad.reason
    assert bad.remedy
    assert bad.where == "mails: 0.eml"
    assert isinstance(fine, Post)


def test_a_copy_has_the_same_key_and_a_change_is_read(context: SourceContext) -> None:
    mail = HEAD + "Message-ID: <a@example.org>\r\nSubject: X\r\n\r\nText"
    state = SourceState()
    first, second = read(context, mail, mail, state=state)
    assert first.source_key == second.source_key == "mid:a@example.org"
    again = SourceState(memory=state.memory)
    assert list(EmlSource(context).posts(again)) == []
    assert again.unchanged == {"mid:a@example.org"}
    assert again.complete
    path = context.path() / "1.eml"
    path.write_text(mail + " anew")
    (one,) = EmlSource(context).posts(SourceState(memory=again.memory))
    assert isinstance(one, Post)
    assert "Text anew" in one.body_html


def test_a_single_file_and_what_a_folder_hides(context: SourceContext, tmp_path: Path) -> None:
    folder = context.path()
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a.eml").write_text(HEAD + "\r\nText")
    (folder / "below").mkdir()
    (folder / "below" / "B.EML").write_text(HEAD + "\r\nText")
    outside = tmp_path / "outside.eml"
    outside.write_text(HEAD + "\r\nSecret")
    (folder / "link.eml").symlink_to(outside)
    assert [one.source_key for one in read(context)] == ["below/B.EML"]
    source = SourceConfig(name="mails", kind="eml", path=Path("mails/below/B.EML"))
    alone = SourceContext(config=context.config, source=source, now=NOW)
    assert [one.source_key for one in EmlSource(alone).posts(SourceState())] == ["B.EML"]


@given(
    st.binary(max_size=400),
    st.sampled_from(["", "Subject: ", "Message-ID: ", "From: ", "Content-Type: multipart/mixed; "]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_post_or_quarantined(context: SourceContext, junk: bytes, header: str) -> None:
    (one,) = read(context, HEAD.encode() + header.encode() + junk)
    assert isinstance(one, Post | Rejected)
