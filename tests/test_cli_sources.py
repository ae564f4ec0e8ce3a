"""`newsletter sources`: find, show, add, list and enable, against sites on loopback."""

from __future__ import annotations

import io
import json
import tomllib
from pathlib import Path

import pytest

from misbehaving import Misbehaving, response
from misbehaving import server as server
from newsletter.config.editing import add_source
from newsletter.errors import ConfigError
from test_cli import Run, one_line
from test_cli import letter as letter
from test_cli import run as run
from wordpress_site import Blog, error
from wordpress_site import blog as blog


@pytest.fixture
def home(letter: Path) -> Path:
    """A publication that may fetch from loopback."""
    path = letter / "newsletter.toml"
    path.write_text(path.read_text() + "\n# the end\n[gather]\nallow_private_addresses = true  # for tests\n")
    return letter


def sources_of(home: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = tomllib.loads((home / "newsletter.toml").read_text())["sources"]
    return found


def test_a_wordpress_site_is_found_shown_and_added(run: Run, home: Path, blog: Blog) -> None:
    for number in range(1, 8):
        blog.add(number)
    before = (home / "newsletter.toml").read_text()
    status, out, err = run("sources", "add", blog.url, "--name", "blog", "--yes")
    assert (status, err) == (0, "")
    assert f"wordpress at {blog.url}" in out
    assert "7 posts, 0 quarantined" in out
    assert "2026-01-01  Post 7" in out
    assert f"also found: feed at {blog.url}/feed/" in out
    assert sources_of(home)[-1] == {"name": "blog", "kind": "wordpress", "url": blog.url}
    after = (home / "newsletter.toml").read_text()
    assert [line for line in before.splitlines() if line not in after.splitlines()] == [], "comments stay"
    status, out, _ = run("gather", "--source", "blog")
    assert (status, "7 new" in out) == (0, True)
    status, out, _ = run("sources", "list")
    row = next(line for line in out.splitlines() if line.startswith("blog"))
    assert "wordpress" in row
    assert "\t0\t0\t" in row
    assert run("sources", "add", f"{blog.url}/")[0] == 2


def test_another_kind_may_be_taken_and_nothing_is_added_unasked(run: Run, home: Path, blog: Blog) -> None:
    blog.add(1)
    before = (home / "newsletter.toml").read_bytes()
    status, out, _ = run("sources", "add", blog.url, "--kind", "feed", "--json")
    told = json.loads(out)
    assert (status, told["added"]) == (0, False)
    assert told["look"]["source"]["url"] == f"{blog.url}/feed/"
    assert told["look"]["posts"][0]["title"] == "Post 1"
    assert (home / "newsletter.toml").read_bytes() == before
    status, _, err = run("sources", "add", blog.url, "--kind", "gopher")
    assert status == 2
    assert "Found: wordpress, feed" in one_line(err)
    status, _, err = run("sources", "add", blog.url, "--name", "Not a name")
    assert status == 2
    assert "a name of lower-case letters" in one_line(err)


@pytest.mark.parametrize(("answer", "added"), [("y\n", True), ("n\n", False), ("", False)])
def test_it_asks_before_it_adds(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, answer: str, added: bool
) -> None:
    (home / "old.xml").write_bytes(FEED)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    status, out, _ = run("sources", "add", "old.xml")
    assert "2026-01-01  One" in out
    assert "Add it to newsletter.toml?" in out
    assert status == (0 if answer else 130)
    assert (sources_of(home)[-1]["name"] == "old") is added


def test_what_cannot_be_read_is_not_added(run: Run, home: Path, blog: Blog) -> None:
    closed = error(401, "rest_login_required", "Log in first")
    blog.refuse = lambda path: closed if "wp/v2" in path else None
    status, out, _ = run("sources", "add", blog.url, "--yes")
    assert status == 3
    assert "it cannot be gathered" in out
    assert "also found: feed" in out
    assert len(sources_of(home)) == 1


FEED = (
    b"<feed xmlns='http://www.w3.org/2005/Atom'><title>F</title><entry><id>urn:1</id><title>One</title>"
    + (
        b"<updated>2026-01-01T00:00:00Z</updated><content>Text</content></entry><entry><title>Bad</title></entry></feed>"
    )
)
MISSING = response(b"<html>no</html>", status="404 Not Found")


def usual(server: Misbehaving) -> None:
    """Have nothing in all the usual places."""
    for path in ("feed/", "feed.xml", "atom.xml", "rss.xml", "index.xml", "feed.json", "sitemap.xml"):
        server.on(f"/{path}", MISSING)
    for path in ("/wp-json/", "/wp-sitemap.xml", "/"):
        server.on(path, MISSING)


@pytest.mark.parametrize("place", ["named", "usual", "itself"])
def test_a_feed_is_found_where_it_is_named_or_usual(
    run: Run, home: Path, server: Misbehaving, place: str
) -> None:
    usual(server)
    links = (
        b"<link rel='alternate' type='application/rss+xml' title='Comments' href='/comments/feed'>"
        b"<LINK REL='home Alternate' TYPE='application/atom+xml; charset=utf-8' HREF='posts.atom'>"
        b"<link rel=alternate hreflang=fr href=/fr>"
    )
    server.on("/", response(b"<html>" + links * (place == "named"), "Content-Type: text/html"))
    path = {"named": "/posts.atom", "usual": "/atom.xml", "itself": "/x"}[place]
    server.on(path, response(FEED, "Content-Type: text/plain"))
    server.on("/sitemap.xml", response(b"<urlset><url><loc>a</loc></url></urlset>"))
    target = server.url + ("/x" if place == "itself" else "/")
    status, out, err = run("sources", "add", target, "--yes")
    assert (status, err) == (0, "")
    assert f"feed at {server.url}{path}" in out
    assert "1 posts, 1 quarantined" in out
    assert "it has no date" in out
    if place != "itself":
        assert "sitemap.xml lists 1 pages" in out
    assert sources_of(home)[-1] == {"name": "source-127-0-0-1", "kind": "feed", "url": server.url + path}


def test_a_site_without_anything_says_so(run: Run, home: Path, server: Misbehaving) -> None:
    usual(server)
    server.on("/", response(b"<html>Hello</html>"))
    status, _, err = run("sources", "add", server.url, "--yes")
    assert status == 2
    assert "nothing to gather is found there" in one_line(err)
    assert run("sources", "add", "http://127.0.0.1:1/", "--yes")[0] == 3
    assert run("sources", "add", "http://user:secret@example.org/")[0] == 3


def test_files_and_folders_are_sources_too(run: Run, home: Path) -> None:
    (home / "more").mkdir()
    (home / "more" / "a.md").write_text("---\ntitle: A\ndate: 2026-01-01\n---\nText\n")
    (home / "old.xml").write_bytes(FEED)
    (home / "notes.bin").write_bytes(b"\x00\x01")
    assert run("sources", "add", "more", "--yes")[0] == 0
    assert run("sources", "add", str(home / "old.xml"), "--yes")[0] == 0
    assert sources_of(home)[-2:] == [
        {"name": "more", "kind": "markdown", "path": "more"},
        {"name": "old", "kind": "feed", "path": "old.xml"},
    ]
    for wrong, said in (
        ("notes.bin", "neither a feed"),
        ("nowhere", "no such file"),
        ("more", "a source already"),
    ):
        status, _, err = run("sources", "add", wrong, "--yes")
        assert status == 2
        assert said in one_line(err)
    assert run("gather")[0] == 0


def test_a_source_that_is_gone_is_shown_and_enabled(run: Run, home: Path, server: Misbehaving) -> None:
    url = server.on("/feed", response(FEED, 'ETag: "one"'))
    assert run("sources", "add", url, "--name", "far", "--yes")[0] == 0
    server.on("/feed", response(b"", status="410 Gone"))
    for _ in range(2):
        status, out, _ = run("gather", "--source", "far")
        assert (status, "gone for good" in out) == (3, True)
    asked = len(server.requests)
    one = next(one for one in json.loads(run("sources", "list", "--json")[1]) if one["name"] == "far")
    assert (one["failures"], one["next"], one["gathered"]) == (2, None, None)
    assert "410" in one["disabled"]
    assert "newsletter sources enable far" in run("sources", "list")[1]
    server.on("/feed", response(FEED, 'ETag: "one"'))
    assert "asked at the next gathering" in run("sources", "enable", "far")[1]
    assert "nothing stands against it" in run("sources", "enable", "far")[1]
    assert run("gather", "--source", "far")[0] == 0
    assert len(server.requests) == asked + 1
    one = next(one for one in json.loads(run("sources", "list", "--json")[1]) if one["name"] == "far")
    assert (one["failures"], one["disabled"], one["etag"], one["quarantined"]) == (0, "", '"one"', 1)
    assert one["gathered"] < one["next"]
    status, _, err = run("sources", "enable", "nobody")
    assert status == 2
    assert "Known: posts, far" in one_line(err)


TABLE = {"name": "new", "kind": "feed", "url": "https://example.org/"}


@pytest.mark.parametrize(
    "before",
    [
        "# only a comment\n",
        "\ufeffa = 1\r\n# Zoë\r\n[[sources]]\r\nname = 'x' # why\r\n\r\n[b]\r\n",
        'sources = [{name = "x", kind = "feed"}] # inline\n[b]\n',
        "sources = [\n  {name = 'x'}, # one\n]\n",
        "[[sources]]\nname = 'x'\n[sources.options]\nkey = 1 # one\n[[newsletters]]\nname = 'y'\n",
    ],
)
def test_a_source_is_all_that_is_added_to_the_file(tmp_path: Path, before: str) -> None:
    path = tmp_path / "newsletter.toml"
    path.write_bytes(before.encode())
    path.chmod(0o640)
    add_source(tmp_path, TABLE)
    after = path.read_bytes().decode("utf-8-sig")
    old = tomllib.loads(before.removeprefix("\ufeff"))
    assert tomllib.loads(after) == {**old, "sources": [*old.get("sources", []), TABLE]}
    for comment in ("# only a comment", "# Zoë", "# why", "# inline", "# one"):
        assert (comment in before) == (comment in after)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") == before.startswith("\ufeff")
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_changed_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be changed"):
        add_source(tmp_path, TABLE)
    (tmp_path / "newsletter.toml").write_text("sources = 3\n")
    with pytest.raises(ConfigError, match="could not be added") as caught:
        add_source(tmp_path, TABLE)
    assert "[[sources]]" in caught.value.remedy
