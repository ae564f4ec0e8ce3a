"""Subscriptions: import and export, leaving and coming back, and that nobody is ever revived."""

from __future__ import annotations

import csv
import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from newsletter import subscriptions, tokens
from newsletter.errors import InputError, TokenError
from newsletter.model import ConsentAct, Standing, SuppressionReason
from newsletter.store import Store, open_store, schema, subscribers
from newsletter.subscriptions import ImportReport, LineOutcome, Wish, table
from newsletter.subscriptions.row import Refused, Row
from newsletter.tokens import Purpose

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
KEYS: tokens.Keys = (("k1", b"k" * 32),)
KNOWN = ("daily", "weekly")
HEADER = "email,name,newsletters,language,timezone,status,consent_at,consent_source\n"


def bring(store: Store, folder: Path, text: str | bytes, **options: object) -> ImportReport:
    """Import a text as a file."""
    file = folder / "people.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    given: dict[str, object] = {"newsletters": KNOWN, "now": NOW, **options}
    return subscriptions.import_csv(store, file, **given)  # type: ignore[arg-type]  # options of each test


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.refused


def standings(store: Store) -> dict[tuple[str, str], str]:
    """Return every standing by address and newsletter."""
    return {(s.subscriber.address, s.newsletter): s.standing.value for s in subscriptions.listed(store)}


def everything(store: Store) -> dict[str, list[str]]:
    """Return every row of every table, to see that nothing changed."""
    with store.read() as tx:
        return {t.name: [str(r) for r in tx.execute(select(t))] for t in schema.METADATA.sorted_tables}


def token(store: Store, address: str, newsletter: str = "", purpose: Purpose = Purpose.UNSUBSCRIBE) -> str:
    with store.read() as tx:
        person = subscribers.find(tx, address)
    assert person is not None
    return tokens.make(KEYS, purpose, f"{person.id}.{newsletter}" if newsletter else str(person.id))


def add(store: Store, address: str, *newsletters: str) -> str:
    said = subscriptions.add(store, address, newsletters or ("weekly",), consent="said so", now=NOW)
    return said.outcome.value


# Import


def test_an_import_says_of_each_line_what_it_did(store: Store, tmp_path: Path) -> None:
    text = HEADER + (
        "ada@example.org,Ada,weekly,en-AU,Australia/Sydney,active,2026-01-05,web form\n"
        "Bob <bob@example.org>,Bob,weekly,,,active,2026-01-05,web form\n"
        "cy@example.org,Cy,daily weekly,,,,2026-01-05T10:00:00+01:00,fair\n"
        "\n"
        "dee@example.org,Dee,weekly,,,active,,\n"
        "eve@example.org,Eve,weekly,,,unsubscribed,,\n"
        "fay@example.org,Fay,,,,suppressed,,\n"
        "ADA@example.org,Ada L.,weekly,,,active,2026-01-05,web form\n"
        "ada@example.org,Ada L.,weekly,,,,,\n"
    )
    report = bring(store, tmp_path, text)
    assert counts(report) == (4, 1, 1, 2)
    said = {line.line: (line.outcome.value, line.why) for line in report.lines}
    assert set(said) == {3, 6, 8}
    assert said[3][0] == said[6][0] == "refused"
    assert "not an e-mail address" in said[3][1]
    assert "no consent is told" in said[6][1]
    assert standings(store) == {
        ("ada@example.org", "weekly"): "active",
        ("cy@example.org", "daily"): "active",
        ("cy@example.org", "weekly"): "active",
        ("eve@example.org", "weekly"): "unsubscribed",
    }
    again = bring(store, tmp_path, text)
    assert counts(again) == (0, 2, 4, 2), "Ada's name goes to and fro"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffemail;name;newsletters;consent_at;consent_source\r\nada@example.org;Ada, L.;weekly;2026-01-05;fair\r\n",
        'email,name,newsletters,consent_at,consent_source\n"ada@example.org","Ada, L.",weekly,2026-01-05,fair',
        ' Email , NAME ,newsletters,consent_at,consent_source\n ada@example.org ,"Ada, L.",weekly,2026-01-05,fair,,\n',
    ],
)
def test_what_spreadsheets_write_is_read(sqlite_store: Store, tmp_path: Path, text: str) -> None:
    assert counts(bring(sqlite_store, tmp_path, text)) == (1, 0, 0, 0)
    (one,) = subscriptions.listed(sqlite_store)
    assert (one.subscriber.address, one.subscriber.name) == ("ada@example.org", "Ada, L.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("e-mail,name\n", "Did you mean email"),
        ("email,newsleter\n", "Did you mean newsletters"),
        ("email,shoe size\n", "The columns are email"),
        ("name,status\n", "column email is missing"),
        ("email,name,name\n", "name stands there twice"),
        ("", "not known|missing"),
        ("email\n".encode("utf-16"), "UTF-16"),
        (b"email,n\xe4me\n", "not UTF-8"),
    ],
)
def test_a_wrong_header_says_which_and_what_to_do(
    sqlite_store: Store, tmp_path: Path, text: str | bytes, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        bring(sqlite_store, tmp_path, text)


BAD_LINES = [
    (b"\xff\xfe@example.org,,weekly,,,,2026-01-05,fair", "not UTF-8"),
    (b'"ada@example.org,,weekly,,,,2026-01-05,fair', "cut into cells"),
    (b"ada@example.org,a,b,c,d,e,f,g,h,i,j", "11 cells"),
    (b"ada@example.org,A\x00da,weekly,,,,2026-01-05,fair", "cannot be seen"),
    ("ada@example.org,A\u202eda,weekly,,,,2026-01-05,fair".encode(), "cannot be seen"),
    ("ada\u200b@example.org,Ada,weekly,,,,2026-01-05,fair".encode(), "cannot be seen"),
    (b"ada@example.org,Ada,wekly,,,,2026-01-05,fair", "Did you mean weekly"),
    (b"ada@example.org,Ada,weekly,english please,,,2026-01-05,fair", "language tag"),
    (b"ada@example.org,Ada,weekly,,Sydney,,2026-01-05,fair", "time zone"),
    (b"ada@example.org,Ada,weekly,,../../etc/passwd,,2026-01-05,fair", "time zone"),
    (b"ada@example.org,Ada,weekly,,,actve,2026-01-05,fair", "Did you mean active"),
    (b"ada@example.org,Ada,weekly,,,,5/1/2026,fair", "not a date"),
    (b"ada@example.org,Ada,weekly,,,,2027-01-05,fair", "future"),
    (b"ada@example.org,Ada,weekly,,,,2026-01-05,", "no consent"),
    (b"ada@example.org,Ada,,,,,2026-01-05,fair", "names no newsletter"),
    (b"ada@example.org\r,Ada,weekly,,,,2026-01-05,fair", "cannot be seen|cells"),
    (b"x" * 20_000, "longer than"),
    (b"@,,weekly,,,,2026-01-05,fair", "not an e-mail address"),
]


@pytest.mark.parametrize(("line", "said"), BAD_LINES)
def test_a_wrong_line_is_refused_and_stops_no_other(
    sqlite_store: Store, tmp_path: Path, line: bytes, said: str
) -> None:
    good = b"good%d@example.org,,weekly,,,,2026-01-05,fair\n"
    report = bring(sqlite_store, tmp_path, HEADER.encode() + good % 1 + line + b"\n" + good % 2)
    assert counts(report) == (2, 0, 0, 1)
    (refused,) = report.lines
    assert refused.line == 3
    assert re.search(said, refused.why), refused.why


def test_a_dry_run_reports_exactly_and_changes_nothing(store: Store, tmp_path: Path) -> None:
    add(store, "eve@example.org")
    before = everything(store)
    text = HEADER + "".join(
        f"p{n % 1500}@example.org,,weekly,,,{'suppressed' if n == 7 else ''},2026-01-05,fair\n"
        for n in range(2100)
    )
    planned = bring(store, tmp_path, text, dry_run=True)
    assert everything(store) == before
    assert planned.dry_run
    done = bring(store, tmp_path, text)
    assert counts(planned) == counts(done) == (1500, 0, 600, 0)
    assert planned.lines == done.lines


def test_consent_told_by_the_caller_is_noted(store: Store, tmp_path: Path) -> None:
    report = bring(store, tmp_path, "email\nada@example.org\n", to=["daily"], consent="Signed at the fair")
    assert counts(report) == (1, 0, 0, 0)
    record = subscriptions.show(store, "ADA@example.org")
    assert record is not None
    (line,) = record.consents
    assert (line.act, line.newsletter, line.channel) == (ConsentAct.IMPORTED, "daily", "import")
    assert line.detail == f"agreed {NOW.isoformat()}: Signed at the fair"


def test_the_only_newsletter_is_meant_by_rows_that_name_none(sqlite_store: Store, tmp_path: Path) -> None:
    bring(sqlite_store, tmp_path, "email\nada@example.org\n", newsletters=["weekly"], consent="fair")
    assert standings(sqlite_store) == {("ada@example.org", "weekly"): "active"}
    with pytest.raises(InputError, match="no newsletter 'hourly'"):
        bring(sqlite_store, tmp_path, "email\nada@example.org\n", to=["hourly"])


def test_every_line_is_told_though_the_report_keeps_few(sqlite_store: Store, tmp_path: Path) -> None:
    told: list[subscriptions.ImportLine] = []
    report = bring(sqlite_store, tmp_path, HEADER + "x\n" * 10_050, on_line=told.append)
    assert (len(told), len(report.lines), report.more, report.refused) == (10_050, 10_000, 50, 10_050)


def test_a_missing_file_says_so(sqlite_store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        subscriptions.import_csv(sqlite_store, tmp_path / "none.csv", newsletters=KNOWN, now=NOW)


def test_an_import_ends_what_a_person_left_and_what_waits(store: Store, tmp_path: Path) -> None:
    add(store, "ada@example.org")
    bring(store, tmp_path, HEADER + "ada@example.org,,weekly,,,unsubscribed,,\n", now=LATER)
    assert standings(store) == {("ada@example.org", "weekly"): "unsubscribed"}
    back = bring(store, tmp_path, HEADER + "ada@example.org,,weekly,,,active,2026-11-24,form\n", now=LATER)
    assert counts(back) == (0, 0, 1, 0)
    assert back.lines[0].why == "unsubscribed from weekly: only they can come back"


# Export


def test_an_export_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    text = HEADER + (
        "ada@example.org,=HYPERLINK(1),daily weekly,en-AU,Australia/Sydney,,2026-01-05,web form\n"
        "+bob@example.org,'=x,weekly,,,unsubscribed,,\n"
        "cy@example.org,Cy,weekly,,,pending,,\n"
        "dee@example.org,Dee,weekly,,,suppressed,,\n"
        'eve@example.org,"-1; drop",weekly,,,paused,2026-01-05,"he said ""yes"", twice"\n'
    )
    bring(store, tmp_path, text)
    out = tmp_path / "out.csv"
    assert subscriptions.export_csv(store, out) == 6
    assert out.stat().st_mode & 0o777 == 0o600
    with out.open(encoding="utf-8", newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
    with open_store(f"sqlite:///{tmp_path}/other/newsletter.db") as other:
        assert counts(bring(other, tmp_path, out.read_bytes())) == (6, 0, 0, 0)
        assert standings(other) == standings(store)
        again = tmp_path / "again.csv"
        subscriptions.export_csv(other, again)
        assert again.read_bytes() == out.read_bytes()


cells_text = st.text(
    st.one_of(st.characters(exclude_categories=["C", "Zl", "Zp"]), st.sampled_from("=+-@'\",; ")), max_size=20
).map(lambda text: text.strip(" "))


@given(
    st.lists(
        st.builds(
            Row,
            line=st.just(0),
            address=st.from_regex(r"[a-z0-9=+'-]{1,9}@[a-z]{1,9}\.example\.org", fullmatch=True),
            name=cells_text,
            newsletters=st.lists(st.sampled_from(KNOWN), unique=True).map(tuple),
            language=st.sampled_from(["", "en-AU", "nl"]),
            timezone=st.sampled_from(["", "UTC", "Australia/Sydney"]),
            standing=st.sampled_from(Standing),
            consent_at=st.none() | st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),
            consent_source=cells_text,
            paused_until=st.none() | st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),
        ),
        max_size=5,
    )
)
@example([Row(line=0, address="=a@x.example.org", name="'=1")])
def test_rows_come_back_from_their_lines_and_run_in_no_spreadsheet(rows: list[Row]) -> None:
    lines = list(table.write(rows))
    for cell in itertools.chain.from_iterable(csv.reader(lines)):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    back = list(table.read((line.encode() for line in lines), where="x"))
    assert [_unnumbered(row) for row in back] == rows


def _unnumbered(row: Row | Refused) -> Row | Refused:
    return replace(row, line=0)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_become_rows_or_refusals(lines: list[bytes]) -> None:
    for row in table.read([b"email,name,newsletters,status\n", *lines], where="x"):
        assert isinstance(row, Row | Refused)
        assert not isinstance(row, Refused) or row.why


# Addresses

local_parts = st.text("abcXYZ019.!#$%&'*+/=?^_`{|}~-\"@ (),:;<>[]\\é", min_size=1, max_size=70)
domains = st.sampled_from(
    [
        "example.org",
        "EXAMPLE.org",
        "bücher.example",
        "a-.org",
        "-a.org",
        "a..org",
        "org",
        "x.test",
        "localhost",
    ]
) | st.text("abc-.0é", min_size=1, max_size=20)


@given(local_parts, domains)
@example("a" * 64, "example.org")
@example("a" * 65, "example.org")
@example(".a", "example.org")
@example("a", "b" * 63 + "." + "c" * 63 + "." + "d" * 63 + "." + "e" * 57 + ".org")
@settings(max_examples=300)
def test_the_quick_way_judges_as_the_library_does(local: str, domain: str) -> None:
    address = f"{local}@{domain}"
    try:
        valid = validate_email(address, check_deliverability=False, test_environment=True)
        expected = valid.ascii_email or valid.normalized
    except EmailNotValidError:
        expected = ""
    try:
        assert subscriptions.normalise(address) == expected
    except InputError:
        assert not expected


@pytest.mark.parametrize(
    ("address", "stored"),
    [
        ("Ada@EXAMPLE.org", "Ada@example.org"),
        ("ada@bücher.example.org", "ada@xn--bcher-kva.example.org"),
        ("ada@example.org\r\nBcc: eve@example.org", None),
        ("ada\x00@example.org", None),
        ("ada\u202e@example.org", None),
        ("ada@example.org ", None),
        ("<ada@example.org>", None),
        ("", None),
    ],
)
def test_an_address_is_stored_in_one_spelling_or_refused(address: str, stored: str | None) -> None:
    if stored is None:
        with pytest.raises(InputError):
            subscriptions.normalise(address)
    else:
        assert subscriptions.normalise(address) == stored


# Adding, showing, erasing


def test_adding_notes_the_consent_and_revives_nobody(store: Store) -> None:
    assert add(store, "Ada@example.org", "daily", "weekly") == "added"
    assert add(store, "ada@EXAMPLE.org", "daily") == "unchanged"
    record = subscriptions.show(store, "ada@example.org")
    assert record is not None
    assert [(c.act, c.channel) for c in record.consents] == [(ConsentAct.IMPORTED, "command line")] * 2
    subscriptions.unsubscribe(
        store, KEYS, token(store, "ada@example.org", "daily"), channel="page", now=LATER
    )
    again = subscriptions.add(store, "ada@example.org", ["daily"], consent="oh, do", now=LATER)
    assert (again.outcome, again.why) == (
        LineOutcome.UNCHANGED,
        "unsubscribed from daily: only they can come back",
    )
    with pytest.raises(InputError, match="how and when"):
        subscriptions.add(store, "bob@example.org", ["daily"], consent=" ", now=NOW)
    with pytest.raises(InputError, match="not an e-mail address"):
        subscriptions.add(store, "bob", ["daily"], consent="yes", now=NOW)


def test_showing_one_person_shows_all_there_is(store: Store) -> None:
    assert subscriptions.show(store, "ada@example.org") is None
    add(store, "ada@example.org")
    with store.write() as tx:
        subscriptions.suppress(tx, "ada@example.org", SuppressionReason.COMPLAINT, now=LATER, note="ARF")
        subscriptions.suppress(tx, "bob@example.org", SuppressionReason.REQUEST, now=LATER)
    record = subscriptions.show(store, "Ada@example.org")
    assert record is not None
    assert [s.standing for s in record.subscriptions] == [Standing.SUPPRESSED]
    assert record.suppression is not None
    assert record.suppression.note == "ARF"
    bob = subscriptions.show(store, "bob@example.org")
    assert bob is not None
    assert (bob.subscriber.id, bob.subscriptions) == (0, ())
    assert subscriptions.verify(store).broken == ()


def test_an_erased_person_is_in_no_byte_of_the_store_and_stays_out(
    sqlite_store: Store, tmp_path: Path
) -> None:
    secret = "quite.unusual.address@example.org"
    people = "".join(f"p{n}@example.org,P{n},weekly,,,,2026-01-05,fair\n" for n in range(300))
    me = f"{secret},Quite Unusual,weekly,,,,2026-01-05,{secret} wrote\n"
    bring(sqlite_store, tmp_path, HEADER + people + me)
    subscriptions.unsubscribe(
        sqlite_store, KEYS, token(sqlite_store, secret, "weekly"), channel="page", now=NOW
    )
    (tmp_path / "people.csv").unlink()
    files = [file for file in (tmp_path / "store").iterdir() if file.is_file()]
    assert any(b"quite.unusual" in file.read_bytes() for file in files)
    assert subscriptions.forget(sqlite_store, secret.upper().replace("EXAMPLE", "example"), now=LATER)
    for file in (tmp_path / "store").iterdir():
        assert b"unusual" not in file.read_bytes().lower(), file
    assert not subscriptions.forget(sqlite_store, secret, now=LATER)
    report = bring(sqlite_store, tmp_path, HEADER + me, now=LATER)
    assert counts(report) == (0, 0, 1, 0)
    assert subscriptions.show(sqlite_store, secret).subscriber.id == 0  # type: ignore[union-attr]  # suppressed


# Leaving and coming back


def test_unsubscribing_is_at_once_and_idempotent(store: Store) -> None:
    add(store, "ada@example.org", "daily", "weekly")
    link = token(store, "ada@example.org", "weekly")
    first = subscriptions.unsubscribe(store, KEYS, link, channel="one-click", now=LATER)
    assert (first.before, first.after, first.changed) == (Standing.ACTIVE, Standing.UNSUBSCRIBED, True)
    before = everything(store)
    second = subscriptions.unsubscribe(store, KEYS, link.upper(), channel="one-click", now=LATER)
    assert not second.changed
    assert everything(store) == before
    assert standings(store)["ada@example.org", "daily"] == "active"
    assert subscriptions.look(store, KEYS, link).after is Standing.UNSUBSCRIBED


def test_undoing_brings_back_whoever_left_but_no_one_suppressed(store: Store) -> None:
    add(store, "ada@example.org")
    link = token(store, "ada@example.org", "weekly")
    subscriptions.unsubscribe(store, KEYS, link, channel="page", now=NOW)
    back = subscriptions.resubscribe(store, KEYS, link, channel="page", now=LATER, wording="Stay subscribed")
    assert back.after is Standing.ACTIVE
    record = subscriptions.show(store, "ada@example.org")
    assert record is not None
    assert [c.act for c in record.consents] == [
        ConsentAct.IMPORTED,
        ConsentAct.WITHDRAWN,
        ConsentAct.CONFIRMED,
    ]
    assert record.consents[-1].wording == "Stay subscribed"
    with store.write() as tx:
        subscriptions.suppress(tx, "ada@example.org", SuppressionReason.BOUNCE, now=LATER)
    assert not subscriptions.resubscribe(store, KEYS, link, channel="page", now=LATER).changed
    assert standings(store) == {("ada@example.org", "weekly"): "suppressed"}


def test_a_token_of_an_erased_person_changes_nothing(store: Store) -> None:
    add(store, "ada@example.org")
    link = token(store, "ada@example.org", "weekly")
    subscriptions.forget(store, "ada@example.org", now=NOW)
    before = everything(store)
    for act in (subscriptions.unsubscribe, subscriptions.resubscribe):
        assert act(store, KEYS, link, channel="page", now=LATER).after is None
    assert everything(store) == before


def test_a_forged_token_changes_nothing(sqlite_store: Store) -> None:
    add(sqlite_store, "ada@example.org")
    preferences = token(sqlite_store, "ada@example.org", "weekly", Purpose.PREFERENCES)
    for forged in (preferences, "k1.1.weekly." + "a" * 26, ""):
        with pytest.raises(TokenError):
            subscriptions.unsubscribe(sqlite_store, KEYS, forged, channel="page", now=NOW)


def test_preferences_show_and_change_each_newsletter(store: Store) -> None:
    add(store, "ada@example.org", "weekly")
    link = token(store, "ada@example.org", purpose=Purpose.PREFERENCES)
    person, mine, suppressed = subscriptions.preferences(store, KEYS, link)
    assert person is not None
    assert (person.address, list(mine), suppressed) == ("ada@example.org", ["weekly"], False)
    paused = subscriptions.ask(store, KEYS, link, "weekly", Wish.PAUSE, now=NOW)
    assert (paused.before, paused.after) == (Standing.ACTIVE, Standing.PAUSED)
    assert not subscriptions.ask(store, KEYS, link, "weekly", Wish.PAUSE, now=LATER).changed
    _, mine, _ = subscriptions.preferences(store, KEYS, link)
    assert mine["weekly"].paused_until == NOW + timedelta(weeks=4)
    assert subscriptions.ask(store, KEYS, link, "weekly", Wish.SUBSCRIBE, now=LATER).after is Standing.ACTIVE
    assert subscriptions.ask(store, KEYS, link, "daily", Wish.SUBSCRIBE, now=LATER).before is None
    subscriptions.ask(store, KEYS, link, "weekly", Wish.UNSUBSCRIBE, now=LATER)
    with pytest.raises(InputError, match="only an active"):
        subscriptions.ask(store, KEYS, link, "weekly", Wish.PAUSE, now=LATER)
    assert standings(store) == {
        ("ada@example.org", "daily"): "active",
        ("ada@example.org", "weekly"): "unsubscribed",
    }


def test_who_paused_may_pause_again_when_it_is_over(store: Store) -> None:
    add(store, "ada@example.org", "weekly")
    link = token(store, "ada@example.org", purpose=Purpose.PREFERENCES)
    subscriptions.ask(store, KEYS, link, "weekly", Wish.PAUSE, now=NOW)
    later = NOW + timedelta(weeks=5)
    again = subscriptions.ask(store, KEYS, link, "weekly", Wish.PAUSE, now=later)
    assert (again.before, again.after) == (Standing.ACTIVE, Standing.PAUSED)
    _, mine, _ = subscriptions.preferences(store, KEYS, link)
    assert mine["weekly"].paused_until == later + timedelta(weeks=4)


# Nobody is ever revived

PEOPLE = [f"{name}@example.org" for name in ("ada", "bob", "cy")]
_numbers = itertools.count()


@settings(
    max_examples=12, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow], deadline=None
)
class Coming(RuleBasedStateMachine):
    """Any order of imports, addings, leavings, suppressions, erasures and own returns."""

    left = Bundle("left")
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.store = open_store(f"sqlite:///{self.folder}/{next(_numbers)}.db")
        self.gone: set[tuple[str, str]] = set()  # left by themselves, may come back by themselves alone
        self.out: set[str] = set()  # suppressed or erased, for ever

    def teardown(self) -> None:
        assert subscriptions.verify(self.store).broken == ()
        self.store.close()

    @rule(
        rows=st.lists(
            st.tuples(
                st.sampled_from(PEOPLE),
                st.sampled_from(KNOWN),
                st.sampled_from([*Standing, ""]),
                st.booleans(),
            ),
            max_size=4,
        ),
        consent=st.sampled_from(["", "fair"]),
        dry=st.booleans(),
    )
    def bring_in(self, rows: list[tuple[str, str, str, bool]], consent: str, dry: bool) -> None:
        lines = [
            f"{p.upper() if loud else p},N,{n},,,{s},{'2026-01-05' if loud else ''},{'form' if loud else ''}\n"
            for p, n, s, loud in rows
        ]
        bring(self.store, self.folder, HEADER + "".join(lines), consent=consent, dry_run=dry)
        for person, newsletter, standing, _ in rows if not dry else []:
            if standing == Standing.SUPPRESSED:
                self.out.add(person)
            elif standing == Standing.UNSUBSCRIBED and person not in self.out:
                self.gone.add((person, newsletter))

    @rule(person=st.sampled_from(PEOPLE), newsletter=st.sampled_from(KNOWN))
    def add_one(self, person: str, newsletter: str) -> None:
        add(self.store, person, newsletter)

    @rule(target=left, person=st.sampled_from(PEOPLE), newsletter=st.sampled_from(KNOWN))
    def leave(self, person: str, newsletter: str) -> tuple[str, str, str]:
        with self.store.read() as tx:
            known = subscribers.find(tx, person)
        if known is None:
            return "", person, newsletter
        link = tokens.make(KEYS, Purpose.UNSUBSCRIBE, f"{known.id}.{newsletter}")
        subscriptions.unsubscribe(self.store, KEYS, link, channel="page", now=NOW)
        if person not in self.out:
            self.gone.add((person, newsletter))
        return link, person, newsletter

    @rule(one=left)
    def come_back(self, one: tuple[str, str, str]) -> None:
        link, person, newsletter = one
        if link and subscriptions.resubscribe(self.store, KEYS, link, channel="page", now=NOW).after:
            self.gone.discard((person, newsletter))

    @rule(person=st.sampled_from(PEOPLE))
    def suppress(self, person: str) -> None:
        with self.store.write() as tx:
            subscriptions.suppress(tx, person, SuppressionReason.BOUNCE, now=NOW)
        self.out.add(person)

    @rule(person=st.sampled_from(PEOPLE))
    def forget(self, person: str) -> None:
        if subscriptions.forget(self.store, person, now=NOW):
            self.out.add(person)

    @invariant()
    def nobody_is_revived(self) -> None:
        for one in subscriptions.listed(self.store):
            person = one.subscriber.address.lower()
            open_ = one.standing in (Standing.ACTIVE, Standing.PAUSED, Standing.PENDING)
            assert not (open_ and person in self.out)
            assert not (open_ and (person, one.newsletter) in self.gone)


def test_nobody_is_ever_revived(tmp_path: Path) -> None:
    Coming.folder = tmp_path
    run_state_machine_as_test(Coming)
