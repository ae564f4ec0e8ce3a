"""The facade over all stages: it wires them and decides nothing.

sources | gather > store | compose > issue | deliver > transport, and store | publish > public/
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from newsletter import bounces as bouncing
from newsletter import deliver as delivering
from newsletter import gather as gathering
from newsletter import illustrate, readiness, schedule, websub
from newsletter import issues as composing
from newsletter import publish as publishing
from newsletter import subscriptions as subscribing
from newsletter.checks import digest as digest_rules
from newsletter.compose import Explained
from newsletter.config import Config, NewsletterConfig
from newsletter.errors import InputError, OutsideError
from newsletter.model import (
    Account,
    DeliveryState,
    Finding,
    GatherReport,
    Issue,
    IssueState,
    Post,
    Reader,
    Rendering,
    Slot,
    SlotState,
    Subscription,
)
from newsletter.store import Store, consents, deliveries, meta, open_store, turns, webhooks
from newsletter.store import backup as backups
from newsletter.store import issues as stored_issues
from newsletter.store import posts as stored_posts
from newsletter.transports import transport_factory

log = logging.getLogger(__name__)


class Publisher:
    """One open publication; closed once, usable from several threads."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store

    @classmethod
    def open(cls, config: Config) -> Self:
        """Open the publication's store, making it when there is none."""
        return cls(config, webhooks.configure(open_store(config.store_url), config.webhook_events))

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def gather(self, *, now: datetime, only: str | None = None, dry_run: bool = False) -> list[GatherReport]:
        """Read the sources into the store."""
        reports = gathering.gather(self.store, self.config, now=now, only=only, dry_run=dry_run)
        return reports if dry_run else illustrate.illustrate(self.store, self.config, reports, now=now)

    def publish(self, *, now: datetime, every: bool = False) -> publishing.PublishReport:
        """Write feeds and pages, and note whom to tell of it, which is the daemon's; `every` makes each anew."""
        report = publishing.publish(self.store, self.config, now=now, every=every)
        try:
            websub.note(self.store, self.config, now=now)
        except OutsideError as e:  # it is noted the next time
            log.error("what changed is not announced yet: %s", e)
        return report

    def newsletters(self) -> tuple[NewsletterConfig, ...]:
        """Return the configured newsletters."""
        return self.config.newsletters

    def due_slot(self, newsletter: str, *, now: datetime) -> Slot:
        """Return the newest slot that has come, whether it fired or not."""
        rule = composing.schedule_of(self.config, self.config.newsletter(newsletter))
        return Slot(newsletter=newsletter, due=schedule.latest_slot(rule, now))

    def slot_decision(self, newsletter: str, *, now: datetime) -> schedule.Decision:
        """Say what is to be done with the slots that are due and not settled."""
        return composing.slot_decision(self.store, self.config, self.config.newsletter(newsletter), now=now)

    def settle_slot(self, slot: Slot, state: SlotState, *, note: str, now: datetime) -> None:
        """Record a slot as missed or held."""
        composing.settle_slot(self.store, slot, state, note=note, now=now)

    def overdue(self, newsletter: str, *, now: datetime) -> composing.Overdue | None:
        """Return a slot that passed some time ago and whose issue did not go."""
        return composing.overdue(self.store, self.config, self.config.newsletter(newsletter), now=now)

    def explain(self, newsletter: str, slot: Slot, *, now: datetime) -> tuple[Explained, ...]:
        """Say of each post why it would be in or out."""
        return composing.explain(self.store, self.config, self.config.newsletter(newsletter), slot, now=now)

    def compose(self, newsletter: str, slot: Slot, *, now: datetime) -> composing.Composition:
        """Compose the issue of a slot, or return the one composed before."""
        return composing.compose(self.store, self.config, self.config.newsletter(newsletter), slot, now=now)

    def compose_again(self, issue_id: int, *, now: datetime) -> composing.Composition:
        """Compose an issue that was not released anew for its slot; its number stays."""
        return composing.compose_again(self.store, self.config, issue_id, now=now)

    def correct(self, issue_id: int, *, now: datetime, force: str = "") -> composing.Revision:
        """Render a held issue anew for those who were not served yet."""
        return composing.correct(self.store, self.config, issue_id, now=now, force=force)

    def renderings(self, issue: Issue) -> list[tuple[Rendering, dict[DeliveryState, int]]]:
        """Return the renderings of an issue, each with the states of those whose it is."""
        with self.store.read() as tx:
            counts = deliveries.by_revision(tx, issue.id)
            return [(one, counts.get(one.revision, {})) for one in stored_issues.renderings(tx, issue)]

    def preview(self, newsletter: str, reader: Reader | str, *, now: datetime) -> composing.Preview:
        """Render what the next issue would be for one reader (or address); changes nothing."""
        one = self.config.newsletter(newsletter)
        slot = self.due_slot(newsletter, now=now)
        return composing.preview(self.store, self.config, one, slot, reader, now=now)

    def preview_notices(self, newsletter: str, reader: Reader) -> dict[str, tuple[str, str]]:
        """Render the notices of a newsletter for one reader: HTML and text, by kind."""
        made = composing.sample_notices(self.config, self.config.newsletter(newsletter), reader)
        return {kind.value: (notice.html, notice.text) for kind, notice in made}

    def issues(self, newsletter: str | None = None) -> list[Issue]:
        """Return issues, newest first."""
        with self.store.read() as tx:
            return stored_issues.find(tx, newsletter=newsletter)

    def open_issues(self) -> list[Issue]:
        """Return the issues that may be released or are being delivered, the oldest first."""
        with self.store.read() as tx:
            found = stored_issues.find(tx, states=(IssueState.APPROVED, IssueState.RELEASED))
        return found[::-1]

    def issue(self, newsletter: str, number: int | None = None) -> Issue:
        """Return an issue by its number, or the newest."""
        found = [one for one in self.issues(newsletter) if number in (None, one.number)]
        if not found:
            which = "no issue yet" if number is None else f"no issue {number}"
            raise InputError(
                f"{newsletter} has {which}", where="issues", remedy="See: newsletter issues list"
            )
        return found[0]

    def posts_of(self, issue_id: int) -> list[Post]:
        """Return an issue's posts in its order."""
        with self.store.read() as tx:
            order = [seq for seq, _ in stored_issues.posts_of(tx, issue_id)]
            posts = stored_posts.by_seqs(tx, order)
        return [posts[seq] for seq in order]

    def check_digest(
        self, newsletter: str, number: int | None = None, *, remote: bool = False, now: datetime
    ) -> list[Finding]:
        """Check the digest of the next issue, or of a composed one; `remote` asks where its links lead."""
        if number is None:
            one, slot = self.config.newsletter(newsletter), self.due_slot(newsletter, now=now)
            issue, frozen, _ = composing.upcoming(self.store, self.config, one, slot, now=now)
        else:
            issue, frozen = self.issue(newsletter, number), ""
        with self.store.read() as tx:
            findings = composing.check_issue(tx, self.config, issue, frozen)
        where = f"{issue.newsletter} {issue.number}"
        return findings + (composing.check_remote(self.config, issue.html, where=where) if remote else [])

    def approve(self, issue_id: int, *, now: datetime, force: str = "") -> None:
        """Let an issue be delivered; one that breaks a rule only with the reason why."""
        composing.approve(self.store, self.config, issue_id, now=now, force=force)

    def note_of(self, issue: Issue) -> str:
        """Return what an editor should know of an issue."""
        return composing.note_of(self.store, issue)

    def hold(self, issue_id: int, *, now: datetime, reason: str, until: datetime | None = None) -> None:
        """Stop an issue until it is delivered again, or until an instant."""
        composing.hold(self.store, issue_id, now=now, reason=reason, until=until)

    def instant(self, newsletter: str, text: str, *, now: datetime) -> datetime:
        """Read an instant in the newsletter's zone, or a duration from now."""
        return composing.instant_of(self.config, newsletter, text, now=now)

    def end_pauses(self, *, now: datetime) -> list[Issue]:
        """Let the issues go on whose pause is over."""
        return composing.end_pauses(self.store, now=now)

    # Deliveries

    def release(self, issue_id: int, *, now: datetime, everybody: bool = False) -> Account:
        """Freeze an issue's audience; again does nothing. One whose digest breaks a rule is held instead.

        `everybody` lets also those go who wait for a canary or a wave.
        """
        composing.refuse_broken(self.store, self.config, issue_id, now=now)
        issue, _ = self._frozen(issue_id)
        one = self.config.newsletter(issue.newsletter)
        rule = composing.schedule_of(self.config, one)
        whose = delivering.turns_of(one, rule, issue.due, now=now)
        return delivering.release(self.store, issue_id, now=now, turns=whose, everybody=everybody)

    def deliver(
        self,
        issue_id: int,
        *,
        stop: threading.Event,
        progress: Callable[[Account], None] | None = None,
    ) -> Account:
        """Deliver what waits of a released issue, until its newsletter's next slot at the latest."""
        issue, _ = self._frozen(issue_id)
        one = self.config.newsletter(issue.newsletter)
        expires_at = schedule.next_slot(composing.schedule_of(self.config, one), issue.due)
        make = composing.mailroom(self.store, self.config, issue)
        make.prepare(issue.revision)
        try:
            return delivering.deliver(
                self.store,
                issue_id,
                render=make,
                connect=transport_factory(self.config, self.config.delivery.transport),
                options=delivering.options_of(
                    self.config,
                    one,
                    revision=issue.revision,
                    released_at=issue.released_at,
                    expires_at=expires_at,
                ),
                clock=partial(datetime.now, UTC),
                progress=progress,
                stop=stop,
            )
        finally:
            make.finish()

    def _frozen(self, issue_id: int) -> tuple[Issue, str]:
        with self.store.read() as tx:
            issue = stored_issues.by_id(tx, issue_id)
            frozen = stored_issues.frozen(tx, issue_id) if issue is not None else ""
        if issue is None:
            raise InputError(
                f"there is no issue with the id {issue_id}", remedy="See: newsletter issues list"
            )
        return issue, frozen

    def upcoming(self, issue_id: int, *, limit: int = 5) -> list[tuple[datetime, int]]:
        """Return the next instants for which readers of an issue wait, each with how many."""
        with self.store.read() as tx:
            return turns.upcoming(tx, issue_id, limit=limit)

    def stand(self, issue_id: int) -> turns.Stand:
        """Return how far an issue's canary and waves are."""
        with self.store.read() as tx:
            return turns.stand(tx, issue_id)

    def audience(self, newsletter: str, *, now: datetime) -> int:
        """Count those to whom an issue released now would go."""
        with self.store.read() as tx:
            return deliveries.audience(tx, newsletter, now=now)

    def account(self, issue_id: int) -> Account:
        """Return the balancing sum."""
        with self.store.read() as tx:
            return deliveries.account(tx, issue_id)

    def audit(self, issue_id: int) -> delivering.Audit:
        """Name every subscriber's outcome."""
        return delivering.audit(self.store, issue_id)

    def summary(
        self, issue_id: int, *, limit: int = 5
    ) -> tuple[tuple[delivering.DomainAccount, ...], tuple[delivering.Trouble, ...]]:
        """Return the largest domains' sums and the most frequent troubles."""
        return delivering.summary(self.store, issue_id, limit=limit)

    def log(self, issue_id: int, *, addresses: bool = False) -> Iterator[delivering.LogLine]:
        """Give every attempt in its order."""
        return delivering.log(self.store, issue_id, addresses=addresses)

    def retry(
        self,
        issue_id: int,
        *,
        refused_temporarily: bool,
        unknown: bool,
        presumed: bool = False,
        now: datetime,
    ) -> int:
        """Let deliveries wait again, by the editor's word."""
        return delivering.retry(
            self.store,
            issue_id,
            refused_temporarily=refused_temporarily,
            unknown=unknown,
            presumed=presumed,
            now=now,
        )

    # Subscribers

    def subscriptions(self, newsletter: str | None = None) -> list[Subscription]:
        """Return every subscription, or one newsletter's, by address."""
        return subscribing.listed(self.store, newsletter)

    def add_subscriber(
        self, address: str, newsletters: Sequence[str], *, consent: str, now: datetime, name: str = ""
    ) -> subscribing.ImportLine:
        """Add one person who agreed."""
        return subscribing.add(self.store, address, newsletters, consent=consent, now=now, name=name)

    def import_subscribers(
        self, file: Path, *, now: datetime, **options: Unpack[subscribing.Options]
    ) -> subscribing.ImportReport:
        """Import a CSV file; `options` are those of `subscriptions.import_csv`."""
        known = [one.name for one in self.config.newsletters]
        options = {"keep_ip": self.config.consent.keep_ip, **options}
        return subscribing.import_csv(self.store, file, newsletters=known, now=now, **options)

    def export_subscribers(self, file: Path, **options: Any) -> int:
        """Write everybody into a CSV file; return how many rows. `options`: `subscriptions.export_csv`."""
        if options.get("newsletter"):
            self.config.newsletter(options["newsletter"])
        return subscribing.export_csv(self.store, file, **options)

    def show_subscriber(self, address: str) -> subscribing.Record | None:
        """Return all that is stored about one person."""
        return subscribing.show(self.store, address)

    def prove_consent(self, address: str, *, now: datetime) -> dict[str, Any] | None:
        """Return one person's record of consent, to be verified alone."""
        return subscribing.proof(self.store, address, now=now)

    def verify_consents(self) -> consents.Chain:
        """Check the ledger of consents."""
        return subscribing.verify(self.store)

    def expire(self, *, now: datetime) -> None:
        """Drop what is kept for a time only, once that time is over."""
        with self.store.write() as tx:
            subscribing.expire(tx, now=now)

    def forget_subscriber(self, address: str, *, now: datetime) -> bool:
        """Erase one person."""
        return subscribing.forget(self.store, address, now=now)

    # The store

    def bounces(self) -> bouncing.Office:
        """Return where bounces, complaints and messages that unsubscribe are taken."""
        keys = self.config.token_keys()
        return bouncing.office(
            self.store,
            self.config,
            lambda token, now: subscribing.unsubscribe(self.store, keys, token, channel="mailto", now=now),
        )

    def backup(self, file: Path) -> backups.BackupReport:
        """Write the whole store into one file."""
        return backups.backup(self.store, file)

    def resume(self) -> str:
        """Let a restored or copied store deliver, on the editor's word; return why it was paused, if it was."""
        with self.store.write() as tx:
            reason = meta.pause_reason(tx)
            meta.resume(tx)
        return reason


def restore(config: Config, file: Path) -> backups.BackupReport:
    """Restore a backup into the publication's store, which must be empty."""
    return backups.restore(file, config.store_url)


def check_file(config: Config | None, file: Path) -> list[Finding]:
    """Check a message in a file; with a configuration also where its links lead."""
    data = file.read_bytes()
    page = digest_rules.page_of(data)
    remote = composing.check_remote(config, page, where=str(file)) if config is not None and page else []
    return digest_rules.check_message(data, where=str(file)) + remote


def check_config(config: Config, *, now: datetime) -> list[Finding]:
    """Return what is wrong with a configuration that reads well."""
    return readiness.findings(config, now=now)
