"""Reports arrive by Maildir, mbox, a pipe and LMTP: a crash or a failing store loses none, and none acts twice."""

from __future__ import annotations

import contextlib
import json
import os
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from conftest import PublicationFactory
from faults.ground import NEWSLETTER, NOW, add_readers, make_issue
from newsletter import daemon, tokens
from newsletter.bounces import LmtpServer, Office, read_maildir, read_mbox
from newsletter.config import Config
from newsletter.errors import OutsideError, StoreError
from newsletter.model import Bounce, BounceDeed, BounceKind, DeliveryState, Standing
from newsletter.publisher import Publisher
from newsletter.store import Store, deliveries, schema
from returned import dsn, letter
from test_bounces import office, release, standing, verp


def deliver(folder: Path, name: str, raw: bytes) -> None:
    """Put a message into a Maildir as an MTA does."""
    for one in ("tmp", "new", "cur"):
        (folder / one).mkdir(parents=True, exist_ok=True)
    (folder / "tmp" / name).write_bytes(raw)
    (folder / "tmp" / name).rename(folder / "new" / name)


def taker(desk: Office) -> Callable[[bytes], Bounce]:
    """Take messages at the fixed instant."""
    return lambda raw: desk.take(raw, now=NOW)


# Maildir


def test_a_maildir_is_taken_and_its_messages_are_moved(store: Store, tmp_path: Path) -> None:
    reader, other = add_readers(store, 2)
    issue_id = release(store)
    deliver(tmp_path / "mail", "1.a", dsn(to=verp(issue_id, reader)))
    deliver(tmp_path / "mail", "2.b", b"\xff\x00 no message at all")
    taken = read_maildir(tmp_path / "mail", taker(office(store)))
    assert (taken.new, taken.deeds[BounceDeed.SUPPRESSED], taken.again) == (2, 1, 0)
    assert list((tmp_path / "mail" / "new").iterdir()) == []
    assert sorted(one.name for one in (tmp_path / "mail" / "cur").iterdir()) == ["1.a:2,S", "2.b:2,S"]
    assert (standing(store, reader), standing(store, other)) == (Standing.SUPPRESSED, Standing.ACTIVE)
    assert read_maildir(tmp_path / "mail", taker(office(store))).new == 0


def test_a_crash_between_recording_and_moving_repeats_harmlessly(sqlite_store: Store, tmp_path: Path) -> None:
    (reader,) = add_readers(sqlite_store, 1)
    raw = dsn(to=verp(release(sqlite_store), reader))
    deliver(tmp_path / "mail", "1.a", raw)

    def take_and_die(raw: bytes) -> Bounce:
        taker(office(sqlite_store))(raw)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_maildir(tmp_path / "mail", take_and_die)
    assert [one.name for one in (tmp_path / "mail" / "new").iterdir()] == ["1.a"]
    taken = read_maildir(tmp_path / "mail", taker(office(sqlite_store)))
    assert (taken.new, taken.again) == (0, 1)
    assert len(office(sqlite_store).listed()) == 1


def test_a_store_that_fails_leaves_the_message_where_it_is(tmp_path: Path) -> None:
    deliver(tmp_path / "mail", "1.a", dsn())

    def fail(raw: bytes) -> Bounce:
        raise StoreError("locked")

    with pytest.raises(StoreError):
        read_maildir(tmp_path / "mail", fail)
    assert [one.name for one in (tmp_path / "mail" / "new").iterdir()] == ["1.a"]
    with pytest.raises(OutsideError, match="Maildir"):
        read_maildir(tmp_path / "nowhere", fail)


# mbox


def append(path: Path, *messages: bytes) -> None:
    """Append messages to an mbox as an MTA does."""
    with path.open("ab") as file:
        for raw in messages:
            quoted = raw.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ")
            file.write(b"From MAILER-DAEMON Mon Nov 23 12:00:00 2026\n" + quoted + b"\n\n")


def test_an_mbox_is_read_on_from_where_it_ended(store: Store, tmp_path: Path) -> None:
    ids = add_readers(store, 3)
    issue_id = release(store)
    raws = [
        dsn(to=verp(issue_id, one), recipient=f"reader{n}@example.org", serial=str(n))
        for n, one in enumerate(ids)
    ]
    path, seen = tmp_path / "mbox", list[bytes]()

    def take(raw: bytes) -> Bounce:
        seen.append(raw)
        return office(store).take(raw, now=NOW)

    append(path, raws[0] + b"From here on\r\n", raws[1])
    before = path.read_bytes()
    assert read_mbox(store, path, take).new == 2
    assert b"\nFrom here on\n" in seen[0]
    assert path.read_bytes() == before
    assert read_mbox(store, path, take).new == 0
    append(path, raws[2])
    assert read_mbox(store, path, take).new == 1
    assert len(seen) == 3, "nothing was read twice"
    path.write_bytes(before[:-40])
    assert read_mbox(store, path, take).again == 1, "a file that was cut is read again, harmlessly"
    assert {standing(store, one) for one in ids} == {Standing.SUPPRESSED}
    with pytest.raises(OutsideError, match="mbox"):
        read_mbox(store, tmp_path / "nowhere", take)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(
        st.lists(
            st.sampled_from([b"From x", b">From y", b">>From z", b"", b"text", b"\xff\x00"]), max_size=6
        ),
        min_size=1,
        max_size=5,
    )
)
def test_an_mbox_gives_back_what_was_put_in(
    sqlite_store: Store, tmp_path: Path, bodies: list[list[bytes]]
) -> None:
    path, seen = tmp_path / "mbox", list[bytes]()
    raws = [b"Subject: x\n\n" + b"\n".join([b"start", *lines, b"end"]) for lines in bodies]
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        for raw in raws:
            lines = [b">" + one if one.lstrip(b">").startswith(b"From ") else one for one in raw.split(b"\n")]
            file.write(b"From a\n" + b"\n".join(lines) + b"\n\n")

    def take(raw: bytes) -> Bounce:
        seen.append(raw)
        return Bounce(id=1, at=NOW, kind=BounceKind.UNCLASSIFIED)

    with sqlite_store.write() as tx:
        tx.execute(schema.meta.delete().where(schema.meta.c.key.startswith("bounces_mbox")))
    read_mbox(sqlite_store, path, take)
    assert [one.rstrip(b"\n") for one in seen] == raws


# A pipe


def pipe(config: Config, raw: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command as an MTA does."""
    command = [
        sys.executable,
        "-m",
        "newsletter",
        "-p",
        str(config.folder),
        "bounces",
        "read",
        "-",
        *arguments,
    ]
    return subprocess.run(command, input=raw, capture_output=True, timeout=120)


def audience(publisher: Publisher, reader: str = "reader0@example.org") -> tuple[int, int]:
    """Deliver an issue to one reader; return issue and reader."""
    (number,) = add_readers(publisher.store, 1, address=lambda _: reader)
    issue_id = make_issue(publisher.store)
    with publisher.store.write() as tx:
        deliveries.release(tx, issue_id, now=NOW)
        tx.execute(update(schema.deliveries).values(state=DeliveryState.ACCEPTED))
    return issue_id, number


def address(config: Config, purpose: tokens.Purpose, subject: str) -> str:
    """Make an address with a token of the publication."""
    return f"{purpose.value}+{tokens.make(config.token_keys(), purpose, subject)}@bounces.example.org"


def test_a_pipe_records_or_tells_the_mta_to_keep_it(publication: PublicationFactory) -> None:
    config = publication()
    with Publisher.open(config) as publisher:
        issue_id, reader = audience(publisher)
    to = address(config, tokens.Purpose.BOUNCE, f"{issue_id}.{reader}")
    done = pipe(config, dsn(), "--recipient", to)
    assert (done.returncode, done.stdout, done.stderr) == (os.EX_OK, b"", b"")
    assert pipe(config, b"").returncode == os.EX_OK
    with Publisher.open(config) as publisher:
        assert standing(publisher.store, reader) is Standing.SUPPRESSED
        assert [one.deed for one in publisher.bounces().listed()] == [
            BounceDeed.NOTHING,
            BounceDeed.SUPPRESSED,
        ]
    (config.folder / "newsletter.toml").write_text("[publication]\n")
    broken = pipe(config, dsn(serial="2"))
    assert broken.returncode == os.EX_TEMPFAIL
    assert b"keep it" in broken.stderr


def run(config: Config, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    command = [sys.executable, "-m", "newsletter", "-p", str(config.folder), "bounces", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_commands_show_and_undo(publication: PublicationFactory, tmp_path: Path) -> None:
    config = publication({"bounces": {"maildir": "mail"}})
    with Publisher.open(config) as publisher:
        issue_id, reader = audience(publisher)
    deliver(
        config.folder / "mail", "1.a", dsn(to=address(config, tokens.Purpose.BOUNCE, f"{issue_id}.{reader}"))
    )
    read = json.loads(run(config, "read", "--json").stdout)
    assert read == {"new": 1, "kinds": {"hard": 1}, "deeds": {"suppressed": 1}, "forged": 0, "again": 0}
    (one,) = json.loads(run(config, "list", "--json").stdout)
    assert (one["kind"], one["status"], one["deed"]) == ("hard", "5.1.1", "suppressed")
    assert json.loads(run(config, "list", "--kind", "soft", "--json").stdout) == []
    assert "reason: there is no such mailbox" in run(config, "show", str(one["id"])).stdout
    undone = run(config, "undo", str(one["id"]), "--reason", "a mistake")
    assert undone.stdout == "reader0@example.org is written to again.\n"
    assert run(config, "undo", str(one["id"])).returncode == 2
    assert run(config, "show", "77").returncode == 2


def test_classify_only_judges(tmp_path: Path) -> None:
    files = [tmp_path / "hard.eml", tmp_path / "odd.eml"]
    files[0].write_bytes(dsn())
    files[1].write_bytes(b"\xff\x00")
    command = [sys.executable, "-m", "newsletter", "-p", str(tmp_path), "bounces", "--classify", "--json"]
    done = subprocess.run(
        [*command, *map(str, files)], capture_output=True, text=True, timeout=120, check=True
    )
    hard, odd = map(json.loads, done.stdout.splitlines())
    assert hard == {
        "file": str(files[0]),
        "kind": "hard",
        "status": "5.1.1",
        "recipient": "reader0@example.org",
        "reason": "there is no such mailbox",
    }
    assert (odd["file"], odd["kind"]) == (str(files[1]), "unclassified")
    assert list(tmp_path.iterdir()) == files or set(tmp_path.iterdir()) == set(files), "no store was made"


# LMTP


class Taking:
    """Keeps what it is handed, or fails."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, list[str]]] = []
        self.fails = False

    def __call__(self, raw: bytes, envelope: Sequence[str]) -> None:
        if self.fails:
            raise StoreError("the disk is full")
        self.taken.append((raw, list(envelope)))


@pytest.fixture
def taking() -> Taking:
    """Give something that takes messages."""
    return Taking()


@pytest.fixture
def listener(taking: Taking) -> Iterator[LmtpServer]:
    """Run a listener."""
    with LmtpServer("127.0.0.1", 0, taking, command=20, message=20) as server:
        yield server


@contextlib.contextmanager
def session(server: LmtpServer, *commands: bytes) -> Iterator[tuple[socket.socket, Callable[[], str]]]:
    """Open a connection, say some lines, and read their replies."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        file = connection.makefile("rb")

        def reply() -> str:
            while (line := file.readline().decode().rstrip())[3:4] == "-":
                pass
            return line

        assert reply().startswith("220")
        for one in commands:
            connection.sendall(one + b"\r\n")
            assert reply()[0] in "23", one
        try:
            yield connection, reply
        finally:
            file.close()


BEGIN = (b"LHLO mta", b"MAIL FROM:<> BODY=8BITMIME")


def test_a_client_hands_over_a_message_for_several_recipients(listener: LmtpServer, taking: Taking) -> None:
    with session(listener, *BEGIN, b"RCPT TO:<b+x@y.example>", b"RCPT TO:<u@y.example>") as (
        connection,
        reply,
    ):
        connection.sendall(b"RCPT TO:<somebody@y.example>\r\n")
        assert reply().startswith("550 5.1.1")
        connection.sendall(b"DATA\r\n")
        assert reply().startswith("354")
        connection.sendall(b"..a\r\n..\r\nbare\n.\nline\r\n.\r\nQUIT\r\n")
        assert [reply()[:9], reply()[:9], reply()[:9]] == ["250 2.0.0", "250 2.0.0", "221 2.0.0"]
    assert taking.taken == [(b".a\r\n.\r\nbare\n.\nline\r\n", ["b+x@y.example", "u@y.example"])]


def test_the_standard_librarys_client_is_understood(listener: LmtpServer, taking: Taking) -> None:
    with smtplib.LMTP("127.0.0.1", listener.port, timeout=30) as client:
        refused = client.sendmail("", ["b+x@y.example", "other@y.example"], dsn())
        assert set(refused) == {"other@y.example"}
        client.sendmail("a@b.example", ["u+x@y.example"], letter(to="u+x@y.example"))
    assert [envelope for _, envelope in taking.taken] == [["b+x@y.example"], ["u+x@y.example"]]
    assert taking.taken[0][0].splitlines() == dsn().splitlines()


def test_what_cannot_be_recorded_stays_with_the_mta(listener: LmtpServer, taking: Taking) -> None:
    taking.fails = True
    with session(listener, *BEGIN, b"RCPT TO:<b+x@y>", b"RCPT TO:<u+x@y>", b"DATA") as (connection, reply):
        connection.sendall(b"text\r\n.\r\n")
        assert [reply()[:9], reply()[:9]] == ["451 4.3.0", "451 4.3.0"]
        taking.fails = False
        for one in (BEGIN[1], b"RCPT TO:<b+x@y>", b"DATA"):
            connection.sendall(one + b"\r\n")
            assert reply()[0] in "23"
        connection.sendall(b"text\r\n.\r\n")
        assert reply().startswith("250")


def test_sizes_and_lines_are_bounded(
    listener: LmtpServer, taking: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newsletter.bounces.lmtp.LARGEST", 100_000)
    with session(listener, b"LHLO x") as (connection, reply):
        connection.sendall(b"MAIL FROM:<> SIZE=100001\r\n")
        assert reply().startswith("552 5.3.4")
        connection.sendall(b"NOOP " + b"x" * 10_000 + b"\r\nNOOP\r\n")
        assert [reply()[:3], reply()[:3]] == ["500", "250"]
        for one in (BEGIN[1], b"RCPT TO:<b+x@y>", b"DATA"):
            connection.sendall(one + b"\r\n")
            assert reply()[0] in "23"
        connection.sendall(b"x" * 70 + b"\r\n")
        connection.sendall((b"x" * 70 + b"\r\n") * 4000 + b".\r\n")
        assert reply().startswith("552 5.3.4")
        connection.sendall(b"NOOP\r\n")
        assert reply().startswith("250")
    assert taking.taken == []


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"EHLO x", "500"),
        (b"MAIL FROM:<>", "503"),
        (b"RCPT TO:<b@x>", "503"),
        (b"DATA", "503"),
        (b"\xff\xfe", "500"),
        (b"VRFY b", "252"),
        (b"RSET", "250"),
    ],
)
def test_commands_out_of_place_are_refused(listener: LmtpServer, said: bytes, code: str) -> None:
    with session(listener) as (connection, reply):
        connection.sendall(said + b"\r\n")
        assert reply().startswith(code)


def test_who_is_slow_is_cut_off_and_others_are_served(taking: Taking) -> None:
    with LmtpServer("127.0.0.1", 0, taking, command=0.3, message=0.3) as server:
        with session(server, *BEGIN, b"RCPT TO:<b+x@y>", b"DATA") as (slow, _):
            with session(server) as (_, _):
                began = time.monotonic()
                slow.settimeout(30)
                with contextlib.suppress(OSError):
                    while time.monotonic() - began < 30:
                        slow.sendall(b"x")  # a drop at a time: the deadline is for the whole message
                        time.sleep(0.02)
                assert time.monotonic() - began < 25
    assert taking.taken == []


def test_closing_answers_what_is_being_recorded(taking: Taking) -> None:
    going, finish = threading.Event(), threading.Event()

    def take(raw: bytes, envelope: Sequence[str]) -> None:
        going.set()
        assert finish.wait(30)

    server = LmtpServer("127.0.0.1", 0, take)
    with session(server, *BEGIN, b"RCPT TO:<b+x@y>", b"DATA") as (connection, reply):
        connection.sendall(b"text\r\n.\r\n")
        assert going.wait(30)
        closing = threading.Thread(target=server.close, kwargs={"patience": 30.0})
        closing.start()
        finish.set()
        assert reply().startswith("250")
        closing.join(30)
    with pytest.raises(OSError, match=r".*"):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)


def test_a_port_that_is_taken_is_said(listener: LmtpServer, taking: Taking) -> None:
    with pytest.raises(OutsideError, match="cannot listen"):
        LmtpServer("127.0.0.1", listener.port, taking)


def test_the_daemon_listens_reads_and_acts(publication: PublicationFactory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = publication({"bounces": {"maildir": "mail", "lmtp": f"127.0.0.1:{port}", "every": "1s"}})
    stop = threading.Event()
    with Publisher.open(config) as publisher:
        issue_id, reader = audience(publisher)
        deliver(
            config.folder / "mail",
            "1.a",
            dsn(to=address(config, tokens.Purpose.BOUNCE, f"{issue_id}.{reader}")),
        )
        token = address(config, tokens.Purpose.UNSUBSCRIBE, f"{reader}.{NEWSLETTER}")
        answers: list[str] = []

        def hand_over(_port: int) -> None:
            with smtplib.LMTP("127.0.0.1", port, timeout=30) as client:
                client.sendmail("", [token], letter(to=token))
            answers.append("handed over")

        def watch() -> None:
            until = time.monotonic() + 60
            while time.monotonic() < until and len(publisher.bounces().listed()) < 2:
                time.sleep(0.1)
            stop.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        daemon.run(publisher, web=False, stop=stop, tick=timedelta(seconds=0.5), ready=hand_over)
        watcher.join()
        assert answers == ["handed over"]
        assert {one.matched for one in publisher.bounces().listed()} == {"token", "unsubscribe"}
        assert standing(publisher.store, reader) in (Standing.SUPPRESSED, Standing.UNSUBSCRIBED)
        assert publisher.bounces().listed()[0].at <= datetime.now(UTC)
