"""The CSV exports of other programs, read and written, and our own, which carries everything."""

from __future__ import annotations

import csv
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from newsletter import subscriptions
from newsletter.errors import InputError
from newsletter.model import Standing, SuppressionReason
from newsletter.store import Store, open_store, suppressions
from newsletter.subscriptions import FORMATS, ImportReport, table
from newsletter.subscriptions.row import Refused, Row

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KNOWN = ("daily", "weekly")
EXPORTS = Path(__file__).parent / "fixtures" / "subscribers"
PROGRAMS = {
    "subscribed_members_export.csv": "mailchimp",
    "unsubscribed_members_export.csv": "mailchimp",
    "cleaned_members_export.csv": "mailchimp",
    "subscribers.csv": "listmonk",
    "subscribers-unsubscribed.csv": "listmonk",
    "members.csv": "ghost",
    "email_list.example.csv": "substack",
    "buttondown-subscribers.csv": "buttondown",
}


def read(text: str | bytes, program: str = "") -> list[Row | Refused]:
    lines = (text.encode() if isinstance(text, str) else text).splitlines(keepends=True)
    return list(table.read(lines, where="x", program=program))


def row(text: str) -> Row:
    (one,) = read(text)
    assert isinstance(one, Row), one
    return one


def bring(store: Store, file: Path, **options: object) -> ImportReport:
    given: dict[str, object] = {"newsletters": KNOWN, "now": NOW, "to": ["weekly"], **options}
    return subscriptions.import_csv(store, file, **given)  # type: ignore[arg-type]  # options of each test


def standings(store: Store) -> dict[tuple[str, str], Standing]:
    return {(one.subscriber.address, one.newsletter): one.standing for one in subscriptions.listed(store)}


# Reading what others export


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_export_is_known_by_its_columns(store: Store, name: str) -> None:
    report = bring(store, EXPORTS / name, consent="signed up")
    assert (report.format, report.refused) == (PROGRAMS[name], 0)
    assert report.added == sum(isinstance(one, Row) for one in read((EXPORTS / name).read_bytes()))


def test_mailchimp_tells_how_and_when_people_agreed(store: Store) -> None:
    report = bring(store, EXPORTS / "subscribed_members_export.csv", keep_ip=timedelta(days=30))
    assert (report.added, report.refused) == (2, 1)
    ada = subscriptions.show(store, "ada@example.org")
    assert ada is not None
    (line,) = ada.consents
    assert line.detail == (
        "agreed 2024-03-02T09:16:40+00:00: confirmed (Mailchimp export: "
        "OPTIN_TIME 2024-03-02 09:14:05, CONFIRM_TIME 2024-03-02 09:16:40)"
    )
    assert (line.ip, line.ip_until) == ("192.0.2.7", NOW + timedelta(days=30))
    assert (ada.subscriber.name, ada.subscriber.timezone) == ("Ada Lovelace", "Europe/London")
    assert [(one.line, one.address) for one in report.lines] == [(5, "carol@example.org")]


def test_an_ip_is_not_kept_unless_it_is_asked_for(store: Store) -> None:
    bring(store, EXPORTS / "subscribed_members_export.csv", wording="Yes, weekly", wording_language="en")
    record = subscriptions.show(store, "ada@example.org")
    assert record is not None
    assert [(line.ip, line.wording, line.language) for line in record.consents] == [("", "Yes, weekly", "en")]


def test_who_left_or_bounced_elsewhere_stays_out_whatever_comes_later(store: Store) -> None:
    for name in ("unsubscribed_members_export.csv", "cleaned_members_export.csv"):
        bring(store, EXPORTS / name)
    bring(store, EXPORTS / "buttondown-subscribers.csv", consent="confirmed")
    assert standings(store) == {
        ("ada@example.org", "weekly"): Standing.ACTIVE,
        ("bob@example.org", "weekly"): Standing.ACTIVE,
        ("dave@example.org", "weekly"): Standing.UNSUBSCRIBED,
    }
    with store.read() as tx:
        gone = {one.address: one.reason for one in suppressions.every(tx)}
    assert gone == {
        "erin@example.org": SuppressionReason.COMPLAINT,
        "gone@example.org": SuppressionReason.BOUNCE,
    }
    dave = subscriptions.show(store, "dave@example.org")
    assert dave is not None
    assert dave.subscriptions[0].since == datetime(2025, 6, 1, 12, tzinfo=UTC)
    assert [line.act.value for line in dave.consents] == ["imported", "withdrawn"]


def test_who_was_active_here_ends_when_a_file_says_so(store: Store, tmp_path: Path) -> None:
    bring(store, EXPORTS / "subscribers.csv", consent="double opt-in")
    assert standings(store)["bob@example.org", "weekly"] is Standing.ACTIVE
    left = bring(store, EXPORTS / "subscribers-unsubscribed.csv", standing=Standing.UNSUBSCRIBED)
    assert (left.updated, standings(store)["bob@example.org", "weekly"]) == (1, Standing.UNSUBSCRIBED)
    file = tmp_path / "more.csv"
    file.write_text("email,email_disabled,created_at\nada@example.org,false,\ngone@example.org,false,\n")
    assert bring(store, file, standing=Standing.SUPPRESSED, consent="x").unchanged == 1
    assert standings(store)["ada@example.org", "weekly"] is Standing.SUPPRESSED


def test_tags_stand_for_newsletters(store: Store) -> None:
    tags = {"Weekly": "weekly", "Founding reader": "daily"}
    bring(store, EXPORTS / "members.csv", consent="Ghost's link", tags=tags, to=["daily"])
    assert set(standings(store)) == {
        ("ada@example.org", "weekly"),
        ("ada@example.org", "daily"),
        ("bob@example.org", "daily"),
        ("dave@example.org", "daily"),
    }
    with pytest.raises(InputError, match="Did you mean weekly"):
        bring(store, EXPORTS / "members.csv", tags={"Weekly": "wekly"})


def test_people_may_belong_to_several_newsletters(store: Store) -> None:
    bring(store, EXPORTS / "email_list.example.csv", consent="x", to=["daily", "weekly"])
    assert len(standings(store)) == 6


GO = "email,uuid,attributes,status,created_at\na@example.org,1,{},enabled,"
WHENS = [
    (GO + "2024-03-02 09:14:05.123456 +0000 UTC", "2024-03-02T09:14:05.123456+00:00"),
    (GO + "2024-03-02 09:14:05.123456789 +1100 AEDT", "2024-03-01T22:14:05.123456+00:00"),
    (GO + "2024-03-02 09:14:05 +0530 +0530", "2024-03-02T03:44:05+00:00"),
    (
        "email,email_disabled,created_at\na@example.org,false,2024-03-02T09:14:05.000Z",
        "2024-03-02T09:14:05+00:00",
    ),
    ("Email,Type,Start date,Name\na@example.org,Free,2024-03-02,A", "2024-03-02T00:00:00+00:00"),
    ("Email,Subscription date,Tags\na@example.org,2024-03-02,", "2024-03-02T00:00:00+00:00"),
]


@pytest.mark.parametrize(("text", "when"), WHENS)
def test_times_are_read_as_each_program_writes_them(text: str, when: str) -> None:
    assert row(text).consent_at == datetime.fromisoformat(when)


REFUSED = [
    ("Email Address,LEID,OPTIN_TIME\na@example.org,1,13/2/2024\n", "not a date"),
    ("Email Address,LEID,Status\na@example.org,1,Non-Subscribed\n", "never agreed"),
    ("Email Address,LEID,Status\na@example.org,1,mystery\n", "status 'mystery' is not known"),
    ("email,subscribed_to_emails\na@example.org,\n", "neither true nor false"),
    ("email,attributes,status\na@example.org,{,enabled\n", "not JSON"),
    ("email,attributes,status\na@example.org,{},asleep\n", "'asleep' is not known"),
    ("email_address,type\na@example.org,novel\n", "'novel' is not known"),
    ("email_address,type\n,regular\n", "not an e-mail address"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_what_an_export_does_not_say_is_refused_not_guessed(text: str, why: str) -> None:
    (one,) = read(text)
    assert isinstance(one, Refused)
    assert why in one.why


def test_an_unknown_zone_refuses_nobody() -> None:
    one = row("Email Address,LEID,TIMEZONE\na@example.org,1,Mars/Olympus\n")
    assert (one.timezone, one.note) == ("", "'Mars/Olympus' is not an IANA time zone, so it was left out")


def test_a_program_that_is_asked_for_must_be_the_one() -> None:
    with pytest.raises(InputError, match="no column of a Ghost export"):
        read("email,name\n", "ghost")
    with pytest.raises(InputError, match="'uuid' is not known"):
        read("uuid,email,attributes\n", "newsletter")


@pytest.mark.parametrize(
    ("name", "standing"), [("unsubscribed_x.csv", "unsubscribed"), ("cleaned_x.csv", "suppressed")]
)
def test_the_name_of_a_mailchimp_file_is_heeded(
    sqlite_store: Store, tmp_path: Path, name: str, standing: str
) -> None:
    text = "Email Address,OPTIN_TIME,LEID\na@example.org,2020-01-01 00:00:00,1\n"
    (tmp_path / name).write_text(text)
    bring(sqlite_store, tmp_path / name)
    record = subscriptions.show(sqlite_store, "a@example.org")
    assert record is not None
    assert [one.standing.value for one in record.subscriptions] in ([standing], [])
    assert bool(record.suppression) is (standing == "suppressed")
    (tmp_path / "nonsubscribed_x.csv").write_text(text)
    with pytest.raises(InputError, match="never agreed"):
        bring(sqlite_store, tmp_path / "nonsubscribed_x.csv")


def test_a_cell_may_reach_over_lines_and_a_stray_quote_spoils_its_own_line_alone() -> None:
    text = 'email,subscribed_to_emails,note\na@example.org,true,"two\r\nlines"\n'
    text += 'b@example.org,true,"\nc@example.org,true,x\n'
    one, two, three = read(text)
    assert [one.line, two.line, three.line] == [2, 4, 5]
    assert [type(each) for each in (one, two, three)] == [Row, Refused, Row]


# Writing what others import


@pytest.mark.parametrize("program", FORMATS)
@pytest.mark.parametrize("standing", [Standing.ACTIVE, Standing.UNSUBSCRIBED, Standing.SUPPRESSED])
def test_what_is_written_for_a_program_reads_as_its_own_export(
    store: Store, tmp_path: Path, program: str, standing: Standing
) -> None:
    for name in (
        "unsubscribed_members_export.csv",
        "cleaned_members_export.csv",
        "subscribed_members_export.csv",
    ):
        bring(store, EXPORTS / name)
    out = tmp_path / "out.csv"
    count = subscriptions.export_csv(store, out, program=program, standing=standing)
    assert count == {Standing.ACTIVE: 2, Standing.UNSUBSCRIBED: 1, Standing.SUPPRESSED: 2}[standing]
    rows = read(out.read_bytes())
    header, _ = table.read_with(out.read_bytes().splitlines(keepends=True), where="x")
    assert header.format is FORMATS[program]
    can_tell = {"listmonk": {Standing.ACTIVE, Standing.SUPPRESSED}}.get(program, {standing})
    left_alone = program in ("ghost", "substack") and standing is Standing.SUPPRESSED
    for one in rows:
        assert isinstance(one, Row)
        if standing in can_tell and not left_alone:
            assert one.standing is standing
        elif left_alone:
            assert one.standing is Standing.UNSUBSCRIBED
    if standing is Standing.ACTIVE:
        assert [one.address for one in rows] == ["ada@example.org", "bob@example.org"]
        assert {one.consent_at for one in rows if isinstance(one, Row)} >= {
            datetime(2024, 3, 2, 9, 16, 40, tzinfo=UTC)
        }


# Our own format carries everything

HOSTILE = st.text(
    st.one_of(st.characters(exclude_categories=["C", "Z"]), st.sampled_from("=+-@'\",;| ")), max_size=16
).map(lambda text: text.strip(" "))
WORDING = st.text(
    st.one_of(st.characters(exclude_categories=["C", "Z"]), st.sampled_from("=\n\t ,'\"")), max_size=40
)
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))
PEOPLE = st.lists(
    st.builds(
        Row,
        line=st.just(0),
        address=st.from_regex(r"[a-z0-9=+'-]{1,6}@[a-z]{1,6}\.example\.org", fullmatch=True),
        name=HOSTILE,
        newsletters=st.sampled_from([("daily",), ("weekly",)]),
        language=st.sampled_from(["", "en-AU", "nl"]),
        timezone=st.sampled_from(["", "UTC", "Australia/Sydney"]),
        standing=st.sampled_from(Standing),
        since=INSTANTS,
        reason=st.sampled_from([SuppressionReason.BOUNCE, SuppressionReason.COMPLAINT]),
        consent_at=INSTANTS,
        consent_source=HOSTILE.filter(bool),
        consent_wording=WORDING.map(lambda text: text.strip(" ")),
        consent_language=st.sampled_from(["", "en"]),
        paused_until=st.none() | INSTANTS,
    ),
    max_size=6,
    unique_by=lambda one: one.address.lower(),
)
_numbers = itertools.count()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(PEOPLE)
@example([Row(line=0, address="=a@x.example.org", name="@SUM(1)", newsletters=("daily",), consent_wording="=\n-",
              since=NOW, consent_at=NOW, consent_source="+1")])  # fmt: skip
def test_everything_comes_back_from_a_file_of_ours(tmp_path: Path, people: list[Row]) -> None:
    folder = tmp_path / str(next(_numbers))
    folder.mkdir()
    (folder / "in.csv").write_text("".join(table.write(people)), encoding="utf-8", newline="")
    with open_store(f"sqlite:///{folder}/a.db") as one, open_store(f"sqlite:///{folder}/b.db") as other:
        report = bring(one, folder / "in.csv")
        assert (report.refused, report.added) == (0, len(people)), report.lines
        subscriptions.export_csv(one, folder / "first.csv")
        bring(other, folder / "first.csv")
        subscriptions.export_csv(other, folder / "second.csv")
        assert standings(one) == standings(other)
        assert bring(one, folder / "second.csv").unchanged == len(people)
    first = (folder / "first.csv").read_bytes()
    assert first == (folder / "second.csv").read_bytes()
    with (folder / "first.csv").open(encoding="utf-8", newline="") as stream:
        for cell in itertools.chain.from_iterable(csv.reader(stream)):
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    told = {one.address: one for one in people}
    for back in read(first):
        assert isinstance(back, Row)
        sent = told[back.address]
        for name in (
            "name",
            "standing",
            "since",
            "consent_at",
            "consent_source",
            "consent_wording",
            "language",
        ):
            assert getattr(back, name) == getattr(sent, name), name


def test_the_order_is_that_of_addresses_on_every_database(store: Store, tmp_path: Path) -> None:
    names = ["b-c", "B.d", "a_b", "a-b", "ab", "Ab2", "_x", "é1"]
    text = "email,newsletters\n" + "".join(f"{name}@example.org,weekly daily\n" for name in names)
    (tmp_path / "in.csv").write_text(text, encoding="utf-8")
    bring(store, tmp_path / "in.csv", consent="fair")
    subscriptions.export_csv(store, tmp_path / "out.csv")
    found = [(one.address.casefold(), one.newsletters[0]) for one in read((tmp_path / "out.csv").read_bytes())
             if isinstance(one, Row)]  # fmt: skip
    assert found == sorted(found)
    assert len(found) == 2 * len(names)


def test_suppressions_keep_their_reason_and_their_newsletters(store: Store, tmp_path: Path) -> None:
    text = (
        "email,name,newsletters,status,reason,consent_at,consent_source\n"
        "a@example.org,A,daily weekly,suppressed,complaint,2026-01-05,fair\n"
        "b@example.org,,,bounced,,,\n"
    )
    (tmp_path / "in.csv").write_text(text)
    assert bring(store, tmp_path / "in.csv").added == 2
    subscriptions.export_csv(store, tmp_path / "out.csv")
    found = [(one.address, one.newsletters, one.reason.value) for one in read((tmp_path / "out.csv").read_bytes())
             if isinstance(one, Row)]  # fmt: skip
    assert found == [
        ("a@example.org", ("daily",), "complaint"),
        ("a@example.org", ("weekly",), "complaint"),
        ("b@example.org", (), "bounce"),
    ]
