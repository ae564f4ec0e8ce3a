"""The ledger of consents: what it keeps, how one person's record is proved alone, and what expires."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update

from newsletter import subscriptions
from newsletter.cli import main
from newsletter.cli.output import jsonable
from newsletter.errors import InputError
from newsletter.model import Consent, ConsentAct
from newsletter.store import Store, consents, migrations, open_store, schema
from newsletter.subscriptions import check_proof

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=31)
WORDS = "Yes, send me the weekly letter.\nI can leave at any time."


def write(store: Store, *lines: Consent) -> None:
    with store.write() as tx:
        consents.append(tx, lines)


def confirmed(subscriber: int, **more: Any) -> Consent:
    given = {"newsletter": "weekly", "channel": "page", "wording": WORDS, "language": "en-AU", **more}
    return Consent(subscriber_id=subscriber, at=NOW, act=ConsentAct.CONFIRMED, **given)


def ada(store: Store) -> int:
    subscriptions.add(store, "ada@example.org", ["weekly"], consent="at the fair", now=NOW)
    record = subscriptions.show(store, "ada@example.org")
    assert record is not None
    return record.subscriber.id


def test_a_line_keeps_what_was_shown_and_each_wording_once(store: Store) -> None:
    line = confirmed(7, form="sign-up 3", token="k1.c.7")
    write(store, line, confirmed(8), confirmed(9, wording="Other words"))
    with store.read() as tx:
        (kept,) = consents.of(tx, 7)
        texts = tx.execute(select(schema.wordings.c.text)).scalars().all()
        assert consents.verify(tx).broken == ()
    assert (kept.wording, kept.language, kept.form, kept.token) == (WORDS, "en-AU", "sign-up 3", "k1.c.7")
    assert sorted(texts) == sorted([WORDS, "Other words"])


@pytest.mark.parametrize("column", ["language", "form", "token", "ip_seal"])
def test_what_came_later_is_in_the_chain_as_well(store: Store, column: str) -> None:
    write(store, confirmed(7, form="sign-up 3"), confirmed(8))
    with store.write() as tx:
        tx.execute(update(schema.consents).where(schema.consents.c.id == 1).values({column: "x"}))
        assert [number for number, _ in consents.verify(tx).broken] == [1]


def test_a_wording_that_is_changed_breaks_every_line_that_shows_it(store: Store) -> None:
    write(store, confirmed(7), confirmed(8, wording="Other words"), confirmed(9))
    with store.write() as tx:
        tx.execute(update(schema.wordings).where(schema.wordings.c.text == WORDS).values(text="Yes to all"))
        assert [number for number, _ in consents.verify(tx).broken] == [1, 3]


def test_an_ip_is_kept_only_with_an_end_and_its_end_breaks_nothing(store: Store) -> None:
    ends = NOW + timedelta(days=30)
    write(store, confirmed(7, ip="192.0.2.7", ip_until=ends), confirmed(8, ip="192.0.2.8"))
    with store.read() as tx:
        assert [consents.of(tx, n)[0].ip for n in (7, 8)] == ["192.0.2.7", ""]
    write(store, Consent(subscriber_id=9, at=LATER, act=ConsentAct.REQUESTED))
    with store.read() as tx:
        assert consents.of(tx, 7)[0].ip == ""
        assert tx.execute(select(func.count()).select_from(schema.consent_ips)).scalar() == 0
        assert consents.verify(tx).broken == ()


def test_a_proof_is_verified_by_ten_lines_that_know_nothing_of_us(store: Store) -> None:
    number = ada(store)
    write(store, confirmed(number, form="sign-up 3", ip="192.0.2.7", ip_until=LATER))
    proof = json.loads(json.dumps(jsonable(subscriptions.proof(store, "ADA@example.org", now=NOW))))
    assert [line["act"] for line in proof["lines"]] == ["imported", "confirmed"]
    assert proof["chain"]["head"] == proof["lines"][-1]["hash"]
    for line in proof["lines"]:
        at = datetime.fromisoformat(line["at"]).isoformat(timespec="microseconds")
        words = [line["previous"], proof["subscriber"], at, line["act"]]
        words += [line[name] for name in ("newsletter", "channel", "detail", "wording")]
        more = {name: line[name] for name in ("language", "form", "token", "ip_seal") if line[name]}
        listed = json.dumps([*words, more] if more else words)
        assert hashlib.sha256(listed.encode()).hexdigest() == line["hash"]
    sealed = proof["lines"][1]
    assert hashlib.sha256(f"{sealed['ip_salt']} {sealed['ip']}".encode()).hexdigest() == sealed["ip_seal"]
    assert check_proof(proof) == []


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "words": lambda p: p["lines"][0].update(detail="agreed to everything"),
    "wording": lambda p: p["lines"][1].update(wording="I agree to all"),
    "time": lambda p: p["lines"][1].update(at="2020-01-01T00:00:00Z"),
    "person": lambda p: p.update(subscriber=99),
    "ip": lambda p: p["lines"][1].update(ip="192.0.2.99"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_proof_that_was_changed_is_found(sqlite_store: Store, change: str) -> None:
    number = ada(sqlite_store)
    write(sqlite_store, confirmed(number, ip="192.0.2.7", ip_until=LATER))
    proof = jsonable(subscriptions.proof(sqlite_store, "ada@example.org", now=NOW))
    CHANGES[change](proof)
    assert check_proof(proof)


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_what_is_no_proof_says_so(document: Any) -> None:
    with pytest.raises(InputError):
        check_proof(document)
    with pytest.raises(InputError):
        check_proof({"format": "newsletter-consent-1", "subscriber": 1, "lines": [document]})


def test_nobody_has_no_proof(sqlite_store: Store) -> None:
    assert subscriptions.proof(sqlite_store, "nobody@example.org", now=NOW) is None


#: Tables that came after the chain's own.
NEWER = (
    *("pictures", "letters", "letter_limits", "api_idempotency", "api_keys", "api_failures", "webhooks"),
    *("webhook_events", "former_words", "limits", "address_changes", "former_addresses"),
)


def test_a_store_of_before_keeps_its_chain(sqlite_url: str) -> None:
    """Wordings stood in the lines themselves."""
    with open_store(sqlite_url) as store:
        write(store, confirmed(7, language=""), confirmed(8, language="", wording=""))
        with store.write() as tx:
            for statement in (
                "UPDATE consents SET wording = (SELECT text FROM wordings) WHERE id = 1",
                "DROP TABLE wordings",
                "DROP TABLE consent_ips",
                *(f"DROP TABLE {name}" for name in NEWER),
                *(f"ALTER TABLE consents DROP COLUMN {c}" for c in ("language", "form", "token", "ip_seal")),
                *(f"ALTER TABLE quarantine DROP COLUMN {c}" for c in ("mark", "ignored", "note")),
                "UPDATE alembic_version SET version_num = '0006'",
            ):
                tx.execute(text(statement))
    with open_store(sqlite_url) as store, store.read() as tx:
        assert migrations.stored_revision(tx) == migrations.HEAD
        assert consents.of(tx, 7)[0].wording == WORDS
        assert (consents.verify(tx).lines, consents.verify(tx).broken) == (2, ())


# The command line


@pytest.fixture
def run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Run the program in a new publication; return exit status and output."""
    monkeypatch.delenv("NEWSLETTER_STORE__URL", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as stopped:
            main(list(words))
        return stopped.value.code, capsys.readouterr().out

    call("init", ".")
    call("subscribers", "add", "ada@example.org", "--consent", "at the fair")
    return call


def test_the_first_broken_line_is_named(run: Callable[..., Any], tmp_path: Path) -> None:
    status, out = run("subscribers", "verify")
    assert (status, out.startswith("1 lines are whole")) == (0, True)
    run("subscribers", "add", "bob@example.org", "--consent", "at the fair")
    run("subscribers", "add", "cy@example.org", "--consent", "at the fair")
    with open_store(f"sqlite:///{tmp_path}/var/newsletter.db") as store, store.write() as tx:
        tx.execute(update(schema.consents).where(schema.consents.c.id > 1).values(detail="forged"))
    status, out = run("subscribers", "verify")
    assert (status, out) == (
        1,
        "line 2: its words are not those that were written. It is the first of 2 broken lines\n",
    )
    status, out = run("subscribers", "verify", "--json")
    assert (status, json.loads(out)["broken"][0][0]) == (1, 2)


def test_a_proof_goes_out_and_is_verified(run: Callable[..., Any], tmp_path: Path) -> None:
    status, out = run("subscribers", "show", "--proof", "ada@example.org")
    assert status == 0
    file = tmp_path / "ada.json"
    file.write_text(out, encoding="utf-8")
    assert run("subscribers", "verify", str(file)) == (0, f"{file}: every line is what was written.\n")
    file.write_text(out.replace("at the fair", "on our site"), encoding="utf-8")
    assert run("subscribers", "verify", str(file))[0] == 1
    file.write_text("[", encoding="utf-8")
    assert run("subscribers", "verify", str(file))[0] == 2
    assert run("subscribers", "show", "--proof", "nobody@example.org")[0] == 2
