"""Draft an issue from the store: select its posts, gather its material, render it. Nothing is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time
from zoneinfo import ZoneInfo

from newsletter import content, digest, pictures, templating
from newsletter.compose import Corrected, Explained, Rule, Selection, Verdict, leave_out, select
from newsletter.config import Config, NewsletterConfig
from newsletter.errors import ConfigError, InputError
from newsletter.issues.slots import zone_of
from newsletter.model import Image, Issue, IssueState, Placement, Post, Slot
from newsletter.store import Tx
from newsletter.store import issues as stored
from newsletter.store import posts as stored_posts

_SUBJECT_FIELDS = ("title", "first", "number", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An issue that nobody has stored yet, and where its selection came from."""

    issue: Issue
    frozen: str
    selection: Selection
    notes: tuple[str, ...]


def select_posts(tx: Tx, config: Config, newsletter: NewsletterConfig, *, without: int = 0) -> Selection:
    """Select the posts of the newsletter's next issue, as if an issue `without` which it is had sent none."""
    ledger = stored.placements(tx, newsletter.name)
    return select(
        stored_posts.live_posts(tx),
        {seq: one for seq, one in ledger.items() if not without or one.issue_id != without},
        _rule(config, newsletter),
        first=not stored.was_composed(tx, newsletter.name),
    )


def corrections_now(
    tx: Tx, before: Sequence[Corrected], also: Sequence[Corrected] = ()
) -> tuple[Corrected, ...]:
    """Return corrections that an issue tells of as they stand now, with others; those withdrawn are left out.

    The ledger no longer knows that readers have not been told of them: it was written when the issue was composed.
    """
    found = {one.post.seq: one for one in also}
    posts = stored_posts.live_by_seqs(tx, [one.post.seq for one in before])
    for one in before:
        post = posts.get(one.post.seq)
        if post is None:
            continue
        first = min(correction.when for correction in one.corrections)
        told = tuple(correction for correction in post.corrections if correction.when >= first)
        newest = max([one.told, post.updated, *(correction.when for correction in told)])
        if told:
            found[post.seq] = replace(one, post=post, corrections=told, told=newest)
    return tuple(sorted(found.values(), key=lambda one: (-one.post.published.timestamp(), -one.post.seq)))


def _rule(config: Config, newsletter: NewsletterConfig) -> Rule:
    since = newsletter.since
    if since is not None and not isinstance(since, datetime):
        since = datetime.combine(since, time())
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=ZoneInfo(zone_of(config, newsletter)))
    return Rule(
        since=since,
        min_posts=newsletter.min_posts,
        max_posts=newsletter.max_posts,
        tags=newsletter.tags,
        exclude_tags=newsletter.exclude_tags,
    )


def draft(
    tx: Tx,
    config: Config,
    newsletter: NewsletterConfig,
    slot: Slot,
    selection: Selection,
    *,
    number: int,
    now: datetime,
    corrected: datetime | None = None,
) -> Draft:
    """Render the selection into an issue that nobody has stored yet, or into another rendering of one."""
    material = replace(_material(tx, config, newsletter, slot, selection, number), corrected=corrected)
    names = digest.template_names(material.design)
    templates = templating.template_set(templating.environment(config.templates), *names)
    compiled = digest.compile_digest(material, templates)
    if compiled.left_out:
        selection = leave_out(selection, compiled.left_out, "carried over: the message is full")
    selection = replace(selection, explanation=tuple(_with_depth(selection, compiled)))
    dated = now.replace(microsecond=0)
    issue = Issue(
        newsletter=newsletter.name,
        number=number,
        due=slot.due,
        state=IssueState.COMPOSED if newsletter.approval else IssueState.APPROVED,
        subject=material.subject,
        dated=dated,
        html=compiled.html,
        sha256="",
        intro_html=material.intro_html,
        post_ids=tuple(post.id for post in selection.posts),
        correction_ids=tuple(one.post.id for one in selection.corrections),
        composed_at=now,
    )
    issue = replace(issue, sha256=fingerprint(issue, compiled.frozen, placed_of(selection)))
    return Draft(
        issue=issue,
        frozen=compiled.frozen,
        selection=selection,
        notes=(*compiled.notes, *_notes(config, material)),
    )


def _notes(config: Config, material: digest.Material) -> list[str]:
    if not config.publication.logo or material.looks.logo is not None:
        return []
    return [f"the logo {config.publication.logo} is no picture that mails can show: the name stands there"]


def _with_depth(selection: Selection, compiled: digest.Digest) -> list[Explained]:
    return [
        replace(one, why=f"{one.why}; {compiled.depths[one.seq].value}")
        if one.verdict is Verdict.INCLUDED and one.seq in compiled.depths
        else one
        for one in selection.explanation
    ]


def placed_of(selection: Selection) -> list[tuple[Post, Placement]]:
    """Return what the issue tells of, in its order."""
    included = [(post, Placement.INCLUDED) for post in selection.posts]
    return included + [(one.post, Placement.CORRECTION) for one in selection.corrections]


def fingerprint(issue: Issue, frozen: str, placed: Sequence[tuple[Post, Placement]]) -> str:
    """Return the hash over everything frozen: identity, posts in the versions sent, templates, the archive's page."""
    posts = [[post.id, placement.value, post.updated.isoformat()] for post, placement in placed]
    facts = [issue.newsletter, issue.number, issue.due.isoformat(), issue.dated.isoformat(), issue.subject]
    said = json.dumps([facts, posts, issue.intro_html, issue.html, frozen], ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()


def _material(
    tx: Tx, config: Config, newsletter: NewsletterConfig, slot: Slot, selection: Selection, number: int
) -> digest.Material:
    looks = looks_of(config, newsletter)
    words = {
        "title": newsletter.title,
        "number": str(number),
        "date": digest.day(slot.due, looks.timezone, looks.language),
    }
    return digest.Material(
        newsletter=newsletter.name,
        title=newsletter.title,
        number=number,
        due=slot.due,
        subject=digest.subject_of(_subject(newsletter), selection.posts, words, looks.language),
        looks=looks,
        description=newsletter.description,
        intro_html=_intro(config, newsletter),
        posts=selection.posts,
        corrections=selection.corrections,
        titles=_titles(tx, config),
        full_text=newsletter.full_text,
        design=digest.Design(newsletter.design),
        sections=newsletter.sections,
    )


def _subject(newsletter: NewsletterConfig) -> str:
    rest = newsletter.subject
    for name in _SUBJECT_FIELDS:
        rest = rest.replace(f"{{{name}}}", "")
    if "{" in rest or "}" in rest or not newsletter.subject.strip():
        raise ConfigError(
            f"{newsletter.subject!r} is not a subject",
            where=f"newsletter.toml: newsletters.{newsletter.name}.subject",
            remedy="Use {title}, {first}, {number} and {date}, and no other braces",
        )
    return newsletter.subject


def looks_of(config: Config, newsletter: NewsletterConfig) -> digest.Looks:
    """Return the publication as the mails of a newsletter show it."""
    publication = config.publication
    return digest.Looks(
        publication=publication.title,
        url=publication.url,
        language=publication.language,
        timezone=zone_of(config, newsletter),
        postal_address=publication.postal_address,
        contact=publication.contact,
        theme=config.theme.model_dump(),
        logo=_logo(config),
    )


def _logo(config: Config) -> Image | None:
    """Return the logo as mails show it, from a copy of known size; None for one that they cannot show."""
    told = config.publication
    if not told.logo:
        return None
    try:
        kept = pictures.keep_file(config.path(told.logo), config.media)
    except InputError:  # no issue is late for its logo
        return None
    return replace(kept, alt=told.logo_alt or told.title)


def _intro(config: Config, newsletter: NewsletterConfig) -> str:
    if newsletter.intro is None:
        return ""
    path = config.path(newsletter.intro)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"the introduction cannot be read: {reason}",
            where=f"newsletter.toml: newsletters.{newsletter.name}.intro = {path}",
            remedy="Write it, or remove the key",
        ) from e
    return content.from_markdown(text, content.Surroundings(base_url=config.publication.url)).html


def _titles(tx: Tx, config: Config) -> dict[str, str | None]:
    """Return the titles of own posts by URL and by id, None for one that its content note hides."""
    titles: dict[str, str | None] = {}
    for post in stored_posts.outlines(tx):
        hidden = post.content_note is not None and not post.content_note.show_title
        title = None if hidden else digest.title_of(post)
        titles |= {digest.post_url(config.publication.url, post): title, post.id: title}
    return titles
