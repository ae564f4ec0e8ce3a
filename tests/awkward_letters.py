"""Issues of a newsletter that are awkward, each in its own way, with a reader who fits: what golden files are made
of, and what browsers, inliners and spam filters are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import letters
from letters import ANN, CRANES, HARBOUR, LOGO, LOOKS, NOTED, NOW, PLAIN, SITE, WARNED, WHEAT, compiled, post
from newsletter.compose import Corrected
from newsletter.digest import Design, Mailer
from newsletter.model import Author, Citation, ContentNote, Correction, Image, Post, Reader, Reference

#: The designs that every awkward issue is made in: golden files of each stand in a folder of its name.
DESIGNS = tuple(Design)


@dataclass(frozen=True, slots=True)
class Awkward:
    """An awkward issue: what differs from the ordinary material and settings, and who reads it."""

    material: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    reader: Reader = ANN


def reader(number: int, address: str, name: str = "") -> Reader:
    """Return a subscriber since the first of March."""
    return Reader(subscriber_id=number, address=address, name=name, since=datetime(2026, 3, 1, 9, tzinfo=UTC))


def paragraphs(*texts: str) -> str:
    """Return texts as paragraphs."""
    return "".join(f"<p>{text}</p>" for text in texts)


def newsletter_in(language: str, zone: str, publication: str, title: str, subject: str) -> dict[str, Any]:
    """Return the material of a newsletter that is in another language than English."""
    looks = replace(LOOKS, language=language, timezone=zone, publication=publication)
    return {"looks": looks, "title": title, "subject": subject, "intro_html": ""}


def quoting(depth: int, words: str) -> str:
    """Return quotations inside each other."""
    inner = quoting(depth - 1, words) if depth > 1 else ""
    return f"<blockquote><p>{words}</p>{inner}<footer>— <cite>Speaker {depth}</cite></footer></blockquote>"


SENTENCE = "The harbour office weighs each crane by night and publishes the figures at dawn. "
QUOTED = post(
    30,
    "What the minister said, all of it",
    summary="The statement, word for word.",
    body_html="<p>She spoke for an hour.</p>"
    f'<blockquote cite="https://office.example.com/speech">{paragraphs(*[SENTENCE * 6] * 7)}'
    "<ul><li>First, the quay.</li><li>Then, the ships.</li></ul><footer>— <cite>A. Example, minister,"
    ' <a href="https://office.example.com/speech">speech of 3 November</a></cite></footer></blockquote>'
    + quoting(4, "And then he said that she had said so."),
)
ARABIC = replace(
    WHEAT,
    images=(HARBOUR,),
    citations=(
        Citation(text="وزارة التموين، بيان صحفي، القاهرة، 2026", url="https://office.example.com/ar"),
    ),
    references=(Reference(url=f"{SITE}posts/post-3/", title="The quay"),),
    body_html="<p>ارتفعت الأسعار في الميناء للأسبوع الثالث على التوالي، كما قال التجار.</p>"
    '<blockquote cite="https://office.example.com/ar"><p>«لا نبيع السرعة، بل نبيع القمح.»</p></blockquote>'
    "<ul><li>القمح أولاً.</li><li>ثم الذرة (maize).</li></ul><h2>الأرقام</h2>"
    "<table><tr><th>السفينة</th><th>يورو</th></tr><tr><td>كبيرة</td><td>9</td></tr></table>"
    '<p>ارتفعت الأسعار <bdi dir="ltr">12.5%</bdi> في <span lang="en" dir="ltr">Port Said (Egypt)</span>.</p>',
)
HEBREW = post(
    29,
    "הנמל נסגר ביום ראשון",
    language="he",
    summary="הנמל ייסגר לשבוע.",
    authors=(Author(name="נועה לוי"), Author(name="@kj")),
    body_html="<p>הנמל ייסגר לשבוע, כך נמסר. פרטים: +972-3-555-0100 (09:00–17:00).</p>"
    "<pre>tariff = 9 * metres</pre><ol><li>ראשון</li><li>שני</li></ol>",
)
JAPANESE = post(
    28,
    "港湾局、新しい料金表を発表「速さは売らない」",
    language="ja",
    summary=f"{'岸壁の使用料は一メートルあたり九ユーロになる。' * 3}",
    images=(replace(HARBOUR, alt="夕暮れの港", caption="クレーンの前の港。", credit="写真：例"),),
    authors=(Author(name="山田太郎"),),
    citations=(Citation(text="港湾局「料金表」二〇二六年", url="https://office.example.com/ja"),),
    body_html=f"<p>{'港の起重機はとても高い。' * 30}</p><blockquote><p>{'速さは売らない。' * 12}</p></blockquote>"
    "<table><tr><th>船</th><th>料金</th></tr><tr><td>大型</td><td>九</td></tr></table>",
)
KOREAN = post(
    27,
    "항만 사용료 인상",
    language="ko",
    summary="항만 사용료가 오른다.",
    body_html="<p>항만 사용료가 오른다.</p>",
)
FAMILY, FLAGS, HANDS = "👩‍👩‍👧‍👦 👨🏾‍🚀 🧑🏻‍🤝‍🧑🏿", "🇧🇪🇦🇺 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🏳️‍🌈", "👋🏿 👍🏽 1️⃣ ❤️‍🔥"
EMOJI = post(
    26,
    f"{FLAGS} {FAMILY}",
    summary=f"{HANDS} Three families came {FAMILY}.",
    authors=(Author(name="🦊 Fox"),),
    images=(replace(HARBOUR, alt=f"A ship {FLAGS}", caption=f"A ship {HANDS}", credit="📷 K. Example"),),
    body_html=f"<p>{FAMILY * 12}</p><p>{'🦀' * 200}</p><ul><li>{HANDS}</li></ul><h2>🏗️</h2><p>Cranes.</p>",
)
WORD, URL = "Donaudampfschifffahrt" * 19, f"https://example.com/{'path-of-a-page/' * 26}"
LONG = post(
    25,
    WORD,
    summary=f"See {URL} for {WORD}.",
    authors=(Author(name="N" * 400),),
    images=(replace(HARBOUR, alt=WORD, caption=f"{WORD} {URL}", credit="C" * 400),),
    citations=(Citation(text=f"{WORD}, {URL}", url=URL),),
    references=(Reference(url=URL, title=WORD),),
    body_html=f'<p><a href="{URL}">{URL}</a></p><h2>{WORD}</h2><ul><li>{WORD}</li></ul><p><code>{"c" * 400}</code></p>'
    f"<blockquote><p>{WORD}</p><footer>— <cite>{'S' * 400}</cite></footer></blockquote><pre>{'p' * 400}</pre>"
    f"<table><tr>{''.join(f'<th>{w}</th>' for w in ('Short', WORD, 'x'))}</tr>"
    f"<tr>{''.join(f'<td>{w}</td>' for w in ('Belgium', 'nine', WORD))}</tr></table>",
)
EVIL = """</title></td></table><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}{% x %}"'&amp;&lt;"""
HOSTILE = post(
    24,
    f"T {EVIL}",
    url=f"{SITE}a b/?q='&lt;&r=%22%3E%3Cscript%3E",
    summary=f"S {EVIL}",
    authors=(Author(name=f"A {EVIL}"),),
    images=(
        Image(
            src=f"{SITE}media/'&lt;.jpg",
            alt=f"I {EVIL}",
            caption=f"C {EVIL}",
            credit=f"R {EVIL}",
            width=600,
            height=300,
            lead=True,
        ),
    ),
    citations=(
        Citation(text=f"Q {EVIL}", url="https://example.com/?a='&lt;", title=f"Q {EVIL}"),
        Citation(text="Q, again", url="javascript:alert(4)"),
    ),
    references=(Reference(url=f"{SITE}?a='&lt;", title=f"E {EVIL}"),),
)
HOSTILE_NOTE = post(23, f"N {EVIL}", content_note=ContentNote(text=f"W {EVIL}"))
#: The pictures, so that no two stories of an issue show the same.
NUMBERED = tuple(replace(HARBOUR, large=f"b{number}-1200.jpg") for number in range(30))
THIRTY = tuple(
    post(
        60 - number,
        f"Story {number + 1}: {('Cranes', 'Ships and the people who wait for them', 'Quay')[number % 3]}",
        authors=(Author(name="@kj"),),
        images=(NUMBERED[number],) if number % 4 == 0 else (LOGO,) if number % 4 == 1 else (),
        summary=SENTENCE * (1 + number % 2),
    )
    for number in range(30)
)


def corrected(seq: int, title: str, text: str, **values: Any) -> Corrected:
    """Return the correction of a post that issue 2 sent."""
    told = (Correction(when=NOW, text=text), Correction(when=NOW, text="The date was wrong too."))
    return Corrected(post=post(seq, title, updated=NOW, **values), corrections=told, number=2, told=NOW)


MENDED = (
    corrected(3, "The quay", "The quay is nine metres long, not ninety."),
    corrected(4, WHEAT.title, "السعر تسعة.", language="ar"),
    corrected(5, NOTED.title, "Details.", content_note=NOTED.content_note),
)
ARABIC_NEWSLETTER = newsletter_in("ar", "Africa/Cairo", "الصحيفة", "رسالة الصحيفة", "رسالة الصحيفة: القمح")
HEBREW_NEWSLETTER = newsletter_in("he", "Asia/Jerusalem", "העיתון", "המכתב השבועי", "המכתב השבועי: הנמל")
JAPANESE_NEWSLETTER = newsletter_in("ja", "Asia/Tokyo", "港新聞", "週刊港便り", "週刊港便り：新しい料金表")
FRENCH_NEWSLETTER = newsletter_in(
    "fr", "Europe/Brussels", "La Dépêche", "La Dépêche du lundi", "La Dépêche du lundi : les grues"
)
SMALL: dict[str, Any] = {"corrections": (), "intro_html": ""}

AWKWARD: dict[str, Awkward] = {
    "ordinary": Awkward(),
    "french": Awkward(
        {**FRENCH_NEWSLETTER, "intro_html": "<p>Bonjour.</p>"},
        {"language": "fr"},
        reader(1, "zoe@example.org", "Zoë"),
    ),
    "one-post": Awkward({**SMALL, "posts": (PLAIN,)}, reader=reader(2, "a@example.org")),
    "thirty-posts": Awkward({"posts": THIRTY}, reader=reader(3, "bo@example.org", "Bo")),
    "no-pictures": Awkward(
        {
            "posts": tuple(
                replace(one, images=(), body_html=PLAIN.body_html) for one in (CRANES, PLAIN, WARNED)
            ),
            "full_text": True,
        }
    ),
    "quotation": Awkward({**SMALL, "posts": (QUOTED, PLAIN), "full_text": True}),
    "right-to-left-posts": Awkward(
        {"posts": (ARABIC, PLAIN, HEBREW), "full_text": True},
        reader=reader(4, "yusuf@example.org", "يوسف الحدّاد"),
    ),
    "arabic": Awkward(
        {
            **ARABIC_NEWSLETTER,
            "intro_html": ARABIC.body_html,
            "posts": (ARABIC, CRANES, WARNED),
            "corrections": MENDED,
            "full_text": True,
        },
        {"language": "ar", "title": "رسالة الصحيفة", "sender_name": "الصحيفة"},
        reader(5, "layla@بريد.example.org", "ليلى"),
    ),
    "hebrew": Awkward(
        {**HEBREW_NEWSLETTER, "posts": (HEBREW, PLAIN), "full_text": True},
        {"language": "he", "title": "המכתב השבועי", "sender_name": "העיתון"},
        reader(6, "noa@example.org", "נועה"),
    ),
    "japanese": Awkward(
        {**JAPANESE_NEWSLETTER, "posts": (JAPANESE, KOREAN), "corrections": (), "full_text": True},
        {"language": "ja", "title": "週刊港便り", "sender_name": "港新聞"},
        reader(7, "taro@example.org", "山田太郎"),
    ),
    "emoji": Awkward(
        {"posts": (EMOJI,), "title": "🗞️ The Weekly", "subject": f"🗞️ {FLAGS}", "full_text": True},
        {"title": "🗞️ The Weekly", "sender_name": "🗞️"},
        reader(8, "fox@example.org", f"🦊 {FAMILY}"),
    ),
    "long-words": Awkward(
        {
            "posts": (LONG, replace(LONG, seq=26, content_note=ContentNote(text=WORD))),
            "corrections": (corrected(3, WORD, f"{WORD} {URL}"),),
            "intro_html": f"<p>{WORD}</p>",
            "looks": replace(LOOKS, publication="P" * 100, postal_address=f"{WORD}, Antwerp"),
            "title": "T" * 100,
            "full_text": True,
        },
        {"title": "T" * 100},
        reader(9, f"{'l' * 64}@{'d' * 60}.{'e' * 60}.example.org", "N" * 200),
    ),
    "content-notes": Awkward({**SMALL, "posts": (NOTED, WARNED), "subject": "The Herald Weekly, No. 3"}),
    "corrections": Awkward({"posts": (), "intro_html": "", "corrections": MENDED}),
    "hostile": Awkward(
        {
            "posts": (HOSTILE, HOSTILE_NOTE),
            "corrections": (corrected(3, f"T {EVIL}", f"M {EVIL}"),),
            "title": f"L {EVIL}",
            "subject": f"U {EVIL}",
            "looks": replace(
                LOOKS, publication=f"P {EVIL}", postal_address=f"D {EVIL}", contact="o'hara&co@example.org"
            ),
            "full_text": True,
        },
        {"title": f"L {EVIL}", "sender_name": f"N {EVIL}"},
        reader(10, "o'hara&co+{{x}}=3D@example.org", f'"{EVIL}\\ <b@example.org>, "'),
    ),
}
AWKWARD["everything"] = Awkward(
    {
        "posts": (CRANES, QUOTED, ARABIC, HEBREW, JAPANESE, EMOJI, LONG, HOSTILE, NOTED, WARNED),
        "corrections": MENDED,
    },
    reader=reader(11, "o'hara+all@example.org", f"Zoë {FAMILY} ليلى"),
)


@cache
def mailer(design: Design, name: str, *, dated: datetime = NOW) -> Mailer:
    """Return the mailer of an awkward issue in a design."""
    digest = compiled(**told(design, name))
    issue = letters.issue_of(digest)
    issue = replace(issue, subject=AWKWARD[name].material.get("subject", issue.subject), dated=dated)
    return letters.mailer_of(digest, issue, **AWKWARD[name].settings)


def told(design: Design, name: str) -> dict[str, Any]:
    """Return what differs from the ordinary material in an awkward issue of a design."""
    return {**AWKWARD[name].material, "design": design}


def page(design: Design, name: str) -> str:
    """Return the HTML that the reader of an awkward issue gets."""
    return mailer(design, name).fill(AWKWARD[name].reader)[0]


def message(design: Design, name: str) -> bytes:
    """Return the message that the reader of an awkward issue gets."""
    return mailer(design, name)(AWKWARD[name].reader).content


assert all(isinstance(one, Post) for awkward in AWKWARD.values() for one in awkward.material.get("posts", ()))
