"""A small issue to make digests of: its material, its settings, its readers."""

from __future__ import annotations

import quopri
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from newsletter import templating
from newsletter.compose import Corrected
from newsletter.digest import (
    Digest,
    Looks,
    Mailer,
    MailSettings,
    Material,
    Signer,
    compile_digest,
    rendering,
    template_names,
    thaw,
    tracing,
)
from newsletter.digest.encoding import quoted_printable
from newsletter.model import (
    Author,
    Citation,
    ContentNote,
    Correction,
    Image,
    Issue,
    IssueState,
    Post,
    Reader,
    Reference,
    Relation,
)

SITE = "https://herald.example.org/"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEYS = (("k1", b"0123456789abcdef0123456789abcdef"),)
THEME = {
    "accent": "#0b5c7a",
    "text": "#1d2329",
    "muted": "#56616b",
    "background": "#f3f1ec",
    "paper": "#fdfcfa",
    "dark_accent": "#7cc7e8",
    "dark_text": "#e6e8ea",
    "dark_muted": "#a3adb7",
    "dark_background": "#14181c",
    "dark_paper": "#1d2329",
    "heading_font": "Georgia, 'Times New Roman', serif",
    "body_font": "Helvetica, Arial, sans-serif",
}
LOOKS = Looks(
    publication="The Herald",
    url=SITE,
    language="en-AU",
    timezone="Australia/Sydney",
    postal_address="The Herald, 1 Quay Street, Antwerp",
    contact="editor@herald.example.org",
    theme=THEME,
)
FRENCH_LOOKS = replace(LOOKS, language="fr", timezone="Europe/Brussels", publication="La Dépêche")
HARBOUR = Image(
    src=f"{SITE}media/aa-1200.jpg",
    alt='A harbour, "calm" & grey',
    caption="The harbour at dusk, before the cranes > the ships.",
    credit="Photo: K. Example",
    width=1200,
    height=675,
    media_type="image/jpeg",
    small="aa-600.jpg",
    large="aa-1200.jpg",
    lead=True,
)
LOGO = Image(src=f"{SITE}media/logo.png", alt="Logo of the harbour office", width=400, height=160)


def post(seq: int, title: str, **values: object) -> Post:
    """Return a post of our own, published `seq` hours after the first of November."""
    when = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=seq)
    filled: dict[str, object] = {
        "source": "posts",
        "source_key": f"{seq}.md",
        "seq": seq,
        "id": f"tag:herald.example.org,2026-01-01:{seq}",
        "slug": f"post-{seq}",
        "own_page": True,
        "title": title,
        "published": when,
        "updated": when,
        "summary": f"What post {seq} says, in short.",
        "body_html": f"<p>The text of post {seq}, which is short.</p>",
        "language": "en-AU",
    }
    return Post(**(filled | values))  # type: ignore[arg-type]  # keyword by keyword


CRANES = post(
    40,
    "Cranes & ships: who <pays> for the quay?",
    authors=(Author(name="@kj"), Author(name="Zoë Ström")),
    images=(HARBOUR, LOGO),
    citations=(
        Citation(
            text="Harbour Office, “Cranes & quays”, press release, Antwerp, 4 November 2026",
            url="https://office.example.com/press?id=4&lang=en",
            title="Cranes & quays",
        ),
        Citation(text="ნინო ბერაძე, ცარიელი საწყობი, 2026"),
    ),
    references=(
        Reference(url=f"{SITE}posts/post-3/", title="The quay", relation=Relation.FOLLOW_UP),
        Reference(url=f"{SITE}posts/hidden/", title="A title that must stay hidden"),
    ),
    body_html=(
        f'<figure><img src="{HARBOUR.src}" alt="A harbour" width="1200" height="675"><figcaption>The harbour at dusk,'
        ' before the cranes &gt; the ships. <small class="credit">Photo: K. Example</small></figcaption></figure>'
        '<p>The quay costs <a href="https://office.example.com/tariff">nine euros</a> a metre &amp; a half.'
        '<sup><a href="#fn1" id="fnref1">1</a></sup></p>'
        '<blockquote cite="https://office.example.com/press"><p>“We do not sell speed.”</p><footer>— <cite>A. Example,'
        ' <a href="https://office.example.com/press">statement</a></cite></footer></blockquote>'
        f'<figure><img src="{LOGO.src}" alt="{LOGO.alt}" width="400" height="160"></figure>'
        "<h2>What it means</h2><ul><li>Ships pay.</li><li>Cranes do not.</li></ul>"
        "<h4>In figures</h4><table><tr><th>Ship</th><th>Euro</th></tr><tr><td>Big</td><td>9</td></tr></table>"
        "<pre>a  =  b</pre><hr><p>The end.<br>Really.</p>"
    ),
)
NOTED = post(
    39,
    "Five held after the attack",
    content_note=ContentNote(text="describes violence", show_title=False),
    summary="Details nobody should meet unasked.",
    body_html="<p>Details nobody should meet unasked, at length.</p>",
    images=(HARBOUR,),
)
WARNED = post(38, "The barge trial", content_note=ContentNote(text="mentions a death at work"))
WHEAT = post(
    37,
    "أسعار القمح ترتفع في الإسكندرية",
    language="ar",
    summary="ارتفعت الأسعار للأسبوع الثالث.",
    body_html='<p>ارتفعت الأسعار <bdi dir="ltr">12.5%</bdi>.</p>',
    authors=(Author(name="يوسف الحدّاد"),),
)
CJK = post(36, "港口", body_html=f"<p>{'港口的起重机很高。' * 20}</p>", summary="起重机")
PLAIN = post(35, "Tariffs, again")
CORRECTED = Corrected(
    post=post(3, "The quay", updated=NOW),
    corrections=(Correction(when=NOW, text="The quay is nine metres long, not ninety."),),
    number=2,
    told=NOW,
)
POSTS = (CRANES, NOTED, WARNED, WHEAT, CJK, PLAIN)


def material(**values: object) -> Material:
    """Return the material of issue 3 of a newsletter."""
    filled: dict[str, object] = {
        "newsletter": "weekly",
        "title": "The Herald Weekly",
        "number": 3,
        "due": datetime(2026, 11, 22, 20, 0, tzinfo=UTC),
        "subject": "The Herald Weekly: Cranes & ships",
        "looks": LOOKS,
        "intro_html": '<p>Good <em>morning</em>. See <a href="https://example.com/all">the programme</a>.</p>',
        "posts": POSTS,
        "corrections": (CORRECTED,),
        "titles": {f"{SITE}posts/hidden/": None},
    }
    return Material(**(filled | values))  # type: ignore[arg-type]  # keyword by keyword


def templates(told: Material, folder: Path | None = None) -> templating.TemplateSet:
    """Return the packaged templates of an issue, those of a folder first."""
    return templating.template_set(templating.environment(folder), *template_names(told.design))


def compiled(*, folder: Path | None = None, **values: object) -> Digest:
    """Compile the material with the packaged templates, those of a folder first."""
    told = material(**values)
    return compile_digest(told, templates(told, folder))


def uninlined(**values: object) -> str:
    """Return the page of the material for one reader, before its styles are put on the elements."""
    frozen = thaw(compiled(folder=None, **values).frozen)
    own = {name: f"{name} of somebody" for name in tracing.FIELDS} | dict.fromkeys(tracing.LINKS, f"{SITE}u")
    seen = rendering.view(frozen.material, frozen.plan, rendering.tongue_of(frozen.material.looks))
    return rendering.draw_html(seen, tracing.plain(own), templating.TemplateSet(frozen.templates))


def settings(**values: object) -> MailSettings:
    """Return the settings of the newsletter."""
    filled = MailSettings(
        newsletter="weekly",
        title="The Herald Weekly",
        sender="weekly@herald.example.org",
        sender_name="The Herald",
        reply_to="editor@herald.example.org",
        contact="editor@herald.example.org",
        url=SITE,
        web_url="https://letters.example.org/",
        list_id="weekly.herald.example.org",
        bounce_domain="bounces.example.org",
        keys=KEYS,
        language="en-AU",
        timezone="Australia/Sydney",
    )
    return replace(filled, **values)  # type: ignore[arg-type]  # keyword by keyword


def issue_of(digest: Digest, **values: object) -> Issue:
    """Return a frozen issue of a digest."""
    return replace(
        Issue(
            id=7,
            newsletter="weekly",
            number=3,
            due=datetime(2026, 11, 22, 20, 0, tzinfo=UTC),
            state=IssueState.APPROVED,
            subject="The Herald Weekly: Cranes & ships",
            dated=NOW,
            html=digest.html,
            sha256="ab" * 32,
        ),
        **values,  # type: ignore[arg-type]  # keyword by keyword
    )


ANN = Reader(
    subscriber_id=12, address="ann@example.org", name="Ann Ó Dálaigh", since=datetime(2026, 3, 1, tzinfo=UTC)
)


def mailer(*signers: Signer, folder: Path | None = None, **values: object) -> Mailer:
    """Return the mailer of the compiled material."""
    return mailer_of(compiled(folder=folder, **values), signers=signers)


def mailer_of(digest: Digest, issue: Issue | None = None, **values: object) -> Mailer:
    """Return the mailer of a digest."""
    frozen = thaw(digest.frozen)
    templates = templating.TemplateSet(frozen.templates)
    return Mailer(issue or issue_of(digest), frozen, templates, settings(**values))


def text_of(digest: Digest) -> str:
    """Return the text part as one reader sees it."""
    return mailer_of(digest).fill(ANN)[1]


def rewritten(message: bytes, kind: str, old: str, new: str, count: int = -1) -> bytes:
    """Return a message with a text replaced in its `html` or `plain` part."""
    start, part, rest = re.split(
        rb"(text/%b;.*?\r\n\r\n.*?\r\n)(?=--=_)" % kind.encode(), message, flags=re.S
    )
    head, _, body = part.partition(b"\r\n\r\n")
    told = quopri.decodestring(body).decode().replace("\r\n", "\n")
    assert old in told
    return b"".join((start, head, b"\r\n\r\n", quoted_printable(told.replace(old, new, count)), rest))
