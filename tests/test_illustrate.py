"""Pictures of other sites: copied once through the one client, retried after a rest, never in a post's way."""

from __future__ import annotations

import datetime as dt
import io
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from html import escape, unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from conftest import PublicationFactory
from gathering import HOUR, live, one
from newsletter.config import Config
from newsletter.content import Surroundings, from_html
from newsletter.illustrate import show
from newsletter.model import GatherReport, Image, Post
from newsletter.publisher import Publisher
from newsletter.store import Store
from newsletter.store import pictures as stored

NOW = dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC)


def photo(width: int = 1600, height: int = 900, kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    gradient = Pillow.linear_gradient("L").resize((width, height))
    other = Pillow.radial_gradient("L").resize((width, height))
    exif = Pillow.Exif()
    exif.get_ifd(0x8825)[2] = (50.0, 51.0, 0.0)
    exif[0x010F] = "A camera"
    Pillow.merge("RGB", (gradient, other, gradient)).save(out, kind, exif=exif)
    return out.getvalue()


class Site(ThreadingHTTPServer):
    """Serves what `files` hold, with an ETag; notes every request with the ETag that it carried."""

    daemon_threads = True

    def __init__(self) -> None:
        self.files: dict[str, bytes | int] = {}
        self.asked: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), Answering)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Site)
        etag = self.headers.get("If-None-Match")
        self.server.asked.append((self.path, etag))
        found = self.server.files.get(self.path, 404)
        own = f'"{hash(found)}"'
        status = found if isinstance(found, int) else 304 if etag == own else 200
        body = found if isinstance(found, bytes) and status == 200 else b""
        self.send_response(status)
        self.send_header("ETag", own)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture
def config(publication: PublicationFactory) -> Config:
    return publication(
        {
            "sources": [{"name": "feed", "kind": "feed", "path": "feed.xml"}],
            "gather": {"allow_private_addresses": True},
        }
    )


def feed(config: Config, **bodies: str) -> None:
    """Write a feed with one entry for each name."""
    entries = "".join(
        f"<entry><id>urn:{name}</id><title>{name}</title><link href='https://elsewhere.test/{name}'/>"
        f"<published>2026-11-01T09:00:00Z</published><updated>2026-11-01T09:00:00Z</updated>"
        f"<content type='html'>{escape(body)}</content></entry>"
        for name, body in bodies.items()
    )
    (config.folder / "feed.xml").write_text(
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>F</title><id>urn:f</id>'
        f"<updated>2026-01-01T00:00:00Z</updated>{entries}</feed>"
    )


def gather(store: Store, config: Config, now: dt.datetime = NOW) -> GatherReport:
    (report,) = Publisher(config, store).gather(now=now)
    return report


def figure(url: str, alt: str = "A harbour") -> str:
    return (
        f'<p>Text.</p><figure><img src="{escape(url)}" alt="{alt}"><figcaption>A caption '
        "(Photo: Ada)</figcaption></figure>"
    )


def test_a_picture_is_copied_and_shown_from_here(site: Site, config: Config, store: Store) -> None:
    site.files["/a.jpg?x=1&y='2'"] = photo()
    feed(config, first=figure(site.url("/a.jpg?x=1&y='2'")))
    report = gather(store, config)
    assert (report.new, report.notes) == (("first",), ())
    post = one(store)
    (image,) = post.images
    assert (image.width, image.height, image.alt) == (1200, 675, "A harbour")
    assert (image.caption, image.credit) == ("A caption", "Photo: Ada")
    assert image.src == f"{config.publication.url}media/{image.large}"
    assert f'<img src="{image.src}" alt="A harbour" width="1200" height="675"/>' in post.body_html
    assert "127.0.0.1" not in post.body_html
    assert post.updated == dt.datetime(2026, 11, 1, 9, tzinfo=dt.UTC)
    Publisher(config, store).publish(now=NOW)
    for name in (image.small, image.large):
        data = (config.public / "media" / name).read_bytes()
        assert b"camera" not in data
        with Pillow.open(io.BytesIO(data)) as picture:
            assert not picture.getexif()


def test_nothing_is_fetched_twice(site: Site, config: Config, store: Store) -> None:
    site.files |= {"/a.jpg": photo(), "/copy.jpg": photo()}
    both = figure(site.url("/a.jpg")) + figure(site.url("/a.jpg"))
    feed(config, first=both, second=figure(site.url("/a.jpg")), third=figure(site.url("/copy.jpg")))
    gather(store, config)
    assert sorted(site.asked) == [("/a.jpg", None), ("/copy.jpg", None)]
    assert len({image.large for post in live(store) for image in post.images}) == 1
    assert len(list(config.media.iterdir())) == 2
    gather(store, config, NOW + HOUR)
    feed(
        config,
        first=f"<p>Changed.</p>{both}",
        second=figure(site.url("/a.jpg")),
        third=figure(site.url("/copy.jpg")),
    )
    assert gather(store, config, NOW + 2 * HOUR).changed == ("first",)
    assert len(site.asked) == 2
    assert all(image.large for post in live(store) for image in post.images)
    feed(config, first=f"<p>Changed again.</p>{both}", second=figure(site.url("/a.jpg")))
    gather(store, config, NOW + dt.timedelta(days=3))
    path, etag = site.asked[-1]
    assert (len(site.asked), path) == (3, "/a.jpg")
    assert etag is not None
    assert all(image.large for post in live(store) for image in post.images)
    for path_ in config.media.iterdir():  # what was stored is lost: a 304 would bring nothing
        path_.unlink()
    feed(config, first=f"<p>Changed a third time.</p>{both}", second=figure(site.url("/a.jpg")))
    gather(store, config, NOW + dt.timedelta(days=3, hours=1))
    assert site.asked[-1] == ("/a.jpg", None)
    assert len(list(config.media.iterdir())) == 2


BROKEN: dict[str, tuple[bytes | int, str]] = {
    "gone": (404, "answered 404"),
    "busy": (503, "come later"),
    "text": (b"<html>No picture</html>", "not a JPEG"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>x()</script></svg>", "not a JPEG"),
    "cut": (photo()[:5000], "damaged"),
    "empty": (b"", "not a JPEG"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_bad_picture_stops_no_post_and_is_tried_again(
    site: Site, config: Config, store: Store, kind: str
) -> None:
    site.files |= {"/bad.jpg": BROKEN[kind][0], "/good.jpg": photo()}
    feed(config, first=figure(site.url("/bad.jpg")), second=figure(site.url("/good.jpg")))
    report = gather(store, config)
    assert len(report.new) == 2
    (note,) = report.notes
    assert note.startswith("urn:first: the picture http://127.0.0.1")
    assert BROKEN[kind][1] in note
    assert "tried again after 2026-11-0" in note
    first, second = sorted(live(store), key=lambda post: post.title)
    assert first.images[0].src == site.url("/bad.jpg")
    assert second.images[0].large
    before = len(site.asked)
    assert gather(store, config, NOW + dt.timedelta(minutes=5)).notes == ()
    assert len(site.asked) == before  # it rests
    site.files["/bad.jpg"] = photo(800, 600)
    assert gather(store, config, NOW + dt.timedelta(days=2)).notes == ()
    assert sorted(live(store), key=lambda post: post.title)[0].images[0].width == 800
    with store.read() as tx:
        assert stored.waiting(tx) == 0


def test_each_failure_rests_longer(site: Site, config: Config, store: Store) -> None:
    feed(config, first=figure(site.url("/none.jpg")))
    now, rests = NOW, []
    for _ in range(5):
        gather(store, config, now)
        with store.read() as tx:
            known = stored.remembered(tx, [site.url("/none.jpg")])[site.url("/none.jpg")]
        assert known.retry_at is not None
        rests.append((known.retry_at - now).days)
        now = known.retry_at
    assert rests == [1, 2, 4, 7, 7]
    assert len(site.asked) == 5


def test_a_host_that_does_not_answer_is_left_at_that(config: Config, store: Store) -> None:
    feed(config, first="".join(figure(f"http://127.0.0.1:9/{n}.jpg") for n in range(30)))
    report = gather(store, config)
    assert report.new == ("first",)
    assert report.notes[-1].endswith("pictures wait for the next gathering")
    assert 2 <= len(report.notes) <= 5


def test_what_is_not_public_is_not_asked(site: Site, publication: PublicationFactory, store: Store) -> None:
    config = publication({"sources": [{"name": "feed", "kind": "feed", "path": "feed.xml"}]})
    site.files["/a.jpg"] = photo()
    feed(config, first=figure(site.url("/a.jpg")))
    report = gather(store, config)
    assert "could not be copied" in report.notes[0]
    assert site.asked == []


def test_a_dry_run_fetches_nothing(site: Site, config: Config, store: Store) -> None:
    site.files["/a.jpg"] = photo()
    feed(config, first=figure(site.url("/a.jpg")))
    (report,) = Publisher(config, store).gather(now=NOW, dry_run=True)
    assert report.new == ("first",)
    assert site.asked == []
    assert not config.media.exists()


def test_a_picture_goes_when_no_post_shows_it(site: Site, config: Config, store: Store) -> None:
    from newsletter.identity import PostState
    from newsletter.store import posts

    site.files |= {"/a.jpg": photo(), "/b.jpg": photo(700, 500)}
    feed(
        config,
        first=figure(site.url("/a.jpg")),
        second=figure(site.url("/a.jpg")) + figure(site.url("/b.jpg")),
    )
    gather(store, config)
    publisher = Publisher(config, store)
    publisher.publish(now=NOW)
    seqs = {post.title: post.seq for post in live(store)}
    media = config.public / "media"
    assert len(list(media.iterdir())) == 4
    with store.write() as tx:
        posts.set_state(tx, seqs["second"], PostState.DELETED, now=NOW)
    publisher.publish(now=NOW + HOUR)
    assert len(list(media.iterdir())) == 2
    with store.write() as tx:
        posts.set_state(tx, seqs["first"], PostState.DELETED, now=NOW)
    publisher.publish(now=NOW + 2 * HOUR)
    assert not media.exists() or list(media.iterdir()) == []


def test_the_logo_is_published_without_what_is_attached_to_it(
    publication: PublicationFactory, store: Store
) -> None:
    config = publication({"publication": {"logo": "logo.jpg", "logo_alt": "A harbour"}})
    (config.folder / "logo.jpg").write_bytes(photo(400, 300))
    publisher = Publisher(config, store)
    publisher.publish(now=NOW)
    data = (config.public / "logo.jpg").read_bytes()
    assert b"camera" in photo(400, 300)
    assert b"camera" not in data
    with Pillow.open(io.BytesIO(data)) as picture:
        assert picture.size == (400, 300)
    assert publisher.publish(now=NOW).written == ()


def test_ctrl_c_ends_it_at_once_and_the_next_gathering_goes_on(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        feed(config, first="".join(figure(f"{url}/{n}.jpg") for n in range(10)))
        command = [sys.executable, "-m", "newsletter", "-p", str(config.folder), "gather"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            silent.settimeout(60)
            connection, _ = silent.accept()
            before = time.monotonic()
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=60)
            assert time.monotonic() - before < 8, said
            connection.close()
        assert process.returncode == 130
        assert said.strip() == "Stopped."
    with Publisher.open(config) as publisher:
        (report,) = publisher.gather(now=NOW)
        assert (report.new, report.unchanged) == ((), 1)
        assert "could not be copied" in report.notes[0]


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@given(alt=TEXTS, title=TEXTS, query=TEXTS)
def test_only_the_picture_changes_in_a_text(alt: str, title: str, query: str) -> None:
    from urllib.parse import quote

    url = f"https://a.test/x.jpg?{quote(query, safe='&=<>;')}"
    html = (
        f'<p>Before &lt;img src="{escape(url)}"&gt;</p><p><img src="{escape(url)}" alt="{escape(alt)}" '
        f'title="{escape(title)}"> and <img src="https://a.test/other.jpg" alt="{escape(alt)}"></p>'
    )
    content = from_html(html, Surroundings(base_url="https://a.test/"))
    post = Post(
        source="s",
        source_key="k",
        title="T",
        summary="",
        published=NOW,
        updated=NOW,
        body_html=content.html,
        images=content.images,
    )
    copy = Image(src="", width=12, height=8, small="s.jpg", large="l.jpg", media_type="image/jpeg")
    shown = show(post, {content.images[0].src: copy}, "https://own.test/media/")
    again = from_html(shown.body_html, Surroundings(base_url="https://a.test/"))
    assert again.html == shown.body_html
    assert [image.src for image in again.images] == [
        "https://own.test/media/l.jpg",
        "https://a.test/other.jpg",
    ]
    assert [image.alt for image in again.images] == [image.alt for image in content.images]
    assert unescape(shown.body_html).count(content.images[0].src) >= 1  # in the text it is a word, and stays
    assert show(shown, {content.images[0].src: copy}, "https://own.test/media/") == shown


def test_two_gatherings_at_once_fetch_once(site: Site, config: Config, sqlite_store: Store) -> None:
    site.files["/a.jpg"] = photo()
    feed(config, first=figure(site.url("/a.jpg")))
    gather(sqlite_store, config)
    with sqlite_store.lock("pictures") as mine:
        assert mine
        feed(config, first="<p>New.</p>" + figure(site.url("/a.jpg")))
        assert gather(sqlite_store, config, NOW + HOUR).changed == ("first",)
    assert len(site.asked) == 1
    gather(sqlite_store, config, NOW + 2 * HOUR)
    assert one(sqlite_store).images[0].large
    assert Path(config.media / one(sqlite_store).images[0].large).is_file()
