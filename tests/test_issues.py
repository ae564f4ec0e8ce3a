"""Issues from posts to frozen bytes: one transaction, once a slot, explained, held when a rule is broken."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from letters import ANN, HARBOUR, post
from newsletter import digest, issues, templating
from newsletter.checks.digest import check_message
from newsletter.compose import Verdict
from newsletter.config import Config
from newsletter.errors import ConfigError, InputError, TemplateError
from newsletter.identity import PostState
from newsletter.issues import LONGEST
from newsletter.model import (
    ContentNote,
    Correction,
    Issue,
    IssueState,
    Placement,
    Post,
    Reader,
    Slot,
    SlotState,
)
from newsletter.store import Store, deliveries
from newsletter.store import issues as stored
from newsletter.store import posts as stored_posts
from newsletter.subscriptions.address import LONGEST_NAME, name_of, normalise

SLOT = Slot(newsletter="weekly", due=datetime(2026, 11, 22, 20, 0, tzinfo=UTC))
NEXT = replace(SLOT, due=SLOT.due + timedelta(days=7))
Publication = Callable[..., Config]


def put(store: Store, *new: Post) -> None:
    with store.write() as tx:
        filed = [stored_posts.Filed(one, PostState.LIVE, f"{one.seq}") for one in new]
        stored_posts.add(tx, filed, now=datetime(2026, 11, 20, tzinfo=UTC))


def change(store: Store, *new: Post) -> None:
    with store.write() as tx:
        stored_posts.change(tx, [stored_posts.Filed(one, PostState.LIVE, f"{one.seq}") for one in new])


def site(publication: Publication, **newsletter: Any) -> Config:
    one = {
        "name": "weekly",
        "title": "The Harbour Weekly",
        "schedule": {"every": "week", "on": ["monday"], "at": "07:00", "timezone": "Australia/Sydney"},
        "sender": "weekly@harbour.example.org",
    }
    config = publication({"newsletters": [one | newsletter]})
    keep_picture(config)
    return config


def keep_picture(config: Config) -> None:
    """Keep the posts' picture, as gathering does."""
    config.media.mkdir(parents=True, exist_ok=True)
    (config.media / str(HARBOUR.large)).write_bytes(b"a picture")


def break_rule(config: Config) -> None:
    """Give the publication a template of its own whose stories float."""
    own = config.templates / "digest" / "letter" / "digest.html.j2"
    own.parent.mkdir(parents=True, exist_ok=True)
    packaged = (templating.PACKAGED / "digest" / "letter" / "digest.html.j2").read_text()
    own.write_text(packaged.replace('<td class="story', '<td style="float: left" class="story'))


POSTS = (post(1, "Old news"), post(2, "Cranes move", images=(HARBOUR,)), post(3, "Ships wait"))


def compose(store: Store, config: Config, now: datetime, slot: Slot = SLOT) -> issues.Composition:
    return issues.compose(store, config, config.newsletter("weekly"), slot, now=now)


def test_composing_freezes_an_issue_and_again_returns_it(
    store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication)
    put(store, *POSTS)
    made = compose(store, config, now)
    assert made.fresh
    assert made.issue is not None
    assert made.findings == ()
    assert made.issue.state is IssueState.APPROVED
    assert made.issue.subject == "The Harbour Weekly: Ships wait"
    assert made.issue.dated == now
    assert made.issue.post_ids == tuple(one.id for one in reversed(POSTS))
    again = compose(store, config, now + timedelta(hours=1))
    assert not again.fresh
    assert again.issue == made.issue
    with store.read() as tx:
        assert stored.by_id(tx, made.issue.id) == made.issue
        assert stored.slot_states(tx, "weekly") == {SLOT.due: SlotState.COMPOSED}
        ledger = stored.placements(tx, "weekly")
    assert {seq: (one.placement, one.number) for seq, one in ledger.items()} == dict.fromkeys(
        (1, 2, 3), (Placement.INCLUDED, 1)
    )


def frozen_of(store: Store, issue: Issue) -> str:
    with store.read() as tx:
        return stored.frozen(tx, issue.id)


def mailer(store: Store, config: Config, issue: Issue) -> digest.Mailer:
    return issues.mailer(config, issue, frozen_of(store, issue))


def test_the_hash_covers_what_was_frozen(
    sqlite_store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication)
    put(sqlite_store, *POSTS)
    issue = compose(sqlite_store, config, now).issue
    assert issue is not None
    placed = [(one, Placement.INCLUDED) for one in reversed(POSTS)]
    frozen = frozen_of(sqlite_store, issue)
    assert issues.fingerprint(issue, frozen, placed) == issue.sha256
    assert issues.fingerprint(replace(issue, html="x"), frozen, placed) != issue.sha256
    assert issues.fingerprint(issue, frozen + " ", placed) != issue.sha256
    assert issues.fingerprint(issue, frozen, placed[:2]) != issue.sha256


def test_two_stores_with_the_same_posts_make_the_same_bytes(
    sqlite_store: Store, publication: Publication, now: datetime, tmp_path: Any
) -> None:
    from newsletter.store import open_store

    config = site(publication)
    made = []
    with open_store(f"sqlite:///{tmp_path}/other/x.db") as other:
        for one in (sqlite_store, other):
            put(one, *POSTS)
            issue = compose(one, config, now).issue
            assert issue is not None
            made.append((issue, mailer(one, config, issue)(ANN)))
    assert made[0] == made[1]


def test_nothing_new_settles_the_slot_and_says_so(
    store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication)
    made = compose(store, config, now)
    assert (made.issue, made.state, made.note) == (None, SlotState.EMPTY, "no new post")
    put(store, *POSTS)
    again = compose(store, config, now)
    assert (again.issue, again.note, again.fresh) == (None, "no new post", False)
    later = compose(store, config, now, NEXT)
    assert later.issue is not None
    assert later.issue.number == 1


def test_too_few_posts_wait(sqlite_store: Store, publication: Publication, now: datetime) -> None:
    config = site(publication, min_posts=5)
    put(sqlite_store, *POSTS)
    made = compose(sqlite_store, config, now)
    assert made.state is SlotState.EMPTY
    assert "3 new, and an issue needs at least 5" in made.note
    assert {one.verdict for one in made.explanation} == {Verdict.CARRIED}


def test_the_backlog_is_settled_once_and_late_posts_still_come(
    store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication, since="2026-11-01T13:30:00+11:00")  # half past two, UTC
    put(store, *POSTS)
    made = compose(store, config, now)
    assert made.issue is not None
    assert made.issue.post_ids == (POSTS[2].id,)
    assert "2 settled as skipped: published before 2026-11-01 02:30Z" in made.note
    put(store, post(4, "Found in a drawer", published=datetime(2020, 1, 1, tzinfo=UTC)))
    later = compose(store, config, now, NEXT)
    assert later.issue is not None
    assert later.issue.post_ids == (post(4, "").id,)


def test_a_day_without_zone_is_midnight_in_the_newsletter_s_zone(
    sqlite_store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication, since="2026-11-01")  # in Sydney: 13:00 UTC on the last of October
    put(sqlite_store, *POSTS)
    assert "skipped" not in compose(sqlite_store, config, now).note


def test_the_rest_is_carried_over_and_explained(
    sqlite_store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication, max_posts=2)
    put(sqlite_store, *POSTS)
    explained = issues.explain(sqlite_store, config, config.newsletter("weekly"), SLOT, now=now)
    made = compose(sqlite_store, config, now)
    assert explained == made.explanation
    assert [(one.title, one.included) for one in explained] == [
        ("Ships wait", True),
        ("Cranes move", True),
        ("Old news", False),
    ]
    assert "1 carried over" in made.note
    assert compose(sqlite_store, config, now, NEXT).issue is not None
    after = issues.explain(sqlite_store, config, config.newsletter("weekly"), NEXT, now=now)
    assert [one.why for one in after] == ["sent in issue 1", "sent in issue 1", "sent in issue 2"]


def test_a_correction_stands_in_the_next_issue_and_only_there(
    store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication)
    put(store, *POSTS[:2])
    compose(store, config, now)
    put_right = Correction(when=now + timedelta(hours=2), text="It was the other crane.")
    change(store, replace(POSTS[1], updated=now + timedelta(hours=2), corrections=(put_right,)))
    put(store, POSTS[2])
    second = compose(store, config, now + timedelta(days=7), NEXT).issue
    assert second is not None
    assert second.correction_ids == (POSTS[1].id,)
    assert "It was the other crane." in second.html
    assert "https://harbour.example.org/issues/weekly/1/" in mailer(store, config, second).fill(ANN)[1]
    put(store, post(5, "More"))
    third = compose(store, config, now, replace(SLOT, due=NEXT.due + timedelta(days=7))).issue
    assert third is not None
    assert third.correction_ids == ()
    assert "other crane" not in third.html


def test_a_digest_that_breaks_a_rule_is_held_until_the_editor_forces_it(
    store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication)
    break_rule(config)
    put(store, *POSTS)
    made = compose(store, config, now)
    assert made.issue is not None
    assert made.issue.state is IssueState.HELD
    assert re.match(
        "the digest breaks 3 rules: td “Ships wait.*” in “Ships wait”: float breaks", made.issue.reason
    )
    assert made.issue.reason in made.note
    assert {one.post for one in made.findings} == {one.title for one in POSTS}
    for refused in (
        lambda: issues.approve(store, config, made.issue.id, now=now),
        lambda: issues.refuse_broken(store, config, made.issue.id, now=now),
    ):
        with pytest.raises(InputError, match="breaks 3 rules") as caught:
            refused()
        assert "newsletter check digest weekly -n 1" in caught.value.remedy
        assert "issues approve weekly -n 1 --force --reason" in caught.value.remedy
    forced = issues.approve(store, config, made.issue.id, now=now, force="it must go today")
    assert (forced.state, forced.reason) == (IssueState.APPROVED, "forced: it must go today")
    issues.refuse_broken(store, config, forced.id, now=now)
    with store.write() as tx:
        deliveries.release(tx, forced.id, now=now)
    assert issues.note_of(store, forced).endswith("; forced: it must go today")
    with store.read() as tx:
        assert stored.slot_of(tx, SLOT) == (SlotState.COMPOSED, forced.id, issues.note_of(store, forced))


def test_a_hold_ends_what_was_forced(sqlite_store: Store, publication: Publication, now: datetime) -> None:
    config = site(publication)
    break_rule(config)
    put(sqlite_store, *POSTS)
    issue = compose(sqlite_store, config, now).issue
    assert issue is not None
    issues.approve(sqlite_store, config, issue.id, now=now, force="in haste")
    issues.hold(sqlite_store, issue.id, now=now, reason="a doubt")
    with pytest.raises(InputError, match="breaks 3 rules"):
        issues.approve(sqlite_store, config, issue.id, now=now)
    again = issues.approve(sqlite_store, config, issue.id, now=now, force="no doubt")
    assert issues.note_of(sqlite_store, again).endswith("forced: in haste; forced: no doubt")


def test_an_issue_is_checked_again_before_its_release(
    sqlite_store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication)
    put(sqlite_store, *POSTS)
    issue = compose(sqlite_store, config, now).issue
    assert issue is not None
    issues.refuse_broken(sqlite_store, config, issue.id, now=now)
    (config.media / str(HARBOUR.large)).unlink()
    with pytest.raises(InputError, match=r"nothing that we publish is at .*aa-1200\.jpg"):
        issues.refuse_broken(sqlite_store, config, issue.id, now=now)
    with sqlite_store.read() as tx:
        held = stored.by_id(tx, issue.id)
    assert held is not None
    assert held.state is IssueState.HELD
    assert "in “Cranes move”: nothing that we publish" in held.reason
    keep_picture(config)
    assert issues.approve(sqlite_store, config, issue.id, now=now).state is IssueState.APPROVED


def test_the_check_is_of_the_longest_message_there_can_be(
    sqlite_store: Store, publication: Publication, now: datetime
) -> None:
    assert (len(LONGEST.address), len(LONGEST.name)) == (254, LONGEST_NAME)
    assert normalise(LONGEST.address) == LONGEST.address
    assert name_of(LONGEST.name) == LONGEST.name
    config = site(publication, full_text=True)
    put(sqlite_store, *(post(n, f"Post {n}", body_html=f"<p>{'ships ' * 730}</p>") for n in range(1, 13)))
    made = compose(sqlite_store, config, now)
    assert made.issue is not None
    assert made.findings == ()  # compiled close to the limit, and room for everybody's values
    make = mailer(sqlite_store, config, made.issue)
    assert 80_000 < len(make(ANN).content) < len(make(LONGEST).content) <= 90_000
    frozen = digest.thaw(frozen_of(sqlite_store, made.issue))
    spare = 90_000 - len(make(ANN).content)
    grown = replace(
        frozen,
        templates={
            name: source.replace("</body>", f"<!--{'x' * ((spare - 1000) * 72 // 76)}--></body>")
            for name, source in frozen.templates.items()
        },
    )
    text = digest.freeze(grown)
    assert check_message(issues.mailer(config, made.issue, text)(ANN).content) == []
    with sqlite_store.read() as tx:
        (finding,) = issues.check_issue(tx, config, made.issue, text)
    assert "more than 90,000" in finding.rule


def test_approval_waits_for_the_editor(sqlite_store: Store, publication: Publication, now: datetime) -> None:
    config = site(publication, approval=True)
    put(sqlite_store, *POSTS)
    issue = compose(sqlite_store, config, now).issue
    assert issue is not None
    assert issue.state is IssueState.COMPOSED
    assert issues.approve(sqlite_store, config, issue.id, now=now).state is IssueState.APPROVED
    held = issues.hold(sqlite_store, issue.id, now=now, reason="wait")
    assert (held.state, held.reason) == (IssueState.HELD, "wait")
    with sqlite_store.write() as tx:
        stored.set_state(tx, issue.id, IssueState.RELEASED, now=now)
    issues.hold(sqlite_store, issue.id, now=now, reason="stop")
    assert issues.approve(sqlite_store, config, issue.id, now=now).state is IssueState.RELEASED
    with sqlite_store.write() as tx:
        stored.set_state(tx, issue.id, IssueState.FINISHED, now=now)
    with pytest.raises(InputError, match="cannot be held"):
        issues.hold(sqlite_store, issue.id, now=now, reason="x")
    with pytest.raises(InputError, match="cannot be approved"):
        issues.approve(sqlite_store, config, issue.id, now=now)
    with pytest.raises(InputError, match="no issue with the id 99"):
        issues.approve(sqlite_store, config, 99, now=now)


def test_a_preview_changes_nothing(sqlite_store: Store, publication: Publication, now: datetime) -> None:
    config = site(publication)
    put(sqlite_store, *POSTS)
    seen = issues.preview(sqlite_store, config, config.newsletter("weekly"), SLOT, "ann@example.org", now=now)
    assert "ann@example.org" in seen.html
    assert "ann@example.org" in seen.text
    assert check_message(seen.eml) == []
    assert [one.included for one in seen.explanation] == [True] * 3
    with sqlite_store.read() as tx:
        assert stored.find(tx) == []
        assert stored.slot_states(tx, "weekly") == {}
        assert stored.placements(tx, "weekly") == {}
        assert stored.next_number(tx, "weekly") == 1


def test_a_preview_after_composing_shows_what_is_new_else_the_issue_itself(
    sqlite_store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication)
    weekly = config.newsletter("weekly")
    with pytest.raises(InputError, match="nothing to show: no new post"):
        issues.preview(sqlite_store, config, weekly, SLOT, "ann@example.org", now=now)
    put(sqlite_store, *POSTS)
    compose(sqlite_store, config, now)
    assert "No. 1" in issues.preview(sqlite_store, config, weekly, SLOT, ANN, now=now).text
    put(sqlite_store, post(4, "News"))
    seen = issues.preview(
        sqlite_store, config, weekly, SLOT, Reader(subscriber_id=3, address="b@example.org"), now=now
    )
    assert "No. 2 · Monday, 30 November 2026" in seen.text
    assert "Cranes move" not in seen.html


def test_slots_are_decided_held_missed_and_still_composed_by_hand(
    sqlite_store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication)
    weekly = config.newsletter("weekly")
    assert issues.slot_decision(sqlite_store, config, weekly, now=SLOT.due - timedelta(days=1)).fire is None
    assert issues.slot_decision(sqlite_store, config, weekly, now=SLOT.due).fire == SLOT.due
    late = issues.slot_decision(sqlite_store, config, weekly, now=SLOT.due + timedelta(days=3))
    assert late.held == (SLOT.due,)
    assert issues.settle_slot(sqlite_store, SLOT, SlotState.HELD, note="late", now=now)
    assert not issues.settle_slot(sqlite_store, SLOT, SlotState.MISSED, note="x", now=now)
    assert issues.slot_decision(sqlite_store, config, weekly, now=SLOT.due + timedelta(days=3)).held == ()
    put(sqlite_store, *POSTS)
    assert compose(sqlite_store, config, now).state is SlotState.COMPOSED


def test_the_introduction_is_pinned_and_its_absence_is_an_error(
    sqlite_store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication, intro="intro.md")
    put(sqlite_store, *POSTS)
    with pytest.raises(ConfigError, match=r"newsletters\.weekly\.intro"):
        compose(sqlite_store, config, now)
    with sqlite_store.read() as tx:
        assert stored.slot_states(tx, "weekly") == {}
    config.path("intro.md").write_text("Good *morning*, <script>alert(1)</script>readers.", encoding="utf-8")
    issue = compose(sqlite_store, config, now).issue
    assert issue is not None
    assert issue.intro_html == "<p>Good <em>morning</em>, readers.</p>"
    assert "Good morning, readers." in mailer(sqlite_store, config, issue).fill(ANN)[1]


@pytest.mark.parametrize("subject", ["{frist}", "{title", "  "])
def test_a_subject_that_cannot_be_is_an_error(
    sqlite_store: Store, publication: Publication, now: datetime, subject: str
) -> None:
    put(sqlite_store, *POSTS)
    with pytest.raises(ConfigError, match="subject"):
        compose(sqlite_store, site(publication, subject=subject), now)


def test_a_hidden_title_stays_hidden_in_references_and_subject(
    sqlite_store: Store, publication: Publication, now: datetime
) -> None:
    from newsletter.model import Reference

    config = site(publication)
    hidden = post(7, "The detail", content_note=ContentNote(text="grave", show_title=False))
    link = Reference(url="https://harbour.example.org/posts/post-7/", title="The detail")
    put(sqlite_store, post(6, "After", references=(link,)), hidden)
    issue = compose(sqlite_store, config, now).issue
    assert issue is not None
    assert issue.subject == "The Harbour Weekly: After"
    assert "The detail" not in issue.html + mailer(sqlite_store, config, issue).fill(ANN)[1]


def test_a_template_of_the_publication_comes_first_and_its_mistakes_leave_no_trace(
    sqlite_store: Store, publication: Publication, now: datetime
) -> None:
    config = site(publication)
    put(sqlite_store, *POSTS)
    own = config.templates / "digest" / "letter" / "digest.txt.j2"
    own.parent.mkdir(parents=True)
    own.write_text("line\n{{ nonsense }}\n")
    with pytest.raises(TemplateError, match=r"digest\.txt\.j2:2"):
        compose(sqlite_store, config, now)
    with sqlite_store.read() as tx:
        assert stored.slot_states(tx, "weekly") == {}
        assert stored.next_number(tx, "weekly") == 1
    packaged = (templating.PACKAGED / "digest" / "letter" / "digest.txt.j2").read_text()
    own.write_text("Our own words.\n" + packaged)
    issue = compose(sqlite_store, config, now).issue
    assert issue is not None
    assert mailer(sqlite_store, config, issue).fill(ANN)[1].startswith("Our own words.")


def test_messages_are_signed_with_the_configured_keys(
    sqlite_store: Store, publication: Publication, now: datetime
) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    config = publication(
        {"dkim": [{"domain": "harbour.example.org", "selector": "s1", "key_file": "dkim.pem"}]}
    )
    config.path("dkim.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    put(sqlite_store, *POSTS)
    issue = compose(sqlite_store, config, now).issue
    assert issue is not None
    message = mailer(sqlite_store, config, issue)(ANN)
    assert re.match(
        rb"DKIM-Signature: v=1; a=ed25519-sha256;[^;]*;\r\n d=harbour\.example\.org; s=s1;", message.content
    )
    assert message.sender.startswith(f"b+{config.token_keys()[0][0]}.{issue.id}.12.")
    settings = issues.mail_settings(config, config.newsletter("weekly"))
    assert settings.list_id == "weekly.harbour.example.org"
    assert "PRIVATE" not in repr(settings)
    assert digest.LIMIT == 90_000
