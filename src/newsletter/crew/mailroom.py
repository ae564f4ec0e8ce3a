"""The mailroom: what makes an issue's messages, in whatever process they are sent from."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

from newsletter import digest, templating
from newsletter.model import Issue, Message, Reader

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Mailroom:
    """A renderer that may be sent to another process: it is set up where it is first asked for a message.

    `frozen` is the issue's own text of what it was frozen to; the settings hold its keys, so it never goes further than
    to a process of ours.
    """

    issue: Issue
    frozen: str = field(repr=False)
    settings: digest.MailSettings
    _mailer: digest.Mailer | None = None
    _guard: Any = field(default_factory=threading.Lock)

    def __call__(self, reader: Reader) -> Message:
        """Make the message for one reader."""
        return (self._mailer or self.prepare())(reader)

    def prepare(self) -> digest.Mailer:
        """Set it up; a digest that cannot be read, or a template, is an error for everybody."""
        with self._guard:
            if self._mailer is None:
                thawed = digest.thaw(self.frozen)
                templates = templating.TemplateSet(thawed.templates)
                self._mailer = digest.Mailer(self.issue, thawed, templates, self.settings, threading.Lock())
            return self._mailer

    def finish(self) -> None:
        """Say it if messages had to be rendered for one reader alone."""
        if self._mailer is not None and self._mailer.alone:
            where = f"{self.issue.newsletter} {self.issue.number}"
            count = self._mailer.alone
            log.warning("%s: rendered alone, which is slow: %d messages; see `check config`", where, count)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made of, and nothing that was made of it."""
        return Mailroom, (self.issue, self.frozen, self.settings)
