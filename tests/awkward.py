"""A small publication whose every post is awkward in its own way: the input of golden files and page tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from newsletter.feeds import Feed
from newsletter.model import (
    Author,
    Citation,
    ContentNote,
    Correction,
    Deleted,
    Enclosure,
    Image,
    Issue,
    IssueState,
    Post,
    Reference,
    Relation,
)

SITE = "https://herald.example.org/"
PREFIX = "tag:herald.example.org,2026-01-01:"

FEED = Feed(
    id=f"{PREFIX}feed",
    title="The “Awkward” Herald & Sons",
    site=SITE,
    page=SITE,
    atom=f"{SITE}feeds/atom.xml",
    rss=f"{SITE}feeds/rss.xml",
    json=f"{SITE}feeds/feed.json",
    author=Author(name="The Herald’s desk", email="desk@herald.example.org"),
    began=datetime(2026, 1, 1, tzinfo=UTC),
    subtitle="News < rumours",
    language="en-AU",
    timezone="Australia/Sydney",
    rights="© The Herald",
    icon=f"{SITE}icon.png",
    logo=f"{SITE}logo.png",
    hubs=("https://hub.example.org/",),
    generator="1.2.3",
)


def instant(day: int, hour: int = 9) -> datetime:
    """Return an instant on a day counted from the first of November 2026."""
    return datetime(2026, 11, 1, hour, 30, tzinfo=UTC) + timedelta(days=day - 1)


def post(seq: int, title: str, **values: object) -> Post:
    """Return a post of our own page, published on day `seq`."""
    filled: dict[str, object] = {
        "source": "posts",
        "source_key": f"{seq}.md",
        "seq": seq,
        "id": f"{PREFIX}{seq}",
        "slug": f"post-{seq}",
        "own_page": True,
        "title": title,
        "published": instant(seq),
        "updated": instant(seq),
        "summary": f"What post {seq} says.",
        "body_html": f"<p>The text of post {seq}.</p>",
        "language": "en-AU",
    }
    return Post(**(filled | values))  # type: ignore[arg-type]  # keyword by keyword


HARBOUR = Image(
    src=f"{SITE}media/aa-1200.jpg",
    alt='A harbour, "calm" & grey',
    caption="The harbour at dusk, before the cranes > the ships.",
    credit="Photo: K. Example",
    width=1600,
    height=1067,
    media_type="image/jpeg",
    small="aa-600.jpg",
    large="aa-1200.jpg",
    sha256="aa",
    size=98_765,
    lead=True,
)

PRESS_RELEASE = Citation(
    text="Harbour Office, “Cranes & quays”, press release, Antwerp, 4 November 2026",
    url="https://office.example.com/press?id=4&lang=en",
    title="Cranes & quays",
    publisher="Harbour Office",
    place="Antwerp",
    kind="press release",
    date="2026-11-04",
)

POSTS: tuple[Post, ...] = (
    post(
        9,
        "A follow-up on <b>cranes</b> & a script: </title><script>alert(1)</script>",
        authors=(Author(name="@kj", uri="https://kj.example.org/", email="kj@herald.example.org"),),
        tags=("Trade", "C++", "C#", "Łódź"),
        images=(HARBOUR,),
        citations=(PRESS_RELEASE, Citation(text="ნინო ბერაძე, ცარიელი საწყობი, 2026")),
        references=(
            Reference(
                url=f"{SITE}posts/post-4/",
                title="Cranes, again",
                relation=Relation.FOLLOW_UP,
                post_id=f"{PREFIX}4",
            ),
        ),
        enclosures=(
            Enclosure(
                url="https://files.example.org/tariff table.pdf", media_type="application/pdf", length=12345
            ),
        ),
        body_html='<p>It moved ]]&gt; &amp; stopped.</p>\n<blockquote cite="https://office.example.com/q"><p>'
        "“We do not sell speed.”</p></blockquote>",
    ),
    post(
        8,
        "Five held after attack on a school",
        content_note=ContentNote(text="describes violence against children", show_title=False),
        summary="The details that nobody should meet unasked.",
        images=(HARBOUR,),
        tags=("Justice",),
        enclosures=(Enclosure(url="https://files.example.org/scene.jpg", media_type="image/jpeg", length=9),),
    ),
    post(
        7,
        "Court orders the cranes to stop",
        content_note=ContentNote(text="mentions a death at work"),
        corrections=(
            Correction(when=instant(8, 20), text="The court sat on Tuesday, not on Monday & not at noon."),
        ),
        updated=instant(8, 20),
        images=(HARBOUR,),
        tags=("Justice", "trade"),
    ),
    post(
        6,
        "أسعار القمح ترتفع في الإسكندرية",
        language="ar",
        summary="ارتفعت الأسعار للأسبوع الثالث.",
        body_html='<p>ارتفعت الأسعار <bdi dir="ltr">12.5%</bdi>.</p>',
        authors=(Author(name="يوسف الحدّاد"),),
    ),
    post(
        5,
        "An item of another site",
        id="https://elsewhere.example.com/?p=5",
        url="https://elsewhere.example.com/2026/11/an item/?a=1&b=2",
        own_page=False,
        slug="",
        minor=True,
    ),
    post(
        4, "Cranes, again", tags=("Trade",), body_html=f'<p>See <a href="{SITE}posts/post-3/">this</a>.</p>'
    ),
    post(3, "", summary="", body_html="<p>A note without a title, nor a summary.</p>"),
)

DELETED = (Deleted(id=f"{PREFIX}2", when=instant(9, 12), url=f"{SITE}posts/post-2/", title="Withdrawn"),)

ISSUE = Issue(
    id=1,
    newsletter="weekly",
    number=3,
    due=instant(9, 20),
    dated=instant(9, 20),
    state=IssueState.FINISHED,
    subject="The Herald: cranes & wheat",
    html="<!DOCTYPE html><html><head><title>x</title></head><body><p>Digest</p></body></html>",
    sha256="0" * 64,
    intro_html="<p>Good morning.</p>",
    released_at=instant(9, 20),
)
