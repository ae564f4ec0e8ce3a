"""What came back is matched by our token, acts once, is recorded without names, and can be undone."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import insert, select, update

from faults.ground import NEWSLETTER, NOW, add_readers, issue_state, make_issue, reasons, states
from newsletter import digest, subscriptions, tokens
from newsletter.bounces import Letterhead, Office
from newsletter.errors import InputError
from newsletter.model import (
    Bounce,
    BounceDeed,
    BounceKind,
    DeliveryState,
    IssueState,
    Standing,
    SuppressionReason,
)
from newsletter.store import Store, consents, deliveries, schema, subscribers, suppressions
from returned import SENDER, complaint, dsn, letter

KEYS: tokens.Keys = (("new", b"n" * 32), ("old", b"o" * 32))
DAY = timedelta(days=1)


def office(store: Store) -> Office:
    """Return where reports are taken."""

    def leave(token: str, now: datetime) -> object:
        return subscriptions.unsubscribe(store, KEYS, token, channel="mailto", now=now)

    head = Letterhead(list_id="weekly.example.org", domain="harbour.example.org")
    return Office(store=store, keys=KEYS, heads={NEWSLETTER: head}, unsubscribe=leave)


def release(
    store: Store, *, number: int = 1, now: datetime = NOW, state: str = "accepted", reason: str = ""
) -> int:
    """Release an issue to everybody, and let its deliveries stand somewhere."""
    issue_id = make_issue(store, number=number)
    with store.write() as tx:
        deliveries.release(tx, issue_id, now=now)
        mine = schema.deliveries.c.issue_id == issue_id
        values = {"state": DeliveryState(state), "reason": reason, "changed_at": now}
        tx.execute(update(schema.deliveries).where(mine).values(values))
    return issue_id


def verp(issue_id: int, reader: int, keys: tokens.Keys = KEYS) -> str:
    """Return the envelope sender of a message."""
    return f"b+{tokens.make(keys, tokens.Purpose.BOUNCE, f'{issue_id}.{reader}')}@bounces.example.org"


def take(store: Store, raw: bytes, *, now: datetime = NOW, envelope: tuple[str, ...] = ()) -> Bounce:
    """Take one message."""
    return office(store).take(raw, now=now, envelope=envelope)


def standing(store: Store, reader: int) -> Standing:
    """Say how a reader stands."""
    with store.read() as tx:
        person = subscribers.by_id(tx, reader)
        assert person is not None
        return subscribers.subscriptions_of(tx, [person])[reader][NEWSLETTER].standing


def suppression(store: Store, address: str = "reader0@example.org") -> suppressions.Suppression | None:
    """Say why an address is suppressed."""
    with store.read() as tx:
        return suppressions.find(tx, [address]).get(address)


def test_a_hard_bounce_suppresses_at_once_and_only_once(store: Store) -> None:
    reader, other = add_readers(store, 2)
    issue_id = release(store)
    raw = dsn(to=verp(issue_id, reader))
    first = take(store, raw)
    assert (first.kind, first.deed, first.matched) == (BounceKind.HARD, BounceDeed.SUPPRESSED, "token")
    assert (first.issue_id, first.subscriber_id) == (issue_id, reader)
    found = suppression(store)
    assert found is not None
    assert found.reason is SuppressionReason.BOUNCE
    assert found.note == f"5.1.1 there is no such mailbox (bounces show {first.id})"
    assert (standing(store, reader), standing(store, other)) == (Standing.SUPPRESSED, Standing.ACTIVE)
    again = take(store, b"Received: from elsewhere\r\n" + raw)
    assert (again.id, again.recorded) == (first.id, False)
    later = take(store, dsn(to=verp(issue_id, reader), serial="2"))
    assert (later.deed, later.note) == (BounceDeed.NOTHING, "was suppressed before")
    assert len(office(store).listed()) == 2


def test_a_token_is_found_wherever_servers_leave_it(store: Store) -> None:
    ids = add_readers(store, 6)
    issue_id = release(store)
    plain = [f"reader{n}@example.org" for n in range(6)]
    old = verp(issue_id, ids[1], KEYS[1:]).upper()
    local = verp(issue_id, ids[2]).partition("@")[0]
    path = f"Return-Path: <{verp(issue_id, ids[4])}>".encode()
    kept = dsn(recipient=plain[4]).replace(f"Return-Path: <{SENDER}>".encode(), path)
    ways = [
        (dsn(recipient=plain[0]), (verp(issue_id, ids[0]),)),
        (b"Delivered-To: " + old.encode() + b"\r\n" + dsn(recipient=plain[1]), ()),
        (dsn(recipient=plain[2], envelope_id=local), ()),
        (
            dsn(recipient=plain[3], envelope_id=verp(issue_id, ids[3]).partition("@")[0].replace("+", "+2B")),
            (),
        ),
        (kept, ()),
        (complaint(mail_from=verp(issue_id, ids[5])), ()),
    ]
    found = [take(store, raw, envelope=envelope) for raw, envelope in ways]
    assert [one.subscriber_id for one in found] == ids
    assert [one.matched for one in found] == [
        "token",
        "token",
        "envelope id",
        "envelope id",
        "token",
        "token",
    ]
    assert {one.deed for one in found} == {BounceDeed.SUPPRESSED}


def test_who_knows_only_an_address_changes_nothing(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    issue_id = release(store)
    forged = f"b+new.{issue_id}.{reader}.{'a' * 26}@bounces.example.org"
    foreign = verp(issue_id, reader, (("new", b"x" * 32),))
    purpose = f"b+{tokens.make(KEYS, tokens.Purpose.UNSUBSCRIBE, f'{reader}.{NEWSLETTER}')}@x.example"
    for number, to in enumerate((SENDER, forged, foreign, purpose)):
        one = take(store, dsn(to=to, serial=str(number)))
        assert (one.matched, one.deed, one.subscriber_id) == ("recipient", BounceDeed.NOTHING, reader)
        assert one.forged is bool(number)
        assert one.note == "not matched by a token of ours: nothing follows"
    assert standing(store, reader) is Standing.ACTIVE


def test_a_message_id_shows_whose_it_was(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    issue_id = release(store, number=7)
    unique = digest.unique_part(digest.seed("weekly.example.org", 7, ""), reader)
    message_id = f"<7.{unique}@harbour.example.org>"
    known = take(store, dsn(message_id=message_id))
    assert (known.matched, known.issue_id, known.subscriber_id) == ("recipient", issue_id, reader)
    elsewhere = take(store, dsn(message_id=message_id, recipient="forwarded@example.net", serial="2"))
    assert (elsewhere.matched, elsewhere.issue_id, elsewhere.subscriber_id) == (
        "message-id",
        issue_id,
        reader,
    )
    assert elsewhere.deed is BounceDeed.NOTHING
    wrong = take(
        store, dsn(message_id=f"<7.{'0' * 24}@harbour.example.org>", recipient="x@example.net", serial="3")
    )
    assert (wrong.matched, wrong.issue_id) == ("", None)


@pytest.mark.parametrize(
    "raw",
    [
        partial(dsn, "5.7.1", "smtp; 550 5.7.1 Blocked as spam"),
        partial(dsn, "5.0.0", "smtp; 554 Not understood"),
        partial(dsn, "4.4.1", "", action="delayed"),
    ],
)
def test_what_is_ours_or_not_understood_never_acts(store: Store, raw: partial[bytes]) -> None:
    (reader,) = add_readers(store, 1)
    for number in range(4):
        issue_id = release(store, number=number + 1, now=NOW + number * 10 * DAY)
        one = take(store, raw(to=verp(issue_id, reader), serial=str(number)), now=NOW + number * 10 * DAY)
        assert one.deed is BounceDeed.NOTHING
    assert standing(store, reader) is Standing.ACTIVE


def test_a_disabled_mailbox_is_suppressed_by_its_second_issue(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    disabled = partial(dsn, "5.2.1", "smtp; 550 5.2.1 Disabled")
    first, second = release(store, number=1), release(store, number=2)
    deeds = [
        take(store, disabled(to=verp(issue, reader), serial=str(serial))).deed
        for serial, issue in enumerate((first, first, second))
    ]
    assert deeds == [BounceDeed.COUNTED, BounceDeed.COUNTED, BounceDeed.SUPPRESSED]


def soft(store: Store, reader: int, number: int, day: int, *, state: str = "accepted") -> Bounce:
    """Release an issue on a day and let it come back for a full mailbox."""
    issue_id = release(store, number=number, now=NOW + day * DAY, state=state)
    raw = dsn("5.2.2", "smtp; 552 5.2.2 Full", to=verp(issue_id, reader), serial=str(number))
    return take(store, raw, now=NOW + day * DAY)


@pytest.mark.parametrize(
    ("days", "deeds"),
    [((0, 7, 15), "ccs"), ((0, 7, 14), "ccc"), ((0, 1, 2, 15), "cccs"), ((0, 20), "cc")],
)
def test_three_issues_over_fifteen_days_suppress(store: Store, days: tuple[int, ...], deeds: str) -> None:
    (reader,) = add_readers(store, 1)
    found = [soft(store, reader, number, day).deed for number, day in enumerate(days, 1)]
    assert "".join(one.value[0] for one in found) == deeds
    assert (standing(store, reader) is Standing.SUPPRESSED) is ("s" in deeds)


def test_an_issue_that_arrived_between_ends_the_row(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    soft(store, reader, 1, 0)
    soft(store, reader, 2, 7)
    release(store, number=3, now=NOW + 14 * DAY)
    assert soft(store, reader, 4, 21).deed is BounceDeed.COUNTED
    release(store, number=5, now=NOW + 24 * DAY, state="suppressed")
    soft(store, reader, 6, 28)
    assert soft(store, reader, 7, 36).deed is BounceDeed.SUPPRESSED


def test_what_the_ledger_gave_up_counts_as_well(store: Store) -> None:
    reader, other = add_readers(store, 2)
    full = "expired: 452 4.2.2 mailbox full"
    release(store, number=1, state="refused", reason=full)
    release(store, number=2, now=NOW + 8 * DAY, state="refused", reason=full)
    with store.write() as tx:
        mine = schema.deliveries.c.subscriber_id == other
        tx.execute(update(schema.deliveries).where(mine).values(state=DeliveryState.ACCEPTED, reason=""))
    assert soft(store, reader, 3, 16).deed is BounceDeed.SUPPRESSED
    assert standing(store, other) is Standing.ACTIVE


def test_the_ledger_alone_is_swept(store: Store) -> None:
    reader, other = add_readers(store, 2)
    desk = office(store)
    assert desk.sweep(now=NOW) == []
    for number, reason in enumerate(("452 4.2.2 x", "552 5.2.2 y", "450 the mailbox is full"), 1):
        at = NOW + number * 8 * DAY
        issue_id = release(store, number=number, now=at, state="refused", reason=f"expired: {reason}")
        with store.write() as tx:
            done = {"state": IssueState.FINISHED, "finished_at": at}
            tx.execute(update(schema.issues).where(schema.issues.c.id == issue_id).values(done))
            someone = (schema.deliveries.c.subscriber_id == other, schema.deliveries.c.issue_id == issue_id)
            tx.execute(
                update(schema.deliveries).where(*someone).values(reason="expired: 450 4.2.0 greylisted")
            )
    (found,) = desk.sweep(now=NOW + 30 * DAY)
    assert (found.subscriber_id, found.matched, found.deed) == (reader, "ledger", BounceDeed.SUPPRESSED)
    assert (standing(store, reader), standing(store, other)) == (Standing.SUPPRESSED, Standing.ACTIVE)
    assert desk.sweep(now=NOW + 31 * DAY) == []


def test_a_complaint_suppresses_and_withdraws(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    issue_id = release(store)
    waiting = release(store, number=2, state="waiting")
    one = take(store, complaint(), envelope=(verp(issue_id, reader),))
    assert (one.kind, one.deed) == (BounceKind.COMPLAINT, BounceDeed.SUPPRESSED)
    found = suppression(store)
    assert found is not None
    assert found.reason is SuppressionReason.COMPLAINT
    assert states(store, waiting) == {reader: DeliveryState.SUPPRESSED}


@pytest.mark.parametrize("subject", [False, True])
def test_a_message_unsubscribes(store: Store, subject: bool) -> None:
    (reader,) = add_readers(store, 1)
    waiting = release(store, state="waiting")
    token = tokens.make(KEYS, tokens.Purpose.UNSUBSCRIBE, f"{reader}.{NEWSLETTER}")
    raw = letter(to="u@b.example", subject=token) if subject else letter(to=f"u+{token}@b.example")
    one = take(store, raw)
    assert (one.deed, one.matched) == (BounceDeed.UNSUBSCRIBED, "unsubscribe")
    assert standing(store, reader) is Standing.UNSUBSCRIBED
    assert states(store, waiting) == {reader: DeliveryState.SUPPRESSED}
    with store.read() as tx:
        assert [line.channel for line in consents.of(tx, reader)] == ["mailto"]
    assert take(store, raw).recorded is False


def test_a_forged_message_unsubscribes_nobody(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    token = tokens.make((("new", b"x" * 32),), tokens.Purpose.UNSUBSCRIBE, f"{reader}.{NEWSLETTER}")
    one = take(store, letter(to=f"u+{token}@b.example"))
    assert (one.deed, one.forged) == (BounceDeed.NOTHING, True)
    assert standing(store, reader) is Standing.ACTIVE


def test_an_automatic_reply_is_ignored(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    issue_id = release(store)
    raw = letter(to=verp(issue_id, reader), subject="Out of office")
    one = take(store, raw)
    assert (one.kind, one.deed, one.said) == (BounceKind.AUTO_REPLY, BounceDeed.NOTHING, "")


@pytest.mark.parametrize(("state", "presumed"), [("unknown", False), ("accepted", True)])
def test_a_report_settles_a_delivery_in_doubt(store: Store, state: str, presumed: bool) -> None:
    (reader,) = add_readers(store, 1)
    issue_id = release(store, state=state, reason="in doubt: silence")
    with store.write() as tx:
        tx.execute(update(schema.deliveries).values(presumed=presumed))
    one = take(store, dsn("5.7.1", "smtp; 550 5.7.1 Blocked", to=verp(issue_id, reader)))
    assert one.note == "settled a delivery in doubt"
    assert states(store, issue_id) == {reader: DeliveryState.ACCEPTED}
    said = "it had been accepted: a report came back (5.7.1)"
    assert reasons(store, issue_id) == {reader: said}
    with store.read() as tx:
        account = deliveries.account(tx, issue_id)
        assert (account.accepted, account.presumed, account.balances) == (1, 0, True)
        assert [line.text for line in deliveries.history(tx, issue_id)[reader]] == [said]
    assert issue_state(store, issue_id)[0] is IssueState.RELEASED


def test_a_bounce_of_an_address_that_was_changed_acts_on_nobody(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    issue_id = release(store)
    with store.write() as tx:
        values = {"address": "new@example.org", "address_key": "new@example.org"}
        tx.execute(update(schema.subscribers).values(values))
    one = take(store, dsn(to=verp(issue_id, reader)))
    assert (one.deed, one.note) == (BounceDeed.NOTHING, "the address has changed since")


def test_of_several_recipients_the_readers_own_counts(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    mine = b"Final-Recipient: rfc822; READER0@example.org\r\nAction: failed\r\nStatus: 5.2.2\r\n\r\n"
    raw = dsn(to=verp(release(store), reader), recipient="other@example.net")
    one = take(store, raw.replace(b"Final-Recipient", mine + b"Final-Recipient", 1))
    assert (one.kind, one.status, one.deed) == (BounceKind.SOFT, "5.2.2", BounceDeed.COUNTED)


def test_a_token_of_a_delivery_that_never_was_acts_on_nobody(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    one = take(store, dsn(to=verp(99, reader)))
    assert (one.deed, one.note) == (BounceDeed.NOTHING, "there is no such delivery")


def test_an_editor_undoes_a_mistake(store: Store) -> None:
    (reader,) = add_readers(store, 1, standing=Standing.ACTIVE)
    with store.write() as tx:
        row = {
            "subscriber_id": reader,
            "newsletter": "daily",
            "standing": Standing.UNSUBSCRIBED,
            "since": NOW,
        }
        tx.execute(insert(schema.subscriptions).values(row))
    issue_id = release(store)
    one = take(store, dsn(to=verp(issue_id, reader)))
    office(store).undo(one.id, now=NOW + DAY, reason="their server was broken")
    assert suppression(store) is None
    with store.read() as tx:
        person = subscribers.by_id(tx, reader)
        assert person is not None
        mine = subscribers.subscriptions_of(tx, [person])[reader]
        assert {name: s.standing for name, s in mine.items()} == {"weekly": "active", "daily": "unsubscribed"}
        assert "their server was broken" in consents.of(tx, reader)[-1].detail
        assert consents.verify(tx).broken == ()
    shown = office(store).show(one.id)
    assert (shown.deed, shown.note) == (BounceDeed.UNDONE, "undone by the editor: their server was broken")
    assert take(store, dsn(to=verp(issue_id, reader))).recorded is False
    assert standing(store, reader) is Standing.ACTIVE
    for number in (one.id, 99):
        with pytest.raises(InputError, match="suppresses nobody"):
            office(store).undo(number, now=NOW)


def test_after_an_undo_the_count_begins_anew(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    last = [soft(store, reader, number, number * 8) for number in (1, 2, 3)][-1]
    office(store).undo(last.id, now=NOW + 25 * DAY)
    deeds = [soft(store, reader, number, number * 8).deed for number in (4, 5, 6)]
    assert deeds == [BounceDeed.COUNTED, BounceDeed.COUNTED, BounceDeed.SUPPRESSED]


def test_an_undo_never_revives_who_asked_to_be_left_alone(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    issue_id = release(store)
    with store.write() as tx:
        subscribers.suppress(tx, "reader0@example.org", SuppressionReason.REQUEST, now=NOW)
    one = take(store, dsn(to=verp(issue_id, reader)))
    with pytest.raises(InputError):
        office(store).undo(one.id, now=NOW)
    assert suppression(store) is not None


def test_nothing_that_is_kept_names_anybody_and_erasure_removes_the_rest(store: Store) -> None:
    (reader,) = add_readers(store, 1)
    issue_id = release(store)
    said = "smtp; 550 5.1.1 <reader0@example.org> forwarded to other@example.net by Reader 0 is gone"
    one = take(store, dsn("5.1.1", said, to=verp(issue_id, reader)))
    assert one.said == "550 5.1.1 <…> forwarded to … by … is gone"
    with store.read() as tx:
        kept = repr(list(tx.execute(select(schema.bounces))))
    assert "@" not in kept
    record = subscriptions.show(store, "reader0@example.org")
    assert record is not None
    assert [found.id for found in record.bounces] == [one.id]
    with store.write() as tx:
        subscribers.erase(tx, "reader0@example.org", now=NOW, channel="test")
    shown = office(store).show(one.id)
    assert (shown.subscriber_id, shown.said, shown.note) == (None, "", "")
    assert take(store, dsn(to=verp(issue_id, reader), serial="2")).note == "the person is no longer stored"
