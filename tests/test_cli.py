"""The command line as a stranger meets it: the way that works, and each mistake as one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from newsletter.cli import main
from newsletter.templating import PACKAGED

#: Runs the program in a folder; returns exit status, standard output, standard error.
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `newsletter -p FOLDER …` in this process."""
    for name in ("NEWSLETTER_STORE__URL", "NEWSLETTER_SMTP__PASSWORD"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str, folder: Path = tmp_path / "letter") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["-p", str(folder), *arguments])
        said = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, said.out, said.err

    return call


@pytest.fixture
def letter(run: Run, tmp_path: Path) -> Path:
    """A publication fresh from `newsletter init`."""
    folder = tmp_path / "letter"
    status, _, err = run("init", str(folder), "--title", 'Zoë\'s "Letter"', "--timezone", "Europe/Brussels")
    assert (status, err) == (0, "")
    return folder


def change(folder: Path, old: str, new: str) -> None:
    """Change one text in newsletter.toml."""
    path = folder / "newsletter.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def post(folder: Path, name: str, **front: str) -> None:
    """Write a post."""
    lines = {"title": name, "date": "2026-01-05 09:00", **front}
    matter = "\n".join(f"{key}: {value}" for key, value in lines.items())
    (folder / "posts" / f"{name}.md").write_text(f"---\n{matter}\n---\n\nText of {name}.\n", encoding="utf-8")


def one_line(err: str) -> str:
    """Return the one line that was said."""
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    return lines[0]


def test_a_new_publication_works_at_once(run: Run, letter: Path) -> None:
    change(letter, "since = ", "# since = ")
    status, out, _ = run("gather")
    assert status == 0
    assert "1 new" in out
    assert run("publish")[0] == 0
    assert (letter / "public" / "index.html").exists()
    assert run("subscribers", "add", "reader@example.org", "--consent", "asked me on 3 May 2026")[0] == 0
    status, out, _ = run("issues", "compose")
    assert status == 0, out
    status, out, _ = run("issues", "deliver", "--json")
    assert status == 0, out
    report = json.loads(out)
    assert report["state"] == "finished"
    assert report["account"]["accepted"] == 1
    assert len(list((letter / "var" / "maildir" / "new").iterdir())) == 1
    status, out, _ = run("issues", "audit")
    assert status == 0
    assert "balances" in out
    assert "reader@example.org" in out


def test_composing_twice_sends_nothing_twice(run: Run, letter: Path) -> None:
    change(letter, "since = ", "# since = ")
    run("gather")
    run("subscribers", "add", "reader@example.org", "--consent", "asked")
    for _ in range(2):
        assert run("issues", "compose")[0] == 0
        assert run("issues", "deliver")[0] == 0
    assert len(list((letter / "var" / "maildir" / "new").iterdir())) == 1


def test_preview_changes_nothing(run: Run, letter: Path, tmp_path: Path) -> None:
    change(letter, "since = ", "# since = ")
    run("gather")
    status, out, err = run("issues", "preview", "-o", str(tmp_path / "seen"))
    assert (status, err) == (0, ""), out
    assert {p.name for p in (tmp_path / "seen").iterdir()} == {"digest.html", "digest.txt", "digest.eml"}
    assert json.loads(run("issues", "list", "--json")[1]) == {"issues": [], "overdue": []}


def test_a_preview_is_that_of_a_reader_and_shows_the_notices(run: Run, letter: Path, tmp_path: Path) -> None:
    change(letter, "since = ", "# since = ")
    run("gather")
    seen = tmp_path / "seen"
    someone = (
        "--to",
        "zoe@example.org",
        "--name",
        "Zoë",
        "--language",
        "fr-BE",
        "--timezone",
        "Europe/Brussels",
    )
    status, out, err = run("issues", "preview", "-o", str(seen), *someone, "--notices")
    assert (status, err) == (0, "")
    assert set(out.split()) == {str(path) for path in seen.iterdir()}
    kinds = ("digest", "confirmation", "welcome", "goodbye")
    assert {f"{kind}.{form}" for kind in kinds for form in ("html", "txt")} < {
        one.name for one in seen.iterdir()
    }
    assert "Se désabonner" in (seen / "digest.txt").read_text()
    assert "zoe@example.org" in (seen / "digest.html").read_text()
    assert "Bonjour Zoë," in (seen / "welcome.txt").read_text()


def test_templates_are_checked_with_the_configuration(
    run: Run, letter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = letter / "templates" / "digest" / "letter" / "digest.txt.j2"
    own.parent.mkdir(parents=True)
    own.write_text("Dear {{ reader.name|upper }}")
    status, out, _ = run("check", "config")
    assert status == 0
    assert "rendered alone" in out
    assert "digest/letter/digest.txt.j2:1" in out
    packaged = (PACKAGED / "digest" / "letter" / "digest.txt.j2").read_text(encoding="utf-8")
    own.write_text(packaged + "{% if reader.name|length > 90 %}.{% endif %}")
    change(letter, "since = ", "# since = ")
    run("gather")
    run("subscribers", "add", "reader@example.org", "--consent", "asked")
    out = run("issues", "compose")[1]
    assert "rendered alone" in out
    with caplog.at_level("WARNING"):
        assert run("issues", "deliver")[0] == 0
    assert "rendered alone, which is slow: 1 messages" in caplog.text
    own.write_text("Dear\n{{ reader.nme }}")
    status, out, _ = run("check", "config")
    assert status == 1
    assert "digest/letter/digest.txt.j2:2: a reader has no 'nme'" in out


def test_a_key_is_made_once_and_its_record_can_be_seen_again(run: Run, letter: Path) -> None:
    status, out, _ = run("dkim", "keygen")
    assert status == 0
    assert "newsletter._domainkey." in out
    assert "v=DKIM1; k=rsa; p=" in out
    assert "PRIVATE" not in out
    table = out[out.index("[[dkim]]") :]
    again = run("dkim", "keygen")
    assert again[0] == 2
    assert "never overwritten" in one_line(again[2])
    assert "no key is configured" in one_line(run("dkim", "record")[2])
    file = letter / "newsletter.toml"
    file.write_text(file.read_text() + "\n" + table)
    status, said, _ = run("dkim", "record", "--json")
    (record,) = json.loads(said)
    assert record["text"] in out
    strings = out[out.index("TXT ( ") :].split('"')[1::2]
    assert "".join(strings[:2]) == record["text"]
    assert all(len(one) <= 255 for one in strings)
    short = json.loads(run("dkim", "keygen", "--ed25519", "--selector", "e1", "--json")[1])
    assert short["text"].startswith("v=DKIM1; k=ed25519; p=")
    assert short["name"].startswith("e1._domainkey.")


def test_backup_and_restore(run: Run, letter: Path, tmp_path: Path) -> None:
    run("gather")
    run("subscribers", "add", "reader@example.org", "--consent", "asked")
    assert run("backup", str(tmp_path / "store.backup"))[0] == 0
    assert (tmp_path / "store.backup").stat().st_mode & 0o777 == 0o600
    for path in (letter / "var").glob("newsletter.db*"):
        path.unlink()
    assert run("restore", str(tmp_path / "store.backup"))[0] == 0
    assert "reader@example.org" in run("subscribers", "list")[1]
    status, _, err = run("restore", str(tmp_path / "store.backup"))
    assert status == 3
    assert "empty" in one_line(err)


def test_a_restored_store_delivers_only_by_the_editors_word(run: Run, letter: Path, tmp_path: Path) -> None:
    change(letter, "since = ", "# since = ")
    run("gather")
    run("subscribers", "add", "reader@example.org", "--consent", "asked")
    run("issues", "compose")
    run("backup", str(tmp_path / "store.backup"))
    for path in (letter / "var").glob("newsletter.db*"):
        path.unlink()
    run("restore", str(tmp_path / "store.backup"))
    status, _, err = run("issues", "deliver")
    assert status == 2
    assert "newsletter resume" in one_line(err)
    assert not (letter / "var" / "maildir").exists()
    assert run("resume", "--yes")[0] == 0
    assert run("issues", "deliver")[0] == 0
    assert len(list((letter / "var" / "maildir" / "new").iterdir())) == 1


def test_an_issue_that_needs_approval_waits_for_it(run: Run, letter: Path) -> None:
    change(letter, "since = ", "approval = true\n# since = ")
    run("gather")
    run("subscribers", "add", "reader@example.org", "--consent", "asked")
    run("issues", "compose")
    status, _, err = run("issues", "deliver")
    assert status == 2
    assert "issues approve weekly -n 1" in one_line(err)
    assert run("issues", "approve")[0] == 0
    assert run("issues", "hold", "--reason", "a doubt")[0] == 0
    assert "a doubt" in one_line(run("issues", "deliver")[2])
    assert run("issues", "approve")[0] == 0
    assert run("issues", "deliver")[0] == 0


def test_an_issue_that_breaks_a_rule_is_delivered_only_by_force_and_with_a_reason(
    run: Run, letter: Path
) -> None:
    change(letter, "since = ", "# since = ")
    packaged = (PACKAGED / "digest" / "letter" / "digest.html.j2").read_text(encoding="utf-8")
    own = letter / "templates" / "digest" / "letter" / "digest.html.j2"
    own.parent.mkdir(parents=True)
    own.write_text(
        packaged.replace('<td class="story', '<td style="float: left" class="story'), encoding="utf-8"
    )
    run("gather")
    run("subscribers", "add", "reader@example.org", "--consent", "asked")
    status, out, _ = run("check", "digest", "--json")
    (finding,) = json.loads(out)
    assert status == 1
    assert finding["post"]
    assert finding["rule"] == "float breaks in some mail programs"
    assert finding["place"].startswith("td “")
    assert finding["remedy"]
    assert run("issues", "compose")[0] == 0
    for command in (("issues", "deliver"), ("issues", "approve")):
        status, _, err = run(*command)
        assert status == 2
        assert "the digest breaks a rule: td “" in one_line(err)
        assert "newsletter check digest weekly -n 1" in err
    status, out, _ = run("check", "digest", "-n", "1")
    assert status == 1
    assert f" in “{finding['post']}”: error: float breaks" in out
    for wrong in (("--force",), ("--reason", "why"), ("--force", "--reason", "  ")):
        status, _, err = run("issues", "approve", *wrong)
        assert status == 2
        assert "go together" in one_line(err)
    assert "by force: it looks well" in run("issues", "approve", "--force", "--reason", "it looks well")[1]
    assert "forced: it looks well" in run("issues", "show")[1]
    assert run("issues", "deliver")[0] == 0
    assert json.loads(run("issues", "show", "--json")[1])["note"].endswith("forced: it looks well")
    assert "note: held: the digest breaks a rule" in run("issues", "show")[1]


def test_a_message_in_a_file_is_checked(run: Run, letter: Path, tmp_path: Path) -> None:
    change(letter, "since = ", "# since = ")
    run("gather")
    run("issues", "preview", "-o", str(tmp_path))
    file = tmp_path / "digest.eml"
    assert run("check", "digest", "--file", str(file))[0] == 0
    file.write_bytes(file.read_bytes().replace(b"auto-generated", b"no"))
    status, out, _ = run("check", "digest", "--file", str(file))
    assert status == 1
    assert f"{file}: Auto-Submitted: error: it is not auto-generated" in out


def test_an_issue_is_not_used_up_before_anybody_subscribed(run: Run, letter: Path) -> None:
    change(letter, "since = ", "# since = ")
    run("gather")
    run("issues", "compose")
    status, _, err = run("issues", "deliver")
    assert status == 2
    assert "nobody is subscribed" in one_line(err)
    run("subscribers", "add", "reader@example.org", "--consent", "asked")
    assert run("issues", "deliver")[0] == 0
    assert len(list((letter / "var" / "maildir" / "new").iterdir())) == 1


def test_what_a_post_lost_is_said(run: Run, letter: Path) -> None:
    (letter / "posts" / "picture.md").write_text(
        "---\ntitle: A picture\ndate: 2026-01-05 09:00\n---\n\n![A quay](missing.jpg)\n\nText.\n",
        encoding="utf-8",
    )
    status, out, _ = run("gather")
    assert status == 0
    assert "missing.jpg" in out


# A stranger's mistakes


def test_no_publication(run: Run, tmp_path: Path) -> None:
    status, _, err = run("gather", folder=tmp_path / "nowhere")
    assert status == 2
    assert "newsletter init" in one_line(err)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[publication]", "[publication", "not valid TOML"),
        ("contact = ", "kontact = ", "Did you mean contact?"),
        ('every = "week"', 'every = "fortnight"', "'fortnight' is not allowed"),
        ('timezone = "Europe/Brussels"', 'timezone = "Brussels"', "IANA"),
        ('at = "07:00"', 'at = "25:00"', "schedule.at"),
        ('transport = "maildir"', 'transport = "pigeon"', "Known: console, maildir, memory, smtp"),
    ],
)
def test_wrong_configuration(run: Run, letter: Path, old: str, new: str, said: str) -> None:
    change(letter, old, new)
    run_check = run("check", "config")
    assert run_check[0] in (1, 2)
    assert said in run_check[1] + run_check[2]
    assert len([line for line in (run_check[1] + run_check[2]).splitlines() if ": advice: " not in line]) == 1


def test_a_missing_smtp_server_loses_nothing(run: Run, letter: Path) -> None:
    change(letter, "since = ", "# since = ")
    change(letter, 'transport = "maildir"', 'transport = "smtp"')
    with (letter / "newsletter.toml").open("a") as file:
        file.write('\n[smtp]\nhost = "127.0.0.1"\nport = 9\nsecurity = "none"\n')
    run("gather")
    run("subscribers", "add", "reader@example.org", "--consent", "asked")
    run("issues", "compose")
    status, out, err = run("issues", "deliver")
    assert status == 3
    assert "127.0.0.1:9" in out + err
    status, out, _ = run("issues", "audit", "--json")
    account = json.loads(out)["audit"]["account"]
    assert (account["audience"], account["waiting"]) == (1, 1)


def test_no_smtp_host_is_said(run: Run, letter: Path) -> None:
    change(letter, 'transport = "maildir"', 'transport = "smtp"')
    status, out, err = run("check", "config")
    assert status in (1, 2)
    assert "smtp.host" in out + err


def test_an_unwritable_folder(run: Run, letter: Path) -> None:
    run("gather")
    (letter / "public").write_text("a file stands where the folder should be")
    status, _, err = run("publish")
    assert status == 3
    assert "public" in one_line(err)


def test_an_unwritable_store(run: Run, letter: Path) -> None:
    (letter / "var").write_text("a file stands where the folder should be")
    status, _, err = run("gather")
    assert status == 3
    assert "var" in one_line(err)


def test_a_bad_csv_line(run: Run, letter: Path, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(
        "email,name\nana@example.org,Ana\nnot an address,Bob\nzoe@example.org,Zoë\n", encoding="utf-8"
    )
    status, out, _ = run("subscribers", "import", str(file), "--newsletter", "weekly", "--consent", "asked")
    assert status == 2
    assert "2 added" in out
    assert "1 refused" in out
    assert "line 3" in out


def test_bad_posts_do_not_stop_the_rest(run: Run, letter: Path) -> None:
    post(letter, "good")
    post(letter, "unknown-key", titel="x")
    post(letter, "same-slug", slug="good")
    post(letter, "tomorrow", date="2999-01-01 09:00")
    post(letter, "no-date", date="")
    status, out, _ = run("gather")
    assert status == 0
    assert "new: good" in out
    assert "unknown-key.md:4" in out
    assert "title" in next(line for line in out.splitlines() if "unknown-key.md" in line)
    assert "same-slug.md" in out
    assert "held: tomorrow" in out
    assert "no-date.md" in out
    assert "3 quarantined" in out
    status, out, _ = run("gather", "--json")
    assert len(json.loads(out)[0]["quarantined"]) == 3


def test_init_overwrites_nothing(run: Run, letter: Path) -> None:
    status, _, err = run("init", str(letter))
    assert status == 2
    assert "already" in one_line(err)


def test_init_refuses_what_is_not_allowed_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    status, _, err = run("init", str(tmp_path / "x"), "--url", "htp:/x")
    assert status == 2
    assert "publication.url" in one_line(err)
    assert not list((tmp_path / "x").rglob("*.toml"))


def test_an_issue_of_a_newsletter_that_is_configured_no_longer_is_accounted_for(
    run: Run, letter: Path
) -> None:
    change(letter, "since = ", "# since = ")
    run("gather")
    assert run("issues", "compose")[0] == 0
    change(letter, 'name = "weekly"', 'name = "monthly"')
    for command in ("list", "show", "audit", "hold"):
        status, out, err = run("issues", command, "weekly")
        assert (status, bool(out), err) == (0, True, "")
    assert run("issues", "deliver", "weekly")[0] == 2


def test_unknown_newsletter_issue_and_person(run: Run, letter: Path) -> None:
    for arguments, said in (
        (("issues", "show", "daily"), "Known: weekly"),
        (("issues", "show"), "no issue yet"),
        (("subscribers", "show", "nobody@example.org"), "nobody is stored"),
        (("issues", "retry"), "--unknown"),
    ):
        status, _, err = run(*arguments)
        assert status == 2
        assert said in one_line(err)


def test_no_trace_reaches_the_user(run: Run, letter: Path) -> None:
    (letter / "newsletter.toml").write_bytes(b"\xff\xfe")
    status, _, err = run("gather")
    assert status == 2
    assert "UTF-8" in one_line(err)
