"""The mailroom: what makes an issue's messages, in whatever process they are sent from."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from newsletter import digest, templating
from newsletter.model import Issue, Message, Reader

log = logging.getLogger(__name__)


class Mailroom:
    """A renderer that may be sent to another process: it is set up where it is first asked for a message.

    `renderings` are the issue as it was at each revision, and the text of what that is made of: each reader gets the
    one that is theirs. The settings hold keys, so a mailroom goes no further than to a process of ours.
    """

    def __init__(self, renderings: Mapping[int, tuple[Issue, str]], settings: digest.MailSettings) -> None:
        self._renderings = renderings
        self._settings = settings
        self._mailers: dict[int, digest.Mailer] = {}
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
                thawed = digest.thaw(frozen)
                templates = templating.TemplateSet(thawed.templates)
                made = digest.Mailer(issue, thawed, templates, self._settings, threading.Lock())
                self._mailers[revision] = made
            return self._mailers[revision]

    def finish(self) -> None:
        """Say it if messages had to be rendered for one reader alone."""
        for mailer in self._mailers.values():
            if mailer.alone:
                where = f"{mailer.issue.newsletter} {mailer.issue.number}"
                said = "%s: rendered alone, which is slow: %d messages; see `check config`"
                log.warning(said, where, mailer.alone)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made of, and nothing that was made of it."""
        return Mailroom, (self._renderings, self._settings)
