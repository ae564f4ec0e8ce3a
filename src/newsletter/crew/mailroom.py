"""The mailroom: what makes an issue's messages, in whatever process they are sent from."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from newsletter import digest, templating
from newsletter.model import Issue, Message, Reader

log = logging.getLogger(__name__)
_FORESIGHT = 1.0  # seconds after which no further variant is begun


class Mailroom:
    """A renderer that may be sent to another process: it is set up where it is first asked for a message.

    `renderings` are the issue as it was at each revision, and the text of what that is made of: each reader gets the
    one that is theirs. The settings hold keys, so a mailroom goes no further than to a process of ours. `known` are the
    variants that another process had made, by revision.
    """

    def __init__(
        self,
        renderings: Mapping[int, tuple[Issue, str | digest.Frozen]],
        settings: digest.MailSettings,
        known: Mapping[int, digest.Known | None] = MappingProxyType({}),
    ) -> None:
        self._renderings = renderings
        self._known = known
        self._settings = settings
        self._mailers: dict[int, digest.Mailer] = {}
        self._thawed: dict[int, digest.Frozen] = {}
        self._guard = threading.Lock()

    def __call__(self, reader: Reader) -> Message:
        """Make the message for one reader."""
        mailer = self._mailers.get(reader.revision)
        return (mailer or self.prepare(reader.revision))(reader)

    def prepare(self, revision: int) -> digest.Mailer:
        """Set a rendering up; one that cannot be read is an error for everybody."""
        with self._guard:
            if revision not in self._mailers:
                issue, frozen = self._renderings[revision]
                thawed = digest.thaw(frozen) if isinstance(frozen, str) else frozen
                templates = templating.TemplateSet(thawed.templates)
                known = self._known.get(revision)
                made = digest.Mailer(issue, thawed, templates, self._settings, threading.Lock(), known)
                self._mailers[revision], self._thawed[revision] = made, thawed
            return self._mailers[revision]

    def foresee(self, readers: Iterable[Reader]) -> None:
        """Make the variants that these readers need, to be sent along: a process that makes none stays small."""
        until = time.monotonic() + _FORESIGHT
        for reader in readers:
            if time.monotonic() > until:
                return
            with contextlib.suppress(Exception):  # said when a message for this reader is asked for
                self.prepare(reader.revision).know(reader)

    def finish(self) -> None:
        """Say it if messages had to be rendered for one reader alone."""
        for mailer in self._mailers.values():
            if mailer.alone:
                where = f"{mailer.issue.newsletter} {mailer.issue.number}"
                said = "%s: rendered alone, which is slow: %d messages; see `check config`"
                log.warning(said, where, mailer.alone)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made of, and the variants."""
        known = {revision: mailer.known for revision, mailer in self._mailers.items()}
        thawed = {
            revision: (issue, self._thawed.get(revision, frozen))
            for revision, (issue, frozen) in self._renderings.items()
        }
        return Mailroom, (thawed, self._settings, known)
