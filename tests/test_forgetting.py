"""Forgetting: afterwards a person's name and address are in no table and in no byte of the store's files."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert, select

from newsletter import letters, subscriptions
from newsletter.model import (
    Consent,
    ConsentAct,
    DeliveryState,
    IssueState,
    NoticeKind,
    Outcome,
    Stage,
    Subscriber,
    SuppressionReason,
)
from newsletter.store import Store, Tx, consents, schema, subscribers
from newsletter.store import letters as stored_letters
from newsletter.store.backup import backup
from newsletter.subscriptions import LineOutcome

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
ADDRESS, NAME, IP = "quite.unusual+tag@odd-domain.example.org", "Wilhelmina Unheard", "192.0.2.217"
SECRETS = (b"quite.unusual", b"odd-domain", b"wilhelmina", b"unheard", b"192.0.2.217")
FILE = (
    "email,name,newsletters,language,timezone,status,consent_at,consent_source,consent_wording\r\n"
    f'{ADDRESS},{NAME},daily weekly,en-AU,Australia/Sydney,active,2026-01-05,"{NAME} wrote from {ADDRESS}",Yes\r\n'
)


def fill(store: Store, folder: Path) -> None:
    """Put the person everywhere where the program puts people, among three hundred others."""
    people = "".join(f"p{n}@example.org,P{n},weekly,,,active,2026-01-05,fair,Yes\n" for n in range(300))
    bring(store, folder, FILE + people)
    with store.write() as tx:
        person = subscribers.find(tx, ADDRESS)
        assert person is not None
        for number in range(1, 5):
            deliver(tx, number, person)
        line = Consent(
            subscriber_id=person.id,
            at=NOW,
            act=ConsentAct.CONFIRMED,
            detail=f"from {ADDRESS}",
            token=f"k1.c.{person.id}",
            ip=IP,
            ip_until=LATER + timedelta(days=30),
        )
        consents.append(tx, [line])
        for kind, other in ((NoticeKind.LINK, ""), (NoticeKind.ADDRESS, f"new.{ADDRESS}")):
            assert letters.request(tx, kind, person, "weekly", now=NOW, address=other)
            stored_letters.release(tx, "weekly", frozen="", now=NOW)
        assert letters.request(tx, NoticeKind.GOODBYE, person, "weekly", now=NOW)
        assert letters.request(tx, NoticeKind.ADDRESS, person, "weekly", now=NOW, address=f"newer.{ADDRESS}")
        subscribers.suppress(
            tx, ADDRESS, SuppressionReason.COMPLAINT, now=NOW, note=f"{NAME}: {ADDRESS} wrote"
        )


def deliver(tx: Tx, number: int, person: Subscriber) -> None:
    """Store an issue with the person's delivery and an attempt that quotes them."""
    told = {"dated": NOW, "composed_at": NOW, "due": NOW, "state": IssueState.RELEASED}
    issue = {"newsletter": "weekly", "number": number, **told}
    added = tx.execute(insert(schema.issues).values(issue).returning(schema.issues.c.id)).scalar_one()
    states = (DeliveryState.WAITING, DeliveryState.ACCEPTED, DeliveryState.REFUSED, DeliveryState.UNKNOWN)
    row = {
        "issue_id": added,
        "subscriber_id": person.id,
        "address": person.address,
        "name": person.name,
        "state": states[number % 4],
        "reason": f"550 no mailbox of {NAME}",
        "changed_at": NOW,
    }
    tx.execute(insert(schema.deliveries).values(row))
    attempt = {
        "issue_id": added,
        "subscriber_id": person.id,
        "epoch": 1,
        "at": NOW,
        "stage": Stage.RCPT,
        "outcome": Outcome.REFUSED,
        "text": f"550 <{ADDRESS}> {NAME}",
    }
    tx.execute(insert(schema.attempts).values(attempt))


def bring(store: Store, folder: Path, text: str) -> subscriptions.ImportReport:
    """Import a text as a file."""
    file = folder / "people.csv"
    file.write_text(text, encoding="utf-8")
    report = subscriptions.import_csv(store, file, newsletters=["daily", "weekly"], now=NOW)
    file.unlink()
    return report


def found(content: bytes) -> list[bytes]:
    return [secret for secret in SECRETS if secret in content.lower()]


def in_tables(store: Store) -> set[str]:
    """Return the tables that hold anything of the person."""
    with store.read() as tx:
        return {
            table.name
            for table in schema.METADATA.sorted_tables
            for row in tx.execute(select(table))
            if found(repr(tuple(row)).encode())
        }


def test_no_table_holds_who_was_forgotten(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path)
    everywhere = {
        "subscribers",
        "consents",
        "consent_ips",
        "deliveries",
        "attempts",
        "suppressions",
        "letters",
    }
    assert in_tables(store) == everywhere
    assert subscriptions.forget(store, ADDRESS.replace("odd", "ODD"), now=LATER)
    assert in_tables(store) == set()
    chain = subscriptions.verify(store)
    assert (chain.broken, chain.erased) == ((), 5), "two imported, one confirmed, two withdrawn"
    backup(store, tmp_path / "after.zip")
    with zipfile.ZipFile(tmp_path / "after.zip") as archive:
        assert not [name for name in archive.namelist() if found(archive.read(name))]
    assert subscriptions.export_csv(store, tmp_path / "all.csv") == 300
    assert not found((tmp_path / "all.csv").read_bytes())


def test_no_byte_of_the_files_holds_who_was_forgotten(sqlite_store: Store, tmp_path: Path) -> None:
    fill(sqlite_store, tmp_path)
    held = {secret for file in (tmp_path / "store").iterdir() for secret in found(file.read_bytes())}
    assert held == set(SECRETS)
    assert subscriptions.forget(sqlite_store, ADDRESS, now=LATER)
    for file in (tmp_path / "store").iterdir():
        assert not found(file.read_bytes()), file


def test_who_was_forgotten_is_brought_back_by_no_file(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path)
    subscriptions.forget(store, ADDRESS, now=LATER)
    again = [
        FILE,
        FILE.replace("active", "suppressed"),
        FILE.replace("active", "unsubscribed"),
        f"Email Address,OPTIN_TIME,LEID\n{ADDRESS.upper()},2020-01-01 00:00:00,1\n",
        f"Email Address,CLEAN_TIME,LEID\n{ADDRESS},2020-01-01 00:00:00,1\n",
    ]
    for text in again:
        report = bring(store, tmp_path, text)
        assert (report.added, report.updated, report.unchanged) == (0, 0, 1), text
        assert in_tables(store) == set()
    said = subscriptions.add(store, ADDRESS, ["weekly"], consent="asked anew", now=LATER)
    assert (said.outcome, said.why) == (LineOutcome.UNCHANGED, "suppressed: never written to again")
    assert in_tables(store) == set()
