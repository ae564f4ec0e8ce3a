"""Check an issue's digest: in the message of the reader with the longest values, its links against our own site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from newsletter import feeds
from newsletter.checks.digest import check_message
from newsletter.checks.links import Site, path_in
from newsletter.config import Config
from newsletter.issues.messages import mailer
from newsletter.model import Finding, Issue, Post, Reader
from newsletter.store import Tx
from newsletter.store import issues as stored
from newsletter.store import posts as stored_posts

#: Nobody's message is longer: an address of 254 characters, as many as can be escaped in HTML, a name of 200 that
#: take four bytes each, a long number and a long date.
LONGEST = Reader(
    subscriber_id=2**53,
    address="'" * 64 + "@" + ".".join(["x" * 60] * 3) + ".org.eu",
    name="𠀀" * 200,
    since=datetime(2026, 9, 30, tzinfo=UTC),
)
_FEEDS = ("atom.xml", "rss.xml", "feed.json")


def check_issue(tx: Tx, config: Config, issue: Issue, frozen: str = "") -> list[Finding]:
    """Return every broken rule of an issue's digest that a program can find; advice is no error.

    `frozen` is what is frozen of an issue that is not in the store.
    """
    content = mailer(config, issue, frozen or stored.frozen(tx, issue.id))(LONGEST).content
    return check_message(content, where=f"{issue.newsletter} {issue.number}", site=site_of(tx, config, issue))


def broken(findings: Iterable[Finding]) -> str:
    """Say in one line how many rules a digest breaks, and the first; empty when it breaks none."""
    errors = [one for one in findings if one.error]
    if not errors:
        return ""
    count = "a rule" if len(errors) == 1 else f"{len(errors)} rules"
    story = f" in “{errors[0].post}”" if errors[0].post else ""
    return f"the digest breaks {count}: {errors[0].place}{story}: {errors[0].rule}"


def site_of(tx: Tx, config: Config, issue: Issue) -> Site:
    """Return our own site: what publishing writes now, with the page of the issue itself."""
    url = config.publication.url
    posts = stored_posts.outlines(tx)
    elsewhere = Site(url=url, published=lambda _: False)
    pages = {path for post in posts if (path := path_in(elsewhere, post.url)) is not None}
    pages.update(_paths(config, posts, *stored_posts.words(tx)))
    for one in config.newsletters:
        last = stored.next_number(tx, one.name) - 1
        pages.update(f"issues/{one.name}/{number}/" for number in range(1, last + 1))
    pages.add(f"issues/{issue.newsletter}/{issue.number}/")

    def published(path: str) -> bool:
        path = path.removesuffix("index.html")
        return path in pages or f"{path}/" in pages or _is_file(config, path)

    return Site(url=url, published=published)


def personal_of(config: Config) -> tuple[str, ...]:
    """Return what the addresses of readers' own pages begin with."""
    return (f"{config.web_url}u/", f"{config.web_url}p/")


def _paths(config: Config, posts: list[Post], tags: set[str], authors: set[str]) -> Iterator[str]:
    """Yield the pages and feeds that publishing makes of these posts, below the site's address."""
    yield from ("", "posts/", "feeds/", "feeds/feeds.opml")
    yield from (f"posts/{post.slug}/" for post in posts if post.own_page and post.slug)
    folders = [f"issues/{one.name}" for one in config.newsletters]
    folders += sorted({f"tags/{feeds.word_slug(tag)}" for tag in tags if tag.strip()})
    names = {feeds.word_slug(name) for name in authors if name.strip()}
    folders += [f"authors/{name}" for name in sorted(names)] if len(names) > 1 else []
    yield from (f"{folder}/" for folder in folders)
    told = [folder for folder in folders if config.feeds.tags or folder.startswith("issues/")]
    for folder in ("", *(f"{folder}/" for folder in told)):
        yield from (f"feeds/{folder}{form}{end}" for form in _FEEDS for end in ("", ".gz", ".br"))


def _is_file(config: Config, path: str) -> bool:
    """Tell whether a picture was kept, or a file that is not a post's page lies in the published folder."""
    parts = path.split("/")
    if ".." in parts or path.startswith("posts/"):  # a page may outlive its post until the next publishing
        return False
    try:
        there = config.public.joinpath(*parts)
        kept = parts[0] == "media" and len(parts) == 2 and (config.media / parts[1]).is_file()
        return kept or there.is_file() or (there / "index.html").is_file()
    except (OSError, ValueError):  # too long, or a NUL in it
        return False
